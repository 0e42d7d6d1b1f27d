//! Tells the operator's webhook when pools and routes change their state. Never delays a decision: events are taken from the
//! ring's followers, wait in a bounded queue, and are dropped and counted when the webhook does not take them.
//!
//! Why batches with a key, and not one call per event: an outage brings tens of events within a second, and a webhook
//! that was away gets what it missed in one call. A batch that is sent again has the same `Idempotency-Key`.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    sync::{Notify, broadcast::error::RecvError},
    time::sleep,
};

use crate::{
    control::{
        events::Events,
        post::{PostError, Report, post},
        wall_clock,
    },
    shared::{
        Live, ReportTarget, Shared,
        meters::{Cell, Meters, Series},
        telemetry::NOTIFICATIONS,
    },
};

/// Events that wait; the oldest leaves first.
const QUEUE: usize = 512;
/// Events of one call.
const BATCH: usize = 64;
/// Events within this time go together.
const GATHER: Duration = Duration::from_millis(100);
/// Pauses between the calls for one batch: about a minute, then the batch is dropped.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
    Duration::from_secs(32),
];
/// The events that say how a pool or a route is. Those of single endpoints are left to the metrics and the log.
const TOLD: [&str; 8] = ["pool", "failover", "failback", "held", "damped", "panic", "nearest", "incident"];

/// Events on their way to the webhook.
#[derive(Debug)]
struct Outgoing {
    waiting: RefCell<VecDeque<Arc<str>>>,
    arrived: Notify,
    sent: Arc<Cell>,
    failed: Arc<Cell>,
    dropped: Arc<Cell>,
}

/// Tells the webhook until the task is dropped.
pub async fn run(shared: Arc<Shared>, events: Events, meters: Arc<Meters>) {
    let cell = |result: &str| meters.cell(Series::new(&NOTIFICATIONS, &[&Arc::from(result)]));
    let outgoing = Rc::new(Outgoing {
        waiting: RefCell::default(),
        arrived: Notify::new(),
        sent: cell("sent"),
        failed: cell("failed"),
        dropped: cell("dropped"),
    });
    tokio::select! {
        () = gather(&shared, &events, &outgoing) => {}
        () = deliver(&shared, &outgoing) => {}
    }
}

/// Takes events while a webhook is configured.
async fn gather(shared: &Shared, events: &Events, outgoing: &Outgoing) {
    let (_, mut coming) = events.follow();
    loop {
        match coming.recv().await {
            Ok(entry) => {
                if is_told(&entry) && shared.live.load().wiring.webhook.is_some() {
                    outgoing.add(entry);
                }
            }
            Err(RecvError::Lagged(missed)) => outgoing.dropped.add(missed),
            Err(RecvError::Closed) => return,
        }
    }
}

fn is_told(entry: &str) -> bool {
    let entry: Value = serde_json::from_str(entry).unwrap_or_default();
    let of_endpoint = entry.get("endpoint").is_some_and(|endpoint| !endpoint.is_null());
    let name = entry.get("event").and_then(Value::as_str).unwrap_or_default();
    TOLD.contains(&name) && !of_endpoint
}

impl Outgoing {
    fn add(&self, entry: Arc<str>) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() == QUEUE {
            waiting.pop_front();
            self.dropped.bump();
        }
        waiting.push_back(entry);
        self.arrived.notify_one();
    }

    /// Waits for events; takes those that came together.
    async fn batch(&self) -> Vec<Arc<str>> {
        while self.waiting.borrow().is_empty() {
            self.arrived.notified().await;
        }
        sleep(GATHER).await;
        let mut waiting = self.waiting.borrow_mut();
        let count = waiting.len().min(BATCH);
        waiting.drain(..count).collect()
    }
}

async fn deliver(shared: &Shared, outgoing: &Outgoing) {
    let boot = wall_clock::unix(SystemTime::now()).as_millis();
    for number in 1_u64.. {
        let batch = outgoing.batch().await;
        let count = batch.len() as u64;
        let delivered = tell(shared, outgoing, (&batch, &format!("{boot}-{number}"))).await;
        if delivered { outgoing.sent.add(count) } else { outgoing.dropped.add(count) }
    }
}

/// Sends a batch until it has arrived. Returns whether it has: the webhook may refuse it, or leave the config.
async fn tell(shared: &Shared, outgoing: &Outgoing, (batch, key): (&[Arc<str>], &str)) -> bool {
    let mut pauses = PAUSES.into_iter();
    loop {
        let live = shared.live.load_full();
        let Some(target) = &live.wiring.webhook else { return false };
        let Err(error) = post(target, report(&live, batch, key)).await else { return true };
        outgoing.failed.bump();
        let pause = if error.may_pass() { pauses.next() } else { None };
        log(target, &error, pause.is_some());
        let Some(pause) = pause else { return false };
        sleep(pause).await;
    }
}

fn log(target: &ReportTarget, error: &PostError, again: bool) {
    // The path of a webhook is often its secret.
    let host = &*target.server.host;
    if again {
        tracing::info!(host, %error, "webhook not reached, to be tried again");
    } else {
        tracing::warn!(host, %error, "webhook not reached, its events are dropped");
    }
}

fn report(live: &Live, batch: &[Arc<str>], key: &str) -> Report {
    let edge = &live.wiring.config.edge;
    let events: Vec<Value> = batch.iter().filter_map(|entry| serde_json::from_str(entry).ok()).collect();
    let body = json!({
        "edge": { "name": edge.name, "region": edge.region, "cloud": edge.cloud },
        "generation": live.snapshot.generation,
        "events": events,
    });
    Report {
        content_type: "application/json",
        key: Some(key.to_owned()),
        body: Bytes::from(body.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_and_routes_are_told_and_endpoints_are_not() {
        for (entry, expected) in [
            (json!({ "event": "pool", "pool": "p", "short": true }), true),
            (json!({ "event": "failover", "route": "r", "from": "a", "to": "b" }), true),
            (json!({ "event": "damped", "route": "r", "pool": "p", "endpoint": null }), true),
            (json!({ "event": "damped", "route": null, "pool": "p", "endpoint": "10.0.0.1:80" }), false),
            (json!({ "event": "endpoint", "pool": "p", "endpoint": "10.0.0.1:80" }), false),
            (json!({ "event": "order_given" }), false),
            (json!({}), false),
        ] {
            assert_eq!(is_told(&entry.to_string()), expected, "{entry}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded_and_drops_the_oldest() {
        let meters = Meters::default();
        let cell = |result: &str| meters.cell(Series::new(&NOTIFICATIONS, &[&Arc::from(result)]));
        let outgoing = Outgoing {
            waiting: RefCell::default(),
            arrived: Notify::new(),
            sent: cell("sent"),
            failed: cell("failed"),
            dropped: cell("dropped"),
        };
        (0..QUEUE + 3).for_each(|nth| outgoing.add(nth.to_string().into()));
        assert_eq!(outgoing.dropped.get(), 3);
        let batch = outgoing.batch().await;
        assert_eq!((batch.len(), &*batch[0]), (BATCH, "3"));
    }
}
