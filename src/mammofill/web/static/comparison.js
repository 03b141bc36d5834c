// What a comparison of arms found: the sentences of the report, then the numbers behind them.

import { askJson, make, tableOf, words } from "./ask.js";

export async function comparison(artifact, all) {
  const found = await askJson(`/api/comparisons/${artifact.id}`);
  return make("section", { className: "comparison" },
    make("p", { className: "card" }, make("b", {}, found.in_short)),
    ...found.said.flatMap(({ heading, sentences }) => [make("h3", {}, heading), ...sentences.map((one) => make("p", {}, one))]),
    make("h3", {}, "In numbers"),
    ...[found.planned, found.described].filter(({ rows }) => rows.length).map(sheet),
    found.by_other_measures.rows.length ? make("details", {}, make("summary", {}, `${words(found.by_other_measures.rows.length)} by other measures`), sheet(found.by_other_measures)) : "",
    tableOf("Arms", ["arm", found.measure, "infillers", "classifiers", "evaluations"],
      found.arms.map((arm) => [arm.name, arm.value, arm.infillers || "", arm.classifiers, evaluations(arm, all)]), [false, true, true, true, false]));
}

const sheet = ({ caption, columns, rows, numeric }) => tableOf(caption, columns, rows, numeric);

// Numbers, since dozens of names would say little; each says its place when it is pointed at, or read aloud.
function evaluations(arm, all) {
  const missing = arm.classifiers - arm.evaluations.length;
  return make("span", { className: "numbered" },
    ...arm.evaluations.map((id, number) => {
      const { place } = all.artifacts.find((one) => one.id === id);
      return make("a", { href: `#browse/${id}`, title: place, "aria-label": place }, String(number + 1));
    }),
    missing ? `${words(missing)} not in this folder` : "");
}
