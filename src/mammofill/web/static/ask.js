// Talking to the server, and building what is shown. Nothing that the server says becomes markup: text stays text.

export async function ask(address, options = {}) {
  const answer = await fetch(address, options);
  if (!answer.ok) throw new Error(await wordsOf(answer));
  return answer;
}

export const askJson = async (address, options) => (await ask(address, options)).json();

export const send = (address, body, signal) =>
  askJson(address, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal });

async function wordsOf(answer) {
  const text = await answer.text();
  try {
    const said = JSON.parse(text);
    return said.error ?? said.detail?.map((one) => `${one.loc.at(-1)}: ${one.msg}`).join("; ") ?? text;
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

export function complain(error) {
  const place = document.getElementById("message");
  if (error?.name === "AbortError") return;
  place.textContent = error ? error.message : "";
  place.hidden = !error;
}

export const pause = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));
