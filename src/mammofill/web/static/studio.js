// The studio's page: opens the view that the address names.

import { showError, create } from "./elements.js";
import { requestJson } from "./requests.js";
import { browse } from "./browse.js";
import { paint } from "./paint.js";
import { readers } from "./readers.js";

const views = { browse, paint, readers };
const titles = { browse: "Browse", paint: "Paint", readers: "Readers" };
const place = document.getElementById("view");
let close = () => {};
let opened = 0;

// Parts of the address after #; none if it is not valid percent-encoding.
function partsOf(hash) {
  try {
    return decodeURIComponent(hash.slice(1)).split("/");
  } catch {
    return [];
  }
}

async function open() {
  const [asked, ...rest] = partsOf(location.hash);
  const name = Object.hasOwn(views, asked) ? asked : "browse";
  close();
  close = () => {};
  showError(null);
  document.title = `${titles[name]} – mammofill studio`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  // A view is built in its own element, so that it is not shown if another one was opened before it was ready.
  const own = ++opened;
  const view = create("div", {}, create("p", { className: "faint" }, "Looking through the folder …"));
  place.replaceChildren(view);
  try {
    const all = await requestJson("/api/artifacts");
    if (own !== opened) return;
    document.getElementById("folder").textContent = all.folder;
    const closed = (await views[name](view, all, rest)) ?? (() => {});
    if (own === opened) close = closed;
    else closed();
  } catch (error) {
    if (own !== opened) return;
    view.replaceChildren(create("p", {}, create("button", { onclick: open }, "Try again")));
    showError(error);
  }
}

// Moves the focus to the new view, for the keyboard and for screen readers.
addEventListener("hashchange", () => {
  open();
  scrollTo(0, 0);
  place.focus({ preventScroll: true });
});
addEventListener("unhandledrejection", (event) => showError(event.reason));
open();
