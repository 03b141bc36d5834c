// The Paint view: choose tissue, draw or place a mask, paint fills, keep some of them.

import { moveFocusByArrows, labelledSelect, showError, counted, create, delay, reducedMotion, formatNumber } from "./elements.js";
import { request, requestJson, requestBytes, postJson } from "./requests.js";
import { verdictText } from "./browse.js";
import { windowChooser } from "./window_chooser.js";
import { windowSliders } from "./gallery.js";
import { maskArea, draw, drawDifference, maskBoundary, packMask, uint16Pixels, displayRange, unpackMask } from "./pixels.js";

const THUMBS = 60;
const VIEWS = [["fill", "fills"], ["tissue", "the tissue before"], ["difference", "difference"], ["flicker", "flicker with the tissue"]];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export async function paint(place, all, [wantedSet, wantedRow]) {
  const infillers = await requestJson("/api/infillers");
  if (!infillers.length) {
    place.replaceChildren(create("p", {}, "There is no finished infiller in this folder. Train one with mammofill train-infiller, or make one with its preset copy-paste."));
    return;
  }
  const sets = all.artifacts.filter((one) => one.kind === "patches" && one.usable);
  const mammogramSets = all.artifacts.filter((one) => one.kind === "mammograms" && one.usable);
  const painters = infillers.filter((one) => one.method !== "copy-paste");
  const copyPasteInfillers = infillers.filter((one) => one.method === "copy-paste");
  const state = {
    infiller: (painters.find((one) => one.verdict === "reached") ?? painters[0] ?? infillers[0]).id, guidance: null, facts: {}, seed: 0, seeds: 3,
    set: null, lender: null, row: null, place: null, tissue: "normal", side: 0, before: null, mask: null, hole: null, own: null, isOwnOutline: false, note: "", chosen: null, donor: null, refused: "", window: { level: 32768, width: 65535 },
    tool: "draw", size: 5, view: "fill", fills: [], work: null, keeping: false, stroke: null,
  };
  let generation = 0; // counts what was chosen to paint into; answers to requests of an earlier choice are ignored
  const about = (id) => infillers.find((one) => one.id === id);
  const first = wantedSet ?? about(state.infiller).patches.find((id) => sets.some((one) => one.id === id)) ?? sets[0]?.id ?? mammogramSets[0]?.id;

  const chooser = windowChooser((one, row, column) => chooseWindow(one, row, column));
  const tissues = labelledSelect("tissue", [["normal", "normal"], ["benign", "with a benign lesion"], ["malignant", "with a malignant lesion"]], state.tissue,
    (tissue) => { state.tissue = tissue; chooseSet(state.set); });
  const picture = create("canvas", { "aria-hidden": "true" }), drawing = create("canvas", { tabIndex: 0, role: "img", "aria-label": "the lesion that is drawn; arrow keys move it", "aria-describedby": "verdict" });
  const strip = create("div", { className: "strip", role: "group", "aria-label": "patches to paint into" });
  moveFocusByArrows(strip);
  const verdict = create("p", { className: "verdict", id: "verdict", role: "status" });
  const results = create("div", { className: "fills" });
  let asking = null;
  const go = create("button", { className: "main", id: "go", "aria-describedby": "verdict", onclick: () => start() }, "Paint");
  const stop = create("button", { id: "stop", hidden: true, onclick: () => cancel() }, "Cancel");
  const progress = create("span", { className: "faint", role: "status", id: "progress" });
  const keepName = create("input", { value: "painted", pattern: "[a-z0-9][a-z0-9\\-]*", maxLength: 40, "aria-label": "name of the set" });
  const keepButton = create("button", { id: "keep", disabled: true, onclick: () => keep() }, "Keep");
  const keepStatus = create("span", { className: "faint", role: "status", id: "kept" });
  const conditions = create("span", { className: "bar" }), judged = create("p", { className: "faint" });
  const sliders = create("span"), viewLegend = create("span", { className: "faint" });
  const tools = {}, brush = create("output", {}, `${state.size} px`);
  const ownButton = create("button", { id: "own-outline", hidden: true, onclick: () => placeOwnOutline() }, "its own outline");
  const stage = create("div", { className: "stage" }, picture, drawing);
  const tool = (name, words) => (tools[name] = create("button", { "aria-pressed": String(state.tool === name), onclick: () => {
    state.tool = name;
    drawing.parentElement.classList.toggle("moves", name === "move");
    for (const [other, button] of Object.entries(tools)) button.setAttribute("aria-pressed", String(other === name));
  } }, words));

  place.replaceChildren(create("div", { className: "paint" },
    create("section", {},
      create("div", { className: "bar" }, labelledSelect("paint into", [...sets, ...mammogramSets].map((one) => [one.id, `${one.kind}: ${one.place}`]), first, (id) => chooseSet(id)), tissues),
      chooser.place,
      verdict,
      stage,
      create("p", { className: "faint legend" }, create("span", { className: "key lesion" }, "the lesion"), create("span", { className: "key hole" }, "what is repainted"), create("span", { className: "key refused" }, "cannot be filled")),
      strip,
      create("div", { className: "bar" }, tool("draw", "draw"), tool("erase", "erase"), tool("ellipse", "ellipse"), tool("move", "move"),
        create("label", {}, "brush", create("input", { type: "range", min: 1, max: 24, value: state.size, "aria-label": "brush, in pixels of the patch", oninput: (event) => { state.size = Number(event.target.value); brush.textContent = `${state.size} px`; } }), brush)),
      create("div", { className: "bar" },
        create("button", { id: "benign-outline", onclick: () => placeOutline("benign") }, "a real benign outline"),
        create("button", { id: "malignant-outline", onclick: () => placeOutline("malignant") }, "a malignant one"),
        ownButton,
        create("button", { onclick: () => { state.mask?.fill(0); state.donor = null; drawn(); } }, "clear")),
      sliders),
    create("section", {},
      create("div", { className: "bar" },
        labelledSelect("infiller", infillers.map((one) => [one.id, one.place]), state.infiller, (id) => { state.infiller = id; chooseInfiller(); if (state.set && !strip.hidden && state.tissue !== "normal") loadStrip(generation); if (state.chosen) chooseWindow(...state.chosen); else if (state.isOwnOutline) placeOwnOutline(); else changed(); }),
        create("label", {}, "first seed", create("input", { type: "number", min: 0, value: 0, id: "seed", onchange: (event) => { state.seed = Number(event.target.value); } })),
        create("label", {}, "fills of each class", create("input", { type: "number", min: 1, max: 6, value: 3, id: "seeds", onchange: (event) => { state.seeds = Math.max(1, Math.min(6, Math.round(Number(event.target.value)))); event.target.value = state.seeds; } })),
        conditions, go, stop, progress),
      judged,
      create("div", { className: "bar" },
        labelledSelect("show", reducedMotion.matches ? VIEWS.slice(0, -1) : VIEWS, "fill", (view) => { state.view = view; viewLegend.textContent = view === "difference" ? "orange: brighter than the tissue; blue: darker" : ""; redraw(); }), viewLegend,
        create("label", {}, "keep the ticked ones as", keepName), keepButton, keepStatus),
      results)));

  function chooseInfiller() {
    const one = about(state.infiller);
    state.facts = {};
    state.guidance = null;
    const alone = one.learned.length === 1 ? `, learned from ${one.learned[0]} lesions alone and paints no others` : "";
    judged.textContent = `${one.method}, ${one.size_px} px, repaints ${one.hole}${alone}; ${one.verdict ? `judged: ${verdictText(one.verdict)}` : "not judged yet, so whether it paints the requested class is unknown"}`;
    conditions.replaceChildren(
      ...(one.guidance === null ? [] : [create("label", {}, "guidance", create("input", { type: "number", min: 0, max: 20, step: 0.25, value: one.guidance, id: "guidance",
        onchange: (event) => { state.guidance = event.target.value === "" ? null : Number(event.target.value); } }))]),
      ...Object.entries(one.conditions).map(([fact, words]) => labelledSelect(fact, [["", "not asked"], ...words.map((word) => [word, word])], "",
        (word) => { if (word) state.facts[fact] = word; else delete state.facts[fact]; })));
  }

  async function chooseSet(id, row) {
    showError(null);
    const started = await reset();
    if (started !== generation) return;
    state.set = id;
    const into = [...sets, ...mammogramSets].find((one) => one.id === id);
    if (!into) throw new Error("There is no such set of patches or mammograms here (any more). Choose another to paint into.");
    strip.hidden = tissues.hidden = into.kind === "mammograms";
    if (into.kind === "mammograms") {
      await chooser.show(id);
      return;
    }
    chooser.hide();
    state.lender = id;
    const found = await loadStrip(started);
    if (started !== generation) return;
    state.side = found.size_px;
    if (!found.rows.length && row === undefined) {
      throw new Error(state.tissue === "normal"
        ? "This set has no normal patch of the train split, all of it breast. Choose tissue with a lesion, and paint over it."
        : `This set has no ${state.tissue} patch of the train split whose lesion this infiller could paint over as a whole.`);
    }
    await choosePatch(row ?? found.rows[0].row);
  }

  // Loads the patches to paint into; of those with lesions, the ones that the infiller can paint over. Each request
  // checks some patches, so that nothing is checked in vain after another choice.
  async function loadStrip(started) {
    const id = state.set, { infiller } = state, wanted = { pathology: state.tissue, origin: "real", split: "train", whole: true, infiller, count: THUMBS };
    const address = `/api/patches/${id}/rows?${new URLSearchParams(wanted)}`, shown = () => started === generation && infiller === state.infiller;
    let found = await requestJson(address);
    while (found.left && found.rows.length < THUMBS && shown()) {
      const looked = `${formatNumber(found.looked_at)} of ${formatNumber(found.looked_at + found.left)}`;
      strip.replaceChildren(create("p", { className: "faint", role: "status" }, `Looking for patches that can be painted into: ${looked} …`));
      found = await requestJson(address);
    }
    if (!shown()) return found;
    const image = new Image();
    if (found.rows.length) {
      image.src = `/api/patches/${id}/sheet?rows=${found.rows.map((one) => one.row).join(",")}`;
      await image.decode();
    }
    if (shown()) strip.replaceChildren(...found.rows.map((one, number) => {
      const thumb = create("canvas", { width: found.thumb_px, height: found.thumb_px });
      thumb.getContext("2d").drawImage(image, -(number % found.columns) * found.thumb_px, -Math.floor(number / found.columns) * found.thumb_px);
      return create("button", { "data-row": one.row, tabIndex: number ? -1 : 0, title: one.patch_id ?? "", "aria-label": `${one.pathology} patch of ${one.patient_id}`,
        "aria-pressed": String(one.row === state.row), onclick: () => choosePatch(one.row) }, thumb);
    }));
    return found;
  }

  async function reset() {
    const started = ++generation;
    asking?.abort();
    Object.assign(state, { row: null, place: null, chosen: null, before: null, mask: null, hole: null, own: null, isOwnOutline: false, note: "", donor: null, fills: [] });
    results.replaceChildren();
    countKept();
    for (const canvas of [picture, drawing]) canvas.width = canvas.height = 1;
    enablePaint();
    verdict.textContent = progress.textContent = "";
    await cancel();
    return started;
  }

  async function choosePatch(row) {
    const started = await reset();
    if (started !== generation) return;
    state.row = row;
    for (const button of strip.children) button.setAttribute("aria-pressed", String(button.dataset.row === String(row)));
    const before = await uint16Pixels(await request(`/api/patches/${state.set}/raw/${row}`), state.side);
    const own = await requestBytes(`/api/patches/${state.set}/mask/${row}`);
    if (started === generation) await showTissue(before, own);
  }

  // Normal tissue has little contrast: a display window of at least half of the mammogram's range keeps lesions unsaturated.
  async function chooseWindow(one, row, column) {
    const started = await reset();
    if (started !== generation) return;
    state.chosen = [one, row, column];
    stage.hidden = true;
    verdict.classList.remove("bad");
    if (!one) {
      verdict.textContent = "Click into the mammogram where a lesion should be.";
      return;
    }
    verdict.textContent = "The window is cut …";
    const base = `/api/mammograms/${state.set}/${one.number}/window`, by = new URLSearchParams({ infiller: state.infiller });
    const found = await requestJson(`${base}?${by}&row=${row}&column=${column}`);
    if (started !== generation) return;
    chooser.frame(found.top, found.left, found.size_px, found.refused);
    verdict.textContent = found.refused;
    verdict.classList.toggle("bad", Boolean(found.refused));
    if (found.refused) return;
    state.side = found.size_px;
    state.place = { mammograms: state.set, number: one.number, top: found.top, left: found.left };
    state.lender = about(state.infiller).patches.find((id) => sets.some((set) => set.id === id)) ?? null;
    const corner = `${base}/${found.top}/${found.left}`;
    const before = await uint16Pixels(await request(`${corner}/raw?${by}`), found.size_px), own = await requestBytes(`${corner}/mask?${by}`);
    if (started === generation) await showTissue(before, own, found.white / 2);
  }

  async function showTissue(before, own, least = 0) {
    state.before = before;
    state.own = own;
    state.mask = new Uint8Array(state.side ** 2);
    const [low, high] = displayRange(before);
    state.window = { level: (low + high) / 2, width: Math.max(1.6 * (high - low), least, 256) };
    sliders.replaceChildren(windowSliders(state.window, redraw));
    stage.hidden = false;
    ownButton.hidden = !maskArea(state.own);
    if (maskArea(state.own)) await placeOwnOutline();
    else { redraw(); await changed(); }
  }

  // Places the outline of the patch's own lesion, grown if the infiller would leave the lesion's margin visible.
  async function placeOwnOutline() {
    showError(null);
    const started = generation, { infiller } = state;
    const found = await postJson("/api/over-own", { ...target(), infiller });
    if (started !== generation || infiller !== state.infiller) return;
    state.mask = unpackMask(found.mask, state.own.length);
    state.donor = null;
    state.isOwnOutline = true;
    state.note = found.grown_px ? `Its own outline, grown by ${found.grown_px} px: this infiller repaints the mask alone, and the lesion's margin would show around it. ` : "";
    await changed();
  }

  // The mask was changed by hand: it is no longer the outline of the patch's own lesion.
  function drawn() {
    showError(null);
    state.isOwnOutline = false;
    state.note = "";
    return changed();
  }

  const target = () => state.place ? { window: state.place } : { patches: state.set, row: state.row };

  function redraw() {
    if (!state.before) return;
    draw(picture, state.before, state.side, state.window);
    drawing.width = drawing.height = state.side;
    const pen = drawing.getContext("2d");
    const dots = (mask, colour) => { pen.fillStyle = colour; mask?.forEach((on, at) => { if (on) pen.fillRect(at % state.side, Math.floor(at / state.side), 1, 1); }); };
    dots(state.mask, "rgba(255, 190, 60, .28)");
    if (state.mask) dots(maskBoundary(state.mask, state.side), "rgba(255, 190, 60, .9)");
    if (state.hole) dots(maskBoundary(state.hole, state.side), state.refused ? "rgba(255, 80, 70, .9)" : "rgba(90, 200, 255, .9)");
    for (const one of state.fills) showFill(one);
  }

  // ---- drawing

  const at = (event) => {
    const box = drawing.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * state.side, (event.clientY - box.top) / box.height * state.side];
  };
  drawing.addEventListener("pointerdown", (event) => {
    if (!state.mask) return;
    drawing.setPointerCapture(event.pointerId);
    state.stroke = { from: at(event), last: at(event), before: state.mask.slice() };
    stroke(event);
  });
  drawing.addEventListener("pointermove", (event) => { if (state.stroke) stroke(event); });
  drawing.addEventListener("pointerup", endStroke);
  drawing.addEventListener("pointercancel", endStroke);
  drawing.addEventListener("keydown", (event) => {
    if (!state.mask || !ARROWS[event.key]) return;
    event.preventDefault();
    state.mask = shifted(state.mask, ...ARROWS[event.key].map((one) => one * (event.shiftKey ? 5 : 1)));
    redraw();
    drawn();
  });

  function endStroke() {
    if (!state.stroke) return;
    state.stroke = null;
    drawn();
  }

  function stroke(event) {
    const [x, y] = at(event), { from, last } = state.stroke;
    if (state.tool === "ellipse") {
      state.mask = state.stroke.before.slice();
      const half = [Math.abs(x - from[0]), Math.abs(y - from[1])].map((one) => Math.max(one, 0.5));
      setPixels((column, row) => ((column - from[0]) / half[0]) ** 2 + ((row - from[1]) / half[1]) ** 2 <= 1, 1);
    } else if (state.tool === "move") {
      state.mask = shifted(state.stroke.before, Math.round(x - from[0]), Math.round(y - from[1]));
    } else {
      const steps = Math.max(1, Math.ceil(Math.hypot(x - last[0], y - last[1])));
      for (let step = 1; step <= steps; step++) {
        const centre = [0, 1].map((axis) => last[axis] + ([x, y][axis] - last[axis]) * step / steps);
        setPixels((column, row) => Math.hypot(column - centre[0], row - centre[1]) <= state.size / 2, state.tool === "draw" ? 1 : 0);
      }
      state.stroke.last = [x, y];
    }
    redraw();
  }

  function setPixels(inside, value) {
    for (let place = 0; place < state.mask.length; place++) {
      if (inside(place % state.side + 0.5, Math.floor(place / state.side) + 0.5)) state.mask[place] = value;
    }
  }

  // Shifts a mask; pixels that leave the patch are lost once the pointer is released.
  function shifted(mask, right, down) {
    const { side } = state;
    return mask.map((_, place) => {
      const column = place % side - right, row = Math.floor(place / side) - down;
      return column >= 0 && row >= 0 && column < side && row < side ? mask[row * side + column] : 0;
    });
  }

  function centred(mask) {
    const { side } = state, sums = [0, 0];
    mask.forEach((on, place) => { if (on) { sums[0] += place % side; sums[1] += Math.floor(place / side); } });
    const [right, down] = sums.map((sum) => Math.round((side - 1) / 2 - sum / maskArea(mask)));
    return shifted(mask, right, down);
  }

  const lesions = {};
  async function placeOutline(pathology) {
    showError(null);
    const started = generation;
    if (!state.mask) throw new Error("Choose first what to paint into.");
    if (!state.lender) throw new Error("The patches that the infiller learned from are not in this folder, so that no outline can be lent.");
    const wanted = { pathology, infiller: state.infiller }, name = JSON.stringify([state.lender, wanted]);
    if (!lesions[name]) {
      const found = await requestJson(`/api/patches/${state.lender}/outlines?${new URLSearchParams(wanted)}`);
      if (started !== generation) return;
      if (found.size_px !== state.side) throw new Error(`Outlines of ${found.size_px} px do not fit windows of ${state.side} px.`);
      lesions[name] = { rows: found.rows, next: 0 };
    }
    const { rows } = lesions[name];
    if (!rows.length) throw new Error(`No ${pathology} lesion of the train split can be lent: none lies whole in its patch with what would be repainted around it.`);
    const row = rows[lesions[name].next++ % rows.length];
    const outline = await requestBytes(`/api/patches/${state.lender}/mask/${row}`);
    if (started !== generation) return;
    state.mask = centred(outline);
    state.donor = row;
    await drawn();
  }

  async function changed() {
    asking?.abort();
    const { signal } = (asking = new AbortController());
    state.hole = null;
    if (!state.mask) return;
    if (!maskArea(state.mask)) {
      state.donor = null;
      state.refused = "Draw where the lesion should be, or lay an outline.";
    } else {
      try {
        const found = await postJson("/api/hole", { ...target(), infiller: state.infiller, mask: packMask(state.mask) }, signal);
        if (signal.aborted) return;
        state.refused = found.refused ?? "";
        state.hole = unpackMask(found.hole, state.mask.length);
      } catch (error) {
        if (signal.aborted) return;
        state.refused = error.message;
      }
    }
    verdict.textContent = state.note + (state.refused || `${formatNumber(maskArea(state.mask))} px of lesion; ${formatNumber(maskArea(state.hole))} px will be repainted.`);
    verdict.classList.toggle("bad", Boolean(state.refused) && maskArea(state.mask) > 0);
    enablePaint();
    redraw();
  }

  // ---- painting

  const enablePaint = () => { go.disabled = Boolean(state.work || !state.mask || state.refused); };

  async function start() {
    showError(null);
    const mask = packMask(state.mask), seeds = Array.from({ length: state.seeds }, (_, number) => state.seed + number);
    const order = {
      ...target(), mask, facts: state.facts, guidance: state.guidance, infillers: [state.infiller],
      fills: ["benign", "malignant"].flatMap((pathology) => seeds.map((seed) => ({ pathology, seed }))),
    };
    const work = (state.work = { painting: null, stopped: false, fills: [] });
    const hadFocus = document.activeElement === go;
    enablePaint();
    stop.hidden = false;
    stop.textContent = "Cancel";
    progress.textContent = keepStatus.textContent = "";
    if (hadFocus) stop.focus(); // the disabled button loses the focus
    try {
      await run(work, order);
    } catch (error) {
      showError(error);
      if (work.painting) deletePainting(work).catch(() => {});
    }
    for (const one of work.fills) if (!one.values) one.tick.parentElement.append(": not painted");
    const cancelHadFocus = document.activeElement === stop;
    stop.hidden = true;
    state.work = null;
    enablePaint();
    if (cancelHadFocus) go.focus();
  }

  // Requests a painting and shows its fills; stops if it was cancelled before the studio answered.
  async function run(work, order) {
    const { lender, donor } = state;
    const comparison = await copyPasteInfiller(order.mask);
    if (work.stopped) return;
    order.infillers.push(...comparison.infillers);
    const { painting, fills } = await postJson("/api/paint", order);
    work.painting = painting;
    if (work.stopped) {
      await deletePainting(work);
      return;
    }
    state.fills = work.fills = fills.map((said) => ({ ...said, canvas: create("canvas"), values: null, tick: null, asked: order, lender, donor }));
    showFills();
    if (comparison.words) results.append(create("p", { className: "faint" }, comparison.words));
    await showProgress(work);
  }

  const deletePainting = (work) => request(`/api/paint/${work.painting}`, { method: "DELETE" });

  // A copy-paste infiller paints the same mask for comparison, unless its own hole, which may be larger, does not fit.
  async function copyPasteInfiller(mask) {
    const one = copyPasteInfillers.find((other) => other.id !== state.infiller && other.size_px === state.side);
    if (!one) return { infillers: [] };
    const { refused } = await postJson("/api/hole", { ...target(), infiller: one.id, mask });
    return refused ? { infillers: [], words: `${one.place} is not shown beside: ${refused}` } : { infillers: [one.id] };
  }

  async function showProgress(work) {
    const { fills, painting } = work, { side } = state;
    for (let shown = 0; !work.stopped;) {
      const now = await requestJson(`/api/paint/${painting}`);
      for (; shown < now.done && fills === state.fills; shown++) {
        const one = fills[shown];
        one.values = await uint16Pixels(await request(`/api/paint/${painting}/fill/${shown}`), side);
        one.tick.disabled = false;
        if (fills === state.fills) showFill(one);
      }
      progress.textContent = `${now.done} of ${counted(fills.length, "fill")} ${now.done === 1 ? "is" : "are"} painted`;
      if (now.state === "failed") throw new Error(now.error);
      if (now.state === "done" || now.state === "cancelled") break;
      await delay(150);
    }
  }

  async function cancel() {
    const { work } = state;
    if (!work || work.stopped) return;
    work.stopped = true;
    stop.textContent = "Cancelling …";
    if (work.painting) await deletePainting(work);
  }

  function showFills() {
    const groups = [];
    for (const id of new Set(state.fills.map((one) => one.infiller))) {
      const group = create("section", {}, create("h2", {}, about(id).place));
      groups.push(group);
      for (const pathology of ["benign", "malignant"]) {
        group.append(create("div", { className: "line" }, ...state.fills.filter((one) => one.infiller === id && one.pathology === pathology).map((one) => {
          one.tick = create("input", { type: "checkbox", disabled: true, onchange: countKept, "aria-label": `keep the ${pathology} fill of seed ${one.seed} by ${about(id).place}` });
          one.canvas.setAttribute("role", "img");
          one.canvas.setAttribute("aria-label", `${pathology} fill, seed ${one.seed}`);
          return create("figure", { className: "fill" }, one.canvas,
            create("figcaption", {}, create("label", {}, one.tick, " ", create("span", { className: pathology }, pathology), `, seed\u00a0${one.seed}`)));
        })));
      }
    }
    results.replaceChildren(...groups);
    countKept();
  }

  let showsTissue = false;
  const flicker = setInterval(() => { if (state.view === "flicker") { showsTissue = !showsTissue && !reducedMotion.matches; state.fills.forEach(showFill); } }, 600);

  function showFill(one) {
    if (!one.values) return;
    if (state.view === "difference") drawDifference(one.canvas, one.values, state.before, state.side, state.window);
    else draw(one.canvas, state.view === "tissue" || (state.view === "flicker" && showsTissue) ? state.before : one.values, state.side, state.window);
  }

  const chosenFills = () => state.fills.filter((one) => one.tick?.checked);

  function countKept() {
    keepButton.disabled = state.keeping || !chosenFills().length;
    keepButton.textContent = chosenFills().length ? `Keep ${chosenFills().length}` : "Keep";
  }

  async function keep() {
    showError(null);
    const chosen = chosenFills();
    if (!chosen.length) return;
    const by = [...new Set(chosen.map((one) => one.infiller))];
    if (by.length > 1) {
      showError(new Error("A set has one infiller: tick the fills of one of them."));
      return;
    }
    state.keeping = true;
    const hadFocus = document.activeElement === keepButton;
    countKept();
    keepStatus.textContent = "is written …";
    try {
      const { asked, donor, lender } = chosen[0];
      const known = about(by[0]);
      const facts = Object.fromEntries(Object.entries(asked.facts).filter(([fact]) => fact in known.conditions));
      const kept = await postJson("/api/keep", {
        name: keepName.value, patches: asked.patches ?? (donor === null ? "" : lender), infiller: by[0], guidance: known.guidance === null ? null : asked.guidance,
        fills: chosen.map((one) => ({ ...(asked.window ? { window: asked.window } : { row: asked.row }), mask: asked.mask, donor_row: donor, pathology: one.pathology, seed: one.seed, facts })),
      });
      keepStatus.textContent = `kept: ${kept.place}, ${kept.headline}`;
    } catch (error) {
      keepStatus.textContent = "";
      showError(error);
    }
    state.keeping = false;
    countKept();
    if (hadFocus) keepButton.focus();
  }

  const escape = (event) => { if (event.key === "Escape") cancel().catch(showError); };
  addEventListener("keydown", escape);

  chooseInfiller();
  if (first) await chooseSet(first, wantedRow === undefined ? undefined : Number(wantedRow)).catch(showError); // another can be chosen
  return () => { generation++; removeEventListener("keydown", escape); clearInterval(flicker); asking?.abort(); cancel(); chooser.close(); };
}
