// The way to the server. The key was in the page when a link was opened; it stays in this origin's own storage.

const STORE = "lab-key";
const given = document.querySelector('meta[name="lab-key"]').content;
if (given) localStorage.setItem(STORE, given);
if (location.search) history.replaceState(null, "", "/");
const key = localStorage.getItem(STORE) || "";

export class Refused extends Error {}

async function asked(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: { "X-Lab-Key": key, ...options.headers } });
  if (answer.status === 401) throw new Refused();
  const said = await answer.json().catch(() => ({ error: answer.statusText }));
  if (!answer.ok) throw new Error(said.error);
  return said;
}

export const get = (path) => asked(path);

export const post = (path, data) =>
  asked(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(data) });

export function connect(path) {
  const made = new WebSocket(`ws://${location.host}${path}`, ["lab", `lab.key.${key}`]);
  made.binaryType = "arraybuffer";
  return made;
}
