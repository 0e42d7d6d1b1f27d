//! `[route.NAME]`: policies become numbers (tier, weight, dial, band), so that no code behind this file knows a policy
//! by name. Never chooses anything.

use std::collections::{BTreeMap, HashMap};

use thalweg_core::{Band, DampingRules, Failback, Pool, RetryRules, Route, RoutePool, Slot, Timeouts};

use crate::{
    RouteSettings,
    decode::key_text,
    diagnostic::{Diagnostic, quoted},
    keys::{GEO_ENTRY, ROUTE, ROUTE_POOL},
    loader::Loader,
    tree::{At, Entry, Node, Place, Value},
    view::View,
};

/// For each pair of host and path, the route that has it, and its place.
type Taken = BTreeMap<(String, String), (String, At)>;

impl Loader<'_> {
    pub(crate) fn routes(&mut self, root: View<'_>, pools: &[Pool]) -> (Vec<Route>, Vec<RouteSettings>) {
        let index: HashMap<&str, usize> =
            pools.iter().enumerate().map(|(nth, pool)| (&*pool.name, nth)).collect();
        let (mut routes, mut settings) = (Vec::new(), Vec::new());
        let (mut sub_routes, mut sub_settings) = (Vec::new(), Vec::new());
        let mut taken = Taken::new();
        let keeps = root.table("edge").given("state_dir").is_some_and(|node| !node.text().is_empty());
        let (written, names) = (root.named("route"), Self::geo_names(root, &index));
        for (nth, entry) in written.iter().enumerate() {
            let table = View::new(&ROUTE, &entry.node);
            let mut route = self.route(entry, &index);
            let path = format!("route.{}", key_text(&entry.name));
            let (affinity, cookie) = self.affinity(table.table("affinity"), &path);
            route.affinity = affinity;
            let slots = (Slot::at(nth), written.len() + sub_routes.len());
            let own = self.geo_rules(entry, &mut route, &names, slots);
            self.shadowed(entry, &route, &mut taken);
            if route.failback.is_latched() && !keeps {
                self.forgets_latches(entry);
            }
            routes.push(route);
            let body_bytes = table.int("body_bytes");
            let of_route = RouteSettings { body_bytes: (body_bytes > 0).then_some(body_bytes), cookie };
            sub_settings.extend(own.iter().map(|_| of_route.clone()));
            settings.push(of_route);
            sub_routes.extend(own);
        }
        routes.extend(sub_routes);
        settings.extend(sub_settings);
        (routes, settings)
    }

    fn route(&mut self, entry: &Entry, index: &HashMap<&str, usize>) -> Route {
        let table = View::new(&ROUTE, &entry.node);
        let path = format!("route.{}", key_text(&entry.name));
        let policy = table.text("policy");
        let pools = self.route_pools(table, &path, &policy, index);
        let weighted = policy == "weighted";
        self.lint(table, &path, &policy, &pools);
        let damping = self.damping(table.table("damping"), &path);
        let near = table.table("latency");
        let band = (policy == "latency").then(|| Band {
            width: near.time("band"),
            hysteresis: near.num("hysteresis"),
            dwell: near.time("dwell"),
        });
        Route {
            name: entry.name.as_str().into(),
            hosts: table.texts("hosts").into_iter().map(Into::into).collect(),
            path_prefix: table.text("path_prefix").into(),
            pools,
            band,
            share_leftover: weighted,
            failback: failback(table.table("failback"), weighted),
            damping,
            overprovision: table.num("overprovision"),
            timeouts: timeouts(table.table("timeouts")),
            retry: retry(table.table("retry")),
            geo: None,
            residency: false,
            parent: None,
            affinity: None,
        }
    }

    fn route_pools(
        &mut self,
        table: View<'_>,
        path: &str,
        policy: &str,
        index: &HashMap<&str, usize>,
    ) -> Vec<RoutePool> {
        let nodes = table.items("pools");
        if !table.has("pools") && (policy != "geo" || !has_any(table)) {
            let diagnostic = Diagnostic::new("`pools` is missing");
            let hint = if policy == "geo" {
                "the order for clients that no entry names: here, or in an entry for \"*\""
            } else {
                "a list: [{ pool = … }, …]"
            };
            self.report.error(table.at, path, diagnostic.hint(hint));
        }
        let mut seen: HashMap<&str, At> = HashMap::new();
        let mut pools = Vec::with_capacity(nodes.len());
        for (nth, node) in nodes.iter().enumerate() {
            let item = View::new(&ROUTE_POOL, node);
            let Some(given) = item.given("pool") else { continue };
            let path = || format!("{path}.pools[{nth}].pool");
            if let Some(first) = seen.insert(given.text(), given.at) {
                let first = self.report.place(first);
                let diagnostic =
                    Diagnostic::new(format!("the pool is written twice in this route, first at {first}"));
                self.report.error(given.at, path(), diagnostic.hint("each pool at most once"));
            }
            let Some(pool) = self.route_pool(given, &path(), index) else { continue };
            let position = if ["failover", "geo"].contains(&policy) {
                u32::try_from(nth).unwrap_or(u32::MAX)
            } else {
                0
            };
            pools.push(RoutePool {
                pool: Slot::at(pool),
                tier: item.given("tier").map_or(position, |_| item.small("tier")),
                weight: item.small("weight"),
                dial: item.small("dial"),
            });
        }
        pools
    }

    /// The position of the pool that a node names; `None` with an error when there is none.
    pub(super) fn route_pool(
        &mut self,
        node: &Node,
        path: &str,
        index: &HashMap<&str, usize>,
    ) -> Option<usize> {
        let found = index.get(node.text()).copied();
        if found.is_none() {
            let names: Vec<String> = if self.report.fewer_than(20) {
                index.keys().map(|n| (*n).to_owned()).collect()
            } else {
                Vec::new()
            };
            let diagnostic = Diagnostic::new(format!("there is no pool {}", quoted(node.text())));
            let diagnostic = self.dangling(diagnostic, node.text(), names.iter(), "pool");
            self.report.error(node.at, path, diagnostic);
        }
        found
    }

    /// Reports two routes with the same host and path: the second one would never match.
    fn shadowed(&mut self, entry: &Entry, route: &Route, taken: &mut Taken) {
        let table = View::new(&ROUTE, &entry.node);
        if table.has("path_prefix") && table.given("path_prefix").is_none() {
            // The value is bad and has its own error, so the final host or path is not known.
            return;
        }
        let name = key_text(&entry.name);
        let hosts = table.given("hosts").map(|node| node.items()).unwrap_or_default();
        let mut places: Vec<(String, At, String)> = hosts
            .iter()
            .enumerate()
            .map(|(nth, host)| (host.text().to_owned(), host.at, format!("route.{name}.hosts[{nth}]")))
            .filter(|(host, _, _)| !host.is_empty())
            .collect();
        if !table.has("hosts") {
            places.push((String::new(), entry.at, format!("route.{name}")));
        }
        for (host, at, path) in places {
            let key = (host.clone(), route.path_prefix.to_string());
            if let Some((other, first)) = taken.insert(key, (name.clone(), at)) {
                let first = self.report.place(first);
                let host = if host.is_empty() { "any host".to_owned() } else { host };
                let diagnostic = if other == name {
                    Diagnostic::new(format!("the host {host} is written twice, first at {first}"))
                } else {
                    Diagnostic::new(format!(
                        "{host} with {} is taken by route {other} at {first}",
                        route.path_prefix
                    ))
                    .hint("one of the two could never match: change a host or a path_prefix")
                };
                self.report.error(at, path, diagnostic);
            }
        }
    }

    fn lint(&mut self, table: View<'_>, path: &str, policy: &str, pools: &[RoutePool]) {
        if policy == "weighted"
            && !pools.is_empty()
            && pools.iter().all(|pool| pool.weight == 0)
            && let Some(node) = table.given("pools")
        {
            let diagnostic =
                Diagnostic::new("every weight is 0").hint("weight 0 means: only when nothing else is left");
            self.report.warn(node.at, format!("{path}.pools"), diagnostic);
        }
        let times = table.table("timeouts");
        if let Some(node) = times.given("connect").filter(|_| times.time("connect") > times.time("total")) {
            let diagnostic =
                Diagnostic::new("`connect` is longer than `total`").hint("`total` ends the request first");
            self.report.warn(node.at, format!("{path}.timeouts.connect"), diagnostic);
        }
    }

    /// A latched failover is meant to wait for the operator, and a restart would end it.
    fn forgets_latches(&mut self, entry: &Entry) {
        let table = View::new(&ROUTE, &entry.node).table("failback");
        let at = table.given("mode").map_or(table.at, |node| node.at);
        let diagnostic = Diagnostic::new("a restart ends a latched failover while `state_dir` is empty");
        let path = format!("route.{}.failback.mode", key_text(&entry.name));
        self.report.warn(at, path, diagnostic.hint("[edge] state_dir = \"/var/lib/thalweg\""));
    }

    /// `suppress = 0` turns damping off.
    fn damping(&mut self, table: View<'_>, path: &str) -> Option<DampingRules> {
        let rules = DampingRules {
            penalty: table.num("penalty"),
            suppress: table.num("suppress"),
            reuse: table.num("reuse"),
            half_life: table.time("half_life"),
            max: table.time("max"),
        };
        if rules.suppress == 0.0 {
            return None;
        }
        if rules.reuse >= rules.suppress {
            let (at, key) = table.first_given(["reuse", "suppress"]);
            let diagnostic = Diagnostic::new("`reuse` is not below `suppress`");
            let diagnostic = diagnostic.hint("a penalty must fall before a pool is used again");
            self.report.error(at, format!("{path}.damping.{key}"), diagnostic);
        }
        Some(rules)
    }
}

