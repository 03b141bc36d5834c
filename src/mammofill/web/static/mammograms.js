import { askJson, choice, make } from "./ask.js";

export const called = (one) => [one.patient_id, one.laterality, one.view.toUpperCase()].filter(Boolean).join(" ");

export async function mammograms(place, artifact, all) {
  const wanted = { split: "", patient: "" };
  const names = make("ol"), viewerPlace = make("div", { id: "viewer" }), count = make("span", { className: "faint" });
  let outlines = true, viewer = null, shown = null, offset = 0;
  const any = [["", "all"], ["train", "train"], ["validation", "validation"], ["test", "test"]];
  const again = (name) => (value) => { wanted[name] = value; offset = 0; load(); };
  const more = make("button", { onclick: () => { offset += 120; load(); } }, "more");
  const marks = make("button", { "aria-pressed": "true", onclick: () => {
    outlines = !outlines;
    marks.setAttribute("aria-pressed", String(outlines));
    if (shown) open(shown, true);
  } }, "lesion outlines");
  place.replaceChildren(
    make("div", { className: "bar" }, choice("split", any, "", again("split")),
      all.patients ? make("label", {}, "patient", make("input", { type: "search", onchange: (event) => again("patient")(event.target.value) })) : null,
      marks, make("button", { onclick: () => viewer?.viewport.zoomBy(1.6) }, "+"), make("button", { onclick: () => viewer?.viewport.zoomBy(0.625) }, "−"),
      make("button", { onclick: () => viewer?.viewport.goHome() }, "whole"), count),
    make("div", { className: "films" }, names, viewerPlace));
  viewer = window.OpenSeadragon({ element: viewerPlace, showNavigationControl: false, maxZoomPixelRatio: 8, drawer: "canvas",
    animationTime: 0.4, gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true }, crossOriginPolicy: false });
  viewer.addHandler("tile-load-failed", () => {});

  async function load() {
    const found = await askJson(`/api/mammograms/${artifact.id}/rows?${new URLSearchParams({ ...wanted, offset, count: 120 })}`);
    count.textContent = `${found.all} mammograms`;
    const items = found.rows.map((one) => make("li", {}, make("button", { onclick: () => open(one, false) },
      called(one),
      make("span", { className: "kind" }, one.lesions.join(", ") || "no lesion"))));
    if (!offset) names.replaceChildren();
    more.remove();
    names.append(...items);
    if (offset + found.rows.length < found.all) names.append(more);
    if (!offset && found.rows.length) open(found.rows[0], false);
  }

  function open(one, keep) {
    shown = one;
    const bounds = keep ? viewer.viewport.getBounds() : null;
    viewer.open({ width: one.columns, height: one.rows, tileSize: 256, tileOverlap: 0, minLevel: 6, maxLevel: one.top_level,
      getTileUrl: (level, column, row) => `/api/mammograms/${artifact.id}/${one.number}/tile/${level}/${column}/${row}?outlines=${outlines}` });
    if (bounds) viewer.addOnceHandler("open", () => viewer.viewport.fitBounds(bounds, true));
  }

  await load();
  return () => viewer.destroy();
}
