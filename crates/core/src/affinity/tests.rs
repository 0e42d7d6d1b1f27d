//! Tables of homes, stand-ins and shares, over worlds of plain pools.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::*;
use crate::{
    event::Event,
    facts::NoLoads,
    fault::{Evidence, Fault},
    order::{Action, DrainTarget, Order, OrderId},
    roll::roll,
    slot::EndpointKey,
    steer::steer,
    test_world::{failover, pool, weighted},
    tick::Tick,
    topology::Pool,
    world::World,
};

const CLIENTS: u32 = 20_000;

fn with(route: Route, by: ClientMark, on_failure: OnFailure) -> Route {
    Route { affinity: Some(Affinity { by, on_failure }), ..route }
}

fn by_address(route: Route) -> Route {
    with(route, ClientMark::Address, OnFailure::Return)
}

/// A world of pools with so many endpoints each, all Up.
fn world_of(sizes: &[usize], route: Route) -> World {
    let hosts = |nth: usize, size: usize| -> Vec<String> {
        (1..=size).map(|host| format!("10.{nth}.0.{host}")).collect()
    };
    let pools = sizes.iter().enumerate().map(|(nth, size)| {
        let hosts = hosts(nth, *size);
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        pool(&format!("p{nth}"), &hosts)
    });
    world_with(pools.collect(), route)
}

fn world_with(pools: Vec<Pool>, route: Route) -> World {
    let mut world = World::default();
    let topology = Arc::new(Topology { pools, routes: vec![route] });
    world.apply(Event::Adopted { topology, generation: 1 }, Tick(0));
    let all: Vec<String> = world.layout().endpoints.iter().map(|place| place.address.to_string()).collect();
    all.iter().for_each(|address| probe(&mut world, address, true, Tick(1)));
    world
}

/// Two probes of an endpoint, with one result.
fn probe(world: &mut World, address: &str, up: bool, now: Tick) {
    let is = |place: &&crate::layout::Place| place.address.to_string() == address;
    let id = world.layout().endpoints.iter().find(is).unwrap().id;
    for _ in 0..2 {
        let failed = Evidence { fault: Fault::Timeout, detail: "".into() };
        let result = if up { Ok(Duration::from_millis(1)) } else { Err(failed) };
        world.apply(Event::Probed { id, result }, now);
    }
}

fn facts(client: u32, bound: Option<Binding>, tried: &[crate::facts::Tried]) -> Facts<'_> {
    let client = IpAddr::from(client.to_be_bytes());
    Facts { host: "h", path: "/", client, location: Default::default(), tried, replayable: true, bound }
}

fn address(snapshot: &Snapshot, slot: EndpointSlot) -> String {
    snapshot.layout.endpoints.get(slot).unwrap().address.ip().to_string()
}

/// The endpoint of each client by its address.
fn places(snapshot: &Snapshot) -> Vec<String> {
    let one = |client: u32| {
        let seen = steer(snapshot, &NoLoads, &facts(client, None, &[]), roll(client, 5)).unwrap();
        address(snapshot, seen.endpoint)
    };
    (0..CLIENTS).map(one).collect()
}

fn part(of: impl Iterator<Item = bool>) -> f64 {
    of.filter(|is| *is).count() as f64 / f64::from(CLIENTS)
}

fn part_in(places: &[String], network: &str) -> f64 {
    part(places.iter().map(|place| place.starts_with(network)))
}

fn moved(before: &[String], after: &[String]) -> f64 {
    part(before.iter().zip(after).map(|(before, after)| before != after))
}

#[track_caller]
fn near(seen: f64, expected: f64) {
    assert!((seen - expected).abs() < 0.012, "{seen} instead of {expected}");
}

#[test]
fn a_client_has_the_same_place_for_ever() {
    let key = EndpointKey { pool: "p0".into(), address: "10.0.0.1:8000".parse().unwrap() };
    assert_eq!(key.hash(), EndpointHash(PINNED_ENDPOINT), "a change moves every client");
    let mapped = EndpointKey { address: "[::ffff:10.0.0.1]:8000".parse().unwrap(), ..key.clone() };
    assert_eq!(key.hash(), mapped.hash());
    let snapshot = world_of(&[5, 5], by_address(weighted(&[(1, 100), (1, 100)]))).snapshot();
    let first: Vec<String> = places(&snapshot).into_iter().take(6).collect();
    assert_eq!(first, PINNED_PLACES, "a change moves every client");
}

