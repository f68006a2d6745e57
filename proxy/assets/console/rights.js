// What whoever looks may do, by what `GET /whoami` says of them. It is for show: the API decides.
import { setting } from "./words.js";

const TURNS = ["operator", "admin"];
const ORDER = ["off", "shadow", "canary", "on"];

/**
 * Why something cannot be done by whoever looks, now; empty where it can.
 * @param {any} store
 * @param {string} [name] of the switch; empty for what touches all of them
 * @param {boolean} [rises] whether more is rewritten after it
 */
export function hindrance(store, name = "", rises = false) {
  const { who } = store;
  if (!TURNS.includes(who.role)) return "needs operator";
  if (who.cohorts !== null && !who.cohorts.includes(name.split("/")[0])) return `only ${who.cohorts.join(", ")}`;
  if (rises && who.only_lowers) return "only lowers";
  if (store.isAway) return "disconnected";
  return store.part("switches").value?.authority === "file" ? "the file decides" : "";
}

/** How much a setting has rewritten: more is higher. @param {string} text such as `canary 10%` */
export function height(text) {
  const { state, percent } = setting(text);
  return (state === "on" ? 100 : (percent ?? 0)) * ORDER.length + ORDER.indexOf(state);
}

/**
 * Why changes cannot be taken back by whoever looks; empty where they can, or where only the API can tell.
 * @param {any} store
 * @param {any[]} taken the revisions that are taken back, the newest first
 */
export function undoHindrance(store, taken) {
  const { who } = store;
  const scope = [...new Set(taken.flatMap((each) => each.scope))];
  const why = hindrance(store, scope.find((name) => hindrance(store, name)) ?? scope[0]);
  if (why) return why;
  return who.only_lowers && taken.length && undoRises(taken, store.part("switches").value) ? "only lowers" : "";
}

/** Whether taking changes back has more rewritten, as far as settings tell it. */
export function undoRises(taken, view) {
  if (taken.at(-1).was_all_off !== taken[0].all_off) return taken[0].all_off;
  const configured = (name) => view?.switches.find((each) => each.switch === name)?.configured;
  const then = Object.assign({}, ...taken.map((each) => each.before));
  const now = Object.assign({}, ...taken.map((each) => each.after).reverse());
  return Object.keys(then).some((name) => {
    const [before, after] = [then[name], now[name]].map((each) => each?.setting ?? configured(name));
    return before !== undefined && after !== undefined && height(before) > height(after);
  });
}
