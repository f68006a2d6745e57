// Edit the prompt of a job, while the server still collects.
import { Dialog } from "./dialog.js";
import { Problem } from "./pieces.js";
import { toasts } from "./toasts.js";
import { Component, html } from "./view.js";

export class PromptDialog extends Component {
  constructor({ prompt }) {
    super();
    this.state = { prompt, busy: false, problem: null };
  }

  render({ client, job, onClose, onSaved }, { prompt, busy, problem }) {
    const isOpen = job.status === "collecting";
    const save = async (event) => {
      event.preventDefault();
      this.setState({ busy: true, problem: null });
      try {
        const saved = await client.request("PATCH", client.one("jobs", job.id), { initial_prompt: prompt });
        toasts.say("The prompt is saved.");
        onSaved(saved);
      } catch (error) {
        this.setState({ busy: false, problem: error });
      }
    };
    return html`<${Dialog} label="Edit the prompt" onClose=${onClose}><form onSubmit=${save} class="stack">
      <h2>Edit the prompt</h2>
      <${Problem} problem=${isOpen ? problem : "The build has begun: its prompt cannot be changed any more. What you wrote can still be copied."} />
      <label for="prompt">Prompt</label>
      <textarea id="prompt" class="field" rows="6" required data-first value=${prompt} onInput=${(event) => this.setState({ prompt: event.target.value })}></textarea>
      <div class="row end"><button type="button" class="button" onClick=${onClose}>Close</button>
        ${isOpen ? html`<button class="button go" disabled=${busy || !prompt.trim()}>Save the prompt</button>` : null}</div>
    </form></${Dialog}>`;
  }
}
