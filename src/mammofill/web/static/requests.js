// Requests to the server. A failed request throws an error with the server's message.

const NO_ANSWER = "The studio does not answer. Nothing that was kept is lost. Was it stopped? Start it again, and open the address that it prints.";

export async function request(address, options = {}) {
  const answer = await fetchAnswer(address, options);
  if (!answer.ok) throw new Error(await errorText(answer));
  return answer;
}

async function fetchAnswer(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    throw error instanceof TypeError ? new TypeError(NO_ANSWER) : error;
  }
}

export const requestJson = async (address, options) => (await request(address, options)).json();

export const requestBytes = async (address) => new Uint8Array(await (await request(address)).arrayBuffer());

export const postJson = (address, body, signal) =>
  requestJson(address, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal });

async function errorText(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return text || `The studio answered ${answer.status}.`;
  }
}
