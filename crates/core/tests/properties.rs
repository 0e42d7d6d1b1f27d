//! What must hold for any world: laws of `steer`, over random topologies, health, loads and rolls.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test: whatever is not there is a failure"
)]

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use proptest::prelude::*;
use thalweg_core::{
    Action, Admin, Availability, Band, Cidr, Decision, DrainTarget, EndpointKey, EndpointSlot, EndpointSpec,
    Event, Evidence, Facts, Fault, Geo, GeoRule, Loads, Matcher, NoLoads, Order, OrderId, Origin, Pool,
    PoolSlot, ProbeRules, Reason, Refusal, Route, RoutePool, RouteSlot, Slot, Snapshot, Stage, Tick,
    Topology, Tried, World, explain, mix, roll, steer,
};

/// What the world has learnt about an endpoint.
#[derive(Clone, Copy, Debug)]
enum Learnt {
    Nothing,
    Up,
    Dead,
    Refusing,
    Drained,
}

type PoolSetup = Vec<(u32, Learnt)>;

/// A pool's endpoints, and how the route uses it: tier, weight, dial.
type UsedPool = (PoolSetup, (u32, u32, u8));

fn route(members: &[RoutePool], policy: u8) -> Route {
    Route {
        name: "r".into(),
        pools: members.to_vec(),
        band: (policy == 2).then(Band::default),
        share_leftover: policy == 1,
        ..Route::default()
    }
}

fn snapshot(members: &[UsedPool], policy: u8) -> Snapshot {
    snapshot_of(members, |uses| vec![route(uses, policy)])
}

/// The places of geo rules: which pools each has, from which one on, and whether its requests stay there.
type Places = Vec<(u32, u32, bool)>;

/// Rule `n` is for clients in 10.n.0.0/16.
fn geo_routes(uses: &[RoutePool], places: &Places, policy: u8) -> Vec<Route> {
    let pools = uses.len() as u32;
    let cidr = |nth: usize| Cidr::read(&format!("10.{nth}.0.0/16")).unwrap();
    let rule = |nth: usize| GeoRule {
        from: vec![Origin::Network { name: "n".into(), cidrs: vec![cidr(nth)] }],
        route: RouteSlot(nth as u32 + 1),
    };
    let rules = (0..places.len()).map(rule).collect();
    let sub_routes = places.iter().enumerate().map(|(nth, (first, count, residency))| {
        let member = |turn: u32| RoutePool { tier: turn, ..uses[((first + turn) % pools) as usize] };
        let members: Vec<RoutePool> = (0..(*count).clamp(1, pools)).map(member).collect();
        let name = format!("r[{nth}]").into();
        Route { name, residency: *residency, parent: Some(RouteSlot(0)), ..route(&members, policy) }
    });
    let own = Route { geo: Some(Geo::new(rules)), ..route(uses, policy) };
    std::iter::once(own).chain(sub_routes).collect()
}

fn snapshot_of(members: &[UsedPool], routes: impl FnOnce(&[RoutePool]) -> Vec<Route>) -> Snapshot {
    let probe = ProbeRules { rise: 1, fall: 1, ..ProbeRules::default() };
    let pool = |(nth, (endpoints, _)): (usize, &UsedPool)| Pool {
        name: format!("p{nth}").into(),
        probe: Some(probe.clone()),
        endpoints: (1..)
            .zip(endpoints)
            .map(|(host, (weight, _)): (u32, _)| EndpointSpec {
                host: format!("10.{nth}.0.{host}").into(),
                port: 80,
                weight: *weight,
                family: Default::default(),
            })
            .collect(),
        max_in_flight: 3,
        ..Pool::default()
    };
    let uses: Vec<RoutePool> = (0..)
        .zip(members)
        .map(|(pool, (_, (tier, weight, dial)))| RoutePool {
            pool: PoolSlot(pool),
            tier: *tier,
            weight: *weight,
            dial: *dial,
        })
        .collect();
    let pools = members.iter().enumerate().map(pool).collect();
    let mut world = World::default();
    let topology = Arc::new(Topology { pools, routes: routes(&uses) });
    world.apply(Event::Adopted { topology, generation: 1 }, Tick(0));
    let ids: Vec<_> = world.layout().endpoints.iter().map(|place| place.id).collect();
    for (id, (_, heard)) in ids.into_iter().zip(members.iter().flat_map(|(endpoints, _)| endpoints)) {
        let failed = |fault| Err(Evidence { fault, detail: "".into() });
        let key = world.key(id).unwrap().clone();
        let event = match heard {
            Learnt::Nothing => continue,
            Learnt::Up => Event::Probed { id, result: Ok(Duration::from_millis(10)) },
            Learnt::Dead => Event::Probed { id, result: failed(Fault::Timeout) },
            Learnt::Refusing => Event::Probed { id, result: failed(Fault::Refused) },
            Learnt::Drained => Event::Ordered(drained(u64::from(id.0), &key)),
        };
        world.apply(event, Tick(1));
    }
    world.snapshot()
}

