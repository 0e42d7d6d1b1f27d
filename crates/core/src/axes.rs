//! The three axes of an endpoint's health (probes, operator, traffic), and the two answers that follow from them: may it
//! serve, and what may a request expect of it where probes do not count. Total matches, no state.

use crate::tick::Tick;

/// What the probes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Probe {
    /// Too few results to tell.
    #[default]
    Unknown,
    /// The probes succeeded `rise` times in a row.
    Healthy,
    /// The probes contradict each other: the endpoint fails in part, and takes the part of its share that they confirm.
    Flapping,
    /// The probes failed `fall` times in a row.
    Unhealthy,
}

/// What the operator ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Admin {
    /// The endpoint serves.
    #[default]
    Enabled,
    /// The endpoint keeps the clients that it has and takes no new ones.
    Draining,
    /// The endpoint serves no client.
    Disabled,
}

/// What real traffic says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Ejection {
    /// Nothing speaks against the endpoint.
    #[default]
    Clear,
    /// The endpoint is taken out.
    Ejected {
        /// When probation begins.
        until: Tick,
    },
    /// A trickle of requests is to prove the endpoint.
    Probation,
}

/// May an endpoint serve? The three axes as one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// The endpoint serves.
    Up,
    /// The endpoint serves only if its route has nothing Up.
    Unproven,
    /// The endpoint gets a trickle: one request per 100 ms if it can be sent again, else one per second.
    Trickle,
    /// The endpoint serves only clients that are bound to it.
    AffinityOnly,
    /// The endpoint serves in panic only.
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
            (Admin::Enabled, Probe::Healthy | Probe::Flapping, Ejection::Probation) => Self::Trickle,
            (Admin::Enabled, Probe::Healthy | Probe::Flapping, Ejection::Clear) => Self::Up,
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
    /// Do the probes let the endpoint serve?
    #[must_use]
    pub fn serves(self) -> bool {
        matches!(self, Self::Healthy | Self::Flapping)
    }

    /// The spelling in log, metric and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Flapping => "flapping",
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

/// In which order endpoints serve where probes do not count: the best rank first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PanicRank {
    /// Nothing but a probe speaks against the endpoint.
    Answering,
    /// The endpoint is in probation: a trickle is to prove it.
    Proving,
    /// The endpoint refuses connections, or it is ejected.
    Last,
}

impl PanicRank {
    pub(crate) fn of(refusing: bool, ejection: Ejection) -> Self {
        match ejection {
            _ if refusing => Self::Last,
            Ejection::Clear => Self::Answering,
            Ejection::Probation => Self::Proving,
            Ejection::Ejected { .. } => Self::Last,
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
        for probe in [Probe::Unknown, Probe::Healthy, Probe::Flapping, Probe::Unhealthy] {
            for ejection in [Ejection::Clear, ejected, Ejection::Probation] {
                assert_eq!(A::of(probe, Admin::Disabled, ejection), A::Down);
                let dead = probe == Probe::Unhealthy || ejection == ejected;
                let draining = if dead { A::Down } else { A::AffinityOnly };
                assert_eq!(A::of(probe, Admin::Draining, ejection), draining);
            }
        }
        assert_eq!(A::of(Probe::Healthy, Admin::Enabled, Ejection::Clear), A::Up);
        assert_eq!(A::of(Probe::Flapping, Admin::Enabled, Ejection::Clear), A::Up);
        assert_eq!(A::of(Probe::Unknown, Admin::Enabled, Ejection::Clear), A::Unproven);
        assert_eq!(A::of(Probe::Healthy, Admin::Enabled, Ejection::Probation), A::Trickle);
        assert_eq!(A::of(Probe::Healthy, Admin::Enabled, ejected), A::Down);
    }
}
