//! `[geo]` and the `geo` of routes: entries become sub-routes with tiers of their own. Never reads a database.

use std::collections::{BTreeMap, HashMap, hash_map};

use thalweg_core::{Cidr, Geo, GeoRule, Origin, Route, RoutePool, RouteSlot, Slot};

use crate::{
    GeoSettings,
    decode::key_text,
    diagnostic::{Diagnostic, quoted},
    keys::{GEO_ENTRY, ROUTE},
    loader::Loader,
    suggest::did_you_mean,
    tree::{At, Entry, Node, Place, Value},
    view::View,
};

/// What the entries of routes may name.
pub(super) struct GeoNames<'a> {
    /// The pools.
    pub(super) pools: &'a HashMap<&'a str, usize>,
    networks: BTreeMap<String, Vec<Cidr>>,
    /// `database` is written.
    database: bool,
}

/// One entry of a route's `geo`.
struct GeoEntry {
    from: Vec<Origin>,
    /// The entry is for every client that no other names.
    any: Option<At>,
    pools: Vec<RoutePool>,
    residency: bool,
}

/// The entries of one route while they are read.
struct Reading<'a> {
    names: &'a GeoNames<'a>,
    /// The route's own order.
    own: &'a [RoutePool],
    /// The places that were named, each with where it was first.
    places: HashMap<Place, At>,
    /// The networks that were named, each with the entry and the name that it belongs to.
    cidrs: HashMap<Cidr, (usize, String)>,
}

