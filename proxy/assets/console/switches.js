// Switches: where each is, whom it reaches, whether it is well, who is behind.
import { FailIcon, Icon, StateIcon } from "./icons.js";
import { ActButton, Badge, Command, Failed, Loading, Moment } from "./pieces.js";
import { author, count, duration, rate, several, share, written } from "./words.js";
import { Component, createRef, html } from "./view.js";

export const WANTS = ["switches", "flow", "mappings", "replicas", "revisions", "guards"];

const STATES = ["off", "shadow", "canary", "on"];
const FOLD_FROM = 8;

/** Whether somebody may turn switches of a cohort. @param {any} who @param {string} name */
export function mayTurn(who, name) {
  if (!who || !["operator", "admin"].includes(who.role)) return false;
  return who.cohorts === null || who.cohorts.includes(name.split("/")[0]);
}

/** Why a switch cannot be turned by whoever looks, now; of all of them without a name; empty where it can. */
export function hindrance(store, name = "") {
  if (!["operator", "admin"].includes(store.who.role)) return "needs operator";
  if (!(name ? mayTurn(store.who, name) : mayTurnAll(store.who))) return "not with this token";
  if (store.isAway) return "disconnected";
  return store.part("switches").value?.authority === "file" ? "the file decides" : "";
}

export function Switches({ store, open, route }) {
  const [switches, flow, mappings, , revisions, guards] = WANTS.map((name) => store.part(name));
  if (switches.problem && !switches.value) return html`<h1>Switches</h1><${Failed} what="the switches" problem=${switches.problem} />`;
  if (!switches.value) return html`<h1>Switches</h1><${Loading} what="the switches" lines=${6} />`;
  const view = switches.value;
  const exceptions = view.switches.reduce((sum, each) => sum + each.exceptions.length, 0);
  const decides = view.authority === "file" ? "The configuration decides here. Edit switches in the file and reload." : "The store decides; the file gave the first states.";
  const rows = view.switches.length > FOLD_FROM ? byRest(view.switches) : view.switches;
  return html`<header class="row wrap"><h1>Switches</h1>
      <span class="small muted">${several(view.switches.length, "switch", "switches")}, ${several(exceptions, "exception")}. ${decides}</span></header>
    ${troubles(view)}
    ${view.all_off ? html`<${AllOff} store=${store} open=${open} revisions=${revisions.value} />` : null}
    ${view.switches.length ? null : html`<section class="panel"><h2>No switches</h2><p class="muted">No cohort of the configuration names a mapping. A cohort with <code>websocket: {to_client: [NAME]}</code> makes one.</p></section>`}
    ${rows.map((each) => html`<${Row} key=${each.switch} each=${each} view=${view} flow=${flow.value} mapping=${mappings.value?.mappings.find((one) => one.name === each.switch.split("/")[1])}
      revision=${revisions.value?.revisions.find((one) => one.number === each.revision)} guard=${guards.value?.[each.switch]} store=${store} open=${open}
      isChosen=${route.rest === each.switch} isFolded=${view.switches.length > FOLD_FROM && each.state === each.configured.split(" ")[0] && !each.sockets_behind && route.rest !== each.switch} />`)}
    ${view.all_off || !view.switches.length ? null : html`<section class="panel danger-edge row wrap"><div><h2>Everything off</h2>
      <p class="small muted">Segue passes all messages as they are; sessions go on. ${consequence(flow.value)} Asks twice.</p></div>
      <div class="acts"><${ActButton} why=${hindrance(store)} kind="danger" onClick=${() => open("everything-off", {})}><${Icon} name="off" size=${14} />Everything off…<//></div></section>`}`;
}

/** Whether somebody may turn all of them. @param {any} who */
export const mayTurnAll = (who) => Boolean(who) && ["operator", "admin"].includes(who.role) && who.cohorts === null;

