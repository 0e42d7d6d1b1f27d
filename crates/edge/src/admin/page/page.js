// The page itself: the stream, the keys, the address bar. What it may change is in change.js.

const at = id => document.getElementById(id);
const view = { filter: "", open: null, orders: null, answer: null, asked: null };
let due = false;

function draw() {
  due = false;
  const now = Date.now() + edge.skew, self = edge.sections.edge;
  edge.sections.now = now;
  index();
  const stale = edge.heard && Date.now() - edge.heard > 12_000;
  at("stale").hidden = !stale;
  if (stale) at("stale").textContent = `No news from the edge since ${clock(edge.heard)}: what follows is old.`;
  if (!edge.heard) return;
  const { level, text, more } = verdict();
  at("verdict").className = level;
  patch(at("verdict"), [h("p", {}, `${SIGN[level]} ${text}`), ...more.map(one => h("small", {}, one))]);
  document.title = `${SIGN[level]} ${self.edge?.name || "thalweg"}: ${text}`.slice(0, 120);
  at("edge").textContent = [self.edge?.name, self.edge?.cloud, self.edge?.region, `up ${span(now - self.began)}`].filter(Boolean).join(" · ");
  patch(at("routes"), Object.values(edge.sections.routes).map(routeView));
  patch(at("pools"), poolsView(view, now));
  const fleet = fleetView(edge.sections.edge.fleet);
  at("fleet-section").hidden = !fleet.length;
  patch(at("fleet"), fleet);
  patch(at("incidents"), [incidentsView(now)]);
  patch(at("timeline"), [h("ul", {}, edge.entries.slice(-40).reverse().map(entryView))]);
  patch(at("config"), configView(now));
  patch(at("preview"), previewView());
  patch(at("history"), historyView());
  if (view.orders) patch(at("orders"), [ordersView(view.orders, now)]);
  if (view.answer) patch(at("answer"), answerView(view.answer));
}
const soon = () => { if (!due) { due = true; requestAnimationFrame(draw); } };
const span = ms => ms < 120_000 ? `${Math.round(ms / 1000)} s` : ms < 7_200_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;

// Forever: one stream after the other, each behind the last entry of the one before.
async function listen() {
  for (let last = null; ;) {
    const answer = await call("api/v1/stream", last ? { "Last-Event-ID": last } : {}).catch(() => null);
    if (answer?.ok) await messages(answer.body, one => { last = one.id ?? last; heed(one); }).catch(() => null);
    await new Promise(resolve => { wake = resolve; setTimeout(resolve, answer?.ok ? 1000 : 3000); });
  }
}
let wake = () => {};

function heed({ event, data }) {
  edge.heard = Date.now();
  const said = JSON.parse(data);
  if (event === "status") apply(said, Date.now());
  else if (event === "reset") edge.entries.length = 0;
  else remember(said);
  if (event === "order") orders();
  if (event === "config") kept();
  soon();
}

async function orders() {
  const answer = await call("api/v1/orders").catch(() => null);
  const body = answer?.ok ? await answer.json().catch(() => null) : null;
  view.orders = body && (Array.isArray(body) ? body : body.orders ?? []);
  soon();
}

// A request id says all that host, path and client would.
function asksForOne() {
  const { host, path, client, request } = at("why").elements, one = request.value.trim() !== "";
  host.required = path.required = !one;
  host.disabled = path.disabled = client.disabled = one;
}

async function ask(event) {
  event?.preventDefault();
  const query = new URLSearchParams([...new FormData(at("why"))].filter(([, value]) => value));
  view.asked = query.toString();
  save();
  const id = query.get("request")?.trim();
  view.answer = await call(id ? `api/v1/requests/${encodeURIComponent(id)}` : `api/v1/explain?${query}`).then(answer => answer.json()).catch(error => ({ error: String(error) }));
  soon();
}

function toggle(key) {
  view.open = view.open === key ? null : key;
  save();
  soon();
}

// The state of the page is in its address: a link shows a colleague the same.
function save() {
  const state = new URLSearchParams();
  if (view.filter) state.set("filter", view.filter);
  if (view.open) state.set("open", view.open);
  if (view.asked) state.set("why", view.asked);
  history.replaceState(null, "", state.size ? `#${state}` : location.pathname);
}

function restore() {
  const state = new URLSearchParams(location.hash.slice(1));
  view.filter = at("filter").value = state.get("filter") ?? "";
  view.open = state.get("open");
  if (state.get("why")) {
    for (const [name, value] of new URLSearchParams(state.get("why"))) if (at("why").elements[name]) at("why").elements[name].value = value;
    asksForOne();
    ask();
  }
  soon();
}

function move(by) {
  const rows = [...document.querySelectorAll(".row")], now = rows.indexOf(document.activeElement);
  rows[now < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, now + by))]?.focus();
}

function back() {
  if (view.open) toggle(view.open);
  else if (view.filter) { view.filter = at("filter").value = ""; save(); soon(); }
}

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.matches?.("input");
  if (event.key === "Escape") { if (typing) event.target.blur(); else back(); return; }
  if (typing) { if (event.key === "Enter" && event.target.id === "filter") { event.preventDefault(); event.target.blur(); move(1); } return; }
  const keys = { "/": () => at("filter").focus(), j: () => move(1), k: () => move(-1), w: () => at("why").elements.host.focus(), "?": () => at("help").showModal() };
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});
at("filter").addEventListener("input", event => { view.filter = event.target.value; save(); soon(); });
at("help-button").addEventListener("click", () => at("help").showModal());
at("why").addEventListener("submit", ask);
at("why").elements.request.addEventListener("input", asksForOne);
addEventListener("hashchange", restore);
setInterval(soon, 1000);
restore();
whoami();
orders();
kept();
offer();
listen();
