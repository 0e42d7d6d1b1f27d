//! Which share of each route moves from where to where, and what speaks against that. Pure: it compares two pictures.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use thalweg_core::{Forecast, PoolSlot, RouteSlot, Slot, Stage};

use crate::admin::explain;

/// A smaller part of a route's traffic is no move.
const LEAST: f64 = 0.0005;
/// A pool without any traffic yet that takes at least this part of a route is worth a warning.
const MUCH: f64 = 0.5;

/// How a route's traffic is divided.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RouteOutlook {
    /// The part of each pool, by name; pools without any are left out.
    pub(super) shares: BTreeMap<Box<str>, f64>,
    /// What an endpoint needs to serve.
    pub(super) stage: Stage,
}

/// What matters of a pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct PoolOutlook {
    region: Box<str>,
    /// Requests per second that it declares; 0 = none.
    capacity: u32,
    /// No endpoint of it has ever worked.
    untried: bool,
}

/// An outlook on all routes and pools, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outlook {
    pub(super) routes: BTreeMap<Box<str>, RouteOutlook>,
    pools: BTreeMap<Box<str>, PoolOutlook>,
}

/// Requests per second by route.
pub(super) type Rates = BTreeMap<Arc<str>, f64>;

impl Outlook {
    /// What a forecast shows.
    pub(super) fn of(forecast: &Forecast) -> Self {
        let snapshot = &forecast.snapshot;
        let topology = &snapshot.layout.topology;
        let name = |pool: PoolSlot| topology.pool(pool).map(|pool| pool.name.clone()).unwrap_or_default();
        let route = |(nth, route): (usize, &thalweg_core::Route)| {
            let slot = RouteSlot::at(nth);
            let parts = route.pools.iter().zip(explain::shares(snapshot, slot));
            let shares = parts.filter(|(_, share)| *share > 0.0);
            let shares = shares.map(|(member, share)| (name(member.pool), share)).collect();
            let stage = snapshot.routes.get(slot).map(|view| view.shares.stage).unwrap_or_default();
            (route.name.clone(), RouteOutlook { shares, stage })
        };
        let pool = |(nth, pool): (usize, &thalweg_core::Pool)| {
            let untried = forecast.untried.contains(&PoolSlot::at(nth));
            let outlook = PoolOutlook { region: pool.region.clone(), capacity: pool.capacity, untried };
            (pool.name.clone(), outlook)
        };
        Self {
            routes: topology.routes.iter().enumerate().map(route).collect(),
            pools: topology.pools.iter().enumerate().map(pool).collect(),
        }
    }

    /// Requests per second of each pool.
    fn loads(&self, rates: &Rates) -> BTreeMap<&str, f64> {
        let mut loads = BTreeMap::new();
        for (name, route) in &self.routes {
            let rate = rates.get(&**name).copied().unwrap_or(0.0);
            for (pool, share) in &route.shares {
                *loads.entry(&**pool).or_insert(0.0) += rate * share;
            }
        }
        loads
    }

    /// What each region that declares a capacity for all its pools declares, and would carry.
    fn regions(&self, loads: &BTreeMap<&str, f64>) -> BTreeMap<&str, (f64, f64)> {
        let mut regions: BTreeMap<&str, Option<(f64, f64)>> = BTreeMap::new();
        for (name, pool) in self.pools.iter().filter(|(_, pool)| !pool.region.is_empty()) {
            let load = loads.get(&**name).copied().unwrap_or(0.0);
            let sums = regions.entry(&*pool.region).or_insert(Some((0.0, 0.0)));
            *sums = sums
                .filter(|_| pool.capacity > 0)
                .map(|(declared, carried)| (declared + f64::from(pool.capacity), carried + load));
        }
        regions.into_iter().filter_map(|(region, sums)| Some((region, sums?))).collect()
    }
}

/// A part of a route's traffic that goes elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TrafficMove {
    route: Box<str>,
    /// `None` = it was not served.
    from: Option<Box<str>>,
    /// `None` = it is not served any more.
    to: Option<Box<str>>,
    /// The part of the route's traffic (0–1).
    share: f64,
    /// `None` = nothing is known of the route's traffic.
    requests_per_s: Option<f64>,
}

