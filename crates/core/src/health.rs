//! Health of one endpoint as a value on three axes, each a small state machine, combined by one total match.
//! Reads no clock and does no I/O: the shell observes, this file concludes.

use std::time::Duration;

use crate::{
    axes::{Admin, Availability, Ejection, PanicRank, Probe},
    ewma::Ewma,
    fault::{Evidence, Fault},
    roll::mix,
    said::SaidWeight,
    scale::Scale,
    series::{ProbeCounts, ProbeSeries},
    tick::Tick,
    topology::ProbeRules,
};

/// Everything learnt about one endpoint.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// What the probes say.
    pub probe: Probe,
    /// What the operator ordered.
    pub admin: Admin,
    /// What real traffic says.
    pub ejection: Ejection,
    /// Consecutive results that speak against the probe state (or, while Unknown, for either side).
    streak: u32,
    /// The last result was a success (meaningful while `streak` counts).
    streak_ok: bool,
    /// When the first of the consecutive results came.
    streak_began: Tick,
    /// The last results, whether they agree or not.
    series: ProbeSeries,
    /// The last news, by probe or by traffic, is that no process listens there.
    pub refusing: bool,
    /// A request failed there since the last probe: the next probe is due soon.
    suspect: bool,
    /// At least one probe has ended.
    pub probed: bool,
    /// A probe has succeeded, or a request was answered well.
    pub worked: bool,
    /// Smoothed probe latency.
    pub latency: Ewma,
    /// What the endpoint last said about itself.
    pub said: Option<SaidWeight>,
    /// The last probe's result and when it came.
    pub last: Option<(Tick, Result<Duration, Evidence>)>,
}

impl Health {
    /// Health of an endpoint whose pool has no probe: it counts as Healthy.
    #[must_use]
    pub fn trusted() -> Self {
        Self { probe: Probe::Healthy, probed: true, ..Self::default() }
    }

    /// What an endpoint starts a layout with. Old probe results count only while the pool is probed as it was before;
    /// an operator's order and an ejection outlive a change of probes. `rules` are the pool's.
    pub(crate) fn inherited(before: Option<Self>, same_probing: bool, rules: Option<&ProbeRules>) -> Self {
        let fresh = if rules.is_some() { Self::default() } else { Self::trusted() };
        let weighs = rules.is_some_and(|rules| rules.weight_from_body);
        match before {
            Some(before) if same_probing => Self { said: before.said.filter(|_| weighs), ..before },
            Some(before) => Self { admin: before.admin, ejection: before.ejection, ..fresh },
            None => fresh,
        }
    }

    /// The three axes as one answer. An endpoint that asks for nothing counts as draining.
    #[must_use]
    pub fn availability(&self) -> Availability {
        let drains = self.admin == Admin::Enabled && self.said.as_ref().is_some_and(|said| said.percent == 0);
        let admin = if drains { Admin::Draining } else { self.admin };
        Availability::of(self.probe, admin, self.ejection)
    }

    /// In which order the endpoint serves where probes do not count.
    pub(crate) fn panic_rank(&self) -> PanicRank {
        PanicRank::of(self.refusing, self.ejection)
    }

    /// Does the endpoint serve in panic as if it were Up? Probes do not count there, an order and an ejection do.
    pub(crate) fn in_panic(&self) -> bool {
        self.admin == Admin::Enabled && self.ejection == Ejection::Clear
    }

    /// Which part of its usual share the endpoint takes: the one place where everything meets that makes it take less.
    #[must_use]
    pub fn scale(&self) -> Scale {
        let confirmed = self.flapping().map(|ProbeCounts { good, of }| Scale::of(good, of));
        let asked = self.said.as_ref().map(|said| Scale::of(said.percent.into(), 100));
        confirmed.unwrap_or(Scale::WHOLE).times(asked.unwrap_or(Scale::WHOLE))
    }

    /// How many of the last probes succeeded, while they contradict each other.
    #[must_use]
    pub fn flapping(&self) -> Option<ProbeCounts> {
        (self.probe == Probe::Flapping).then(|| self.series.counts())
    }

    /// Since when every probe has failed, if the last one did.
    pub(crate) fn failing_since(&self) -> Option<Tick> {
        (self.streak > 0 && !self.streak_ok).then_some(self.streak_began)
    }

