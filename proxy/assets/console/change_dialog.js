// Change a switch: left what one chooses, right what it does, from a dry run that is renewed with each choice.
import { Conflict } from "./conflict.js";
import { Dialog } from "./dialog.js";
import { Icon, StateIcon } from "./icons.js";
import { Badge, Moment } from "./pieces.js";
import { Bar } from "./switches.js";
import { Refused } from "./api.js";
import { height } from "./rights.js";
import { pathOf } from "./store.js";
import { author, count, rate, setting, several, share, written } from "./words.js";
import { Component, html } from "./view.js";

const STATES = ["off", "shadow", "canary", "on"];
const SHARES = [1, 10, 50];
const OPEN_SOCKETS = {
  keep: ["Keep", "stays as it is; new ones follow.", "stay as they are; new ones follow."],
  next_message: ["From the next message", "changes dialect in mid-session.", "change dialect in mid-session."],
  reconnect: ["Reconnect", "is closed and comes back.", "are closed, a few at a time, and come back."],
};
const ENDS = { "": "No time", 3600: "1 hour", 86400: "1 day", 604800: "1 week" };
const LABEL = /^[a-z0-9_-]{1,63}$/;
const WOULD_FAIL = 0.01;
const RENEW_AFTER = 250;

export class ChangeDialog extends Component {
  constructor({ store, name, exception, isNew }) {
    super();
    const each = current(store, name);
    this.opened = each;
    const now = exception ? each.exceptions.find((one) => one.name === exception) : null;
    // Versions of a new exception have what the switch is for all.
    this.before = now ? { state: now.state, percent: now.percent } : setting(each.set_to);
    this.state = {
      versions: now?.versions ?? "",
      label: "",
      state: this.before.state,
      percent: this.before.percent ?? 10,
      sockets: "keep",
      ends: "",
      restore: false,
      reason: "",
      dry: null,
      problem: "",
      busy: false,
      conflict: null,
    };
  }

  componentDidMount() {
    this.renew();
  }

  componentWillUnmount() {
    clearTimeout(this.timer);
    this.gone = true;
  }

  /** For which versions it is: null for all that are in no exception. */
  versions() {
    return this.isException() ? this.state.versions.trim() : null;
  }

  isException() {
    return Boolean(this.props.isNew || this.props.exception);
  }

  exceptionName() {
    return this.props.exception ?? this.state.label.trim();
  }

