// One job, live: its transcript, steps, status and app, from frames alone.
import { AppSpec } from "./app_spec.js";
import { LiveBuild } from "./live_build.js";
import { Loading, Problem, Status } from "./pieces.js";
import { PromptDialog } from "./prompt_dialog.js";
import { Component, html } from "./view.js";

const SAID = { connecting: "Connecting", live: "Live", waiting: "Disconnected, trying again", ended: "Ended" };

export class JobPage extends Component {
  constructor() {
    super();
    this.state = { text: "", isEditing: false };
  }

  componentDidMount() {
    this.build = new LiveBuild(this.props.client, this.props.id);
    this.build.addEventListener("change", () => this.forceUpdate());
    this.build.open();
    this.forceUpdate();
  }

  componentWillUnmount() {
    this.build.close();
  }

  render({ client, config }, { text, isEditing }) {
    const build = this.build;
    if (!build?.isLoaded) {
      if (!build?.problem) return html`<main id="main" tabindex="-1"><${Loading} what="the job" /></main>`;
      const title = build.problem.status === 404 ? "There is no such job" : "The job cannot be shown";
      return html`<main id="main" tabindex="-1"><h1>${title}</h1><${Problem} problem=${build.problem} /><p><a href="#/jobs">All jobs</a></p></main>`;
    }
    const job = build.record;
    const isCollecting = job.status === "collecting";
    const say = (event) => {
      event.preventDefault();
      if (text.trim() && build.say(text)) this.setState({ text: "" });
    };
    const saved = (answer) => {
      build.change(() => ({ prompt: answer.prompt }));
      this.setState({ isEditing: false });
    };
    return html`<main id="main" tabindex="-1">
      <div class="row wrap"><h1>Job</h1><${Status} status=${job.status} />
        <span class="connection ${build.state}" role="status">${SAID[build.state]}${build.endReason ? `: ${build.endReason}` : ""}</span></div>
      ${job.note ? html`<p class="note">${job.note}</p>` : null}
      <section class="panel" aria-label="Prompt"><h2>Prompt</h2><p class="prompt text">${job.prompt}</p>
        ${isCollecting ? html`<button type="button" class="button" onClick=${() => this.setState({ isEditing: true })}>Edit prompt</button>` : null}</section>
      <div class="columns">
        <section class="panel" aria-label="Transcript"><h2>Transcript</h2>
          ${job.messages.length ? null : html`<p class="muted">Nothing has been said yet. Your first message starts the build.</p>`}
          <ol class="transcript" role="log" aria-label="Messages">${job.messages.map((each) => html`<li key=${each.key} class=${each.role === "user" ? "own" : ""}>
            <span class="sender">${each.sender}</span><p class="text">${each.content}</p></li>`)}</ol>
          <form class="row" onSubmit=${say}>
            <input class="field grow" aria-label="Message" placeholder=${isCollecting ? "What is to be built?" : "The build has begun"}
              disabled=${!isCollecting} value=${text} onInput=${(event) => this.setState({ text: event.target.value })} />
            <button class="button go" disabled=${!isCollecting || build.state !== "live" || !text.trim()}>Send</button></form>
          <${Problem} problem=${build.error} /></section>
        <section class="panel" aria-label="Steps"><h2>Steps</h2>
          ${job.steps.length ? null : html`<p class="muted">The agents have done nothing yet.</p>`}
          <ol class="steps">${job.steps.map((each) => html`<li key=${each.order}><span class="sender">${each.agent}</span><p class="text">${each.message}</p></li>`)}</ol></section>
      </div>
      ${job.app ? html`<section class="panel" aria-label="App"><h2>App</h2><${AppSpec} spec=${job.app.spec} />
        ${job.app.id ? html`<p><a href="#/apps/${job.app.id}">Open the app</a></p>` : null}</section>` : null}
      ${isEditing ? html`<${PromptDialog} client=${client} job=${job} prompt=${job.prompt} onClose=${() => this.setState({ isEditing: false })} onSaved=${saved} />` : null}
    </main>`;
  }
}
