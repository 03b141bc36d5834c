// A mammogram to choose a window in: a list, a viewer that zooms, and a frame around what was chosen.

import { askJson, complain, make } from "./ask.js";
import { called, sourceOf, viewerIn } from "./mammograms.js";

const FRAME = "window-chosen";

export function films(onchoose) {
  const select = make("select", { "aria-label": "mammogram", onchange: () => open(Number(select.value)) });
  const viewerPlace = make("div", { className: "film" });
  const more = make("button", { onclick: () => load(known.length) }, "more");
  const place = make("div", { hidden: true },
    make("div", { className: "bar" }, make("label", {}, "mammogram", select), more,
      make("button", { onclick: () => shown && chooseAt(viewer.viewport.getCenter()) }, "take the middle")), viewerPlace,
    make("p", { className: "faint" }, "Click where a lesion should be; scroll to zoom. By the keyboard: arrow keys, + and −, then take the middle. The window there is shown below."));
  let set = null, known = [], shown = null, viewer = null;

  function look() {
    viewer = viewerIn(viewerPlace, { dblClickToZoom: false }, "the mammogram; + and − zoom, the arrow keys move it, take the middle chooses");
    viewer.addHandler("canvas-click", (event) => { if (event.quick && shown) chooseAt(viewer.viewport.pointFromPixel(event.position)); });
  }

  function chooseAt(point) {
    const at = viewer.viewport.viewportToImageCoordinates(point);
    onchoose(shown, Math.max(0, Math.floor(at.y)), Math.max(0, Math.floor(at.x)));
  }

  async function load(offset) {
    const id = set;
    const found = await askJson(`/api/mammograms/${id}/rows?${new URLSearchParams({ split: "train", offset, count: 120 })}`);
    if (id !== set) return;
    known = offset ? [...known, ...found.rows] : found.rows;
    const options = found.rows.map((one) => make("option", { value: one.number }, `${called(one)}: ${one.lesions.join(", ") || "no lesion"}`));
    if (offset) select.append(...options);
    else select.replaceChildren(...options);
    more.hidden = known.length >= found.all;
    if (!known.length) throw new Error("This set has no mammogram of the train split, and nothing else may be painted into.");
    if (!offset) open(known[0].number);
  }

  function open(number) {
    complain(null);
    shown = known.find((one) => one.number === number);
    viewer.open(sourceOf(set, shown, true));
    onchoose(null);
  }

  return {
    place,
    async show(id) {
      place.hidden = false;
      if (!viewer) look();
      set = id;
      await load(0);
    },
    hide() { place.hidden = true; set = null; shown = null; },
    frame(top, left, side, refused) {
      viewer.removeOverlay(FRAME);
      const element = make("div", { id: FRAME, className: refused ? "frame refused" : "frame" });
      viewer.addOverlay({ element, location: viewer.viewport.imageToViewportRectangle(left, top, side, side) });
    },
    close() { viewer?.destroy(); },
  };
}
