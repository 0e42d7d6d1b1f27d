//! The metric series of one endpoint in one worker, made when the endpoint is laid out, so that a request only counts.

use std::sync::Arc;

use crate::{
    data::{leave::Streams, outcome::Outcome},
    shared::{
        meters::{Cell as Count, Histogram, Meters, Series},
        telemetry,
    },
};

/// The counters of one endpoint in one worker.
#[derive(Debug)]
pub struct PeerMeters {
    /// Requests in flight.
    pub in_flight: Arc<Count>,
    /// Upgraded streams among them, and when they end.
    pub streams: Streams,
    /// Attempts by [`Outcome`].
    pub outcomes: [Arc<Count>; Outcome::ALL.len()],
    /// Time to the first byte, by pool.
    pub first_byte: Arc<Histogram>,
    /// Idle connections of its pool.
    pub idle: Arc<Count>,
    /// Connections of its pool in use.
    pub active: Arc<Count>,
}

impl PeerMeters {
    /// Finds or makes the series.
    #[must_use]
    pub fn new(meters: &Meters, pool: &Arc<str>, label: &Arc<str>) -> Self {
        let outcome = |outcome: Outcome| {
            meters.cell(Series::new(&telemetry::ENDPOINT_REQUESTS, &[pool, label, &outcome.as_str().into()]))
        };
        let upstream = |state: &str| meters.cell(Series::new(&telemetry::UPSTREAM, &[pool, &state.into()]));
        Self {
            in_flight: meters.cell(Series::new(&telemetry::IN_FLIGHT, &[pool, label])),
            streams: Streams::new(meters.cell(Series::new(&telemetry::STREAMS, &[pool, label]))),
            outcomes: Outcome::ALL.map(outcome),
            first_byte: meters.histogram(Series::new(&telemetry::FIRST_BYTE, &[pool])),
            idle: upstream("idle"),
            active: upstream("active"),
        }
    }
}
