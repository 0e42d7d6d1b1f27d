//! Why endpoints could not be connected to: what the attempts of requests report, as a line of the log, an event and a
//! row of `status`. Without this the cause would show only where a pool is probed. Judges nothing.
//!
//! A dead endpoint fails thousands of connects, so a line is written when the fault changes, and again after
//! `REPEAT`; the last failure is kept for `status` each time.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use serde_json::json;
use thalweg_core::{EndpointId, Fault, Tick};
use tokio::sync::broadcast::error::RecvError;

use crate::{
    control::{
        events::Events,
        probe::{evidence, printable},
    },
    shared::{Shared, Unreached},
};

/// A fault that goes on is told again after this long.
const REPEAT: Duration = Duration::from_secs(60);
/// Shortest time between two lines about one endpoint, whatever its faults.
const GAP: Duration = Duration::from_secs(1);

/// The last failure of each endpoint.
#[derive(Clone, Debug, Default)]
pub struct LastFailures(Rc<RefCell<BTreeMap<EndpointId, Noted>>>);

#[derive(Debug)]
struct Noted {
    last: Unreached,
    /// The fault that the log names, and when it was written.
    told: Option<(Fault, Tick)>,
}

impl LastFailures {
    /// The last failure of an endpoint.
    #[must_use]
    pub fn of(&self, id: EndpointId) -> Option<Unreached> {
        self.0.borrow().get(&id).map(|noted| noted.last.clone())
    }

    /// Keeps a failure. Says whether the log should tell it.
    fn note(&self, failure: Unreached) -> bool {
        let mut all = self.0.borrow_mut();
        let told = all.get(&failure.id).and_then(|noted| noted.told);
        let is_news = told.is_none_or(|(fault, at)| {
            let since = failure.at.since(at);
            since >= REPEAT || (fault != failure.fault && since >= GAP)
        });
        let told = if is_news { Some((failure.fault, failure.at)) } else { told };
        all.insert(failure.id, Noted { last: failure, told });
        is_news
    }

    /// Forgets the endpoints for which `keep` is false.
    fn retain(&self, keep: impl Fn(EndpointId) -> bool) {
        self.0.borrow_mut().retain(|id, _| keep(*id));
    }
}

/// Takes reports in until every sender is gone.
pub async fn run(shared: Arc<Shared>, events: Events, failures: LastFailures) {
    let mut reports = shared.unreached.subscribe();
    let mut seen = 0;
    loop {
        let failure = match reports.recv().await {
            Ok(failure) => failure,
            // Far too many to read them all: the next ones say the same.
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        let live = shared.live.load_full();
        let layout = &live.snapshot.layout;
        if std::mem::replace(&mut seen, layout.number) != layout.number {
            failures.retain(|id| layout.endpoints.iter().any(|place| place.id == id));
        }
        // The endpoint may have left while its last attempts ended.
        let Some(place) = layout.endpoints.iter().find(|place| place.id == failure.id) else { continue };
        let pool = live.snapshot.pool(place.pool).map(|pool| &*pool.name).unwrap_or_default();
        // A certificate's names are the endpoint's words.
        let detail = evidence(failure.fault, &printable(&failure.detail)).detail;
        let fault = failure.fault.as_str();
        let failure = Unreached { detail: detail.clone(), ..failure };
        if failures.note(failure) {
            tracing::warn!(pool, endpoint = %place.address, fault, detail = &*detail, "endpoint not reached");
            let endpoint = place.address.to_string();
            let fields = json!({ "pool": pool, "endpoint": endpoint, "fault": fault, "detail": &*detail });
            events.add("unreached", fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_once_and_again_after_a_minute_or_when_it_changes() {
        let failures = LastFailures::default();
        for (ms, id, fault, told) in [
            (0, 1, Fault::Refused, true),
            (5, 1, Fault::Refused, false),
            (6, 2, Fault::Refused, true),
            (500, 1, Fault::Timeout, false),
            (1_000, 1, Fault::Timeout, true),
            (2_000, 1, Fault::Refused, true),
            (61_999, 1, Fault::Refused, false),
            (62_000, 1, Fault::Refused, true),
        ] {
            let failure = Unreached { id: EndpointId(id), fault, detail: "x".into(), at: Tick(ms * 1_000) };
            assert_eq!(failures.note(failure), told, "{ms} {id}");
        }
        failures.retain(|id| id == EndpointId(2));
        assert_eq!(failures.of(EndpointId(1)), None);
        assert_eq!(failures.of(EndpointId(2)).map(|last| last.at), Some(Tick(6_000)));
    }
}
