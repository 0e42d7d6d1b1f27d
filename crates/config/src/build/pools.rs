//! `[pool.NAME]`: endpoints, their probe, TLS towards them. Never resolves a name.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use thalweg_core::{EjectRules, EndpointSpec, Family, Pool};

use super::{dns::addresses, probes::Probes};
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

/// The longest wait for room in a pool with a `capacity` that says nothing else: a tenth of the capacity may wait, which a
/// pool takes within about 110 ms. That is enough for the burst behind a pause of the machine.
const SMOOTHED: Duration = Duration::from_millis(150);

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
            queue: queue_of(&queue, pool.capacity),
            send_proxy: table.given("send_proxy").is_some(),
            dns: addresses(table, "dns"),
        };
        if settings.queue.size > 0 && pool.max_in_flight == 0 && pool.capacity == 0 {
            let at = queue.given("size").map_or(queue.at, |node| node.at);
            let diagnostic =
                Diagnostic::new("no request ever waits: there is no `max_in_flight` and no `capacity`");
            let diagnostic = diagnostic.hint("a queue needs a cap");
            self.report.warn(at, format!("{path}.queue.size"), diagnostic);
        }
        if let Some(node) = table.given("send_proxy")
            && settings.protocol == PoolProtocol::Http2
        {
            let diagnostic = Diagnostic::new("a connection of HTTP/2 carries the requests of many clients");
            let diagnostic = diagnostic.hint("a PROXY header names one client: use protocol = \"http/1.1\"");
            self.report.error(node.at, format!("{path}.send_proxy"), diagnostic);
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
        let of_pool = self.pool_tls(table, &format!("{path}.tls"));
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
            all_tls.push(self.endpoint_tls(&of_pool, table, (path, host, *port), || {
                format!("{path}.endpoints[{nth}].tls")
            }));
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

/// As written; else a pool with a `capacity` has room for a tenth of it, for as long as [`SMOOTHED`].
fn queue_of(queue: &View<'_>, capacity: u32) -> QueueSettings {
    let (size, timeout) = (queue.int("size"), queue.time("timeout"));
    if capacity == 0 || queue.given("size").is_some() {
        return QueueSettings { size, timeout };
    }
    let size = u64::from(capacity.div_ceil(10));
    QueueSettings { size, timeout: if queue.given("timeout").is_some() { timeout } else { SMOOTHED } }
}
