//! A first attempt allocates nothing: the request path pays for its answer with cycles only.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::IpAddr,
    sync::Arc,
};

use thalweg_core::{
    Affinity, Binding, Cidr, ClientMark, EndpointSpec, Event, Facts, Failback, Geo, GeoRule, Location,
    NoLoads, OnFailure, Origin, PlaceCode, Pool, PoolSlot, Route, RoutePool, RouteSlot, Tick, Topology,
    Tried, World, roll, steer,
};

/// Counts what the asking thread allocates.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

#[expect(
    unsafe_code,
    reason = "an allocator can only be replaced through unsafe; it hands on every call unchanged"
)]
// SAFETY: every call goes to the system's allocator with the arguments it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_first_attempt_and_a_first_retry_in_the_same_pool_allocate_nothing() {
    assert_eq!(in_the_same_pool(None), 1000);
}

#[test]
fn affinity_allocates_nothing() {
    for by in [ClientMark::Address, ClientMark::Cookie] {
        in_the_same_pool(Some(Affinity { by, on_failure: OnFailure::Return }));
    }
}

/// Asks for 1,000 first attempts and a retry of each, which allocate nothing. Returns how many retries stayed in the pool.
fn in_the_same_pool(affinity: Option<Affinity>) -> u32 {
    let pool = |nth: usize| Pool {
        name: format!("p{nth}").into(),
        endpoints: (1..=3)
            .map(|host| EndpointSpec {
                host: format!("10.{nth}.0.{host}").into(),
                port: 80,
                weight: 1,
                family: Default::default(),
            })
            .collect(),
        max_in_flight: 8,
        ..Pool::default()
    };
    let route = Route {
        name: "r".into(),
        hosts: vec!["*.example.com".into()],
        path_prefix: "/api".into(),
        pools: (0..3).map(|pool| RoutePool::new(PoolSlot(pool))).collect(),
        share_leftover: true,
        failback: Failback::IMMEDIATE,
        affinity,
        ..Route::default()
    };
    let place = |text| PlaceCode::read(text).into_iter();
    let networks = (0..100).filter_map(|nth| Cidr::read(&format!("1.{nth}.0.0/16")).ok()).collect();
    let mut from: Vec<Origin> = place("DE").chain(place("FR")).map(Origin::Country).collect();
    from.push(Origin::Network { name: "n".into(), cidrs: networks });
    let sub_route =
        Route { name: "r[n]".into(), parent: Some(RouteSlot(0)), residency: true, ..route.clone() };
    let route = Route { geo: Some(Geo::new(vec![GeoRule { from, route: RouteSlot(1) }])), ..route };
    let mut world = World::default();
    let topology = Arc::new(Topology { pools: (0..3).map(pool).collect(), routes: vec![route, sub_route] });
    world.apply(Event::Adopted { topology, generation: 1 }, Tick(0));
    let snapshot = world.snapshot();
    let (here, elsewhere) = (IpAddr::from([1, 2, 3, 4]), IpAddr::from([192, 0, 2, 1]));
    let country = PlaceCode::read("DE");
    let home = snapshot.layout.endpoints.first().map(|place| Binding { client: 7, endpoint: place.hash });
    let ask = |tried: &[Tried], turn: u32| {
        let client = if turn.is_multiple_of(2) { here } else { elsewhere };
        let location = Location { country, continent: None };
        let facts = Facts {
            host: "www.example.com",
            path: "/api/v1/things",
            client,
            location,
            tried,
            replayable: true,
            bound: home,
        };
        steer(&snapshot, &NoLoads, &facts, roll(turn, 7)).ok()
    };
    let before = COUNT.with(Cell::get);
    let (mut answered, mut stayed) = (0, 0);
    for turn in 0..1000 {
        let Some(first) = ask(&[], turn) else { continue };
        let Some(place) = snapshot.layout.endpoints.get(first.endpoint) else { continue };
        let second = ask(&[Tried { endpoint: place.id, pool: first.pool, leave: false }], turn);
        answered += u32::from(second.is_some());
        stayed += u32::from(second.is_some_and(|second| second.pool == first.pool));
    }
    assert_eq!(COUNT.with(Cell::get) - before, 0);
    assert_eq!(answered, 1000);
    stayed
}
