// What the pages know of the process: asked for again and again while somebody looks, and kept with its age.
import { Refused, Unreachable } from "./api.js";
import { readEvents } from "./event_lines.js";

/** What can be known: where it is asked, and after how many milliseconds again. */
const PARTS = {
  flow: ["flow", 3000],
  switches: ["switches", 5000],
  connections: ["connections", 10000],
  status: ["status", 5000],
  replicas: ["replicas", 5000],
  revisions: ["revisions?limit=100", 30000],
  mappings: ["mappings", 60000],
  reloads: ["reloads", 60000],
  "last-hour": ["last-hour", 15000],
  guards: ["", 10000],
  upstreams: ["upstreams", 5000],
  sunset: ["sunset", 15000],
};

/** Switches whose guards are asked for: those that do something, the first of them. */
const MOST_GUARDS = 16;

/** What a change of the control plane touches; of all other events, the state of the process. */
const TOUCHED = {
  switches_changed: ["switches", "guards", "replicas", "revisions", "connections", "mappings"],
  reload_failed: ["status", "reloads"],
  reloaded: ["reloads", "switches", "status", "replicas", "mappings", "revisions", "upstreams", "sunset"],
  upstream_ejected: ["status", "upstreams"],
  upstream_recovered: ["status", "upstreams"],
};

/** Seconds after which it is tried again, while there is no answer. */
const AGAIN = [1, 2, 4, 8, 15];

/**
 * @typedef {{value: any, at: number, problem: Error|null}} Known
 * A part of what is known: null before the first answer; `at` in seconds since 1970.
 */

/** A switch's name, as a path has it. @param {string} name */
export const pathOf = (name) => name.split("/").map(encodeURIComponent).join("/");

export class Store {
  /** @param {import("./api.js").Api} api */
  constructor(api) {
    this.api = api;
    /** @type {any} */
    this.who = null;
    /** Why somebody has to sign in; null while they need not. @type {string|null} */
    this.stranger = null;
    /** Since when there is no answer, in seconds since 1970; 0 while there is. */
    this.awaySince = 0;
    this.nextTry = 0;
    this.tries = 0;
    /** @type {Map<string, Known>} */
    this.known = new Map();
    /** @type {Set<string>} */
    this.wanted = new Set();
    /** @type {Map<string, Promise<void>>} */
    this.asking = new Map();
    this.listeners = new Set();
    this.lastEvent = "";
    this.streaming = null;
    this.timer = setInterval(() => this.tick(), 500);
    document.addEventListener("visibilitychange", () => this.tick());
  }

  get isAway() {
    return this.awaySince > 0;
  }

  /** @param {() => void} told */
  subscribe(told) {
    this.listeners.add(told);
  }

  changed() {
    for (const told of this.listeners) told();
  }

  /** What is known of a part. @param {string} name @returns {Known} */
  part(name) {
    return this.known.get(name) ?? { value: null, at: 0, problem: null };
  }

  /** Say which parts are looked at now. @param {string[]} names */
  want(names) {
    this.wanted = new Set(names);
    this.tick();
  }

  /** Ask for parts at once: what is known then is of a moment after this call. @param {string[]} names */
  async refresh(names) {
    await Promise.all(
      names.map(async (name) => {
        // An answer that is on its way may be old news.
        await this.asking.get(name);
        await this.ask(name);
      }),
    );
  }

  /** Find out who asks; what a page begins with, and comes back with. */
  async begin() {
    try {
      this.who = await this.api.ask("whoami");
      this.stranger = null;
      this.back();
      this.stream();
      this.tick();
    } catch (error) {
      this.failed(error);
    }
    this.changed();
  }

  /** Somebody signs in. @param {string} token @param {boolean} keep */
  async signIn(token, keep) {
    this.api.use(token, keep);
    await this.begin();
  }

  signOut(why = "") {
    this.api.use("", false);
    this.streaming?.abort();
    this.streaming = null;
    this.who = null;
    this.known.clear();
    this.stranger = why;
    this.changed();
  }

  tick() {
    if (document.hidden) return;
    const now = Date.now() / 1000;
    if (this.isAway) {
      if (now >= this.nextTry) {
        this.nextTry = now + 3600; // Until this try has failed.
        this.begin();
      }
      this.changed();
      return;
    }
    if (!this.who) return;
    for (const name of this.wanted) {
      const known = this.known.get(name);
      if (!known || (now - Math.abs(known.at)) * 1000 >= PARTS[name][1]) this.ask(name);
    }
    this.changed();
  }

  /** Ask for a part, unless it is being asked for. @param {string} name @returns {Promise<void>} */
  ask(name) {
    const running = this.asking.get(name);
    if (running || this.isAway) return running ?? Promise.resolve();
    const asked = this.read(name).finally(() => this.asking.delete(name));
    this.asking.set(name, asked);
    return asked;
  }

  /** @param {string} name */
  async read(name) {
    const before = this.part(name);
    try {
      const value = name === "guards" ? await this.guards() : await this.api.ask(PARTS[name][0]);
      this.known.set(name, { value, at: Date.now() / 1000, problem: null });
    } catch (error) {
      this.failed(error);
      // Asked again when its time has come, and not at each tick.
      if (error instanceof Refused) this.known.set(name, { ...before, at: Date.now() / 1000, problem: error });
    }
    this.changed();
  }

  /** What guards say, by the names of their switches. */
  async guards() {
    const { switches } = await this.api.ask("switches");
    const judged = switches.filter((each) => each.state !== "off").slice(0, MOST_GUARDS);
    const asked = judged.map((each) => this.api.ask(`switches/${pathOf(each.switch)}/guard`));
    const views = await Promise.all(asked);
    return Object.fromEntries(views.map((view) => [view.switch, view]));
  }

  /** @param {unknown} error */
  failed(error) {
    if (error instanceof Refused) {
      if (error.status === 401 || error.status === 429) {
        const asked = this.who !== null || this.api.token !== "";
        this.signOut(asked ? `${error.message}.` : "");
      } else if (this.who === null) {
        this.signOut(`${error.message}.`);
      }
      return;
    }
    if (!(error instanceof Unreachable)) throw error;
    const now = Date.now() / 1000;
    if (!this.isAway) {
      this.awaySince = now;
      this.tries = 0;
    }
    this.nextTry = now + AGAIN[Math.min(this.tries, AGAIN.length - 1)];
    this.tries += 1;
  }

  back() {
    if (!this.isAway) return;
    this.awaySince = 0;
    // What was missed is read, not guessed.
    for (const [name, known] of this.known) this.known.set(name, { ...known, at: 0 });
  }

  /** Listen to what the control plane does, for as long as there is a process. */
  async stream() {
    this.streaming?.abort();
    const ending = new AbortController();
    this.streaming = ending;
    try {
      const fields = this.lastEvent ? { "Last-Event-ID": this.lastEvent } : {};
      const response = await this.api.send("events", { signal: ending.signal, fields });
      await readEvents(response, ({ name, id }) => {
        if (id) this.lastEvent = id;
        if (name === "start" || name === "end") return;
        const touched = TOUCHED[name] ?? ["status"];
        this.refresh(touched.filter((each) => this.wanted.has(each)));
      });
    } catch {
      // Away, or as many streams as there can be: what is shown is asked for anyway.
    }
    if (this.streaming === ending && !ending.signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, 5000));
      if (this.streaming === ending && !this.isAway && this.who) this.stream();
    }
  }
}
