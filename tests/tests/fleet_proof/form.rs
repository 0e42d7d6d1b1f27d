//! How long the proof may take.

use std::time::Duration;

/// How much of the proof is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// What fits into `make test`.
    Short,
    /// Everything, with the times of the demands.
    Whole,
}

impl Form {
    /// How long each ring watches a bundle.
    pub fn bake(self) -> Duration {
        Duration::from_secs(if self == Self::Short { 1 } else { 10 })
    }

    /// The number of orders.
    pub fn orders(self) -> usize {
        if self == Self::Short { 3 } else { 30 }
    }

    /// How often a region dies.
    pub fn evictions(self) -> usize {
        if self == Self::Short { 1 } else { 5 }
    }

    /// How long edges are watched without requests.
    pub fn idle(self) -> Duration {
        Duration::from_secs(if self == Self::Short { 1 } else { 10 })
    }
}
