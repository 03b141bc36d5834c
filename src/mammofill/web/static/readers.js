// The Readers view: reader studies, their addresses and analyses, and a form for a new one.

import { labelledSelect, showError, counted, create, tableOf } from "./elements.js";
import { requestJson, postJson } from "./requests.js";

const SYNTHETIC_STAGES = ["synthesize", "paint-by-hand", "select-synthetic"];

export async function readers(place, all) {
  const sets = all.artifacts.filter((one) => one.kind === "patches" && one.usable);
  const named = sets.map((one) => [one.id, one.place]);
  const synthetic = sets.find((one) => SYNTHETIC_STAGES.includes(one.stage));
  const paintedInto = synthetic?.inputs.find((one) => one.role === "patches")?.id;
  const real = sets.find((one) => one.id === paintedInto) ?? sets.find((one) => !SYNTHETIC_STAGES.includes(one.stage));
  const asked = { name: "readers-1", real: real?.id, synthetic: synthetic?.id ?? "", kind: "ratings", cases: 10, readers: 4, seed: 0 };
  const studies = create("div", { className: "artifacts" });
  const number = (name, least, most, said = name) => create("label", {}, said, create("input", { type: "number", min: least, max: most, value: asked[name], onchange: (event) => { asked[name] = Number(event.target.value); } }));
  const go = create("button", { className: "main", disabled: !asked.synthetic, onclick: makeStudy }, "Make the study");
  place.replaceChildren(
    create("h2", {}, "Reader studies"),
    create("p", { className: "faint" }, "Real and synthetic lesions, matched by class and size, without anything that tells their origin. Give each reader their own address; what they rate is kept at once."),
    studies,
    create("p", { className: "faint" }, "The addresses hold as long as the port does: to close the studio and open it again while somebody reads, add ",
      create("code", {}, `--port ${location.port}`), "."),
    create("h3", {}, "New study"),
    synthetic ? "" : create("p", {}, "No set of this folder was painted: there is nothing yet to show to readers beside real lesions. Keep fills on the Paint page, or use mammofill synthesize."),
    create("div", { className: "form" },
      create("label", {}, "name", create("input", { value: asked.name, maxLength: 40, onchange: (event) => { asked.name = event.target.value; } })),
      labelledSelect("what readers do", [["ratings", "rate each case"], ["pairs", "say which of two is real"]], asked.kind, (kind) => { asked.kind = kind; }),
      labelledSelect("real lesions of", named, asked.real, (id) => { asked.real = id; }),
      labelledSelect("synthetic lesions of", synthetic ? named : [["", "none was painted"], ...named], asked.synthetic, (id) => { asked.synthetic = id; go.disabled = !id; }),
      number("cases", 1, 500, "cases of each class and origin"), number("readers", 1, 50), number("seed", 0, 2 ** 31 - 1), go));

  async function makeStudy() {
    showError(null);
    const hadFocus = document.activeElement === go;
    go.disabled = true;
    try {
      await postJson("/api/studies", asked);
      await load();
    } catch (error) {
      showError(error);
    }
    go.disabled = false;
    if (hadFocus) go.focus(); // which the button lost while it was disabled
  }

  async function load() {
    const found = await requestJson("/api/studies");
    studies.replaceChildren(...found.map(card));
    if (!found.length) studies.replaceChildren(create("p", {}, "There is none yet."));
  }

  await load();
}

function card(one) {
  if (one.error) return create("article", { className: "card" }, create("b", {}, one.name), create("p", { className: "bad" }, one.error));
  const done = one.readers.filter((reader) => reader.rated === one.cases).length;
  const analysis = create("div");
  return create("article", { className: "card" },
    create("b", {}, one.name), create("span", { className: "kind" }, one.kind === "pairs" ? `${counted(one.cases, "pair")}: which of the two is real` : counted(one.cases, "case")),
    tableOf(`Readers of ${one.name}`, ["reader", "done", "address"], one.readers.map((reader, place) =>
      [`reader ${place + 1}`, `${reader.rated} of ${one.cases}`, create("code", {}, `${location.origin}/read?code=${reader.code}`)])),
    create("p", { className: "faint" }, done ? `Done: ${done} of ${counted(one.readers.length, "reader")}. ` : "Once a reader is done, the analysis can be shown. ",
      done ? create("button", { onclick: () => analyse(one, analysis) }, "Show the analysis") : "",
      done && done < one.readers.length ? " Who looks before all are done must not decide by it how many more are to read." : "",
      " With files for other programs: ", create("code", {}, `mammofill analyse-readers ${one.place} --out analysis`)),
    analysis);
}

async function analyse(one, place) {
  showError(null);
  try {
    const address = `/api/studies/${encodeURIComponent(one.name)}`;
    const found = await requestJson(`${address}/analysis`);
    place.replaceChildren(
      create("pre", { className: "said", tabIndex: 0, "aria-label": `analysis of ${one.name}` }, found.words),
      found.roc ? create("figure", { className: "wide" },
        create("img", { className: "plot", src: `${address}/roc.svg`, alt: "ROC curves of each reader, for synthetic against real, and for malignant against benign among real and among synthetic lesions; their areas stand above" }),
        create("figcaption", {}, "ROC curve of each reader")) : "");
  } catch (error) {
    showError(error);
  }
}
