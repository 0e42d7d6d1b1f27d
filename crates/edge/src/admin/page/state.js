"use strict";
// What the page knows: the state of the edge, the entries of the event ring, and two minutes of traffic. No DOM here.

const KEPT = 1024, MINUTE = 60_000;
const edge = {
  sections: { edge: {}, routes: {}, pools: {}, endpoints: {}, traffic: {} },
  entries: [],        // oldest first
  traffic: {},        // by route: [{at, requests, failed}], one per second, two minutes
  heard: 0,           // when the last message came (this clock)
  skew: 0,            // the edge's clock minus this one, ms
};

function apply(message, now) {
  if (message.full) for (const name in edge.sections) edge.sections[name] = {};
  for (const name in edge.sections) {
    for (const [key, value] of Object.entries(message[name] ?? {})) {
      if (value === null) delete edge.sections[name][key];
      else edge.sections[name][key] = value;
    }
  }
  edge.skew = message.now - now;
  sample(message.now);
}

function sample(at) {
  for (const [route, [requests, failed]] of Object.entries(edge.sections.traffic)) {
    const all = edge.traffic[route] ??= [];
    const last = all.at(-1);
    if (last && requests < last.requests) all.length = 0;   // the edge has restarted
    if (!last || at - last.at >= 900) all.push({ at, requests, failed });
    while (all.length && at - all[0].at > 2 * MINUTE) all.shift();
  }
}

function remember(entry) {
  edge.entries.push(entry);
  if (edge.entries.length > KEPT) edge.entries.shift();
}

// Rates per second between neighbours: [{requests, failed}].
function rates(route) {
  const all = edge.traffic[route] ?? [];
  return all.slice(1).map((to, nth) => {
    const from = all[nth], seconds = (to.at - from.at) / 1000;
    return { requests: (to.requests - from.requests) / seconds, failed: (to.failed - from.failed) / seconds };
  });
}

// What happened on a route since `at`, as far as this page has seen it.
function since(route, at) {
  const all = (edge.traffic[route] ?? []).filter(one => one.at >= at);
  if (all.length < 2) return { requests: 0, failed: 0 };
  return { requests: all.at(-1).requests - all[0].requests, failed: all.at(-1).failed - all[0].failed };
}

const LEVEL = { up: "up", trickle: "warn", affinity_only: "warn", unproven: "warn", down: "down" };
const SIGN = { up: "●", warn: "◐", down: "✕" };
const level = availability => LEVEL[availability] ?? "warn";

// Endpoints by pool and entries by endpoint, made once per drawing: a thousand endpoints stay cheap.
const found = { endpoints: new Map(), entries: new Map() };
function index() {
  found.endpoints = group(Object.values(edge.sections.endpoints), one => one.pool);
  found.entries = group(edge.entries.filter(one => one.endpoint), one => `${one.pool} ${one.endpoint}`);
}
function group(all, keyOf) {
  const groups = new Map();
  for (const one of all) {
    const key = keyOf(one);
    if (groups.has(key)) groups.get(key).push(one); else groups.set(key, [one]);
  }
  return groups;
}
const entriesOf = endpoint => found.entries.get(`${endpoint.pool} ${endpoint.address}`) ?? [];

// Why an endpoint is not Up, in the words of the evidence: what its probe saw says more than that traffic failed.
function reason(endpoint) {
  if (endpoint.admin !== "enabled") return endpoint.admin;
  const probe = endpoint.last_probe, failed = probe && probe.result !== "ok";
  const seen = failed ? (probe.error?.startsWith(probe.result) ? probe.error : `${probe.result}: ${probe.error ?? ""}`) : "";
  if (endpoint.ejection !== "clear") {
    const state = endpoint.ejection === "probation" ? "on probation" : "ejected";
    const last = entriesOf(endpoint).findLast(one => one.event === "ejected");
    const why = seen || (last ? [last.fault, last.detail].filter(Boolean).join(", ") : "real traffic failed");
    return `${state}: ${why}`;
  }
  if (failed) return seen;
  if (!probe) return endpoint.probe === "unknown" ? "not probed yet" : "";
  return endpoint.availability === "up" ? "" : "the probe passes, not yet often enough";
}

// The levels of the last minute as [{from, to, level}], ages in ms, read backwards from now through the entries.
function strip(endpoint, now) {
  const parts = [], whole = Math.min(MINUTE, now - edge.sections.edge.began);   // nothing from before the edge's start
  let to = 0, current = level(endpoint.availability);
  for (const one of entriesOf(endpoint).filter(one => one.event === "endpoint").reverse()) {
    const age = now - Date.parse(one.time);
    if (age < to) continue;
    const before = level(one.from);
    if (before === current) continue;
    parts.push({ from: Math.min(age, whole), to, level: current });
    [to, current] = [age, before];
    if (age > whole) break;
  }
  if (to < whole) parts.push({ from: whole, to, level: current });
  return parts;
}

