// Dialogs that ask for a reason, and say what comes of it: everything off, as set again, undo, acts on a ramp.
import { Dialog } from "./dialog.js";
import { Icon } from "./icons.js";
import { Change } from "./changes.js";
import { Refused } from "./api.js";
import { pathOf } from "./store.js";
import { consequence } from "./switches.js";
import { author, several } from "./words.js";
import { Component, html } from "./view.js";

/** A reason, a sentence, and one button that says what it does. */
class OrderDialog extends Component {
  constructor() {
    super();
    this.state = { reason: "", typed: "", step: 1, sockets: "keep", busy: false, problem: "" };
  }

  /** @param {Event} event @param {() => Promise<any>} order */
  async send(event, order) {
    event.preventDefault();
    if (this.state.busy || this.props.store.isAway || !this.state.reason.trim()) return;
    this.setState({ busy: true, problem: "" });
    try {
      this.props.made(await order());
    } catch (error) {
      if (error instanceof Refused && error.status === 412) await this.props.store.refresh(["switches", "revisions"]);
      this.setState({ busy: false, problem: error.message });
    }
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
    this.revision = props.store.part("switches").value.revision;
  }

  render({ store, onClose }, { reason, sockets }) {
    const order = () => store.api.ask("switches/restore", { method: "POST", body: { reason: reason.trim(), open_sockets: sockets }, revision: this.revision });
    const set = (store.part("switches").value?.switches ?? []).map((each) => `${each.switch} ${each.set_to}`);
    return html`<${Dialog} label="Switches as they are set" onClose=${onClose}><form class="dialog-form" onSubmit=${(event) => this.send(event, order)} noValidate><header><h2>Switches as they are set again</h2></header>
      <div class="body"><p>It ends that everything is off: ${set.join(", ")}.</p>${this.socketsField()}${this.reasonField()}${this.problem()}</div>
      <footer><p class="small muted">Made against revision ${this.revision}.</p><button type="button" class="button" onClick=${onClose}>Cancel</button><button class="button go" aria-disabled=${this.off()}>Set ${several(set.length, "switch", "switches")} again</button></footer></form><//>`;
  }
}

export class Undo extends OrderDialog {
  constructor(props) {
    super(props);
    this.newest = props.store.part("revisions").value.revisions[0];
  }

  render({ store, onClose, to }, { reason, sockets }) {
    const revisions = store.part("revisions").value.revisions;
    const back = to ?? this.newest.number - 1;
    const taken = revisions.filter((each) => each.number > back && each.number <= this.newest.number);
    const order = () => store.api.ask("undo", { method: "POST", body: { reason: reason.trim(), open_sockets: sockets, ...(to === undefined ? {} : { to }) }, revision: this.newest.number });
    const words = to === undefined ? `Undo revision ${this.newest.number}` : back === 0 ? "Set all as configured" : `Restore revision ${back}`;
    return html`<${Dialog} label=${words} onClose=${onClose}><form class="dialog-form" onSubmit=${(event) => this.send(event, order)} noValidate><header><h2>${words}?</h2></header>
      <div class="body"><p>${several(taken.length, "change is", "changes are")} taken back, by a new revision:</p><ul class="plain-list">${taken.slice(0, 8).map((each) => html`<li key=${each.number}><strong>r${each.number}</strong> <${Change} revision=${each} /> <span class="muted small">· ${author(each.author).name}: ${each.reason}</span></li>`)}</ul>${taken.length > 8 ? html`<p class="small muted">and ${taken.length - 8} more</p>` : null}
        ${this.socketsField()}${this.reasonField()}${this.problem()}</div>
      <footer><p class="small muted">Made against revision ${this.newest.number}. If somebody changes something first, nothing is applied.</p><button type="button" class="button" onClick=${onClose}>Cancel</button><button class="button go" aria-disabled=${this.off()}>${words}</button></footer></form><//>`;
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
    this.each = props.store.part("switches").value.switches.find((each) => each.switch === props.name);
    this.state = { ...this.state, steps: "shadow, 1%, 10%, 50%, on", every: "3600" };
  }

  render({ store, onClose, name }, { reason, sockets, steps, every }) {
    const listed = steps.split(",").map((each) => each.trim()).filter(Boolean);
    const body = { steps: listed, every: Number(every), reason: reason.trim(), open_sockets: sockets };
    const order = () => store.api.ask(`switches/${pathOf(name)}/ramp`, { method: "POST", body, revision: this.each.revision });
    return html`<${Dialog} label="Ramp ${name}" onClose=${onClose}><form class="dialog-form" onSubmit=${(event) => this.send(event, order)} noValidate><header><h2>Ramp <code>${name}</code></h2></header>
      <div class="body"><p>It rises by itself, step by step, as long as its guard passes. The first step above ${this.each.set_to} is taken at once. A guard that fails takes it back.</p>
        <div><label for="steps">Steps</label><input id="steps" class="field code full" autocomplete="off" spellcheck="false" value=${steps} onInput=${(event) => this.setState({ steps: event.target.value })} /></div>
        <div class="row wrap fieldset"><label for="every">Each for at least</label><select id="every" class="field" value=${every} onChange=${(event) => this.setState({ every: event.target.value })}>${Object.entries(PACES).map(([key, text]) => html`<option key=${key} value=${key}>${text}</option>`)}</select></div>
        ${this.socketsField()}${this.reasonField()}${this.problem()}</div>
      <footer><p class="small muted">Made against revision ${this.each.revision}.</p><button type="button" class="button" onClick=${onClose}>Cancel</button><button class="button go" aria-disabled=${this.off()}>Begin a ramp of ${several(listed.length, "step")}</button></footer></form><//>`;
  }
}
