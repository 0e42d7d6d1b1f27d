//! The closed lists of answers to "why?": why a pool serves, why no endpoint does, why an endpoint was ejected.
//! One spelling each, the same in log, metric, header and API.

/// Why a pool serves; the first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The endpoint is in probation, and this request is one of its trickle.
    Probation,
    /// Every pool is below its threshold: health does not count.
    Panic,
    /// Every better tier is down.
    Failover,
    /// A better pool may not take more.
    Spill,
    /// The client is bound to the endpoint.
    Affinity,
    /// The pool is the nearest, or as good as the nearest.
    Nearest,
    /// The pool took its share by weight.
    Balanced,
}

impl Reason {
    /// All reasons, in order of precedence.
    pub const ALL: [Self; 7] = [
        Self::Probation,
        Self::Panic,
        Self::Failover,
        Self::Spill,
        Self::Affinity,
        Self::Nearest,
        Self::Balanced,
    ];

    /// The spelling in log, metric and header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Probation => "probation",
            Self::Panic => "panic",
            Self::Failover => "failover",
            Self::Spill => "spill",
            Self::Affinity => "affinity",
            Self::Nearest => "nearest",
            Self::Balanced => "balanced",
        }
    }
}

/// Why no endpoint serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No route matches this host and path.
    NoRoute,
    /// No endpoint is enabled, resolved and untried.
    NoEndpoint,
    /// Every endpoint that could serve is at its cap.
    Overloaded,
    /// The request may go to certain pools only, and no endpoint of those is enabled, resolved and untried.
    Residency,
}

impl Refusal {
    /// The spelling in log, metric and header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::NoEndpoint => "no_endpoint",
            Self::Overloaded => "overloaded",
            Self::Residency => "residency",
        }
    }
}

/// Why an endpoint was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `consecutive_failures` requests failed in a row.
    Consecutive,
    /// `failure_ratio` of the requests in a span failed.
    Ratio,
    /// A request of its probation failed.
    Probation,
}

impl Cause {
    /// The spelling in log, metric and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive => "consecutive_failures",
            Self::Ratio => "failure_ratio",
            Self::Probation => "probation",
        }
    }
}
