// History: what was done, by whom, and why; and the way back.
import { Change } from "./changes.js";
import { Icon } from "./icons.js";
import { hindrance } from "./switches.js";
import { ActButton, Command, Failed, Loading, Moment } from "./pieces.js";
import { author, day, several } from "./words.js";
import { html } from "./view.js";

export const WANTS = ["revisions", "switches", "replicas"];

const ICONS = { token: "person", certificate: "person", proxy: "person", socket: "person" };

export function History({ store, open, route, go }) {
  const { value, problem } = store.part("revisions");
  if (problem && !value) return html`<h1>History</h1><${Failed} what="the history" problem=${problem} />`;
  if (!value) return html`<h1>History</h1><${Loading} what="the history" lines=${6} />`;
  const all = value.revisions;
  const chosenSwitch = route.query.get("switch") ?? "";
  const chosenAuthor = route.query.get("by") ?? "";
  const shown = all.filter((each) => (!chosenSwitch || each.scope.includes(chosenSwitch)) && (!chosenAuthor || author(each.author).name === chosenAuthor));
  const chosen = all.find((each) => String(each.number) === route.rest) ?? (route.rest ? null : shown[0]);
  const why = hindrance(store);
  const filter = (name, text) => {
    const query = new URLSearchParams(route.query);
    if (text) query.set(name, text);
    else query.delete(name);
    go(`#/history${query.size ? `?${query}` : ""}`);
  };
  const select = (name, label, options, now) => html`<label class="filter">${label} <select class="field" value=${now} onChange=${(event) => filter(name, event.target.value)}><option value="">all</option>${options.map((each) => html`<option key=${each} value=${each}>${each}</option>`)}</select></label>`;
  return html`<header class="row wrap"><h1>History</h1><span class="small muted">${several(all.length, "revision")}${all.length === 100 ? ", the newest" : ""}. Every change, by whom, and why.</span>
      <div class="acts">${select("switch", "Switch", [...new Set(all.flatMap((each) => each.scope))].sort(), chosenSwitch)}${select("by", "By", [...new Set(all.map((each) => author(each.author).name))].sort(), chosenAuthor)}
      ${all.length ? html`<${ActButton} why=${why} onClick=${() => open("undo", {})}><${Icon} name="undo" size=${14} />Undo ${all[0].number}…<//>` : null}</div></header>
    ${all.length === 0 ? html`<section class="panel"><h2>Nothing was changed yet</h2><p class="muted">All is as the configuration says. <a href="#/switches">Switches</a> is where a change begins; each will be here, with who made it and why.</p></section>`
      : html`<div class="split"><section class="panel list" aria-label="Revisions">${shown.length ? days(shown, chosen, route) : html`<p class="muted pad">No revision matches these filters. <a href="#/history">Show all</a></p>`}</section>
        <section class="panel" aria-label="One revision">${chosen ? detail(chosen, all, store, open, why) : html`<p class="muted">Revision ${route.rest} is not among the newest 100, or there is none.</p>`}</section></div>`}`;
}

function days(shown, chosen, route) {
  const groups = [];
  for (const each of shown) {
    const name = day(each.at);
    if (groups.at(-1)?.name !== name) groups.push({ name, rows: [] });
    groups.at(-1).rows.push(each);
  }
  const query = route.query.size ? `?${route.query}` : "";
  return groups.map((group) => html`<div key=${group.name}><h2 class="day">${group.name}</h2><ol class="revisions">${group.rows.map((each) => html`<li key=${each.number}>
    <a data-row href="#/history/${each.number}${query}" aria-current=${each === chosen ? "true" : null}><span><strong>r${each.number}</strong><br /><span class="code muted small"><${Moment} at=${each.at} /></span></span>
      <span class="grow"><${Change} revision=${each} /><br /><span class="small muted">${each.reason}</span></span>
      <span class="small nowrap"><${Icon} name=${ICONS[author(each.author).by] ?? "steps"} size=${14} /> ${author(each.author).name}</span></a></li>`)}</ol></div>`);
}

function detail(each, all, store, open, why) {
  const replicas = store.part("replicas").value?.replicas ?? [];
  const has = replicas.filter((one) => one.revision >= each.number).length;
  const { name, by } = author(each.author);
  const isNewest = each === all[0];
  return html`<header class="row wrap"><h2>Revision ${each.number}</h2><span class="small muted"><${Moment} at=${each.at} withDay=${true} withSeconds=${true} /></span>
      <div class="acts">${isNewest ? html`<${ActButton} why=${why} onClick=${() => open("undo", {})}><${Icon} name="undo" size=${14} />Undo…<//>` : html`<${ActButton} why=${why} onClick=${() => open("undo", { to: each.number })}><${Icon} name="restore" size=${14} />Restore revision ${each.number}…<//>`}</div></header>
    <p class="sentence">${each.reason}</p>
    <dl class="pairs"><dt>By</dt><dd>${name} <span class="muted">${[by, each.role].filter(Boolean).join(", ")}</span></dd>
      <dt>What</dt><dd>${each.kind}${each.all_off ? ", everything is off since" : ""}</dd><dt>Open sockets</dt><dd>${each.open_sockets.replace("_", " ")}</dd>
      <dt>In force</dt><dd>${replicas.length ? `on ${has} of ${several(replicas.length, "replica")}` : "not known: the store is away"}</dd><dt>Configuration</dt><dd><code>${each.configuration.slice(0, 12)}</code></dd></dl>
    ${each.cut ? html`<p class="small muted">There was more of it than is kept.</p>` : null}
    ${each.outlived.length ? html`<p class="small">Brought back for good, because its time was over: ${each.outlived.join(", ")}.</p>` : null}
    ${each.scope.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="What was changed"><table><thead><tr><th scope="col">switch</th><th scope="col">before</th><th scope="col">after</th></tr></thead><tbody>${each.scope.map((one) => html`<tr key=${one}><th scope="row"><code>${one}</code></th><td>${stateOf(each.before[one])}</td><td>${stateOf(each.after[one])}</td></tr>`)}</tbody></table></div>` : null}
    <${Command} command=${isNewest ? `segue undo --reason "..."` : `segue undo --to ${each.number} --reason "..."`} />`;
}

function stateOf(state) {
  if (!state) return html`<span class="muted">not kept</span>`;
  return html`${state.setting ?? "as configured"}${state.exceptions.map((each) => html`<br /><span class="small">except ${each}</span>`)}${state.until ? html`<br /><span class="small muted">until <${Moment} at=${state.until} withDay=${true} /></span>` : null}`;
}
