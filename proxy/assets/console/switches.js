// Switches: where each is, whom it reaches, whether it is well, who is behind.
import { FailIcon, Icon, StateIcon } from "./icons.js";
import { ActButton, Badge, Command, Failed, Loading, Moment } from "./pieces.js";
import { height, hindrance } from "./rights.js";
import { author, count, duration, rate, several, share, written } from "./words.js";
import { Component, createRef, html } from "./view.js";

export const WANTS = ["switches", "flow", "mappings", "replicas", "revisions", "guards"];

const STATES = ["off", "shadow", "canary", "on"];
const FOLD_FROM = 8;

export function Switches({ store, open, route }) {
  const [switches, flow, mappings, , revisions, guards] = WANTS.map((name) => store.part(name));
  if (switches.problem && !switches.value) return html`<h1>Switches</h1><${Failed} what="the switches" problem=${switches.problem} />`;
  if (!switches.value) return html`<h1>Switches</h1><${Loading} what="the switches" lines=${6} />`;
  const view = switches.value;
  const exceptions = view.switches.reduce((sum, each) => sum + each.exceptions.length, 0);
  const decides = view.authority === "file" ? "The configuration decides here. Edit switches in the file and reload." : "The store decides; the file gave the first states.";
  const rows = view.switches.length > FOLD_FROM ? byRest(view.switches) : view.switches;
  return html`<header class="row wrap"><h1>Switches</h1>
      <span class="small muted">${several(view.switches.length, "switch", "switches")}, ${several(exceptions, "exception")}. ${decides}</span>
      ${view.switches.length ? html`<div class="acts"><button type="button" class="button" onClick=${() => open("export", {})}>Export as YAML…</button></div>` : null}</header>
    ${troubles(view)}
    ${view.all_off ? html`<${AllOff} store=${store} open=${open} revisions=${revisions.value} />` : null}
    ${view.switches.length ? null : html`<section class="panel"><h2>No switches</h2><p class="muted">No cohort of the configuration names a mapping. A cohort with <code>websocket: {to_client: [NAME]}</code> makes one.</p></section>`}
    ${rows.map((each) => html`<${Row} key=${each.switch} each=${each} view=${view} flow=${flow.value} mapping=${mappings.value?.mappings.find((one) => one.name === each.switch.split("/")[1])}
      revision=${revisions.value?.revisions.find((one) => one.number === each.revision)} guard=${guards.value?.[each.switch]} store=${store} open=${open}
      isChosen=${route.rest === each.switch} isFolded=${view.switches.length > FOLD_FROM && isAtRest(each, guards.value?.[each.switch]) && route.rest !== each.switch} />`)}
    ${view.all_off || !view.switches.length ? null : html`<section class="panel danger-edge row wrap"><div><h2>Everything off</h2>
      <p class="small muted">Segue passes all messages as they are; sessions go on. ${consequence(flow.value)} Asks twice.</p></div>
      <div class="acts"><${ActButton} why=${hindrance(store)} kind="danger" onClick=${() => open("everything-off", {})}><${Icon} name="off" size=${14} />Everything off…<//></div></section>`}`;
}

/** Whom it would touch, in figures. @param {any} flow */
export function consequence(flow) {
  const mapped = (flow?.messages ?? []).filter((row) => row.outcome === "mapped").reduce((sum, row) => sum + row.per_second, 0);
  return mapped ? `${rate(mapped)} messages a second would no longer be rewritten.` : "Nothing is being rewritten at the moment.";
}

const byRest = (switches) => [...switches].sort((one, other) => Number(other.differs) - Number(one.differs));