const PINNED_ENDPOINT: u64 = 7_145_824_438_020_422_275;
const PINNED_PLACES: [&str; 6] = ["10.1.0.2", "10.1.0.4", "10.1.0.4", "10.1.0.2", "10.0.0.1", "10.0.0.4"];

#[test]
fn addresses_of_one_ipv6_network_are_one_client() {
    let of = |text: &str| client_of(text.parse().unwrap());
    assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
    assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
}

#[test]
fn the_order_of_the_file_and_the_past_do_not_matter() {
    let mut pools = vec![pool("a", &["10.0.0.1", "10.0.0.2"]), pool("b", &["10.1.0.1", "10.1.0.2"])];
    let route = by_address(weighted(&[(1, 100), (1, 100)]));
    let one = world_with(pools.clone(), route.clone()).snapshot();
    pools.reverse();
    pools.iter_mut().for_each(|pool| pool.endpoints.reverse());
    let mut other = world_with(pools, route);
    for up in [false, true] {
        probe(&mut other, "10.0.0.2:8000", up, Tick(9_000_000));
    }
    assert_eq!(places(&one), places(&other.snapshot()));
}

#[test]
fn clients_fall_on_endpoints_by_weight() {
    let mut pools = vec![pool("a", &["10.0.0.1", "10.0.0.2"]), pool("b", &["10.1.0.1"])];
    pools[0].endpoints[1].weight = 3;
    let snapshot = world_with(pools, by_address(weighted(&[(1, 100), (3, 100)]))).snapshot();
    let places = places(&snapshot);
    near(part_in(&places, "10.0.0.1"), 0.0625);
    near(part_in(&places, "10.0.0.2"), 0.1875);
    near(part_in(&places, "10.1.0.1"), 0.75);
}

#[test]
fn one_of_ten_endpoints_lost_moves_its_clients_and_they_return() {
    for sizes in [&[10][..], &[5, 5]] {
        let members: Vec<(u32, u8)> = sizes.iter().map(|_| (1, 100)).collect();
        let mut world = world_of(sizes, by_address(weighted(&members)));
        let before = places(&world.snapshot());
        probe(&mut world, "10.0.0.3:8000", false, Tick(2_000_000));
        let meanwhile = places(&world.snapshot());
        assert!(moved(&before, &meanwhile) <= 0.11, "{}", moved(&before, &meanwhile));
        for (before, after) in before.iter().zip(&meanwhile) {
            assert_eq!(before == after, before != "10.0.0.3");
        }
        let stand_ins: std::collections::BTreeSet<&String> =
            before.iter().zip(&meanwhile).filter(|(a, b)| a != b).map(|(_, b)| b).collect();
        assert_eq!(stand_ins.len(), sizes[0] - 1, "they spread over their pool");
        probe(&mut world, "10.0.0.3:8000", true, Tick(60_000_000));
        assert_eq!(places(&world.snapshot()), before);
    }
}

#[test]
fn a_new_endpoint_takes_its_part_from_all_and_moves_no_other_client() {
    let before = places(&world_of(&[9], by_address(failover(1))).snapshot());
    let after = places(&world_of(&[10], by_address(failover(1))).snapshot());
    near(moved(&before, &after), 0.1);
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after);
    assert!(moved.into_iter().all(|(_, after)| after == "10.0.0.10"));
}

#[test]
fn a_spill_takes_only_clients_whose_endpoint_is_lost() {
    let mut world = world_of(&[10, 2], by_address(failover(2)));
    let before = places(&world.snapshot());
    assert_eq!(part_in(&before, "10.1."), 0.0);
    for host in 1..=4 {
        probe(&mut world, &format!("10.0.0.{host}:8000"), false, Tick(2_000_000));
    }
    let snapshot = world.snapshot();
    let after = places(&snapshot);
    let lost = |place: &str| ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"].contains(&place);
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after || lost(before), "{before} to {after}");
    }
    near(part_in(&after, "10.1."), 1.0 - 0.6 * 1.4);
}

