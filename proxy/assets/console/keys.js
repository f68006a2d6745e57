// One key, one thing; none acts in a field, and all can be turned off. Nothing dangerous has one.
const OFF = "segue-keys-off";

export const KEYS = [
  ["1 – 5", "Overview, Switches, History, Upstreams, Sunset"],
  ["j  k", "next, previous row"],
  ["Enter", "open the row that has focus"],
  ["c", "change the switch that has focus"],
  ["u", "undo the newest change (asks first)"],
  ["Esc", "close a dialog, changing nothing"],
  ["?", "these keys"],
];

export const areOn = () => localStorage.getItem(OFF) === null;
export const turn = (on) => (on ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "1"));

/**
 * What a key asks for: a page, a row, or an act; null for nothing.
 * @param {KeyboardEvent} event
 * @param {string[]} pages
 */
export function meant(event, pages) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return null;
  const target = /** @type {HTMLElement} */ (event.target);
  if (target.closest("input, textarea, select, dialog, [contenteditable]")) return null;
  if (event.key === "?") return { act: "help" };
  if (!areOn()) return null;
  const page = pages[Number(event.key) - 1];
  if (page) return { page };
  if (event.key === "j" || event.key === "k") return { move: event.key === "j" ? 1 : -1 };
  if (event.key === "c") return { act: "change" };
  if (event.key === "u") return { act: "undo" };
  return null;
}

/** Put the focus on the next row, or the one before. @param {number} by */
export function moveFocus(by) {
  const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-row]")]);
  if (!rows.length) return;
  const now = rows.findIndex((row) => row === document.activeElement || row.contains(document.activeElement));
  const next = now < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, now + by));
  rows[next].focus();
  rows[next].scrollIntoView({ block: "nearest" });
}
