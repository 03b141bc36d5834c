import { askJson, choice, complain, counted, make, send, tableOf } from "./ask.js";

const PAINTED = ["synthesize", "paint-by-hand", "select-synthetic"]; // stages

export async function readers(place, all) {
  const sets = all.artifacts.filter((one) => one.kind === "patches" && one.usable);
  const named = sets.map((one) => [one.id, one.place]);
  const synthetic = sets.find((one) => PAINTED.includes(one.stage));
  const paintedInto = synthetic?.inputs.find((one) => one.role === "patches")?.id;
  const real = sets.find((one) => one.id === paintedInto) ?? sets.find((one) => !PAINTED.includes(one.stage));
  const asked = { name: "readers-1", real: real?.id, synthetic: synthetic?.id ?? "", kind: "ratings", cases: 10, readers: 4, seed: 0 };
  const studies = make("div", { className: "artifacts" });
  const number = (name, least, most, said = name) => make("label", {}, said, make("input", { type: "number", min: least, max: most, value: asked[name], onchange: (event) => { asked[name] = Number(event.target.value); } }));
  const go = make("button", { className: "main", disabled: !asked.synthetic, onclick: begin }, "Make the study");
  place.replaceChildren(
    make("h2", {}, "Reader studies"),
    make("p", { className: "faint" }, "Real and synthetic lesions, matched by class and size, without a word of who made them. Give each reader their own address; what they rate is kept at once."),
    studies,
    make("p", { className: "faint" }, "The addresses hold as long as the port does: to close the studio and open it again while somebody reads, add ",
      make("code", {}, `--port ${location.port}`), "."),
    make("h3", {}, "A new one"),
    synthetic ? "" : make("p", {}, "No set of this folder was painted: there is nothing yet to show to readers beside real lesions. Keep fills on the Paint page, or use mammofill synthesize."),
    make("div", { className: "form" },
      make("label", {}, "name", make("input", { value: asked.name, maxLength: 40, onchange: (event) => { asked.name = event.target.value; } })),
      choice("what readers do", [["ratings", "rate each case"], ["pairs", "say which of two is real"]], asked.kind, (kind) => { asked.kind = kind; }),
      choice("real lesions of", named, asked.real, (id) => { asked.real = id; }),
      choice("synthetic lesions of", synthetic ? named : [["", "none was painted"], ...named], asked.synthetic, (id) => { asked.synthetic = id; go.disabled = !id; }),
      number("cases", 1, 500, "cases of each class and origin"), number("readers", 1, 50), number("seed", 0, 2 ** 31 - 1), go));

  async function begin() {
    complain(null);
    const pressed = document.activeElement === go;
    go.disabled = true;
    try {
      await send("/api/studies", asked);
      await load();
    } catch (error) {
      complain(error);
    }
    go.disabled = false;
    if (pressed) go.focus(); // which a button that could not be pressed meanwhile has lost
  }

  async function load() {
    const found = await askJson("/api/studies");
    studies.replaceChildren(...found.map(card));
    if (!found.length) studies.replaceChildren(make("p", {}, "There is none yet."));
  }

  await load();
}

function card(one) {
  if (one.error) return make("article", { className: "card" }, make("b", {}, one.name), make("p", { className: "bad" }, one.error));
  const done = one.readers.filter((reader) => reader.rated === one.cases).length;
  const analysis = make("div");
  return make("article", { className: "card" },
    make("b", {}, one.name), make("span", { className: "kind" }, one.kind === "pairs" ? `${counted(one.cases, "pair")}: which of the two is real` : counted(one.cases, "case")),
    tableOf(`Readers of ${one.name}`, ["reader", "done", "address"], one.readers.map((reader, place) =>
      [`reader ${place + 1}`, `${reader.rated} of ${one.cases}`, make("code", {}, `${location.origin}/read?code=${reader.code}`)])),
    make("p", { className: "faint" }, done ? `Done: ${done} of ${counted(one.readers.length, "reader")}. ` : "Once a reader is done, the analysis can be shown. ",
      done ? make("button", { onclick: () => analyse(one, analysis) }, "Show the analysis") : "",
      done && done < one.readers.length ? " Who looks before all are done must not decide by it how many more are to read." : "",
      " With files for other programs: ", make("code", {}, `mammofill analyse-readers ${one.place} --out analysis`)),
    analysis);
}

async function analyse(one, place) {
  complain(null);
  try {
    const address = `/api/studies/${encodeURIComponent(one.name)}`;
    const found = await askJson(`${address}/analysis`);
    place.replaceChildren(
      make("pre", { className: "said", tabIndex: 0, "aria-label": `analysis of ${one.name}` }, found.words),
      found.roc ? make("figure", { className: "wide" },
        make("img", { className: "plot", src: `${address}/roc.svg`, alt: "ROC curves of each reader, for synthetic against real, and for malignant against benign among real and among synthetic lesions; their areas stand above" }),
        make("figcaption", {}, "ROC curve of each reader")) : "");
  } catch (error) {
    complain(error);
  }
}
