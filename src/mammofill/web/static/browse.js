import { askJson, choice, make } from "./ask.js";
import { gallery } from "./gallery.js";
import { mammograms } from "./mammograms.js";

export async function browse(place, all, [id, ...rest]) {
  if (!id) return list(place, all);
  const artifact = all.artifacts.find((one) => one.id === id);
  if (!artifact) throw new Error("There is no such artifact here (any more).");
  const head = make("div", {},
    make("p", {}, make("a", { href: "#browse" }, "← all artifacts")),
    make("h2", {}, artifact.place, " ", make("span", { className: "faint" }, artifact.kind)),
    make("p", {}, artifact.headline));
  const body = make("div");
  place.replaceChildren(head, body);
  if (artifact.kind === "patches") return gallery(body, artifact, all, rest);
  if (artifact.kind === "mammograms") return mammograms(body, artifact, all);
  return about(body, artifact, all);
}

function list(place, all) {
  const kinds = [...new Set(all.artifacts.map((one) => one.kind))];
  const cards = make("div", { className: "artifacts" });
  const show = (kind) => cards.replaceChildren(
    ...all.artifacts.filter((one) => !kind || one.kind === kind).map((one) => card(one, all)));
  place.replaceChildren(
    make("h2", {}, `${all.artifacts.length} artifacts`),
    make("div", { className: "bar" }, choice("kind", [["", "all"], ...kinds.map((one) => [one, one])], "", show)),
    cards);
  show("");
}

function card(one, all) {
  const name = one.usable ? make("a", { href: `#browse/${one.id}` }, one.place) : one.place;
  return make("article", { className: "card artifact" },
    make("b", {}, name, make("span", { className: "kind" }, one.kind)),
    make("span", { className: one.usable ? "" : "bad" }, one.headline || one.state),
    make("span", { className: "faint" }, one.usable ? one.state : ""),
    one.inputs.length || one.pages.length ? make("span", { className: "lineage" }, ...lineage(one, all), ...pages(one)) : null);
}

function lineage(one, all) {
  return one.inputs.flatMap((input, number) => [number ? ", " : "from ", `${input.role} `,
    input.id ? make("a", { href: `#browse/${input.id}` }, all.artifacts.find((other) => other.id === input.id).place)
      : `${input.path} (not in this folder)`]);
}

function pages(one) {
  return one.pages.flatMap((page) => [" · ",
    make("a", { href: `/artifact/${one.id}/${page}`, target: "_blank", rel: "noopener" }, `open ${page}`)]);
}

async function about(place, artifact, all) {
  const facts = await askJson(`/api/artifacts/${artifact.id}`);
  const judged = all.artifacts.filter((one) => one.kind === "judgement" && one.inputs.some((input) => input.id === artifact.id));
  place.replaceChildren(
    make("p", { className: "faint" }, ...lineage(artifact, all), ...pages(artifact)),
    ...judged.map((one) => make("p", {}, "judged: ", make("a", { href: `#browse/${one.id}` }, one.headline))),
    make("div", { className: "pictures" }, ...(artifact.pictures ?? []).map((file) => make("figure", {},
      make("img", { src: `/artifact/${artifact.id}/${file}`, alt: file }), make("figcaption", {}, file)))),
    make("h3", {}, "Facts"),
    make("dl", {}, ...Object.entries({ ...facts.counts, seed: facts.seed, mammofill: facts.package_version,
      fingerprint: facts.fingerprint.slice(0, 16) }).flatMap(([name, value]) =>
      [make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, String(value))]),
    ...Object.entries(facts.patients_learned_from).flatMap(([way, count]) =>
      [make("dt", {}, `learned from, by ${way}`), make("dd", {}, `${count} patients`)])),
    make("h3", {}, "Settings"),
    make("pre", {}, JSON.stringify(facts.settings, null, 2)));
}
