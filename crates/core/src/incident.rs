//! The record of one failure: what happened when, and what it cost. Closed and told by the world.

use std::{net::SocketAddr, time::Duration};

use crate::{fault::Fault, tick::Tick};

/// One failure, from its first sign to the last request that felt it.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// The pool.
    pub pool: Box<str>,
    /// Where it is.
    pub region: Box<str>,
    /// How much of it failed.
    pub scope: Scope,
    /// The endpoints that were lost.
    pub endpoints: Vec<SocketAddr>,
    /// How the first request (or probe) failed.
    pub cause: Fault,
    /// The first sign.
    pub first_bad: Tick,
    /// An endpoint was taken out.
    pub detected: Tick,
    /// The last request that failed there.
    pub last_bad: Tick,
    /// Requests that failed for the client.
    pub failed: u32,
    /// Requests that were tried elsewhere.
    pub retried: u32,
    /// Requests that were raced elsewhere.
    pub hedged: u32,
    /// 99th percentile of the time that those lost there, to a fifth; `None` if there was none.
    pub added_p99: Option<Duration>,
}

/// How much of a pool an incident took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Some of its endpoints.
    Endpoint,
    /// All of them, but its region has other pools.
    Pool,
    /// All of them, and nothing is left in its region.
    Region,
}

impl Scope {
    /// The spelling in log, metric and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Pool => "pool",
            Self::Region => "region",
        }
    }
}
