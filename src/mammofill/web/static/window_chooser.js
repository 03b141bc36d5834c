// Chooses a window of a mammogram: a list, a viewer that zooms, and a frame around the window.

import { showError, create } from "./elements.js";
import { requestJson } from "./requests.js";
import { mammogramName, tileSource, createViewer } from "./mammograms.js";

const FRAME = "window-chosen";

export function windowChooser(onchoose) {
  const select = create("select", { "aria-label": "mammogram", onchange: () => open(Number(select.value)) });
  const viewerPlace = create("div", { className: "film" });
  const more = create("button", { onclick: () => load(known.length) }, "more");
  const place = create("div", { hidden: true },
    create("div", { className: "bar" }, create("label", {}, "mammogram", select), more,
      create("button", { onclick: () => shown && chooseAt(viewer.viewport.getCenter()) }, "take the middle")), viewerPlace,
    create("p", { className: "faint" }, "Click where a lesion should be; scroll to zoom. By the keyboard: arrow keys, + and −, then take the middle. The window there is shown below."));
  let set = null, known = [], shown = null, viewer = null;

  function openViewer() {
    viewer = createViewer(viewerPlace, { dblClickToZoom: false }, "the mammogram; + and − zoom, the arrow keys move it, take the middle chooses");
    viewer.addHandler("canvas-click", (event) => { if (event.quick && shown) chooseAt(viewer.viewport.pointFromPixel(event.position)); });
  }

  function chooseAt(point) {
    const at = viewer.viewport.viewportToImageCoordinates(point);
    onchoose(shown, Math.max(0, Math.floor(at.y)), Math.max(0, Math.floor(at.x)));
  }

  async function load(offset) {
    const id = set;
    const found = await requestJson(`/api/mammograms/${id}/rows?${new URLSearchParams({ split: "train", offset, count: 120 })}`);
    if (id !== set) return;
    known = offset ? [...known, ...found.rows] : found.rows;
    const options = found.rows.map((one) => create("option", { value: one.number }, `${mammogramName(one)}: ${one.lesions.join(", ") || "no lesion"}`));
    if (offset) select.append(...options);
    else select.replaceChildren(...options);
    more.hidden = known.length >= found.all;
    if (!known.length) throw new Error("This set has no mammogram of the train split, and nothing else may be painted into.");
    if (!offset) open(known[0].number);
  }

  function open(number) {
    showError(null);
    shown = known.find((one) => one.number === number);
    viewer.open(tileSource(set, shown, true));
    onchoose(null);
  }

  return {
    place,
    async show(id) {
      place.hidden = false;
      if (!viewer) openViewer();
      set = id;
      await load(0);
    },
    hide() { place.hidden = true; set = null; shown = null; },
    frame(top, left, side, refused) {
      viewer.removeOverlay(FRAME);
      const element = create("div", { id: FRAME, className: refused ? "frame refused" : "frame" });
      viewer.addOverlay({ element, location: viewer.viewport.imageToViewportRectangle(left, top, side, side) });
    },
    close() { viewer?.destroy(); },
  };
}
