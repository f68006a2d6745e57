// What is around every page: the bar at the top, the navigation, and what is said of the connection.
import { Icon, Mark } from "./icons.js";
import { ActButton } from "./pieces.js";
import { hindrance } from "./rights.js";
import { clock, clockInZone, duration, utc } from "./words.js";
import { html } from "./view.js";

export const PAGES = [
  ["overview", "Overview"],
  ["switches", "Switches"],
  ["history", "History"],
  ["upstreams", "Upstreams"],
  ["sunset", "Sunset"],
];
/** Those that a phone has at its foot; the others are behind one more. */
const FOOT = ["overview", "switches", "live", "history"];
/** The first of those that somebody who was paged does not need first. */
const REST = ["sessions", "upstreams", "sunset", "configuration"];

/** Who agrees on which revision. @param {any} replicas */
export function agreement(replicas) {
  if (!replicas) return "";
  const all = replicas.replicas;
  const differing = all.filter((each) => !each.current);
  if (differing.length) return `${all.length - differing.length} of ${all.length} on revision ${replicas.newest}`;
  return all.length === 1 ? `1 process, revision ${replicas.newest}` : `${all.length} replicas agree on revision ${replicas.newest}`;
}

export function Top({ store, now, isUtc, onClock, onSignOut, onHelp }) {
  const replicas = store.part("replicas").value;
  return html`<header class="top"><a class="brand" href="#/overview"><${Mark} /><span>Segue</span><small class="wide">${location.host}</small></a>
    ${replicas ? html`<span class="chip wide">${agreement(replicas)}</span>` : null}<span class="grow"></span>
    ${store.isAway ? html`<span class="connection away"><${Icon} name="unplugged" size=${14} /> Disconnected ${duration(now - store.awaySince)}</span>` : html`<span class="connection ok"><span class="dot" aria-hidden="true"></span>Live</span>`}
    <button type="button" class="clock code" data-utc=${isUtc ? clockInZone(now) : utc(now)} title="Click for ${isUtc ? "your zone" : "UTC"}" onClick=${onClock}>${isUtc ? utc(now).slice(11) : clockInZone(now)}</button>
    <details class="who"><summary class="chip"><${Icon} name="person" size=${14} /> <span>${store.who.name}</span><span class="wide"> · ${store.who.role}</span></summary>
      <div class="panel menu"><p class="small">${store.who.name}, ${store.who.role}, by ${store.who.by}${store.who.cohorts ? `; may change ${store.who.cohorts.join(", ")}` : ""}${store.who.only_lowers ? "; may only lower" : ""}</p>
        <button type="button" class="button" onClick=${onHelp}>Keys</button>${store.who.by === "token" ? html`<button type="button" class="button" onClick=${onSignOut}>Sign out</button>` : null}</div></details></header>`;
}

const Links = ({ page, isRail, pages = PAGES }) => pages.map(([name, title], index) => html`${isRail && REST.includes(name) && !REST.includes(pages[index - 1]?.[0]) ? html`<hr class="parting" />` : null}<a key=${name} href="#/${name}" aria-current=${page === name ? "page" : null} title=${isRail ? title : null}><${Icon} name=${name} /><span>${title}</span>${isRail ? html`<span class="key" aria-hidden="true">${index + 1}</span>` : null}</a>`);

export function Side({ store, page, open }) {
  const isAllOff = store.part("switches").value?.all_off;
  return html`<nav class="side" aria-label="Pages"><${Links} page=${page} isRail=${true} /><span class="grow"></span>
    ${isAllOff ? null : html`<${ActButton} why=${hindrance(store)} kind="danger" title="Everything off…" aria-label="Everything off…" onClick=${() => open("everything-off", {})}><${Icon} name="off" size=${14} /><span>Everything off…</span><//>`}</nav>`;
}

export const Tabs = ({ page }) => {
  const more = PAGES.filter(([name]) => !FOOT.includes(name));
  return html`<nav class="tabs" aria-label="Pages, at the foot"><${Links} page=${page} isRail=${false} pages=${PAGES.filter(([name]) => FOOT.includes(name))} />
    <details key=${page} class="more"><summary class=${more.some(([name]) => name === page) ? "is" : ""}><${Icon} name="more" /><span>More</span></summary><div class="panel"><${Links} page=${page} isRail=${false} pages=${more} /></div></details></nav>`;
};

/** What is shown is old: since when, and when it is tried again. */
export function Away({ store, now, wants }) {
  if (!store.isAway) return null;
  const at = Math.max(0, ...wants.map((name) => store.part(name).at));
  const wait = Math.max(0, Math.min(15, Math.round(store.nextTry - now)));
  // What is told as it changes does not count seconds.
  return html`<section class="band away-band" aria-label="Connection"><span class="band-glyph"><${Icon} name="unplugged" size=${20} /></span>
    <div><span role="status"><strong>Disconnected.</strong> Changes wait until it is back.</span> <span>${at ? html`As of ${clock(at, true)}, ${duration(now - at)} ago. ` : null}${wait ? `Trying again in ${wait} s.` : "Trying again."}</span></div></section>`;
}
