// Sign in, or register; and why a login has ended.
import { Problem } from "./pieces.js";
import { Component, html } from "./view.js";

export class SignInPage extends Component {
  constructor() {
    super();
    this.state = { isNew: false, email: "", password: "", name: "", busy: false, problem: null };
  }

  render({ session }, { isNew, email, password, name, busy, problem }) {
    const send = async (event) => {
      event.preventDefault();
      this.setState({ busy: true, problem: null });
      try {
        await (isNew ? session.register(email, password, name) : session.login(email, password));
      } catch (error) {
        this.setState({ busy: false, problem: error });
      }
    };
    const field = (id, label, value, more) => html`<label for=${id}>${label}</label>
      <input id=${id} class="field" value=${value} onInput=${(event) => this.setState({ [id]: event.target.value })} ...${more} />`;
    return html`<main id="main" class="sign-in" tabindex="-1"><form class="panel" onSubmit=${send}>
      <h1>${isNew ? "Register" : "Sign in"}</h1>
      <${Problem} problem=${problem ?? session.reason} />
      ${field("email", "E-mail", email, { type: "email", autocomplete: "username", required: true })}
      ${field("password", "Password", password, { type: "password", required: true, minlength: isNew ? 8 : null, autocomplete: isNew ? "new-password" : "current-password" })}
      ${isNew ? field("name", "Name (may be left out)", name, { autocomplete: "name" }) : null}
      <button class="button go" disabled=${busy}>${isNew ? "Register" : "Sign in"}</button>
      <button type="button" class="button" onClick=${() => this.setState({ isNew: !isNew, problem: null })}>
        ${isNew ? "I have an account" : "I have no account yet"}</button>
    </form></main>`;
  }
}
