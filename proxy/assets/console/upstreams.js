// Upstreams: how each server is, and what this process asks of it.
import { FailIcon, Icon } from "./icons.js";
import { Band, Command, Failed, Loading, Moment } from "./pieces.js";
import { count, rate, several } from "./words.js";
import { html } from "./view.js";

export const WANTS = ["upstreams", "flow", "replicas"];

const WORDS = {
  healthy: ["ok", "check", "healthy"],
  "half-open": ["hold", "hourglass", "one request is tried"],
  ejected: ["bad", "", "left alone, because it failed"],
  unhealthy: ["bad", "", "its probes fail"],
};

/** @param {any} each whether a server gets its share of requests */
export const isWell = (each) => each.health === "healthy" && each.reachable && !each.trouble;

/** The sentence at the top. @param {any[]} upstreams */
export function said(upstreams) {
  const bad = upstreams.filter((each) => !isWell(each));
  if (!bad.length) return { kind: "ok", title: upstreams.length === 1 ? "The server is well." : `All ${upstreams.length} servers are well.`, text: "The next request goes to the one with the fewest requests and WebSockets." };
  const title = bad.length === 1 ? `${bad[0].target} fails.` : `${bad.length} of ${upstreams.length} servers fail.`;
  const rest = upstreams.length - bad.length;
  return { kind: "bad", title, text: rest ? `${several(rest, "other gets", "others get")} the requests. Segue is well.` : "There is no other: it is asked all the same. Segue is well." };
}

export function Upstreams({ store, route }) {
  const { value, problem } = store.part("upstreams");
  const heading = html`<h1>Upstreams</h1>`;
  if (problem && !value) return html`${heading}<${Failed} what="how the servers are" problem=${problem} />`;
  if (!value) return html`${heading}<${Loading} what="how the servers are" lines=${4} />`;
  const flow = store.part("flow").value;
  const fleet = store.part("replicas").value?.replicas.length ?? 1;
  const { kind, title, text } = said(value.upstreams);
  return html`<header class="row wrap">${heading}<span class="small muted">As the process that answers sees them${fleet > 1 ? ` (1 of ${fleet})` : ""}; counts since its start.</span></header>
    <${Band} kind=${kind} title=${title}>${text}<//>
    ${value.upstreams.map((each) => html`<${Server} key=${each.target} each=${each} flow=${flow} isChosen=${route.rest === each.target} />`)}
    <${Command} command="segue status" />`;
}

function Server({ each, flow, isChosen }) {
  const [kind, icon, words] = isWell(each) || each.health !== "healthy" ? WORDS[each.health] : ["bad", "", each.reachable ? "fails; there is no other" : "cannot be reached"];
  const rates = flow?.upstreams.find((one) => one.upstream === each.target);
  const kinds = (flow?.upstream_kinds ?? []).filter((one) => one.upstream === each.target).slice(0, 6);
  return html`<section class="panel ${isChosen ? "chosen" : ""} ${kind === "bad" ? "danger-edge" : ""}" data-row tabindex="0" aria-label=${each.target}>
    <header class="row wrap"><h2 class="code">${each.target}</h2><span class="verdict ${kind}">${icon ? html`<${Icon} name=${icon} size=${14} />` : html`<${FailIcon} size=${14} />`} ${words}</span>
      ${each.down_since ? html`<span class="small">since <${Moment} at=${each.down_since} withDay=${true} /></span>` : null}</header>
    ${each.trouble ? html`<p class="sentence">${each.trouble}</p>` : null}
    <div class="cells"><div><h3>Now</h3><p class="main-figure">${count(each.websockets)} <small>open WebSockets</small></p><p>${several(each.requests, "request")} on the way</p></div>
      <div><h3>Messages, ${flow ? `over ${Math.round(flow.seconds)} s` : "not read yet"}</h3><p class="main-figure">${rates ? rate(rates.to_client) : "0"} <small>/s to clients</small></p><p>${rates ? rate(rates.to_server) : "0"}/s to the server</p></div>
      <div><h3>HTTP and handshakes</h3><p class="main-figure">${rates ? rate(rates.exchanges) : "0"} <small>/s</small></p><p>${several(each.failures, "failure")} since the start</p></div>
      <div><h3>What it speaks <span class="plain">(1 in 32 messages)</span></h3>${kinds.length ? html`<ul class="plain-list">${kinds.map((one) => html`<li key=${one.kind}><code>${one.kind}</code> <span class="muted">about ${rate(one.per_second)}/s</span></li>`)}</ul>` : html`<p class="small muted">No kind was seen lately.</p>`}</div></div></section>`;
}
