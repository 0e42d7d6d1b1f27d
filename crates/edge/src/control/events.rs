//! The event ring: recent state changes with their evidence, for the admin API and its followers. Bounded: the oldest
//! entry leaves; a follower that is too slow skips entries.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
    time::SystemTime,
};

use serde_json::{Map, Value, json};
use thalweg_core::{Change, Evidence, Incident, Order, ProbeCounts, SaidWeight, Tick, micros};
use tokio::sync::broadcast;

use crate::control::{order_json, wall_clock};

/// Entries kept.
const KEPT: usize = 1024;
/// Entries that a follower may be behind.
const LAG: usize = 256;

/// The ring. Cheap to clone; all clones share one ring.
#[derive(Clone, Debug)]
pub struct Events(Rc<Ring>);

#[derive(Debug)]
struct Ring {
    /// One JSON object per entry.
    entries: RefCell<VecDeque<Arc<str>>>,
    /// Entries added so far: the number of the newest one.
    added: Cell<u64>,
    followers: broadcast::Sender<Arc<str>>,
}

/// What a follower gets that has seen a part of the entries.
#[derive(Debug)]
pub struct Resumed {
    /// The number of the entry before the first one here.
    pub before: u64,
    /// The kept entries that it has not seen, oldest first.
    pub entries: Vec<Arc<str>>,
    /// Later entries.
    pub coming: broadcast::Receiver<Arc<str>>,
    /// It has missed entries that are no longer kept, or has none yet.
    pub missed: bool,
}

impl Default for Events {
    fn default() -> Self {
        Self(Rc::new(Ring {
            entries: RefCell::default(),
            added: Cell::new(0),
            followers: broadcast::Sender::new(LAG),
        }))
    }
}

impl Events {
    /// Adds a change.
    pub fn record(&self, change: &Change, now: Tick) {
        let (event, fields) = described(change, now);
        self.add(event, fields);
    }

    /// Adds an entry.
    pub fn add(&self, event: &str, fields: Value) {
        let mut entry = Map::new();
        entry.insert("time".into(), wall_clock::rfc3339(SystemTime::now()).into());
        entry.insert("event".into(), event.into());
        if let Value::Object(fields) = fields {
            entry.extend(fields);
        }
        let entry: Arc<str> = Value::Object(entry).to_string().into();
        let mut entries = self.0.entries.borrow_mut();
        if entries.len() == KEPT {
            entries.pop_front();
        }
        entries.push_back(Arc::clone(&entry));
        self.0.added.set(self.0.added.get() + 1);
        // An error means that there is no follower.
        let _ = self.0.followers.send(entry);
    }

    /// All entries as one JSON array, newest last.
    #[must_use]
    pub fn array(&self) -> String {
        let entries = self.0.entries.borrow();
        format!("[{}]", entries.iter().map(|entry| &**entry).collect::<Vec<_>>().join(",\n"))
    }

    /// The entries, and a receiver of later ones.
    #[must_use]
    pub fn follow(&self) -> (Vec<Arc<str>>, broadcast::Receiver<Arc<str>>) {
        (self.0.entries.borrow().iter().cloned().collect(), self.0.followers.subscribe())
    }

    /// The entries behind the one with this number (they count from 1), and a receiver of later ones. Without a number,
    /// or if entries behind it have left the ring: all entries.
    #[must_use]
    pub fn resume(&self, seen: Option<u64>) -> Resumed {
        let (entries, added) = (self.0.entries.borrow(), self.0.added.get());
        let oldest = added - entries.len() as u64;
        let known = seen.filter(|seen| (oldest..=added).contains(seen));
        let before = known.unwrap_or(oldest);
        let skipped = usize::try_from(before - oldest).unwrap_or(0);
        Resumed {
            before,
            entries: entries.iter().skip(skipped).cloned().collect(),
            coming: self.0.followers.subscribe(),
            missed: known.is_none(),
        }
    }

    /// The number of followers.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.0.followers.receiver_count()
    }
}

/// Evidence as fields of an entry.
#[must_use]
pub fn evidence(evidence: Option<&Evidence>) -> (Value, Value) {
    match evidence {
        Some(evidence) => (evidence.fault.as_str().into(), (&*evidence.detail).into()),
        None => (Value::Null, Value::Null),
    }
}

