// The flow as a picture: clients, switches, servers; widths by live rate. Drawn at its true width.
import { LANE_WORDS, cohortsOf, upstreamsOf } from "./flow_lanes.js";
import { FailIcon, StateIcon } from "./icons.js";
import { count, rate, several, written } from "./words.js";
import { Component, createRef, html } from "./view.js";

const NARROW = 760;
const LEAST = 2;
const TALL = 150;

/** Widths mean the same from second to second: the scale moves when the sum leaves half to double. */
class Scale {
  constructor() {
    this.full = 0;
  }

  /** @param {number} sum @param {number} room pixels */
  per(sum, room) {
    if (!this.full || sum > this.full || sum < this.full / 2) this.full = Math.max(sum * 1.25, 1);
    return room / this.full;
  }
}

const fill = (kind, dialect) => {
  if (kind === "untouched") return "as-came";
  return dialect;
};

const ribbon = (x0, y0, x1, y1, width) => {
  const middle = (x0 + x1) / 2;
  return `M${x0} ${y0}C${middle} ${y0} ${middle} ${y1} ${x1} ${y1}v${width}C${middle} ${y1 + width} ${middle} ${y0 + width} ${x0} ${y0 + width}z`;
};

export class FlowPicture extends Component {
  constructor() {
    super();
    this.state = { width: 0 };
    this.box = createRef();
    this.scale = new Scale();
  }

  componentDidMount() {
    this.sizes = new ResizeObserver(([entry]) => this.setState({ width: Math.round(entry.contentRect.width) }));
    this.sizes.observe(this.box.current);
  }

  componentWillUnmount() {
    this.sizes.disconnect();
  }

  render({ flow, switches, connections, status }, { width }) {
    const cohorts = cohortsOf(flow, switches, connections);
    const upstreams = upstreamsOf(flow, status);
    const sum = cohorts.reduce((total, each) => total + each.rate, 0);
    const perSecond = this.scale.per(sum, TALL);
    const drawn = width >= NARROW ? this.wide(width, cohorts, upstreams, perSecond) : width ? this.narrow(width, cohorts, upstreams) : null;
    return html`<div ref=${this.box} class="flow">
      ${drawn}
      ${sum === 0 ? html`<p class="muted">No message to a client in the last ${Math.round(flow.seconds) || 10} s.
        Widths appear when something flows.</p>` : null}
      ${flowTable(cohorts, upstreams)}
    </div>`;
  }

