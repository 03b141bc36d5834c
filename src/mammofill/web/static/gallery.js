// Gallery of a patch set. Patches are loaded in sheets, and only the sheets near the visible part.

import { moveFocusByArrows, labelledSelect, showError, counted, create, tableOf, formatNumber } from "./elements.js";
import { request, requestJson, requestBytes } from "./requests.js";
import { draw, maskBoundary, uint16Pixels, displayRange } from "./pixels.js";

const SHEET_PATCHES = 60;
const DETAIL_PX = 256; // minimum width of the patch shown beside the gallery, with the gap
const COLUMN_CHOICES = [10, 6, 5, 4, 3, 2]; // each divides SHEET_PATCHES, so that a sheet consists of full lines

export async function gallery(place, artifact, all) {
  const wanted = { split: "", pathology: "", origin: "", patient: "" };
  const counter = create("span", { className: "faint", role: "status" });
  const space = create("div", { className: "space" });
  const frame = create("div", { className: "gallery", role: "group", "aria-label": "patches" }, space);
  const detail = create("div", { "aria-live": "polite" }, create("p", { className: "faint" }, "Choose a patch to see it in 16 bits, by a click, or by the arrow keys and Enter."));
  const any = (...words) => [["", "all"], ...words.map((one) => [one, one])];
  const set = (name) => (value) => { wanted[name] = value; load(); };
  const dropped = await requestJson(`/api/patches/${artifact.id}/dropped`);
  place.replaceChildren(
    create("div", { className: "bar" },
      labelledSelect("split", any("train", "validation", "test"), "", set("split")),
      labelledSelect("pathology", any("normal", "benign", "malignant"), "", set("pathology")),
      labelledSelect("origin", any("real", "synthetic"), "", set("origin")),
      all.patients ? create("label", {}, "patient", create("input", { type: "search", onchange: (event) => set("patient")(event.target.value) })) : null,
      counter),
    create("div", { className: "shelf" }, frame, detail),
    dropped.length ? create("details", {}, create("summary", {}, "left out, and why"),
      tableOf("Windows left out", ["reason", "split", "windows"], dropped.map((one) => [one.reason, one.split ?? "", one.count]))) : "");
  const detailWidth = () => getComputedStyle(frame.parentElement).gridTemplateColumns.includes(" ") ? DETAIL_PX : 0;
  const columnsFor = (thumb) => COLUMN_CHOICES.find((one) => one * thumb <= place.clientWidth - detailWidth() - 20) ?? 2;
  const resized = () => { if (laidOut === generation) keepInView(arrange); };
  addEventListener("resize", resized);
  const shown = new Map(); // number of a sheet -> its element, of the sheets that are loaded
  let generation = 0, laidOut = -1, columns = 10, height = 0, thumb = 0, count = 0, marked = null;
  moveFocusByArrows(frame, () => columns);

  async function load() {
    const started = ++generation;
    showError(null);
    try {
      const first = await page(0, started);
      if (started !== generation) return;
      counter.textContent = counted(first.all, "patch", "patches");
      [laidOut, count, thumb] = [started, first.all, first.thumb_px];
      shown.forEach(drop);
      shown.clear();
      space.replaceChildren(count ? "" : create("p", { className: "none" }, "No patch of this set is like that. Choose others above."));
      frame.scrollTop = 0;
      arrange();
      loadVisible(first);
      frame.onscroll = () => loadVisible();
    } catch (error) {
      showError(error);
    }
  }

  const sheetHeight = () => SHEET_PATCHES / columns * thumb;

  // Changes the number of patches in a line. The sheets stay in the page, so the mark and the focus are kept.
  function arrange() {
    columns = columnsFor(thumb);
    space.style.height = `${Math.ceil(count / columns) * thumb}px`;
    frame.style.width = `${columns * thumb + 18}px`;
    height = frame.clientHeight;
    shown.forEach(position);
  }

  function position(sheet, number) {
    sheet.style.top = `${number * sheetHeight()}px`;
    sheet.style.width = `${columns * thumb}px`;
  }

  // Keeps in view what was in view: the patch with the focus, else the marked one, else the first line.
  function keepInView(change) {
    const offset = (at) => Math.floor(at / columns) * thumb - frame.scrollTop;
    const inView = (at) => at !== undefined && offset(at) > -thumb && offset(at) < height; // as it was before
    const candidates = [document.activeElement, frame.querySelector("[aria-pressed]")].map((one) => one?.dataset.at);
    const at = Number(candidates.find(inView) ?? Math.ceil(frame.scrollTop / thumb) * columns);
    const before = offset(at);
    change();
    frame.scrollTop = Math.floor(at / columns) * thumb - Math.max(0, Math.min(before, height - thumb));
    loadVisible();
  }

  function loadVisible(first = null) {
    if (laidOut !== generation) return;
    const step = sheetHeight(), started = generation;
    const from = Math.max(0, Math.floor((frame.scrollTop - 200) / step));
    const to = Math.min(Math.ceil(count / SHEET_PATCHES) - 1, Math.floor((frame.scrollTop + height + 200) / step));
    for (const [number, sheet] of shown) if (number < from - 1 || number > to + 1) { drop(sheet); shown.delete(number); }
    for (let number = from; number <= to; number++) {
      if (shown.has(number)) continue;
      const sheet = create("div", { className: "sheet" });
      position(sheet, number);
      shown.set(number, sheet);
      space.append(sheet);
      fill(sheet, number, number ? null : first, started).catch(showError);
    }
  }

  function page(number, started) {
    if (started !== generation) return null;
    const filter = new URLSearchParams({ ...wanted, offset: number * SHEET_PATCHES, count: SHEET_PATCHES });
    return requestJson(`/api/patches/${artifact.id}/rows?${filter}`);
  }

  // Each patch is a button with its part of the sheet as background.
  async function fill(sheet, number, known, started) {
    const found = known ?? await page(number, started);
    if (!found || !found.rows.length || !sheet.isConnected) return;
    const address = `/api/patches/${artifact.id}/sheet?rows=${found.rows.map((one) => one.row).join(",")}`;
    const picture = URL.createObjectURL(await (await request(address)).blob());
    sheet.dataset.picture = picture;
    const reached = frame.querySelector("button[tabindex='0']");
    sheet.replaceChildren(...found.rows.map((one, at) => {
      const button = create("button", { className: "patch", tabIndex: reached || at ? -1 : 0, "data-at": number * SHEET_PATCHES + at, "aria-label": labelOf(one), onclick: () => show(one, found.size_px, button).catch(showError) });
      if (one.row === marked) button.setAttribute("aria-pressed", "true");
      button.style.width = button.style.height = `${found.thumb_px}px`;
      button.style.backgroundImage = `url("${picture}")`;
      button.style.backgroundPosition = `-${at % found.columns * found.thumb_px}px -${Math.floor(at / found.columns) * found.thumb_px}px`;
      return button;
    }));
  }

  function drop(sheet) {
    URL.revokeObjectURL(sheet.dataset.picture ?? "");
    sheet.remove();
  }

  async function show(one, side, button) {
    showError(null);
    for (const other of frame.querySelectorAll("[aria-pressed]")) other.removeAttribute("aria-pressed");
    button.setAttribute("aria-pressed", "true");
    marked = one.row;
    const canvas = create("canvas", { role: "img", "aria-label": labelOf(one) });
    const raw = await uint16Pixels(await request(`/api/patches/${artifact.id}/raw/${one.row}`), side);
    const mask = await requestBytes(`/api/patches/${artifact.id}/mask/${one.row}`);
    const [low, high] = displayRange(raw);
    const display = { level: (low + high) / 2, width: high - low };
    let outline = true;
    const redraw = () => {
      draw(canvas, raw, side, display);
      const pen = canvas.getContext("2d");
      pen.fillStyle = one.pathology === "malignant" ? "#ff5a4d" : "#46d06f";
      if (outline) maskBoundary(mask, side).forEach((on, at) => { if (on) pen.fillRect(at % side, Math.floor(at / side), 1, 1); });
    };
    const outlineButton = create("button", { "aria-pressed": "true", hidden: !mask.some(Boolean), onclick: () => {
      outline = !outline;
      outlineButton.setAttribute("aria-pressed", String(outline));
      redraw();
    } }, "outline");
    redraw();
    detail.replaceChildren(create("div", { className: "card detail" }, canvas, create("div", {},
      create("dl", {}, ...Object.entries({ ...one, size: `${side} × ${side} px` }).filter(([name, value]) => value !== null && name !== "row")
        .flatMap(([name, value]) => [create("dt", {}, name.replaceAll("_", " ").replace(/ id$/, "")), create("dd", {}, String(value))])),
      create("div", { className: "bar" }, windowSliders(display, redraw)),
      create("div", { className: "bar" }, outlineButton,
        one.split === "train" && one.origin === "real" ? create("a", { href: `#paint/${artifact.id}/${one.row}` }, "paint into it") : null))));
  }

  await load();
  return () => {
    generation++;
    removeEventListener("resize", resized);
    shown.forEach(drop);
  };
}

const labelOf = (one) => `${one.origin} ${one.pathology} patch of ${one.patient_id}, ${one.split} split`;

// Sliders for level and width of the display window, in gray values of 16 bits.
export function windowSliders(display, onchange) {
  const range = (name, least) => {
    display[name] = Math.min(65535, Math.max(least, display[name]));
    const output = create("output", {}, formatNumber(Math.round(display[name])));
    const slider = create("input", { type: "range", min: least, max: 65535, step: 64, value: display[name], "aria-label": `${name}, in gray values of 16 bits`, oninput: () => {
      display[name] = Number(slider.value);
      output.textContent = formatNumber(display[name]);
      onchange();
    } });
    return create("label", { title: "in gray values of 16 bits" }, name, slider, output);
  };
  return create("span", { className: "bar" }, range("level", 0), range("width", 256));
}
