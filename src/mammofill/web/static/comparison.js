// Page of a comparison of arms: the sentences of the report, then tables of the differences and of the arms.

import { create, tableOf, formatNumber } from "./elements.js";
import { requestJson } from "./requests.js";

export async function comparison(artifact, all) {
  const found = await requestJson(`/api/comparisons/${artifact.id}`);
  return create("section", { className: "comparison" },
    create("p", { className: "card" }, create("b", {}, found.in_short)),
    ...found.said.flatMap(({ heading, sentences }) => [create("h3", {}, heading), ...sentences.map((one) => create("p", {}, one))]),
    create("h3", {}, "In numbers"),
    ...[found.planned, found.described].filter(({ rows }) => rows.length).map(sheet),
    found.by_other_measures.rows.length ? create("details", {}, create("summary", {}, `${formatNumber(found.by_other_measures.rows.length)} by other measures`), sheet(found.by_other_measures)) : "",
    tableOf("Arms", ["arm", found.measure, "infillers", "classifiers", "evaluations"],
      found.arms.map((arm) => [arm.name, arm.value, arm.infillers || "", arm.classifiers, evaluations(arm, all)]), [false, true, true, true, false]));
}

const sheet = ({ caption, columns, rows, numeric }) => tableOf(caption, columns, rows, numeric);

// Links to the evaluations of an arm, by number, since there may be dozens; title and label give the place of each.
function evaluations(arm, all) {
  const missing = arm.classifiers - arm.evaluations.length;
  return create("span", { className: "numbered" },
    ...arm.evaluations.map((id, number) => {
      const { place } = all.artifacts.find((one) => one.id === id);
      return create("a", { href: `#browse/${id}`, title: place, "aria-label": place }, String(number + 1));
    }),
    missing ? `${formatNumber(missing)} not in this folder` : "");
}