  wide(width, cohorts, upstreams, perSecond) {
    const bar = 12;
    const left = 190;
    const boxLeft = Math.round(width * 0.4);
    const boxWidth = Math.min(270, Math.round(width * 0.25));
    const boxRight = boxLeft + boxWidth;
    const right = width - 215;
    const trunk = Math.round(boxRight + (right - boxRight) * 0.4);
    let y = 8;
    const shapes = [];
    const trunkTop = 30;
    let trunkAt = trunkTop;
    for (const cohort of cohorts) {
      const lanes = cohort.lanes.map((lane) => ({ ...lane, size: Math.max(LEAST, lane.rate * perSecond) }));
      const total = lanes.reduce((size, lane) => size + lane.size, 0);
      const heads = Math.max(1, cohort.switches.length);
      const boxHeight = 14 + heads * 42 + lanes.reduce((size, lane) => size + Math.max(lane.size, 22) + 4, 0) + (cohort.failed ? 26 : 0);
      const height = Math.max(boxHeight, 46 + cohort.versions.length * 18);
      const barTop = y + 26;
      shapes.push(html`<text x=${left} y=${y + 14} text-anchor="end" class="strong">${cohort.name}
        <tspan class="quiet"> ${rate(cohort.rate)}/s · ${several(cohort.sockets, "socket")}</tspan></text>`);
      shapes.push(html`<rect class="bar-ink" x=${left} y=${barTop} width=${bar} height=${Math.max(total, 4)} />`);
      cohort.versions.forEach((version, index) => {
        shapes.push(html`<text x=${left - 8} y=${barTop + 12 + index * 18} text-anchor="end"><tspan class="code">${version.version}</tspan>
          <tspan class="quiet"> ${rate(version.rate)}/s</tspan></text>`);
      });
      shapes.push(html`<rect class="box" x=${boxLeft} y=${y + 0.5} width=${boxWidth} height=${boxHeight} rx="6" />`);
      cohort.switches.forEach((each, index) => {
        const top = y + 8 + index * 42;
        shapes.push(html`<text x=${boxLeft + 12} y=${top + 13} class="code strong">${each.switch}</text>`);
        shapes.push(html`<g transform="translate(${boxLeft + 12} ${top + 20})"><${StateIcon} state=${each.state} percent=${each.percent} /></g>`);
        shapes.push(html`<text x=${boxLeft + 32} y=${top + 31} class="strong">${written(each.state, each.percent)}<tspan
          class="quiet">${each.exceptions.length ? ` · ${several(each.exceptions.length, "exception")}` : ""}</tspan></text>`);
      });
      if (!cohort.switches.length) {
        shapes.push(html`<text x=${boxLeft + 12} y=${y + 26} class="quiet">nothing is rewritten</text>`);
      }
      let from = barTop;
      let laneTop = y + 14 + heads * 42;
      for (const lane of lanes) {
        const room = Math.max(lane.size, 22);
        const at = laneTop + (room - lane.size) / 2;
        const before = fill(lane.kind, cohort.dialect);
        shapes.push(html`<path class="lane ${before}" d=${ribbon(left + bar, from, boxLeft, at, lane.size)} />`);
        shapes.push(html`<rect class="lane ${lane.kind === "rewritten" ? "old" : before}" x=${boxLeft} y=${at} width=${boxWidth} height=${lane.size} />`);
        if (lane.kind === "rewritten") shapes.push(html`<rect class="lane turn-${cohort.dialect}" x=${boxLeft} y=${at} width=${boxWidth} height=${lane.size} />`);
        const other = lane.kind === "rewritten" ? (cohort.dialect === "new" ? "old" : "new") : before;
        shapes.push(html`<path class="lane ${other}" d=${ribbon(boxRight, at, trunk, trunkAt, lane.size)} />`);
        const words = `${LANE_WORDS[lane.kind] ?? lane.kind} `;
        const figure = `${rate(lane.rate)}/s`;
        shapes.push(html`<rect class="label" x=${boxLeft + 12} y=${at + lane.size / 2 - 9} width=${widthOf(words + figure) + 14} height="18" rx="3" />`);
        shapes.push(html`<text x=${boxLeft + 18} y=${at + lane.size / 2 + 4}>${words}<tspan class="strong">${figure}</tspan></text>`);
        from += lane.size;
        trunkAt += lane.size;
        laneTop += room + 4;
      }
      if (cohort.failed) {
        shapes.push(html`<g class="bad" transform="translate(${boxLeft + 12} ${laneTop + 2})"><${FailIcon} size=${14} /></g>`);
        shapes.push(html`<text class="bad strong" x=${boxLeft + 32} y=${laneTop + 14}>${rate(cohort.failed)}/s failed</text>`);
      }
      y += height + 16;
    }
    const trunkHeight = Math.max(trunkAt - trunkTop, 4);
    shapes.push(html`<rect class="bar-ink" x=${trunk} y=${trunkTop} width="6" height=${trunkHeight} />`);
    const whole = upstreams.reduce((total, each) => total + each.rate, 0);
    let from = trunkTop;
    let top = trunkTop;
    for (const upstream of upstreams) {
      const size = whole ? Math.max(LEAST, (trunkHeight * upstream.rate) / whole) : LEAST;
      const isDown = upstream.up.health !== "healthy" || !upstream.up.reachable;
      shapes.push(html`<path class="lane ${isDown ? "down" : "plain"}" d=${ribbon(trunk + 6, from, right, top, size)} />`);
      shapes.push(html`<rect class="bar-ink" x=${right} y=${top} width=${bar} height=${Math.max(size, 4)} />`);
      const text = right + bar + 8;
      shapes.push(html`<text x=${text} y=${top + 12} class="strong">${short(upstream.name)} <tspan class="quiet">${rate(upstream.rate)}/s</tspan></text>`);
      shapes.push(html`<text x=${text} y=${top + 30} class=${isDown ? "bad strong" : "quiet"}>${isDown ? upstream.up.trouble ?? upstream.up.health : "up"} · ${several(upstream.up.websockets, "socket")}</text>`);
      if (upstream.kinds.length) {
        shapes.push(html`<text x=${text} y=${top + 48} class="quiet">says <tspan class="code">${upstream.kinds.map((each) => each.kind).join(", ")}</tspan></text>`);
      }
      from += size;
      top += Math.max(size, 56) + 14;
    }
    const height = Math.max(y, top, trunkAt) + 4;
    return html`<svg width=${width} height=${height} viewBox="0 0 ${width} ${height}" role="img" aria-label="The flow; the table after it has the same figures">${shapes}</svg>`;
  }

