// What all components are made with: Preact, and templates in place of JSX.
import { Component, createRef, h, render } from "./vendored/preact/preact.mjs";
import htm from "./vendored/htm/htm.mjs";

export { Component, createRef, render };
export const html = htm.bind(h);
