//! Small topologies for the tests beside the code.

use crate::{
    event::Change,
    facts::{Facts, Tried},
    incident::Incident,
    slot::Slot,
    topology::{Band, EndpointSpec, Failback, Pool, ProbeRules, Route, RoutePool},
    view::PoolView,
};

/// A request without anything special, which has been tried at these endpoints.
pub(crate) fn facts(tried: &[Tried]) -> Facts<'_> {
    Facts {
        host: "h",
        path: "/",
        client: [1, 1, 1, 1].into(),
        location: Default::default(),
        tried,
        replayable: true,
        bound: None,
    }
}

pub(crate) fn route(name: &str, pools: &[RoutePool]) -> Route {
    Route { name: name.into(), pools: pools.to_vec(), ..Route::default() }
}

pub(crate) fn failover(pools: usize) -> Route {
    let member = |pool: usize| RoutePool { tier: pool as u32, ..RoutePool::new(Slot::at(pool)) };
    route("failover", &(0..pools).map(member).collect::<Vec<_>>())
}

/// A route of these pools, each with weight and dial.
pub(crate) fn weighted(pools: &[(u32, u8)]) -> Route {
    let member = |(pool, (weight, dial)): (usize, &(u32, u8))| RoutePool {
        pool: Slot::at(pool),
        tier: 0,
        weight: *weight,
        dial: *dial,
    };
    let members: Vec<_> = pools.iter().enumerate().map(member).collect();
    Route { share_leftover: true, failback: Failback::IMMEDIATE, ..route("weighted", &members) }
}

pub(crate) fn latency(pools: usize) -> Route {
    let member = |pool: usize| RoutePool::new(Slot::at(pool));
    Route { band: Some(Band::default()), ..route("latency", &(0..pools).map(member).collect::<Vec<_>>()) }
}

/// The incidents in a log.
pub(crate) fn incidents(log: &[Change]) -> Vec<&Incident> {
    log.iter()
        .filter_map(|change| match change {
            Change::Incident(incident) => Some(incident),
            _ => None,
        })
        .collect()
}

/// A view of so many enabled endpoints, of which so many are Up and so many Unproven.
pub(crate) fn view((enabled, up, unproven): (u32, u32, u32)) -> PoolView {
    let proven = enabled - unproven;
    let available = if proven == 0 { 0.0 } else { f64::from(up) / f64::from(proven) };
    PoolView {
        enabled,
        up,
        unproven,
        answering: enabled,
        proving: 0,
        out: 0,
        left_out: 0,
        available,
        damped: 0,
        started: available,
        starting: 0.0,
        reduced: 0.0,
        reduced_takes: 0.0,
        kept: available,
        below_threshold: up == 0 || available < 0.5,
        latency_us: None,
    }
}

pub(crate) fn pool(name: &str, endpoints: &[&str]) -> Pool {
    let spec = |host: &&str| EndpointSpec {
        host: (*host).into(),
        port: 8000,
        weight: 1,
        family: Default::default(),
    };
    Pool {
        name: name.into(),
        cloud: "aws".into(),
        region: name.into(),
        probe: Some(ProbeRules::default()),
        endpoints: endpoints.iter().map(spec).collect(),
        ..Pool::default()
    }
}
