// Dialogs that ask for a reason, and say what comes of it: everything off, as set again, undo, acts on a ramp.
import { Dialog } from "./dialog.js";
import { Icon } from "./icons.js";
import { Change } from "./changes.js";
import { Conflict } from "./conflict.js";
import { Refused } from "./api.js";
import { pathOf } from "./store.js";
import { consequence } from "./switches.js";
import { author, several, written } from "./words.js";
import { Component, html } from "./view.js";

/** A reason, a sentence, and one button that says what it does. */
class OrderDialog extends Component {
  constructor(props) {
    super(props);
    this.state = { reason: "", typed: "", step: 1, sockets: "keep", busy: false, problem: "", conflict: null };
    /** The revision that it is made against; null where none is asked for. */
    this.expected = null;
    /** The switch that it is about; empty for all. */
    this.about = "";
  }

  /** @param {Event} event @param {() => Promise<any>} order */
  async send(event, order) {
    event.preventDefault();
    if (this.state.busy || this.props.store.isAway || !this.state.reason.trim()) return;
    this.setState({ busy: true, problem: "" });
    try {
      this.props.made(await order());
    } catch (error) {
      const isStale = error instanceof Refused && error.status === 412;
      if (isStale) await this.props.store.refresh(["switches", "revisions"]);
      this.setState({ busy: false, ...(isStale ? { conflict: error.message } : { problem: error.message }) });
    }
  }

  /** What others did since it was opened; to be shown in its place. */
  conflict() {
    const { store, onClose } = this.props;
    const newest = this.newest();
    const since = (store.part("revisions").value?.revisions ?? []).filter((each) => each.number > this.expected && (!this.about || each.scope.includes(this.about)));
    const again = () => {
      this.expected = newest;
      this.setState({ conflict: null });
    };
    return html`<${Conflict} since=${since} text=${this.state.conflict} again="Look at it again, from r${newest}…" onAgain=${again} onClose=${onClose} />`;
  }

  /** The revision against which it would be made now. */
  newest() {
    const view = this.props.store.part("switches").value;
    return this.about ? view.switches.find((each) => each.switch === this.about)?.revision : view.revision;
  }

  reasonField() {
    return html`<label for="order-reason">Reason <span class="plain muted">required; goes into the history and the audit</span></label>
      <textarea id="order-reason" class="field" rows="2" maxlength="1000" required data-first value=${this.state.reason}
        onInput=${(event) => this.setState({ reason: event.target.value })}></textarea>`;
  }

  socketsField() {
    return html`<div class="row wrap fieldset"><label for="order-sockets">Open sockets</label><select id="order-sockets" class="field" value=${this.state.sockets} onChange=${(event) => this.setState({ sockets: event.target.value })}>
      <option value="keep">keep what they have</option><option value="next_message">follow from the next message</option><option value="reconnect">are closed and come back</option></select></div>`;
  }

  problem() {
    return this.state.problem ? html`<p class="bad" role="alert"><strong>Not applied.</strong> ${this.state.problem}</p>` : null;
  }

  off() {
    return this.state.busy || this.props.store.isAway || !this.state.reason.trim();
  }
}

export class EverythingOff extends OrderDialog {
  render({ store, onClose }, { step, typed, reason }) {
    const switches = store.part("switches").value?.switches ?? [];
    const exceptions = switches.reduce((sum, each) => sum + each.exceptions.length, 0);
    const fleet = store.part("replicas").value?.replicas.length ?? 1;
    const isTyped = typed.trim().toLowerCase() === "off";
    const next = (event) => {
      event.preventDefault();
      if (reason.trim()) this.setState({ step: 2 });
    };
    const order = () => store.api.ask("switches/all-off", { method: "POST", body: { reason: reason.trim() } });
    const send = (event) => {
      if (isTyped) this.send(event, order);
      else event.preventDefault();
    };
    return html`<${Dialog} key=${step} label="Turn everything off" onClose=${onClose}><form class="dialog-form" onSubmit=${step === 1 ? next : send} noValidate>
      <header><h2>Turn everything off? Step ${step} of 2</h2></header>
      <div class="body"><p>All ${several(switches.length, "switch", "switches")}${exceptions ? ` and ${several(exceptions, "exception")}` : ""} go off at once, on ${several(fleet, "replica")}, on open sockets from the next message on. <strong>${consequence(store.part("flow").value)}</strong> Sessions go on. What is set now comes back with one step.</p>
        ${step === 1 ? this.reasonField() : html`<label for="typed">Type <code>off</code> to confirm</label><input id="typed" class="field code" autocomplete="off" spellcheck="false" data-first value=${typed} onInput=${(event) => this.setState({ typed: event.target.value })} />`}${this.problem()}</div>
      <footer><p class="small muted">${step === 1 ? "Nothing happens yet." : ""}</p>${step === 1 ? html`<button type="button" class="button" onClick=${onClose}>Cancel</button><button class="button danger" aria-disabled=${!reason.trim()}>Go on…</button>`
        : html`<button type="button" class="button" onClick=${() => this.setState({ step: 1, typed: "" })}>Back</button><button class="button go danger" aria-disabled=${!isTyped || this.off()}><${Icon} name="off" size=${14} />Turn everything off</button>`}</footer></form><//>`;
  }
}

