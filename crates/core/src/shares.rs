//! The funnel's result before the draw: which pool takes which part of a route's traffic, and why.

use crate::{
    reason::Reason,
    slot::{EntrySlot, PoolSlot},
};

/// The funnel's result before the draw: who takes which part of the traffic, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shares {
    /// What an endpoint needs to be a candidate.
    pub stage: Stage,
    /// Cumulative; the last one ends at 2³².
    pub segments: Vec<Segment>,
}

/// One contiguous part of the unit interval, scaled to 2³².
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Exclusive upper end.
    pub end: u64,
    /// Which pool of the route.
    pub entry: EntrySlot,
    /// Who serves it.
    pub pool: PoolSlot,
    /// Why.
    pub reason: Reason,
}

/// What an endpoint needs to be a candidate; later stages are wider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Up.
    #[default]
    Up,
    /// Up or Unproven: the route has nothing Up.
    Unproven,
    /// Enabled: too few are available anywhere, so health stops counting.
    Panic,
}
