//! The funnel's result before the draw: which pool takes which part of a route's traffic, and why.

use crate::{
    reason::Reason,
    slot::{EntrySlot, PoolSlot},
};

/// Which pool takes which part of a route's traffic, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shares {
    /// What an endpoint needs to be a candidate.
    pub stage: Stage,
    /// The segments, end to end; the last one ends at 2³².
    pub segments: Vec<Segment>,
}

/// One contiguous part of the unit interval, scaled to 2³².
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// The exclusive upper end.
    pub end: u64,
    /// Which pool of the route.
    pub entry: EntrySlot,
    /// The pool that serves it.
    pub pool: PoolSlot,
    /// Why the pool serves it.
    pub reason: Reason,
}

/// What an endpoint needs to be a candidate; later stages are wider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// The endpoint must be Up.
    #[default]
    Up,
    /// The endpoint must be Up or Unproven: the route has nothing Up.
    Unproven,
    /// The endpoint must be enabled: every pool is below its threshold, so health stops counting.
    Panic,
}
