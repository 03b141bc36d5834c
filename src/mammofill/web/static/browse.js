import { ask, askJson, choice, counted, make, words } from "./ask.js";
import { comparison } from "./comparison.js";
import { gallery } from "./gallery.js";
import { judgement } from "./judgement.js";
import { mammograms } from "./mammograms.js";

const FINDINGS = ["report", "comparison"];
const PICTURES = {
  "attention_hardest.png": "where the classifier looks, on the patches it was furthest off on",
  "attention_random.png": "where the classifier looks, on patches drawn by chance",
};
const MOST_SHOWN = 12; // inputs of an artifact, on its own page; more are folded

export async function browse(place, all, [id, ...rest]) {
  if (!id) return list(place, all);
  const artifact = all.artifacts.find((one) => one.id === id);
  if (!artifact) throw new Error("There is no such artifact here (any more).");
  document.title = `${artifact.place} – mammofill studio`;
  const head = make("div", {},
    make("p", {}, make("a", { href: "#browse" }, "← all artifacts")),
    make("h2", {}, artifact.place, ...kindOf(artifact)),
    artifact.kind === "comparison" ? null : make("p", {}, artifact.headline)); // which its own page says in full
  const body = make("div");
  place.replaceChildren(head, body);
  if (artifact.kind === "patches") return gallery(body, artifact, all, rest);
  if (artifact.kind === "mammograms") return mammograms(body, artifact, all);
  return about(body, artifact, all);
}

// What a kind is called is said where the name does not say it already.
const kindOf = (artifact) => artifact.kind === artifact.place ? [] : [" ", make("span", { className: "faint" }, artifact.kind)];

// What was found comes first; the rest in the order in which it was made.
function list(place, all) {
  if (!all.artifacts.length) {
    place.replaceChildren(make("p", {}, "No artifact of mammofill lies in this folder, nor in the folders below. Begin with mammofill ingest, or look at mammofill --help."));
    return;
  }
  const wanted = { kind: "", name: "" };
  const kinds = [...new Set(all.artifacts.map((one) => one.kind))];
  const heading = make("h2", { role: "status" }), findings = make("div", { className: "artifacts" }), cards = make("div", { className: "artifacts" });
  const show = () => {
    const shown = all.artifacts.filter((one) => (!wanted.kind || one.kind === wanted.kind) && one.place.toLowerCase().includes(wanted.name));
    heading.textContent = shown.length === all.artifacts.length ? counted(shown.length, "artifact") : `${words(shown.length)} of ${counted(all.artifacts.length, "artifact")}`;
    const found = (one) => one.usable && FINDINGS.includes(one.kind);
    findings.replaceChildren(...shown.filter(found).map((one) => card(one, all)));
    cards.replaceChildren(...shown.filter((one) => !found(one)).map((one) => card(one, all)));
  };
  place.replaceChildren(heading,
    make("div", { className: "bar" },
      choice("kind", [["", "all"], ...kinds.map((one) => [one, one])], "", (kind) => { wanted.kind = kind; show(); }),
      make("label", {}, "name", make("input", { type: "search", oninput: (event) => { wanted.name = event.target.value.toLowerCase(); show(); } }))),
    findings, cards);
  show();
}

function card(one, all) {
  const name = one.usable ? make("a", { href: `#browse/${one.id}` }, one.place) : one.place;
  return make("article", { className: "card artifact" },
    make("b", {}, name, make("span", { className: "kind" }, one.kind)),
    make("span", { className: one.usable ? "" : "bad" }, one.headline || one.state),
    make("span", { className: "faint" }, one.usable || one.headline ? one.state : ""),
    make("span", { className: "lineage" }, ...pages(one), ...lineage(one, all, 3)));
}

// What it was made from, by what each was to it; cards say a few of many.
function lineage(one, all, most = Infinity) {
  const roles = [...new Set(one.inputs.map((input) => input.role))];
  return roles.flatMap((role, number) => {
    const inputs = one.inputs.filter((input) => input.role === role);
    const more = inputs.length > most ? ` and ${words(inputs.length - most)} more` : "";
    return [number ? "; " : "from ", `${role} `, ...inputs.slice(0, most).flatMap((input, place) => [place ? ", " : "", ...origin(input, all)]), more];
  });
}

