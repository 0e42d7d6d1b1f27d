//! Laws of affinity, over random worlds: all edges answer alike, a loss moves the clients of what is lost, and the shares
//! stay what the sieves say.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test: whatever is not there is a failure"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use thalweg_core::{
    Affinity, ClientMark, EndpointSpec, Event, Evidence, Facts, Fault, NoLoads, OnFailure, Pool, PoolSlot,
    ProbeRules, Route, RoutePool, Snapshot, Stage, Tick, Topology, World, roll, steer,
};

const CLIENTS: u32 = 1500;

/// A pool as the operator wrote it: the weights of its endpoints; then tier, weight and dial on the route.
type Written = (Vec<u32>, (u32, u32, u8));

/// The addresses that fail their probes.
type Lost = BTreeSet<IpAddr>;

fn address(pool: usize, nth: usize) -> IpAddr {
    IpAddr::from([10, pool as u8, 0, nth as u8 + 1])
}

/// A world of these pools. `turned`: the file has everything the other way round.
fn world(written: &[Written], weighted: bool, turned: bool) -> World {
    let probe = ProbeRules { rise: 1, fall: 1, ..ProbeRules::default() };
    let pool = |(nth, (weights, _)): (usize, &Written)| {
        let spec = |(host, weight): (usize, &u32)| EndpointSpec {
            host: address(nth, host).to_string().into(),
            port: 80,
            weight: *weight,
            family: Default::default(),
        };
        let mut endpoints: Vec<EndpointSpec> = weights.iter().enumerate().map(spec).collect();
        if turned {
            endpoints.reverse();
        }
        Pool { name: format!("p{nth}").into(), probe: Some(probe.clone()), endpoints, ..Pool::default() }
    };
    let mut pools: Vec<Pool> = written.iter().enumerate().map(pool).collect();
    let count = pools.len() as u32;
    let uses = |(slot, (_, (tier, weight, dial))): (u32, &Written)| RoutePool {
        pool: PoolSlot(if turned { count - 1 - slot } else { slot }),
        tier: *tier,
        weight: *weight,
        dial: *dial,
    };
    let members = (0..).zip(written).map(uses).collect();
    if turned {
        pools.reverse();
    }
    let route = Route {
        name: "r".into(),
        pools: members,
        share_leftover: weighted,
        affinity: Some(Affinity { by: ClientMark::Address, on_failure: OnFailure::Return }),
        failback: thalweg_core::Failback::IMMEDIATE,
        damping: None,
        ..Route::default()
    };
    let mut world = World::default();
    let topology = Arc::new(Topology { pools, routes: vec![route] });
    world.apply(Event::Adopted { topology, generation: 1 }, Tick(0));
    world
}

/// Probes every endpoint once.
fn probe(world: &mut World, lost: &Lost, now: u64) {
    let places: Vec<_> =
        world.layout().endpoints.iter().map(|place| (place.id, place.address.ip())).collect();
    for (id, ip) in places {
        let failed = Evidence { fault: Fault::Timeout, detail: "".into() };
        let result = if lost.contains(&ip) { Err(failed) } else { Ok(Duration::from_millis(1)) };
        world.apply(Event::Probed { id, result }, Tick(now));
    }
}

/// The endpoint of each client.
fn places(snapshot: &Snapshot, seed: u32) -> Vec<IpAddr> {
    let one = |client: u32| {
        let address = IpAddr::from(client.wrapping_mul(0x9e37_79b1).wrapping_add(seed).to_be_bytes());
        let facts = Facts {
            host: "h",
            path: "/",
            client: address,
            location: Default::default(),
            tried: &[],
            replayable: true,
            bound: None,
        };
        let seen = steer(snapshot, &NoLoads, &facts, roll(client, seed.into())).unwrap();
        snapshot.layout.endpoints.get(seen.endpoint).unwrap().address.ip()
    };
    (0..CLIENTS).map(one).collect()
}

