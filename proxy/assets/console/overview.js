// Overview: how it is, in one sentence, six figures, a picture, plots, and the latest changes.
import { Change } from "./changes.js";
import { FlowPicture } from "./flow_picture.js";
import { faultBounds, faultLines, messageLines, socketLines, total, within } from "./last_hour.js";
import { Band, Failed, Loading, Moment } from "./pieces.js";
import { Plot, Spark } from "./plots.js";
import { sentence } from "./sentence.js";
import { author, count, rate } from "./words.js";
import { html } from "./view.js";

export const WANTS = ["flow", "switches", "connections", "status", "replicas", "revisions", "last-hour", "guards"];

export function Overview({ store }) {
  const [flow, switches, connections, status, replicas, revisions, hour, guards] = WANTS.map((name) => store.part(name));
  const problem = [flow, switches, status].find((each) => each.problem && !each.value);
  if (problem) return html`<h1 class="hidden">Overview</h1><${Failed} what="how the process is" problem=${problem.problem} />`;
  if (!flow.value || !switches.value || !status.value) return html`<h1 class="hidden">Overview</h1><${Loading} what="how the process is" lines=${6} />`;
  const known = { flow: flow.value, switches: switches.value, status: status.value, replicas: replicas.value, revisions: revisions.value };
  const said = sentence(known);
  const fleet = replicas.value?.replicas.length ?? 1;
  return html`<h1 class="hidden">Overview</h1>
    <${Band} kind=${said.kind} title=${said.title}
      acts=${said.link ? html`<a class="button" href=${said.link.href}>${said.link.words}</a>` : null}>${said.text}<//>
    <${Figures} ...${known} hour=${hour.value} />
    <section class="panel" aria-labelledby="flow-title">
      <header class="row wrap"><h2 id="flow-title">Who gets what, now</h2><span class="dialect new" title="What the newest clients speak">new dialect</span>
        <span class="dialect old">old dialect</span><span class="dialect came">as it came</span>
        <span class="small muted">Width: messages to clients each second, over ${Math.round(flow.value.seconds)} s${fleet > 1 ? `, of the process that answered (1 of ${fleet})` : ""}. Where the colour changes, Segue rewrites.</span></header>
      <${FlowPicture} flow=${flow.value} switches=${switches.value} connections=${connections.value} status=${status.value} />
    </section>
    <div class="plots">${hour.value ? plots(hour.value, switches.value, revisions.value, guards.value) : html`<section class="panel"><${Loading} what="the last hour" /></section>`}
      <section class="panel" aria-labelledby="changes-title"><header class="row"><h2 id="changes-title">Latest changes</h2><a class="small end" href="#/history">History</a></header>
        ${latest(revisions)}</section></div>`;
}

function Figures({ flow, status, switches, hour }) {
  const messages = flow.messages.reduce((sum, row) => sum + row.per_second, 0);
  const sockets = switches.sockets.reduce((sum, row) => sum + row.websockets, 0);
  // Before the second point there is no rate, and nothing is not none.
  const isKept = hour && hour.times.length > 1;
  const line = (figure) => (hour ? total(hour, figure) : []);
  const last = (figure) => line(figure).findLast((each) => each !== null) ?? 0;
  return html`<section class="panel figures" aria-label="Now">
    <${Figure} name="Messages" value=${rate(messages)} unit="/s" line=${line("messages")} />
    <${Figure} name="Failed, last 10 min" value=${isKept ? count(within(hour, "failed", 600)) : "…"} unit=${isKept ? `of ${count(within(hour, "messages", 600))}` : ""} line=${line("failed")} />
    <${Figure} name="Segue's errors, 1 h" value=${isKept ? count(within(hour, "errors", 3600)) : "…"} unit="" line=${line("errors")} />
    <${Figure} name="Open sockets" value=${count(sockets)} unit="" line=${line("sockets")} />
    ${status.store.sessions
      ? html`<${Figure} name="Sessions in the store" value=${count(status.store.open)} unit="" line=${line("sessions")} />
        <${Figure} name="Refreshes" value=${rate(last("refreshes"))} unit="/s" line=${line("refreshes")} />`
      : html`<${Figure} name="Sessions" value="off" unit="" line=${[]} /><${Figure} name="Requests" value=${rate(flow.requests.reduce((sum, row) => sum + row.per_second, 0))} unit="/s" line=${[]} />`}
  </section>`;
}

const Figure = ({ name, value, unit, line }) => html`<div><h2 class="label">${name}</h2>
  <p class="main-figure">${value} <small>${unit}</small></p><${Spark} values=${line} /></div>`;

function plots(hour, switches, revisions, guards) {
  const marks = (revisions?.revisions ?? []).map((each) => ({ number: each.number, at: each.at }));
  const plot = (title, note, lines, unit, bounds = []) => html`<section class="panel"><header class="row"><h2>${title}</h2><span class="small muted end">${note}</span></header>
    <${Plot} label=${title} times=${hour.times} lines=${lines} marks=${marks} bounds=${bounds} unit=${unit} /></section>`;
  return html`${plot("Messages", "per second", messageLines(hour), "")}
    ${plot("Failed and unmapped", "%", faultLines(hour), "%", faultBounds(guards))}
    ${plot("Open sockets", "cohort, revision", socketLines(hour, switches.revision), "")}`;
}

function latest({ value, problem }) {
  if (problem && !value) return html`<p class="small">Not read: ${problem.message}.</p>`;
  if (!value) return html`<${Loading} what="the latest changes" />`;
  if (!value.revisions.length) return html`<p class="muted">Nothing was changed yet: all is as the configuration says. Each change will be here, with who made it and why.</p>`;
  return html`<ol class="changes">${value.revisions.slice(0, 5).map((each) => html`<li key=${each.number}>
    <span class="code muted"><${Moment} at=${each.at} /></span>
    <span class="small"><a href="#/history/${each.number}">r${each.number}</a> <${Change} revision=${each} /> <span class="muted">· ${author(each.author).name}</span></span></li>`)}</ol>`;
}