fn drained(id: u64, key: &EndpointKey) -> Order {
    let (pool, host, port) =
        (key.pool.as_ref().into(), key.address.ip().to_string().into(), key.address.port());
    let action = Action::Drain { target: DrainTarget::Endpoint { pool, host, port }, deadline: None };
    Order::new(OrderId(id), action, Default::default())
}

fn heard() -> impl Strategy<Value = Learnt> {
    prop_oneof![
        6 => Just(Learnt::Up),
        2 => Just(Learnt::Dead),
        1 => Just(Learnt::Nothing),
        1 => Just(Learnt::Refusing),
        1 => Just(Learnt::Drained),
    ]
}

fn members() -> impl Strategy<Value = Vec<UsedPool>> {
    let endpoint = (prop_oneof![1 => Just(0u32), 6 => 1u32..5], heard());
    let usage =
        (0u32..3, prop_oneof![1 => Just(0u32), 5 => 1u32..9], prop_oneof![1 => 0u8..100, 3 => Just(100u8)]);
    prop::collection::vec((prop::collection::vec(endpoint, 1..5), usage), 1..5)
}

struct RandomLoads(u64);

impl Loads for RandomLoads {
    fn in_flight(&self, slot: EndpointSlot) -> u32 {
        (mix(self.0 ^ u64::from(slot.0)) % 5) as u32
    }
    fn latency_us(&self, slot: EndpointSlot) -> u32 {
        (mix(!self.0 ^ u64::from(slot.0)) % 9_000) as u32
    }
    fn trickle_due(&self, slot: EndpointSlot, _: bool) -> bool {
        mix(self.0 ^ u64::from(slot.0)).is_multiple_of(2)
    }
}

fn ask(snapshot: &Snapshot, loads: &impl Loads, tried: &[Tried], roll: u64) -> Result<Decision, Refusal> {
    ask_from(IpAddr::from([1, 2, 3, 4]), snapshot, loads, tried, roll)
}

fn ask_from(
    client: IpAddr,
    snapshot: &Snapshot,
    loads: &impl Loads,
    tried: &[Tried],
    roll: u64,
) -> Result<Decision, Refusal> {
    let facts = Facts {
        host: "h",
        path: "/",
        client,
        location: Default::default(),
        tried,
        replayable: true,
        bound: None,
    };
    let answer = steer(snapshot, loads, &facts, roll);
    assert_eq!(answer, steer(snapshot, loads, &facts, roll), "same inputs, same answer");
    assert_eq!(answer, explain(snapshot, loads, &facts, roll).outcome, "explained as it is done");
    answer
}

/// The part of 2,000 requests of one worker that falls on each pool.
fn split(snapshot: &Snapshot, seed: u64) -> BTreeMap<u32, f64> {
    let mut seen = BTreeMap::new();
    let first = mix(seed) as u32;
    for turn in 0..2000u32 {
        let decision =
            ask(snapshot, &NoLoads, &[], roll(first.wrapping_add(turn), mix(u64::from(turn)))).unwrap();
        *seen.entry(decision.pool.0).or_insert(0.0) += 1.0 / 2000.0;
    }
    seen
}

fn share_of(snapshot: &Snapshot, pool: u32) -> f64 {
    let mut from = 0;
    let mut width = 0;
    for segment in &snapshot.routes[0].shares.segments {
        width += if segment.pool.0 == pool { segment.end - from } else { 0 };
        from = segment.end;
    }
    width as f64 / 4_294_967_296.0
}

