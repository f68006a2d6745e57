// The console: which page is shown, which dialog is open, and what was done last.
import { Api } from "./api.js";
import { ChangeDialog } from "./change_dialog.js";
import { Dialog } from "./dialog.js";
import { Export } from "./export.js";
import * as historyPage from "./history.js";
import { KEYS, areOn, meant, moveFocus, turn } from "./keys.js";
import { DropException, EverythingOff, RampAct, RestoreAll, StartRamp, Undo } from "./order_dialogs.js";
import * as overviewPage from "./overview.js";
import { Away, PAGES, Side, Tabs, Top } from "./shell.js";
import { SignIn } from "./sign_in.js";
import { Store } from "./store.js";
import { hindrance, undoHindrance } from "./rights.js";
import * as sunsetPage from "./sunset.js";
import * as switchesPage from "./switches.js";
import * as upstreamsPage from "./upstreams.js";
import { Icon } from "./icons.js";
import { count, several } from "./words.js";
import { Patterns } from "./flow_picture.js";
import { Component, html, render } from "./view.js";

/** Each page: what shows it, what it wants to know, and without which of that it has nothing to show. */
const SHOWN = {
  overview: [overviewPage.Overview, overviewPage.WANTS, ["flow", "switches", "status"]],
  switches: [switchesPage.Switches, switchesPage.WANTS, ["switches"]],
  history: [historyPage.History, historyPage.WANTS, ["revisions"]],
  upstreams: [upstreamsPage.Upstreams, upstreamsPage.WANTS, ["upstreams"]],
  sunset: [sunsetPage.Sunset, sunsetPage.WANTS, ["sunset"]],
};
const DIALOGS = { change: ChangeDialog, drop: DropException, export: Export, "everything-off": EverythingOff, restore: RestoreAll, "sunset-report": sunsetPage.Report, undo: Undo, ramp: RampAct, "start-ramp": StartRamp };
const NEEDED = { change: ["switches"], drop: ["switches"], export: ["switches"], "everything-off": ["switches", "flow"], restore: ["switches"], "sunset-report": ["sunset"], undo: ["revisions"], ramp: [], "start-ramp": ["switches"] };
const TOAST = 10000;
const SETTLED = ["switches", "replicas", "revisions", "guards"];

/** What the fragment says: page, what is chosen in it, and filters. Never a token, nor a message. */
function routeOf(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [page, ...rest] = path.split("/").map(decodeURIComponent);
  return { page: SHOWN[page] ? page : "overview", rest: rest.join("/"), query: new URLSearchParams(query) };
}

class Console extends Component {
  constructor() {
    super();
    this.store = new Store(new Api());
    this.state = { route: routeOf(location.hash), dialog: null, toast: null, isUtc: false, now: Date.now() / 1000 };
    this.open = (name, props) => this.openDialog(name, props);
    this.close = () => this.setState({ dialog: null });
    this.made = (answer) => this.tell(answer);
  }

  componentDidMount() {
    this.store.subscribe(() => this.setState({ now: Date.now() / 1000 }));
    addEventListener("hashchange", () => this.turnTo());
    addEventListener("keydown", (event) => this.key(event));
    this.turnTo();
    this.store.begin();
  }

  turnTo() {
    const route = routeOf(location.hash);
    const before = this.state.route.page;
    this.setState({ route, dialog: null });
    this.store.want([...new Set([...SHOWN[route.page][1], "replicas", "switches"])]);
    document.title = `${PAGES.find(([name]) => name === route.page)[1]} · Segue`;
    if (before === route.page) return;
    // The beginning of a page is not under the bar at the top.
    document.getElementById("page")?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  async openDialog(name, props) {
    // What a dialog builds on is to be what is in force now, and not of some seconds ago.
    await this.store.refresh(NEEDED[name]);
    if (name === "undo" && !this.store.part("revisions").value?.revisions.length) return; // Nothing was done yet.
    if (!this.store.isAway && NEEDED[name].every((each) => this.store.part(each).value)) this.setState({ dialog: { name, props } });
  }

  async tell(answer) {
    this.setState({ dialog: null, toast: { answer } });
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => this.setState({ toast: null }), TOAST);
    await this.store.refresh(SETTLED.filter((each) => this.store.wanted.has(each)));
  }

