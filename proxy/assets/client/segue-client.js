// The protocol of the new dialect, usable alone: connect, tell the version, come back, stay signed in.
import { Connection } from "./connection.js";
import { answered, PATHS, RequestError, TokenSession } from "./token_session.js";

export { Connection, RequestError, TokenSession };

/** The version that this client tells: it speaks `status`, `step`, `chat`, `app` and `error`. */
export const VERSION = "2.1.0";

/** Where the server has what is asked for; what a deployment has elsewhere is in `config.json`. */
const ROUTES = {
  jobs: "/api/jobs/", job_messages: "/api/job-messages/", apps: "/api/apps/", purge: "/api/jobs/purge/", sockets: "/ws/jobs/",
};

/**
 * @typedef {{base?: string, version?: string, header?: string|null, subprotocol?: string|null, paths?: Record<string, string>}
 *   & Omit<import("./token_session.js").SessionOptions, "paths">} ClientOptions
 *   `base`: an origin, where it is not the page's own; `header`, `subprotocol`: how the version is told, null: it is not
 */

/**
 * @example
 * const client = new SegueClient();
 * await client.session.login("ada@example.org", "correct horse");
 * const job = await client.request("POST", "/api/jobs/", { prompt: "A recipe box" });
 * const connection = client.watch(job.id);
 * connection.addEventListener("message", ({ detail }) => console.log(detail.kind, detail));
 * connection.addEventListener("open", () => connection.send({ kind: "chat", content: "For cooks" }));
 * await connection.open();
 */
export class SegueClient {
  /** @param {ClientOptions} options */
  constructor({ base = "", version = VERSION, header = "X-Client-Version", subprotocol = `client-version.${version}`, paths = {}, ...options } = {}) {
    this.base = base;
    this.subprotocol = subprotocol;
    this.paths = { ...PATHS, ...ROUTES, ...paths };
    /** Of each request: who is asking. @type {Record<string, string>} */
    this.fields = header ? { [header]: version } : {};
    this.session = new TokenSession(base, { ...options, paths: this.paths, fields: this.fields });
  }

  /** The path of one of what a route has. @param {"jobs"|"job_messages"|"apps"|"sockets"} route @param {string|number} id */
  one(route, id) {
    return `${this.paths[route]}${encodeURIComponent(id)}/`;
  }

  /**
   * Ask the API as whoever is signed in. A 401 leads to one renewal and one more attempt.
   * @param {string} method @param {string} path @param {object} [body] sent as JSON
   * @returns {Promise<any>} what it answers; null where there is no body
   * @throws {RequestError}
   */
  async request(method, path, body) {
    const access = await this.session.access();
    try {
      return await this.#send(method, path, body, access);
    } catch (error) {
      if (!(error instanceof RequestError) || error.status !== 401) throw error;
      return await this.#send(method, path, body, await this.session.renew(access));
    }
  }

  /**
   * The WebSocket of a job, not opened yet. Its address has a token that is good at each attempt.
   * @param {string} jobId
   */
  watch(jobId) {
    const address = async () => {
      const url = new URL(this.base + this.one("sockets", jobId), globalThis.location?.href);
      url.protocol = url.protocol.replace("http", "ws");
      // A browser cannot set fields of a handshake: the token is in the query, the version a subprotocol.
      url.searchParams.set("token", await this.session.access());
      return url.href;
    };
    return new Connection(address, this.subprotocol ? [this.subprotocol] : []);
  }

  /** @param {string} method @param {string} path @param {object|undefined} body @param {string} access */
  async #send(method, path, body, access) {
    /** @type {Record<string, string>} */
    const headers = { ...this.fields, Authorization: `Bearer ${access}` };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    return await answered(this.session.fetch, this.base + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  }
}
