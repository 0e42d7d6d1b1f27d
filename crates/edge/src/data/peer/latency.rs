//! What a worker knows of an endpoint's time to an answer: learned from attempts, forgotten without them.

use std::time::Duration;

use thalweg_core::{faded, micros, smoothed};

use super::Peer;
use crate::data::outcome::Outcome;

impl Peer {
    /// Learns from an attempt that ended; `took` is the time to the head of its answer, if that says something.
    pub fn learn(&self, outcome: Outcome, took: Option<Duration>, acquitted: bool) {
        if let Some(cell) = self.meters.outcomes.get(outcome as usize) {
            cell.bump();
        }
        let known = self.latency_us.get();
        let outcome = if acquitted { Outcome::Ok } else { outcome };
        let sample = match (outcome, took) {
            (Outcome::Ok, Some(span)) => u32::try_from(micros(span)).unwrap_or(u32::MAX),
            (Outcome::Cancelled, Some(waited)) => {
                known.max(u32::try_from(micros(waited)).unwrap_or(u32::MAX))
            }
            // A rival that was not needed has not been slow.
            (Outcome::ClientGone | Outcome::Refused, _) | (Outcome::Ok | Outcome::Cancelled, None) => return,
            // A failure counts as a slow answer, so that fast errors never look fast.
            _ => known.saturating_mul(10).clamp(1_000_000, 10_000_000),
        };
        self.sample(sample);
    }

    /// Learns a lower bound: an answer has not come after `waited`.
    pub fn slower_than(&self, waited: Duration) {
        self.sample(self.latency_us.get().max(u32::try_from(micros(waited)).unwrap_or(u32::MAX)));
    }

    fn sample(&self, sample_us: u32) {
        self.sampled.set(true);
        self.latency_us.set(smoothed(self.latency_us.get(), sample_us.max(1)));
    }

    /// Forgets a latency that is not renewed, so that an endpoint that was slow once is asked again. Called every second.
    pub fn fade(&self) {
        if !self.sampled.replace(false) {
            self.latency_us.set(faded(self.latency_us.get()));
        }
    }
}