  key(event) {
    if (!this.store.who || this.state.dialog) return;
    const found = meant(event, PAGES.map(([name]) => name));
    if (!found) return;
    event.preventDefault();
    if (found.page) location.hash = `#/${found.page}`;
    if (found.move) moveFocus(found.move);
    if (found.act === "help") this.setState({ dialog: { name: "help" } });
    if (found.act === "change") {
      const name = document.activeElement?.closest("[data-switch]")?.dataset.switch;
      if (name && !hindrance(this.store, name)) this.open("change", { name });
    }
    if (found.act === "undo" && !undoHindrance(this.store, this.store.part("revisions").value?.revisions.slice(0, 1) ?? [])) this.open("undo", {});
  }

  render(_, { route, dialog, toast, isUtc, now }) {
    const { store } = this;
    if (store.stranger !== null && !store.who) return html`<${SignIn} store=${store} />`;
    if (!store.who) return html`<main class="sign-in">${store.isAway ? html`<${Away} store=${store} now=${now} wants=${[]} />` : html`<p class="muted" role="status">Asking who you are.</p>`}</main>`;
    const [Page, wants, needs] = SHOWN[route.page];
    const Chosen = dialog ? DIALOGS[dialog.name] : null;
    return html`<a class="skip" href="#page" onClick=${(event) => { event.preventDefault(); document.getElementById("page").focus(); }}>To the page</a>
      <div class="app ${store.isAway ? "stale" : ""}"><${Top} store=${store} now=${now} isUtc=${isUtc} onClock=${() => this.setState({ isUtc: !isUtc })} onSignOut=${() => store.signOut()} onHelp=${() => this.setState({ dialog: { name: "help" } })} />
      <${Side} store=${store} page=${route.page} open=${this.open} />
      <main id="page" tabindex="-1"><${Away} store=${store} now=${now} wants=${wants} />${store.isAway && !needs.every((name) => store.part(name).value) ? unread : html`<${Page} store=${store} route=${route} open=${this.open} go=${(hash) => { location.hash = hash; }} />`}</main></div>
      <${Patterns} /><${Tabs} page=${route.page} />
      <div class="toasts" role="status">${toast ? this.toast(toast.answer) : null}</div>
      ${Chosen ? html`<${Chosen} key=${dialog.name} store=${store} ...${dialog.props} onClose=${this.close} made=${this.made} />` : null}
      ${dialog?.name === "help" ? help(this.close) : null}`;
  }

  toast({ revision, changed, sockets }) {
    if (!changed || !revision) return html`<div class="toast"><${Icon} name="check" /> It was so already: nothing was changed.</div>`;
    const replicas = this.store.part("replicas").value?.replicas ?? [];
    const has = replicas.filter((each) => each.revision >= revision.number).length;
    const where = replicas.length ? `on ${count(has)} of ${several(replicas.length, "replica")}` : "here";
    const older = sockets.filter((each) => each.revision !== revision.number).reduce((sum, each) => sum + each.websockets, 0);
    return html`<div class="toast"><${Icon} name="check" /><span>Revision ${revision.number} is in force ${where}.${older ? ` ${several(older, "socket keeps its own", "sockets keep theirs")}.` : ""}</span>
      <button type="button" class="button" onClick=${() => this.open("undo", {})}>Undo</button></div>`;
  }
}

const unread = html`<section class="panel"><h1>Not read yet</h1><p class="muted">Nothing of this page had been read when the connection was lost. It is read when there is one.</p></section>`;

const help = (close) => html`<${Dialog} label="Keys" onClose=${close}><header><h2>Keys</h2></header><div class="body"><dl class="pairs">${KEYS.map(([key, text]) => html`<dt key=${key}><kbd>${key}</kbd></dt><dd>${text}</dd>`)}</dl>
  <label class="check"><input type="checkbox" checked=${areOn()} onChange=${(event) => turn(event.target.checked)} /><span>Keys are on</span></label></div>
  <footer><button type="button" class="button go" data-first onClick=${close}>Close</button></footer><//>`;

render(html`<${Console} />`, document.getElementById("console"));