/** Whether nothing is to be seen of a switch but that it is there. */
const isAtRest = (each, guard) => !each.differs && !each.sockets_behind && !each.term.overdue && !(guard?.ramp ?? each.ramp) && guard?.outcome !== "fail";

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
    <div class="acts"><${ActButton} why=${hindrance(store, "", true)} onClick=${() => open("restore", {})}><${Icon} name="restore" size=${14} />Switches as set…<//></div></section>`;
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
    const rises = hindrance(store, each.switch, true);
    const name = each.switch;
    const lowest = store.who.only_lowers && each.set_to === "off" ? rises : why;
    return html`<section ref=${this.box} class="panel switch" tabindex="-1" data-row data-switch=${each.switch} aria-label=${each.switch}>
      <header class="row switch-head"><h2 class="code">${each.switch}</h2><${Badge} state=${each.state} percent=${each.percent} />
        <span class="small muted grow">${isFolded ? summary(each, flow, guard) : about(mapping, each)}</span>
        <div class="acts">${isFolded ? html`<a class="button" href="#/switches/${name}" aria-label="Show ${name}">Show</a>` : null}<${ActButton} why=${lowest} kind="go" onClick=${() => open("change", { name })}>Change state…<//>
        ${(guard?.ramp ?? each.ramp)?.status === "running" || each.set_to === "on" ? null : html`<${ActButton} why=${rises} onClick=${() => open("start-ramp", { name })}>Ramp…<//>`}
        <a class="button" href="#/history?switch=${encodeURIComponent(each.switch)}">History</a></div></header>
      ${isFolded ? null : html`<div class="cells">
        <div><h3>State, revision ${each.revision}</h3>${track(each)}<p class="small muted">${setBy(each, revision)}</p></div>
        <div><h3>Traffic, now</h3>${trafficCell(each, flow)}</div>
        <div><h3>Guard</h3>${guardCell(each, guard)}</div>
        <div><h3>Open sockets</h3>${sockets(each, view)}</div></div>
        ${rampLine(each, guard, revision, { why, rises }, (what) => open("ramp", { name, what }))}
        ${each.exceptions.map((exception) => html`<${Exception} key=${exception.name} exception=${exception} why=${why} dropping=${dropHindrance(store, each, exception)} change=${() => open("change", { name, exception: exception.name })} drop=${() => open("drop", { name, exception: exception.name })} />`)}
        <div class="row wrap row-foot"><${Command} command=${`segue switch set ${each.switch} ${each.state}${each.state === "canary" ? ` --percent ${each.percent}` : ""} --if-revision ${each.revision} --reason "..."`} /><${ActButton} why=${lowest} kind="small-button end" onClick=${() => open("change", { name, isNew: true })}>Exception…<//></div>`}
    </section>`;
  }
}

/** What the header line of a folded row says besides: share, verdict, and who is behind. */
function summary(each, flow, guard) {
  const { mapped, all } = traffic(each, flow);
  const verdict = each.state === "off" ? "" : (guard?.outcome ?? "no verdict");
  return [`${rate(mapped)} of ${rate(all)}/s rewritten`, verdict && `guard: ${verdict}`, each.sockets_behind ? `${count(each.sockets_behind)} sockets behind` : "no socket behind"].filter(Boolean).join(" · ");
}

/** Why an exception cannot be taken away: what is for all may be more than what is for its versions. */
function dropHindrance(store, each, exception) {
  return hindrance(store, each.switch, height(each.set_to) > height(written(exception.state, exception.percent)));
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

/** Messages each second of the direction that a switch is for: those that it maps and fails on, and all of the cohort. */
function traffic(each, flow) {
  const [cohort, mapping] = each.switch.split("/");
  const rates = flow?.switches.find((one) => one.switch === each.switch);
  const messages = flow?.messages ?? [];
  const way = messages.find((row) => row.cohort === cohort && row.mapping.split("+").includes(mapping))?.direction;
  const all = messages.filter((row) => row.cohort === cohort && (!way || row.direction === way)).reduce((sum, row) => sum + row.per_second, 0);
  return { mapped: rates?.messages.mapped ?? 0, failed: rates?.messages.failed ?? 0, shadow: Object.entries(rates?.shadow ?? {}), all };
}

function trafficCell(each, flow) {
  if (!flow) return html`<${Loading} what="the traffic" lines=${2} />`;
  const { mapped, failed, shadow, all } = traffic(each, flow);
  return html`<${Bar} part=${mapped} whole=${all} /><p><strong>${rate(mapped)} of ${rate(all)}/s</strong> rewritten</p>
    ${failed ? html`<p class="bad"><strong>${rate(failed)}/s failed</strong> (${share(failed, mapped + failed)})</p>` : null}
    <p class="small muted">${each.state === "shadow" ? `Clients get the originals.${shadow.length ? ` Copies: ${shadow.map(([outcome, value]) => `${outcome} ${rate(value)}/s`).join(", ")}.` : ""}` : each.users ? `About ${several(each.users.inside, "user")} in the canary, ${count(each.users.outside)} not (± ${share(each.users.error, 1)}).` : "In this process, over the last seconds."}</p>`;
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

/** The ramp of a switch: steps that are done, taken back by the guard, and to come. */
function rampLine(each, guard, revision, { why, rises }, act) {
  const ramp = guard?.ramp ?? each.ramp;
  if (!ramp) return null;
  const next = ramp.steps.indexOf(ramp.step);
  const back = revision?.kind === "guard" ? revision.before[each.switch]?.setting : null;
  const is = (step, index) => (step === back ? "taken back" : next < 0 || index < next ? "done" : "to come");
  const button = (what, words, hinders) => html`<${ActButton} why=${hinders} kind="small-button" onClick=${() => act(what)}>${words}<//>`;
  return html`<div class="ramp row wrap"><strong class="small">Ramp ${ramp.status}${back && ramp.status === "stopped" ? " by the guard" : ""}</strong>
    <ol class="ramp-steps small">${ramp.steps.map((step, index) => html`<li key=${step} class=${is(step, index).replace(" ", "-")}>${step}${step === back ? html` taken back <${Moment} at=${revision.at} />` : html`<span class="hidden">, ${is(step, index)}</span>`}</li>`)}</ol>
    <span class="small muted">every ${duration(ramp.every)}${ramp.held ? `; held for ${duration(ramp.held)}: ${ramp.why.join("; ")}` : ""}</span>
    <div class="acts">${ramp.status === "running" ? button("pause", "Pause…", why) : ramp.status === "finished" ? null : button("resume", "Resume…", rises)}
      ${ramp.status === "finished" ? null : html`${button("next", "Next step now…", rises)}${button("stop", "Stop…", why)}`}</div></div>`;
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

const Exception = ({ exception, why, dropping, change, drop }) => html`<div class="exception row wrap"><strong class="code">${exception.name}</strong>
  <${Badge} state=${exception.state} percent=${exception.percent} /><span class="small">exception for clients <code>${exception.versions}</code>${exception.term.owner ? ` · ${exception.term.owner} answers for it` : ""}${exception.term.until ? html` · ${exception.term.restore ? "ends" : "to be looked at"} <${Moment} at=${exception.term.until} withDay=${true} />` : null}${exception.term.overdue ? html` · <strong>overdue</strong>` : null}</span>
  <span class="acts"><${ActButton} why=${why} kind="small-button" aria-label="Change ${exception.name}…" onClick=${change}>Change…<//><${ActButton} why=${dropping} kind="small-button" aria-label="Drop ${exception.name}…" onClick=${drop}>Drop…<//></span></div>`;
