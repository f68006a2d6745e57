// What is known of a job, from REST and from frames: pure, so that both can tell the same thing, in any order, once.

/**
 * @typedef {{key: string, id: number|null, role: string, sender: string, content: string, at: string}} Said
 * @typedef {{order: number, agent: string, message: string, at: string}} Step
 * @typedef {{id: string, prompt: string, status: string, note: string, steps: Step[], messages: Said[], app: any}} JobRecord
 */

/** A status never goes back. */
const ORDER = ["collecting", "queued", "running", "done", "failed"];
const rank = (/** @type {string} */ status) => Math.min(ORDER.indexOf(status), 3);

/**
 * A moment in one spelling: REST ends it with `Z`, frames with `+00:00`.
 * @param {string} at ISO 8601
 */
const moment = (at) => String(at).replace(/(\+00:00|Z)$/, "");

/** Which message it is: frames have no ids. @param {any} said @param {string} at */
const keyOf = (said, at) => JSON.stringify([moment(at), said.role, said.sender, said.content]);

/** @param {any[]} list @param {any} item @param {string} by */
const joined = (list, item, by) => {
  const index = list.findIndex((each) => each[by] === item[by]);
  if (index < 0) return [...list, item];
  return list.map((each, at) => (at === index ? { ...item, id: item.id ?? each.id } : each));
};

/** @param {string} id @returns {JobRecord} */
export const unknown = (id) => ({ id, prompt: "", status: "", note: "", steps: [], messages: [], app: null });

/**
 * What REST tells joins what frames have told since.
 * @param {JobRecord} known @param {any} job as `GET /api/jobs/<id>/` shows it @param {any} app of the job; null: none
 * @returns {JobRecord}
 */
export function withRest(known, job, app) {
  let { steps, messages } = known;
  for (const each of job.steps ?? []) {
    steps = joined(steps, { order: each.order, agent: each.agent_name, message: each.message, at: each.created_at }, "order");
  }
  // What is not in the transcript any more has been deleted, unless a frame has told it after.
  const told = (job.messages ?? []).map((/** @type {any} */ each) => ({
    key: keyOf(each, each.created_at), id: each.id, role: each.role, sender: each.sender, content: each.content, at: each.created_at,
  }));
  const keys = new Set(told.map((/** @type {Said} */ each) => each.key));
  messages = [...told, ...messages.filter((each) => each.id === null && !keys.has(each.key))];
  return {
    ...known, id: job.id, prompt: job.prompt, ...later(known, job.status, known.note || job.error_message || ""),
    steps: inOrder(steps), messages: byTime(messages), app: app ?? known.app,
  };
}

/**
 * What a frame tells. A kind that is not known changes nothing.
 * @param {JobRecord} known @param {any} frame
 * @returns {JobRecord}
 */
export function withFrame(known, frame) {
  switch (frame.kind) {
    case "status":
      return { ...known, ...later(known, frame.status, frame.message ?? "") };
    case "step":
      return { ...known, steps: inOrder(joined(known.steps, { order: frame.order, agent: frame.agent, message: frame.message, at: frame.timestamp }, "order")) };
    case "chat":
      return {
        ...known,
        messages: byTime(joined(known.messages, {
          key: keyOf(frame, frame.timestamp), id: null, role: frame.role, sender: frame.sender, content: frame.content, at: frame.timestamp,
        }, "key")),
      };
    case "app":
      return { ...known, app: { ...known.app, spec: frame.spec, prd_markdown: frame.prdMarkdown ?? known.app?.prd_markdown ?? "" } };
    default:
      return known;
  }
}

/** @param {JobRecord} known @param {string} status @param {string} note */
const later = (known, status, note) => (rank(status) < rank(known.status) ? {} : { status, note });
const inOrder = (/** @type {Step[]} */ steps) => [...steps].sort((one, other) => one.order - other.order);
const byTime = (/** @type {Said[]} */ all) => [...all].sort((one, other) => moment(one.at) < moment(other.at) ? -1 : Number(moment(one.at) !== moment(other.at)));
