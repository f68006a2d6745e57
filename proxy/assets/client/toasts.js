// What an act has led to, for some seconds. Errors stay where they arose, and are never here.
import { Component, html } from "./view.js";

const SECONDS = 8;

class Board extends EventTarget {
  /** @type {{id: number, text: string}[]} */
  shown = [];
  next = 0;

  /** @param {string} text */
  say(text) {
    const toast = { id: this.next++, text };
    this.#set([...this.shown, toast]);
    setTimeout(() => this.#set(this.shown.filter((each) => each !== toast)), SECONDS * 1000);
  }

  /** @param {{id: number, text: string}[]} shown */
  #set(shown) {
    this.shown = shown;
    this.dispatchEvent(new Event("change"));
  }
}

export const toasts = new Board();

export class Toasts extends Component {
  componentDidMount() {
    this.changed = () => this.forceUpdate();
    toasts.addEventListener("change", this.changed);
  }

  componentWillUnmount() {
    toasts.removeEventListener("change", this.changed);
  }

  render() {
    return html`<div class="toasts" role="status">${toasts.shown.map(({ id, text }) => html`<p key=${id} class="toast">${text}</p>`)}</div>`;
  }
}
