// Sunset: which mappings are still needed, by whom, and which may go. All of it is of the whole fleet.
import { Dialog } from "./dialog.js";
import { Icon } from "./icons.js";
import { Badge, Band, Command, Failed, Loading, Moment, copy } from "./pieces.js";
import { switchPlace } from "./sentence.js";
import { clock, count, day, duration, several, share, utc } from "./words.js";
import { html } from "./view.js";

export const WANTS = ["sunset", "switches"];

const VERDICTS = { needed: "dot", idle: "hourglass", safe: "check", unknown: "question" };
const WORDS = { needed: () => "needed", idle: (each) => `idle for ${several(each.idle_days ?? 0, "day")}`, safe: () => "safe to delete", unknown: () => "not known" };

/** The sentence at the top. @param {any} view the answer of `/sunset` */
export function said({ mappings, silent, read_at }) {
  const of = (verdict) => mappings.filter((each) => each.verdict === verdict).length;
  const rest = [[of("needed"), "needed"], [of("idle"), "idle"], [of("unknown"), "not watched enough to tell"]].filter(([n]) => n).map(([n, words]) => `${n} ${words}`);
  const text = rest.length ? `Of the rest: ${rest.join(", ")}.` : "Nothing is needed any more: point the load balancer at the servers, and take Segue away.";
  if (silent.length) return { kind: "hold", title: `${several(silent.length, "process tells", "processes tell")} nothing: nothing is called safe meanwhile.`, text: `${silent.join(", ")}: away, or its clock is wrong.` };
  if (read_at === null) return { kind: "hold", title: "The store has not been read yet.", text: "What other processes saw is missing." };
  const title = `${of("safe") || "None"} of ${mappings.length} may go.`;
  return { kind: of("safe") ? "ok" : "hold", title, text };
}

/** Why a mapping has its verdict: what stands out, and the rest. @param {any} each @param {any} view */
export function why(each, { now, idle, enough }) {
  const asked = `${share(each.watched, 1)} of the time since ${day(each.watched_since)} was watched; ${duration(idle)} and ${share(enough, 1)} are asked.`;
  const last = each.last_needed === null ? "Nothing was seen that needed it." : null;
  if (each.verdict === "safe") return [`Nothing needed it for ${several(each.idle_days ?? 0, "day")}.`, `${asked} Not promised: a client that stays away longer.`];
  if (each.verdict === "needed") return [`${count(each.users)} users in 31 days, ${several(each.open, "socket")} now.`, trend(each.days)];
  if (each.verdict === "idle") return [each.last_needed === null ? last : `Safe to delete on ${day(Math.max(each.last_needed + idle, now))}, if it stays so.`, asked];
  return [`Only ${share(each.watched, 1)} of the time was watched.`, asked];
}

/** How the users of the last week compare with those of the week before. */
export function trend(days) {
  // Today is not over.
  const [week, before] = [days.slice(1, 8), days.slice(8, 15)].map((some) => some.reduce((sum, each) => sum + each.users, 0) / (some.length || 1));
  if (!before) return "There is no week before to compare with.";
  const [now, then] = [Math.round(week), Math.round(before)];
  if (now === then) return `About ${count(now)} users a day, as in the week before.`;
  return `${now < then ? "Falling" : "Rising"}: about ${count(now)} users a day in the last week, ${count(then)} in the week before.`;
}

