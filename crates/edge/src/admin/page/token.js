// Calls to the edge, with the token if there is one. It lives in this tab and goes only into a header, never into an address.
// Why not EventSource: it sends no header, so the token would have to stand in the address, and addresses are logged.

const TOKEN = "thalweg-token";

async function call(path, headers = {}, options = {}) {
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers = { ...headers, Authorization: `Bearer ${token}` };
  const answer = await fetch(path, { ...options, headers, cache: "no-store" });
  if (answer.status === 401 || answer.status === 403) {
    const why = await answer.clone().json().catch(() => ({}));
    askForToken(why.detail);
  }
  return answer;
}

// The messages of a stream of server-sent events, one after the other: {event, id, data}.
async function messages(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const fields = text.slice(0, end).split("\n").map(line => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]);
      const message = Object.fromEntries(fields);
      if (message.event) take(message);
    }
  }
}

function askForToken(why) {
  const dialog = document.getElementById("token-dialog");
  if (why) document.getElementById("token-why").textContent = `The edge says: ${why}.`;
  if (!dialog.open) dialog.showModal();
}

// Shows who the edge takes this page for; says whether the token is one of its own.
async function whoami() {
  const answer = await call("api/v1/whoami").catch(() => null);
  const who = answer?.ok ? await answer.json() : {};
  const caller = document.getElementById("caller");
  caller.hidden = !who.name;
  caller.textContent = who.name ? `${who.name} (${who.role})` : "";
  return answer?.ok;
}

async function useToken(event) {
  event.preventDefault();
  const input = document.getElementById("token-input");
  const before = sessionStorage.getItem(TOKEN);
  sessionStorage.setItem(TOKEN, input.value.trim());
  if (!await whoami()) {
    if (before) sessionStorage.setItem(TOKEN, before); else sessionStorage.removeItem(TOKEN);
    return;
  }
  input.value = "";
  document.getElementById("token-dialog").close();
  wake();
  orders();
  kept();
}

function forgetToken() {
  sessionStorage.removeItem(TOKEN);
  location.reload();
}

document.getElementById("token").addEventListener("submit", useToken);
document.getElementById("token-forget").addEventListener("click", forgetToken);
document.getElementById("token-close").addEventListener("click", () => document.getElementById("token-dialog").close());
document.getElementById("token-button").addEventListener("click", () => askForToken());