/** Whom it would touch, in figures. @param {any} flow */
export function consequence(flow) {
  const mapped = (flow?.messages ?? []).filter((row) => row.outcome === "mapped").reduce((sum, row) => sum + row.per_second, 0);
  return mapped ? `${rate(mapped)} messages a second would no longer be rewritten.` : "Nothing is being rewritten at the moment.";
}

const byRest = (switches) => [...switches].sort((one, other) => Number(other.differs) - Number(one.differs));

function troubles(view) {
  const said = [];
  if (view.store !== "up") said.push(`Changes are refused: the store of switches is away (${view.store}). Traffic goes on with revision ${view.revision}.`);
  if (view.stored !== view.revision) said.push(`This process is on revision ${view.revision}; the newest in the store is ${view.stored}.`);
  if (view.unapplied.length) said.push(`Set in the store, and not known here: ${view.unapplied.join(", ")}.`);
  if (view.orphans.length) said.push(`Set, and named by no cohort any more: ${view.orphans.join(", ")}.`);
  if (!view.kept) said.push("The store is memory: changes are lost with the process.");
  return said.map((text) => html`<p key=${text} class="notice" role="status"><${Icon} name="warning" size=${14} /> ${text}</p>`);
}

function AllOff({ store, open, revisions }) {
  const made = (revisions?.revisions ?? []).find((each) => each.kind === "all-off");
  return html`<section class="band hold" aria-label="Everything is off"><span class="band-glyph"><${Icon} name="off" size=${18} /></span>
    <div><strong>Everything is off.</strong><div>Messages pass as they came.${made ? html` By ${author(made.author).name} at <${Moment} at=${made.at} />: ${made.reason}` : null}</div></div>
    <div class="acts"><${ActButton} why=${hindrance(store)} onClick=${() => open("restore", {})}><${Icon} name="restore" size=${14} />Switches as set…<//></div></section>`;
}

class Row extends Component {
  constructor() {
    super();
    this.box = createRef();
  }

  componentDidMount() {
    if (this.props.isChosen) this.box.current.focus();
  }

  componentDidUpdate(before) {
    if (this.props.isChosen && !before.isChosen) this.box.current.focus();
  }