fn written() -> impl Strategy<Value = Vec<Written>> {
    let weights = prop::collection::vec(prop_oneof![1 => Just(0_u32), 6 => 1_u32..4], 1..6);
    let usage = (0_u32..2, 1_u32..4, prop_oneof![1 => 0_u8..100, 3 => Just(100_u8)]);
    prop::collection::vec((weights, usage), 1..4)
}

fn lost_of(written: &[Written], bits: u32) -> Lost {
    let all = written
        .iter()
        .enumerate()
        .flat_map(|(pool, (weights, _))| (0..weights.len()).map(move |nth| (pool, nth)));
    all.enumerate()
        .filter(|(nth, _)| bits >> (nth % 32) & 1 == 1)
        .map(|(_, (pool, nth))| address(pool, nth))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_edge_answers_alike(
        written in written(), weighted: bool, bits: u32, other: u32, seed: u32,
    ) {
        let (now, then) = (lost_of(&written, bits & bits >> 7), lost_of(&written, other));
        let mut one = world(&written, weighted, false);
        probe(&mut one, &now, 1);
        let mut another = world(&written, weighted, true);
        for (nth, lost) in [&then, &Lost::new(), &now].into_iter().enumerate() {
            probe(&mut another, lost, 1 + nth as u64 * 100_000_000);
        }
        prop_assert_eq!(places(&one.snapshot(), seed), places(&another.snapshot(), seed));
    }

    #[test]
    fn in_one_pool_a_loss_moves_the_lost_clients_alone_and_they_return(
        weights in prop::collection::vec(1_u32..5, 2..12), which: prop::sample::Index, before: u32, seed: u32,
    ) {
        let written = vec![(weights, (0, 1, 100))];
        let mut world = world(&written, false, false);
        let mut lost = lost_of(&written, before & before >> 5 & before >> 11);
        probe(&mut world, &lost, 1);
        let first = world.snapshot();
        prop_assume!(first.routes[0].shares.stage == Stage::Up);
        let at_first = places(&first, seed);
        let gone = address(0, which.index(written[0].0.len()));
        prop_assume!(lost.insert(gone));
        probe(&mut world, &lost, 2);
        let second = world.snapshot();
        prop_assume!(second.routes[0].shares.stage == Stage::Up);
        for (before, after) in at_first.iter().zip(places(&second, seed)) {
            prop_assert_eq!(*before != after, *before == gone);
        }
        lost.remove(&gone);
        probe(&mut world, &lost, 100_000_000);
        prop_assert_eq!(places(&world.snapshot(), seed), at_first);
    }

    #[test]
    fn clients_fall_on_pools_as_the_shares_say(written in written(), weighted: bool, bits: u32, seed: u32) {
        let mut world = world(&written, weighted, false);
        probe(&mut world, &lost_of(&written, bits & bits >> 7), 1);
        let snapshot = world.snapshot();
        prop_assume!(snapshot.routes[0].shares.stage == Stage::Up);
        let mut seen: BTreeMap<u8, f64> = BTreeMap::new();
        for place in places(&snapshot, seed) {
            let IpAddr::V4(place) = place else { continue };
            *seen.entry(place.octets()[1]).or_default() += 1.0 / f64::from(CLIENTS);
        }
        let mut from = 0;
        let mut expected: BTreeMap<u8, f64> = BTreeMap::new();
        for segment in &snapshot.routes[0].shares.segments {
            *expected.entry(segment.pool.0 as u8).or_default() += (segment.end - from) as f64 / 4_294_967_296.0;
            from = segment.end;
        }
        for pool in 0..written.len() as u8 {
            let (seen, expected) = (seen.get(&pool).unwrap_or(&0.0), expected.get(&pool).unwrap_or(&0.0));
            prop_assert!((seen - expected).abs() < 0.07, "pool {pool}: {seen} instead of {expected}");
        }
    }
}
