//! What is in force and what is known, as one JSON object. Reads the live snapshot and asks the keeper for evidence.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use serde_json::{Value, json};
use thalweg_config::{ConfigError, PoolSettings};
use thalweg_core::{Ejection, EndpointId, Evidence, GeoRule, PoolSlot, Route, RouteSlot, Tick};

use super::{
    dns,
    explain::{flapping, orders_of, shares, stage_name},
    returns, tls,
};
use crate::{
    control::{
        fleet::gossip,
        geo,
        state::{Control, EdgePhase},
        wall_clock,
    },
    shared::{
        Live,
        meters::{self, Series, Total},
        telemetry::{IN_FLIGHT, Metric},
    },
};

/// What the keeper knows of an endpoint beside its snapshot.
#[derive(Clone, Default)]
struct Known {
    /// Smoothed latency in microseconds.
    latency_us: Option<u32>,
    /// Ejections in a row.
    ejections: u32,
    last_probe: Option<(Tick, Result<std::time::Duration, Evidence>)>,
    /// The endpoint does not count in its pool.
    left_out: bool,
    /// What was wrong with the weight in its health answer.
    note: Option<Box<str>>,
}

type Seen = BTreeMap<EndpointId, Known>;

pub(crate) async fn of(control: &Control) -> Value {
    let live = control.shared.live.load_full();
    let layout = Arc::clone(&live.snapshot.layout);
    let seen = control.keeper.look(move |world| -> Seen {
        let left_out = world.left_out();
        let of = |id: EndpointId| {
            let health = world.health(id)?;
            let known = Known {
                latency_us: health.latency.micros(),
                ejections: world.ejection_count(id),
                last_probe: health.last.clone(),
                left_out: left_out.contains(&id),
                note: health.said.as_ref().and_then(|said| said.trouble.clone()),
            };
            Some((id, known))
        };
        layout.endpoints.iter().filter_map(|place| of(place.id)).collect()
    });
    let seen = seen.await.unwrap_or_default();
    let endpoints = Endpoints {
        live: &live,
        seen,
        in_flight: by_endpoint(control, &IN_FLIGHT),
        control,
        now: control.shared.now(),
    };
    let config = &live.wiring.config;
    let unready = control.ready().err();
    json!({
        "edge": { "name": config.edge.name, "region": config.edge.region, "cloud": config.edge.cloud },
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": control.began.0.elapsed().as_secs(),
        "ready": unready.is_none(),
        "unready": unready.map(|why| why.as_str()),
        "draining": control.phase.get() == EdgePhase::Draining,
        "generation": live.snapshot.generation,
        "revision": live.snapshot.revision,
        "config_hash": config.hash,
        "config_files": config.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>(),
        "warnings": config.warnings.iter().map(ConfigError::to_json).collect::<Vec<_>>(),
        "restart_required": *control.restart_required.borrow(),
        "last_reload": last_reload(control),
        "trial": control.trials.view().map(|view| view.shown()),
        "set_aside": set_aside(control),
        "history_error": control.history.error(),
        "orders": super::orders::list(control),
        "state": control.store.shown(control),
        "geo": geo::shown(control),
        "fleet": gossip::with_edges(control, control.fleet.shown(config.fleet.as_ref())),
        "announce": control.announce.shown(endpoints.now),
        "dns": dns::shown(control, &live),
        "listeners": config.listeners.iter().map(|one| listener(one, control)).collect::<Vec<_>>(),
        "routes": routes(&live, endpoints.now),
        "pools": (0..).zip(&config.topology.pools).map(|(slot, _)| endpoints.pool(PoolSlot(slot))).collect::<Vec<_>>(),
    })
}

fn last_reload(control: &Control) -> Value {
    control.last_reload.borrow().as_ref().map_or(Value::Null, |last| {
        let errors: Vec<Value> = last.errors.iter().map(ConfigError::to_json).collect();
        json!({ "result": last.result, "time": wall_clock::rfc3339(last.time), "errors": errors })
    })
}

/// The files that differ from what runs and do not count until they change.
fn set_aside(control: &Control) -> Value {
    control.set_aside.borrow().as_ref().map_or(Value::Null, |aside| {
        let files: Vec<String> = aside.files.iter().map(|file| file.display().to_string()).collect();
        json!({ "since": wall_clock::rfc3339(aside.since), "because": aside.because, "files": files })
    })
}