  render({ each, view, flow, mapping, revision, guard, store, open, isFolded }) {
    const why = hindrance(store, each.switch);
    const change = () => open("change", { name: each.switch });
    return html`<section ref=${this.box} class="panel switch" tabindex="-1" data-row data-switch=${each.switch} aria-label=${each.switch}>
      <header class="row switch-head"><h2 class="code">${each.switch}</h2><${Badge} state=${each.state} percent=${each.percent} />
        <span class="small muted grow">${about(mapping, each)}</span>
        <div class="acts"><${ActButton} why=${why} kind="go" onClick=${change}>Change state…<//>
        ${(guard?.ramp ?? each.ramp)?.status === "running" || each.set_to === "on" ? null : html`<${ActButton} why=${why} onClick=${() => open("start-ramp", { name: each.switch })}>Ramp…<//>`}
        <a class="button" href="#/history?switch=${encodeURIComponent(each.switch)}">History</a></div></header>
      ${isFolded ? null : html`<div class="cells">
        <div><h3>State, revision ${each.revision}</h3>${track(each)}<p class="small muted">${setBy(each, revision)}</p></div>
        <div><h3>Traffic, now</h3>${traffic(each, flow)}</div>
        <div><h3>Guard</h3>${guardCell(each, guard)}</div>
        <div><h3>Open sockets</h3>${sockets(each, view)}</div></div>
        ${rampLine(each, guard, why, (what) => open("ramp", { name: each.switch, what }))}
        ${each.exceptions.map((exception) => html`<${Exception} key=${exception.name} exception=${exception} why=${why} change=${() => open("change", { name: each.switch, exception: exception.name })} />`)}
        <${Command} command=${`segue switch set ${each.switch} ${each.state}${each.state === "canary" ? ` --percent ${each.percent}` : ""} --if-revision ${each.revision} --reason "..."`} />`}
    </section>`;
  }
}

function about(mapping, each) {
  const [, name] = each.switch.split("/");
  if (!mapping) return name;
  const [cohort] = each.switch.split("/");
  const use = mapping.used_by.find((one) => one.cohort === cohort);
  const where = use ? `${use.channel === "websocket" ? "WebSocket" : use.route}, ${use.direction === "to_client" ? "to client" : "to server"}` : "";
  return `${mapping.description} ${where}`;
}

const track = (each) => html`<div class="track" role="img" aria-label="${written(each.state, each.percent)}, of off, shadow, canary, on">
  ${STATES.map((state) => html`<span key=${state} class=${state === each.state ? "is" : ""}><${StateIcon} state=${state} percent=${state === "canary" ? each.percent ?? 25 : null} />${state}</span>`)}</div>`;

function setBy(each, revision) {
  const file = each.differs ? ` The file says ${each.configured}.` : " The file says so too.";
  const term = each.term.until ? html` ${each.term.restore ? "Ends" : "To be looked at"} at <${Moment} at=${each.term.until} withDay=${true} />${each.term.overdue ? ": overdue" : ""}.` : null;
  if (!each.revision) return html`As configured.${each.set_to === each.state ? "" : ` Set to ${each.set_to}.`}`;
  const by = revision ? html`Set by <strong>${author(revision.author).name}</strong> at <${Moment} at=${revision.at} />: “${revision.reason}”.` : `Set by revision ${each.revision}.`;
  return html`${by}${term}${file}`;
}

function traffic(each, flow) {
  if (!flow) return html`<${Loading} what="the traffic" lines=${2} />`;
  const [cohort, mapping] = each.switch.split("/");
  const rates = flow.switches.find((one) => one.switch === each.switch);
  const mapped = rates?.messages.mapped ?? 0;
  const failed = rates?.messages.failed ?? 0;
  const way = flow.messages.find((row) => row.cohort === cohort && row.mapping.split("+").includes(mapping))?.direction;
  const all = flow.messages.filter((row) => row.cohort === cohort && (!way || row.direction === way)).reduce((sum, row) => sum + row.per_second, 0);
  const shadow = Object.entries(rates?.shadow ?? {});
  return html`<${Bar} part=${mapped} whole=${all} /><p><strong>${rate(mapped)} of ${rate(all)}/s</strong> rewritten</p>
    ${failed ? html`<p class="bad"><strong>${rate(failed)}/s failed</strong> (${share(failed, mapped + failed)})</p>` : null}
    <p class="small muted">${each.state === "shadow" ? `Clients get the originals.${shadow.length ? ` Copies: ${shadow.map(([outcome, value]) => `${outcome} ${rate(value)}/s`).join(", ")}.` : ""}` : each.users ? `About ${count(each.users.inside)} users in the canary, ${count(each.users.outside)} not (± ${share(each.users.error, 1)}).` : "In this process, over the last seconds."}</p>`;
}

/** A bar of two parts: solid, and hatched for the rest. */
export const Bar = ({ part, whole }) => html`<svg class="bar" width="100%" height="12" aria-hidden="true">
  <rect class="ground" width="100%" height="12" /><rect class="rest" width="100%" height="12" /><rect class="part" width=${`${whole ? (100 * part) / whole : 0}%`} height="12" /></svg>`;

const VERDICTS = { pass: ["ok", "check"], fail: ["bad", ""], inconclusive: ["hold", "hourglass"] };

function guardCell(each, guard) {
  if (each.state === "off") return html`<p class="small muted">It is off: nothing to judge.</p>`;
  if (!guard) return html`<p class="small muted">Not read yet.</p>`;
  if (!guard.outcome) return html`<p class="verdict muted"><${Icon} name="off" size=${14} /> no verdict</p><p class="small muted">${capital(guard.unjudged)}.</p>`;
  const [kind, icon] = VERDICTS[guard.outcome];
  return html`<p><span class="verdict ${kind}">${icon ? html`<${Icon} name=${icon} size=${14} />` : html`<${FailIcon} size=${14} />`} ${guard.outcome}</span>
    <span class="small muted"> ${several(guard.messages, "message")}${guard.mode === "observe" ? ", observes only" : ""}</span></p>
    ${guard.findings.length ? html`<table class="tight small"><thead><tr><th scope="col">figure</th><th scope="col" class="figure">now</th><th scope="col" class="figure">bound</th></tr></thead><tbody>
      ${guard.findings.map((found) => html`<tr key=${found.figure} title=${found.text}><td>${found.figure.replaceAll("_", " ")}</td><td class="figure strong">${ofFinding(found, found.value)}</td><td class="figure muted">${ofFinding(found, found.bound)}</td></tr>`)}</tbody></table>` : null}
    ${guard.missing.length ? html`<p class="small muted">Missing: ${guard.missing.join("; ")}.</p>` : null}
    ${guard.latched ? html`<p class="small">A guard has set it: only a person raises it again.</p>` : null}`;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A value as its finding tells it: a share where it counts out of many. */
const ofFinding = (found, value) => (value === null ? "none" : found.of === null || found.of === undefined ? String(Number(value.toPrecision(3))) : `${Number((100 * value).toPrecision(3))}%`);

/** The ramp of a switch: steps that are done, and to come. */
function rampLine(each, guard, why, act) {
  const ramp = guard?.ramp ?? each.ramp;
  if (!ramp) return null;
  const next = ramp.steps.indexOf(ramp.step);
  const button = (what, words) => html`<${ActButton} why=${why} kind="small-button" onClick=${() => act(what)}>${words}<//>`;
  return html`<div class="ramp row wrap"><strong class="small">Ramp ${ramp.status}</strong>
    <ol class="ramp-steps small">${ramp.steps.map((step, index) => html`<li key=${step} class=${next < 0 || index < next ? "done" : "to-come"}>${step}<span class="hidden">${next < 0 || index < next ? ", done" : ", to come"}</span></li>`)}</ol>
    <span class="small muted">every ${duration(ramp.every)}${ramp.held ? `; held for ${duration(ramp.held)}: ${ramp.why.join("; ")}` : ""}</span>
    <div class="acts">${ramp.status === "running" ? button("pause", "Pause…") : ramp.status === "finished" ? null : button("resume", "Resume…")}
      ${ramp.status === "finished" ? null : html`${button("next", "Next step now…")}${button("stop", "Stop…")}`}</div></div>`;
}

function sockets(each, view) {
  const [cohort] = each.switch.split("/");
  const rows = view.sockets.filter((row) => row.cohort === cohort);
  const all = rows.reduce((sum, row) => sum + row.websockets, 0);
  const older = rows.filter((row) => row.revision !== view.revision && row.websockets);
  const behind = each.sockets_behind;
  return html`<${Bar} part=${all - behind} whole=${all} /><p><strong>${behind ? `${count(behind)} of ${count(all)} on older revisions` : all ? `All ${count(all)} on revision ${view.revision}` : "None open"}</strong></p>
    ${behind ? html`<p class="small muted">${older.map((row) => `r${row.revision}: ${count(row.websockets)}`).join(", ")}. They end by themselves.</p>` : null}`;
}

const Exception = ({ exception, why, change }) => html`<div class="exception row wrap"><strong class="code">${exception.name}</strong>
  <${Badge} state=${exception.state} percent=${exception.percent} /><span class="small">exception for clients <code>${exception.versions}</code>${exception.term.owner ? ` · ${exception.term.owner} answers for it` : ""}</span>
  <span class="end"><${ActButton} why=${why} kind="small-button" onClick=${change}>Change…<//></span></div>`;