fn order_fields(order: &Order, cause: Option<&str>) -> Value {
    let mut fields = order_json::fields(order);
    if let Some(cause) = cause {
        fields.insert("cause".into(), cause.into());
    }
    Value::Object(fields)
}

fn described(change: &Change, now: Tick) -> (&'static str, Value) {
    match change {
        Change::Adopted { generation } => ("config_adopted", json!({ "generation": generation })),
        Change::CheckerSuspected { on, fallen, of, after_reload } => {
            let fields = json!({ "on": on, "fallen": fallen, "of": of, "after_reload": after_reload });
            ("checker_suspected", fields)
        }
        Change::Incident(incident) => ("incident", incident_fields(incident, now)),
        Change::OrderGiven { order, restored: true } => ("order_restored", order_fields(order, None)),
        Change::OrderGiven { order, restored: false } => ("order_given", order_fields(order, None)),
        Change::OrderEnded { order, cause } => ("order_ended", order_fields(order, Some(cause.as_str()))),
        Change::Resolved { host, addresses } => ("resolved", json!({ "host": host, "addresses": addresses })),
        Change::Pool { pool, below_threshold, available } => {
            ("pool", json!({ "pool": pool, "short": below_threshold, "available": available }))
        }
        Change::Failover { route, from, to } => {
            ("failover", json!({ "route": route, "from": from, "to": to }))
        }
        Change::Held { route, pool, hold } => {
            let hold_ms = hold.map(|hold| hold.as_millis());
            ("held", json!({ "route": route, "pool": pool, "hold_ms": hold_ms }))
        }
        Change::Failback { route, to, ramp } => {
            ("failback", json!({ "route": route, "to": to, "ramp_ms": ramp.as_millis() }))
        }
        Change::Damped { route, pool, endpoint, penalty, lasts } => {
            let fields = json!({
                "route": route, "pool": pool, "endpoint": endpoint.map(|at| at.to_string()), "on": lasts.is_some(),
                "penalty": (penalty * 100.0).round() / 100.0, "lasts_ms": lasts.map(|lasts| lasts.as_millis()),
            });
            ("damped", fields)
        }
        Change::Panic { route, on } => ("panic", json!({ "route": route, "on": on })),
        Change::Nearest { route, pools } => ("nearest", json!({ "route": route, "pools": pools })),
        of_endpoint => described_endpoint(of_endpoint),
    }
}

fn described_endpoint(change: &Change) -> (&'static str, Value) {
    match change {
        Change::Endpoint { key, from, to, evidence: seen } => {
            let (fault, detail) = evidence(seen.as_ref());
            let fields = json!({
                "pool": &*key.pool, "endpoint": key.address.to_string(), "from": from.as_str(),
                "to": to.as_str(), "fault": fault, "detail": detail,
            });
            ("endpoint", fields)
        }
        Change::Flapping { key, counts } => {
            let fields = json!({
                "pool": &*key.pool, "endpoint": key.address.to_string(), "on": counts.is_some(),
                "good": counts.map(|counts| counts.good), "of": counts.map(|counts| counts.of),
            });
            ("flapping", fields)
        }
        Change::Weighed { key, said } => {
            let fields = json!({
                "pool": &*key.pool, "endpoint": key.address.to_string(), "weight": said.percent,
                "degraded": said.degraded, "trouble": said.trouble,
            });
            ("weighed", fields)
        }
        Change::Ejected { key, cause, count, lasts, evidence: seen } => {
            let (fault, detail) = evidence(Some(seen));
            let fields = json!({
                "pool": &*key.pool, "endpoint": key.address.to_string(), "cause": cause.as_str(), "count": count,
                "lasts_ms": lasts.as_millis(), "fault": fault, "detail": detail,
            });
            ("ejected", fields)
        }
        Change::Spared { key, cause, evidence: seen } => {
            let (fault, detail) = evidence(Some(seen));
            let fields = json!({
                "pool": &*key.pool, "endpoint": key.address.to_string(), "cause": cause.as_str(), "fault": fault,
                "detail": detail,
            });
            ("spared", fields)
        }
        _ => ("change", Value::Null),
    }
}

