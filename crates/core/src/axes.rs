//! The three axes of an endpoint's health (probes, operator, traffic), and the two answers that follow from them: may it
//! serve, and what may a request expect of it where probes do not count. Total matches, no state.

use crate::tick::Tick;

/// What the probes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Probe {
    /// Not yet proven either way.
    #[default]
    Unknown,
    /// `rise` successes in a row.
    Healthy,
    /// `fall` failures in a row.
    Unhealthy,
}

/// What the operator ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Admin {
    /// Serves.
    #[default]
    Enabled,
    /// Keeps the clients it has, takes no new ones.
    Draining,
    /// Serves nobody.
    Disabled,
}

/// What real traffic says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Ejection {
    /// Nothing against it.
    #[default]
    Clear,
    /// Taken out until the tick.
    Ejected {
        /// When probation begins.
        until: Tick,
    },
    /// Proving itself by a trickle of requests.
    Probation,
}

/// May it serve? The three axes as one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Serves.
    Up,
    /// Serves only if its route has nothing Up.
    Unproven,
    /// At most one request per 100 ms.
    Trickle,
    /// Only clients that are bound to it.
    AffinityOnly,
    /// Nothing but panic.
    Down,
}

impl Availability {
    /// The one place where the axes meet.
    #[must_use]
    pub fn of(probe: Probe, admin: Admin, ejection: Ejection) -> Self {
        match (admin, probe, ejection) {
            (Admin::Disabled, _, _) | (_, Probe::Unhealthy, _) | (_, _, Ejection::Ejected { .. }) => {
                Self::Down
            }
            (Admin::Draining, _, _) => Self::AffinityOnly,
            (Admin::Enabled, Probe::Unknown, _) => Self::Unproven,
            (Admin::Enabled, Probe::Healthy, Ejection::Probation) => Self::Trickle,
            (Admin::Enabled, Probe::Healthy, Ejection::Clear) => Self::Up,
        }
    }

    /// The spelling in log, metric and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Unproven => "unproven",
            Self::Trickle => "trickle",
            Self::AffinityOnly => "affinity_only",
            Self::Down => "down",
        }
    }
}

impl Probe {
    /// The spelling in log, metric and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl Admin {
    /// The spelling in log, metric and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
        }
    }
}

impl Ejection {
    /// The spelling in log, metric and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Ejected { .. } => "ejected",
            Self::Probation => "probation",
        }
    }
}

/// What a request may expect of an endpoint where probes do not count, best first. In panic the worse serve last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prospect {
    /// An answer: nothing speaks against it.
    Good,
    /// It is in probation: a trickle is to prove it.
    Open,
    /// It refuses connections, or real traffic took it out.
    Poor,
}

impl Prospect {
    pub(crate) fn of(refusing: bool, ejection: Ejection) -> Self {
        match ejection {
            _ if refusing => Self::Poor,
            Ejection::Clear => Self::Good,
            Ejection::Probation => Self::Open,
            Ejection::Ejected { .. } => Self::Poor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_of_axes_has_one_availability() {
        use Availability as A;
        let ejected = Ejection::Ejected { until: Tick(1) };
        for probe in [Probe::Unknown, Probe::Healthy, Probe::Unhealthy] {
            for ejection in [Ejection::Clear, ejected, Ejection::Probation] {
                assert_eq!(A::of(probe, Admin::Disabled, ejection), A::Down);
                let dead = probe == Probe::Unhealthy || ejection == ejected;
                let draining = if dead { A::Down } else { A::AffinityOnly };
                assert_eq!(A::of(probe, Admin::Draining, ejection), draining);
            }
        }
        assert_eq!(A::of(Probe::Healthy, Admin::Enabled, Ejection::Clear), A::Up);
        assert_eq!(A::of(Probe::Unknown, Admin::Enabled, Ejection::Clear), A::Unproven);
        assert_eq!(A::of(Probe::Healthy, Admin::Enabled, Ejection::Probation), A::Trickle);
        assert_eq!(A::of(Probe::Healthy, Admin::Enabled, ejected), A::Down);
    }
}
