// A dialog that holds the focus, gives it back, and changes nothing on Escape.
import { Component, createRef, html } from "./view.js";

export class Dialog extends Component {
  constructor() {
    super();
    this.box = createRef();
  }

  componentDidMount() {
    this.before = document.activeElement;
    this.box.current.showModal();
    this.box.current.querySelector("[data-first]")?.focus();
  }

  componentWillUnmount() {
    this.box.current?.close();
    this.before?.focus?.();
  }

  render({ label, onClose, children, wide }) {
    const closed = (event) => {
      event.preventDefault();
      onClose();
    };
    return html`<dialog ref=${this.box} class="dialog ${wide ? "wide" : ""}" aria-label=${label} onCancel=${closed}>
      ${children}</dialog>`;
  }
}
