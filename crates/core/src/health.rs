//! Health of one endpoint as a value on three axes, each a small state machine, combined by one total match.
//! Never a clock, never I/O: the shell observes, this file concludes.

use std::time::Duration;

use crate::{ProbeRules, Prospect, Tick};

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

/// How a probe (or an attempt) failed. Closed: each is something an operator acts on differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens there.
    Refused,
    /// The connection ended before the answer did.
    Reset,
    /// No answer in time.
    Timeout,
    /// No way there (no route, network or host unreachable, no permission).
    Unreachable,
    /// The TLS handshake failed.
    Tls,
    /// What came back is not HTTP.
    Protocol,
    /// A status that is not expected.
    Status,
    /// A body that is not expected.
    Body,
    /// The first byte came late, or was not there when it would have been late.
    Late,
    /// This edge's own trouble (no descriptor, port or memory): says nothing about the endpoint.
    Local,
}

impl Fault {
    /// The spelling in log, metric and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Body => "body",
            Self::Late => "late",
            Self::Local => "local",
        }
    }
}

/// What was seen, in a form that an operator can read: the kind and the particulars (errno, status, body, how late).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The kind.
    pub fault: Fault,
    /// The particulars, at most 200 bytes.
    pub detail: Box<str>,
}

/// Everything learnt about one endpoint.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Probe axis.
    pub probe: Probe,
    /// Operator axis.
    pub admin: Admin,
    /// Traffic axis.
    pub ejection: Ejection,
    /// Consecutive results that speak against the probe state (or, while Unknown, for either side).
    streak: u32,
    /// The last result was a success (meaningful while `streak` counts).
    streak_ok: bool,
    /// The last thing heard from it, by probe or by traffic, is that nobody listens.
    pub refusing: bool,
    /// Traffic failed there since the last probe: the next one is due soon.
    suspect: bool,
    /// At least one probe has ended.
    pub probed: bool,
    /// Smoothed probe latency.
    pub latency: Ewma,
    /// The last probe's result and when it came.
    pub last: Option<(Tick, Result<Duration, Evidence>)>,
}

impl Health {
    /// What a pool without a probe has: nothing is asked, so nothing is doubted.
    #[must_use]
    pub fn trusted() -> Self {
        Self { probe: Probe::Healthy, probed: true, ..Self::default() }
    }

    /// What an endpoint starts a layout with. Whether its pool is probed decides what the old knowledge is worth;
    /// an operator's order outlives both.
    pub(crate) fn inherited(before: Option<Self>, still_valid: bool, is_probed: bool) -> Self {
        let fresh = if is_probed { Self::default() } else { Self::trusted() };
        match before {
            Some(before) if still_valid => before,
            Some(before) => Self { admin: before.admin, ejection: before.ejection, ..fresh },
            None => fresh,
        }
    }

    /// The three axes as one answer.
    #[must_use]
    pub fn availability(&self) -> Availability {
        Availability::of(self.probe, self.admin, self.ejection)
    }

    /// What a request may expect of it where probes do not count.
    pub(crate) fn prospect(&self) -> Prospect {
        Prospect::of(self.refusing, self.ejection)
    }

    /// Panic may use it as if it were Up: whatever probes say, nothing else speaks against it.
    pub(crate) fn in_panic(&self) -> bool {
        self.admin == Admin::Enabled && self.ejection == Ejection::Clear
    }

    /// Takes one probe result in.
    pub fn probed(&mut self, result: Result<Duration, Evidence>, rules: &ProbeRules, now: Tick) {
        let ok = result.is_ok();
        self.probed = true;
        self.suspect = false;
        match &result {
            Ok(latency) => {
                self.refusing = false;
                self.latency.add(*latency, now);
            }
            Err(evidence) => self.refusing = evidence.fault == Fault::Refused,
        }
        self.last = Some((now, result));
        self.streak = if self.streak_ok == ok { self.streak.saturating_add(1) } else { 1 };
        self.streak_ok = ok;
        self.probe = match self.probe {
            Probe::Unknown | Probe::Unhealthy if ok && self.streak >= rules.rise => Probe::Healthy,
            Probe::Unknown | Probe::Healthy if !ok && self.streak >= rules.fall => Probe::Unhealthy,
            same => same,
        };
    }