  choose(more) {
    this.setState(more, () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.renew(), RENEW_AFTER);
    });
  }

  order(more) {
    const { state, percent, sockets, ends, restore } = this.state;
    return {
      state,
      ...(state === "canary" ? { percent: Number(percent) } : {}),
      open_sockets: sockets,
      ...(this.isException() ? { versions: this.versions(), name: this.exceptionName() } : {}),
      ...(ends ? { seconds: Number(ends), restore } : {}),
      ...more,
    };
  }

  /** Ask; null where it was not done: whoever was faster is shown, and whatever else is wrong is said. */
  async ask(body) {
    try {
      return await this.props.store.api.ask(`switches/${pathOf(this.props.name)}`, { method: "PUT", body, revision: this.opened.revision });
    } catch (error) {
      if (this.gone) return null;
      if (error instanceof Refused && error.status === 412) await this.changedMeanwhile(error);
      else this.setState({ dry: null, problem: error.message });
      return null;
    }
  }

  renew() {
    this.renewing = this.askDry();
    return this.renewing;
  }

  async askDry() {
    const asked = this.key();
    if (this.state.busy) return;
    if (!this.isChange() || !validShare(this.state) || this.lacks()) {
      this.setState({ dry: null });
      return;
    }
    const dry = await this.ask(this.order({ reason: this.state.reason.trim() || "dry run", dry_run: true }));
    if (dry && !this.gone && asked === this.key()) this.setState({ dry: { ...dry, key: asked }, problem: "" });
  }

  key() {
    const { state, percent } = this.state;
    return `${written(state, percent)} ${this.opened.revision} ${this.versions()} ${this.exceptionName()}`;
  }

  isChange() {
    const { state, percent, ends } = this.state;
    const before = this.opened.exceptions.find((one) => one.name === this.props.exception)?.versions ?? null;
    return Boolean(ends) || this.versions() !== before || written(state, state === "canary" ? Number(percent) : null) !== written(this.before.state, this.before.percent);
  }

  async send(event) {
    event.preventDefault();
    if (this.why()) return;
    this.setState({ busy: true, problem: "" });
    // A dry run that came behind the change would find that somebody was faster: one that is due is not made.
    clearTimeout(this.timer);
    await this.renewing;
    if (this.gone) return;
    if (this.state.conflict) {
      this.setState({ busy: false });
      return;
    }
    const made = await this.ask(this.order({ reason: this.state.reason.trim() }));
    if (made) this.props.made(made);
    else if (!this.gone) this.setState({ busy: false });
  }

  async changedMeanwhile(error) {
    const { store, name } = this.props;
    await store.refresh(["switches", "revisions"]);
    const theirs = current(store, name);
    const revision = store.part("revisions").value?.revisions.find((each) => each.number === theirs.revision);
    this.setState({ conflict: { theirs, revision, text: error.message } });
  }

  /** What an exception lacks; empty where it is one. */
  lacks() {
    if (!this.isException()) return "";
    if (!this.versions()) return "Say for which versions, such as ==2.1.3.";
    return LABEL.test(this.exceptionName()) ? "" : "Its name has small letters, digits, - and _, at most 63.";
  }

  /** Why the button is off; empty where it is not. */
  why() {
    const { reason, busy } = this.state;
    if (this.props.store.isAway) return "Disconnected.";
    if (busy) return "On its way.";
    if (!validShare(this.state)) return "A share is from 0 to 100, with two decimals at most.";
    if (this.lacks()) return this.lacks();
    if (!this.isChange()) return "Nothing is changed yet.";
    if (!reason.trim()) return "Say why. It goes into the history and the audit.";
    return "";
  }

  /** Whether somebody who may only lower cannot set a state. */
  isTooHigh(state) {
    const before = written(this.before.state, this.before.percent);
    return this.props.store.who.only_lowers && height(state === "canary" ? "canary 0%" : state) > height(before);
  }

  danger() {
    const { state, sockets, dry } = this.state;
    if (sockets === "reconnect") return "Open sockets are closed.";
    if (state === "off" && this.before.state !== "off" && this.before.state !== "shadow") return "Clients get messages as the server sends them: kinds that they may not know.";
    const shadow = dry?.shadow;
    if (shadow?.compared && shadow.would_fail / shadow.compared > WOULD_FAIL) return `${share(shadow.would_fail, shadow.compared)} of the messages would fail.`;
    return "";
  }

  render({ store, name, exception, isNew, onClose }, values) {
    if (values.conflict) return this.conflict();
    const { state, percent, sockets, ends, restore, reason, dry, problem } = values;
    const why = this.why();
    const danger = this.danger();
    const newer = current(store, name);
    const meanwhile = newer && newer.revision !== this.opened.revision;
    const touched = dry && dry.key === this.key() ? dry : null;
    const words = written(state, Number(percent));
    return html`<${Dialog} label="Change ${name}" onClose=${onClose} wide=${true}><form class="dialog-form" onSubmit=${(event) => this.send(event)} noValidate>
      <header><h2>${isNew ? "Make an exception of" : "Change"} <code>${name}</code>${exception ? html`, <code>${exception}</code>` : null}</h2>
        <span class="row"><${Badge} ...${this.before} /><span aria-label="to">→</span><${Badge} state=${state} percent=${Number(percent)} /></span>
        <span class="small muted end">Esc leaves everything as it is</span></header>
      <div class="two"><div>
        ${this.isException() ? html`<div class="fieldset exception-fields"><div><label for="versions">Client versions</label><input id="versions" class="field code" autocomplete="off" spellcheck="false" maxlength="256" placeholder="==2.1.3" data-first=${isNew || null} value=${values.versions} onInput=${(event) => this.choose({ versions: event.target.value })} /></div>
          ${isNew ? html`<div><label for="exception-name">Name</label><input id="exception-name" class="field code" autocomplete="off" spellcheck="false" maxlength="63" placeholder="broken-2-1-3" value=${values.label} onInput=${(event) => this.choose({ label: event.target.value })} /></div>` : null}</div>` : null}
        <fieldset><legend>New state${this.versions() ? ` for clients ${this.versions()}` : ""}</legend><div class="choices">${STATES.map((each) => html`<label key=${each} class="choice"><input type="radio" name="state" value=${each} checked=${state === each} disabled=${this.isTooHigh(each)} data-first=${(!isNew && state === each) || null} onChange=${() => this.choose({ state: each })} />
          <span><${StateIcon} state=${each} percent=${each === "canary" ? Number(percent) : null} />${each}</span></label>`)}</div>
          ${store.who.only_lowers ? html`<p class="small muted">This token only lowers: what is dashed needs another.</p>` : null}
          ${state === "canary" ? html`<div class="row wrap share"><label for="share">Share</label><input id="share" class="field share-field" type="number" inputmode="decimal" min="0" max="100" step="0.01" value=${percent} onInput=${(event) => this.choose({ percent: event.target.value })} /><span>% of users</span>
            <span class="end row">${SHARES.map((each) => html`<button key=${each} type="button" class="chip" aria-pressed=${Number(percent) === each} onClick=${() => this.choose({ percent: each })}>${each}%</button>`)}</span></div>` : null}</fieldset>
        <fieldset><legend>Open sockets</legend>${Object.entries(OPEN_SOCKETS).map(([key, [title, one, many]]) => html`<label key=${key} class="option"><input type="radio" name="sockets" value=${key} checked=${sockets === key} onChange=${() => this.choose({ sockets: key })} />
          <span><strong>${key === "reconnect" ? html`<${Icon} name="warning" size=${14} /> ` : null}${title}</strong><span class="small muted">${touched?.websockets ? several(touched.websockets, "socket") : "Sockets"} ${touched?.websockets === 1 ? one : many}</span></span></label>`)}</fieldset>
        <div class="row wrap fieldset"><label for="ends">For</label><select id="ends" class="field" value=${ends} onChange=${(event) => this.choose({ ends: event.target.value })}>${Object.entries(ENDS).map(([key, text]) => html`<option key=${key} value=${key}>${text}</option>`)}</select>
          ${ends ? html`<label class="check"><input type="checkbox" checked=${restore} onChange=${(event) => this.choose({ restore: event.target.checked })} /><span>then as before by itself</span></label>` : null}</div>
        <label for="reason">Reason <span class="plain muted">required; goes into the history and the audit</span></label>
        <textarea id="reason" class="field" rows="2" maxlength="1000" required value=${reason} onInput=${(event) => this.setState({ reason: event.target.value })}></textarea>
      </div><div aria-live="polite"><h3 class="title">What it touches</h3>${effect(store, name, touched, this.isChange(), problem)}</div></div>
      <footer><p class="small muted">${meanwhile ? html`<strong class="bad">Revision ${newer.revision} changed it meanwhile.</strong> ` : null}${danger ? html`<strong class="bad">${danger}</strong> ` : null}<span id="why-not">${why || `Made against revision ${this.opened.revision}. If somebody changes it first, nothing is applied and you see what they did.`}</span></p>
        <button type="button" class="button" onClick=${onClose}>Cancel</button>
        <button class="button go ${danger ? "danger" : ""}" aria-disabled=${Boolean(why)} aria-describedby="why-not">Set ${words}${reach(touched, name)}</button></footer>
    </form><//>`;
  }

  conflict() {
    const { theirs, revision, text } = this.state.conflict;
    const mine = { state: this.state.state, percent: Number(this.state.percent) };
    const again = () => {
      this.opened = theirs;
      this.setState({ conflict: null, problem: "" }, () => this.renew());
    };
    const by = revision ? author(revision.author).name : "somebody";
    return html`<${Conflict} since=${revision ? [revision] : []} text=${text} again="Change it again, from r${theirs.revision}…" onAgain=${again} onClose=${this.props.onClose}>
      <table><thead><tr><td></td><th scope="col">when you opened it</th><th scope="col">${by}${revision ? html`, <${Moment} at=${revision.at} withSeconds=${true} />` : null}, r${theirs.revision}</th><th scope="col">yours</th></tr></thead>
        <tbody><tr><th scope="row">state</th><td><${Badge} ...${setting(this.opened.set_to)} /></td><td><${Badge} ...${setting(theirs.set_to)} /></td><td><${Badge} ...${mine} /></td></tr>
        <tr><th scope="row">exceptions</th><td>${exceptionsOf(this.opened)}</td><td>${exceptionsOf(theirs)}</td><td>${this.versions() ? `${this.exceptionName()} (${this.versions()})` : html`<span class="muted">not touched</span>`}</td></tr>
        <tr><th scope="row">reason</th><td class="muted">revision ${this.opened.revision}</td><td>${revision ? `“${revision.reason}”` : text}</td><td>“${this.state.reason}”</td></tr></tbody></table><//>`;
  }
}

