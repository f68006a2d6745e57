// What was done to the switches, in words.
import { StateIcon } from "./icons.js";
import { setting } from "./words.js";
import { html } from "./view.js";

const KINDS = {
  "all-off": "everything off",
  restore: "no longer everything off",
  undo: "undo",
  follow: "the file was changed",
  expire: "its time was over",
  drop: "exception taken away",
  "restore-switch": "as configured again",
};

/** From which setting to which, with exceptions that came or went. @param {{revision: any}} props */
export function Change({ revision, withScope = true }) {
  if (!revision.scope.length || revision.kind === "all-off" || revision.kind === "restore") {
    return html`<span>${KINDS[revision.kind] ?? revision.kind}</span>`;
  }
  const [name] = revision.scope;
  const before = revision.before[name];
  const after = revision.after[name];
  const more = revision.scope.length > 1 ? ` and ${revision.scope.length - 1} more` : "";
  return html`<span>${withScope ? html`<code>${name}</code>${more} ` : null}${before && after ? html`<${Steps} before=${before} after=${after} />` : KINDS[revision.kind] ?? revision.kind}</span>`;
}

function Steps({ before, after }) {
  const came = after.exceptions.filter((each) => !before.exceptions.includes(each));
  const went = before.exceptions.filter((each) => !after.exceptions.includes(each));
  const isTurned = before.setting !== after.setting;
  return html`<span class="steps">${isTurned ? html`<${Setting} text=${before.setting} /> <span aria-label="to">→</span> <strong><${Setting} text=${after.setting} /></strong>` : null}
    ${came.map((each) => html` <span class="small">except ${each}</span>`)}${went.map((each) => html` <span class="small">no longer except ${each}</span>`)}</span>`;
}

function Setting({ text }) {
  if (text === null) return html`<span>as configured</span>`;
  const { state, percent } = setting(text);
  return html`<span class="nowrap"><${StateIcon} state=${state} percent=${percent} /> ${text}</span>`;
}
