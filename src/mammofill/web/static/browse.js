import { labelledSelect, counted, create, formatNumber } from "./elements.js";
import { request, requestJson } from "./requests.js";
import { comparison } from "./comparison.js";
import { gallery } from "./gallery.js";
import { judgement } from "./judgement.js";
import { mammograms } from "./mammograms.js";

const FINDINGS = ["report", "comparison"];
const PICTURES = {
  "attention_hardest.png": "where the classifier looks, on the patches it was furthest off on",
  "attention_random.png": "where the classifier looks, on patches drawn by chance",
};
const MAX_INPUTS = 12; // inputs that an artifact's page lists; more are folded

export async function browse(place, all, [id, ...rest]) {
  if (!id) return showList(place, all);
  const artifact = all.artifacts.find((one) => one.id === id);
  if (!artifact) throw new Error("There is no such artifact here (any more).");
  document.title = `${artifact.place} – mammofill studio`;
  const head = create("div", {},
    create("p", {}, create("a", { href: "#browse" }, "← all artifacts")),
    create("h2", {}, artifact.place, ...kindOf(artifact)),
    artifact.kind === "comparison" ? null : create("p", {}, artifact.headline)); // which its page repeats
  const body = create("div");
  place.replaceChildren(head, body);
  if (artifact.kind === "patches") return gallery(body, artifact, all, rest);
  if (artifact.kind === "mammograms") return mammograms(body, artifact, all);
  return showArtifact(body, artifact, all);
}

// The kind, unless the artifact's name is the same.
const kindOf = (artifact) => artifact.kind === artifact.place ? [] : [" ", create("span", { className: "faint" }, artifact.kind)];

// All artifacts: reports and comparisons first, the others in the order in which they were made.
function showList(place, all) {
  if (!all.artifacts.length) {
    place.replaceChildren(create("p", {}, "No artifact of mammofill lies in this folder, nor in the folders below. Begin with mammofill ingest, or look at mammofill --help."));
    return;
  }
  const filter = { kind: "", name: "" };
  const kinds = [...new Set(all.artifacts.map((one) => one.kind))];
  const heading = create("h2", { role: "status" }), findings = create("div", { className: "artifacts" }), cards = create("div", { className: "artifacts" });
  const show = () => {
    const shown = all.artifacts.filter((one) => (!filter.kind || one.kind === filter.kind) && one.place.toLowerCase().includes(filter.name));
    heading.textContent = shown.length === all.artifacts.length ? counted(shown.length, "artifact") : `${formatNumber(shown.length)} of ${counted(all.artifacts.length, "artifact")}`;
    const found = (one) => one.usable && FINDINGS.includes(one.kind);
    findings.replaceChildren(...shown.filter(found).map((one) => card(one, all)));
    cards.replaceChildren(...shown.filter((one) => !found(one)).map((one) => card(one, all)));
  };
  place.replaceChildren(heading,
    create("div", { className: "bar" },
      labelledSelect("kind", [["", "all"], ...kinds.map((one) => [one, one])], "", (kind) => { filter.kind = kind; show(); }),
      create("label", {}, "name", create("input", { type: "search", oninput: (event) => { filter.name = event.target.value.toLowerCase(); show(); } }))),
    findings, cards);
  show();
}

function card(one, all) {
  const name = one.usable ? create("a", { href: `#browse/${one.id}` }, one.place) : one.place;
  return create("article", { className: "card artifact" },
    create("b", {}, name, create("span", { className: "kind" }, one.kind)),
    create("span", { className: one.usable ? "" : "bad" }, one.headline || one.state),
    create("span", { className: "faint" }, one.usable || one.headline ? one.state : ""),
    create("span", { className: "lineage" }, ...pageLinks(one), ...lineage(one, all, 3)));
}

// The inputs of an artifact, grouped by role; a card lists the first few.
function lineage(one, all, most = Infinity) {
  const roles = [...new Set(one.inputs.map((input) => input.role))];
  return roles.flatMap((role, number) => {
    const inputs = one.inputs.filter((input) => input.role === role);
    const more = inputs.length > most ? ` and ${formatNumber(inputs.length - most)} more` : "";
    return [number ? "; " : "from ", `${role} `, ...inputs.slice(0, most).flatMap((input, place) => [place ? ", " : "", ...inputLink(input, all)]), more];
  });
}