/// Has the route a geo entry for every client, or one that cannot be read?
fn has_any(table: View<'_>) -> bool {
    let is_bad = |table: View<'_>, key| table.has(key) && table.given(key).is_none();
    let is_any = |node: &Node| matches!(node.value, Value::Place(Place::Any) | Value::Bad);
    let mut items = table.items("geo").iter().map(|node| View::new(&GEO_ENTRY, node));
    is_bad(table, "geo") || items.any(|entry| is_bad(entry, "from") || entry.items("from").iter().any(is_any))
}

/// Under "weighted" a pool returns at once, unless it is latched; a ramp is a slow start of each endpoint.
fn failback(table: View<'_>, weighted: bool) -> Failback {
    let (hold, ramp) = (table.time("hold"), table.time("ramp"));
    match (table.text("mode").as_str(), weighted) {
        ("latched", _) => Failback { hold: None, ..Failback::IMMEDIATE },
        ("ramp", true) => Failback { slow_start: ramp, ..Failback::IMMEDIATE },
        ("ramp", false) => Failback { ramp, ..Failback::after(hold) },
        ("hold", false) => Failback::after(hold),
        _ => Failback::IMMEDIATE,
    }
}

fn timeouts(table: View<'_>) -> Timeouts {
    Timeouts {
        connect: table.time("connect"),
        first_byte: table.time("first_byte"),
        idle: table.time("idle"),
        total: table.time("total"),
    }
}

fn retry(table: View<'_>) -> RetryRules {
    let on = table.texts("on");
    let has = |cause: &str| on.iter().any(|have| have == cause);
    RetryRules {
        attempts: table.small("attempts"),
        on_connect: has("connect"),
        on_reset: has("reset"),
        on_5xx: has("5xx"),
        budget: table.num("budget"),
        buffer: table.int("buffer"),
        hedge: table.flag("hedge"),
    }
}
