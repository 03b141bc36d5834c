import { askJson, complain, make } from "./ask.js";
import { browse } from "./browse.js";
import { paint } from "./paint.js";
import { readers } from "./readers.js";

const rooms = { browse, paint, readers };
let leave = () => {};

async function enter() {
  const [name, ...rest] = decodeURIComponent(location.hash.slice(1) || "browse").split("/");
  const place = document.getElementById("room");
  leave();
  leave = () => {};
  complain(null);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  place.replaceChildren(make("p", { className: "faint" }, "…"));
  try {
    const all = await askJson("/api/artifacts");
    document.getElementById("folder").textContent = all.folder;
    leave = (await (rooms[name] ?? browse)(place, all, rest)) ?? (() => {});
  } catch (error) {
    place.replaceChildren();
    complain(error);
  }
}

addEventListener("hashchange", enter);
addEventListener("unhandledrejection", (event) => complain(event.reason));
enter();