/// Durations are relative to the first sign, in microseconds.
fn incident_fields(incident: &Incident, now: Tick) -> Value {
    let endpoints: Vec<String> = incident.endpoints.iter().map(ToString::to_string).collect();
    let after = |at: Tick| micros(at.since(incident.first_bad));
    let began = SystemTime::now().checked_sub(now.since(incident.first_bad)).map(wall_clock::rfc3339);
    json!({
        "scope": incident.scope.as_str(), "pool": &*incident.pool, "region": &*incident.region,
        "endpoints": endpoints, "cause": incident.cause.as_str(), "first_bad": began,
        "detected_after_us": after(incident.detected), "last_bad_after_us": after(incident.last_bad),
        "requests_failed": incident.failed, "requests_retried": incident.retried,
        "requests_hedged": incident.hedged, "added_p99_us": incident.added_p99.map(micros),
    })
}

/// Writes a change to the event log; the level says whether an operator must act.
pub fn log(change: &Change) {
    match change {
        Change::Adopted { generation } => tracing::info!(generation, "config adopted"),
        Change::Endpoint { key, from, to, evidence } => {
            let (from, to, pool, endpoint) = (from.as_str(), to.as_str(), &*key.pool, key.address);
            match evidence {
                Some(seen) => {
                    let (fault, detail) = (seen.fault.as_str(), &*seen.detail);
                    tracing::warn!(pool, %endpoint, from, to, fault, detail, "endpoint changed");
                }
                None => tracing::info!(pool, %endpoint, from, to, "endpoint changed"),
            }
        }
        Change::Ejected { key, cause, count, lasts, evidence } => {
            let (pool, endpoint, cause, lasts_ms) =
                (&*key.pool, key.address, cause.as_str(), lasts.as_millis());
            let (fault, detail) = (evidence.fault.as_str(), &*evidence.detail);
            tracing::warn!(pool, %endpoint, cause, count, lasts_ms, fault, detail, "endpoint ejected");
        }
        Change::Flapping { .. } | Change::Weighed { .. } | Change::Spared { .. } => log_judged(change),
        Change::CheckerSuspected { on: true, fallen, of, after_reload } => {
            tracing::error!(
                fallen,
                of,
                after_reload,
                "most endpoints failed their probes at once: suspect the checker"
            );
        }
        Change::CheckerSuspected { on: false, fallen, of, .. } => {
            tracing::info!(unhealthy = fallen, of, "the checker is no longer suspected");
        }
        Change::Incident(seen) => {
            let after = |at: Tick| micros(at.since(seen.first_bad)) / 1000;
            let (pool, region, scope, cause) =
                (&*seen.pool, &*seen.region, seen.scope.as_str(), seen.cause.as_str());
            let (detected_ms, last_bad_ms) = (after(seen.detected), after(seen.last_bad));
            let (failed, retried, hedged) = (seen.failed, seen.retried, seen.hedged);
            let added_p99_us = seen.added_p99.map(micros);
            tracing::warn!(
                pool,
                region,
                scope,
                cause,
                detected_ms,
                last_bad_ms,
                failed,
                retried,
                hedged,
                added_p99_us,
                "incident over"
            );
        }
        Change::OrderGiven { order, restored } => {
            log_order(order, if *restored { "restored" } else { "given" })
        }
        Change::OrderEnded { order, cause } => log_order(order, cause.as_str()),
        Change::Resolved { host, addresses } => tracing::info!(%host, addresses, "name resolved"),
        Change::Pool { pool, below_threshold: true, available } => {
            tracing::warn!(%pool, available, "pool is below its threshold")
        }
        Change::Pool { pool, below_threshold: false, available } => {
            tracing::info!(%pool, available, "pool is back")
        }
        Change::Failover { route, from, to } => tracing::warn!(%route, %from, %to, "failover"),
        Change::Held { .. } | Change::Failback { .. } | Change::Damped { .. } => log_return(change),
        Change::Panic { route, on: true } => tracing::error!(%route, "panic: health does not count"),
        Change::Panic { route, on: false } => tracing::info!(%route, "panic ended"),
        Change::Nearest { route, pools } => tracing::info!(%route, pools = pools.join(" "), "nearest pools"),
    }
}