/** The report for people who decide: Markdown, of which nothing that a client says is a part. @param {any} view */
export function report(view) {
  const text = (words) => String(words).replace(/[\\`*_{}[\]<>()#|!~]/g, "\\$&").replace(/\p{C}/gu, "?");
  const last = (each) => (each.last_needed === null ? "never seen" : utc(each.last_needed));
  const lines = ["# Which mappings can go", "", `As of ${utc(view.now)}. Days are days in UTC. Users are estimates (standard error ${share(view.error, 1)}).`, ""];
  if (view.silent.length) lines.push(`**${view.silent.length} process(es) tell nothing**: nothing is called safe meanwhile.`, "");
  lines.push("| mapping | can it go? | last needed | users, last 31 days | watched |", "|---|---|---|---|---|");
  for (const each of view.mappings) lines.push(`| ${text(each.switch)} | ${each.verdict === "safe" ? "**yes**" : each.verdict === "needed" ? "no" : "not yet"}: ${WORDS[each.verdict](each)} | ${last(each)} | ${count(each.users)} | ${share(each.watched, 1)} |`);
  for (const each of view.mappings.filter((one) => one.messages)) {
    lines.push("", `## ${text(each.switch)}`, "", `Versions of clients (messages): ${each.versions.map((one) => `${text(one.version)} (${count(one.messages)})`).join(", ") || "none"}`, "", "| day | users | messages | watched |", "|---|---|---|---|");
    for (const one of each.days) lines.push(`| ${one.day} | ${count(one.users)} | ${count(one.messages)} | ${share(one.watched, 1)} |`);
  }
  return [...lines, "", `*Safe to delete*: nothing needed it for ${duration(view.idle)}, of which at least ${share(view.enough, 1)} was watched. Clients that stay away longer are not seen.`, ""].join("\n");
}

export function Sunset({ store, route, open, go }) {
  const { value, problem, at } = store.part("sunset");
  const heading = html`<h1>Sunset</h1>`;
  if (problem && !value) return html`${heading}<${Failed} what="which mappings are needed" problem=${problem} />`;
  if (!value) return html`${heading}<${Loading} what="which mappings are needed" lines=${6} />`;
  const only = route.query.get("verdict") ?? "";
  const shown = value.mappings.filter((each) => !only || each.verdict === only);
  const age = value.read_at === null ? "" : ` The store was read ${duration(value.now - value.read_at + (Date.now() / 1000 - at))} ago.`;
  const { kind, title, text } = said(value);
  return html`<header class="row wrap">${heading}<span class="small muted">What may be deleted, and what not yet. Of the whole fleet.${age}</span>
      <div class="acts"><button type="button" class="button" onClick=${() => open("sunset-report", {})}>Report as Markdown…</button></div></header>
    ${value.mappings.length === 0 ? html`<section class="panel"><h2>No cohort names a mapping</h2><p class="muted">Each mapping of a cohort will be here, with who still needs it. They are named under <code>cohorts</code> in the configuration.</p></section>`
      : html`<${Band} kind=${kind} title=${title} acts=${html`<div class="row wrap" role="group" aria-label="Show only">${Object.entries(VERDICTS).map(([name, icon]) => {
          const n = value.mappings.filter((each) => each.verdict === name).length;
          return n ? html`<button key=${name} type="button" class="chip" aria-pressed=${only === name ? "true" : "false"} onClick=${() => go(`#/sunset${only === name ? "" : `?verdict=${name}`}`)}><${Icon} name=${icon} size=${14} />${name === "unknown" ? "not known" : name} ${n}</button>` : null;
        })}</div>`}>${text}<//>
        ${shown.map((each) => html`<${Mapping} key=${each.switch} each=${each} view=${value} store=${store} isOpen=${route.rest === each.switch} />`)}
        ${shown.length ? null : html`<p class="muted">No mapping has this verdict. <a href="#/sunset">Show all</a></p>`}`}
    <${Command} command="segue sunset --report" />`;
}

function Mapping({ each, view, store, isOpen }) {
  const [main, more] = why(each, view);
  const [cohort, ...mapping] = each.switch.split("/");
  const exceptions = store.part("switches").value?.switches.find((one) => one.switch === each.switch)?.exceptions ?? [];
  return html`<section class="panel sunset ${isOpen ? "chosen" : ""}" data-row tabindex="0" aria-label=${each.switch}>
    <div><h2 class="code"><a href=${switchPlace(each.switch)}>${each.switch}</a></h2><p class="small muted">${[each.websocket ? "WebSocket" : "", each.http ? "HTTP" : ""].filter(Boolean).join(" and ") || "Not named by the cohort any more"}${each.announced ? html` · clients are told that it ends${each.announced.sunset ? html` on <${Moment} at=${each.announced.sunset} withDay=${true} />` : null}` : null}</p>
      <p class="verdict-line ${each.verdict}"><${Icon} name=${VERDICTS[each.verdict]} size=${20} />${WORDS[each.verdict](each)}</p>
      <p class="strong">${main}</p><p class="small muted">${each.last_needed === null ? null : html`Last: <${Moment} at=${each.last_needed} withDay=${true} />${each.idle_days ? "" : `, ${duration(view.now - each.last_needed)} ago`}. `}${more}</p>
      ${each.blind ? html`<p class="small"><strong>Not watched now:</strong> ${each.blind}</p>` : null}
      ${each.verdict === "safe" ? html`<details class="small"><summary>What to delete</summary><p>Take <code>${mapping.join("/")}</code> out of the cohort <code>${cohort}</code> in the configuration, then reload. Delete its file when no other cohort names it.</p></details>` : null}</div>
    <div><h3>Users each day who needed it <span class="plain">(±${share(view.error, 1)}, a sketch, no names)</span></h3><${Curve} each=${each} view=${view} />
      <details class="small"><summary>As a table</summary><div class="scroll" tabindex="0" role="region" aria-label="Days of ${each.switch}"><table class="tight"><thead><tr><th scope="col">day, UTC</th>${["users", "messages", "not counted", "watched"].map((name) => html`<th key=${name} scope="col" class="figure">${name}</th>`)}</tr></thead>
        <tbody>${each.days.map((one) => html`<tr key=${one.day}><th scope="row" class="plain nowrap">${one.day}</th><td class="figure">${count(one.users)}</td><td class="figure">${count(one.messages)}</td><td class="figure">${count(one.ignored)}</td><td class="figure">${share(one.watched, 1)}</td></tr>`)}</tbody></table></div></details></div>
    <div>${each.versions.length ? html`<table class="tight small"><thead><tr><th scope="col">client version</th><td></td><th scope="col" class="figure" title="of 31 days">messages</th></tr></thead><tbody>${each.versions.map((one) => html`<tr key=${one.version}><th scope="row" class="code plain nowrap">${one.version === "none" ? "none told" : one.version}</th>
        <td class="version-bar"><svg class="bar" width="100%" height="12" aria-hidden="true"><rect class="ground" width="100%" height="12" /><rect class="part" width=${share(one.messages, each.versions[0].messages).replace(/^< /, "")} height="12" /></svg></td><td class="figure strong">${count(one.messages)}</td></tr>`)}</tbody></table>`
      : html`<p class="small muted">No version was seen that needed it.</p>`}
      ${exceptions.length ? html`<h3 class="exceptions">Exceptions <span class="plain">(have no verdict of their own)</span></h3>${exceptions.map((one) => html`<p key=${one.name} class="small"><a class="code" href=${switchPlace(each.switch)}>${one.name}</a> for <code>${one.versions}</code> <${Badge} state=${one.state} percent=${one.percent} /></p>`)}` : null}</div></section>`;
}

/** Bars by day, the oldest on the left; hatched where it was not watched enough. */
function Curve({ each, view }) {
  const days = [...each.days].reverse();
  const most = Math.max(...days.map((one) => one.users), 1);
  const top = most <= 2 ? 2 : Math.ceil(most / 2) * 2;
  const step = 100 / days.length;
  const isIdle = each.verdict !== "needed" && each.last_needed !== null;
  const quiet = isIdle ? days.findLastIndex((one) => one.users || one.messages) + 1 : days.length;
  const label = `Users each day, from ${count(days[0].users)} on ${days[0].day} to ${count(days.at(-1).users)} today; at most ${count(most)}`;
  return html`<div class="curve"><div class="scale small muted" aria-hidden="true"><span>${count(top)}</span><span>${count(top / 2)}</span><span>0</span></div>
    <div><svg width="100%" height="104" role="img" aria-label=${label}>${[0.5, 52, 103.5].map((y) => html`<line key=${y} class="grid" x1="0" x2="100%" y1=${y} y2=${y} />`)}
      ${days.map((one, index) => {
        const isGap = index < days.length - 1 && one.watched < view.enough;
        const height = one.users ? Math.max(2, (103 * one.users) / top) : 0;
        return html`<g key=${one.day}>${isGap ? html`<rect class="gap" x="${index * step}%" width="${step}%" height="104" />` : null}<rect class="day-bar" x="${index * step + step * 0.1}%" width="${step * 0.8}%" y=${104 - height} height=${height} /></g>`;
      })}
      ${quiet < days.length ? html`<line class="no-use" x1="${quiet * step}%" x2="${quiet * step}%" y1="84" y2="104" /><line class="no-use" x1="${quiet * step}%" x2="100%" y1="94" y2="94" /><text class="no-use" x="100%" y="82" text-anchor="end">no use</text>` : null}</svg>
    <div class="row small muted" aria-hidden="true"><span>${days[0].day.slice(5)}</span><span class="end">${days.some((one, index) => index < days.length - 1 && one.watched < view.enough) ? "hatched: not watched · " : ""}today</span></div></div></div>`;
}

export function Report({ store, onClose }) {
  const view = store.part("sunset").value;
  const text = report(view);
  const save = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/markdown" }));
    link.download = `sunset-${utc(view.now).slice(0, 10)}.md`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  return html`<${Dialog} label="Report as Markdown" wide=${true} onClose=${onClose}><header><h2>Report as Markdown</h2><span class="small muted">as of ${clock(view.now, true)}, of the whole fleet</span></header>
    <div class="body"><pre class="code-block" tabindex="0" role="region" aria-label="Markdown">${text}</pre><${Command} command="segue sunset --report" /></div>
    <footer><button type="button" class="button" onClick=${onClose}>Close</button><span class="grow"></span><button type="button" class="button" onClick=${() => copy(text)}>Copy</button><button type="button" class="button go" data-first onClick=${save}>Download</button></footer><//>`;
}
