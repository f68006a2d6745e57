// Plots over the last hour (uPlot), with the revisions as marks and one cursor for all.
import { Component, createRef, html } from "./view.js";

const DASHES = [[], [6, 4], [2, 3]];
const HEIGHT = 170;

/** @typedef {{label: string, values: (number|null)[], tone?: "ink"|"bad"}} Line */

/** Tokens of the style sheet, for a canvas. */
function tokens() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["ink", "muted", "line", "bad", "edge", "surface"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/** A spark line: no axis, the last value marked. @param {{values: (number|null)[]}} props */
export function Spark({ values }) {
  const known = values.filter((each) => each !== null);
  if (known.length < 2) return null;
  const top = Math.max(...known, 1e-9);
  const step = 78 / Math.max(1, values.length - 1);
  let path = "";
  let last = null;
  let isOn = false;
  values.forEach((value, index) => {
    if (value === null) {
      isOn = false;
      return;
    }
    last = [2 + index * step, 21 - (18 * value) / top];
    path += `${isOn ? "L" : "M"}${last[0].toFixed(1)} ${last[1].toFixed(1)}`;
    isOn = true;
  });
  return html`<svg class="spark" width="84" height="24" viewBox="0 0 84 24" aria-hidden="true"><path d=${path} />
    ${last ? html`<circle cx=${last[0]} cy=${last[1]} r="2" />` : null}</svg>`;
}

/** @param {{label: string}[]} [bounds] */
const said = (bounds = []) => bounds.map((each) => each.label).join(", ");

/**
 * One plot.
 * Props: times, lines (three at most), marks ({number, at}[]), bounds ({label, short, value}[]), unit, label.
 */
export class Plot extends Component {
  constructor() {
    super();
    this.box = createRef();
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.redraw = () => this.draw();
  }

  componentDidMount() {
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.box.current);
    this.scheme.addEventListener("change", this.redraw);
    this.draw();
  }

  componentDidUpdate(before) {
    if (before.times !== this.props.times || before.marks.length !== this.props.marks.length || said(before.bounds) !== said(this.props.bounds)) this.draw();
  }

  componentWillUnmount() {
    this.sizes.disconnect();
    this.scheme.removeEventListener("change", this.redraw);
    this.plot?.destroy();
  }

  draw() {
    const { times, lines, marks, unit, bounds = [] } = this.props;
    const width = this.box.current?.clientWidth ?? 0;
    if (!width || times.length < 2) return;
    const colour = tokens();
    this.plot?.destroy();
    const drawMarks = (plot) => {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.strokeStyle = colour.edge;
      ctx.fillStyle = colour.ink;
      ctx.font = `600 ${12 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textAlign = "center";
      ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
      let taken = -Infinity;
      for (const mark of marks) {
        if (mark.at < times[0] || mark.at > times[times.length - 1]) continue;
        const x = Math.round(plot.valToPos(mark.at, "x", true));
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        if (Math.abs(x - taken) > 24 * devicePixelRatio) {
          ctx.fillText(String(mark.number), x, bbox.top - 4 * devicePixelRatio);
          taken = x;
        }
      }
      ctx.restore();
    };
    const drawBounds = (plot) => {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.strokeStyle = colour.bad;
      ctx.fillStyle = colour.bad;
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.font = `600 ${12 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textBaseline = "bottom";
      ctx.textAlign = "left";
      ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
      for (const bound of bounds) {
        const y = Math.round(plot.valToPos(bound.value, "y", true));
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
        ctx.fillText(bound.short, bbox.left + 6 * devicePixelRatio, y - 2 * devicePixelRatio);
      }
      ctx.restore();
    };
    const drawNames = (plot) => {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.font = `600 ${12 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textBaseline = "middle";
      ctx.textAlign = "left";
      const placed = lines
        .map((line) => ({ line, value: line.values.findLast((each) => each !== null) }))
        .filter((each) => each.value !== undefined)
        .map((each) => ({ ...each, y: plot.valToPos(each.value, "y", true) }))
        .sort((one, other) => one.y - other.y);
      let taken = -Infinity;
      for (const each of placed) {
        each.y = Math.max(each.y, taken + 14 * devicePixelRatio);
        taken = each.y;
      }
      // The lowest is no lower than the axis, below which its times are.
      const over = Math.max(0, taken - bbox.top - bbox.height);
      for (const each of placed) {
        ctx.fillStyle = colour[each.line.tone ?? "ink"];
        ctx.fillText(each.line.label, bbox.left + bbox.width + 6 * devicePixelRatio, each.y - over);
      }
      ctx.restore();
    };
    const axis = { stroke: colour.muted, font: "12px system-ui, sans-serif", ticks: { show: false } };
    const most = Math.max(...lines.flatMap((line) => line.values.map((each) => each ?? 0)), ...bounds.map((each) => each.value), unit === "%" ? 1 : 4);
    this.plot = new window.uPlot(
      {
        width,
        height: HEIGHT,
        padding: [18, 84, 0, 0],
        legend: { show: false },
        cursor: { sync: { key: "last-hour" }, drag: { x: false, y: false }, points: { show: true } },
        scales: { x: { time: true }, y: { range: [0, most * 1.15] } },
        axes: [
          { ...axis, grid: { show: false }, space: 60, size: 24, values: (_, splits) => splits.map((at) => new Date(at * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })) },
          { ...axis, grid: { stroke: colour.line, width: 1 }, space: 44, size: 44, values: (_, splits) => splits.map((value) => `${Number(value.toPrecision(3)).toLocaleString("en")}${unit === "%" ? "%" : ""}`) },
        ],
        series: [
          {},
          ...lines.map((line, index) => ({
            label: line.label,
            stroke: colour[line.tone ?? "ink"],
            width: 1.8,
            dash: DASHES[index % DASHES.length],
            spanGaps: false,
            points: { show: false },
          })),
        ],
        hooks: { draw: [drawMarks, drawBounds, drawNames] },
      },
      [times, ...lines.map((line) => line.values)],
      this.box.current,
    );
  }

  render({ label, lines, times, bounds }) {
    const now = lines.map((line) => `${line.label} ${line.values.findLast((each) => each !== null) ?? "nothing"}`);
    return html`<div><div ref=${this.box} class="plot" role="img" aria-label="${label}: ${[...now, said(bounds)].filter(Boolean).join(", ")}"></div>
      ${times.length < 2 ? html`<p class="muted">The first minute is not over. A point is kept every half minute, for an hour.</p>` : null}</div>`;
  }
}