    /// Takes in the result of one probe. `answers`: requests were answered well while the probes failed.
    pub(crate) fn probed(
        &mut self,
        result: Result<Duration, Evidence>,
        answers: bool,
        rules: &ProbeRules,
        now: Tick,
    ) {
        let ok = result.is_ok();
        self.probed = true;
        self.suspect = false;
        match &result {
            Ok(latency) => {
                (self.refusing, self.worked) = (false, true);
                self.latency.add(*latency, now);
            }
            Err(evidence) => self.refusing = evidence.fault == Fault::Refused,
        }
        self.last = Some((now, result));
        if self.streak == 0 || self.streak_ok != ok {
            (self.streak, self.streak_began) = (0, now);
        }
        self.streak = self.streak.saturating_add(1);
        self.streak_ok = ok;
        self.series.add(ok, self.probe.serves(), rules.window(), now);
        let rises = ok && self.streak >= rules.rise && self.series.confirms_up();
        // What has not served yet is not spared for what it answers.
        let answers = answers && self.probe.serves();
        let falls = !ok && self.series.confirms_down(self.streak, rules.fall, answers);
        self.probe = match self.probe {
            Probe::Unknown | Probe::Healthy | Probe::Flapping if falls => Probe::Unhealthy,
            Probe::Unknown | Probe::Unhealthy if !rises => self.probe,
            _ if self.series.contradicts() => Probe::Flapping,
            _ => Probe::Healthy,
        };
    }

    /// Takes in a probe that timed out while real requests were answered: it proves nothing.
    pub(crate) fn contradicted(&mut self, evidence: Evidence, now: Tick) {
        (self.probed, self.suspect) = (true, false);
        self.last = Some((now, Err(evidence)));
    }

    /// Takes in that a request failed: no conclusion yet, but the next probe should come soon.
    pub(crate) fn suspected(&mut self, fault: Fault) {
        self.refusing = fault == Fault::Refused;
        // An endpoint that answers, if only with errors, can wait for its next probe.
        self.suspect |= !matches!(fault, Fault::Status | Fault::AnswerFields);
    }

    /// How the last probe failed, if it did.
    pub(crate) fn probe_failure(&self) -> Option<&Evidence> {
        self.last.as_ref().and_then(|(_, result)| result.as_ref().err())
    }

    /// When the last probe ended.
    pub(crate) fn probed_at(&self) -> Option<Tick> {
        self.last.as_ref().map(|(at, _)| *at)
    }

    /// Did the last probe make the endpoint Healthy?
    fn just_risen(&self, rules: &ProbeRules) -> bool {
        self.probe == Probe::Healthy && self.streak_ok && self.streak == rules.rise
    }

    /// Is the state about to change? It is while the last results (or traffic) disagree with it, but not yet often enough.
    #[must_use]
    pub fn confirming(&self) -> bool {
        self.suspect || self.disputed()
    }

    /// Gap to the next probe: short while a change is being confirmed, else the interval ± 10 %. Right after the
    /// endpoint became Healthy the gap is anywhere within one interval, so that many edges that start together
    /// spread out.
    pub(crate) fn probe_gap(&self, rules: &ProbeRules, roll: u64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "a fraction needs no more than 53 bits")]
        let fraction = (mix(roll) >> 11) as f64 / (1u64 << 53) as f64;
        if self.confirming() {
            rules.confirm
        } else if self.just_risen(rules) {
            rules.interval.mul_f64(fraction).max(rules.confirm.min(rules.interval))
        } else {
            rules.interval.mul_f64(0.9 + 0.2 * fraction)
        }
    }

    fn disputed(&self) -> bool {
        match self.probe {
            Probe::Unknown => self.probed,
            Probe::Healthy | Probe::Flapping => self.probed && !self.streak_ok && self.streak > 0,
            Probe::Unhealthy => self.streak_ok && self.streak > 0,
        }
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
        weight_from_body: false,
    };

    fn check(results: &str, expected: &str) {
        let mut health = Health::default();
        let mut seen = String::new();
        for (nth, result) in results.chars().enumerate() {
            let result = match result {
                '+' => Ok(Duration::from_millis(1)),
                _ => Err(Evidence { fault: Fault::Timeout, detail: "".into() }),
            };
            health.probed(result, false, &RULES, Tick(nth as u64));
            seen.push(match (health.probe, health.confirming()) {
                (Probe::Unknown, _) => '?',
                (Probe::Healthy, false) => 'H',
                (Probe::Healthy, true) => 'h',
                (Probe::Flapping, false) => 'F',
                (Probe::Flapping, true) => 'f',
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
        check("++---", "?HhhU");
        check("---+-++", "??UuUuH");
    }
}
