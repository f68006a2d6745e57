// Small pieces that several pages have.
import { FailIcon } from "./icons.js";
import { html } from "./view.js";

/** What comes, in its shape. @param {{what: string}} props */
export const Loading = ({ what }) => html`
  <div class="loading" role="status"><span class="hidden">Loading ${what}</span>
    <div class="line"></div><div class="line short"></div><div class="line"></div></div>`;

/** What went wrong, where it did. @param {{problem: {message: string}|string|null}} props */
export const Problem = ({ problem }) =>
  problem ? html`<p class="problem" role="alert"><${FailIcon} size=${14} /> <span>${typeof problem === "string" ? problem : problem.message}</span></p>` : null;

/** @param {{status: string}} props */
export const Status = ({ status }) => html`<span class="status ${status}">${status}</span>`;

/** A moment in the reader's zone. @param {{at: string}} props */
export const Moment = ({ at }) => html`<time datetime=${at}>${new Date(at).toLocaleString()}</time>`;
