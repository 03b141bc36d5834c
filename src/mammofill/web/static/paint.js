import { ask, askJson, byArrows, bytes, choice, complain, counted, make, pause, send, still, words } from "./ask.js";
import { verdictWords } from "./browse.js";
import { films } from "./films.js";
import { windowOf } from "./gallery.js";
import { area, draw, drawDifference, edges, packed, sixteen, tails, unpacked } from "./pixels.js";

const THUMBS = 60;
const VIEWS = [["fill", "fills"], ["tissue", "the tissue before"], ["difference", "difference"], ["flicker", "flicker with the tissue"]];
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export async function paint(place, all, [wantedSet, wantedRow]) {
  const infillers = await askJson("/api/infillers");
  if (!infillers.length) {
    place.replaceChildren(make("p", {}, "There is no finished infiller in this folder. Train one with mammofill train-infiller, or make one with its preset copy-paste."));
    return;
  }
  const sets = all.artifacts.filter((one) => one.kind === "patches" && one.usable);
  const filmed = all.artifacts.filter((one) => one.kind === "mammograms" && one.usable);
  const painters = infillers.filter((one) => one.method !== "copy-paste");
  const pasters = infillers.filter((one) => one.method === "copy-paste");
  const state = {
    infiller: (painters.find((one) => one.verdict === "reached") ?? painters[0] ?? infillers[0]).id, guidance: null, facts: {}, seed: 0, seeds: 3,
    set: null, lender: null, row: null, place: null, tissue: "normal", side: 0, before: null, mask: null, hole: null, own: null, laidOwn: false, note: "", chosen: null, donor: null, refused: "", window: { level: 32768, width: 65535 },
    tool: "draw", size: 5, view: "fill", fills: [], work: null, keeping: false, stroke: null,
  };
  let turn = 0; // of what is painted into: what was asked for before another was chosen is not shown any more
  const about = (id) => infillers.find((one) => one.id === id);
  const first = wantedSet ?? about(state.infiller).patches.find((id) => sets.some((one) => one.id === id)) ?? sets[0]?.id ?? filmed[0]?.id;

  const film = films((one, row, column) => chooseWindow(one, row, column));
  const tissues = choice("tissue", [["normal", "normal"], ["benign", "with a benign lesion"], ["malignant", "with a malignant lesion"]], state.tissue,
    (tissue) => { state.tissue = tissue; chooseSet(state.set); });
  const picture = make("canvas", { "aria-hidden": "true" }), drawing = make("canvas", { tabIndex: 0, role: "img", "aria-label": "the lesion that is drawn; arrow keys move it", "aria-describedby": "verdict" });
  const strip = make("div", { className: "strip", role: "group", "aria-label": "patches to paint into" });
  byArrows(strip);
  const verdict = make("p", { className: "verdict", id: "verdict", role: "status" });
  const results = make("div", { className: "fills" });
  let asking = null;
  const go = make("button", { className: "main", id: "go", "aria-describedby": "verdict", onclick: () => start() }, "Paint");
  const stop = make("button", { id: "stop", hidden: true, onclick: () => cancel() }, "Cancel");
  const progress = make("span", { className: "faint", role: "status", id: "progress" });
  const keepName = make("input", { value: "painted", pattern: "[a-z0-9][a-z0-9\\-]*", maxLength: 40, "aria-label": "name of the set" });
  const keepButton = make("button", { id: "keep", disabled: true, onclick: () => keep() }, "Keep");
  const keepWords = make("span", { className: "faint", role: "status", id: "kept" });
  const conditions = make("span", { className: "bar" }), judged = make("p", { className: "faint" });
  const look = make("span"), viewWords = make("span", { className: "faint" });
  const tools = {}, brush = make("output", {}, `${state.size} px`);
  const ownButton = make("button", { id: "own-outline", hidden: true, onclick: () => layOwn() }, "its own outline");
  const stage = make("div", { className: "stage" }, picture, drawing);
  const tool = (name, words) => (tools[name] = make("button", { "aria-pressed": String(state.tool === name), onclick: () => {
    state.tool = name;
    drawing.parentElement.classList.toggle("moves", name === "move");
    for (const [other, button] of Object.entries(tools)) button.setAttribute("aria-pressed", String(other === name));
  } }, words));

  place.replaceChildren(make("div", { className: "paint" },
    make("section", {},
      make("div", { className: "bar" }, choice("paint into", [...sets, ...filmed].map((one) => [one.id, `${one.kind}: ${one.place}`]), first, (id) => chooseSet(id)), tissues),
      film.place,
      verdict,
      stage,
      make("p", { className: "faint legend" }, make("span", { className: "key lesion" }, "the lesion"), make("span", { className: "key hole" }, "what is repainted"), make("span", { className: "key refused" }, "cannot be filled")),
      strip,
      make("div", { className: "bar" }, tool("draw", "draw"), tool("erase", "erase"), tool("ellipse", "ellipse"), tool("move", "move"),
        make("label", {}, "brush", make("input", { type: "range", min: 1, max: 24, value: state.size, "aria-label": "brush, in pixels of the patch", oninput: (event) => { state.size = Number(event.target.value); brush.textContent = `${state.size} px`; } }), brush)),
      make("div", { className: "bar" },
        make("button", { id: "benign-outline", onclick: () => layOutline("benign") }, "a real benign outline"),
        make("button", { id: "malignant-outline", onclick: () => layOutline("malignant") }, "a malignant one"),
        ownButton,
        make("button", { onclick: () => { state.mask?.fill(0); state.donor = null; drawn(); } }, "clear")),
      look),
    make("section", {},
      make("div", { className: "bar" },
        choice("infiller", infillers.map((one) => [one.id, one.place]), state.infiller, (id) => { state.infiller = id; chooseInfiller(); if (state.set && !strip.hidden && state.tissue !== "normal") layStrip(turn); if (state.chosen) chooseWindow(...state.chosen); else if (state.laidOwn) layOwn(); else changed(); }),
        make("label", {}, "first seed", make("input", { type: "number", min: 0, value: 0, id: "seed", onchange: (event) => { state.seed = Number(event.target.value); } })),
        make("label", {}, "fills of each class", make("input", { type: "number", min: 1, max: 6, value: 3, id: "seeds", onchange: (event) => { state.seeds = Math.max(1, Math.min(6, Math.round(Number(event.target.value)))); event.target.value = state.seeds; } })),
        conditions, go, stop, progress),
      judged,
      make("div", { className: "bar" },
        choice("show", still.matches ? VIEWS.slice(0, -1) : VIEWS, "fill", (view) => { state.view = view; viewWords.textContent = view === "difference" ? "orange: brighter than the tissue; blue: darker" : ""; redraw(); }), viewWords,
        make("label", {}, "keep the ticked ones as", keepName), keepButton, keepWords),
      results)));

  function chooseInfiller() {
    const one = about(state.infiller);
    state.facts = {};
    state.guidance = null;
    const alone = one.learned.length === 1 ? `, learned from ${one.learned[0]} lesions alone and paints no others` : "";
    judged.textContent = `${one.method}, ${one.size_px} px, repaints ${one.hole}${alone}; ${one.verdict ? `judged: ${verdictWords(one.verdict)}` : "not judged yet, so whether it paints the requested class is unknown"}`;
    conditions.replaceChildren(
      ...(one.guidance === null ? [] : [make("label", {}, "guidance", make("input", { type: "number", min: 0, max: 20, step: 0.25, value: one.guidance, id: "guidance",
        onchange: (event) => { state.guidance = event.target.value === "" ? null : Number(event.target.value); } }))]),
      ...Object.entries(one.conditions).map(([fact, words]) => choice(fact, [["", "not asked"], ...words.map((word) => [word, word])], "",
        (word) => { if (word) state.facts[fact] = word; else delete state.facts[fact]; })));
  }

  async function chooseSet(id, row) {
    complain(null);
    const mine = await forget();
    if (mine !== turn) return;
    state.set = id;
    const into = [...sets, ...filmed].find((one) => one.id === id);
    if (!into) throw new Error("There is no such set of patches or mammograms here (any more). Choose another to paint into.");
    strip.hidden = tissues.hidden = into.kind === "mammograms";
    if (into.kind === "mammograms") {
      await film.show(id);
      return;
    }
    film.hide();
    state.lender = id;
    const found = await layStrip(mine);
    if (mine !== turn) return;
    state.side = found.size_px;
    if (!found.rows.length && row === undefined) {
      throw new Error(state.tissue === "normal"
        ? "This set has no normal patch of the train split, all of it breast. Choose tissue with a lesion, and paint over it."
        : `This set has no ${state.tissue} patch of the train split whose lesion this infiller could paint over as a whole.`);
    }
    await choosePatch(row ?? found.rows[0].row);
  }

  // Patches to paint into: of those with lesions, the ones that the infiller could paint over. The studio looks at some
  // at a time, so that it looks no further once somebody has gone on.
  async function layStrip(mine) {
    const id = state.set, { infiller } = state, wanted = { pathology: state.tissue, origin: "real", split: "train", whole: true, infiller, count: THUMBS };
    const address = `/api/patches/${id}/rows?${new URLSearchParams(wanted)}`, shown = () => mine === turn && infiller === state.infiller;
    let found = await askJson(address);
    while (found.left && found.rows.length < THUMBS && shown()) {
      const looked = `${words(found.looked_at)} of ${words(found.looked_at + found.left)}`;
      strip.replaceChildren(make("p", { className: "faint", role: "status" }, `Looking for patches that can be painted into: ${looked} …`));
      found = await askJson(address);
    }
    if (!shown()) return found;
    const image = new Image();
    if (found.rows.length) {
      image.src = `/api/patches/${id}/sheet?rows=${found.rows.map((one) => one.row).join(",")}`;
      await image.decode();
    }
    if (shown()) strip.replaceChildren(...found.rows.map((one, number) => {
      const thumb = make("canvas", { width: found.thumb_px, height: found.thumb_px });
      thumb.getContext("2d").drawImage(image, -(number % found.columns) * found.thumb_px, -Math.floor(number / found.columns) * found.thumb_px);
      return make("button", { "data-row": one.row, tabIndex: number ? -1 : 0, title: one.patch_id ?? "", "aria-label": `${one.pathology} patch of ${one.patient_id}`,
        "aria-pressed": String(one.row === state.row), onclick: () => choosePatch(one.row) }, thumb);
    }));
    return found;
  }

  async function forget() {
    const mine = ++turn;
    asking?.abort();
    Object.assign(state, { row: null, place: null, chosen: null, before: null, mask: null, hole: null, own: null, laidOwn: false, note: "", donor: null, fills: [] });
    results.replaceChildren();
    countKept();
    for (const canvas of [picture, drawing]) canvas.width = canvas.height = 1;
    allow();
    verdict.textContent = progress.textContent = "";
    await cancel();
    return mine;
  }

  async function choosePatch(row) {
    const mine = await forget();
    if (mine !== turn) return;
    state.row = row;
    for (const button of strip.children) button.setAttribute("aria-pressed", String(button.dataset.row === String(row)));
    const before = await sixteen(await ask(`/api/patches/${state.set}/raw/${row}`), state.side);
    const own = await bytes(`/api/patches/${state.set}/mask/${row}`);
    if (mine === turn) await lay16(before, own);
  }

  // Plain tissue has little contrast of its own: a window of half of the mammogram's range leaves room for a lesion's.
  async function chooseWindow(one, row, column) {
    const mine = await forget();
    if (mine !== turn) return;
    state.chosen = [one, row, column];
    stage.hidden = true;
    verdict.classList.remove("bad");
    if (!one) {
      verdict.textContent = "Click into the mammogram where a lesion should be.";
      return;
    }
    verdict.textContent = "The window is cut …";
    const base = `/api/mammograms/${state.set}/${one.number}/window`, by = new URLSearchParams({ infiller: state.infiller });
    const found = await askJson(`${base}?${by}&row=${row}&column=${column}`);
    if (mine !== turn) return;
    film.frame(found.top, found.left, found.size_px, found.refused);
    verdict.textContent = found.refused;
    verdict.classList.toggle("bad", Boolean(found.refused));
    if (found.refused) return;
    state.side = found.size_px;
    state.place = { mammograms: state.set, number: one.number, top: found.top, left: found.left };
    state.lender = about(state.infiller).patches.find((id) => sets.some((set) => set.id === id)) ?? null;
    const corner = `${base}/${found.top}/${found.left}`;
    const before = await sixteen(await ask(`${corner}/raw?${by}`), found.size_px), own = await bytes(`${corner}/mask?${by}`);
    if (mine === turn) await lay16(before, own, found.white / 2);
  }

  async function lay16(before, own, least = 0) {
    state.before = before;
    state.own = own;
    state.mask = new Uint8Array(state.side ** 2);
    const [low, high] = tails(before);
    state.window = { level: (low + high) / 2, width: Math.max(1.6 * (high - low), least, 256) };
    look.replaceChildren(windowOf(state.window, redraw));
    stage.hidden = false;
    ownButton.hidden = !area(state.own);
    if (area(state.own)) await layOwn();
    else { redraw(); await changed(); }
  }

  // Its outline, or, where the infiller repaints the mask alone, the least mask that hides the lesion's margin, too.
  async function layOwn() {
    complain(null);
    const mine = turn, { infiller } = state;
    const found = await send("/api/over-own", { ...target(), infiller });
    if (mine !== turn || infiller !== state.infiller) return;
    state.mask = unpacked(found.mask, state.own.length);
    state.donor = null;
    state.laidOwn = true;
    state.note = found.grown_px ? `Its own outline, grown by ${found.grown_px} px: this infiller repaints the mask alone, and the lesion's margin would show around it. ` : "";
    await changed();
  }

  // A mask that somebody changed is no outline of the patch's own any more.
  function drawn() {
    complain(null);
    state.laidOwn = false;
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
    if (state.mask) dots(edges(state.mask, state.side), "rgba(255, 190, 60, .9)");
    if (state.hole) dots(edges(state.hole, state.side), state.refused ? "rgba(255, 80, 70, .9)" : "rgba(90, 200, 255, .9)");
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
      each((column, row) => ((column - from[0]) / half[0]) ** 2 + ((row - from[1]) / half[1]) ** 2 <= 1, 1);
    } else if (state.tool === "move") {
      state.mask = shifted(state.stroke.before, Math.round(x - from[0]), Math.round(y - from[1]));
    } else {
      const steps = Math.max(1, Math.ceil(Math.hypot(x - last[0], y - last[1])));
      for (let step = 1; step <= steps; step++) {
        const centre = [0, 1].map((axis) => last[axis] + ([x, y][axis] - last[axis]) * step / steps);
        each((column, row) => Math.hypot(column - centre[0], row - centre[1]) <= state.size / 2, state.tool === "draw" ? 1 : 0);
      }
      state.stroke.last = [x, y];
    }
    redraw();
  }

  function each(inside, value) {
    for (let place = 0; place < state.mask.length; place++) {
      if (inside(place % state.side + 0.5, Math.floor(place / state.side) + 0.5)) state.mask[place] = value;
    }
  }

  // What is moved over the border is gone when the pointer is let go, as what is drawn there never was.
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
    const [right, down] = sums.map((sum) => Math.round((side - 1) / 2 - sum / area(mask)));
    return shifted(mask, right, down);
  }

  const lesions = {};
  async function layOutline(pathology) {
    complain(null);
    const mine = turn;
    if (!state.mask) throw new Error("Choose first what to paint into.");
    if (!state.lender) throw new Error("The patches that the infiller learned from are not in this folder, so that no outline can be lent.");
    const wanted = { pathology, infiller: state.infiller }, name = JSON.stringify([state.lender, wanted]);
    if (!lesions[name]) {
      const found = await askJson(`/api/patches/${state.lender}/outlines?${new URLSearchParams(wanted)}`);
      if (mine !== turn) return;
      if (found.size_px !== state.side) throw new Error(`Outlines of ${found.size_px} px do not fit windows of ${state.side} px.`);
      lesions[name] = { rows: found.rows, next: 0 };
    }
    const { rows } = lesions[name];
    if (!rows.length) throw new Error(`No ${pathology} lesion of the train split can be lent: none lies whole in its patch with what would be repainted around it.`);
    const row = rows[lesions[name].next++ % rows.length];
    const outline = await bytes(`/api/patches/${state.lender}/mask/${row}`);
    if (mine !== turn) return;
    state.mask = centred(outline);
    state.donor = row;
    await drawn();
  }

  async function changed() {
    asking?.abort();
    const { signal } = (asking = new AbortController());
    state.hole = null;
    if (!state.mask) return;
    if (!area(state.mask)) {
      state.donor = null;
      state.refused = "Draw where the lesion should be, or lay an outline.";
    } else {
      try {
        const found = await send("/api/hole", { ...target(), infiller: state.infiller, mask: packed(state.mask) }, signal);
        if (signal.aborted) return;
        state.refused = found.refused ?? "";
        state.hole = unpacked(found.hole, state.mask.length);
      } catch (error) {
        if (signal.aborted) return;
        state.refused = error.message;
      }
    }
    verdict.textContent = state.note + (state.refused || `${words(area(state.mask))} px of lesion; ${words(area(state.hole))} px will be repainted.`);
    verdict.classList.toggle("bad", Boolean(state.refused) && area(state.mask) > 0);
    allow();
    redraw();
  }

  // ---- painting

  const allow = () => { go.disabled = Boolean(state.work || !state.mask || state.refused); };

  async function start() {
    complain(null);
    const mask = packed(state.mask), seeds = Array.from({ length: state.seeds }, (_, number) => state.seed + number);
    const order = {
      ...target(), mask, facts: state.facts, guidance: state.guidance, infillers: [state.infiller],
      fills: ["benign", "malignant"].flatMap((pathology) => seeds.map((seed) => ({ pathology, seed }))),
    };
    const work = (state.work = { painting: null, stopped: false, fills: [] });
    const pressed = document.activeElement === go;
    allow();
    stop.hidden = false;
    stop.textContent = "Cancel";
    progress.textContent = keepWords.textContent = "";
    if (pressed) stop.focus(); // the pressed button cannot be pressed meanwhile, and so has no focus
    try {
      await carryOut(work, order);
    } catch (error) {
      complain(error);
      if (work.painting) give(work).catch(() => {});
    }
    for (const one of work.fills) if (!one.values) one.tick.parentElement.append(": not painted");
    const led = document.activeElement === stop;
    stop.hidden = true;
    state.work = null;
    allow();
    if (led) go.focus();
  }

  // Whoever cancels before the studio has answered cancels, too; and fills of what is not shown any more are not laid.
  async function carryOut(work, order) {
    const { lender, donor } = state;
    const aside = await besides(order.mask);
    if (work.stopped) return;
    order.infillers.push(...aside.infillers);
    const { painting, fills } = await send("/api/paint", order);
    work.painting = painting;
    if (work.stopped) {
      await give(work);
      return;
    }
    state.fills = work.fills = fills.map((said) => ({ ...said, canvas: make("canvas"), values: null, tick: null, asked: order, lender, donor }));
    lay();
    if (aside.words) results.append(make("p", { className: "faint" }, aside.words));
    await follow(work);
  }

  const give = (work) => ask(`/api/paint/${work.painting}`, { method: "DELETE" });

  // Who pastes is shown beside, unless its own hole, which may be a wider one, does not fit here.
  async function besides(mask) {
    const one = pasters.find((other) => other.id !== state.infiller && other.size_px === state.side);
    if (!one) return { infillers: [] };
    const { refused } = await send("/api/hole", { ...target(), infiller: one.id, mask });
    return refused ? { infillers: [], words: `${one.place} is not shown beside: ${refused}` } : { infillers: [one.id] };
  }

  async function follow(work) {
    const { fills, painting } = work, { side } = state;
    for (let shown = 0; !work.stopped;) {
      const now = await askJson(`/api/paint/${painting}`);
      for (; shown < now.done && fills === state.fills; shown++) {
        const one = fills[shown];
        one.values = await sixteen(await ask(`/api/paint/${painting}/fill/${shown}`), side);
        one.tick.disabled = false;
        if (fills === state.fills) showFill(one);
      }
      progress.textContent = `${now.done} of ${counted(fills.length, "fill")} ${now.done === 1 ? "is" : "are"} painted`;
      if (now.state === "failed") throw new Error(now.error);
      if (now.state === "done" || now.state === "cancelled") break;
      await pause(150);
    }
  }

  async function cancel() {
    const { work } = state;
    if (!work || work.stopped) return;
    work.stopped = true;
    stop.textContent = "Cancelling …";
    if (work.painting) await give(work);
  }

  function lay() {
    const groups = [];
    for (const id of new Set(state.fills.map((one) => one.infiller))) {
      const group = make("section", {}, make("h2", {}, about(id).place));
      groups.push(group);
      for (const pathology of ["benign", "malignant"]) {
        group.append(make("div", { className: "line" }, ...state.fills.filter((one) => one.infiller === id && one.pathology === pathology).map((one) => {
          one.tick = make("input", { type: "checkbox", disabled: true, onchange: countKept, "aria-label": `keep the ${pathology} fill of seed ${one.seed} by ${about(id).place}` });
          one.canvas.setAttribute("role", "img");
          one.canvas.setAttribute("aria-label", `${pathology} fill, seed ${one.seed}`);
          return make("figure", { className: "fill" }, one.canvas,
            make("figcaption", {}, make("label", {}, one.tick, " ", make("span", { className: pathology }, pathology), `, seed\u00a0${one.seed}`)));
        })));
      }
    }
    results.replaceChildren(...groups);
    countKept();
  }

  let flick = false;
  const flicker = setInterval(() => { if (state.view === "flicker") { flick = !flick && !still.matches; state.fills.forEach(showFill); } }, 600);

  function showFill(one) {
    if (!one.values) return;
    if (state.view === "difference") drawDifference(one.canvas, one.values, state.before, state.side, state.window);
    else draw(one.canvas, state.view === "tissue" || (state.view === "flicker" && flick) ? state.before : one.values, state.side, state.window);
  }

  const ticked = () => state.fills.filter((one) => one.tick?.checked);

  function countKept() {
    keepButton.disabled = state.keeping || !ticked().length;
    keepButton.textContent = ticked().length ? `Keep ${ticked().length}` : "Keep";
  }

  async function keep() {
    complain(null);
    const chosen = ticked();
    if (!chosen.length) return;
    const by = [...new Set(chosen.map((one) => one.infiller))];
    if (by.length > 1) {
      complain(new Error("A set has one infiller: tick the fills of one of them."));
      return;
    }
    state.keeping = true;
    const pressed = document.activeElement === keepButton;
    countKept();
    keepWords.textContent = "is written …";
    try {
      const { asked, donor, lender } = chosen[0];
      const known = about(by[0]);
      const facts = Object.fromEntries(Object.entries(asked.facts).filter(([fact]) => fact in known.conditions));
      const kept = await send("/api/keep", {
        name: keepName.value, patches: asked.patches ?? (donor === null ? "" : lender), infiller: by[0], guidance: known.guidance === null ? null : asked.guidance,
        fills: chosen.map((one) => ({ ...(asked.window ? { window: asked.window } : { row: asked.row }), mask: asked.mask, donor_row: donor, pathology: one.pathology, seed: one.seed, facts })),
      });
      keepWords.textContent = `kept: ${kept.place}, ${kept.headline}`;
    } catch (error) {
      keepWords.textContent = "";
      complain(error);
    }
    state.keeping = false;
    countKept();
    if (pressed) keepButton.focus();
  }

  const escape = (event) => { if (event.key === "Escape") cancel().catch(complain); };
  addEventListener("keydown", escape);

  chooseInfiller();
  if (first) await chooseSet(first, wantedRow === undefined ? undefined : Number(wantedRow)).catch(complain); // another can be chosen
  return () => { turn++; removeEventListener("keydown", escape); clearInterval(flicker); asking?.abort(); cancel(); film.close(); };
}
