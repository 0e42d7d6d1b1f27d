//! Tables for geo rules: each entry fails over, waits and panics by itself, and a resident one never leaves its pools.

use std::net::IpAddr;

use super::{orders::drain, *};
use crate::{
    geo::{Cidr, Geo, GeoRule, Location, Origin, PlaceCode},
    order::Action,
    reason::Refusal,
    slot::RouteSlot,
};

fn order_of(pools: &[u32]) -> Vec<RoutePool> {
    let member = |(tier, pool): (u32, &u32)| RoutePool { tier, ..RoutePool::new(PoolSlot(*pool)) };
    (0..).zip(pools).map(member).collect()
}

fn network(name: &str, cidr: &str) -> Origin {
    Origin::Network { name: name.into(), cidrs: vec![Cidr::read(cidr).unwrap()] }
}

/// Pools `a`, `b`, `c`. Clients in 10.0.0.0/8 are served by b, then a, then c; those in Germany by b alone; all others by
/// a, b, c.
fn three() -> ScriptedWorld {
    let rule = |from, route| GeoRule { from, route: RouteSlot(route) };
    let germany = Origin::Country(PlaceCode::read("DE").unwrap());
    let rules = vec![rule(vec![network("office", "10.0.0.0/8")], 1), rule(vec![germany], 2)];
    let own = Route { geo: Some(Geo::new(rules)), ..route("r", &order_of(&[0, 1, 2])) };
    let sub = |place: &str, pools: &[u32], residency| Route {
        parent: Some(RouteSlot(0)),
        residency,
        ..route(&Route::sub_route_name("r", place), &order_of(pools))
    };
    let mut at = world(&[2, 2, 2], own.clone());
    let pools = at.topology().pools;
    let office = sub("network:office", &[1, 0, 2], false);
    at.adopt(Topology { pools, routes: vec![own, office, sub("country:DE", &[1], true)] });
    at
}

/// Where a client is sent: `b balanced`, or the refusal; `de` is one in Germany.
fn sent(at: &mut ScriptedWorld, client: &str, tried: &[Tried]) -> Result<(String, Tried), Refusal> {
    let snapshot = at.world.snapshot();
    let country = (client == "de").then(|| PlaceCode::read("DE")).flatten();
    let client: IpAddr = client.parse().unwrap_or(IpAddr::from([192, 0, 2, 1]));
    let location = Location { country, continent: None };
    let facts = Facts { host: "h", path: "/", client, location, tried, replayable: true, bound: None };
    steer(&snapshot, &NoLoads, &facts, 7).map(|decision| {
        assert_eq!(decision.route, RouteSlot(0), "a request counts under the route that it matched");
        let name = &snapshot.pool(decision.pool).unwrap().name;
        let endpoint = snapshot.layout.endpoints.get(decision.endpoint).unwrap().id;
        let tried = Tried { endpoint, pool: decision.pool, leave: false };
        (format!("{name} {}", decision.reason.as_str()), tried)
    })
}

/// A client somewhere else, one in the office, one in Germany.
fn check(at: &mut ScriptedWorld, script: &str, expected: [&str; 3]) {
    at.play(script);
    for (client, expected) in ["192.0.2.1", "10.1.2.3", "de"].into_iter().zip(expected) {
        let sent = sent(at, client, &[]);
        let shown = sent.map_or_else(|refusal| refusal.as_str().to_owned(), |(sent, _)| sent);
        assert_eq!(shown, expected, "{client} after {script}");
    }
}

#[test]
fn each_entry_has_an_order_of_its_own() {
    let mut at = three();
    check(&mut at, "a++ b++ c++", ["a balanced", "b balanced", "b balanced"]);
    check(&mut at, "a--", ["b failover", "b balanced", "b balanced"]);
    check(&mut at, "b--", ["c failover", "c failover", "b panic"]);
    check(&mut at, "c--", ["a panic", "b panic", "b panic"]);
}

#[test]
fn a_pool_returns_to_each_entry_that_left_it() {
    let mut at = three();
    at.play("a++ b++ c++ b--");
    check(&mut at, "~1000 b++", ["a balanced", "a failover", "b balanced"]);
    check(&mut at, "~9999", ["a balanced", "a failover", "b balanced"]);
    check(&mut at, "~1", ["a balanced", "b balanced", "b balanced"]);
}

#[test]
fn a_resident_request_is_refused_rather_than_sent_elsewhere() {
    let mut at = three();
    at.play("a++ b++ c++");
    let mut tried = Vec::new();
    while let Ok((pool, endpoint)) = sent(&mut at, "de", &tried) {
        assert_eq!(pool.split(' ').next(), Some("b"));
        tried.push(endpoint);
    }
    assert_eq!(tried.len(), 2);
    assert_eq!(sent(&mut at, "de", &tried).map(|(sent, _)| sent), Err(Refusal::Residency));
    at.world.apply(Event::Ordered(forced(drain("b"))), at.now);
    check(&mut at, "", ["a balanced", "a failover", "residency"]);
}

fn forced(action: Action) -> crate::order::Order {
    crate::order::Order::new(crate::order::OrderId(9), action, Default::default())
}

#[test]
fn the_last_pool_of_a_resident_entry_is_not_drained_without_force() {
    let mut at = three();
    at.play("a++ b++ c++");
    let judged = |at: &ScriptedWorld, pool| at.world.judge_order(&drain(pool), false, at.now);
    assert_eq!(judged(&at, "a"), Ok(()));
    let problem = crate::order::OrderProblem::LastToServe { route: "r[country:DE]".into() };
    assert_eq!(judged(&at, "b"), Err(problem));
}

#[test]
fn orders_for_a_route_hold_for_its_entries() {
    let mut at = three();
    at.play("a++ b++ c++");
    let weight = Action::Weight { route: "r".into(), pool: "b".into(), weight: 0 };
    at.order(1, weight);
    check(&mut at, "", ["a balanced", "a balanced", "b balanced"]);
    at.cancel(1);
    at.order(2, Action::Freeze { route: Some("r".into()) });
    check(&mut at, "b-- ~1000 b++ ~20000", ["a balanced", "a failover", "b balanced"]);
    at.cancel(2);
    check(&mut at, "~10000", ["a balanced", "b balanced", "b balanced"]);
    let unknown = Action::Freeze { route: Some("r[country:DE]".into()) };
    assert!(
        at.world.judge_order(&unknown, false, at.now).is_err(),
        "only what the operator wrote has a name"
    );
}

#[test]
fn a_failback_ends_the_waits_of_every_entry() {
    let mut at = three();
    at.play("a++ b++ c++ a-- b-- ~1000 a++ b++");
    check(&mut at, "", ["c failover", "a failover", "b balanced"]);
    assert_eq!(at.world.left_pools(RouteSlot(0)).len(), 2);
    at.world.apply(Event::FailbackOrdered { route: "r".into() }, at.now);
    check(&mut at, "", ["a balanced", "b balanced", "b balanced"]);
}

#[test]
fn what_an_entry_remembers_outlives_a_reload() {
    let mut at = three();
    at.play("a++ b++ c++ b-- ~1000 b++");
    let mut topology = at.topology();
    topology.pools.push(pool("d", &["10.9.0.1"]));
    at.adopt(topology);
    check(&mut at, "~9000", ["a balanced", "a failover", "b balanced"]);
    check(&mut at, "~1000", ["a balanced", "b balanced", "b balanced"]);
}