#[test]
fn a_lost_pool_moves_its_clients_alone_and_a_dial_moves_no_more_than_it_says() {
    let route = by_address(weighted(&[(1, 100), (1, 100), (1, 100)]));
    let mut world = world_of(&[2, 2, 2], route);
    let before = places(&world.snapshot());
    probe(&mut world, "10.0.0.1:8000", false, Tick(2_000_000));
    probe(&mut world, "10.0.0.2:8000", false, Tick(2_000_000));
    let after = places(&world.snapshot());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before != after, before.starts_with("10.0."));
    }
    near(part_in(&after, "10.1."), 0.5);
    let mut last = before;
    for dial in [80, 30, 0] {
        let route = by_address(weighted(&[(1, dial), (1, 100), (1, 100)]));
        let places = places(&world_of(&[2, 2, 2], route).snapshot());
        near(part_in(&places, "10.0."), f64::from(dial) / 300.0);
        for (before, after) in last.iter().zip(&places) {
            assert!(before == after || (before.starts_with("10.0.") && !after.starts_with("10.0.")));
        }
        last = places;
    }
}

/// What a client gets that is bound to 10.0.0.1, with the reason or the refusal.
fn bound_to_first(world: &mut World, client: u64) -> String {
    let key = EndpointKey { pool: "p0".into(), address: "10.0.0.1:8000".parse().unwrap() };
    let bound = Binding { client, endpoint: key.hash() };
    let snapshot = world.snapshot();
    match steer(&snapshot, &NoLoads, &facts(7, Some(bound), &[]), roll(client as u32, 5)) {
        Ok(seen) => format!("{} {}", address(&snapshot, seen.endpoint), seen.reason.as_str()),
        Err(refusal) => refusal.as_str().into(),
    }
}

#[test]
fn a_cookie_holds_a_client_until_its_endpoint_fails() {
    for on_failure in [OnFailure::Return, OnFailure::Stick, OnFailure::Refuse] {
        let mut world = world_of(&[3], with(failover(1), ClientMark::Cookie, on_failure));
        for client in 0..50 {
            assert_eq!(bound_to_first(&mut world, client), "10.0.0.1 affinity");
        }
        probe(&mut world, "10.0.0.1:8000", false, Tick(2_000_000));
        let meanwhile: Vec<String> = (0..50).map(|client| bound_to_first(&mut world, client)).collect();
        let again: Vec<String> = (0..50).map(|client| bound_to_first(&mut world, client)).collect();
        assert_eq!(meanwhile, again);
        let expected: &[&str] = match on_failure {
            OnFailure::Refuse => &["no_endpoint"],
            _ => &["10.0.0.2 affinity", "10.0.0.3 affinity"],
        };
        assert!(expected.iter().all(|one| meanwhile.iter().any(|seen| seen == one)), "{meanwhile:?}");
        assert!(meanwhile.iter().all(|seen| expected.contains(&&**seen)), "{meanwhile:?}");
        probe(&mut world, "10.0.0.1:8000", true, Tick(60_000_000));
        assert_eq!(bound_to_first(&mut world, 1), "10.0.0.1 affinity");
    }
}

#[test]
fn a_client_without_a_cookie_or_with_a_foreign_one_is_balanced() {
    let mut world = world_of(&[3], with(failover(1), ClientMark::Cookie, OnFailure::Refuse));
    let snapshot = world.snapshot();
    for bound in [None, Some(Binding { client: 1, endpoint: EndpointHash(1) })] {
        let seen = steer(&snapshot, &NoLoads, &facts(7, bound, &[]), roll(1, 5)).unwrap();
        assert_eq!(seen.reason, Reason::Balanced);
    }
}

fn drain(world: &mut World, target: DrainTarget) {
    let order = Order::new(OrderId(1), Action::Drain { target, deadline: None }, Default::default());
    world.apply(Event::Ordered(order), Tick(3_000_000));
}

#[test]
fn an_endpoint_that_drains_keeps_the_clients_with_a_cookie_and_no_others() {
    let first = || DrainTarget::Endpoint { pool: "p0".into(), host: "10.0.0.1".into(), port: 8000 };
    for target in [first(), DrainTarget::Pool("p0".into())] {
        let mut world = world_of(&[3, 2], with(failover(2), ClientMark::Cookie, OnFailure::Return));
        drain(&mut world, target);
        assert!(bound_to_first(&mut world, 1).starts_with("10.0.0.1 "));
        let snapshot = world.snapshot();
        for turn in 0..100 {
            let seen = steer(&snapshot, &NoLoads, &facts(7, None, &[]), roll(turn, 5)).unwrap();
            assert_ne!(address(&snapshot, seen.endpoint), "10.0.0.1");
        }
    }
    let mut world = world_of(&[3, 2], by_address(failover(2)));
    drain(&mut world, first());
    assert_eq!(part_in(&places(&world.snapshot()), "10.0.0.1"), 0.0);
}

