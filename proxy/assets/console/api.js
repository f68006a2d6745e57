// The admin API, as the console asks it: below the page's own address, behind whatever prefix.

/** A refusal: a problem document (RFC 9457). */
export class Refused extends Error {
  /** @param {number} status @param {{detail?: string, type?: string, title?: string}} problem */
  constructor(status, problem) {
    super(problem.detail || problem.title || `status ${status}`);
    this.status = status;
    this.type = problem.type ?? "about:blank";
  }
}

/** No answer at all, or none of Segue's: the process is away, or the network is. */
export class Unreachable extends Error {}

const KEPT = "segue-token";

/** Asks with a token in a field, never in an address; or with none, where a proxy says who asks. */
export class Api {
  constructor() {
    this.base = new URL("../api/v1/", document.baseURI);
    /** @type {string} */
    this.token = sessionStorage.getItem(KEPT) ?? "";
  }

  /** @param {string} token @param {boolean} keep for this tab, over a reload of the page */
  use(token, keep) {
    this.token = token;
    if (keep && token) sessionStorage.setItem(KEPT, token);
    else sessionStorage.removeItem(KEPT);
  }

  /**
   * Ask; the answer's JSON.
   * @param {string} path below the API
   * @param {{method?: string, body?: object, revision?: number|null, signal?: AbortSignal}} [more]
   * @returns {Promise<any>}
   */
  async ask(path, { method = "GET", body, revision, signal } = {}) {
    const response = await this.send(path, { method, body, revision, signal });
    try {
      return await response.json();
    } catch {
      throw new Unreachable("the answer broke off");
    }
  }

  /** Ask, and take what streams. @returns {Promise<Response>} */
  async send(path, { method = "GET", body, revision, signal, fields = {} } = {}) {
    /** @type {Record<string, string>} */
    const headers = { Accept: "application/json", ...fields };
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (revision !== undefined && revision !== null) headers["If-Match"] = `"${revision}"`;
    let response;
    try {
      response = await fetch(new URL(path, this.base), {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal,
        cache: "no-store",
        redirect: "error",
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Unreachable("no answer");
    }
    if (response.ok) return response;
    const isProblem = (response.headers.get("Content-Type") ?? "").startsWith("application/problem+json");
    // What a proxy in front says by itself is not Segue's word.
    if (!isProblem) throw new Unreachable(`status ${response.status}, not by Segue`);
    throw new Refused(response.status, await response.json().catch(() => ({})));
  }
}
