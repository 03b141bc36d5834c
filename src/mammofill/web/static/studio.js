import { askJson, complain, make } from "./ask.js";
import { browse } from "./browse.js";
import { paint } from "./paint.js";
import { readers } from "./readers.js";

const rooms = { browse, paint, readers };
const titles = { browse: "Browse", paint: "Paint", readers: "Readers" };
const place = document.getElementById("room");
let leave = () => {};

async function enter() {
  const [asked, ...rest] = decodeURIComponent(location.hash.slice(1)).split("/");
  const name = Object.hasOwn(rooms, asked) ? asked : "browse";
  leave();
  leave = () => {};
  complain(null);
  document.title = `${titles[name]} – mammofill studio`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  place.replaceChildren(make("p", { className: "faint" }, "Looking through the folder …"));
  try {
    const all = await askJson("/api/artifacts");
    document.getElementById("folder").textContent = all.folder;
    leave = (await rooms[name](place, all, rest)) ?? (() => {});
  } catch (error) {
    place.replaceChildren(make("p", {}, make("button", { onclick: enter }, "Try again")));
    complain(error);
  }
}

// Whoever goes on by the keyboard goes on in the new room, and hears where it is.
addEventListener("hashchange", () => {
  enter();
  scrollTo(0, 0);
  place.focus({ preventScroll: true });
});
addEventListener("unhandledrejection", (event) => complain(event.reason));
enter();