    /// Takes a probe in that timed out while real requests were answered: it proves nothing.
    pub(crate) fn contradicted(&mut self, evidence: Evidence, now: Tick) {
        (self.probed, self.suspect) = (true, false);
        self.last = Some((now, Err(evidence)));
    }

    /// Takes a hint from traffic in: no verdict, but the next probe should not wait.
    pub(crate) fn suspected(&mut self, fault: Fault) {
        self.refusing = fault == Fault::Refused;
        // One that answers, if only with errors, can wait for its next probe.
        self.suspect |= fault != Fault::Status;
    }

    /// The last probe made it Healthy.
    pub(crate) fn just_risen(&self, rules: &ProbeRules) -> bool {
        self.probe == Probe::Healthy && self.streak_ok && self.streak == rules.rise
    }

    /// A state is about to change: the last results (or traffic) disagree with it, but not yet often enough.
    #[must_use]
    pub fn confirming(&self) -> bool {
        self.suspect || self.disputed()
    }

    fn disputed(&self) -> bool {
        match self.probe {
            Probe::Unknown => self.probed,
            Probe::Healthy => self.probed && !self.streak_ok && self.streak > 0,
            Probe::Unhealthy => self.streak_ok && self.streak > 0,
        }
    }
}

/// Exponentially weighted moving average over time: a sample's weight halves every [`Ewma::HALF_LIFE`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ewma {
    value_us: f64,
    at: Option<Tick>,
}

impl Ewma {
    /// CONTRACT "Latency".
    pub const HALF_LIFE: Duration = Duration::from_secs(5);

    /// Takes a sample in. The first one is the value.
    pub fn add(&mut self, sample: Duration, now: Tick) {
        let sample = sample.as_secs_f64() * 1e6;
        let keep = match self.at {
            None => 0.0,
            Some(at) => (-(now.since(at).as_secs_f64() / Self::HALF_LIFE.as_secs_f64())).exp2().min(0.99),
        };
        self.value_us = self.value_us * keep + sample * (1.0 - keep);
        self.at = Some(now);
    }

    /// Microseconds; `None` before the first sample.
    #[must_use]
    pub fn micros(&self) -> Option<u32> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "float casts saturate, and the value is never negative"
        )]
        self.at.map(|_| self.value_us as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: ProbeRules = ProbeRules {
        interval: Duration::from_secs(1),
        confirm: Duration::from_millis(100),
        timeout: Duration::from_millis(300),
        rise: 2,
        fall: 3,
    };

    fn check(results: &str, expected: &str) {
        let mut health = Health::default();
        let mut seen = String::new();
        for (nth, result) in results.chars().enumerate() {
            let result = match result {
                '+' => Ok(Duration::from_millis(1)),
                _ => Err(Evidence { fault: Fault::Timeout, detail: "".into() }),
            };
            health.probed(result, &RULES, Tick(nth as u64));
            seen.push(match (health.probe, health.confirming()) {
                (Probe::Unknown, _) => '?',
                (Probe::Healthy, false) => 'H',
                (Probe::Healthy, true) => 'h',
                (Probe::Unhealthy, false) => 'U',
                (Probe::Unhealthy, true) => 'u',
            });
        }
        assert_eq!(seen, expected, "{results}");
    }

    #[test]
    fn an_endpoint_rises_and_falls_only_on_enough_results_in_a_row() {
        check("++", "?H");
        check("---", "??U");
        check("+-+-", "????");
        check("++--+---", "?HhhHhhU");
        check("---+-++", "??UuUuH");
    }

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

    #[test]
    fn the_average_halves_the_weight_of_the_past_in_five_seconds() {
        let mut latency = Ewma::default();
        assert_eq!(latency.micros(), None);
        latency.add(Duration::from_millis(100), Tick(0));
        assert_eq!(latency.micros(), Some(100_000));
        latency.add(Duration::from_millis(0), Tick(5_000_000));
        assert_eq!(latency.micros(), Some(50_000));
    }
}
