// Elements of the page. Text is never parsed as markup.

export function create(name, facts = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(facts)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function labelledSelect(label, options, chosen, onchange) {
  const select = create("select", { onchange: (event) => onchange(event.target.value) },
    ...options.map(([value, words]) => create("option", { value, selected: value === chosen }, words)));
  return create("label", {}, label, select);
}

// A table in a box that scrolls, also by the keyboard, if the table is wide. Numeric columns are aligned at the right.
// By default these are the columns with a number in them.
export function tableOf(caption, columns, rows, numeric = columns.map((_, at) => rows.some((row) => typeof row[at] === "number"))) {
  const aligned = numeric.map((one) => one ? "number" : "");
  const shown = (cell) => typeof cell === "number" ? formatNumber(cell) : cell;
  return create("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": caption }, create("table", {},
    create("caption", {}, caption),
    create("thead", {}, create("tr", {}, ...columns.map((name, at) => create("th", { scope: "col", className: aligned[at] }, name)))),
    create("tbody", {}, ...rows.map((row) => create("tr", {}, ...row.map((cell, at) => create("td", { className: aligned[at] }, shown(cell))))))));
}

// Shows the message of an error as plain text, never as markup: it may contain names of folders. null hides it.
export function showError(error) {
  const place = document.getElementById("message");
  if (error?.name === "AbortError") return;
  place.textContent = error ? error.message : "";
  place.hidden = !error;
}

// Makes a group of buttons one Tab stop; arrow keys move the focus within it.
export function moveFocusByArrows(place, columns = () => 1) {
  place.addEventListener("keydown", (event) => {
    const buttons = [...place.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns() }[event.key];
    if (at < 0 || !step) return;
    event.preventDefault();
    const next = buttons[at + step];
    if (!next) return;
    for (const one of buttons) one.tabIndex = one === next ? 0 : -1;
    next.focus();
  });
}

export const formatNumber = (number) => (typeof number === "number" ? number.toLocaleString("en") : String(number));

export const counted = (number, one, several = `${one}s`) => `${formatNumber(number)} ${number === 1 ? one : several}`;

// The setting can change at any time: read .matches whenever something would move.
export const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

export const delay = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));
