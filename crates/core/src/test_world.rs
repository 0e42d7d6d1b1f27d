//! Small topologies for the tests beside the code.

use std::time::Duration;

use crate::{
    event::Change,
    incident::Incident,
    slot::Slot,
    topology::{Band, EjectRules, EndpointSpec, Pool, ProbeRules, RetryRules, Route, RoutePool, Timeouts},
    view::PoolView,
};

pub(crate) fn route(name: &str, pools: &[RoutePool]) -> Route {
    let second = Duration::from_secs(1);
    Route {
        name: name.into(),
        hosts: Vec::new(),
        path_prefix: "/".into(),
        pools: pools.to_vec(),
        band: None,
        share_leftover: false,
        failback_hold: Duration::from_secs(10),
        overprovision: 1.4,
        timeouts: Timeouts {
            connect: second,
            first_byte: second * 15,
            idle: second * 60,
            total: second * 60,
        },
        retry: RetryRules {
            attempts: 2,
            on_connect: true,
            on_reset: true,
            on_5xx: true,
            budget: 0.1,
            buffer: 65536,
            hedge: false,
        },
    }
}

pub(crate) fn failover(pools: usize) -> Route {
    let member = |pool: usize| RoutePool { pool: Slot::at(pool), tier: pool as u32, weight: 1, dial: 100 };
    route("failover", &(0..pools).map(member).collect::<Vec<_>>())
}

/// `(weight, dial)` per pool.
pub(crate) fn weighted(pools: &[(u32, u8)]) -> Route {
    let member = |(pool, (weight, dial)): (usize, &(u32, u8))| RoutePool {
        pool: Slot::at(pool),
        tier: 0,
        weight: *weight,
        dial: *dial,
    };
    let members: Vec<_> = pools.iter().enumerate().map(member).collect();
    Route { share_leftover: true, failback_hold: Duration::ZERO, ..route("weighted", &members) }
}

pub(crate) fn latency(pools: usize) -> Route {
    let member = |pool: usize| RoutePool { pool: Slot::at(pool), tier: 0, weight: 1, dial: 100 };
    let band = Band { width: Duration::from_millis(10), hysteresis: 0.1, dwell: Duration::from_secs(2) };
    Route { band: Some(band), ..route("latency", &(0..pools).map(member).collect::<Vec<_>>()) }
}

/// Those that were told.
pub(crate) fn incidents(log: &[Change]) -> Vec<&Incident> {
    log.iter()
        .filter_map(|change| match change {
            Change::Incident(incident) => Some(incident),
            _ => None,
        })
        .collect()
}

/// `(enabled, up, unproven)`.
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
        available,
        short: up == 0 || available < 0.5,
        latency_us: None,
    }
}

pub(crate) fn pool(name: &str, endpoints: &[&str]) -> Pool {
    let spec = |host: &&str| EndpointSpec { host: (*host).into(), port: 8000, weight: 1 };
    let probe = ProbeRules {
        interval: Duration::from_secs(1),
        confirm: Duration::from_millis(100),
        timeout: Duration::from_millis(300),
        rise: 2,
        fall: 2,
    };
    Pool {
        name: name.into(),
        cloud: "aws".into(),
        region: name.into(),
        probe: Some(probe),
        endpoints: endpoints.iter().map(spec).collect(),
        max_in_flight: 0,
        panic_threshold: 0.5,
        eject: EjectRules::default(),
    }
}