/// How a pool or an endpoint finds its way back.
fn log_return(change: &Change) {
    match change {
        Change::Held { route, pool, hold: Some(hold) } => {
            tracing::info!(%route, %pool, hold_ms = hold.as_millis(), "pool is back and held");
        }
        Change::Held { route, pool, hold: None } => {
            tracing::warn!(%route, %pool, "pool is back and latched: it waits for `thalweg failback`");
        }
        Change::Failback { route, to, ramp } => {
            tracing::info!(%route, %to, ramp_ms = ramp.as_millis(), "failback");
        }
        Change::Damped { route, pool, endpoint, penalty, lasts } => {
            let (route, endpoint) = (route.as_deref(), endpoint.map(|at| at.to_string()));
            match lasts.map(|lasts| lasts.as_millis()) {
                Some(lasts_ms) => {
                    tracing::warn!(route, %pool, endpoint, penalty, lasts_ms, "flaps, and is damped")
                }
                None => tracing::info!(route, %pool, endpoint, penalty, "no longer damped"),
            }
        }
        _ => {}
    }
}

fn log_order(order: &Order, what: &str) {
    let (id, kind, target) = (order.id.0, order.action.kind(), order_json::target(&order.action));
    let (value, owner, reason) = (order_json::value(&order.action), &*order.owner, &*order.reason);
    tracing::info!(id, kind, %target, %value, owner, reason, force = order.forced, "order {what}");
}

/// Writes a change that takes no endpoint out.
fn log_judged(change: &Change) {
    match change {
        Change::Flapping { key, counts: Some(ProbeCounts { good, of }) } => {
            tracing::warn!(pool = %key.pool, endpoint = %key.address, good, of, "probes contradict each other");
        }
        Change::Flapping { key, counts: None } => {
            tracing::info!(pool = %key.pool, endpoint = %key.address, "probes agree again");
        }
        Change::Weighed { key, said: SaidWeight { percent, degraded, trouble } } => match trouble {
            Some(trouble) => tracing::warn!(
                pool = %key.pool, endpoint = %key.address, %trouble, "weight in the answer to a probe not understood"
            ),
            None => {
                tracing::info!(pool = %key.pool, endpoint = %key.address, percent, degraded, "endpoint weighs itself");
            }
        },
        Change::Spared { key, cause, evidence } => {
            let (pool, endpoint, cause) = (&*key.pool, key.address, cause.as_str());
            let (fault, detail) = (evidence.fault.as_str(), &*evidence.detail);
            tracing::warn!(pool, %endpoint, cause, fault, detail, "endpoint not ejected: the others fail as often");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_newest_events_and_followers_get_them() {
        let events = Events::default();
        for generation in 0..KEPT as u64 + 3 {
            events.record(&Change::Adopted { generation }, Tick(0));
        }
        let all: Vec<Value> = serde_json::from_str(&events.array()).unwrap();
        assert_eq!(
            (all.len(), &all[0]["generation"], &all[KEPT - 1]["generation"]),
            (KEPT, &json!(3), &json!(1026))
        );
        let (past, mut coming) = events.follow();
        assert_eq!((past.len(), events.followers()), (KEPT, 1));
        events.record(&Change::Panic { route: "api".into(), on: true }, Tick(0));
        assert!(coming.try_recv().unwrap().contains("\"panic\""));
    }

    #[test]
    fn a_follower_resumes_behind_the_entry_that_it_has_seen() {
        let events = Events::default();
        let kept = KEPT as u64;
        for generation in 1..=kept + 2 {
            events.record(&Change::Adopted { generation }, Tick(0));
        }
        let check = |seen: Option<u64>, before: u64, missed: bool| {
            let resumed = events.resume(seen);
            assert_eq!((resumed.before, resumed.missed), (before, missed), "{seen:?}");
            assert_eq!(resumed.entries.len() as u64, kept + 2 - before, "{seen:?}");
            if let Some(first) = resumed.entries.first() {
                assert!(first.contains(&format!("\"generation\":{}", before + 1)), "{first}");
            }
        };
        check(None, 2, true);
        check(Some(1), 2, true);
        check(Some(2), 2, false);
        check(Some(kept), kept, false);
        check(Some(kept + 2), kept + 2, false);
        check(Some(kept + 3), 2, true);
    }
}
