// A WebSocket that comes back by itself after it breaks, until it is closed or its server says that it is final.

/** Close codes after which it is not opened again: a normal end, a breach of policy, not signed in, not allowed. */
export const FINAL = [1000, 1008, 4001, 4003];

/** Seconds: before the first attempt to come back, and at most. */
const FIRST = 0.5;
const MOST = 30;

/**
 * Seconds to wait before an attempt: doubled each time, and spread, so that the clients of a server that
 * restarts do not all come at once.
 * @param {number} attempt from 0 @param {() => number} random from 0 to 1
 * @returns {number}
 */
export const delay = (attempt, random = Math.random) => Math.min(FIRST * 2 ** attempt, MOST) * (0.5 + random() / 2);

/**
 * Events: `open` (each time it is open, with `isFirst`), `message` (one JSON object in `detail`),
 * `waiting` (broken; `detail` has the seconds until the next attempt), `end` (final; `detail` has `code`, `reason`).
 */
export class Connection extends EventTarget {
  /**
   * @param {() => Promise<string>} address makes the URL of each attempt: a token may be new
   * @param {string[]} protocols offered
   */
  constructor(address, protocols) {
    super();
    this.address = address;
    this.protocols = protocols;
    this.attempt = 0;
    this.isClosed = false;
    /** @type {WebSocket|null} */
    this.socket = null;
    /** @type {number|undefined} */
    this.timer = undefined;
    this.online = () => {
      if (this.timer === undefined) return;
      clearTimeout(this.timer);
      void this.open();
    };
    globalThis.addEventListener?.("online", this.online);
  }

  /** Open it; it goes on by itself from here. */
  async open() {
    this.timer = undefined;
    let url;
    try {
      url = await this.address();
    } catch (error) {
      const status = /** @type {any} */ (error).status;
      if (status === 401) this.#end(4001, /** @type {Error} */ (error).message);
      else this.#wait();
      return;
    }
    if (this.isClosed) return;
    const socket = new WebSocket(url, this.protocols);
    this.socket = socket;
    socket.onopen = () => {
      this.attempt = 0;
      this.dispatchEvent(new Event("open"));
    };
    socket.onmessage = ({ data }) => {
      const message = read(data);
      if (message) this.dispatchEvent(new CustomEvent("message", { detail: message }));
    };
    socket.onclose = ({ code, reason }) => {
      if (this.socket !== socket) return;
      this.socket = null;
      if (FINAL.includes(code)) this.#end(code, reason);
      else this.#wait();
    };
  }

  /** Send a JSON object. @param {object} message @returns {boolean} whether it is open, and it was sent */
  send(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  /** Close it for good. */
  close() {
    this.isClosed = true;
    clearTimeout(this.timer);
    globalThis.removeEventListener?.("online", this.online);
    const socket = this.socket;
    this.socket = null;
    socket?.close(1000);
  }

  #wait() {
    if (this.isClosed) return;
    const seconds = delay(this.attempt++);
    this.timer = setTimeout(() => void this.open(), seconds * 1000);
    this.dispatchEvent(new CustomEvent("waiting", { detail: { seconds } }));
  }

  /** @param {number} code @param {string} reason */
  #end(code, reason) {
    if (this.isClosed) return;
    this.close();
    this.dispatchEvent(new CustomEvent("end", { detail: { code, reason } }));
  }
}

/** @param {any} data @returns {any} the object; null where it is none: a later server may say what nobody knows yet */
function read(data) {
  try {
    const message = JSON.parse(data);
    return typeof message === "object" && message !== null && !Array.isArray(message) ? message : null;
  } catch {
    return null;
  }
}
