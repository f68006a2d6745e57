// Small pieces that several pages have.
import { FailIcon, Icon, StateIcon } from "./icons.js";
import { clock, day, utc, written } from "./words.js";
import { html } from "./view.js";

/** The state of a switch: a glyph and a word, no hue. @param {{state: string, percent?: number|null}} props */
export const Badge = ({ state, percent = null }) => html`
  <span class="badge ${state}"><${StateIcon} state=${state} percent=${percent} />${written(state, percent)}</span>`;

/**
 * A moment in the reader's zone; UTC on hover, on focus, and for screen readers.
 * @param {{at: number}} props `isAlone` is false within a link, whose focus shows it
 */
export const Moment = ({ at, withDay = false, withSeconds = false, isAlone = true }) => html`
  <time class="moment" datetime=${new Date(at * 1000).toISOString()} data-utc=${utc(at)} tabindex=${isAlone ? 0 : null}>
    ${withDay ? `${day(at)}, ` : ""}${clock(at, withSeconds)}<span class="hidden"> (${utc(at)})</span></time>`;

/**
 * A control that cannot be used stays, and says why not: a role that is too low, no connection.
 * @param {{why: string, kind?: string, children?: any}} props `why` is empty where it can be used
 */
export const ActButton = ({ why, kind = "", children, ...rest }) =>
  why === ""
    ? html`<button type="button" class="button ${kind}" ...${rest}>${children}</button>`
    : html`<button type="button" class="button ${kind}" aria-disabled="true" title=${why} aria-label=${rest["aria-label"] ? `${rest["aria-label"]} ${why}` : null}>
        ${children} <span class="small">${why}</span></button>`;

/** The sentence at the top: what is well, what is not, and the act beside it. */
export const Band = ({ kind, title, children, acts }) => html`
  <section class="band ${kind}" aria-label="State">
    <span class="band-glyph">${kind === "bad"
      ? html`<${FailIcon} size=${24} />`
      : html`<${Icon} name=${kind === "hold" ? "hourglass" : "check"} size=${kind === "hold" ? 18 : 24} />`}</span>
    <div><strong>${title}</strong><div>${children}</div></div>
    ${acts ? html`<div class="acts">${acts}</div>` : null}
  </section>`;

/** What comes, in its shape, after 300 ms. @param {{lines?: number, what: string}} props */
export const Loading = ({ lines = 3, what }) => html`
  <div class="loading" role="status"><span class="hidden">Loading ${what}</span>
    ${Array.from({ length: lines }, (_, index) => html`<div key=${index} class="line line-${index % 3}"></div>`)}</div>`;

/** What could not be read, and what still works. */
export const Failed = ({ what, problem }) => html`
  <section class="panel failed" role="alert"><h2><${FailIcon} size=${14} /> Not read: ${what}</h2>
    <p>${problem.message}.</p><p class="small muted">Traffic goes on with what is in force. It is asked for again by itself.</p></section>`;

/** Put a text where it can be pasted; a browser refuses that on a page without TLS, and then it can be marked. @param {string} text */
export const copy = (text) => navigator.clipboard?.writeText(text);

/** Something to copy: the same as a command. @param {{command: string}} props */
export const Command = ({ command }) => html`
  <details class="command"><summary>As a command</summary>
    <div class="row"><code>${command}</code>
      <button type="button" class="button small-button" onClick=${() => copy(command)}>Copy</button></div>
  </details>`;