fn listener(listener: &thalweg_config::Listener, control: &Control) -> Value {
    json!({
        "name": listener.name, "bind": listener.bind.value.to_string(), "tls": listener.tls.is_some(),
        "http1": listener.http1, "http2": listener.http2, "http3": listener.http3,
        "tcp": listener.pass_through.is_some(),
        "host": listener.pass_through.as_ref().and_then(|rules| rules.host.as_deref()),
        "offers": listener.tls.as_ref().map(tls::offers),
        "certificates": tls::certificates(&listener.name, &control.certificates.borrow()),
    })
}

fn routes(live: &Live, now: Tick) -> Vec<Value> {
    let snapshot = &live.snapshot;
    let topology = &snapshot.layout.topology;
    let one = |slot: RouteSlot, route: &Route| {
        let view = snapshot.routes.get(slot).cloned().unwrap_or_default();
        let members = route.pools.iter().zip(&view.pools).zip(shares(snapshot, slot));
        let pools: Vec<Value> = members
            .map(|((member, seen), share)| {
                json!({
                    "pool": topology.pool(member.pool).map(|pool| &*pool.name),
                    "tier": member.tier, "weight": member.weight, "dial": member.dial,
                    "share": share, "near": seen.near, "held": seen.held,
                    "hold": returns::hold(seen, now), "ramp": returns::ramp(seen, now),
                    "orders": orders_of(snapshot, slot, member.pool),
                    "damped": returns::damped(seen.damped_until, now),
                })
            })
            .collect();
        json!({
            "name": &*route.name, "hosts": route.hosts, "path_prefix": &*route.path_prefix,
            "stage": stage_name(view.shares.stage), "panic": snapshot.in_panic(slot),
            "affinity": route.affinity.map(|rules| rules.by.as_str()),
            "first_round_done": view.first_round_done, "frozen": view.frozen, "pools": pools,
            "residency": route.residency,
        })
    };
    let rule = |rule: &GeoRule| {
        let shown = topology.route(rule.route).map(|route| one(rule.route, route)).unwrap_or_default();
        with(shown, "from", rule.from.iter().map(ToString::to_string).collect())
    };
    let written = topology.written_routes().map(|(slot, route)| {
        let rules = route.geo.as_ref().map_or(Value::Null, |geo| geo.rules().iter().map(rule).collect());
        with(one(slot, route), "geo", rules)
    });
    written.collect()
}

/// An object with one field more.
fn with(object: Value, field: &str, value: Value) -> Value {
    let Value::Object(mut fields) = object else { return object };
    fields.insert(field.to_owned(), value);
    Value::Object(fields)
}

/// A gauge by pool and endpoint, summed over the workers.
pub(super) fn by_endpoint(control: &Control, gauge: &Metric) -> BTreeMap<(Arc<str>, Arc<str>), u64> {
    let mut all = BTreeMap::new();
    for (series, total) in meters::totals(control.shared.meters.iter()) {
        if let (Series { metric, labels }, Total::Value(value)) = (&series, total)
            && **metric == *gauge
            && let [pool, endpoint] = labels.as_slice()
        {
            all.insert((Arc::clone(pool), Arc::clone(endpoint)), value);
        }
    }
    all
}

struct Endpoints<'a> {
    live: &'a Live,
    seen: Seen,
    in_flight: BTreeMap<(Arc<str>, Arc<str>), u64>,
    control: &'a Control,
    now: Tick,
}

