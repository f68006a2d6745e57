// What an app is: its specification, readable.
import { html } from "./view.js";

/** @param {{spec: any}} props */
export const AppSpec = ({ spec }) => html`
  <div class="spec">${spec?.name ? html`<h3>${String(spec.name)}</h3>` : null}
    <pre tabindex="0" role="region" aria-label="Specification">${JSON.stringify(spec, null, 2)}</pre></div>`;
