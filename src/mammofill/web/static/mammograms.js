// Page of a set of mammograms: a list, and a viewer that zooms.

import { moveFocusByArrows, labelledSelect, showError, counted, create, reducedMotion, formatNumber } from "./elements.js";
import { requestJson } from "./requests.js";

const ABORTED = "Image load aborted."; // message of OpenSeadragon when another mammogram is opened

export const mammogramName = (one) => [one.patient_id, one.laterality, one.view.toUpperCase()].filter(Boolean).join(" ");

// OpenSeadragon viewer with a text while it loads and an error if tiles cannot be loaded: both look black without.
export function createViewer(place, gestures, label) {
  const loading = create("p", { className: "loading", role: "status" }, "Loading …");
  const viewer = window.OpenSeadragon({ element: place, showNavigationControl: false, maxZoomPixelRatio: 8, drawer: "canvas",
    animationTime: reducedMotion.matches ? 0 : 0.4, gestureSettingsMouse: { clickToZoom: false, ...gestures }, crossOriginPolicy: false });
  place.append(loading);
  viewer.canvas.setAttribute("role", "application"); // it handles arrow keys itself
  viewer.canvas.setAttribute("aria-label", label);
  viewer.addHandler("open", () => { loading.hidden = false; });
  viewer.addHandler("tile-drawn", () => { loading.hidden = true; });
  viewer.addHandler("tile-load-failed", (event) => event.message !== ABORTED && showError(new Error("A part of this mammogram could not be loaded. Was the studio stopped? Load the page again.")));
  return viewer;
}

export function tileSource(set, one, outlines) {
  return { width: one.columns, height: one.rows, tileSize: 256, tileOverlap: 0, minLevel: 6, maxLevel: one.top_level,
    getTileUrl: (level, column, row) => `/api/mammograms/${set}/${one.number}/tile/${level}/${column}/${row}?outlines=${outlines}` };
}

export async function mammograms(place, artifact, all) {
  const filter = { split: "", patient: "" };
  const names = create("ol", { "aria-label": "mammograms" }), viewerPlace = create("div", { id: "viewer" }), count = create("span", { className: "faint", role: "status" });
  const facts = create("span", { className: "faint" });
  let outlines = true, shown = null, offset = 0;
  const any = [["", "all"], ["train", "train"], ["validation", "validation"], ["test", "test"]];
  const setFilter = (name) => (value) => { filter[name] = value; offset = 0; load(); };
  moveFocusByArrows(names);
  const more = create("li", {}, create("button", { onclick: () => { offset += 120; load(); } }, "more"));
  const outlineButton = create("button", { "aria-pressed": "true", onclick: () => {
    outlines = !outlines;
    outlineButton.setAttribute("aria-pressed", String(outlines));
    if (shown) open(shown, true);
  } }, "lesion outlines");
  const zoom = (words, label, act) => create("button", { "aria-label": label, title: label, onclick: act }, words);
  place.replaceChildren(
    create("div", { className: "bar" }, labelledSelect("split", any, "", setFilter("split")),
      all.patients ? create("label", {}, "patient", create("input", { type: "search", onchange: (event) => setFilter("patient")(event.target.value) })) : null,
      outlineButton, zoom("+", "zoom in", () => viewer.viewport.zoomBy(1.6)), zoom("−", "zoom out", () => viewer.viewport.zoomBy(0.625)),
      zoom("whole", "the whole mammogram", () => viewer.viewport.goHome()), count),
    create("div", { className: "films" }, names, viewerPlace),
    create("p", { className: "faint" }, facts, " Outlines: ", create("span", { className: "benign" }, "green benign"), ", ",
      create("span", { className: "malignant" }, "red malignant"), ". Scroll to zoom, drag to move; by the keyboard + and −, and the arrow keys."));
  const viewer = createViewer(viewerPlace, { dblClickToZoom: true }, "the mammogram; + and − zoom, the arrow keys move it");

  async function load() {
    const found = await requestJson(`/api/mammograms/${artifact.id}/rows?${new URLSearchParams({ ...filter, offset, count: 120 })}`);
    count.textContent = counted(found.all, "mammogram");
    const items = found.rows.map((one, at) => create("li", {}, create("button", { "data-number": one.number, tabIndex: offset || at ? -1 : 0, onclick: () => open(one, false) },
      mammogramName(one),
      create("span", { className: "kind" }, one.lesions.join(", ") || "no lesion"))));
    const hadFocus = more.contains(document.activeElement);
    if (!offset) names.replaceChildren();
    more.remove();
    names.append(...items);
    if (offset + found.rows.length < found.all) names.append(more);
    if (hadFocus) items[0]?.firstChild.focus();
    if (!offset && found.rows.length) open(found.rows[0], false);
    if (!found.all) {
      viewer.close();
      facts.textContent = "";
    }
  }

  function open(one, keep) {
    shown = one;
    for (const button of names.querySelectorAll("button")) button.setAttribute("aria-current", String(button.dataset.number === String(one.number)));
    facts.textContent = `${mammogramName(one)}, ${one.split} split, ${formatNumber(one.columns)} × ${formatNumber(one.rows)} px.`;
    const bounds = keep ? viewer.viewport.getBounds() : null;
    viewer.open(tileSource(artifact.id, one, outlines));
    if (bounds) viewer.addOnceHandler("open", () => viewer.viewport.fitBounds(bounds, true));
  }

  await load();
  return () => viewer.destroy();
}
