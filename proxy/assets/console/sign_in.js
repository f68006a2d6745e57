// The form to sign in: with a token that stays in this page, or in this tab where that is asked.
import { Mark, FailIcon } from "./icons.js";
import { Component, html } from "./view.js";

export class SignIn extends Component {
  constructor() {
    super();
    this.state = { token: "", keep: false, busy: false };
  }

  render({ store }, { token, keep, busy }) {
    const send = async (event) => {
      event.preventDefault();
      this.setState({ busy: true });
      await store.signIn(token.trim(), keep);
      this.setState({ busy: false });
    };
    return html`<main class="sign-in"><form class="panel" onSubmit=${send}>
      <div class="brand"><${Mark} /><h1>Segue</h1></div>
      ${store.stranger
        ? html`<p class="problem" role="alert"><${FailIcon} size=${14} /> Not signed in: ${store.stranger}</p>`
        : null}
      <label for="token">Token</label>
      <input id="token" class="field code" type="password" autocomplete="off" spellcheck="false" required
        value=${token} onInput=${(event) => this.setState({ token: event.target.value })} />
      <p class="small muted">As <code>segue token new</code> has made it. It goes into a field of each request, and never into an address.</p>
      <label class="check"><input type="checkbox" checked=${keep}
        onChange=${(event) => this.setState({ keep: event.target.checked })} />
        <span>Keep it in this tab until it is closed</span></label>
      <button class="button go" disabled=${busy || !token.trim()}>${busy ? "Signing in" : "Sign in"}</button>
    </form></main>`;
  }
}
