// What this page may change, with a token that may: an order after a look at what it moves, a config that comes back, a
// config that stays. Nothing happens on one key or one click: each has a button, and a second one beside what it would do.

const plans = { order: null, said: null, history: [], sure: null };

// The order that the form describes, as the API reads it.
function ordered() {
  const form = new FormData(at("order")), text = name => (form.get(name) ?? "").trim();
  const [kind, of] = text("kind").split(" "), name = text("target");
  const targets = { dial: { pool: name }, evacuate: { region: name }, weight: name, freeze: name ? { route: name } : null, drain: { [of]: name } };
  const value = kind === "dial" || kind === "weight" ? Number(text("value")) : null;
  return { kind, target: targets[kind], value, for: text("for") || null, reason: text("reason") || null };
}

async function preview(event) {
  event.preventDefault();
  plans.order = ordered();
  plans.said = await post("plan", { order: plans.order });
  soon();
}

async function give(force) {
  const said = await post("orders", { ...plans.order, force });
  plans.said = said.error ? said : { done: `Order ${said.id} is given.` };
  if (!said.error) { plans.order = null; at("order").reset(); }
  orders();
}

// The answer to a POST, or {error, detail}.
async function post(path, body) {
  const answer = await call(`api/v1/${path}`, { "Content-Type": "application/json" }, { method: "POST", body: JSON.stringify(body) }).catch(error => ({ error }));
  if (answer.error) return { error: "no answer", detail: String(answer.error) };
  const said = await answer.json().catch(() => ({ error: "no answer" }));
  if (answer.ok) return said;
  return { error: said.error ?? "rejected", detail: said.detail ?? (said.errors ?? []).map(one => one.problem).join("; ") };
}

const served = name => name ?? "(not served)";
function previewView() {
  const said = plans.said;
  if (!said) return [];
  if (said.error) return [h("p", { class: "down" }, `✕ ${said.detail || said.error}`)];
  if (said.done) return [h("p", { class: "up" }, `● ${said.done}`)];
  const refused = said.warnings.some(one => one.kind === "order_refused");
  const rows = said.moves.map(one => h("tr", {}, h("td", {}, one.route), h("td", {}, served(one.from)), h("td", {}, served(one.to)), h("td", {}, percent(one.share)), h("td", {}, one.requests_per_s ?? "?")));
  const head = ["route", "from", "to", "share", "requests/s"].map(name => h("th", { scope: "col" }, name));
  return [
    h("ul", {}, said.warnings.map(one => h("li", { class: "warn" }, `◐ ${one.detail}`))),
    rows.length ? h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)) : h("p", {}, "No traffic moves."),
    h("button", { type: "button", id: "give", onclick: () => give(refused) }, refused ? "Give it in spite of that" : "Give this order"),
    " ", h("button", { type: "button", onclick: () => { plans.said = null; soon(); } }, "Leave it")];
}

async function kept() {
  const answer = await call("api/v1/history").catch(() => null);
  plans.history = answer?.ok ? await answer.json().catch(() => []) : [];
  soon();
}

function historyView() {
  const trial = edge.sections.edge.trial;
  const rows = plans.history.slice().reverse().map(one => h("tr", { key: one.generation },
    h("td", {}, one.generation), h("td", { class: "when" }, clock(Date.parse(one.time))), h("td", {}, one.state.replaceAll("_", " ")),
    h("td", {}, `${one.cause}${one.repeats ? ` of ${one.repeats}` : ""} by ${one.who}${one.why ? `: ${one.why}` : ""}`),
    h("td", {}, one.state === "kept" && h("button", { type: "button", "data-generation": one.generation, onclick: () => ask_twice("rollback", one.generation) }, "Roll back"))));
  const head = ["generation", "since", "state", "cause", ""].map(name => name ? h("th", { scope: "col" }, name) : h("td", {}));
  return [trial && h("p", {}, h("button", { type: "button", id: "keep", onclick: () => ask_twice("confirm", trial.generation) }, `Keep generation ${trial.generation}`)),
    h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows))];
}

const SURE = {
  rollback: generation => `Generation ${generation} comes into force again, as a new generation. The config files count again when they change.`,
  confirm: generation => `Generation ${generation} is on trial. It stays.`,
};
function ask_twice(what, generation) {
  plans.sure = { what, generation };
  at("sure-text").textContent = SURE[what](generation);
  at("sure").showModal();
}

async function do_it(event) {
  event.preventDefault();
  const { what, generation } = plans.sure, reason = at("sure-reason").value.trim() || null;
  const said = await post(what, what === "rollback" ? { generation, reason } : { reason });
  if (said.error) { at("sure-text").textContent = `✕ ${said.detail || said.error}`; return; }
  at("sure-reason").value = "";
  at("sure").close();
  kept();
}

// Which names the form offers, and whether a value belongs to the kind of order.
function offer() {
  const [kind, of] = at("order").elements.kind.value.split(" ");
  const { pools, routes, endpoints } = edge.sections, list = Object.values(pools);
  const regions = [...new Set(list.map(pool => pool.region).filter(Boolean))];
  const names = { pool: Object.keys(pools), region: regions, endpoint: Object.values(endpoints).slice(0, 200).map(one => `${one.pool}/${one.address}`) };
  const pairs = Object.values(routes).flatMap(route => route.pools.map(one => `${route.name}/${one.pool}`)).slice(0, 200);
  const offered = { dial: names.pool, evacuate: regions, weight: pairs, freeze: Object.keys(routes) }[kind] ?? names[of];
  patch(at("order-targets"), offered.map(value => h("option", { value })));
  at("order").elements.target.required = kind !== "freeze";
  at("order-value").hidden = kind !== "dial" && kind !== "weight";
}

at("order").addEventListener("submit", preview);
at("order").elements.kind.addEventListener("change", offer);
at("order").elements.target.addEventListener("focus", offer);
at("sure-form").addEventListener("submit", do_it);
at("sure-close").addEventListener("click", () => at("sure").close());