export class RestoreAll extends OrderDialog {
  constructor(props) {
    super(props);
    this.expected = props.store.part("switches").value.revision;
  }

  render({ store, onClose }, { reason, sockets, conflict }) {
    if (conflict) return this.conflict();
    const order = () => store.api.ask("switches/restore", { method: "POST", body: { reason: reason.trim(), open_sockets: sockets }, revision: this.expected });
    const set = (store.part("switches").value?.switches ?? []).map((each) => `${each.switch} ${each.set_to}`);
    return html`<${Dialog} label="Switches as they are set" onClose=${onClose}><form class="dialog-form" onSubmit=${(event) => this.send(event, order)} noValidate><header><h2>Switches as they are set again</h2></header>
      <div class="body"><p>It ends that everything is off: ${set.join(", ")}.</p>${this.socketsField()}${this.reasonField()}${this.problem()}</div>
      <footer><p class="small muted">Made against revision ${this.expected}.</p><button type="button" class="button" onClick=${onClose}>Cancel</button><button class="button go" aria-disabled=${this.off()}>Set ${several(set.length, "switch", "switches")} again</button></footer></form><//>`;
  }
}

export class Undo extends OrderDialog {
  constructor(props) {
    super(props);
    this.expected = props.store.part("revisions").value.revisions[0].number;
  }

  newest() {
    return this.props.store.part("revisions").value.revisions[0].number;
  }

  render({ store, onClose, to }, { reason, sockets, conflict }) {
    if (conflict) return this.conflict();
    const revisions = store.part("revisions").value.revisions;
    const back = to ?? this.expected - 1;
    const taken = revisions.filter((each) => each.number > back && each.number <= this.expected);
    const order = () => store.api.ask("undo", { method: "POST", body: { reason: reason.trim(), open_sockets: sockets, ...(to === undefined ? {} : { to }) }, revision: this.expected });
    const words = to === undefined ? `Undo revision ${this.expected}` : back === 0 ? "Set all as configured" : `Restore revision ${back}`;
    return html`<${Dialog} label=${words} onClose=${onClose}><form class="dialog-form" onSubmit=${(event) => this.send(event, order)} noValidate><header><h2>${words}?</h2></header>
      <div class="body"><p>${several(this.expected - back, "change is", "changes are")} taken back, by a new revision:</p><ul class="plain-list">${taken.slice(0, 8).map((each) => html`<li key=${each.number}><strong>r${each.number}</strong> <${Change} revision=${each} /> <span class="muted small">· ${author(each.author).name}: ${each.reason}</span></li>`)}</ul>${this.expected - back > 8 ? html`<p class="small muted">and ${this.expected - back - 8} more</p>` : null}
        ${this.socketsField()}${this.reasonField()}${this.problem()}</div>
      <footer><p class="small muted">Made against revision ${this.expected}. If somebody changes something first, nothing is applied.</p><button type="button" class="button" onClick=${onClose}>Cancel</button><button class="button go" aria-disabled=${this.off()}>${words}</button></footer></form><//>`;
  }
}

const ACTS = {
  pause: ["Pause the ramp", "It takes no step until it is resumed. Its guard goes on judging."],
  resume: ["Resume the ramp", "It goes on; the time of its step begins anew."],
  next: ["Take the next step now", "Whatever the ramp waits for: its guard has not passed it."],
  stop: ["Stop the ramp", "The switch stays what it is."],
};