impl TrafficMove {
    pub(super) fn shown(&self) -> Value {
        json!({
            "route": self.route, "from": self.from, "to": self.to, "share": rounded(self.share, 4),
            "requests_per_s": self.requests_per_s.map(|rate| rounded(rate, 1)),
        })
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// What moves, in the order of the routes' names. The smallest flow that turns one division into the other.
pub(super) fn moves(before: &Outlook, after: &Outlook, rates: &Rates) -> Vec<TrafficMove> {
    let none = RouteOutlook::default();
    let mut names: Vec<&Box<str>> = before.routes.keys().chain(after.routes.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let mut all = Vec::new();
    for route in names {
        let (was, is) = (before.routes.get(route).unwrap_or(&none), after.routes.get(route).unwrap_or(&none));
        let rate = rates.get(&**route).copied();
        for (from, to, share) in flow(&was.shares, &is.shares) {
            let requests_per_s = rate.map(|rate| rate * share);
            all.push(TrafficMove { route: route.clone(), from, to, share, requests_per_s });
        }
    }
    all
}

type Flow = (Option<Box<str>>, Option<Box<str>>, f64);

fn flow(was: &BTreeMap<Box<str>, f64>, is: &BTreeMap<Box<str>, f64>) -> Vec<Flow> {
    // What is not served stands under no name.
    let parts = |shares: &BTreeMap<Box<str>, f64>| {
        let mut parts: BTreeMap<Option<Box<str>>, f64> =
            shares.iter().map(|(pool, share)| (Some(pool.clone()), *share)).collect();
        parts.insert(None, 1.0 - shares.values().sum::<f64>());
        parts
    };
    let (was, is) = (parts(was), parts(is));
    let part = |of: &BTreeMap<_, f64>, pool: &Option<Box<str>>| of.get(pool).copied().unwrap_or(0.0);
    let loses = was.keys().map(|pool| (pool.clone(), part(&was, pool) - part(&is, pool)));
    let gains = is.keys().map(|pool| (pool.clone(), part(&is, pool) - part(&was, pool)));
    let mut gains: Vec<_> = gains.filter(|(_, part)| *part > LEAST).collect();
    let mut flows = Vec::new();
    for (from, mut left) in loses.filter(|(_, part)| *part > LEAST) {
        for (to, room) in &mut gains {
            let share = left.min(*room);
            if share > LEAST {
                flows.push((from.clone(), to.clone(), share));
            }
            (left, *room) = (left - share, *room - share);
        }
    }
    flows
}

/// Something that speaks against a change.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PlanWarning {
    /// `untried_pool`, `over_capacity`, `last_healthy`, `no_endpoint`, `route_gone`, `listener_gone`,
    /// `restart_required`, `order_refused`, `still_drained`.
    pub(super) kind: &'static str,
    /// What it is about: a route, a pool, a region, a listener or a key.
    pub(super) about: String,
    /// One sentence.
    pub(super) detail: String,
}

impl PlanWarning {
    pub(super) fn shown(&self) -> Value {
        json!({ "kind": self.kind, "about": self.about, "detail": self.detail })
    }
}

/// What speaks against what moves.
pub(super) fn warnings(before: &Outlook, after: &Outlook, rates: &Rates) -> Vec<PlanWarning> {
    let mut all = Vec::new();
    for (name, route) in &after.routes {
        all.extend(of_route(name, before.routes.get(name), route, after));
    }
    for name in before.routes.keys().filter(|name| !after.routes.contains_key(*name)) {
        let rate = rates.get(&**name).copied().unwrap_or(0.0);
        if rate >= 0.05 {
            let detail = format!("route {name} has {rate:.1} requests/s now");
            all.push(PlanWarning { kind: "route_gone", about: name.to_string(), detail });
        }
    }
    all.extend(over_capacity(before, after, rates));
    all
}

fn of_route(name: &str, was: Option<&RouteOutlook>, is: &RouteOutlook, after: &Outlook) -> Vec<PlanWarning> {
    let warning = |kind, detail| PlanWarning { kind, about: name.to_owned(), detail };
    let served = |route: &RouteOutlook| !route.shares.is_empty();
    if !served(is) {
        let is_news = was.is_none_or(served);
        let detail = format!("no endpoint would serve route {name}");
        return if is_news { vec![warning("no_endpoint", detail)] } else { Vec::new() };
    }
    let mut all = Vec::new();
    if is.stage != Stage::Up && was.is_some_and(|was| served(was) && was.stage == Stage::Up) {
        let detail = format!("the last healthy endpoints of route {name} would be gone");
        all.push(warning("last_healthy", detail));
    }
    for (pool, share) in &is.shares {
        let before = was.and_then(|was| was.shares.get(pool)).copied().unwrap_or(0.0);
        let untried = after.pools.get(pool).is_some_and(|pool| pool.untried);
        if untried && *share >= MUCH && *share > before + LEAST {
            let part = share * 100.0;
            let detail = format!(
                "pool {pool} would take {part:.0} % of route {name}, and nothing of it has ever worked"
            );
            all.push(warning("untried_pool", detail));
        }
    }
    all
}

fn over_capacity(before: &Outlook, after: &Outlook, rates: &Rates) -> Vec<PlanWarning> {
    let (had, loads) = (before.loads(rates), after.loads(rates));
    let mut all = Vec::new();
    let mut warn = |what: &str, name: &str, declared: f64, carried: f64| {
        let detail = format!("{what} {name} would carry {carried:.1} requests/s, and declares {declared}");
        all.push(PlanWarning { kind: "over_capacity", about: name.to_owned(), detail });
    };
    for (name, pool) in after.pools.iter().filter(|(_, pool)| pool.capacity > 0) {
        let (load, declared) = (loads.get(&**name).copied().unwrap_or(0.0), f64::from(pool.capacity));
        let known = before.pools.get(name).map(|pool| f64::from(pool.capacity));
        let was = had.get(&**name).copied().unwrap_or(0.0);
        if load > declared && (load > was + 0.05 || known != Some(declared)) {
            warn("pool", name, declared, load);
        }
    }
    let was = before.regions(&had);
    for (region, (declared, carried)) in after.regions(&loads) {
        let before = was.get(region).copied();
        if carried > declared && before.is_none_or(|(_, before)| carried > before + 0.05) {
            warn("region", region, declared, carried);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a 0.25 b 0.75`, with `!` behind a route in panic.
    fn route(text: &str) -> RouteOutlook {
        let words: Vec<&str> = text.trim_end_matches('!').split_whitespace().collect();
        let shares = words.chunks(2).map(|pair| (pair[0].into(), pair[1].parse().unwrap())).collect();
        RouteOutlook { shares, stage: if text.ends_with('!') { Stage::Panic } else { Stage::Up } }
    }

    fn outlook(routes: &[(&str, &str)]) -> Outlook {
        let pool = |name: &str, capacity, untried| {
            (name.into(), PoolOutlook { region: format!("r-{name}").into(), capacity, untried })
        };
        Outlook {
            routes: routes.iter().map(|(name, shares)| ((*name).into(), route(shares))).collect(),
            pools: [pool("a", 0, false), pool("b", 100, false), pool("new", 0, true)].into(),
        }
    }

    fn rates() -> Rates {
        [(Arc::from("api"), 200.0)].into()
    }

    #[test]
    fn the_smallest_flow_turns_one_division_into_the_other() {
        for (was, is, expected) in [
            ("a 1", "a 1", &[][..]),
            ("a 1", "b 1", &["a>b 1.00 200"]),
            ("a 0.5 b 0.5", "a 0.25 b 0.25 new 0.5", &["a>new 0.25 50", "b>new 0.25 50"]),
            ("a 1", "b 0.3 new 0.7", &["a>b 0.30 60", "a>new 0.70 140"]),
            ("a 1", "", &["a>- 1.00 200"]),
            ("", "b 1", &["->b 1.00 200"]),
            ("a 0.6 b 0.4", "a 0.6003 b 0.3997", &[]),
        ] {
            let found = moves(&outlook(&[("api", was)]), &outlook(&[("api", is)]), &rates());
            let name = |pool: &Option<Box<str>>| pool.as_deref().unwrap_or("-").to_owned();
            let shown: Vec<String> = found
                .iter()
                .map(|one| {
                    let rate = one.requests_per_s.unwrap();
                    format!("{}>{} {:.2} {rate:.0}", name(&one.from), name(&one.to), one.share)
                })
                .collect();
            assert_eq!(shown, expected, "{was} to {is}");
        }
        let new = moves(&outlook(&[]), &outlook(&[("other", "a 1")]), &rates());
        assert_eq!((new.len(), new[0].requests_per_s), (1, None), "nothing is known of a new route");
    }

    #[test]
    fn what_speaks_against_a_change_is_told_once() {
        for (was, is, expected) in [
            ("a 1", "a 1", &[][..]),
            ("a 1", "new 1", &["untried_pool"]),
            ("a 1", "a 0.6 new 0.4", &[]),
            ("new 1", "new 1", &[]),
            ("a 1", "b 0.6 a 0.4", &["over_capacity", "over_capacity"]),
            ("a 1", "b 0.4 a 0.6", &[]),
            ("b 1", "b 1", &[]),
            ("a 1", "a 1!", &["last_healthy"]),
            ("a 1!", "a 1!", &[]),
            ("a 1", "", &["no_endpoint"]),
            ("", "", &[]),
        ] {
            let found = warnings(&outlook(&[("api", was)]), &outlook(&[("api", is)]), &rates());
            let kinds: Vec<&str> = found.iter().map(|warning| warning.kind).collect();
            assert_eq!(kinds, expected, "{was} to {is}: {found:?}");
        }
        let gone = warnings(&outlook(&[("api", "a 1"), ("idle", "a 1")]), &outlook(&[]), &rates());
        assert_eq!(gone.iter().map(|one| &*one.about).collect::<Vec<_>>(), ["api"], "an idle route may go");
    }
}
