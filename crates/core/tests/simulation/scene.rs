//! Random configs, and random edits of them: what a storm of reloads brings.

use std::time::Duration;

use thalweg_core::{
    Affinity, Band, ClientMark, DampingRules, EjectRules, EndpointSpec, Failback, OnFailure, Pool, PoolSlot,
    ProbeRules, RetryRules, Route, RoutePool, Slot, Timeouts, Topology, mix,
};

use crate::prng::Prng;

/// At least three pools of at least three endpoints, and one to three routes over them.
pub(crate) fn topology(rng: &mut Prng) -> Topology {
    let pools: Vec<Pool> = (0..3 + rng.below(2)).map(|nth| pool(rng, nth)).collect();
    let routes = (0..1 + rng.below(3)).map(|nth| route(rng, nth, pools.len())).collect();
    Topology { pools, routes }
}

/// One to three random edits.
pub(crate) fn edited(rng: &mut Prng, before: &Topology) -> Topology {
    let mut topology = before.clone();
    for _ in 0..=rng.below(3) {
        edit(rng, &mut topology);
    }
    topology
}

fn edit(rng: &mut Prng, topology: &mut Topology) {
    let (pools, routes) = (topology.pools.len(), topology.routes.len());
    let (nth, which) = (rng.below(pools), rng.below(routes));
    match rng.below(13) {
        0 | 1 => {
            for spec in &mut topology.pools[nth].endpoints {
                spec.weight = rng.pick(&[0, 1, 1, 2, 100]);
            }
        }
        2 => topology.pools[nth].endpoints.push(spec(rng, nth, rng_host(rng.0))),
        3 if topology.pools[nth].endpoints.len() > 1 => {
            let gone = rng.below(topology.pools[nth].endpoints.len());
            topology.pools[nth].endpoints.remove(gone);
        }
        4 if pools < 6 => {
            let name = rng.below(9);
            if topology.pools.iter().all(|pool| *pool.name != *format!("p{name}")) {
                topology.pools.push(pool(rng, name));
            }
        }
        5 if pools > 2 => remove_pool(topology, nth),
        6 => topology.pools[nth].probe = probe(rng),
        7 => {
            let fresh = pool(rng, nth);
            let pool = &mut topology.pools[nth];
            (pool.panic_threshold, pool.max_in_flight) = (fresh.panic_threshold, fresh.max_in_flight);
            pool.eject = fresh.eject;
        }
        8 => {
            let name = rng.below(4);
            if topology.routes.iter().all(|route| *route.name != *format!("r{name}")) {
                topology.routes.push(route(rng, name, pools));
            }
        }
        9 if routes > 1 => {
            topology.routes.remove(which);
        }
        10 => {
            topology.pools.rotate_left(1);
            for member in topology.routes.iter_mut().flat_map(|route| &mut route.pools) {
                member.pool = Slot::at((member.pool.index() + pools - 1) % pools);
            }
        }
        _ => {
            let name = topology.routes[which].name.clone();
            let nth = name[1..].parse().unwrap();
            topology.routes[which] = route(rng, nth, pools);
        }
    }
}

fn remove_pool(topology: &mut Topology, gone: usize) {
    topology.pools.remove(gone);
    for route in &mut topology.routes {
        route.pools.retain(|member| member.pool.index() != gone);
        for member in &mut route.pools {
            let after = member.pool.index() > gone;
            member.pool = Slot::at(member.pool.index() - usize::from(after));
        }
        if route.pools.is_empty() {
            route.pools.push(RoutePool::new(PoolSlot(0)));
        }
    }
}

fn rng_host(seed: u64) -> usize {
    seed as usize % 8
}

fn spec(rng: &mut Prng, pool: usize, nth: usize) -> EndpointSpec {
    let name = rng.percent(25);
    let host =
        if name { format!("n{}.test", rng.below(4)) } else { format!("10.{}.0.{}", pool % 9, nth + 1) };
    EndpointSpec {
        host: host.into(),
        port: rng.pick(&[8000, 8000, 8001]),
        weight: rng.pick(&[0, 1, 1, 1, 3]),
        family: Default::default(),
    }
}

fn probe(rng: &mut Prng) -> Option<ProbeRules> {
    let (rise, fall) = (rng.pick(&[1, 2, 3]), rng.pick(&[1, 2, 3]));
    let rules = ProbeRules { rise, fall, weight_from_body: rng.percent(40), ..ProbeRules::default() };
    if rng.percent(8) { None } else { Some(rules) }
}

