// History: what was done, by whom, and why; and the way back.
import { Refused } from "./api.js";
import { Change } from "./changes.js";
import { Figures, Finding } from "./finding.js";
import { FailIcon, Icon } from "./icons.js";
import { undoHindrance } from "./rights.js";
import { ActButton, Command, Failed, Loading, Moment } from "./pieces.js";
import { author, day, several } from "./words.js";
import { Component, html } from "./view.js";

export const WANTS = ["revisions", "switches", "replicas", "reloads"];

const ICONS = { token: "person", certificate: "person", proxy: "person", socket: "person" };
const PAGE = 100;

export class History extends Component {
  constructor() {
    super();
    /** What was read, by number: the newest page moves on. */
    this.seen = new Map();
    this.state = { isEnd: false, isAsking: false, problem: "", alone: null };
  }

  componentDidMount() {
    this.find();
  }

  componentDidUpdate() {
    this.find();
  }

  /** All that were read, from the newest on, without a gap. */
  all() {
    const all = [...this.props.store.part("revisions").value.revisions];
    for (const each of all) this.seen.set(each.number, each);
    for (let next = all.at(-1)?.number - 1; this.seen.has(next); next -= 1) all.push(this.seen.get(next));
    return all;
  }

  /** Read those before the last that is shown. */
  async more() {
    const { store } = this.props;
    if (this.state.isAsking || store.isAway) return;
    this.setState({ isAsking: true, problem: "" });
    try {
      const { revisions } = await store.api.ask(`revisions?limit=${PAGE}&before=${this.all().at(-1).number}`);
      for (const each of revisions) this.seen.set(each.number, each);
      this.setState({ isEnd: revisions.length < PAGE, isAsking: false });
    } catch (error) {
      this.setState({ isAsking: false, problem: error.message });
    }
  }

  /** Read the one that the address names, where it is older than what is shown. */
  async find() {
    const { store, route } = this.props;
    const wanted = route.rest;
    if (!store.part("revisions").value || !/^\d{1,15}$/.test(wanted) || this.state.alone?.wanted === wanted) return;
    if (this.all().some((each) => String(each.number) === wanted)) return;
    this.setState({ alone: { wanted, revision: null } });
    try {
      this.setState({ alone: { wanted, revision: await store.api.ask(`revisions/${wanted}`) } });
    } catch (error) {
      // Away: it is asked for again with the next answer of the list.
      if (!(error instanceof Refused)) this.setState({ alone: null });
    }
  }