impl Loader<'_> {
    pub(super) fn geo(&mut self, root: View<'_>) -> GeoSettings {
        let node = root.table("geo").given("database");
        GeoSettings { database: node.and_then(|node| self.named_path(node, "geo.database")) }
    }

    pub(super) fn geo_names<'a>(root: View<'_>, pools: &'a HashMap<&'a str, usize>) -> GeoNames<'a> {
        let table = root.table("geo");
        let cidrs = |node: &Node| {
            let cidr = |item: &Node| if let Value::Cidr(cidr) = item.value { Some(cidr) } else { None };
            node.items().iter().filter_map(cidr).collect()
        };
        let named = table.named("networks").iter();
        let networks = named.map(|entry| (entry.name.clone(), cidrs(&entry.node))).collect();
        GeoNames { pools, networks, database: table.has("database") }
    }

    /// Gives the route in slot `own` its geo rules. Returns their sub-routes, which get the slots from `next` on.
    pub(super) fn geo_rules(
        &mut self,
        entry: &Entry,
        route: &mut Route,
        names: &GeoNames<'_>,
        (own, next): (RouteSlot, usize),
    ) -> Vec<Route> {
        let table = View::new(&ROUTE, &entry.node);
        let path = format!("route.{}", key_text(&entry.name));
        if table.text("policy") != "geo" {
            if let Some(node) = table.given("geo") {
                let diagnostic = Diagnostic::new("acts only with policy = \"geo\"");
                self.report.error(node.at, format!("{path}.geo"), diagnostic.hint("policy = \"geo\""));
            }
            return Vec::new();
        }
        if !table.has("geo") {
            let diagnostic = Diagnostic::new("`geo` is missing")
                .hint("a list: [{ from = [\"country:DE\"], pools = [\"…\"] }, …]");
            self.report.error(table.at, path.as_str(), diagnostic);
        }
        let mut reading = Reading { names, own: &route.pools, places: HashMap::new(), cidrs: HashMap::new() };
        let mut entries = Vec::new();
        for (nth, node) in table.items("geo").iter().enumerate() {
            let path = format!("{path}.geo[{nth}]");
            entries.push(self.geo_entry((nth, node), &path, &mut reading));
        }
        if let Some(any) = entries.iter().find(|entry| entry.any.is_some()) {
            if let Some(node) = table.given("pools") {
                let diagnostic = Diagnostic::new("serve no client in this order: the entry for \"*\" does");
                let hint = "their weights and dials count; leave `pools` out, or the entry for \"*\"";
                self.report.warn(node.at, format!("{path}.pools"), diagnostic.hint(hint));
            }
            (route.pools, route.residency) = (any.pools.clone(), any.residency);
        }
        let rule_of = entries.into_iter().filter(|entry| !entry.from.is_empty());
        let mut rules = Vec::new();
        let mut sub_routes = Vec::new();
        for GeoEntry { from, pools, residency, .. } in rule_of {
            let place = from.first().map(ToString::to_string).unwrap_or_default();
            rules.push(GeoRule { from, route: Slot::at(next + sub_routes.len()) });
            let pools = if residency { pools } else { and_then(pools, &route.pools) };
            sub_routes.push(Route {
                name: Route::sub_route_name(&route.name, &place),
                hosts: Vec::new(),
                pools,
                residency,
                parent: Some(own),
                ..route.clone()
            });
        }
        route.geo = Some(Geo::new(rules));
        sub_routes
    }

    fn geo_entry(&mut self, (nth, node): (usize, &Node), path: &str, reading: &mut Reading<'_>) -> GeoEntry {
        let item = View::new(&GEO_ENTRY, node);
        let mut entry = GeoEntry {
            from: Vec::new(),
            any: None,
            pools: self.geo_pools(item, path, reading),
            residency: item.flag("residency"),
        };
        for (at_list, node) in item.items("from").iter().enumerate() {
            let Value::Place(place) = &node.value else { continue };
            let path = format!("{path}.from[{at_list}]");
            match reading.places.entry(place.clone()) {
                hash_map::Entry::Occupied(first) => {
                    let first = self.report.place(*first.get());
                    let diagnostic = Diagnostic::new(format!(
                        "the place is written twice in this route, first at {first}"
                    ));
                    self.report.error(node.at, path, diagnostic.hint("each place in one entry"));
                    continue;
                }
                hash_map::Entry::Vacant(free) => {
                    free.insert(node.at);
                }
            }
            match place {
                Place::Any => entry.any = Some(node.at),
                Place::Network(name) => {
                    if let Some(cidrs) = self.geo_network((nth, name), node.at, &path, reading) {
                        entry.from.push(Origin::Network { name: name.as_str().into(), cidrs });
                    }
                }
                Place::Country(code) => entry.from.push(Origin::Country(*code)),
                Place::Continent(code) => entry.from.push(Origin::Continent(*code)),
            }
            if matches!(place, Place::Country(_) | Place::Continent(_)) && !reading.names.database {
                let diagnostic = Diagnostic::new("only a database knows where a client is");
                self.report.error(
                    node.at,
                    path,
                    diagnostic.hint("[geo] database = \"GeoLite2-Country.mmdb\""),
                );
            }
        }
        entry
    }

    /// The networks of a name. One network in two entries would be served in two orders.
    fn geo_network(
        &mut self,
        (nth, name): (usize, &str),
        at: At,
        path: &str,
        reading: &mut Reading<'_>,
    ) -> Option<Vec<Cidr>> {
        let networks = &reading.names.networks;
        let Some(cidrs) = networks.get(name) else {
            let near = did_you_mean(name, networks.keys().map(String::as_str));
            let hint =
                near.unwrap_or_else(|| format!("[geo.networks] {} = [\"192.0.2.0/24\"]", key_text(name)));
            let diagnostic = Diagnostic::new(format!("there is no network {}", quoted(name)));
            self.report.error(at, path, diagnostic.hint(hint));
            return None;
        };
        for cidr in cidrs {
            let (entry, other) = reading.cidrs.entry(*cidr).or_insert_with(|| (nth, name.to_owned()));
            if *entry != nth {
                let diagnostic =
                    Diagnostic::new(format!("{cidr} is in network {} of another entry, too", quoted(other)));
                self.report.error(
                    at,
                    path,
                    diagnostic.hint("each network in one entry; a longer one inside is fine"),
                );
            }
        }
        Some(cidrs.clone())
    }

    /// An entry's order of pools. Weight and dial of a pool are those of the route's `pools`, if it is listed there.
    fn geo_pools(&mut self, item: View<'_>, path: &str, reading: &Reading<'_>) -> Vec<RoutePool> {
        let mut seen: HashMap<&str, At> = HashMap::new();
        let mut pools = Vec::new();
        for (nth, node) in item.items("pools").iter().enumerate().filter(|(_, node)| !node.text().is_empty())
        {
            let path = format!("{path}.pools[{nth}]");
            if let Some(first) = seen.insert(node.text(), node.at) {
                let first = self.report.place(first);
                let diagnostic =
                    Diagnostic::new(format!("the pool is written twice in this entry, first at {first}"));
                self.report.error(node.at, path, diagnostic.hint("each pool at most once"));
                continue;
            }
            let Some(pool) = self.route_pool(node, &path, reading.names.pools) else { continue };
            let pool = Slot::at(pool);
            let known = reading.own.iter().find(|member| member.pool == pool).copied();
            let tier = u32::try_from(nth).unwrap_or(u32::MAX);
            pools.push(RoutePool { tier, ..known.unwrap_or(RoutePool::new(pool)) });
        }
        pools
    }
}

/// An order of pools, and behind it those of another order that are not in it.
fn and_then(mut pools: Vec<RoutePool>, rest: &[RoutePool]) -> Vec<RoutePool> {
    let behind = pools.iter().map(|member| member.tier.saturating_add(1)).max().unwrap_or(0);
    let is_new = |member: &&RoutePool| !pools.iter().any(|known| known.pool == member.pool);
    let more: Vec<RoutePool> = rest
        .iter()
        .filter(is_new)
        .map(|member| RoutePool { tier: behind.saturating_add(member.tier), ..*member })
        .collect();
    pools.extend(more);
    pools
}