fn pool(rng: &mut Prng, nth: usize) -> Pool {
    Pool {
        name: format!("p{nth}").into(),
        cloud: "aws".into(),
        region: format!("region{}", nth % 3).into(),
        probe: probe(rng),
        endpoints: (0..3 + rng.below(2)).map(|host| spec(rng, nth, host)).collect(),
        max_in_flight: rng.pick(&[0, 0, 0, 2, 5]),
        capacity: rng.pick(&[0, 0, 0, 100]),
        panic_threshold: rng.pick(&[0.5, 0.5, 0.3, 0.0, 1.0]),
        eject: eject(rng),
    }
}

fn eject(rng: &mut Prng) -> EjectRules {
    let s = Duration::from_secs;
    EjectRules {
        consecutive_failures: rng.pick(&[3, 3, 3, 1, 5, 0]),
        failure_ratio: rng.pick(&[0.2, 0.2, 0.5, 0.0]),
        min_requests: rng.pick(&[10, 10, 4]),
        window: rng.pick(&[s(10), s(10), s(10), s(2), s(120), s(600)]),
        base: rng.pick(&[s(2), s(2), Duration::from_millis(500)]),
        max: rng.pick(&[s(60), s(60), s(3)]),
        max_share: rng.pick(&[0.5, 0.5, 0.2, 1.0]),
    }
}

fn route(rng: &mut Prng, nth: usize, pools: usize) -> Route {
    let policy = rng.below(3);
    let mut members: Vec<RoutePool> = Vec::new();
    let first = rng.below(pools);
    for turn in 0..1 + rng.below(pools) {
        let tier = if policy == 0 { turn as u32 } else { 0 };
        let tier = if rng.percent(15) { rng.below(3) as u32 } else { tier };
        members.push(RoutePool {
            pool: Slot::at((first + turn) % pools),
            tier,
            weight: rng.pick(&[0, 1, 1, 1, 2, 5]),
            dial: rng.pick(&[0, 1, 50, 100, 100, 100, 100, 100]),
        });
    }
    let ms = Duration::from_millis;
    let band = Band { dwell: rng.pick(&[ms(0), ms(2000)]), ..Band::default() };
    Route {
        name: format!("r{nth}").into(),
        hosts: Vec::new(),
        path_prefix: format!("/r{nth}").into(),
        pools: members,
        band: (policy == 2).then_some(band),
        share_leftover: policy == 1,
        failback: failback(rng, policy == 1),
        damping: damping(rng),
        overprovision: rng.pick(&[1.0, 1.4, 2.0]),
        retry: RetryRules {
            attempts: rng.below(5) as u32,
            budget: rng.pick(&[0.0, 0.1, 0.5]),
            ..RetryRules::default()
        },
        timeouts: Timeouts::default(),
        geo: None,
        residency: nth % 3 == 1,
        parent: None,
        affinity: affinity(rng),
    }
}

/// Takes no chance of its own: the story of a seed stays as it is without affinity.
fn affinity(rng: &Prng) -> Option<Affinity> {
    let rng = &mut Prng(mix(rng.0));
    let by = rng.pick(&[ClientMark::Address, ClientMark::Cookie]);
    let on_failure = rng.pick(&[OnFailure::Return, OnFailure::Return, OnFailure::Stick, OnFailure::Refuse]);
    rng.percent(12).then_some(Affinity { by, on_failure })
}

fn damping(rng: &mut Prng) -> Option<DampingRules> {
    let seconds = Duration::from_secs;
    let quick = DampingRules {
        suppress: 2.0,
        reuse: 0.5,
        half_life: seconds(5),
        max: seconds(20),
        ..Default::default()
    };
    rng.pick(&[None, Some(DampingRules::default()), Some(DampingRules::default()), Some(quick)])
}

fn failback(rng: &mut Prng, weighted: bool) -> Failback {
    let ms = Duration::from_millis;
    let hold = if weighted { ms(0) } else { rng.pick(&[ms(0), ms(1000), ms(10_000)]) };
    let ramp = if weighted { ms(0) } else { rng.pick(&[ms(0), ms(0), ms(700), ms(30_000)]) };
    let slow_start = if weighted { rng.pick(&[ms(0), ms(5000)]) } else { ms(0) };
    Failback { hold: if rng.percent(15) { None } else { Some(hold) }, ramp, slow_start }
}
