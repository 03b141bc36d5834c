// Talking to the server, and building what is shown. Nothing that the server says becomes markup: text stays text.

const SILENT = "The studio does not answer. Nothing that was kept is lost. Was it stopped? Start it again, and open the address that it prints.";

export async function ask(address, options = {}) {
  const answer = await answerOf(address, options);
  if (!answer.ok) throw new Error(await wordsOf(answer));
  return answer;
}

async function answerOf(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    throw error instanceof TypeError ? new TypeError(SILENT) : error;
  }
}

export const askJson = async (address, options) => (await ask(address, options)).json();

export const bytes = async (address) => new Uint8Array(await (await ask(address)).arrayBuffer());

export const send = (address, body, signal) =>
  askJson(address, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal });

async function wordsOf(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return text || `The studio answered ${answer.status}.`;
  }
}

export function make(name, facts = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(facts)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function choice(label, options, chosen, onchange) {
  const select = make("select", { onchange: (event) => onchange(event.target.value) },
    ...options.map(([value, words]) => make("option", { value, selected: value === chosen }, words)));
  return make("label", {}, label, select);
}

// A table in a box of its own, in which a wide one scrolls; by the keyboard, too. Numeric columns are aligned at the
// right: those with numbers in them, unless the caller says which ones are.
export function tableOf(caption, columns, rows, numeric = columns.map((_, at) => rows.some((row) => typeof row[at] === "number"))) {
  const aligned = numeric.map((one) => one ? "number" : "");
  const shown = (cell) => typeof cell === "number" ? words(cell) : cell;
  return make("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": caption }, make("table", {},
    make("caption", {}, caption),
    make("thead", {}, make("tr", {}, ...columns.map((name, at) => make("th", { scope: "col", className: aligned[at] }, name)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell, at) => make("td", { className: aligned[at] }, shown(cell))))))));
}

// Words from the server, or from whoever named a folder, are the text of an error, and stay text.
export function complain(error) {
  const place = document.getElementById("message");
  if (error?.name === "AbortError") return;
  place.textContent = error ? error.message : "";
  place.hidden = !error;
}

// Arrow keys go from one of a row of buttons to the next; Tab goes past all of them.
export function byArrows(place, columns = () => 1) {
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

export const words = (number) => (typeof number === "number" ? number.toLocaleString("en") : String(number));

export const counted = (number, one, several = `${one}s`) => `${words(number)} ${number === 1 ? one : several}`;

// Whoever wishes for less motion may say so at any time: ask for .matches where something would move.
export const still = matchMedia("(prefers-reduced-motion: reduce)");

export const pause = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));
