// Patches as a gallery. Only the sheets that are in sight are asked for, however many patches there are.

import { ask, askJson, byArrows, bytes, choice, complain, counted, make, tableOf, words } from "./ask.js";
import { draw, edges, sixteen, tails } from "./pixels.js";

const AT_ONCE = 60;
const DETAIL_PX = 256; // at least, with the gap, for the patch that is shown beside
const ABREAST = [10, 6, 5, 4, 3, 2]; // sheets are whole lines of so many patches

export async function gallery(place, artifact, all) {
  const wanted = { split: "", pathology: "", origin: "", patient: "" };
  const counter = make("span", { className: "faint", role: "status" });
  const space = make("div", { className: "space" });
  const frame = make("div", { className: "gallery", role: "group", "aria-label": "patches" }, space);
  const detail = make("div", { "aria-live": "polite" }, make("p", { className: "faint" }, "Choose a patch to see it in 16 bits, by a click, or by the arrow keys and Enter."));
  const any = (...words) => [["", "all"], ...words.map((one) => [one, one])];
  const set = (name) => (value) => { wanted[name] = value; load(); };
  const dropped = await askJson(`/api/patches/${artifact.id}/dropped`);
  place.replaceChildren(
    make("div", { className: "bar" },
      choice("split", any("train", "validation", "test"), "", set("split")),
      choice("pathology", any("normal", "benign", "malignant"), "", set("pathology")),
      choice("origin", any("real", "synthetic"), "", set("origin")),
      all.patients ? make("label", {}, "patient", make("input", { type: "search", onchange: (event) => set("patient")(event.target.value) })) : null,
      counter),
    make("div", { className: "shelf" }, frame, detail),
    dropped.length ? make("details", {}, make("summary", {}, "left out, and why"),
      tableOf("Windows left out", ["reason", "split", "windows"], dropped.map((one) => [one.reason, one.split ?? "", one.count]))) : "");
  const beside = () => getComputedStyle(frame.parentElement).gridTemplateColumns.includes(" ") ? DETAIL_PX : 0;
  const room = (thumb) => ABREAST.find((one) => one * thumb <= place.clientWidth - beside() - 20) ?? 2;
  const resized = () => { if (laidOut === turn) keepInView(arrange); };
  addEventListener("resize", resized);
  const shown = new Map(); // number of a sheet -> its element, of those near what is in view
  let turn = 0, laidOut = -1, columns = 10, thumb = 0, count = 0, marked = null;
  byArrows(frame, () => columns);

  async function load() {
    const mine = ++turn;
    complain(null);
    try {
      const first = await page(0, mine);
      if (mine !== turn) return;
      counter.textContent = counted(first.all, "patch", "patches");
      [laidOut, count, thumb] = [mine, first.all, first.thumb_px];
      shown.forEach(drop);
      shown.clear();
      space.replaceChildren(count ? "" : make("p", { className: "none" }, "No patch of this set is like that. Choose others above."));
      frame.scrollTop = 0;
      arrange();
      look(first);
      frame.onscroll = () => look();
    } catch (error) {
      complain(error);
    }
  }

  const sheetHeight = () => AT_ONCE / columns * thumb;

  // Changes the number of patches in a line. The sheets stay in the page, so the mark and the focus are kept.
  function arrange() {
    columns = room(thumb);
    space.style.height = `${Math.ceil(count / columns) * thumb}px`;
    frame.style.width = `${columns * thumb + 18}px`;
    shown.forEach(position);
  }

  function position(sheet, number) {
    sheet.style.top = `${number * sheetHeight()}px`;
    sheet.style.width = `${columns * thumb}px`;
  }

  // Keeps in view what was in view: the patch with the focus, else the marked one, else the first line.
  function keepInView(change) {
    const offset = (at) => Math.floor(at / columns) * thumb - frame.scrollTop;
    const inView = (at) => at !== undefined && offset(at) > -thumb && offset(at) < frame.clientHeight;
    const candidates = [document.activeElement, frame.querySelector("[aria-pressed]")].map((one) => one?.dataset.at);
    const at = Number(candidates.find(inView) ?? Math.ceil(frame.scrollTop / thumb) * columns);
    const before = offset(at);
    change();
    frame.scrollTop = Math.floor(at / columns) * thumb - Math.max(0, Math.min(before, frame.clientHeight - thumb));
    look();
  }

  function look(first = null) {
    if (laidOut !== turn) return;
    const height = sheetHeight(), mine = turn;
    const from = Math.max(0, Math.floor((frame.scrollTop - 200) / height));
    const to = Math.min(Math.ceil(count / AT_ONCE) - 1, Math.floor((frame.scrollTop + frame.clientHeight + 200) / height));
    for (const [number, sheet] of shown) if (number < from - 1 || number > to + 1) { drop(sheet); shown.delete(number); }
    for (let number = from; number <= to; number++) {
      if (shown.has(number)) continue;
      const sheet = make("div", { className: "sheet" });
      position(sheet, number);
      shown.set(number, sheet);
      space.append(sheet);
      fill(sheet, number, number ? null : first, mine).catch(complain);
    }
  }

  function page(number, mine) {
    if (mine !== turn) return null;
    const filter = new URLSearchParams({ ...wanted, offset: number * AT_ONCE, count: AT_ONCE });
    return askJson(`/api/patches/${artifact.id}/rows?${filter}`);
  }

  // Each patch is a button that shows its part of the sheet.
  async function fill(sheet, number, known, mine) {
    const found = known ?? await page(number, mine);
    if (!found || !found.rows.length || !sheet.isConnected) return;
    const address = `/api/patches/${artifact.id}/sheet?rows=${found.rows.map((one) => one.row).join(",")}`;
    const picture = URL.createObjectURL(await (await ask(address)).blob());
    sheet.dataset.picture = picture;
    const reached = frame.querySelector("button[tabindex='0']");
    sheet.replaceChildren(...found.rows.map((one, at) => {
      const button = make("button", { className: "patch", tabIndex: reached || at ? -1 : 0, "data-at": number * AT_ONCE + at, "aria-label": labelOf(one), onclick: () => show(one, found.size_px, button).catch(complain) });
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
    complain(null);
    for (const other of frame.querySelectorAll("[aria-pressed]")) other.removeAttribute("aria-pressed");
    button.setAttribute("aria-pressed", "true");
    marked = one.row;
    const canvas = make("canvas", { role: "img", "aria-label": labelOf(one) });
    const raw = await sixteen(await ask(`/api/patches/${artifact.id}/raw/${one.row}`), side);
    const mask = await bytes(`/api/patches/${artifact.id}/mask/${one.row}`);
    const [low, high] = tails(raw);
    const look = { level: (low + high) / 2, width: high - low };
    let outline = true;
    const paintIt = () => {
      draw(canvas, raw, side, look);
      const pen = canvas.getContext("2d");
      pen.fillStyle = one.pathology === "malignant" ? "#ff5a4d" : "#46d06f";
      if (outline) edges(mask, side).forEach((on, at) => { if (on) pen.fillRect(at % side, Math.floor(at / side), 1, 1); });
    };
    const marks = make("button", { "aria-pressed": "true", hidden: !mask.some(Boolean), onclick: () => {
      outline = !outline;
      marks.setAttribute("aria-pressed", String(outline));
      paintIt();
    } }, "outline");
    paintIt();
    detail.replaceChildren(make("div", { className: "card detail" }, canvas, make("div", {},
      make("dl", {}, ...Object.entries({ ...one, size: `${side} × ${side} px` }).filter(([name, value]) => value !== null && name !== "row")
        .flatMap(([name, value]) => [make("dt", {}, name.replaceAll("_", " ").replace(/ id$/, "")), make("dd", {}, String(value))])),
      make("div", { className: "bar" }, windowOf(look, paintIt)),
      make("div", { className: "bar" }, marks,
        one.split === "train" && one.origin === "real" ? make("a", { href: `#paint/${artifact.id}/${one.row}` }, "paint into it") : null))));
  }

  await load();
  return () => {
    turn++;
    removeEventListener("resize", resized);
    shown.forEach(drop);
  };
}

const labelOf = (one) => `${one.origin} ${one.pathology} patch of ${one.patient_id}, ${one.split} split`;

// Level and width in gray values of 16 bits, each said beside its slider.
export function windowOf(look, onchange) {
  const range = (name, least) => {
    look[name] = Math.min(65535, Math.max(least, look[name]));
    const said = make("output", {}, words(Math.round(look[name])));
    const slider = make("input", { type: "range", min: least, max: 65535, step: 64, value: look[name], "aria-label": `${name}, in gray values of 16 bits`, oninput: () => {
      look[name] = Number(slider.value);
      said.textContent = words(look[name]);
      onchange();
    } });
    return make("label", { title: "in gray values of 16 bits" }, name, slider, said);
  };
  return make("span", { className: "bar" }, range("level", 0), range("width", 256));
}
