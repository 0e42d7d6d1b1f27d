//! The closed lists of answers to "why?": why a pool serves, why no endpoint does, why an endpoint was ejected.
//! One spelling each, the same in log, metric, header and API.

/// Why a pool serves; the first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is in probation, and this request is one of its trickle.
    Probation,
    /// Too few are available anywhere: health does not count.
    Panic,
    /// Every better tier is down.
    Failover,
    /// A better pool may not take more.
    Spill,
    /// The client is bound to it.
    Affinity,
    /// It is (or is as good as) the nearest.
    Nearest,
    /// It took its share by weight.
    Balanced,
}

impl Reason {
    /// All of them, in order of precedence.
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

/// Why nobody serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No route for this host and path.
    NoRoute,
    /// No endpoint is enabled, resolved and untried.
    NoEndpoint,
    /// Everyone who could serve is at its cap.
    Overloaded,
}

impl Refusal {
    /// The spelling in log, metric and header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::NoEndpoint => "no_endpoint",
            Self::Overloaded => "overloaded",
        }
    }
}

/// Why an endpoint was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `consecutive_failures` in a row.
    Consecutive,
    /// `failure_ratio` over a span.
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
