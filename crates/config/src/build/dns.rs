//! `[dns]`: the zone, its names, and whether each of them can be answered. Never binds an address.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use thalweg_core::{Pool, Route, Slot};

use crate::{
    Dns, DnsName, Listener, PoolSettings,
    decode::key_text,
    diagnostic::{Diagnostic, quoted},
    keys::DNS_NAME,
    loader::Loader,
    tree::{Entry, Node, Value},
    view::View,
};

/// What names may refer to.
pub(super) struct DnsTargets<'a> {
    pub(super) routes: &'a [Route],
    pub(super) pools: &'a [Pool],
    /// Parallel to `pools`.
    pub(super) settings: &'a [PoolSettings],
}

impl Loader<'_> {
    /// The zone that this edge answers for; `None` = there is no table `[dns]`.
    pub(super) fn dns(
        &mut self,
        root: View<'_>,
        (listeners, admin): (&[Listener], SocketAddr),
        targets: &DnsTargets<'_>,
    ) -> Option<Dns> {
        if root.given("dns").is_none() {
            self.addresses_without_zone(root);
            return None;
        }
        let table = root.table("dns");
        let zone = table.text("zone");
        let mut names = BTreeMap::new();
        for entry in table.named("name") {
            let name = entry.name.trim_end_matches('.').to_ascii_lowercase();
            let path = format!("dns.name.{}", key_text(&entry.name));
            if !is_within(&name, &zone) {
                let diagnostic = Diagnostic::new(format!("is not in the zone {}", quoted(&zone)));
                let hint = format!("names are whole: \"www.{zone}\"");
                self.report.error(entry.at, path.as_str(), diagnostic.hint(hint));
            }
            // A name without a good answer still counts as written.
            let answer = self.dns_name(entry, &path, targets).unwrap_or(DnsName::Addresses(Vec::new()));
            if names.insert(name, answer).is_some() {
                let diagnostic = Diagnostic::new("is written twice: case and a final dot do not count");
                self.report.error(entry.at, path, diagnostic);
            }
        }
        self.nameservers(table, &zone, &names);
        Some(Dns {
            listen: self.dns_listen(table, listeners, admin),
            zone,
            nameservers: table.texts("nameservers"),
            contact: table.text("contact"),
            ttl: u32::try_from(table.time("ttl").as_secs()).unwrap_or(u32::MAX),
            rate: table.small("rate"),
            names,
        })
    }

    /// What is answered for a name; `None` with an error.
    fn dns_name(&mut self, entry: &Entry, path: &str, targets: &DnsTargets<'_>) -> Option<DnsName> {
        let table = View::new(&DNS_NAME, &entry.node);
        match (table.given("route"), table.given("addresses")) {
            (Some(route), None) => self.dns_route(route, path, targets),
            (None, Some(_)) => Some(DnsName::Addresses(addresses(table, "addresses"))),
            (None, None) if table.has("route") || table.has("addresses") => None,
            (both, _) => {
                let problem =
                    if both.is_some() { "has `route` and `addresses`" } else { "has nothing to answer" };
                let diagnostic = Diagnostic::new(problem).hint("either `route` or `addresses`");
                self.report.error(entry.at, path, diagnostic);
                None
            }
        }
    }

    fn dns_route(&mut self, node: &Node, path: &str, targets: &DnsTargets<'_>) -> Option<DnsName> {
        let path = format!("{path}.route");
        let written: Vec<String> = targets
            .routes
            .iter()
            .filter(|route| route.parent.is_none())
            .map(|it| it.name.to_string())
            .collect();
        let Some(nth) = written.iter().position(|name| name == node.text()) else {
            let diagnostic = Diagnostic::new(format!("there is no route {}", quoted(node.text())));
            let diagnostic = self.dangling(diagnostic, node.text(), written.iter(), "route");
            self.report.error(node.at, path, diagnostic);
            return None;
        };
        let own = |(at, route): &(usize, &Route)| *at == nth || route.parent == Some(Slot::at(nth));
        let pools: BTreeSet<usize> = targets
            .routes
            .iter()
            .enumerate()
            .filter(own)
            .flat_map(|(_, route)| route.pools.iter().map(|member| member.pool.index()))
            .collect();
        let families = |ips: &[IpAddr]| (ips.iter().any(IpAddr::is_ipv4), ips.iter().any(IpAddr::is_ipv6));
        let mut kinds = BTreeMap::new();
        for slot in pools {
            let (Some(pool), Some(settings)) = (targets.pools.get(slot), targets.settings.get(slot)) else {
                continue;
            };
            if settings.dns.is_empty() {
                let name = key_text(&pool.name);
                let diagnostic = Diagnostic::new(format!("its pool {} has no address", quoted(&pool.name)));
                let hint = format!("write `dns = [\"…\"]` in [pool.{name}]");
                self.report.error(node.at, path.as_str(), diagnostic.hint(hint));
            } else {
                kinds.entry(families(&settings.dns)).or_insert(&pool.name);
            }
        }
        let mut kinds = kinds.values();
        if let (Some(one), Some(other)) = (kinds.next(), kinds.next()) {
            let problem = format!("the pools {one} and {other} have addresses of different families");
            let diagnostic = Diagnostic::new(problem);
            let hint = "clients of one family alone are not steered to a pool without it";
            self.report.warn(node.at, path, diagnostic.hint(hint));
        }
        Some(DnsName::Route(Slot::at(nth)))
    }

    /// A server inside of the zone needs addresses: resolvers ask this edge for them.
    fn nameservers(&mut self, table: View<'_>, zone: &str, names: &BTreeMap<String, DnsName>) {
        for (nth, node) in table.items("nameservers").iter().enumerate() {
            let name = node.text();
            if !name.is_empty() && is_within(name, zone) && !names.contains_key(name) {
                let diagnostic =
                    Diagnostic::new(format!("{} is in the zone and has no address", quoted(name)));
                let hint = format!("write [dns.name.{}] with `addresses`", key_text(name));
                self.report.error(node.at, format!("dns.nameservers[{nth}]"), diagnostic.hint(hint));
            }
        }
    }

    fn dns_listen(&mut self, table: View<'_>, listeners: &[Listener], admin: SocketAddr) -> Vec<SocketAddr> {
        let mut found = Vec::new();
        for (nth, node) in table.items("listen").iter().enumerate() {
            let Value::Socket(address) = node.value else { continue };
            let listener = listeners.iter().find(|listener| listener.bind.value == address);
            let taken = match listener {
                _ if address.port() == 0 => None,
                Some(listener) => Some(format!("listener {}", listener.name)),
                None if address == admin => Some("the admin API".to_owned()),
                None => found.contains(&address).then(|| "an entry before".to_owned()),
            };
            if let Some(taken) = taken {
                let diagnostic = Diagnostic::new(format!("{address} is taken by {taken}"));
                self.report.error(node.at, format!("dns.listen[{nth}]"), diagnostic);
            }
            found.push(address);
        }
        found
    }

    /// Pools with addresses that no answer names.
    fn addresses_without_zone(&mut self, root: View<'_>) {
        for entry in root.named("pool") {
            let given = View::new(&crate::keys::POOL, &entry.node).given("dns");
            if let Some(node) = given {
                let diagnostic = Diagnostic::new("is not used: there is no [dns]");
                self.report.warn(node.at, format!("pool.{}.dns", key_text(&entry.name)), diagnostic);
            }
        }
    }
}

/// The addresses of a list, each once.
pub(super) fn addresses(table: View<'_>, key: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for value in table.values(key) {
        if let Value::Ip(ip) = value
            && !found.contains(&ip)
        {
            found.push(ip);
        }
    }
    found
}

/// Whether a name is the zone's own or below it.
fn is_within(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