const origin = (input, all) => [
  input.id ? make("a", { href: `#browse/${input.id}` }, all.artifacts.find((other) => other.id === input.id).place) : input.path,
  input.note ? ` (${input.note})` : ""];

function pages(one) {
  return one.pages.map((page) => make("a", { className: "page", href: `/artifact/${one.id}/${page}`, target: "_blank", rel: "noopener" },
    one.kind === "report" && one.pages.length === 1 ? "open the report" : `open ${page}`));
}

async function about(place, artifact, all) {
  const facts = await askJson(`/api/artifacts/${artifact.id}`);
  const judged = artifact.kind === "judgement" ? await askJson(`/api/judgements/${artifact.id}`) : null;
  const tables = await Promise.all((judged ? [] : artifact.tables).map(async (file) => [file, await (await ask(`/artifact/${artifact.id}/${file}`)).text()]));
  const counts = { ...facts.counts, seed: facts.seed, "version of mammofill": facts.package_version, fingerprint: facts.fingerprint.slice(0, 16) };
  const compared = artifact.kind === "comparison" ? await comparison(artifact, all) : "";
  place.replaceChildren(compared,
    make("p", { className: "faint" }, ...pages(artifact), ...(artifact.inputs.length > MOST_SHOWN ? [] : lineage(artifact, all))),
    artifact.inputs.length > MOST_SHOWN ? make("details", {}, make("summary", {}, `made from ${words(artifact.inputs.length)} artifacts`), make("p", { className: "faint" }, ...lineage(artifact, all))) : "",
    ...facts.verdicts.map((one) => make("p", {}, "Judged in ", make("a", { href: `#browse/${one.id}` }, one.place), `: ${verdictWords(one.verdict)}.`)),
    judged ? judgement(judged) : "",
    ...tables.flatMap(([file, text]) => [make("h3", {}, calledAs(file)), make("pre", { tabIndex: 0, "aria-label": calledAs(file) }, text)]),
    artifact.kind === "infiller" && artifact.pictures.length
      ? make("p", { className: "faint" }, "A row of a preview is a case: the tissue, the hole, what the infiller is given, and a fill of each class it learned (benign, malignant).") : "",
    make("div", { className: "pictures" }, ...artifact.pictures.map((file) => picture(artifact, file, judged?.notes[file]))),
    make("h3", {}, "Facts"),
    make("dl", {}, ...Object.entries(counts).flatMap(([name, value]) =>
      [make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, words(value))]),
    ...Object.entries(facts.patients_learned_from).flatMap(([way, count]) =>
      [make("dt", {}, `learned from, by ${way}`), make("dd", {}, counted(count, "patient"))])),
    make("h3", {}, "Settings"),
    make("pre", { tabIndex: 0, "aria-label": "settings" }, JSON.stringify(facts.settings, null, 2)));
}

export const verdictWords = (verdict) => ({
  "reached": "it paints the requested class", "not reached": "it does not paint the requested class",
  "open": "whether it paints the requested class is open", "cannot be judged": "whether it paints the requested class cannot be judged",
})[verdict] ?? verdict;

function picture(artifact, file, note) {
  const address = `/artifact/${artifact.id}/${file}`;
  return make("figure", {},
    make("a", { href: address, target: "_blank", rel: "noopener" }, make("img", { src: address, alt: calledAs(file) })),
    make("figcaption", {}, note ?? calledAs(file)));
}

// previews/00020000.png was drawn after 20,000 images; other files are called what they are.
function calledAs(file) {
  const seen = file.match(/^previews\/(\d+)\.png$/);
  if (seen) return Number(seen[1]) ? `preview after ${words(Number(seen[1]))} images seen` : "preview";
  if (file in PICTURES) return PICTURES[file];
  return file.split("/").at(-1).replace(/\.\w+$/, "").replaceAll("_", " ");
}
