// What is set of the switches, as the section of the configuration file that says the same.
import { Dialog } from "./dialog.js";
import { Command, copy } from "./pieces.js";
import { written } from "./words.js";
import { html } from "./view.js";

/** The section `switching` as YAML, as `segue switch export` prints it. @param {any} view the answer of `/switches` */
export function asYaml({ switches }) {
  // A text in double quotes is one in YAML as in JSON.
  const set = switches.filter((each) => each.set_to !== "on").map((each) => `    ${JSON.stringify(each.switch)}: ${JSON.stringify(each.set_to)}`);
  const excepted = switches.flatMap((each) => each.exceptions.map((one) => ["switch", each.switch, "name", one.name, "versions", one.versions.replace(/\s/g, ""), "state", written(one.state, one.percent)]));
  const listed = excepted.map((pairs) => pairs.reduce((text, each, index) => (index % 2 ? `${text}: ${JSON.stringify(each)}` : `${text}${index ? "\n      " : "    - "}${each}`), ""));
  return ["switching:", set.length ? "  switches:" : "  switches: {}", ...set, listed.length ? "  exceptions:" : "  exceptions: []", ...listed, ""].join("\n");
}

export function Export({ store, onClose }) {
  const text = asYaml(store.part("switches").value);
  return html`<${Dialog} label="Switches as YAML" onClose=${onClose}><header><h2>Switches as YAML</h2></header>
    <div class="body"><p>What is set now, for the configuration file; those that are not listed are on. Owners and times are not in it.</p>
      <pre class="code-block" tabindex="0" role="region" aria-label="YAML">${text}</pre><${Command} command="segue switch export" /></div>
    <footer><button type="button" class="button" onClick=${onClose}>Close</button><button type="button" class="button go" data-first onClick=${() => copy(text)}>Copy</button></footer><//>`;
}
