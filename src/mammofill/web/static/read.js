// Page of a reader study, answered by keyboard or, on touch screens, by keys on the page. For each case the server sends
// only pixels, always the same number of bytes; for a pair, the left picture and then the right one.

import { showError, delay } from "./elements.js";
import { request, requestJson, postJson } from "./requests.js";

const QUESTIONS = [
  ["synthetic", "Real or synthetic?", "1 surely real … 100 surely synthetic"],
  ["malignant", "Benign or malignant?", "1 surely benign … 100 surely malignant"],
];
const BREAK_EVERY = 25;
const byId = (name) => document.getElementById(name);
let turn, given, typed, shownAt, busy = true;

async function next(known) {
  busy = true;
  turn = known ?? await retrying(() => requestJson("/api/read/next"));
  given = {};
  typed = "";
  const pairs = turn.kind === "pairs";
  document.title = `Reading, reader ${turn.reader}`;
  byId("reader").textContent = `Reader ${turn.reader}`;
  document.body.classList.toggle("pairs", pairs);
  if (pairs) byId("case").setAttribute("aria-label", "the case on the left");
  if (pairs) byId("hint").textContent = "Left or right arrow chooses, Enter confirms.";
  if (pairs) byId("touch-hint").textContent = "Tap a picture or its side, then Enter.";
  byId("digits").hidden = pairs || turn.position === turn.cases;
  byId("sides").hidden = !pairs || turn.position === turn.cases;
  if (turn.position === turn.cases) {
    byId("cases").hidden = true;
    document.body.classList.add("over");
    byId("asked").textContent = `All ${pairs ? "pairs are judged" : "cases are rated"}.`;
    byId("scale").textContent = "Thank you; you may close this page.";
    for (const name of ["progress", "typed", "hint", "touch-hint", "pause"]) byId(name).hidden = true;
    return;
  }
  const pixels = new Uint8Array(await (await retrying(() => request(`/api/read/case/${turn.position}?tag=${turn.tag}`))).arrayBuffer());
  drawPicture(byId("case"), pixels.subarray(0, turn.side ** 2));
  byId("other").hidden = !pairs;
  if (pairs) drawPicture(byId("other"), pixels.subarray(turn.side ** 2));
  byId("progress").textContent = `${turn.position} of ${turn.cases} ${pairs ? "pairs are judged" : "cases are rated"}`;
  byId("pause").textContent = turn.position && turn.position % BREAK_EVERY === 0 ? "A good moment for a break: everything so far is kept." : "";
  shownAt = performance.now();
  busy = false;
  show();
}

function drawPicture(canvas, pixels) {
  canvas.width = canvas.height = turn.side;
  const picture = new ImageData(turn.side, turn.side);
  pixels.forEach((gray, place) => picture.data.set([gray, gray, gray, 255], place * 4));
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

function show() {
  if (turn.kind === "pairs") {
    byId("asked").textContent = "Which of the two is real?";
    byId("scale").textContent = "The other one was painted by a computer.";
    byId("typed").textContent = { left: "← left", right: "right →" }[typed] ?? "–";
    for (const [name, side] of [["case", "left"], ["other", "right"]]) byId(name).classList.toggle("chosen", typed === side);
    return;
  }
  const [, asked, scale] = QUESTIONS[Object.keys(given).length];
  byId("asked").textContent = asked;
  byId("scale").textContent = scale;
  byId("typed").textContent = typed || "–";
  document.querySelector("[data-key=Escape]").disabled = !Object.keys(given).length;
}

// Repeats a request until the server answers, which may be stopped and started again.
async function retrying(work) {
  for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
    try {
      const answer = await work();
      showError(null);
      return answer;
    } catch (error) {
      if (!(error instanceof TypeError)) {
        showError(error);
        throw error;
      }
      showError(new Error("The studio does not answer; trying again. Nothing is lost."));
      await delay(wait);
    }
  }
}

async function choose() {
  if (!typed) return;
  busy = true;
  const seconds = (performance.now() - shownAt) / 1000, left = typed === "left";
  await next(await retrying(() => postJson("/api/read/choice", { left, position: turn.position, tag: turn.tag, seconds })));
}

async function rate() {
  const rating = Number(typed);
  if (!(rating >= 1 && rating <= 100)) {
    showError(new Error("Type a number from 1 to 100."));
    return;
  }
  showError(null);
  given[QUESTIONS[Object.keys(given).length][0]] = rating;
  typed = "";
  if (Object.keys(given).length < QUESTIONS.length) {
    show();
    return;
  }
  busy = true;
  const seconds = (performance.now() - shownAt) / 1000;
  await next(await retrying(() => postJson("/api/read/rating", { ...given, position: turn.position, tag: turn.tag, seconds })));
}

// Handles a key, typed or touched; returns whether it has a meaning.
function handleKey(key) {
  if (busy) return false;
  if (turn.kind === "pairs") {
    if (key === "ArrowLeft") typed = "left";
    else if (key === "ArrowRight") typed = "right";
    else if (key === "Enter") { choose(); return true; }
    else return false;
    show();
    return true;
  }
  if (/^\d$/.test(key) && typed.length < 3) typed += key;
  else if (key === "Backspace") typed = typed.slice(0, -1);
  else if (key === "Escape") { given = {}; typed = ""; }
  else if (key === "Enter") { rate(); return true; }
  else return false;
  showError(null); // about the previous number
  show();
  return true;
}

// Enter confirms even if a touched key has the focus: it does not activate that key again.
addEventListener("keydown", (event) => {
  if (!event.ctrlKey && !event.metaKey && !event.altKey && handleKey(event.key)) event.preventDefault();
});
for (const keys of document.querySelectorAll(".keys")) {
  keys.addEventListener("mousedown", (event) => event.preventDefault()); // a touched key does not take the focus
  keys.addEventListener("click", (event) => { if (event.target.dataset.key) handleKey(event.target.dataset.key); });
}
for (const [name, key] of [["case", "ArrowLeft"], ["other", "ArrowRight"]]) byId(name).addEventListener("click", () => { if (turn?.kind === "pairs") handleKey(key); });

next();
