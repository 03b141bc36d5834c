import { askJson, byArrows, choice, complain, counted, make, still, words } from "./ask.js";

const ABORTED = "Image load aborted."; // as the viewer says when it turns to another mammogram

export const called = (one) => [one.patient_id, one.laterality, one.view.toUpperCase()].filter(Boolean).join(" ");

// A viewer of tiles; it says while it loads, and when the studio does not answer, since its black would say nothing.
export function viewerIn(place, gestures, label) {
  const loading = make("p", { className: "loading", role: "status" }, "Loading …");
  const viewer = window.OpenSeadragon({ element: place, showNavigationControl: false, maxZoomPixelRatio: 8, drawer: "canvas",
    animationTime: still.matches ? 0 : 0.4, gestureSettingsMouse: { clickToZoom: false, ...gestures }, crossOriginPolicy: false });
  place.append(loading);
  viewer.canvas.setAttribute("role", "application"); // whose arrow keys are its own
  viewer.canvas.setAttribute("aria-label", label);
  viewer.addHandler("open", () => { loading.hidden = false; });
  viewer.addHandler("tile-drawn", () => { loading.hidden = true; });
  viewer.addHandler("tile-load-failed", (event) => event.message !== ABORTED && complain(new Error("A part of this mammogram could not be loaded. Was the studio stopped? Load the page again.")));
  return viewer;
}

export function sourceOf(set, one, outlines) {
  return { width: one.columns, height: one.rows, tileSize: 256, tileOverlap: 0, minLevel: 6, maxLevel: one.top_level,
    getTileUrl: (level, column, row) => `/api/mammograms/${set}/${one.number}/tile/${level}/${column}/${row}?outlines=${outlines}` };
}

export async function mammograms(place, artifact, all) {
  const wanted = { split: "", patient: "" };
  const names = make("ol", { "aria-label": "mammograms" }), viewerPlace = make("div", { id: "viewer" }), count = make("span", { className: "faint", role: "status" });
  const facts = make("span", { className: "faint" });
  let outlines = true, shown = null, offset = 0;
  const any = [["", "all"], ["train", "train"], ["validation", "validation"], ["test", "test"]];
  const again = (name) => (value) => { wanted[name] = value; offset = 0; load(); };
  byArrows(names);
  const more = make("li", {}, make("button", { onclick: () => { offset += 120; load(); } }, "more"));
  const marks = make("button", { "aria-pressed": "true", onclick: () => {
    outlines = !outlines;
    marks.setAttribute("aria-pressed", String(outlines));
    if (shown) open(shown, true);
  } }, "lesion outlines");
  const zoom = (words, label, act) => make("button", { "aria-label": label, title: label, onclick: act }, words);
  place.replaceChildren(
    make("div", { className: "bar" }, choice("split", any, "", again("split")),
      all.patients ? make("label", {}, "patient", make("input", { type: "search", onchange: (event) => again("patient")(event.target.value) })) : null,
      marks, zoom("+", "zoom in", () => viewer.viewport.zoomBy(1.6)), zoom("−", "zoom out", () => viewer.viewport.zoomBy(0.625)),
      zoom("whole", "the whole mammogram", () => viewer.viewport.goHome()), count),
    make("div", { className: "films" }, names, viewerPlace),
    make("p", { className: "faint" }, facts, " Outlines: ", make("span", { className: "benign" }, "green benign"), ", ",
      make("span", { className: "malignant" }, "red malignant"), ". Scroll to zoom, drag to move; by the keyboard + and −, and the arrow keys."));
  const viewer = viewerIn(viewerPlace, { dblClickToZoom: true }, "the mammogram; + and − zoom, the arrow keys move it");

  async function load() {
    const found = await askJson(`/api/mammograms/${artifact.id}/rows?${new URLSearchParams({ ...wanted, offset, count: 120 })}`);
    count.textContent = counted(found.all, "mammogram");
    const items = found.rows.map((one, at) => make("li", {}, make("button", { "data-number": one.number, tabIndex: offset || at ? -1 : 0, onclick: () => open(one, false) },
      called(one),
      make("span", { className: "kind" }, one.lesions.join(", ") || "no lesion"))));
    const goesOn = more.contains(document.activeElement);
    if (!offset) names.replaceChildren();
    more.remove();
    names.append(...items);
    if (offset + found.rows.length < found.all) names.append(more);
    if (goesOn) items[0]?.firstChild.focus();
    if (!offset && found.rows.length) open(found.rows[0], false);
    if (!found.all) {
      viewer.close();
      facts.textContent = "";
    }
  }

  function open(one, keep) {
    shown = one;
    for (const button of names.querySelectorAll("button")) button.setAttribute("aria-current", String(button.dataset.number === String(one.number)));
    facts.textContent = `${called(one)}, ${one.split} split, ${words(one.columns)} × ${words(one.rows)} px.`;
    const bounds = keep ? viewer.viewport.getBounds() : null;
    viewer.open(sourceOf(artifact.id, one, outlines));
    if (bounds) viewer.addOnceHandler("open", () => viewer.viewport.fitBounds(bounds, true));
  }

  await load();
  return () => viewer.destroy();
}
