//! What requests did at the endpoints, counted: the evidence that workers hand to the keeper.

use crate::{slot::EndpointId, tick::Tick};

/// Requests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests answered below 500, in time, to the end.
    pub good: u32,
    /// Connect errors, resets, timeouts and 5xx.
    pub failed: u32,
    /// First bytes that came late, or had not come when they were late.
    pub late: u32,
}

impl Counts {
    /// All requests.
    #[must_use]
    pub fn total(self) -> u32 {
        self.good + self.failed + self.late
    }

    /// Requests that speak against the endpoint.
    pub(crate) fn bad(self, with_late: bool) -> u32 {
        self.failed + if with_late { self.late } else { 0 }
    }

    pub(crate) fn add(&mut self, more: Self) {
        self.good = self.good.saturating_add(more.good);
        self.failed = self.failed.saturating_add(more.failed);
        self.late = self.late.saturating_add(more.late);
    }

    pub(crate) fn minus(self, less: Self) -> Self {
        Self {
            good: self.good.saturating_sub(less.good),
            failed: self.failed.saturating_sub(less.failed),
            late: self.late.saturating_sub(less.late),
        }
    }
}

/// What requests did at one endpoint since the last tally.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// The endpoint.
    pub id: EndpointId,
    /// How the requests ended.
    pub counts: Counts,
    /// Good answers to requests that began in the endpoint's present probation.
    pub proof: u32,
    /// When the last good answer of all ended.
    pub last_good: Option<Tick>,
    /// Times to the first byte: buckets (of [`crate::bucket_of`]) and numbers.
    pub spans: Vec<(u8, u32)>,
    /// What the endpoint's failures did to requests.
    pub fallout: FailureCost,
}

/// What an endpoint's failures did to requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FailureCost {
    /// Requests that failed for the client.
    pub failed: u32,
    /// Requests that were tried elsewhere.
    pub retried: u32,
    /// Requests that were raced elsewhere.
    pub hedged: u32,
    /// Time that the attempt there cost the requests that went elsewhere: buckets and numbers.
    pub cost: Vec<(u8, u32)>,
}
