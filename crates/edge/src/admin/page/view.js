// From state to DOM. `h` describes an element, `patch` changes only what differs, so that focus and selection stay.

const SVG = "http://www.w3.org/2000/svg";
const h = (tag, props, ...children) => ({ tag, props: props ?? {}, children: children.flat().filter(one => one != null && one !== false) });

function make(node) {
  if (typeof node !== "object") return document.createTextNode(String(node));
  const svg = ["svg", "rect", "polyline"].includes(node.tag);
  const element = svg ? document.createElementNS(SVG, node.tag) : document.createElement(node.tag);
  set(element, {}, node.props);
  element.append(...node.children.map(make));
  element.described = node;
  return element;
}

function set(element, old, props) {
  for (const key of Object.keys(old)) if (!(key in props)) element.removeAttribute(key);
  for (const [key, value] of Object.entries(props)) {
    if (old[key] === value) continue;
    if (key === "width%") element.style.width = `${value}%`;
    else if (key.startsWith("on")) element[key] = value;
    else if (value === false || value == null) element.removeAttribute(key);
    else element.setAttribute(key, value === true ? "" : value);
  }
}

// Makes the children of `parent` what `wanted` describes. Children match by `key`, else by place.
function patch(parent, wanted) {
  wanted = wanted.flat().filter(one => one != null && one !== false);
  const keyed = new Map([...parent.childNodes].filter(one => one.described?.props?.key).map(one => [one.described.props.key, one]));
  let at = parent.firstChild;
  for (const node of wanted) {
    const known = node.props?.key && keyed.get(node.props.key);
    if (known && known !== at) parent.insertBefore(known, at);
    const here = known || at;
    if (typeof node !== "object") {
      if (here?.nodeType === 3) { if (here.data !== String(node)) here.data = String(node); at = here.nextSibling; }
      else parent.insertBefore(make(node), at);
    } else if (here?.described?.tag === node.tag && here.described.props.key === node.props.key) {
      set(here, here.described.props, node.props);
      patch(here, node.children);
      here.described = node;
      at = here.nextSibling;
    } else parent.insertBefore(make(node), at);
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
}

const WIDTH = 120, HEIGHT = 24;
function plot(values, label, kind) {
  const most = Math.max(1e-9, ...values), step = WIDTH / Math.max(1, values.length - 1);
  const points = values.map((value, nth) => `${(nth * step).toFixed(1)},${(HEIGHT - 2 - value / most * (HEIGHT - 4)).toFixed(1)}`).join(" ");
  return h("svg", { class: `plot ${kind}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, h("polyline", { points }));
}

function stripOf(endpoint, now) {
  const heights = { up: 12, warn: 7, down: 3 };   // shape as well as colour
  const spans = strip(endpoint, now);
  const parts = spans.map(({ from, to, level }) => {
    const x = 90 - from / MINUTE * 90, width = Math.max(.5, (from - to) / MINUTE * 90);
    return h("rect", { class: level, x: x.toFixed(1), y: 13 - heights[level], width: width.toFixed(1), height: heights[level] });
  });
  const words = spans.map(({ from, level }) => `${level} for ${Math.round(from / 1000)} s`).reverse().join(", then ");
  return h("svg", { class: "strip", viewBox: "0 0 90 14", role: "img", "aria-label": `last 60 s: ${words}` }, parts);
}

function routeView(route) {
  const shown = rates(route.name), last = shown.at(-1) ?? { requests: 0, failed: 0 };
  const ratio = last.requests ? last.failed / last.requests : 0;
  const shares = route.pools.map(one => {
    const pool = poolOf(one.pool);
    const away = route.pools.filter(other => other.share === 0 && other.tier < one.tier).map(other => other.pool);
    const why = one.held ? "held: back, but not yet long enough" : isOut(pool) && one.share === 0 ? `below threshold: ${reasonOf(pool)}`
      
      : one.dial < 100 ? `dial ${one.dial} %` : one.share === 0 ? "reserve" : away.length ? `instead of ${away.join(", ")}` : one.near ? "nearest" : "";
    return h("li", { class: "share" }, h("span", { class: "name" }, `${one.pool} `, h("span", { class: "quiet" }, `tier ${one.tier}, weight ${one.weight}`)),
      h("span", { class: "bar" }, h("i", { "width%": (one.share * 100).toFixed(1) })), h("span", {}, percent(one.share)), why && h("span", { class: "why" }, why));
  });
  const state = route.panic ? h("strong", { class: "down" }, "panic: health does not count") : route.stage !== "up" && h("span", { class: "warn" }, route.stage);
  return h("div", { class: "card", key: route.name },
    h("div", { class: "line" }, h("h3", {}, route.name), h("span", { class: "quiet" }, `${route.hosts.join(" ") || "any host"} ${route.path_prefix}`), state),
    h("ul", {}, shares),
    h("div", { class: "plots" },
      h("span", {}, `${last.requests.toFixed(last.requests < 10 ? 1 : 0)} requests/s `, plot(shown.map(one => one.requests), "requests per second, two minutes", "")),
      h("span", { class: ratio > 0 ? "down" : "" }, `${percent(ratio)} failed `, plot(shown.map(one => one.failed), "failed requests per second, two minutes", "failed"))));
}

const ROWS = 200;
function poolsView(view, now) {
  const word = view.filter.toLowerCase();
  const matches = (pool, one) => !word || [pool.name, pool.region, pool.cloud, one?.address, one?.host, one?.availability, one && reason(one)].some(text => text?.toLowerCase().includes(word));
  const rank = pool => isOut(pool) ? 0 : endpointsOf(pool).some(one => one.availability !== "up") ? 1 : 2;
  let left = ROWS, hidden = 0;
  const cards = Object.values(edge.sections.pools).map(pool => [rank(pool), pool]).sort((a, b) => a[0] - b[0]).map(([, pool]) => {
    const all = endpointsOf(pool).filter(one => matches(pool, one)).sort((a, b) => (level(a.availability) === "up") - (level(b.availability) === "up"));
    if (!all.length && !matches(pool)) return null;
    const rows = all.slice(0, left);
    hidden += all.length - rows.length;
    left -= rows.length;
    if (!rows.length && all.length) return null;
    const kind = ["down", "warn", "up"][rank(pool)];
    return h("div", { class: "card", key: pool.name },
      h("div", { class: "line" }, h("h3", { class: kind }, `${SIGN[kind]} ${pool.name}`), h("span", { class: "quiet" }, placeOf(pool)),
        h("span", {}, `${pool.up} of ${pool.enabled} up`), pool.short && h("span", { class: "down" }, "below threshold"),
        h("span", { class: "quiet" }, `probe ${pool.probe ?? "none"}, ${millis(pool.latency_us)}`)),
      h("ul", {}, rows.map(one => row(one, view, now))));
  });
  return [...cards, hidden > 0 && h("p", { key: "more", class: "quiet" }, `${hidden} more endpoints: press / and filter.`)];
}

function row(endpoint, view, now) {
  const key = `${endpoint.pool} ${endpoint.address}`, open = view.open === key, kind = level(endpoint.availability);
  const usual = endpoint.p95_us, late = usual && endpoint.latency_us > 2 * usual;
  const button = h("button", { class: "row", type: "button", "data-key": key, "aria-expanded": String(open), onclick: () => toggle(key) },
    h("span", { class: "name" }, endpoint.address), h("span", { class: kind }, `${SIGN[kind]} ${endpoint.availability}`),
    h("span", { class: late ? "warn" : "" }, millis(endpoint.latency_us)), h("span", {}, `${endpoint.in_flight} in flight`),
    stripOf(endpoint, now), h("span", { class: `reason ${kind === "up" ? "quiet" : kind}` }, reason(endpoint)));
  return h("li", { key }, button, open && detail(endpoint));
}

function detail(endpoint) {
  const facts = { host: endpoint.host, weight: endpoint.weight, probe: endpoint.probe, admin: endpoint.admin,
    ejection: endpoint.ejection + (endpoint.ejection_count ? ` (${endpoint.ejection_count} in a row)` : ""), "ejected until": endpoint.ejected_until,
    "usual first byte (p95)": millis(endpoint.p95_us), "last probe": endpoint.last_probe && `${endpoint.last_probe.result} ${endpoint.last_probe.error ?? ""}` };
  return h("div", { class: "detail" },
    h("dl", {}, Object.entries(facts).filter(([, value]) => value != null).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    h("ul", {}, entriesOf(endpoint).slice(-8).reverse().map(entryView)));
}

// One entry as a sentence.
function sentence(one) {
  const where = one.endpoint ? `${one.pool} ${one.endpoint}` : one.pool ?? one.route ?? "";
  const seen = one.detail || one.fault ? ` (${one.detail ?? one.fault})` : "";
  switch (one.event) {
    case "endpoint": return `${where}: ${one.from} → ${one.to}${seen}`;
    case "ejected": return `${where} ejected for ${(one.lasts_ms / 1000).toFixed(1)} s: ${one.cause}${seen}`;
    case "pool": return `pool ${where} is ${one.short ? "below its threshold" : "back"}`;
    case "failover": return `${one.route}: failover from ${one.from} to ${one.to}`;
    case "failback": return `${one.route}: failback to ${one.to}`;
    case "panic": return `${one.route}: panic ${one.on ? "begins" : "ends"}`;
    case "nearest": return `${one.route}: nearest ${one.pools?.join(", ")}`;
    case "resolved": return `${one.host} has ${Array.isArray(one.addresses) ? one.addresses.length : one.addresses} addresses`;
    case "audit": return `${one.who}: ${one.call} ${Object.entries(one.what).filter(([, value]) => value != null).map(([key, value]) => `${key} ${typeof value === "object" ? Object.values(value).join(" ") : value}`).join(", ")}: ${one.result}${one.why ? ` (${one.why})` : ""}`;
    case "config_trial_begun": return `generation ${one.generation} is on trial until ${clock(Date.parse(one.until))}`;
    case "config_trial_reverted": return `generation ${one.generation} was taken back: ${one.detail ?? one.cause}`;
    case "checker_suspected": return one.on ? "the checker is suspected: most endpoints failed at once" : "the checker is no longer suspected";
    case "incident": return `incident at ${one.region || one.pool} is over: ${one.cause}`;
    default: {
      const { time, event, ...rest } = one;
      return `${event.replaceAll("_", " ")} ${Object.entries(rest).map(([key, value]) => `${key} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", ")}`;
    }
  }
}
const BAD = one => one.event === "ejected" || one.event === "config_rejected" || one.event === "config_trial_reverted" || one.short === true || one.event === "panic" && one.on || one.to === "down";
const entryView = one => h("li", {}, h("span", { class: "when" }, `${clock(Date.parse(one.time))} `), h("span", { class: BAD(one) ? "down" : "" }, `${BAD(one) ? "✕ " : ""}${sentence(one)}`));

function incidentsView(now) {
  const open = Object.values(edge.sections.pools).filter(isOut).map(pool => {
    const at = outSince(pool);
    return h("li", { class: "down" }, `✕ ${pool.region || pool.name} out${at ? ` for ${Math.max(0, Math.round((now - at) / 1000))} s` : ""}: ${reasonOf(pool)}`);
  });
  const over = edge.entries.filter(one => one.event === "incident").slice(-10).reverse().map(one => h("li", {},
    h("span", { class: "when" }, `${clock(Date.parse(one.first_bad))} `), `${one.region || one.pool} (${one.scope}): ${one.cause}; noticed after ${millis(one.detected_after_us)}, `
    + `last failure after ${millis(one.last_bad_after_us)}; ${one.requests_failed} failed, ${one.requests_retried} retried, ${one.requests_hedged} hedged`));
  return open.length + over.length ? h("ul", {}, open, over) : h("p", { class: "quiet" }, "None.");
}

function configView(now) {
  const self = edge.sections.edge, last = self.last_reload;
  const errors = (last?.errors ?? []).map(one => h("li", { class: "down" }, `${one.file ?? ""}:${one.line ?? ""}:${one.column ?? ""} ${one.path ?? ""}: ${one.problem}`, one.hint && h("div", { class: "quiet" }, one.hint)));
  const warnings = (self.warnings ?? []).map(one => h("li", { class: "warn" }, `${one.path ?? ""}: ${one.problem}`));
  const age = last && Math.max(0, Math.round((now - Date.parse(last.time)) / 1000));
  return [h("dl", {}, [["generation", self.generation], ["hash", self.config_hash?.slice(0, 12)], ["files", self.config_files?.join(" ")],
    ["last reload", last ? `${last.result}, ${age < 120 ? `${age} s` : `${Math.round(age / 60)} min`} ago` : "none"], ["version", self.version]].flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value ?? "–")])),
    (errors.length + warnings.length) > 0 && h("ul", {}, errors, warnings)];
}

