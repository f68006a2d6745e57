// The lines of the plots, made of what the process has kept of the last hour.

/** @param {any} view the answer of /last-hour @param {string} figure */
const of = (view, figure) => view.series.filter((each) => each.figure === figure);

/** Added up, point by point; null where none has a value. @param {{values: (number|null)[]}[]} series */
export function sum(series, length) {
  return Array.from({ length }, (_, index) => {
    const known = series.map((each) => each.values[index]).filter((each) => each !== null && each !== undefined);
    return known.length ? known.reduce((total, each) => total + each, 0) : null;
  });
}

/** One figure of all cohorts. @param {any} view @param {string} figure */
export const total = (view, figure) => sum(of(view, figure), view.times.length);

/** Messages each second: the three cohorts that have most. @param {any} view */
export function messageLines(view) {
  return of(view, "messages")
    .map((each) => ({ label: each.cohort === "none" ? "no cohort" : each.cohort, values: each.values }))
    .sort((one, other) => highest(other.values) - highest(one.values))
    .slice(0, 3);
}

/** Failed and unmapped, in percent of all messages. @param {any} view */
export function faultLines(view) {
  const all = total(view, "messages");
  const percent = (figure) => total(view, figure).map((value, index) => (value === null || !all[index] ? (all[index] === null ? null : 0) : (100 * value) / all[index]));
  return [
    { label: "failed", values: percent("failed"), tone: "bad" },
    { label: "unmapped", values: percent("unmapped") },
  ];
}

/** The guards' bounds of what was failed and unmapped, in percent: the narrowest of each. @param {any} guards */
export function faultBounds(guards) {
  const found = Object.values(guards ?? {}).flatMap((each) => each.findings);
  return ["failed", "unmapped"].flatMap((figure) => {
    const bounds = found.filter((each) => each.figure === figure).map((each) => 100 * each.bound);
    const value = Math.min(...bounds);
    return bounds.length ? [{ label: `bound of ${figure} ${Number(value.toPrecision(3))}%`, short: `${figure} ${Number(value.toPrecision(3))}%`, value }] : [];
  });
}

/** Open sockets: of the newest revision, and of all before it, by cohort. @param {any} view @param {number} revision */
export function socketLines(view, revision) {
  const cohorts = [...new Set(of(view, "sockets").map((each) => each.cohort))];
  return cohorts
    .flatMap((cohort) => {
      const rows = of(view, "sockets").filter((each) => each.cohort === cohort);
      const named = cohort === "none" || cohort === "" ? "no cohort" : cohort;
      const now = rows.filter((each) => each.revision === revision);
      const before = rows.filter((each) => each.revision !== revision);
      return [
        { label: `${named} r${revision}`, values: sum(now, view.times.length), rows: now.length },
        { label: `${named} <r${revision}`, values: sum(before, view.times.length), rows: before.length },
      ].filter((line) => line.rows);
    })
    .sort((one, other) => highest(other.values) - highest(one.values))
    .slice(0, 3);
}

/** @param {(number|null)[]} values */
const highest = (values) => values.reduce((top, each) => Math.max(top, each ?? 0), 0);

/** About how many there were in a while, by the rates of its points. */
export function within(view, figure, seconds) {
  const values = total(view, figure);
  const end = view.times[view.times.length - 1] ?? 0;
  let found = 0;
  view.times.forEach((at, index) => {
    const since = index ? at - view.times[index - 1] : 30;
    if (at > end - seconds) found += (values[index] ?? 0) * since;
  });
  return Math.round(found);
}