  narrow(width, cohorts, upstreams) {
    return html`<div class="flow-list" aria-hidden="true">${cohorts.map((cohort) => html`<div key=${cohort.name}>
      <p><strong>${cohort.name}</strong> <span class="muted small">${rate(cohort.rate)}/s · ${several(cohort.sockets, "socket")}</span></p>
      <svg width=${width} height="28" viewBox="0 0 ${width} 28">${this.stacked(width, cohort)}</svg>
      <ul class="plain-list small">${cohort.lanes.map((lane) => html`<li key=${lane.key}><svg width="12" height="12"><rect width="12" height="12" class="lane ${fill(lane.kind, cohort.dialect)}" /></svg> ${LANE_WORDS[lane.kind] ?? lane.kind} <strong>${rate(lane.rate)}/s</strong></li>`)}
        ${cohort.failed ? html`<li class="bad"><${FailIcon} size=${12} /> <strong>${rate(cohort.failed)}/s failed</strong></li>` : null}</ul>
      ${cohort.switches.map((each) => html`<p key=${each.switch} class="small"><code>${each.switch}</code> <${StateIcon} state=${each.state} percent=${each.percent} /> ${written(each.state, each.percent)}</p>`)}
    </div>`)}
    <div>${upstreams.map((each) => html`<p key=${each.name}><strong>${short(each.name)}</strong> <span class="small muted">${rate(each.rate)}/s · ${each.up.health === "healthy" && each.up.reachable ? "up" : each.up.trouble ?? each.up.health}</span></p>`)}</div></div>`;
  }

  stacked(width, cohort) {
    let x = 0;
    return cohort.lanes.map((lane) => {
      const size = cohort.rate ? Math.max(LEAST, (width * lane.rate) / cohort.rate) : 0;
      const shape = html`<rect key=${lane.key} class="lane ${fill(lane.kind, cohort.dialect)}" x=${x} y="4" width=${size} height="20" />`;
      x += size;
      return shape;
    });
  }
}

const measuring = document.createElement("canvas").getContext("2d");

/** How wide a label is in the reader's own letters. @param {string} text */
function widthOf(text) {
  measuring.font = `600 12px ${getComputedStyle(document.body).fontFamily}`;
  return measuring.measureText(text).width;
}

const short = (name) => (name.length > 24 ? `${name.slice(0, 23)}…` : name);

/** The hatches: old and new are told apart without their hue. Defined once, for all drawings. */
export const Patterns = () => html`<svg width="0" height="0" class="patterns" aria-hidden="true"><defs>
  <pattern id="hatch-old" width="5" height="5" patternUnits="userSpaceOnUse"><rect class="soft" width="5" height="5" /><path class="stroke" d="M0 1.3h5" stroke-width="2" /></pattern>
  <pattern id="hatch-plain" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="ground" width="6" height="6" /><path class="stroke-edge" d="M0 1h6" stroke-width="1.6" /></pattern>
  <linearGradient id="turn-new" x1="0" x2="1"><stop class="stop-fill" offset=".3" /><stop class="stop-fill clear" offset=".7" /></linearGradient>
  <linearGradient id="turn-old" x1="0" x2="1"><stop class="stop-fill clear" offset=".4" /><stop class="stop-fill" offset=".75" /></linearGradient>
</defs></svg>`;

/** The same figures for screen readers, and whoever wants to read them. */
function flowTable(cohorts, upstreams) {
  return html`<details class="small"><summary>The same as a table</summary><div class="scroll" tabindex="0" role="region" aria-label="The flow as a table"><table>
    <thead><tr><th scope="col">clients</th><th scope="col">what becomes of messages to them</th><th scope="col" class="figure">per second</th></tr></thead>
    <tbody>${cohorts.flatMap((cohort) => [
      html`<tr><th scope="row">${cohort.name}</th><td>all, to ${count(cohort.sockets)} sockets</td><td class="figure">${rate(cohort.rate)}</td></tr>`,
      ...cohort.lanes.map((lane) => html`<tr><td></td><td>${LANE_WORDS[lane.kind] ?? lane.kind}${lane.mapping === "none" ? "" : html` (<code>${lane.mapping}</code>)`}</td><td class="figure">${rate(lane.rate)}</td></tr>`),
      cohort.failed ? html`<tr><td></td><td class="bad">failed</td><td class="figure">${rate(cohort.failed)}</td></tr>` : null,
    ])}
    ${upstreams.map((each) => html`<tr><th scope="row">${each.name}</th><td>sent by this server</td><td class="figure">${rate(each.rate)}</td></tr>`)}</tbody>
  </table></div></details>`;
}
