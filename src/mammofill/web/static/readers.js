import { askJson, choice, complain, make, send } from "./ask.js";

export async function readers(place, all) {
  const sets = all.artifacts.filter((one) => one.kind === "patches" && one.usable).map((one) => [one.id, one.place]);
  const asked = { name: "readers-1", real: sets[0]?.[0], synthetic: sets.at(-1)?.[0], kind: "ratings", cases: 10, readers: 4, seed: 0 };
  const studies = make("div", { className: "artifacts" });
  const number = (name, most) => make("label", {}, name, make("input", { type: "number", min: name === "seed" ? 0 : 1, max: most, value: asked[name], onchange: (event) => { asked[name] = Number(event.target.value); } }));
  place.replaceChildren(
    make("h2", {}, "Reader studies"),
    make("p", { className: "faint" }, "Real and synthetic lesions, matched by class and size, without a word of who made them. Give each reader their own address; what they rate is kept at once. Analyse with mammofill analyse-readers."),
    studies,
    make("h3", {}, "A new one"),
    make("div", { className: "bar" },
      make("label", {}, "name", make("input", { value: asked.name, maxLength: 40, onchange: (event) => { asked.name = event.target.value; } })),
      choice("real lesions of", sets, asked.real, (id) => { asked.real = id; }),
      choice("synthetic ones of", sets, asked.synthetic, (id) => { asked.synthetic = id; }),
      choice("readers", [["ratings", "rate each case"], ["pairs", "say which of two is real"]], asked.kind, (kind) => { asked.kind = kind; }),
      number("cases", 500), make("span", { className: "faint" }, "of each class and origin"), number("readers", 50), number("seed", 2 ** 31 - 1),
      make("button", { className: "main", onclick: begin }, "Make")));

  async function begin() {
    complain(null);
    try {
      await send("/api/studies", asked);
      await load();
    } catch (error) {
      complain(error);
    }
  }

  async function load() {
    const found = await askJson("/api/studies");
    studies.replaceChildren(...found.map((one) => make("article", { className: "card" },
      make("b", {}, one.name), make("span", { className: "kind" }, one.kind === "pairs" ? `${one.cases} pairs: which of the two is real` : `${one.cases} cases`),
      make("table", {}, ...one.readers.map((reader, place) => make("tr", {},
        make("td", {}, `reader ${place + 1}`), make("td", {}, `${reader.rated} of ${one.cases}`),
        make("td", {}, make("code", {}, `${location.origin}/read?code=${reader.code}`))))))));
    if (!found.length) studies.replaceChildren(make("p", {}, "There is none yet."));
  }

  await load();
}
