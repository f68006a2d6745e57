// Who is signed in: both tokens, kept over reloads and shared by all tabs; renewed before their end, once for all.

/**
 * @typedef {{access: string, refresh: string, email: string, receivedAt: number}} Kept
 *   what is kept of a login; `receivedAt` is in milliseconds of this machine's clock
 * @typedef {{fetch?: typeof fetch, storage?: Storage, prefix?: string, margin?: number, fields?: Record<string, string>,
 *   paths?: {login: string, register: string, refresh: string, logout: string}}} SessionOptions
 */

export const PATHS = {
  login: "/api/auth/login/",
  register: "/api/auth/register/",
  refresh: "/api/auth/token/refresh/",
  logout: "/api/auth/logout/",
};

/** Seconds before an access token's end at which it is renewed. */
export const MARGIN = 300;

/** The longest a timer can wait, milliseconds. */
const LONGEST = 2 ** 31 - 1;

/** An answer that is no success. */
export class RequestError extends Error {
  /** @param {number} status 0 where no answer came @param {string} message @param {any} [body] what the server said */
  constructor(status, message, body = null) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/**
 * What a JWT says, unverified: good for a timer, and for nothing that has to be true.
 * @param {string} token
 * @returns {Record<string, any>} empty where it is no JWT
 */
export function claims(token) {
  try {
    const text = atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"));
    const read = JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (each) => each.charCodeAt(0))));
    return typeof read === "object" && read !== null ? read : {};
  } catch {
    return {};
  }
}

/**
 * When an access token is renewed: the margin before its end. Its life is counted from when it came, so that
 * a clock that is wrong renews neither too late nor all the time; of a short life half is waited.
 * @param {string} access @param {number} receivedAt milliseconds @param {number} margin seconds
 * @returns {number} milliseconds of this machine's clock; infinite where the token does not say
 */
export function renewalTime(access, receivedAt, margin = MARGIN) {
  const { exp, iat } = claims(access);
  if (typeof exp !== "number") return Infinity;
  const life = exp - (typeof iat === "number" ? iat : receivedAt / 1000);
  return receivedAt + Math.max(life - margin, life / 2) * 1000;
}

/** Events: `change` after each login, renewal and logout; `reason` says why a login ended by itself. */
export class TokenSession extends EventTarget {
  /** @param {string} base of the API, without a slash at its end; "" for the page's own origin @param {SessionOptions} options */
  constructor(base, options = {}) {
    super();
    this.base = base;
    this.fetch = options.fetch ?? ((input, init) => fetch(input, init));
    this.storage = options.storage ?? localStorage;
    this.paths = options.paths ?? PATHS;
    this.margin = options.margin ?? MARGIN;
    this.fields = options.fields ?? {};
    const prefix = options.prefix ?? "segue-client.";
    this.key = `${prefix}session`;
    this.lock = `${prefix}refresh`;
    this.channel = new BroadcastChannel(`${prefix}session`);
    this.channel.onmessage = (event) => this.#changed(event.data.reason);
    this.reason = "";
    /** @type {Promise<string>|null} */
    this.renewing = null;
    /** @type {number|undefined} */
    this.timer = undefined;
    // A machine that slept fires its timers late.
    this.look = () => void this.#renewIfDue();
    globalThis.document?.addEventListener("visibilitychange", this.look);
    this.#schedule();
  }

  /** @returns {Kept|null} */
  get kept() {
    try {
      const kept = JSON.parse(this.storage.getItem(this.key) ?? "null");
      return typeof kept?.access === "string" && typeof kept?.refresh === "string" ? kept : null;
    } catch {
      return null;
    }
  }

  get isSignedIn() {
    return this.kept !== null;
  }

  /** Stop timers and listening; the login stays. */
  close() {
    clearTimeout(this.timer);
    globalThis.document?.removeEventListener("visibilitychange", this.look);
    this.channel.close();
  }

  /** @param {string} email @param {string} password */
  async login(email, password) {
    this.#keep(await this.#post(this.paths.login, { email, password }), email);
  }

  /** @param {string} email @param {string} password @param {string} name */
  async register(email, password, name = "") {
    this.#keep(await this.#post(this.paths.register, name ? { email, password, name } : { email, password }), email);
  }

  /** End the login here and in every tab; the server is told, as far as it can be reached. */
  async logout() {
    const kept = this.kept;
    this.#forget("");
    if (kept) await this.#post(this.paths.logout, { refresh: kept.refresh }, kept.access).catch(() => null);
  }

