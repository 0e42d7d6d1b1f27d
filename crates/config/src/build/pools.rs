//! `[pool.NAME]`: endpoints, their probe, TLS towards them. Never resolves a name.

use std::{collections::HashMap, net::IpAddr};

use thalweg_core::{EjectRules, EndpointSpec, Family, Pool};

use super::probes::Probes;
use crate::{
    EndpointTls, Keepalive, PoolProtocol, PoolSettings, QueueSettings,
    decode::key_text,
    diagnostic::{Diagnostic, quoted},
    keys::{ENDPOINT, MAX_ENDPOINTS, POOL},
    loader::Loader,
    suggest::did_you_mean,
    tree::{At, Entry, Value},
    view::View,
};

impl Loader<'_> {
    pub(crate) fn pools(&mut self, root: View<'_>, probes: &Probes) -> (Vec<Pool>, Vec<PoolSettings>) {
        let everywhere = Everywhere { eject: root.table("eject"), resolver: root.table("resolver") };
        let (mut pools, mut settings) = (Vec::new(), Vec::new());
        let mut endpoints = 0;
        for entry in root.named("pool") {
            let (pool, more) = self.pool(entry, probes, everywhere);
            let before = endpoints;
            endpoints += pool.endpoints.len();
            if before <= MAX_ENDPOINTS && endpoints > MAX_ENDPOINTS {
                let diagnostic = Diagnostic::new(format!("there are more than {MAX_ENDPOINTS} endpoints"));
                self.report.error(entry.at, format!("pool.{}", key_text(&entry.name)), diagnostic);
            }
            pools.push(pool);
            settings.push(more);
        }
        (pools, settings)
    }

    fn pool(&mut self, entry: &Entry, probes: &Probes, everywhere: Everywhere<'_>) -> (Pool, PoolSettings) {
        let table = View::new(&POOL, &entry.node);
        let path = format!("pool.{}", key_text(&entry.name));
        let plan = table.given("probe").and_then(|node| {
            let found = probes.get(node.text());
            if found.is_none() {
                let diagnostic = Diagnostic::new(format!("there is no probe {}", quoted(node.text())));
                let diagnostic = self.dangling(diagnostic, node.text(), probes.keys(), "probe");
                self.report.error(node.at, format!("{path}.probe"), diagnostic);
            }
            found
        });
        let own = table.table("eject");
        let eject = eject_rules(own, everywhere.eject);
        if table.has("eject") {
            self.ejection(&eject, own, &format!("{path}.eject"));
        }
        let (endpoints, tls) = self.endpoints(table, everywhere.resolver, &path);
        let pool = Pool {
            name: entry.name.as_str().into(),
            cloud: table.text("cloud").into(),
            region: table.text("region").into(),
            probe: plan.map(|plan| plan.rules.clone()),
            endpoints,
            max_in_flight: table.small("max_in_flight"),
            capacity: table.small("capacity"),
            panic_threshold: either(own, everywhere.eject, "panic_threshold").num("panic_threshold"),
            eject,
        };
        let (keep, queue) = (table.table("keepalive"), table.table("queue"));
        let settings = PoolSettings {
            probe: plan.map(|plan| plan.probe.clone()),
            tls,
            protocol: PoolProtocol::of(&table.text("protocol")),
            keepalive: Keepalive {
                idle: keep.time("idle"),
                max_idle: keep.small("max_idle"),
                age: keep.time("age"),
            },
            host: table.optional_text("host"),
            queue: QueueSettings { size: queue.int("size"), timeout: queue.time("timeout") },
        };
        if settings.queue.size > 0 && pool.max_in_flight == 0 {
            let at = queue.given("size").map_or(queue.at, |node| node.at);
            let diagnostic = Diagnostic::new("no request ever waits: there is no `max_in_flight`");
            let diagnostic = diagnostic.hint("a queue needs a cap");
            self.report.warn(at, format!("{path}.queue.size"), diagnostic);
        }
        (pool, settings)
    }

    /// Adds a hint to the error about a name that refers to nothing.
    pub(crate) fn dangling<'n>(
        &self,
        diagnostic: Diagnostic,
        name: &str,
        names: impl Iterator<Item = &'n String>,
        kind: &str,
    ) -> Diagnostic {
        let near =
            self.report.fewer_than(20).then(|| did_you_mean(name, names.map(String::as_str))).flatten();
        diagnostic.hint(
            near.unwrap_or_else(|| format!("write [{kind}.{}], or name one that exists", key_text(name))),
        )
    }

    fn endpoints(
        &mut self,
        table: View<'_>,
        resolver: View<'_>,
        path: &str,
    ) -> (Vec<EndpointSpec>, Vec<Option<EndpointTls>>) {
        let nodes = table.items("endpoints");
        let mut seen: HashMap<(String, u16), At> = HashMap::with_capacity(nodes.len());
        let (mut endpoints, mut all_tls) = (Vec::with_capacity(nodes.len()), Vec::with_capacity(nodes.len()));
        for (nth, node) in nodes.iter().enumerate() {
            let table = View::new(&ENDPOINT, node);
            let Some(given) = table.given("address") else { continue };
            let Value::HostPort(host, port) = &given.value else { continue };
            if let Some(first) = seen.insert((host.clone(), *port), given.at) {
                let first = self.report.place(first);
                let diagnostic = Diagnostic::new(format!("is written twice in this pool, first at {first}"));
                let diagnostic = diagnostic.hint("use `weight` to give an endpoint more");
                self.report.error(given.at, format!("{path}.endpoints[{nth}].address"), diagnostic);
            }
            let weight = table.small("weight");
            all_tls.push(self.endpoint_tls(table, host, || format!("{path}.endpoints[{nth}].tls")));
            let family = family(either(table, resolver, "family"));
            if let (Some(given), Ok(ip)) = (table.given("family"), host.parse::<IpAddr>())
                && !family.accepts(ip)
            {
                let diagnostic = Diagnostic::new(format!("{ip} has another family"));
                let diagnostic = diagnostic.hint("an IP address needs no `family`");
                self.report.error(given.at, format!("{path}.endpoints[{nth}].family"), diagnostic);
            }
            endpoints.push(EndpointSpec { host: host.as_str().into(), port: *port, weight, family });
        }
        (endpoints, all_tls)
    }

    fn endpoint_tls(
        &mut self,
        table: View<'_>,
        host: &str,
        path: impl Fn() -> String,
    ) -> Option<EndpointTls> {
        table.given("tls")?;
        let tls = table.table("tls");
        let verify = tls.flag("verify");
        if let (false, Some(node)) = (verify, tls.given("verify")) {
            let diagnostic = Diagnostic::new("anyone can pose as this endpoint")
                .hint("trust a private authority with `ca`");
            self.report.warn(node.at, format!("{}.verify", path()), diagnostic);
        }
        let ca = tls.given("ca").and_then(|node| self.named_file(node, &format!("{}.ca", path())));
        Some(EndpointTls {
            sni: tls.optional_text("sni").unwrap_or_else(|| host.to_owned()),
            verify,
            ca: ca.map(|(file, _)| file),
        })
    }
}

/// The tables that hold for all pools.
#[derive(Clone, Copy)]
struct Everywhere<'v> {
    eject: View<'v>,
    resolver: View<'v>,
}

fn family(table: View<'_>) -> Family {
    match table.text("family").as_str() {
        "ipv4" => Family::V4,
        "ipv6" => Family::V6,
        _ => Family::Auto,
    }
}

/// The pool's own table if the key is written there, else the one that holds for all pools.
fn either<'v>(own: View<'v>, everywhere: View<'v>, key: &str) -> View<'v> {
    if own.given(key).is_some() { own } else { everywhere }
}

/// The rules of `[eject]`, with the keys that the pool's own table overrides.
pub(crate) fn eject_rules(own: View<'_>, everywhere: View<'_>) -> EjectRules {
    let from = |key: &str| either(own, everywhere, key);
    EjectRules {
        consecutive_failures: from("consecutive_failures").small("consecutive_failures"),
        failure_ratio: from("failure_ratio").num("failure_ratio"),
        min_requests: from("min_requests").small("min_requests"),
        window: from("window").time("window"),
        base: from("base").time("base"),
        max: from("max").time("max"),
        max_share: from("max_share").num("max_share"),
    }
}
