// Patches as a gallery. Only the sheets that are in sight are asked for, however many patches there are.

import { ask, askJson, choice, complain, make } from "./ask.js";
import { draw, edges, sixteen, tails } from "./pixels.js";

const AT_ONCE = 60;

export async function gallery(place, artifact, all) {
  const wanted = { split: "", pathology: "", origin: "", patient: "" };
  const count = make("span", { className: "faint" });
  const space = make("div", { className: "space" });
  const frame = make("div", { className: "gallery", tabIndex: 0, "aria-label": "patches" }, space);
  const detail = make("div", {}, make("p", { className: "faint" }, "Click on a patch to see it at full depth."));
  const any = (...words) => [["", "all"], ...words.map((one) => [one, one])];
  const set = (name) => (value) => { wanted[name] = value; load(); };
  const dropped = await askJson(`/api/patches/${artifact.id}/dropped`);
  place.replaceChildren(
    make("div", { className: "bar" },
      choice("split", any("train", "validation", "test"), "", set("split")),
      choice("pathology", any("normal", "benign", "malignant"), "", set("pathology")),
      choice("origin", any("real", "synthetic"), "", set("origin")),
      all.patients ? make("label", {}, "patient", make("input", { type: "search", onchange: (event) => set("patient")(event.target.value) })) : null,
      count),
    make("div", { className: "shelf" }, frame, detail),
    dropped.length ? make("details", {}, make("summary", {}, "left out, and why"),
      make("table", {}, ...dropped.map((one) => make("tr", {}, make("td", {}, one.reason), make("td", {}, one.split ?? ""), make("td", {}, String(one.count)))))) : "");
  let turn = 0;

  async function load() {
    const mine = ++turn;
    complain(null);
    try {
      const first = await page(0, mine);
      if (mine !== turn) return;
      count.textContent = `${first.all.toLocaleString("en")} patches`;
      const columns = first.columns, height = Math.ceil(AT_ONCE / columns) * first.thumb_px;
      space.replaceChildren();
      space.style.height = `${Math.ceil(first.all / columns) * first.thumb_px}px`;
      frame.style.width = `${columns * first.thumb_px + 18}px`;
      frame.scrollTop = 0;
      const shown = new Map();
      const look = () => {
        if (mine !== turn) return;
        const from = Math.max(0, Math.floor((frame.scrollTop - 200) / height));
        const to = Math.min(Math.ceil(first.all / AT_ONCE) - 1, Math.floor((frame.scrollTop + frame.clientHeight + 200) / height));
        for (const [number, sheet] of shown) if (number < from - 1 || number > to + 1) { sheet.remove(); shown.delete(number); }
        for (let number = from; number <= to; number++) {
          if (shown.has(number)) continue;
          const sheet = make("div", { className: "sheet" });
          sheet.style.top = `${number * height}px`;
          shown.set(number, sheet);
          space.append(sheet);
          fill(sheet, number, number ? null : first, mine);
        }
      };
      frame.onscroll = look;
      look();
    } catch (error) {
      complain(error);
    }
  }

  function page(number, mine) {
    if (mine !== turn) return null;
    const filter = new URLSearchParams({ ...wanted, offset: number * AT_ONCE, count: AT_ONCE });
    return askJson(`/api/patches/${artifact.id}/rows?${filter}`);
  }

  async function fill(sheet, number, known, mine) {
    const found = known ?? await page(number, mine);
    if (!found || !found.rows.length || !sheet.isConnected) return;
    const image = make("img", { alt: "", draggable: false });
    image.src = `/api/patches/${artifact.id}/sheet?rows=${found.rows.map((one) => one.row).join(",")}`;
    image.onclick = (event) => {
      const place = Math.floor(event.offsetY / found.thumb_px) * found.columns + Math.floor(event.offsetX / found.thumb_px);
      if (found.rows[place]) show(found.rows[place], found.size_px);
    };
    sheet.append(image);
  }

  async function show(one, side) {
    const canvas = make("canvas");
    const raw = await sixteen(await ask(`/api/patches/${artifact.id}/raw/${one.row}`), side);
    const mask = new Uint8Array(await (await ask(`/api/patches/${artifact.id}/mask/${one.row}`)).arrayBuffer());
    const [low, high] = tails(raw);
    const look = { level: (low + high) / 2, width: high - low };
    let outline = true;
    const paintIt = () => {
      draw(canvas, raw, side, look);
      const pen = canvas.getContext("2d");
      pen.fillStyle = one.pathology === "malignant" ? "#ff5a4d" : "#46d06f";
      if (outline) edges(mask, side).forEach((on, at) => { if (on) pen.fillRect(at % side, Math.floor(at / side), 1, 1); });
    };
    paintIt();
    detail.replaceChildren(make("div", { className: "card detail" }, canvas, make("div", {},
      make("dl", {}, ...Object.entries(one).filter(([name, value]) => value !== null && name !== "row")
        .flatMap(([name, value]) => [make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, String(value))])),
      make("div", { className: "bar" },
        windowOf(look, paintIt),
        make("button", { onclick: () => { outline = !outline; paintIt(); } }, "outline"),
        one.split === "train" && one.origin === "real" ? make("a", { href: `#paint/${artifact.id}/${one.row}` }, "paint into it") : null))));
  }

  await load();
  return () => { turn++; };
}

export function windowOf(look, onchange) {
  const range = (name, most) => make("label", {}, name, make("input", { type: "range", min: name === "width" ? 256 : 0, max: most, step: 64,
    value: look[name], "aria-label": name, oninput: (event) => { look[name] = Number(event.target.value); onchange(); } }));
  return make("span", { className: "bar" }, range("level", 65535), range("width", 65535));
}