  /** An access token that is good for now. @returns {Promise<string>} @throws {RequestError} nobody is signed in */
  async access() {
    const kept = this.kept;
    if (!kept) throw new RequestError(401, this.reason || "Nobody is signed in");
    if (Date.now() < renewalTime(kept.access, kept.receivedAt, this.margin)) return kept.access;
    return await this.renew(kept.access);
  }

  /**
   * Renew the tokens: once, whatever number of requests and tabs ask for it.
   * @param {string} stale the access token that is no good any more
   * @returns {Promise<string>} the new one
   * @throws {RequestError} refused, and the login has ended; or no answer came, and it stays
   */
  async renew(stale) {
    this.renewing ??= this.#alone(() => this.#renew(stale)).finally(() => {
      this.renewing = null;
    });
    return await this.renewing;
  }

  /** Run something while no other tab does. @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  async #alone(work) {
    // Pages without TLS have no locks; within one tab it is one call all the same.
    return navigator.locks ? await navigator.locks.request(this.lock, work) : await work();
  }

  /** @param {string} stale */
  async #renew(stale) {
    const kept = this.kept;
    if (!kept) throw new RequestError(401, this.reason || "Nobody is signed in");
    // Another tab was faster: its refresh token is used up, and its access token is here.
    if (kept.access !== stale) return kept.access;
    try {
      const got = await this.#post(this.paths.refresh, { refresh: kept.refresh });
      const access = this.#keep({ refresh: kept.refresh, ...got }, kept.email);
      return access;
    } catch (error) {
      if (error instanceof RequestError && [400, 401, 403].includes(error.status)) {
        this.#forget(`Signed out: the server refused to renew the login (${error.message}). Sign in again.`);
      }
      throw error;
    }
  }

  /** @param {string} path @param {object} body @param {string} [access] */
  async #post(path, body, access) {
    /** @type {Record<string, string>} */
    const headers = { ...this.fields, "Content-Type": "application/json" };
    if (access) headers.Authorization = `Bearer ${access}`;
    return await answered(this.fetch, this.base + path, { method: "POST", headers, body: JSON.stringify(body) });
  }

  /** @param {any} got @param {string} email @returns {string} the access token */
  #keep(got, email) {
    if (typeof got?.access !== "string" || typeof got?.refresh !== "string") {
      throw new RequestError(0, "The server's answer has no tokens");
    }
    /** @type {Kept} */
    const kept = { access: got.access, refresh: got.refresh, email: got.user?.email ?? email, receivedAt: Date.now() };
    this.storage.setItem(this.key, JSON.stringify(kept));
    this.#tell("");
    return kept.access;
  }

  /** @param {string} reason */
  #forget(reason) {
    this.storage.removeItem(this.key);
    this.#tell(reason);
  }

  /** @param {string} reason */
  #tell(reason) {
    this.channel.postMessage({ reason });
    this.#changed(reason);
  }

  /** @param {string} reason */
  #changed(reason) {
    this.reason = reason;
    this.#schedule();
    this.dispatchEvent(new Event("change"));
  }

  #schedule() {
    clearTimeout(this.timer);
    const kept = this.kept;
    if (!kept) return;
    const wait = renewalTime(kept.access, kept.receivedAt, this.margin) - Date.now();
    if (wait !== Infinity) this.timer = setTimeout(this.look, Math.min(Math.max(wait, 0), LONGEST));
  }

  async #renewIfDue() {
    try {
      if (this.isSignedIn) await this.access();
    } catch {
      // Without an answer it is tried again; a refusal has ended the login.
      clearTimeout(this.timer);
      if (this.isSignedIn) this.timer = setTimeout(this.look, 10_000);
    }
  }
}

/**
 * Send a request and read the JSON of its answer.
 * @param {typeof fetch} send @param {string} url @param {RequestInit} init
 * @returns {Promise<any>} null where the answer has no body
 * @throws {RequestError}
 */
export async function answered(send, url, init) {
  let response;
  let text;
  try {
    // No cookies: the login is the token, and the page may be of another origin.
    response = await send(url, { credentials: "omit", cache: "no-store", ...init });
    text = await response.text();
  } catch {
    throw new RequestError(0, "The server cannot be reached");
  }
  let body = null;
  try {
    body = text ? JSON.parse(text) : null;
  } catch {
    // A page of HTML, such as a proxy's error: the status says what there is to say.
  }
  if (response.ok) return body;
  const said = body?.detail ?? body?.title ?? Object.values(body ?? {}).flat()[0];
  throw new RequestError(response.status, typeof said === "string" ? said : `The server answered ${response.status}`, body);
}
