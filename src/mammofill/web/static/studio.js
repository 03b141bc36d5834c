import { askJson, complain, make } from "./ask.js";
import { browse } from "./browse.js";
import { paint } from "./paint.js";
import { readers } from "./readers.js";

const rooms = { browse, paint, readers };
const titles = { browse: "Browse", paint: "Paint", readers: "Readers" };
const place = document.getElementById("room");
let leave = () => {};
let entered = 0;

// What is no address of ours, as half of a letter, leads to the first room.
function wordsIn(hash) {
  try {
    return decodeURIComponent(hash.slice(1)).split("/");
  } catch {
    return [];
  }
}

async function enter() {
  const [asked, ...rest] = wordsIn(location.hash);
  const name = Object.hasOwn(rooms, asked) ? asked : "browse";
  leave();
  leave = () => {};
  complain(null);
  document.title = `${titles[name]} – mammofill studio`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  // Who goes on before a room is ready does not want it any more: it is made aside, and never shown.
  const own = ++entered;
  const room = make("div", {}, make("p", { className: "faint" }, "Looking through the folder …"));
  place.replaceChildren(room);
  try {
    const all = await askJson("/api/artifacts");
    if (own !== entered) return;
    document.getElementById("folder").textContent = all.folder;
    const left = (await rooms[name](room, all, rest)) ?? (() => {});
    if (own === entered) leave = left;
    else left();
  } catch (error) {
    if (own !== entered) return;
    room.replaceChildren(make("p", {}, make("button", { onclick: enter }, "Try again")));
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
