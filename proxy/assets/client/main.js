// The page: who is signed in, and which view its address names.
import { JobPage } from "./job_page.js";
import { JobsList } from "./jobs_list.js";
import { SegueClient } from "./segue-client.js";
import { SignInPage } from "./sign_in_page.js";
import { Toasts } from "./toasts.js";
import { Component, html, render } from "./view.js";

/** What the page's own address names: `#/jobs`, `#/jobs/<id>`. */
function named() {
  const [name = "", id = ""] = location.hash.replace(/^#\/?/, "").split("/");
  try {
    return { name: name || "jobs", id: decodeURIComponent(id) };
  } catch {
    return { name: "nothing", id: "" };
  }
}

const Dashboard = ({ client }) => html`<main id="main" tabindex="-1"><h1>Jobs</h1><${JobsList} client=${client} /></main>`;

class Page extends Component {
  componentDidMount() {
    const again = () => this.forceUpdate();
    this.props.client.session.addEventListener("change", again);
    addEventListener("hashchange", again);
  }

  render({ client, config }) {
    const { session } = client;
    const { name, id } = named();
    let view = null;
    if (!session.isSignedIn) view = html`<${SignInPage} session=${session} />`;
    else if (name === "jobs" && id) view = html`<${JobPage} key=${id} client=${client} config=${config} id=${id} />`;
    else if (name === "jobs") view = html`<${Dashboard} client=${client} config=${config} />`;
    else view = html`<main id="main" tabindex="-1"><h1>There is no such page</h1><p><a href="#/jobs">All jobs</a></p></main>`;
    const skip = (event) => {
      event.preventDefault();
      document.getElementById("main")?.focus();
    };
    return html`<a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
      <header class="top"><a class="brand" href="#/jobs">App builder</a><span class="grow"></span>
        ${session.isSignedIn ? html`<span class="muted who">${session.kept?.email}</span>
          <button type="button" class="button" onClick=${() => session.logout()}>Sign out</button>` : null}</header>
      ${view}<${Toasts} />`;
  }
}

/** What the proxy says of itself; without it, nothing that only a development server has is shown. */
async function configuration() {
  try {
    const response = await fetch("./config.json", { cache: "no-store" });
    return response.ok ? await response.json() : {};
  } catch {
    return {};
  }
}

const config = await configuration();
const { tokens = {}, paths = {} } = config;
const client = new SegueClient({
  base: config.base,
  version: config.version,
  header: config.header,
  subprotocol: config.subprotocol,
  // A deployment that does not name a path has it where it always is.
  paths: Object.fromEntries(Object.entries(paths).filter(([, path]) => path)),
  margin: tokens.refresh_before,
});
render(html`<${Page} client=${client} config=${config} />`, /** @type {HTMLElement} */ (document.getElementById("client")));
