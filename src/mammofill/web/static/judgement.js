// Page of a judgement: its conclusions in sentences, then a table of all measures of all infillers.

import { create } from "./elements.js";

const CAPTION = "What was measured of the fills";

export function judgement(found) {
  return create("section", { className: "judgement" },
    ...found.reading.map((one) => create("p", {}, one)),
    create("p", { className: "faint" }, found.basis),
    create("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": CAPTION }, create("table", {},
      create("caption", {}, CAPTION),
      create("thead", {}, create("tr", {}, ...["measure", "required", ...found.columns].map((name, at) => create("th", { scope: "col", className: at > 1 ? "number" : "" }, name)))),
      ...found.criteria.map((one) => criterion(one, found.columns.length + 2)))),
    found.remarks.length ? create("h3", {}, "What holds verdicts up, or puts them in doubt") : "",
    ...found.remarks.map((one) => create("p", { className: "faint" }, one)));
}

const criterion = ({ words, rows }, width) => create("tbody", {},
  create("tr", {}, create("th", { scope: "rowgroup", colSpan: width, className: "group" }, words)),
  ...rows.map((row) => create("tr", {},
    create("th", { scope: "row" }, row.measure, create("span", { className: "kind" }, row.words)),
    create("td", {}, row.wanted), ...row.cells.map(measuredCell))));

const measuredCell = ([number, interval, verdict]) => create("td", { className: "number" }, number,
  interval ? create("span", { className: "kind" }, interval) : "",
  verdict ? create("b", { className: verdict.replaceAll(" ", "-") }, verdict) : "");
