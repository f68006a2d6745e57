// How figures, times and states are said.

const GROUPED = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** A count, such as `1,312`. @param {number} value */
export const count = (value) => GROUPED.format(value);

/** A rate in a second: three digits at most. @param {number} value */
export function rate(value) {
  if (value === 0) return "0";
  if (value < 0.1) return "< 0.1";
  return value < 10 ? value.toFixed(1) : count(value);
}

/** A share of a whole, as `12%`. @param {number} part @param {number} whole */
export function share(part, whole) {
  if (!whole) return "0%";
  const percent = (100 * part) / whole;
  if (percent > 0 && percent < 0.1) return "< 0.1%";
  return `${percent < 10 ? Number(percent.toFixed(1)) : Math.round(percent)}%`;
}

/** One or several. @param {number} n @param {string} one @param {string} [many] */
export const several = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** A time of day in the reader's zone. @param {number} at seconds since 1970 */
export const clock = (at, withSeconds = false) =>
  new Date(at * 1000).toLocaleTimeString("en-GB", {
    hour: "2-digit",
    minute: "2-digit",
    ...(withSeconds ? { second: "2-digit" } : {}),
  });

/** The same with its zone. @param {number} at */
export const clockInZone = (at) =>
  new Date(at * 1000).toLocaleTimeString("en-GB", {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    timeZoneName: "short",
  });

/** A day, such as `Sat 14 Mar`. @param {number} at */
export const day = (at) =>
  new Date(at * 1000).toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short" });

/** The same moment in UTC. @param {number} at */
export const utc = (at) => `${new Date(at * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;

/** Where the reader is. */
export const zone = () => ZONE;

/** How long something has lasted. @param {number} seconds */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return `${whole} s`;
  if (whole < 5400) return `${Math.round(whole / 60)} min`;
  if (whole < 172800) return `${Math.round(whole / 3600)} h`;
  return `${Math.round(whole / 86400)} days`;
}

/** Name and way of an author: `ops-1 (token)` gives both. @param {string} text */
export function author(text) {
  const found = /^(.*) \((\w+)\)$/.exec(text);
  return found ? { name: found[1], by: found[2] } : { name: text, by: "" };
}

/** A setting as it is written, taken apart. @param {string|null} text such as `canary 10%` */
export function setting(text) {
  const found = /^canary ([\d.]+)%$/.exec(text ?? "");
  return found ? { state: "canary", percent: Number(found[1]) } : { state: text ?? "off", percent: null };
}

/** A setting as it is written. @param {string} state @param {number|null} percent */
export const written = (state, percent) => (state === "canary" ? `canary ${percent}%` : state);