  render({ store, open, route, go }, { isEnd, isAsking, problem, alone }) {
    const { value, problem: unread } = store.part("revisions");
    if (unread && !value) return html`<h1>History</h1><${Failed} what="the history" problem=${unread} />`;
    if (!value) return html`<h1>History</h1><${Loading} what="the history" lines=${6} />`;
    const all = this.all();
    const chosenSwitch = route.query.get("switch") ?? "";
    const chosenAuthor = route.query.get("by") ?? "";
    const shown = all.filter((each) => (!chosenSwitch || each.scope.includes(chosenSwitch)) && (!chosenAuthor || author(each.author).name === chosenAuthor));
    const named = all.find((each) => String(each.number) === route.rest) ?? (alone?.wanted === route.rest ? alone.revision : null);
    const chosen = named ?? (route.rest ? null : shown[0]);
    const hasMore = !isEnd && all.length >= PAGE && all.at(-1).number > 1;
    const filter = (name, text) => {
      const query = new URLSearchParams(route.query);
      if (text) query.set(name, text);
      else query.delete(name);
      go(`#/history${query.size ? `?${query}` : ""}`);
    };
    const select = (name, label, options, now) => html`<label class="filter">${label} <select class="field" value=${now} onChange=${(event) => filter(name, event.target.value)}><option value="">all</option>${options.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select></label>`;
    const more = html`<div class="pad">${hasMore ? html`<button type="button" class="button" aria-disabled=${isAsking || store.isAway} onClick=${() => this.more()}>${isAsking ? "Reading older ones" : "Older ones"}</button>` : html`<p class="small muted">There are no older ones that are kept.</p>`}
      ${problem ? html`<p class="bad small" role="alert">Not read: ${problem}.</p>` : null}</div>`;
    const reloads = chosenSwitch || chosenAuthor ? [] : reloadsOf(store);
    return html`<header class="row wrap"><h1>History</h1><span class="small muted">${several(all.length, "revision")}${hasMore ? ", the newest" : ""}. Every change, by whom, and why.</span>
      <div class="acts">${select("switch", "Switch", [...new Set(all.flatMap((each) => each.scope))].sort(), chosenSwitch)}${select("by", "By", [...new Set(all.map((each) => author(each.author).name))].sort(), chosenAuthor)}
      ${all.length ? html`<${ActButton} why=${undoHindrance(store, all.slice(0, 1))} onClick=${() => open("undo", {})}><${Icon} name="undo" size=${14} />Undo ${all[0].number}…<//>` : null}</div></header>
    ${all.length === 0 ? html`<section class="panel"><h2>Nothing was changed yet</h2><p class="muted">All is as the configuration says. <a href="#/switches">Switches</a> is where a change begins; each will be here, with who made it and why.</p></section>`
      : html`<div class="split"><section class="panel list" aria-label="Revisions">${shown.length ? days([...shown, ...reloads.filter((each) => each.at >= shown.at(-1).at)], chosen, route) : html`<p class="muted pad">No revision that was read matches these filters. <a href="#/history">Show all</a></p>`}${more}</section>
        <section class="panel" aria-label="One revision">${chosen ? detail(chosen, all, store, open) : html`<p class="muted">There is no revision ${route.rest}, or it is not kept any more.</p>`}</section></div>`}`;
  }
}

/** The newest reloads of the process that answers. */
function reloadsOf(store) {
  return (store.part("reloads").value?.reloads ?? []).map((reload) => ({ at: reload.ended, reload }));
}

function days(shown, chosen, route) {
  const groups = [];
  for (const each of shown.sort((one, other) => other.at - one.at)) {
    const name = day(each.at);
    if (groups.at(-1)?.name !== name) groups.push({ name, rows: [] });
    groups.at(-1).rows.push(each);
  }
  const query = route.query.size ? `?${route.query}` : "";
  return groups.map((group) => html`<div key=${group.rows.at(-1).at}><h2 class="day">${group.name}</h2><ol class="revisions">${group.rows.map((each) => (each.reload ? reloadRow(each) : html`<li key=${each.number}>
    <a data-row href="#/history/${each.number}${query}" aria-current=${each === chosen ? "true" : null}><span><strong>r${each.number}</strong><br /><span class="code muted small"><${Moment} at=${each.at} isAlone=${false} /></span></span>
      <span class="grow"><${Change} revision=${each} /><br /><span class="small muted">${each.reason}</span></span>
      <span class="small nowrap ${each.kind === "guard" ? "bad strong" : ""}">${each.kind === "guard" ? html`<${FailIcon} size=${14} />` : html`<${Icon} name=${ICONS[author(each.author).by] ?? "steps"} size=${14} />`} ${author(each.author).name}</span></a></li>`))}</ol></div>`);
}

const reloadRow = ({ at, reload }) => html`<li key="reload-${at}"><div class="reload"><span><strong aria-hidden="true">·</strong><br /><span class="code muted small"><${Moment} at=${at} /></span></span>
  <span class="grow">${reload.succeeded ? "files read anew" : html`<span class="bad">a reload failed</span>`}<br /><span class="small muted">${reload.succeeded ? html`serving <code>${reload.serving.slice(0, 12)}</code>${reload.needs_restart.length ? `; needs a restart: ${reload.needs_restart.join(", ")}` : ""}` : reload.problems[0]?.text ?? ""}</span></span>
  <span class="small nowrap">reload</span></div></li>`;

function detail(each, all, store, open) {
  const replicas = store.part("replicas").value?.replicas ?? [];
  const has = replicas.filter((one) => one.revision >= each.number).length;
  const { name, by } = author(each.author);
  const isNewest = each === all[0];
  const taken = all.filter((one) => one.number > (isNewest ? each.number - 1 : each.number));
  const why = undoHindrance(store, taken);
  return html`<header class="row wrap"><h2>Revision ${each.number}</h2>${each.kind === "guard" ? html`<span class="verdict bad"><${FailIcon} size=${14} /> taken back by the guard</span>` : null}<span class="small muted"><${Moment} at=${each.at} withDay=${true} withSeconds=${true} /></span>
      <div class="acts">${isNewest ? html`<${ActButton} why=${why} onClick=${() => open("undo", {})}><${Icon} name="undo" size=${14} />Undo…<//>` : html`<${ActButton} why=${why} onClick=${() => open("undo", { to: each.number })}><${Icon} name="restore" size=${14} />Restore revision ${each.number}…<//>`}</div></header>
    ${each.finding ? html`<${Finding} finding=${each.finding} />` : html`<p class="sentence">${each.reason}</p>`}
    <dl class="pairs"><dt>By</dt><dd>${name} <span class="muted">${[by, each.role].filter(Boolean).join(", ")}</span></dd>
      <dt>What</dt><dd>${each.kind}${each.all_off ? ", everything is off since" : ""}</dd><dt>Open sockets</dt><dd>${each.open_sockets.replace("_", " ")}</dd>
      <dt>In force</dt><dd>${replicas.length ? `on ${has} of ${several(replicas.length, "replica")}` : "not known: the store is away"}</dd><dt>Configuration</dt><dd><code>${each.configuration.slice(0, 12)}</code></dd></dl>
    ${each.findings.length ? html`<h3 class="title">All figures of the guard</h3><${Figures} findings=${each.findings} />` : null}
    ${each.cut ? html`<p class="small muted">There was more of it than is kept.</p>` : null}
    ${each.outlived.length ? html`<p class="small">Brought back for good, because its time was over: ${each.outlived.join(", ")}.</p>` : null}
    ${each.scope.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="What was changed"><table><thead><tr><th scope="col">switch</th><th scope="col">before</th><th scope="col">after</th></tr></thead><tbody>${each.scope.map((one) => html`<tr key=${one}><th scope="row"><code>${one}</code></th><td>${stateOf(each.before[one])}</td><td>${stateOf(each.after[one])}</td></tr>`)}</tbody></table></div>` : null}
    <${Command} command=${isNewest ? `segue undo --reason "..."` : `segue undo --to ${each.number} --reason "..."`} />`;
}

function stateOf(state) {
  if (!state) return html`<span class="muted">not kept</span>`;
  return html`${state.setting ?? "as configured"}${state.exceptions.map((each) => html`<br /><span class="small">except ${each}</span>`)}${state.until ? html`<br /><span class="small muted">until <${Moment} at=${state.until} withDay=${true} /></span>` : null}`;
}
