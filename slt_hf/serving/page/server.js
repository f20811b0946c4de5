// What is asked of the server besides the stream.

const KEY = "slt-hf.key";

export const key = () => sessionStorage.getItem(KEY) ?? "";
export const rememberKey = (value) => sessionStorage.setItem(KEY, value);

async function ask(path, options = {}) {
  const headers = key() ? { authorization: `Bearer ${key()}` } : {};
  const answer = await fetch(path, { ...options, headers });
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(told.error ?? `The server answered ${answer.status}.`), { status: answer.status });
}

export const about = async () => (await ask("page/about.json")).json();
export const models = async () => (await ask("models")).json();
export const example = async (seed) => (await ask(`example?seed=${seed}`)).arrayBuffer();

export async function translate(file, model) {
  return (await ask(`translate?${new URLSearchParams({ model })}`, { method: "POST", body: file })).json();
}

export async function correct(frames, { text, read, model, layout }) {
  return (await ask(`corrections?${new URLSearchParams({ text, read, model, layout })}`, { method: "POST", body: frames })).json();
}
