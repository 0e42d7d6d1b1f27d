//! What a decision costs, and what it costs the keeper to prepare it. Targets: `steer` with 3 × 3 in 300 ns and with
//! 100 × 10 in 2 µs; a snapshot of 1,000 × 10 in 10 ms.
#![allow(missing_docs, reason = "criterion's macros make public items without any")]

use std::{hint::black_box, net::IpAddr, sync::Arc, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use thalweg_core::{
    Affinity, ClientMark, EndpointId, EndpointSlot, EndpointSpec, Event, Evidence, Facts, Failback, Fault,
    Loads, OnFailure, Pool, ProbeRules, Route, RoutePool, Slot, Tick, Topology, Tried, World, roll, steer,
};

fn pool(nth: usize, endpoints: usize) -> Pool {
    let spec = |host: usize| EndpointSpec {
        host: format!("10.{}.{}.{}", nth / 256, nth % 256, host + 1).into(),
        port: 8000,
        weight: 1,
        family: Default::default(),
    };
    Pool {
        name: format!("pool-{nth}").into(),
        cloud: "aws".into(),
        region: "eu-west-1".into(),
        probe: Some(ProbeRules { rise: 1, fall: 1, ..ProbeRules::default() }),
        endpoints: (0..endpoints).map(spec).collect(),
        ..Pool::default()
    }
}

fn route(name: &str, pools: std::ops::Range<usize>) -> Route {
    let member = |pool: usize| RoutePool::new(Slot::at(pool));
    Route {
        name: name.into(),
        hosts: vec![format!("{name}.example.com").into()],
        path_prefix: "/api".into(),
        pools: pools.map(member).collect(),
        share_leftover: true,
        failback: Failback::IMMEDIATE,
        ..Route::default()
    }
}

fn topology(pools: usize, endpoints: usize, routes: Vec<Route>) -> Event {
    let pools = (0..pools).map(|nth| pool(nth, endpoints)).collect();
    Event::Adopted { topology: Arc::new(Topology { pools, routes }), generation: 1 }
}

/// Every endpoint is Up.
fn world(topology: Event) -> World {
    let mut world = World::default();
    world.apply(topology, Tick(0));
    let ids: Vec<EndpointId> = world.probed_endpoints().map(|place| place.id).collect();
    for (nth, id) in ids.into_iter().enumerate() {
        let latency = Duration::from_micros(1000 + nth as u64 % 7);
        world.apply(Event::Probed { id, result: Ok(latency) }, Tick(1));
    }
    world
}

/// A few requests everywhere, so that the second choice has to be weighed.
struct Busy;

impl Loads for Busy {
    fn in_flight(&self, slot: EndpointSlot) -> u32 {
        slot.0 % 3
    }
    fn latency_us(&self, slot: EndpointSlot) -> u32 {
        1000 + slot.0 % 500
    }
    fn trickle_due(&self, _: EndpointSlot, _: bool) -> bool {
        false
    }
}

fn deciding(criterion: &mut Criterion) {
    let client = IpAddr::from([192, 0, 2, 1]);
    for (pools, endpoints) in [(3, 3), (100, 10)] {
        let mut world = world(topology(pools, endpoints, vec![route("www", 0..pools)]));
        let snapshot = world.snapshot();
        let facts = Facts {
            host: "www.example.com",
            path: "/api/v1/things/17",
            client,
            location: Default::default(),
            tried: &[],
            replayable: true,
            bound: None,
        };
        let mut turn = 0u32;
        criterion.bench_function(&format!("steer {pools}x{endpoints}"), |bencher| {
            bencher.iter(|| {
                turn = turn.wrapping_add(1);
                steer(black_box(&snapshot), &Busy, black_box(&facts), roll(turn, u64::from(turn)))
            });
        });
        let tried = [0, 1].map(|slot| {
            let place = &snapshot.layout.endpoints[slot];
            Tried { endpoint: place.id, pool: place.pool, leave: false }
        });
        let again = Facts { tried: &tried, ..facts };
        criterion.bench_function(&format!("steer {pools}x{endpoints}, second retry"), |bencher| {
            bencher.iter(|| {
                turn = turn.wrapping_add(1);
                steer(black_box(&snapshot), &Busy, black_box(&again), roll(turn, u64::from(turn)))
            });
        });
    }
    for (pools, endpoints) in [(3, 3), (1, 100)] {
        let affinity = Some(Affinity { by: ClientMark::Address, on_failure: OnFailure::Return });
        let route = Route { affinity, ..route("www", 0..pools) };
        let snapshot = world(topology(pools, endpoints, vec![route])).snapshot();
        let mut turn = 0u32;
        criterion.bench_function(&format!("steer {pools}x{endpoints}, by address"), |bencher| {
            bencher.iter(|| {
                turn = turn.wrapping_add(1);
                let client = IpAddr::from(turn.to_be_bytes());
                let (host, path) = ("www.example.com", "/api/v1/things/17");
                let location = Default::default();
                let facts = Facts { host, path, client, location, tried: &[], replayable: true, bound: None };
                steer(black_box(&snapshot), &Busy, black_box(&facts), roll(turn, u64::from(turn)))
            });
        });
    }
    let routes = (0..1000).map(|nth| route(&format!("www-{nth}"), 0..1)).collect();
    let snapshot = world(topology(1, 1, routes)).snapshot();
    criterion.bench_function("match one of 1,000 routes", |bencher| {
        let find = |host, path| snapshot.layout.matcher.find(black_box(host), black_box(path));
        bencher.iter(|| find("www-567.example.com", "/api/v1/things/17"));
    });
}

fn keeping(criterion: &mut Criterion) {
    let routes = || (0..250).map(|nth| route(&format!("www-{nth}"), nth * 4..nth * 4 + 4)).collect();
    let mut world = world(topology(1000, 10, routes()));
    criterion.bench_function("snapshot 1,000x10", |bencher| bencher.iter(|| world.snapshot()));
    let id = world.layout().endpoints[5000].id;
    let mut now = Tick(1);
    criterion.bench_function("probed 1,000x10, nothing new", |bencher| {
        bencher.iter(|| {
            now = now.after(Duration::from_millis(1));
            world.apply(Event::Probed { id, result: Ok(Duration::from_millis(1)) }, now)
        });
    });
    let mut dead = false;
    criterion.bench_function("probed 1,000x10, up or down", |bencher| {
        bencher.iter(|| {
            dead = !dead;
            let evidence = Evidence { fault: Fault::Refused, detail: "connection refused".into() };
            let result = if dead { Err(evidence) } else { Ok(Duration::from_millis(1)) };
            world.apply(Event::Probed { id, result }, now)
        });
    });
    let same = topology(1000, 10, routes());
    let mut slow = criterion.benchmark_group("reload");
    slow.sample_size(20);
    slow.bench_function("adopted 1,000x10", |bencher| bencher.iter(|| world.apply(same.clone(), now)));
}

criterion_group!(core, deciding, keeping);
criterion_main!(core);