impl Endpoints<'_> {
    fn pool(&self, slot: PoolSlot) -> Value {
        let snapshot = &self.live.snapshot;
        let (pool, view) = (snapshot.pool(slot), snapshot.pools.get(slot).copied().unwrap_or_default());
        let settings = self.live.wiring.config.pools.get(slot.index());
        let name = pool.map(|pool| &*pool.name).unwrap_or_default();
        let mut endpoints: Vec<Value> = snapshot
            .endpoints_of(slot)
            .map(|member| self.endpoint(name, member.place, member.view))
            .collect();
        let specs = pool.map(|pool| &*pool.endpoints).unwrap_or_default();
        let has_place =
            |nth: usize| snapshot.endpoints_of(slot).any(|member| member.place.spec.index() == nth);
        let without = specs.iter().enumerate().filter(|(nth, _)| !has_place(*nth));
        endpoints.extend(without.filter_map(|(_, spec)| self.without_address(name, spec)));
        let mut shown = json!({
            "name": name,
            "cloud": pool.map(|pool| &*pool.cloud), "region": pool.map(|pool| &*pool.region),
            "probe": settings.and_then(|settings| settings.probe.as_ref()).map(|probe| &*probe.name),
            "enabled": view.enabled, "up": view.up, "unproven": view.unproven,
            "available": view.available, "left_out": view.left_out, "short": view.below_threshold,
            "latency_us": view.latency_us,
            "capacity": pool.map(|pool| pool.capacity).filter(|capacity| *capacity > 0),
            "queue": self.queue(name, settings), "endpoints": endpoints,
        });
        if let Value::Object(shown) = &mut shown {
            shown.extend(returns::of_pool(snapshot, slot, self.now));
        }
        shown
    }

    /// How many requests wait for the pool, and how many may.
    fn queue(&self, pool: &str, settings: Option<&PoolSettings>) -> Option<Value> {
        let size = settings?.queue.size;
        let queues = self.control.shared.queues.iter().map(|queues| queues.open(pool));
        (size > 0)
            .then(|| json!({ "waiting": queues.map(|queue| queue.waiting.get()).sum::<u64>(), "size": size }))
    }

    fn endpoint(&self, pool: &str, place: &thalweg_core::Place, view: &thalweg_core::EndpointView) -> Value {
        let address = place.address.to_string();
        let key = (Arc::from(pool), Arc::from(&*address));
        let spec =
            self.live.snapshot.pool(place.pool).and_then(|pool| pool.endpoints.get(place.spec.index()));
        let known = self.seen.get(&place.id).cloned().unwrap_or_default();
        let until = match view.ejection {
            Ejection::Ejected { until } => SystemTime::now().checked_add(until.since(self.now)),
            Ejection::Clear | Ejection::Probation => None,
        };
        json!({
            "pool": pool, "address": address, "host": spec.map(|spec| &*spec.host), "weight": place.weight,
            "availability": view.availability.as_str(), "probe": view.probe.as_str(),
            "flapping": flapping(view), "scale": view.scale.as_f64(), "weight_from_body": view.said_percent,
            "admin": view.admin.as_str(), "ejection": view.ejection.as_str(),
            "ejected_until": until.map(wall_clock::rfc3339), "ejection_count": known.ejections,
            "refusing": view.refusing, "slow_start": returns::growing(view.slow_start, self.now),
            "damped": returns::damped(view.damped_until, self.now),
            "latency_us": known.latency_us.or(view.latency_us), "p95_us": view.p95_us,
            "in_flight": self.in_flight.get(&key).copied().unwrap_or(0),
            "left_out": known.left_out, "left_dns": spec.is_some_and(|spec| self.left_dns(spec, place)),
            "last_probe": known.last_probe.map(|(at, result)| self.last_probe(at, &result, known.note.as_deref())),
            "last_unreached": self.last_unreached(place.id),
        })
    }

    /// Whether DNS does not name the address any more.
    fn left_dns(&self, spec: &thalweg_core::EndpointSpec, place: &thalweg_core::Place) -> bool {
        self.control.names.leaving.has(&spec.host, place.address.ip())
    }

    /// Why requests could last not connect to an endpoint.
    fn last_unreached(&self, id: EndpointId) -> Option<Value> {
        let last = self.control.failures.of(id)?;
        let time = SystemTime::now().checked_sub(self.now.since(last.at)).map(wall_clock::rfc3339);
        Some(json!({ "result": last.fault.as_str(), "time": time, "error": &*last.detail }))
    }

    /// A configured endpoint whose name has no address: nothing of it is in the snapshot.
    fn without_address(&self, pool: &str, spec: &thalweg_core::EndpointSpec) -> Option<Value> {
        let why = self.control.names.why_without_address(spec)?;
        Some(json!({
            "pool": pool, "address": format!("{}:{}", spec.host, spec.port), "host": &*spec.host,
            "weight": spec.weight, "availability": "down", "probe": "unknown", "admin": "enabled",
            "flapping": null, "scale": 1.0, "weight_from_body": null,
            "ejection": "clear", "ejected_until": null, "ejection_count": 0, "refusing": false,
            "slow_start": null, "damped": null, "latency_us": null, "p95_us": null, "in_flight": 0,
            "left_out": false, "left_dns": false, "last_unreached": null,
            "last_probe": { "result": "unresolved", "time": null, "error": why },
        }))
    }

    /// `note`: what was wrong with a good answer.
    fn last_probe(
        &self,
        at: Tick,
        result: &Result<std::time::Duration, Evidence>,
        note: Option<&str>,
    ) -> Value {
        let time = SystemTime::now().checked_sub(self.now.since(at)).map(wall_clock::rfc3339);
        match result {
            Ok(latency) => json!({
                "result": "ok", "time": time, "latency_us": thalweg_core::micros(*latency), "error": null,
                "note": note,
            }),
            Err(seen) => json!({ "result": seen.fault.as_str(), "time": time, "error": &*seen.detail }),
        }
    }
}
