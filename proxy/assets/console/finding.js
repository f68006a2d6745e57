// What a guard has found: figure, value, bound, sample, and how sure it is.
import { FailIcon, Icon } from "./icons.js";
import { count, share } from "./words.js";
import { html } from "./view.js";

const NAMES = { failed: "of messages failed", unmapped: "of messages had kinds that no list has", protocol_closes: "of WebSockets were closed for a protocol error", added_latency: "of requests took longer", http_errors: "of requests ended with an error" };

/** @param {{finding: any}} props as `FindingView` of the API */
export function Finding({ finding }) {
  const { figure, value, lower, upper, bound, failed, of, limit } = finding;
  const than = figure === "added_latency" ? ` than ${1000 * limit} ms` : "";
  return html`<p class="sentence"><strong>${value === null ? "Nothing was seen" : share(value, 1)} ${NAMES[figure] ?? figure}${than}; the bound is ${share(bound, 1)}.</strong> ${count(failed)} of ${count(of)}. The true share is between ${share(lower, 1)} and ${share(upper, 1)}.</p>
    <svg class="interval" width="100%" height="40" role="img" aria-label="Between ${share(lower, 1)} and ${share(upper, 1)}; the bound is ${share(bound, 1)}">
      <rect class="ground" y="16" width="100%" height="8" /><rect class="range" x=${at(lower, upper, bound)} y="16" width=${at(upper - lower, upper, bound)} height="8" />
      <line class="value" x1=${at(value ?? 0, upper, bound)} x2=${at(value ?? 0, upper, bound)} y1="10" y2="30" /><line class="bound" x1=${at(bound, upper, bound)} x2=${at(bound, upper, bound)} y1="4" y2="36" /></svg>`;
}

const at = (part, upper, bound) => `${(100 * part) / Math.max(upper, bound, 1e-9) / 1.1}%`;

const GLYPHS = { pass: "check", inconclusive: "hourglass" };

/** Each figure with what it was, its bound and its sample. @param {{findings: any[]}} props as `FindingView` of the API */
export const Figures = ({ findings }) => html`<table class="tight"><thead><tr><th scope="col">figure</th><th scope="col" class="figure">then</th><th scope="col" class="figure">bound</th><th scope="col" class="figure">of</th></tr></thead><tbody>
  ${findings.map((each) => html`<tr key=${each.figure} title=${each.text}><th scope="row"><span class="verdict ${each.outcome === "fail" ? "bad" : ""}">${each.outcome === "fail" ? html`<${FailIcon} size=${14} />` : html`<${Icon} name=${GLYPHS[each.outcome]} size=${14} />`} ${each.figure.replaceAll("_", " ")}<span class="hidden">(${each.outcome})</span></span></th>
    <td class="figure strong">${each.value === null ? "none" : share(each.value, 1)}</td><td class="figure muted">${share(each.bound, 1)}</td><td class="figure muted">${count(each.failed)} of ${count(each.of)}</td></tr>`)}</tbody></table>`;
