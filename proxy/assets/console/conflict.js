// Not applied, because somebody was faster: what they did, and the two ways on. Nothing of what was typed is lost.
import { Change } from "./changes.js";
import { Dialog } from "./dialog.js";
import { Moment } from "./pieces.js";
import { author } from "./words.js";
import { html } from "./view.js";

/**
 * Props: since, the revisions that came meanwhile, the newest first; text, what the API said; again, words of
 * the button with which it is tried from there; onAgain, onClose. Children: columns, in place of the list.
 */
export function Conflict({ since, text, again, onAgain, onClose, children }) {
  const by = since.length ? author(since[0].author).name : "somebody";
  return html`<${Dialog} key="conflict" label="Not applied" onClose=${onClose} wide=${true}>
    <header><h2>Not applied: ${by} changed it first</h2></header>
    <div class="conflict scroll" tabindex="0" role="region" aria-label="What was changed">${children ?? (since.length ? meanwhile(since) : html`<p>${text}</p>`)}
      <p class="small muted">Your reason and choices are kept.</p></div>
    <footer><button type="button" class="button go" data-first onClick=${onClose}>Leave it as ${by} set it</button>
      <button type="button" class="button" onClick=${onAgain}>${again}</button></footer><//>`;
}

const MOST = 8;

const meanwhile = (since) => html`<table><thead><tr><th scope="col">revision</th><th scope="col">at</th><th scope="col">what</th><th scope="col">by</th><th scope="col">why</th></tr></thead>
  <tbody>${since.slice(0, MOST).map((each) => html`<tr key=${each.number}><th scope="row">r${each.number}</th><td class="nowrap"><${Moment} at=${each.at} withSeconds=${true} /></td><td><${Change} revision=${each} /></td><td>${author(each.author).name}</td><td>${each.reason}</td></tr>`)}</tbody></table>
  ${since.length > MOST ? html`<p class="small muted">and ${since.length - MOST} more</p>` : null}`;