const poolOf = name => edge.sections.pools[name] ?? {};
const placeOf = pool => [pool.cloud, pool.region].filter(Boolean).join(" / ") || pool.name;
const endpointsOf = pool => found.endpoints.get(pool.name) ?? [];
const isOut = pool => pool.short || pool.up === 0;

// When a pool went below its threshold, from the newest entry that says so.
function outSince(pool) {
  const last = edge.entries.findLast(one => one.event === "pool" && one.pool === pool.name);
  return last?.short ? Date.parse(last.time) : null;
}

// The most frequent reason among the endpoints of a pool that are not Up.
function reasonOf(pool) {
  const all = {};
  for (const one of endpointsOf(pool).filter(one => one.availability !== "up")) all[reason(one)] = (all[reason(one)] ?? 0) + 1;
  return Object.entries(all).sort((a, b) => b[1] - a[1])[0]?.[0] ?? "no endpoint";
}

// The sentence on top: {level, text, more}.
function verdict() {
  const { edge: self, routes, pools, endpoints } = edge.sections;
  const list = Object.values(pools), out = list.filter(isOut), all = Object.values(routes);
  const panic = all.filter(route => route.panic), more = [];
  const halves = list.filter(pool => !isOut(pool) && endpointsOf(pool).some(one => level(one.availability) === "down"));
  const recent = all.map(route => since(route.name, edge.sections.now - MINUTE));
  const requests = recent.reduce((sum, one) => sum + one.requests, 0), failed = recent.reduce((sum, one) => sum + one.failed, 0);
  if (self.last_reload?.result === "rejected") more.push("The last config was rejected: the one before it stays in force.");
  if (self.trial) more.push(`Generation ${self.trial.generation} is on trial until ${clock(Date.parse(self.trial.until))}: then generation ${self.trial.back_to} comes back, unless someone confirms it.`);
  if (self.set_aside) more.push(`The config files differ from what runs since ${clock(Date.parse(self.set_aside.since))} (${self.set_aside.because}): they count again when they change.`);
  if (self.checker_suspected) more.push("Most endpoints failed their probes at once: suspect the probe or this edge's network first.");
  if (self.restart_required?.length) more.push(`A restart is needed for: ${self.restart_required.join(", ")}.`);
  const held = all.flatMap(route => route.pools.filter(one => one.held).map(one => one.pool));
  if (held.length) more.push(`Back and waiting for the hold: ${[...new Set(held)].join(", ")}.`);
  const counts = requests ? `${failed} of ${requests} requests failed in the last minute` : "no requests in the last minute";
  if (self.draining) return { level: "warn", text: "This edge drains: it takes no new clients.", more };
  if (panic.length) {
    const why = [...new Set(out.map(reasonOf))].join("; ");
    return { level: "down", text: `Panic on ${panic.map(route => route.name).join(", ")}: every pool is below its threshold (${why}). All endpoints are tried; ${counts}.`, more };
  }
  if (out.length) {
    const parts = out.map(pool => {
      const at = outSince(pool);
      return `${pool.region || pool.name} out${at ? ` since ${clock(at)}` : ""} (${reasonOf(pool)})`;
    });
    const hit = all.filter(route => route.pools.some(one => out.some(pool => pool.name === one.pool)));
    const to = hit[0]?.pools.filter(one => one.share > 0).map(one => `${percent(one.share)} to ${poolOf(one.pool).region || one.pool}`);
    return { level: hit.some(route => !route.pools.some(one => one.share > 0)) ? "down" : "warn", text: `${parts.join(", ")}${to?.length ? `, ${to.join(", ")}` : ""}; ${counts}.`, more };
  }
  if (!self.ready) return { level: "warn", text: `Not ready: ${self.unready}.`, more };
  if (halves.length) {
    const parts = halves.map(pool => {
      const down = endpointsOf(pool).filter(one => level(one.availability) === "down");
      return `${down.length} of ${endpointsOf(pool).length} endpoints of ${pool.region || pool.name} out (${reason(down[0])})`;
    });
    return { level: "warn", text: `${parts.join(", ")}; ${counts}.`, more };
  }
  const up = Object.values(endpoints).filter(one => one.availability === "up").length;
  return { level: more.length ? "warn" : "up", text: `All ${list.length} pools serve, ${up} of ${Object.keys(endpoints).length} endpoints are up; ${counts}.`, more };
}

const percent = share => `${(share * 100).toFixed(share > 0 && share < .0995 || share > .9905 && share < 1 ? 1 : 0)} %`;
const clock = at => new Date(at).toLocaleTimeString([], { hour12: false });
const millis = us => us == null ? "–" : us < 10_000 ? `${(us / 1000).toFixed(1)} ms` : `${Math.round(us / 1000)} ms`;