const exceptionsOf = (each) => each.exceptions.map((one) => html`<div key=${one.name}>${one.name} (<code>${one.versions}</code>) ${written(one.state, one.percent)}</div>`);

/** Whom it reaches at once, for the button. */
function reach(dry, name) {
  if (!dry) return "";
  if (dry.users) return ` for about ${several(dry.users, "user")}`;
  return dry.websockets ? ` for ${several(dry.websockets, "open socket")}` : ` for ${name.split("/")[0]}`;
}

const current = (store, name) => store.part("switches").value?.switches.find((each) => each.switch === name);

function validShare({ state, percent }) {
  const value = Number(percent);
  return state !== "canary" || (String(percent) !== "" && value >= 0 && value <= 100 && Math.abs(value * 100 - Math.round(value * 100)) < 1e-6);
}

function effect(store, name, dry, isChange, problem) {
  if (problem) return html`<p class="bad" role="alert">${problem}</p>`;
  if (!isChange) return html`<p class="muted">Choose a state: here is what it would do, before it does.</p>`;
  if (!dry) return html`<p class="muted">Asking what it would touch.</p>`;
  const [cohort] = name.split("/");
  const others = [...new Set((store.part("switches").value?.switches ?? []).map((each) => each.switch.split("/")[0]))].filter((each) => each !== cohort);
  const left = [...others, ...dry.exceptions_left_alone.map((each) => `${each} (exception)`)];
  const fleet = store.part("replicas").value?.replicas.length ?? 1;
  return html`<${Bar} part=${dry.websockets} whole=${dry.of_websockets} />
    <dl class="pairs"><dt>Sockets</dt><dd><strong>${count(dry.websockets)}</strong> of ${count(dry.of_websockets)} open in <strong>${cohort}</strong></dd>
      <dt>Users</dt><dd>${dry.users ? html`about <strong>${count(dry.users)}</strong> of these sockets` : "none with an open socket"}</dd>
      <dt>Messages</dt><dd>${dry.messages_per_second === null ? "not known yet" : html`<strong>${rate(dry.messages_per_second)}</strong>/s in the cohort`}</dd>
      <dt>Not touched</dt><dd>${left.join(", ") || "nothing else"}</dd>
      <dt>Direction</dt><dd>${dry.lowers ? "less is rewritten" : "more is rewritten"}</dd></dl>
    <p class="small muted">In the process that answered${fleet > 1 ? `, 1 of ${fleet}` : ""}.</p>
    ${dry.not_kept ? html`<p class="small"><strong>Not kept:</strong> ${dry.not_kept.owner ? `that ${dry.not_kept.owner} answers for it` : ""}${dry.not_kept.owner && dry.not_kept.until ? ", and " : ""}${dry.not_kept.until ? html`its time, <${Moment} at=${dry.not_kept.until} withDay=${true} />` : ""}.</p>` : null}
    ${dry.shadow ? shadowOf(dry.shadow) : dry.shadow_dropped ? html`<p class="small muted">It is in shadow and not compared: too many switches are.</p>` : null}`;
}

