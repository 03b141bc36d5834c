// What a judgement found: what was reached, in sentences, then each measure of all infillers side by side.

import { make } from "./ask.js";

const CAPTION = "What was measured of the fills";

export function judgement(found) {
  return make("section", { className: "judgement" },
    ...found.reading.map((one) => make("p", {}, one)),
    make("p", { className: "faint" }, found.basis),
    make("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": CAPTION }, make("table", {},
      make("caption", {}, CAPTION),
      make("thead", {}, make("tr", {}, ...["measure", "required", ...found.columns].map((name, at) => make("th", { scope: "col", className: at > 1 ? "number" : "" }, name)))),
      ...found.criteria.map((one) => criterion(one, found.columns.length + 2)))),
    found.remarks.length ? make("h3", {}, "What holds verdicts up, or puts them in doubt") : "",
    ...found.remarks.map((one) => make("p", { className: "faint" }, one)));
}

const criterion = ({ words, rows }, width) => make("tbody", {},
  make("tr", {}, make("th", { scope: "rowgroup", colSpan: width, className: "group" }, words)),
  ...rows.map((row) => make("tr", {},
    make("th", { scope: "row" }, row.measure, make("span", { className: "kind" }, row.words)),
    make("td", {}, row.wanted), ...row.cells.map(measured))));

const measured = ([number, interval, verdict]) => make("td", { className: "number" }, number,
  interval ? make("span", { className: "kind" }, interval) : "",
  verdict ? make("b", { className: verdict.replaceAll(" ", "-") }, verdict) : "");