function answerView(answer) {
  if (answer.error) return [h("p", { class: "down" }, answer.detail ?? answer.error)];
  if (answer.request_id) return recordView(answer);
  const decision = answer.decision ? `${answer.decision.endpoint} in ${answer.decision.pool}, because ${answer.decision.reason}` : `refused: ${answer.refusal}`;
  return [h("p", {}, h("strong", {}, decision), ` (route ${answer.route ?? "none"}, stage ${answer.stage ?? "–"})`), candidates(answer.pools)];
}

function grid(head, rows) {
  return rows.length > 0 && h("table", {}, h("thead", {}, h("tr", {}, head.map(name => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows.map(cells => h("tr", {}, cells.map(cell => h("td", {}, cell ?? "–"))))));
}
const candidates = pools => grid(["pool", "tier", "verdict", "share"], pools.map(one => [one.pool, one.tier, one.verdict, percent(one.share ?? 0)]));

// The decision record of one request.
function recordView(answer) {
  const { facts, today } = answer, last = answer.attempts.at(-1);
  const went = last ? `${last.endpoint} in ${last.pool}, because ${last.reason}` : `no endpoint was asked: ${answer.refusal ?? answer.error ?? "the client left"}`;
  const end = answer.status === 0 ? "the client left" : `answered ${answer.status}`;
  return [h("p", {}, h("strong", {}, went)),
    h("p", {}, `${facts.method} ${facts.host}${facts.path} from ${facts.client} at ${clock(Date.parse(answer.ts))}: ${end} after ${millis(answer.duration_us)}${answer.refusal ?? answer.error ? `, ${answer.refusal ?? answer.error}` : ""} (route ${answer.route ?? "none"}, generation ${answer.generation}, revision ${answer.revision})`),
    grid(["attempt", "endpoint", "pool", "reason", "outcome", "took"], answer.attempts.map(one => [one.kind.replace("_", " "), one.endpoint, one.pool, one.reason, one.outcome + (one.late ? ", late" : ""), millis(one.duration_us)])),
    h("p", { class: "quiet" }, answer.candidates_of === "then" ? "Candidates at that moment:" : "Candidates of today, for the snapshot of that moment is no longer known:"),
    candidates(answer.candidates ?? []),
    h("p", { class: today.differs ? "warn" : "quiet" }, today.detail ?? "today the same request would go to the same pool")];
}

function ordersView(orders, now) {
  if (!orders.length) return h("p", { class: "quiet" }, "None in force.");
  return h("ul", {}, orders.map(one => h("li", { class: "card" }, h("div", { class: "line" }, h("strong", {}, `${one.kind} ${typeof one.target === "object" ? Object.values(one.target).join(" ") : one.target}${one.value == null ? "" : ` ${one.value}`}`),
    h("span", { class: "quiet" }, `${one.id} by ${one.owner ?? "unknown"}`), h("span", {}, one.until ? `${Math.max(0, Math.round((Date.parse(one.until) - now) / 1000))} s left` : "until cancelled"), one.state && h("span", {}, one.state)), one.reason && h("p", {}, one.reason))));
}
