// A job as it is built: frames tell everything; REST is asked once for each time that the socket has opened.
import { unknown, withFrame, withRest } from "./job_record.js";

/** Events: `change`, after anything that is shown has changed. */
export class LiveBuild extends EventTarget {
  /** @param {import("./segue-client.js").SegueClient} client @param {string} jobId */
  constructor(client, jobId) {
    super();
    this.client = client;
    this.record = unknown(jobId);
    this.isLoaded = false;
    /** "connecting", "live", "waiting" or "ended" */
    this.state = "connecting";
    this.endReason = "";
    /** What the server has refused last. */
    this.error = "";
    /** @type {import("./segue-client.js").RequestError|null} */
    this.problem = null;
    this.connection = client.watch(jobId);
    this.connection.addEventListener("open", () => {
      this.#set({ state: "live" });
      void this.#catchUp();
    });
    this.connection.addEventListener("message", (event) => this.#heard(/** @type {CustomEvent} */ (event).detail));
    this.connection.addEventListener("waiting", () => {
      this.#set({ state: "waiting" });
      // A handshake that is refused tells a browser nothing: the API says why, once.
      if (!this.isLoaded && !this.problem) void this.#catchUp();
    });
    this.connection.addEventListener("end", (event) => {
      const { code, reason } = /** @type {CustomEvent} */ (event).detail;
      this.#set({ state: "ended", endReason: reason || `close code ${code}` });
    });
  }

  open() {
    void this.connection.open();
  }

  close() {
    this.connection.close();
  }

  /** @param {string} content @returns {boolean} whether it was sent */
  say(content) {
    this.#set({ error: "" });
    return this.connection.send({ kind: "chat", content });
  }

  /** Take what an answer of the API has told. @param {(record: import("./job_record.js").JobRecord) => any} change */
  change(change) {
    this.#set({ record: { ...this.record, ...change(this.record) } });
  }

  /** @param {any} frame */
  #heard(frame) {
    if (frame.kind === "error") this.#set({ error: String(frame.message) });
    else this.#set({ record: withFrame(this.record, frame) });
  }

  async #catchUp() {
    try {
      // The socket is open before: what happens while these are on their way comes as a frame.
      const [job, app] = await Promise.all([
        this.client.request("GET", this.client.one("jobs", this.record.id)),
        this.client.request("GET", `${this.client.paths.apps}by-job/${encodeURIComponent(this.record.id)}/`),
      ]);
      this.#set({ record: withRest(this.record, job, app), isLoaded: true, problem: null });
    } catch (error) {
      const problem = /** @type {import("./segue-client.js").RequestError} */ (error);
      this.#set({ problem });
      if ([401, 403, 404].includes(problem.status)) this.close();
    }
  }

  /** @param {object} values */
  #set(values) {
    Object.assign(this, values);
    this.dispatchEvent(new Event("change"));
  }
}
