//! What requests did at the endpoints, counted: the evidence that workers hand to the keeper.

use crate::{slot::EndpointId, tick::Tick};

/// Requests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered below 500, in time, to the end.
    pub good: u32,
    /// Connect errors, resets, timeouts, 5xx.
    pub failed: u32,
    /// First bytes that came late, or were not there when they would have been late.
    pub late: u32,
}

impl Counts {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u32 {
        self.good + self.failed + self.late
    }

    /// Those that speak against the endpoint.
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
    /// Where.
    pub id: EndpointId,
    /// How they ended.
    pub counts: Counts,
    /// Of the good answers, those to requests that began in the probation in which their endpoint was.
    pub proof: u32,
    /// When the last good answer ended, ever.
    pub last_good: Option<Tick>,
    /// Times to the first byte: bucket ([`crate::bucket_of`]) and number.
    pub spans: Vec<(u8, u32)>,
    /// What its failures did to clients.
    pub fallout: Fallout,
}

/// What an endpoint's failures did to requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fallout {
    /// Failed for the client.
    pub failed: u32,
    /// Tried elsewhere.
    pub retried: u32,
    /// Raced elsewhere.
    pub hedged: u32,
    /// Time that the attempt there cost those that went elsewhere: bucket and number.
    pub cost: Vec<(u8, u32)>,
}