function shadowOf(shadow) {
  if (!shadow.compared) return html`<h3 class="title">What shadow saw</h3><p class="small muted">Nothing was compared yet: ${count(shadow.offered)} messages came by.</p>`;
  const row = (words, value, kind = "") => html`<tr class=${kind}><td>${words}</td><td class="figure strong">${count(value)}</td><td class="figure muted">${share(value, shadow.compared)}</td></tr>`;
  return html`<h3 class="title">What shadow saw</h3><p class="small muted">${count(shadow.compared)} of ${count(shadow.offered)} messages compared (${share(shadow.compared, shadow.offered)})</p>
    <${Bar} part=${shadow.would_map} whole=${shadow.compared} /><table class="tight small"><tbody>${row("would be mapped", shadow.would_map)}${row("would pass", shadow.would_pass)}${shadow.would_drop ? row("would be dropped", shadow.would_drop) : null}${row("would fail", shadow.would_fail, shadow.would_fail ? "bad" : "")}</tbody></table>
    ${shadow.rules.length ? html`<table class="tight small"><thead><tr><th scope="col">rule</th><th scope="col" class="figure">messages</th></tr></thead><tbody>${shadow.rules.slice(0, 8).map((each) => html`<tr key=${each.rule}><td class="code">${each.rule}</td><td class="figure">${count(each.messages)}</td></tr>`)}</tbody></table>` : null}`;
}