const inputLink = (input, all) => [
  input.id ? create("a", { href: `#browse/${input.id}` }, all.artifacts.find((other) => other.id === input.id).place) : input.path,
  input.note ? ` (${input.note})` : ""];

function pageLinks(one) {
  return one.pages.map((page) => create("a", { className: "page", href: `/artifact/${one.id}/${page}`, target: "_blank", rel: "noopener" },
    one.kind === "report" && one.pages.length === 1 ? "open the report" : `open ${page}`));
}

async function showArtifact(place, artifact, all) {
  const facts = await requestJson(`/api/artifacts/${artifact.id}`);
  const judged = artifact.kind === "judgement" ? await requestJson(`/api/judgements/${artifact.id}`) : null;
  const tables = await Promise.all((judged ? [] : artifact.tables).map(async (file) => [file, await (await request(`/artifact/${artifact.id}/${file}`)).text()]));
  const counts = { ...facts.counts, seed: facts.seed, "version of mammofill": facts.package_version, fingerprint: facts.fingerprint.slice(0, 16) };
  const compared = artifact.kind === "comparison" ? await comparison(artifact, all) : "";
  place.replaceChildren(compared,
    create("p", { className: "faint" }, ...pageLinks(artifact), ...(artifact.inputs.length > MAX_INPUTS ? [] : lineage(artifact, all))),
    artifact.inputs.length > MAX_INPUTS ? create("details", {}, create("summary", {}, `made from ${formatNumber(artifact.inputs.length)} artifacts`), create("p", { className: "faint" }, ...lineage(artifact, all))) : "",
    ...facts.verdicts.map((one) => create("p", {}, "Judged in ", create("a", { href: `#browse/${one.id}` }, one.place), `: ${verdictText(one.verdict)}.`)),
    judged ? judgement(judged) : "",
    ...tables.flatMap(([file, text]) => [create("h3", {}, captionOf(file)), create("pre", { tabIndex: 0, "aria-label": captionOf(file) }, text)]),
    artifact.kind === "infiller" && artifact.pictures.length
      ? create("p", { className: "faint" }, "A row of a preview is a case: the tissue, the hole, what the infiller is given, and a fill of each class it learned (benign, malignant).") : "",
    create("div", { className: "pictures" }, ...artifact.pictures.map((file) => pictureFigure(artifact, file, judged?.notes[file]))),
    create("h3", {}, "Facts"),
    create("dl", {}, ...Object.entries(counts).flatMap(([name, value]) =>
      [create("dt", {}, name.replaceAll("_", " ")), create("dd", {}, formatNumber(value))]),
    ...Object.entries(facts.patients_learned_from).flatMap(([way, count]) =>
      [create("dt", {}, `learned from, by ${way}`), create("dd", {}, counted(count, "patient"))])),
    create("h3", {}, "Settings"),
    create("pre", { tabIndex: 0, "aria-label": "settings" }, JSON.stringify(facts.settings, null, 2)));
}

export const verdictText = (verdict) => ({
  "reached": "it paints the requested class", "not reached": "it does not paint the requested class",
  "open": "whether it paints the requested class is open", "cannot be judged": "whether it paints the requested class cannot be judged",
})[verdict] ?? verdict;

function pictureFigure(artifact, file, note) {
  const address = `/artifact/${artifact.id}/${file}`;
  return create("figure", {},
    create("a", { href: address, target: "_blank", rel: "noopener" }, create("img", { src: address, alt: captionOf(file) })),
    create("figcaption", {}, note ?? captionOf(file)));
}

// Caption of a file: previews/00020000.png was drawn after 20,000 images; others are called by their names.
function captionOf(file) {
  const seen = file.match(/^previews\/(\d+)\.png$/);
  if (seen) return Number(seen[1]) ? `preview after ${formatNumber(Number(seen[1]))} images seen` : "preview";
  if (file in PICTURES) return PICTURES[file];
  return file.split("/").at(-1).replace(/\.\w+$/, "").replaceAll("_", " ");
}