/// Exact host before the longest wildcard before any; then the longest prefix; then the first in the file.
fn plain(routes: &[Route], host: &str, path: &str) -> Option<usize> {
    let by_host = |of: &str| match of.strip_prefix('*') {
        Some(suffix) => (host.ends_with(suffix) && host.len() > suffix.len()).then_some(suffix.len()),
        None => (of == host).then_some(usize::MAX),
    };
    let by_path = |prefix: &str| {
        prefix == "/" || path == prefix || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
    };
    let rank = |(nth, route): (usize, &Route)| {
        let host = route.hosts.iter().filter_map(|of| by_host(of)).max();
        let host = if route.hosts.is_empty() { Some(0) } else { host };
        let first = std::cmp::Reverse(nth);
        host.filter(|_| by_path(&route.path_prefix)).map(|host| (host, route.path_prefix.len(), first))
    };
    routes.iter().enumerate().filter_map(rank).max().map(|(_, _, nth)| nth.0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_thousand_requests_split_by_weight_within_a_percent(
        weights in prop::collection::vec(1u32..100, 1..5), seed: u64,
    ) {
        let members: Vec<UsedPool> =
            weights.iter().map(|weight| (vec![(1, Learnt::Up); 2], (0, *weight, 100))).collect();
        let total: u32 = weights.iter().sum();
        let seen = split(&snapshot(&members, 1), seed);
        for (pool, weight) in (0..).zip(&weights) {
            let part = seen.get(&pool).copied().unwrap_or(0.0);
            let should = f64::from(*weight) / f64::from(total);
            prop_assert!((part - should).abs() < 0.01, "pool {pool}: {part} instead of {should}");
        }
    }

    #[test]
    fn two_thousand_requests_split_as_the_shares_say(members in members(), policy in 0u8..3, seed: u64) {
        let snapshot = snapshot(&members, policy);
        prop_assume!(!snapshot.routes[0].shares.segments.is_empty());
        let seen = split(&snapshot, seed);
        for pool in 0..members.len() as u32 {
            let part = seen.get(&pool).copied().unwrap_or(0.0);
            let should = share_of(&snapshot, pool);
            prop_assert!((part - should).abs() < 0.01, "pool {pool}: {part} instead of {should}");
        }
    }

    #[test]
    fn equally_loaded_endpoints_share_by_weight(weights in prop::collection::vec(1u32..10, 2..6), seed: u64) {
        let members = vec![(weights.iter().map(|weight| (*weight, Learnt::Up)).collect(), (0, 1, 100))];
        let snapshot = snapshot(&members, 1);
        let total: u32 = weights.iter().sum();
        let mut seen = vec![0.0; weights.len()];
        for turn in 0..4000u32 {
            let decision = ask(&snapshot, &NoLoads, &[], roll(turn, mix(seed ^ u64::from(turn)))).unwrap();
            seen[decision.endpoint.index()] += 1.0 / 4000.0;
        }
        for (part, weight) in seen.iter().zip(&weights) {
            let should = f64::from(*weight) / f64::from(total);
            prop_assert!((part - should).abs() < 0.04, "{part} instead of {should}");
        }
    }

    #[test]
    fn a_dial_is_never_exceeded_while_another_pool_can_take_the_rest(
        dial in 0u8..=100, other in 1u32..9, weight in 1u32..9, policy in 0u8..3,
    ) {
        let members: Vec<UsedPool> = vec![
            (vec![(1, Learnt::Up); 2], (0, weight, dial)),
            (vec![(1, Learnt::Up); 2], (u32::from(policy == 0), other, 100)),
        ];
        let snapshot = snapshot(&members, policy);
        let own = if policy == 0 { 1.0 } else { f64::from(weight) / f64::from(weight + other) };
        let should = own * f64::from(dial) / 100.0;
        prop_assert!((share_of(&snapshot, 0) - should).abs() < 1e-6, "{}", share_of(&snapshot, 0));
    }

    #[test]
    fn shares_add_up_to_the_whole_and_every_segment_has_a_width(members in members(), policy in 0u8..3) {
        let snapshot = snapshot(&members, policy);
        let shares = &snapshot.routes[0].shares;
        prop_assert!(shares.segments.windows(2).all(|pair| pair[0].end < pair[1].end));
        prop_assert!(shares.segments.last().is_none_or(|last| last.end == 1 << 32));
        let enabled = snapshot.endpoints.iter().any(|view| view.admin == Admin::Enabled);
        prop_assert_eq!(shares.segments.is_empty(), !enabled);
    }

    #[test]
    fn no_unfit_endpoint_is_chosen_and_no_request_is_refused_without_need(
        members in members(), policy in 0u8..3, load: u64, seed: u64,
    ) {
        let snapshot = snapshot(&members, policy);
        let busy = RandomLoads(load);
        let mut tried: Vec<Tried> = Vec::new();
        loop {
            match ask(&snapshot, &busy, &tried, roll(seed as u32, mix(seed))) {
                Ok(decision) => {
                    let slot = decision.endpoint.index();
                    let (place, view) = (&snapshot.layout.endpoints[slot], &snapshot.endpoints[slot]);
                    prop_assert!(tried.iter().all(|tried| tried.endpoint != place.id), "tried twice");
                    prop_assert_eq!(view.admin, Admin::Enabled);
                    prop_assert!(busy.in_flight(decision.endpoint) < 3, "full");
                    prop_assert!(decision.reason == Reason::Panic || view.availability != Availability::Down);
                    prop_assert!(snapshot.routes[0].shares.stage != Stage::Panic || decision.reason == Reason::Panic);
                    tried.push(Tried { endpoint: place.id, pool: decision.pool, leave: false });
                }
                Err(refusal) => {
                    let left = || snapshot.layout.endpoints.iter().zip(&snapshot.endpoints).zip(0u32..).filter(
                        |((place, view), _)| {
                            view.admin == Admin::Enabled && tried.iter().all(|tried| tried.endpoint != place.id)
                        },
                    );
                    let full = left().any(|(_, slot)| busy.in_flight(EndpointSlot(slot)) >= 3);
                    let holds = match refusal {
                        Refusal::NoRoute | Refusal::Residency => false,
                        Refusal::NoEndpoint => left().count() == 0,
                        Refusal::Overloaded => full,
                    };
                    prop_assert!(holds, "{:?} after {:?}", refusal, tried);
                    break;
                }
            }
        }
    }

    #[test]
    fn a_resident_request_never_leaves_its_pools(
        members in members(), policy in 0u8..3, load: u64, seed: u64,
        places in prop::collection::vec((0u32..5, 1u32..3, any::<bool>()), 1..5),
    ) {
        let snapshot = snapshot_of(&members, |uses| geo_routes(uses, &places, policy));
        let busy = RandomLoads(load);
        for (nth, (_, _, residency)) in (0u8..).zip(&places) {
            let own: Vec<PoolSlot> =
                snapshot.layout.topology.routes[usize::from(nth) + 1].pools.iter().map(|member| member.pool).collect();
            let client = IpAddr::from([10, nth, 2, 1]);
            let mut tried: Vec<Tried> = Vec::new();
            let refusal = loop {
                match ask_from(client, &snapshot, &busy, &tried, roll(seed as u32, mix(seed))) {
                    Ok(decision) => {
                        prop_assert!(own.contains(&decision.pool), "{:?} of {:?}", decision, own);
                        prop_assert_eq!(decision.route, RouteSlot(0));
                        let endpoint = snapshot.layout.endpoints[decision.endpoint.index()].id;
                        tried.push(Tried { endpoint, pool: decision.pool, leave: seed.is_multiple_of(2) });
                    }
                    Err(refusal) => break refusal,
                }
            };
            let spelled = [Refusal::Overloaded, if *residency { Refusal::Residency } else { Refusal::NoEndpoint }];
            prop_assert!(spelled.contains(&refusal), "{:?}", refusal);
        }
    }

    #[test]
    fn the_route_is_the_one_that_a_plain_reading_of_the_rule_finds(
        routes in prop::collection::vec(
            (prop::collection::vec("(\\*\\.)?[ab](\\.[ab]){0,2}", 0..3), "(/[ab]{1,2}){0,3}"), 1..6,
        ),
        host in "[ab](\\.[ab]){0,3}",
        path in "(/[ab]{0,2}){1,4}",
    ) {
        let routes: Vec<Route> = routes
            .into_iter()
            .map(|(hosts, prefix)| Route {
                hosts: hosts.into_iter().map(Into::into).collect(),
                path_prefix: if prefix.is_empty() { "/".into() } else { prefix.into() },
                ..route(&[], 0)
            })
            .collect();
        let found = Matcher::new(&routes).find(&host, &path);
        prop_assert_eq!(found.map(Slot::index), plain(&routes, &host, &path));
    }

    #[test]
    fn a_roll_fits_the_numbers_of_json(turn: u32, noise: u64) {
        prop_assert!(roll(turn, noise) < 1 << 53);
    }
}
