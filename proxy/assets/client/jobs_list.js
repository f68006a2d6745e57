// The caller's jobs, and a form for a new one.
import { Loading, Moment, Problem, Status } from "./pieces.js";
import { Component, html } from "./view.js";

export class JobsList extends Component {
  constructor() {
    super();
    this.state = { jobs: null, problem: null, prompt: "", busy: false, trouble: null };
  }

  componentDidMount() {
    void this.load();
  }

  async load() {
    try {
      this.setState({ jobs: await this.props.client.request("GET", this.props.client.paths.jobs), problem: null });
    } catch (problem) {
      this.setState({ problem });
    }
  }

  render({ client }, { jobs, problem, prompt, busy, trouble }) {
    const create = async (event) => {
      event.preventDefault();
      this.setState({ busy: true, trouble: null });
      try {
        location.hash = `#/jobs/${(await client.request("POST", client.paths.jobs, { prompt })).id}`;
      } catch (error) {
        this.setState({ busy: false, trouble: error });
      }
    };
    return html`<form class="panel stack" onSubmit=${create}><h2>New job</h2>
        <label for="new-prompt">What is to be built</label>
        <textarea id="new-prompt" class="field" rows="3" required value=${prompt} onInput=${(event) => this.setState({ prompt: event.target.value })}></textarea>
        <${Problem} problem=${trouble} />
        <div><button class="button go" disabled=${busy || !prompt.trim()}>Create the job</button></div></form>
      <${Problem} problem=${problem} />
      ${jobs ? null : problem ? html`<div><button type="button" class="button" onClick=${() => this.load()}>Try again</button></div>` : html`<${Loading} what="your jobs" />`}
      ${jobs?.length === 0 ? html`<p class="muted">No jobs yet. Say above what is to be built.</p>` : null}
      <ul class="cards" aria-label="Jobs">${(jobs ?? []).map((job) => html`<li key=${job.id} class="panel"><a href="#/jobs/${job.id}" class="text">${job.prompt}</a>
        <span class="row wrap"><${Status} status=${job.status} /><${Moment} at=${job.created_at} /></span></li>`)}</ul>`;
  }
}
