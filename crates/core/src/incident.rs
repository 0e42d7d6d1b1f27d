//! The record of one failure: what happened when, and what it cost. The world closes and logs it.

use std::{net::SocketAddr, time::Duration};

use crate::{fault::Fault, tick::Tick};

/// One failure, from its first sign to the last request that it hit.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// The pool's name.
    pub pool: Box<str>,
    /// The pool's region.
    pub region: Box<str>,
    /// How much of the pool failed.
    pub scope: Scope,
    /// The endpoints that were lost.
    pub endpoints: Vec<SocketAddr>,
    /// How the first request (or probe) failed.
    pub cause: Fault,
    /// When the first request failed.
    pub first_bad: Tick,
    /// When the first endpoint was taken out.
    pub detected: Tick,
    /// When the last request failed there.
    pub last_bad: Tick,
    /// Requests that failed for the client.
    pub failed: u32,
    /// Requests that were tried elsewhere.
    pub retried: u32,
    /// Requests that were raced elsewhere.
    pub hedged: u32,
    /// 99th percentile of the time that those requests lost there, accurate to a fifth; `None` without any.
    pub added_p99: Option<Duration>,
}

/// How much of a pool an incident took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Some endpoints of the pool.
    Endpoint,
    /// All endpoints of the pool, but its region has other pools.
    Pool,
    /// All endpoints of the pool, and no other pool of its region serves.
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