#[test]
fn a_pool_without_a_share_keeps_no_client() {
    let mut world = world_of(&[3, 2], with(failover(2), ClientMark::Cookie, OnFailure::Return));
    let key = EndpointKey { pool: "p1".into(), address: "10.1.0.1:8000".parse().unwrap() };
    let bound = Some(Binding { client: 4, endpoint: key.hash() });
    let snapshot = world.snapshot();
    let seen = steer(&snapshot, &NoLoads, &facts(7, bound, &[]), roll(1, 5)).unwrap();
    assert_eq!((seen.pool, seen.reason), (PoolSlot(0), Reason::Affinity));
    for host in 1..=3 {
        probe(&mut world, &format!("10.0.0.{host}:8000"), false, Tick(2_000_000));
    }
    let snapshot = world.snapshot();
    let seen = steer(&snapshot, &NoLoads, &facts(7, bound, &[]), roll(1, 5)).unwrap();
    assert_eq!((address(&snapshot, seen.endpoint), seen.reason), ("10.1.0.1".into(), Reason::Failover));
}

#[test]
fn retries_leave_affinity_unless_no_other_endpoint_may_serve_the_client() {
    for (on_failure, expected) in [(OnFailure::Return, Ok(Reason::Balanced)), (OnFailure::Refuse, Err(()))] {
        let mut world = world_of(&[3], with(failover(1), ClientMark::Address, on_failure));
        let snapshot = world.snapshot();
        let first = steer(&snapshot, &NoLoads, &facts(7, None, &[]), roll(1, 5)).unwrap();
        let id = snapshot.layout.endpoints.get(first.endpoint).unwrap().id;
        let tried = [crate::facts::Tried { endpoint: id, pool: first.pool, leave: false }];
        let second = steer(&snapshot, &NoLoads, &facts(7, None, &tried), roll(1, 5));
        assert_eq!(second.map(|second| second.reason).map_err(|_| ()), expected);
    }
}

/// One request in flight everywhere.
struct Busy(EndpointSlot);

impl Loads for Busy {
    fn in_flight(&self, slot: EndpointSlot) -> u32 {
        u32::from(slot == self.0)
    }
    fn latency_us(&self, _: EndpointSlot) -> u32 {
        0
    }
    fn trickle_due(&self, _: EndpointSlot, _: bool) -> bool {
        false
    }
}

#[test]
fn a_client_whose_endpoint_is_at_its_cap_goes_elsewhere_or_waits() {
    for (on_failure, waits) in [(OnFailure::Return, false), (OnFailure::Refuse, true)] {
        let mut pools = vec![pool("a", &["10.0.0.1", "10.0.0.2"])];
        pools[0].max_in_flight = 1;
        let mut world = world_with(pools, with(failover(1), ClientMark::Address, on_failure));
        let snapshot = world.snapshot();
        let first = steer(&snapshot, &NoLoads, &facts(7, None, &[]), roll(1, 5)).unwrap();
        let busy = steer(&snapshot, &Busy(first.endpoint), &facts(7, None, &[]), roll(1, 5));
        match busy {
            Ok(second) => assert!(!waits && second.endpoint != first.endpoint),
            Err(refusal) => assert!(waits && refusal == Refusal::Overloaded),
        }
    }
}

#[test]
fn explain_tells_where_a_client_belongs() {
    let mut world = world_of(&[3], by_address(failover(1)));
    for (up, kept) in [(true, true), (false, false)] {
        let home = places(&world.snapshot())[7].clone();
        if !up {
            probe(&mut world, &format!("{home}:8000"), false, Tick(2_000_000));
        }
        let snapshot = world.snapshot();
        let explained = crate::explain::explain(&snapshot, &NoLoads, &facts(7, None, &[]), roll(7, 5));
        let (at, is_kept) = explained.home.unwrap();
        assert_eq!((address(&snapshot, at.endpoint.unwrap()), is_kept), (home, kept));
    }
}
