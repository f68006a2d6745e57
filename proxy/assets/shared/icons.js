// Glyphs: each is beside a word, or has one for screen readers.
import { html } from "./view.js";

const LINES = {
  overview: "M2 2h5v5H2zM9 2h5v5H9zM2 9h5v5H2zM9 9h5v5H9z",
  switches: "M5 4h6a4 4 0 0 1 0 8H5a4 4 0 0 1 0-8zM11 6.5a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3z",
  history: "M8 2a6 6 0 1 1-5.7 4M2 2v4h4M8 5v3.5l2.5 1.5",
  sessions: "M8 2.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5zM2.5 14c0-3 2.5-4.5 5.5-4.5s5.5 1.5 5.5 4.5",
  upstreams: "M2 2h12v5H2zM2 9h12v5H2zM4.5 4.5h1M4.5 11.5h1",
  sunset: "M1 12h14M4 12a4 4 0 0 1 8 0M8 2v3M2.5 5l2 2M13.5 5l-2 2",
  configuration: "M4 1.5h5l3 3v10H4zM6 8h4M6 11h4",
  more: "M2 4h12M2 8h12M2 12h12",
  dot: "M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM8 6.5a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3zM8 7.5v1M7.5 8h1",
  question: "M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM6 6.2a2 2 0 1 1 2 2.3v1.2M8 11.2v.9",
  person: "M8 2.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5zM2.5 14c0-3 2.5-4.5 5.5-4.5s5.5 1.5 5.5 4.5",
  file: "M4 1.5h5l3 3v10H4zM8.5 1.5v3.5H12",
  undo: "M6 3 2.5 6.5 6 10M2.5 6.5H10a3.5 3.5 0 0 1 0 7H7",
  hourglass: "M4 1.5h8M4 14.5h8M5 2c0 3.2 2.2 4 3 6 .8-2 3-2.8 3-6M5 14c0-3.2 2.2-4 3-6 .8 2 3 2.8 3 6",
  unplugged: "M1 8h3l1.5-3M15 8h-3l-1.5 3M7 4v2M9 10v2",
  steps: "M1.5 13.5h3.5v-3h3.5V7H12V3h2.5",
  off: "M8 2.2a5.8 5.8 0 1 1 0 11.6A5.8 5.8 0 0 1 8 2.2zM4.2 11.8l7.6-7.6",
  check: "M8 1.5a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM4.7 8.2l2.4 2.4 4.2-4.8",
  warning: "M8 1.8 15 14H1zM8 6v4M8 11.6v1.2",
  restore: "M13.5 8A5.5 5.5 0 1 1 8 2.5h4M9.5 0 12 2.5 9.5 5",
};

/** A line drawing. @param {{name: string, size?: number}} props */
export const Icon = ({ name, size = 16 }) => html`
  <svg class="glyph" width=${size} height=${size} viewBox="0 0 16 16" fill="none" stroke="currentColor"
    stroke-width="1.5" aria-hidden="true"><path d=${LINES[name]} /></svg>`;

/** What fails: an octagon, so that it is not its colour alone. */
export const FailIcon = ({ size = 16 }) => html`
  <svg class="glyph" width=${size} height=${size} viewBox="0 0 14 14" aria-hidden="true">
    <path d="M4.4.8h5.2l3.6 3.6v5.2l-3.6 3.6H4.4L.8 9.6V4.4z" fill="currentColor" />
    <path class="cut" d="m4.7 4.7 4.6 4.6m0-4.6L4.7 9.3" stroke-width="1.7" /></svg>`;

/** The state of a switch as a wedge. @param {{state: string, percent: number|null}} props */
export function StateIcon({ state, percent }) {
  const inside =
    state === "on"
      ? html`<circle cx="7" cy="7" r="5.9" fill="currentColor" />`
      : html`<circle cx="7" cy="7" r="5.2" fill="none" stroke="currentColor" stroke-width="1.6"
          stroke-dasharray=${state === "shadow" ? "2.6 2" : "none"} />`;
  const more =
    state === "off"
      ? html`<path d="m3.5 10.5 7-7" stroke="currentColor" stroke-width="1.6" />`
      : state === "canary"
        ? html`<path d=${wedge(percent ?? 0)} fill="currentColor" />`
        : null;
  return html`<svg class="glyph" width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">${inside}${more}</svg>`;
}

/** @param {number} percent drawn from 10 to 90 */
function wedge(percent) {
  const turn = (Math.min(90, Math.max(10, percent)) / 100) * 2 * Math.PI;
  const x = 7 + 5.2 * Math.sin(turn);
  const y = 7 - 5.2 * Math.cos(turn);
  return `M7 7V1.8A5.2 5.2 0 ${turn > Math.PI ? 1 : 0} 1 ${x.toFixed(2)} ${y.toFixed(2)}z`;
}

/** Segue's mark: one dialect that becomes another. */
export const Mark = () => html`
  <svg width="24" height="24" viewBox="0 0 24 24" aria-hidden="true">
    <defs><linearGradient id="mark"><stop class="stop-old" offset=".3" /><stop class="stop-new" offset=".7" /></linearGradient></defs>
    <path d="M3 8c6 0 6 0 9 4s3 4 9 4" fill="none" stroke="url(#mark)" stroke-width="4" stroke-linecap="round" />
    <path class="edge-line" d="M3 16h4M17 8h4" stroke-width="4" stroke-linecap="round" /></svg>`;
