// What the picture of the flow shows, made of what the API says: no drawing here.

/**
 * @typedef {{key: string, kind: "rewritten"|"known"|"unknown"|"untouched"|"failed"|"dropped"|"undelivered",
 *   mapping: string, rate: number}} Lane
 * @typedef {{name: string, rate: number, sockets: number, dialect: "new"|"old"|"plain",
 *   versions: {version: string, rate: number}[], lanes: Lane[], switches: any[], failed: number}} Cohort
 * @typedef {{name: string, rate: number, up: any, kinds: {kind: string, rate: number}[]}} Upstream
 */

const MOST_COHORTS = 6;
const MOST_VERSIONS = 3;

/** @param {Map<string, number>} sums @param {string} key @param {number} more */
const add = (sums, key, more) => sums.set(key, (sums.get(key) ?? 0) + more);

/** Newer first. @param {string} one @param {string} other */
function byRelease(one, other) {
  const [a, b] = [one, other].map((text) => text.split(/[!.]/).map(Number));
  for (let index = 0; index < Math.max(a.length, b.length); index += 1) {
    const difference = (b[index] ?? 0) - (a[index] ?? 0);
    if (difference) return difference;
  }
  return 0;
}

/**
 * The cohorts, newest clients first, with what becomes of the messages to them.
 * @param {any} flow @param {any} switches @param {any} connections
 * @returns {Cohort[]}
 */
export function cohortsOf(flow, switches, connections) {
  const sockets = new Map();
  for (const row of connections?.connections ?? []) add(sockets, row.cohort, row.websockets);
  const names = new Set([...switches.switches.map((each) => each.switch.split("/")[0]), ...sockets.keys()]);
  const messages = flow.messages.filter((row) => row.direction === "to_client");
  for (const row of messages) names.add(row.cohort);
  const found = [...names].map((name) => ({
    name,
    rate: sumOf(messages.filter((row) => row.cohort === name)),
    sockets: sockets.get(name) ?? 0,
    dialect: "plain",
    versions: versionsOf(flow, name),
    lanes: lanesOf(messages.filter((row) => row.cohort === name)),
    switches: switches.switches.filter((each) => each.switch.split("/")[0] === name),
    failed: sumOf(messages.filter((row) => row.cohort === name && row.outcome === "failed")),
  }));
  found.sort((one, other) => byRelease(newest(one), newest(other)) || one.name.localeCompare(other.name));
  // Blue is what the newest clients speak, brown what all before them do, for whom something is rewritten.
  const speaking = found.filter((each) => each.switches.length);
  speaking.forEach((each, index) => {
    each.dialect = index === 0 ? "new" : "old";
  });
  if (found.length <= MOST_COHORTS) return found;
  return [...found.slice(0, MOST_COHORTS - 1), folded(found.slice(MOST_COHORTS - 1))];
}

/** @param {{per_second: number}[]} rows */
const sumOf = (rows) => rows.reduce((sum, row) => sum + row.per_second, 0);

/** @param {Cohort} cohort */
const newest = (cohort) =>
  cohort.versions.map((each) => each.version).filter((text) => /^[\d.!]+$/.test(text)).sort(byRelease)[0] ?? "0";

function versionsOf(flow, cohort) {
  const rows = flow.versions
    .filter((row) => row.cohort === cohort && row.direction === "to_client")
    .map((row) => ({ version: row.version === "none" ? "none told" : row.version, rate: row.per_second }))
    .sort((one, other) => other.rate - one.rate);
  if (rows.length <= MOST_VERSIONS) return rows;
  const rest = rows.slice(MOST_VERSIONS - 1);
  const rate = rest.reduce((sum, row) => sum + row.rate, 0);
  return [...rows.slice(0, MOST_VERSIONS - 1), { version: `${rest.length} others`, rate }];
}

/** @returns {Lane[]} */
function lanesOf(rows) {
  const sums = new Map();
  for (const row of rows) add(sums, `${kindOf(row)} ${row.mapping}`, row.per_second);
  const order = ["rewritten", "untouched", "known", "dropped", "undelivered"];
  return [...sums]
    .map(([key, rate]) => ({ key, kind: key.split(" ")[0], mapping: key.split(" ")[1], rate }))
    .filter((lane) => lane.kind !== "failed")
    .sort((one, other) => order.indexOf(one.kind) - order.indexOf(other.kind));
}

function kindOf({ mapping, outcome }) {
  if (mapping === "none") return "untouched";
  return { mapped: "rewritten", passed: "known" }[outcome] ?? outcome;
}

function folded(cohorts) {
  const sum = (name) => cohorts.reduce((total, each) => total + each[name], 0);
  return {
    name: `${cohorts.length} others`,
    rate: sum("rate"),
    sockets: sum("sockets"),
    dialect: "plain",
    versions: [],
    lanes: [{ key: "untouched none", kind: "untouched", mapping: "none", rate: sum("rate") }],
    switches: cohorts.flatMap((each) => each.switches),
    failed: sum("failed"),
  };
}

/**
 * The servers, with what came from each, and the kinds that it spoke most.
 * @param {any} flow @param {any} status
 * @returns {Upstream[]}
 */
export function upstreamsOf(flow, status) {
  const rates = new Map(flow.upstreams.map((row) => [row.upstream, row.to_client]));
  return (status?.upstreams ?? []).map((up) => ({
    name: up.target,
    rate: rates.get(up.target) ?? 0,
    up,
    kinds: flow.upstream_kinds
      .filter((row) => row.upstream === up.target)
      .map((row) => ({ kind: row.kind, rate: row.per_second }))
      .slice(0, 2),
  }));
}

/** What a lane is called. @param {Lane} lane */
export const LANE_WORDS = {
  rewritten: "rewritten",
  known: "no rule for it",
  untouched: "as it came",
  dropped: "dropped by a rule",
  undelivered: "not delivered",
};
