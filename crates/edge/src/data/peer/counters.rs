//! An endpoint's series of one worker: made when it is laid out, so that a request only counts.

use std::sync::Arc;

use crate::{
    data::outcome::Outcome,
    shared::{
        meters::{Cell as Count, Histogram, Meters, Series},
        telemetry,
    },
};

/// An endpoint's counters of one worker.
#[derive(Debug)]
pub struct PeerMeters {
    /// Requests under way.
    pub in_flight: Arc<Count>,
    /// By [`Outcome`].
    pub outcomes: [Arc<Count>; Outcome::ALL.len()],
    /// Of its pool.
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
            outcomes: Outcome::ALL.map(outcome),
            first_byte: meters.histogram(Series::new(&telemetry::FIRST_BYTE, &[pool])),
            idle: upstream("idle"),
            active: upstream("active"),
        }
    }
}
