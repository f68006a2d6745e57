// The sentence at the top of Overview: is anything failing, is it Segue or a server, what changed last.
import { author, clock, rate, several, written } from "./words.js";

/**
 * @typedef {{kind: "ok"|"hold"|"bad", title: string, text: string, link?: {href: string, words: string}}} Sentence
 * The worst that there is, and where something can be done about it.
 */

/** Where a switch is shown. @param {string} name */
export const switchPlace = (name) => `#/switches/${name}`;

/**
 * @param {{flow: any, switches: any, status: any, replicas: any, revisions: any}} known
 * @returns {Sentence}
 */
export function sentence({ flow, switches, status, replicas, revisions }) {
  for (const look of [draining, serversDown, failing, storeAway, reloadFailed, allOff, replicasDiffer, overdue, underWay]) {
    const found = look({ flow, switches, status, replicas, revisions });
    if (found) return found;
  }
  const all = toClients(flow);
  const what = all ? `${rate(all)} messages a second to clients, none of them failed.` : "No messages to clients at the moment.";
  return { kind: "ok", title: "All is well.", text: what };
}

const toClients = (flow) =>
  (flow?.directions ?? []).filter((row) => row.direction === "to_client").reduce((sum, row) => sum + row.per_second, 0);

function draining({ status }) {
  if (!status || status.state === "ready") return null;
  return { kind: "bad", title: `This process is ${status.state}.`, text: "It takes no new connections. What is open ends in an orderly way." };
}

function serversDown({ status }) {
  const down = (status?.upstreams ?? []).filter((each) => each.health !== "healthy" || !each.reachable);
  if (!down.length) return null;
  const [first] = down;
  const since = first.down_since ? ` since ${clock(first.down_since)}` : "";
  const title = down.length === 1 ? `${first.target} is down${since}.` : `${down.length} of ${status.upstreams.length} servers are down.`;
  return { kind: "bad", title, text: `${first.trouble ?? first.health}. Segue is well.` };
}

function failing({ flow }) {
  const rows = (flow?.messages ?? []).filter((row) => row.outcome === "failed");
  if (!rows.length) return null;
  const sum = rows.reduce((total, row) => total + row.per_second, 0);
  const worst = rows.reduce((most, row) => (row.per_second > most.per_second ? row : most));
  const name = `${worst.cohort}/${worst.mapping.split("+")[0]}`;
  const link = { href: switchPlace(name), words: "Open the switch" };
  return { kind: "bad", title: `${rate(sum)} messages a second fail.`, text: `${name} has most of them. What clients get then, the mapping's on_error says.`, link };
}

function storeAway({ switches, status }) {
  if (switches && switches.store !== "up") {
    const since = switches.away_since === null ? "" : ` since ${clock(switches.away_since)}`;
    return { kind: "bad", title: `Changes are refused${since}: the store of switches is away.`, text: `Traffic goes on with revision ${switches.revision}.` };
  }
  if (status?.store.sessions && status.store.state !== "up") {
    return { kind: "bad", title: `The store of sessions is ${status.store.state}.`, text: "Traffic goes on. Logins and refreshes wait or fail until it is back." };
  }
  return null;
}

function reloadFailed({ status }) {
  const last = status?.last_reload;
  if (!last || last.succeeded !== false) return null;
  return { kind: "hold", title: "The last reload failed.", text: "What served before goes on. segue status shows what is wrong, at which line." };
}

function allOff({ switches, revisions }) {
  if (!switches?.all_off) return null;
  const made = (revisions?.revisions ?? []).find((each) => each.kind === "all-off");
  const by = made ? ` by ${author(made.author).name} at ${clock(made.at)}: ${made.reason}` : "";
  return { kind: "hold", title: "Everything is off.", text: `Nothing is rewritten${by}.`, link: { href: "#/switches", words: "Open Switches" } };
}

function replicasDiffer({ replicas }) {
  const behind = (replicas?.replicas ?? []).filter((each) => !each.current);
  if (!behind.length) return null;
  return { kind: "hold", title: `${behind[0].name} is on revision ${behind[0].revision}.`, text: `The newest is ${replicas.newest}: it has not read or cannot apply it.` };
}

function overdue({ switches }) {
  const found = (switches?.switches ?? []).filter((each) => each.term.overdue);
  if (!found.length) return null;
  const [first] = found;
  return { kind: "hold", title: `Nothing is failing. ${several(found.length, "setting is", "settings are")} overdue.`, text: `${first.switch} was to end at ${clock(first.term.until)}; ${first.term.owner} answers for it.`, link: { href: switchPlace(first.switch), words: "Open the switch" } };
}

function underWay({ switches, revisions }) {
  const found = (switches?.switches ?? []).filter((each) => each.state === "canary" || each.state === "shadow");
  if (!found.length) return null;
  const first = found.reduce((newest, each) => (each.revision > newest.revision ? each : newest));
  const made = (revisions?.revisions ?? []).find((each) => each.number === first.revision);
  const how = made ? ` since ${clock(made.at)}, by ${author(made.author).name}: ${made.reason}` : "";
  return { kind: "hold", title: `Nothing is failing. ${several(found.length, "switch is", "switches are")} on the way.`, text: `${first.switch} is at ${written(first.state, first.percent)}${how}.`, link: { href: switchPlace(first.switch), words: "Open the switch" } };
}