export class RampAct extends OrderDialog {
  render({ store, onClose, name, what }, { reason, sockets }) {
    const [words, text] = ACTS[what];
    const order = () => store.api.ask(`switches/${pathOf(name)}/ramp/${what}`, { method: "POST", body: { reason: reason.trim(), ...(what === "next" ? { open_sockets: sockets } : {}) } });
    return html`<${Dialog} label=${words} onClose=${onClose}><form class="dialog-form" onSubmit=${(event) => this.send(event, order)} noValidate><header><h2>${words} of <code>${name}</code>?</h2></header>
      <div class="body"><p>${text}</p>${what === "next" ? this.socketsField() : null}${this.reasonField()}${this.problem()}</div>
      <footer><button type="button" class="button" onClick=${onClose}>Cancel</button><button class="button go" aria-disabled=${this.off()}>${words}</button></footer></form><//>`;
  }
}

const PACES = { 600: "10 minutes", 3600: "1 hour", 21600: "6 hours", 86400: "1 day" };

/** Have a switch rise by itself. */
export class StartRamp extends OrderDialog {
  constructor(props) {
    super(props);
    this.about = props.name;
    this.expected = this.newest();
    this.state = { ...this.state, steps: "shadow, 1%, 10%, 50%, on", every: "3600" };
  }

  render({ store, onClose, name }, { reason, sockets, steps, every, conflict }) {
    if (conflict) return this.conflict();
    const each = store.part("switches").value.switches.find((one) => one.switch === name);
    const listed = steps.split(",").map((each) => each.trim()).filter(Boolean);
    const body = { steps: listed, every: Number(every), reason: reason.trim(), open_sockets: sockets };
    const order = () => store.api.ask(`switches/${pathOf(name)}/ramp`, { method: "POST", body, revision: this.expected });
    return html`<${Dialog} label="Ramp ${name}" onClose=${onClose}><form class="dialog-form" onSubmit=${(event) => this.send(event, order)} noValidate><header><h2>Ramp <code>${name}</code></h2></header>
      <div class="body"><p>It rises by itself, step by step, as long as its guard passes. The first step above ${each.set_to} is taken at once. A guard that fails takes it back.</p>
        <div><label for="steps">Steps</label><input id="steps" class="field code full" autocomplete="off" spellcheck="false" value=${steps} onInput=${(event) => this.setState({ steps: event.target.value })} /></div>
        <div class="row wrap fieldset"><label for="every">Each for at least</label><select id="every" class="field" value=${every} onChange=${(event) => this.setState({ every: event.target.value })}>${Object.entries(PACES).map(([key, text]) => html`<option key=${key} value=${key}>${text}</option>`)}</select></div>
        ${this.socketsField()}${this.reasonField()}${this.problem()}</div>
      <footer><p class="small muted">Made against revision ${this.expected}.</p><button type="button" class="button" onClick=${onClose}>Cancel</button><button class="button go" aria-disabled=${this.off()}>Begin a ramp of ${several(listed.length, "step")}</button></footer></form><//>`;
  }
}

/** Take an exception of a switch away: its versions get what all others get. */
export class DropException extends OrderDialog {
  constructor(props) {
    super(props);
    this.about = props.name;
    this.expected = this.newest();
  }

  render({ store, onClose, name, exception }, { reason, sockets, conflict }) {
    if (conflict) return this.conflict();
    const each = store.part("switches").value.switches.find((one) => one.switch === name);
    const found = each.exceptions.find((one) => one.name === exception);
    const order = () => {
      const query = new URLSearchParams({ reason: reason.trim(), open_sockets: sockets });
      return store.api.ask(`switches/${pathOf(name)}/exceptions/${exception}?${query}`, { method: "DELETE", revision: this.expected });
    };
    return html`<${Dialog} label="Drop ${exception}" onClose=${onClose}><form class="dialog-form" onSubmit=${(event) => this.send(event, order)} noValidate><header><h2>Drop <code>${exception}</code> of <code>${name}</code>?</h2></header>
      <div class="body"><p>${found ? html`Clients <code>${found.versions}</code> have ${written(found.state, found.percent)} now; then they have ${each.set_to}, as all others.` : "It is gone already."}</p>${this.socketsField()}${this.reasonField()}${this.problem()}</div>
      <footer><p class="small muted">Made against revision ${this.expected}.</p><button type="button" class="button" onClick=${onClose}>Cancel</button><button class="button go" aria-disabled=${this.off()}>Drop ${exception}</button></footer></form><//>`;
  }
}
