//! One endpoint's ejection: for how long, how often in a row, and when its probation ends.
//! Never looks at what speaks against the endpoint (`outlier` does), nor whether it may be spared (the caps are in
//! `world/ejections`).
//!
//! # Why a time and not until the next good probe
//!
//! A probe asks `/health`; requests ask everything. An endpoint whose `/health` is fine and whose database is gone would
//! come back with each probe. So an ejection lasts its time, as in Envoy: `base` times the number of ejections in a row,
//! at most `max`. Up to 10 % of jitter keeps endpoints that fell together from coming back together.
//!
//! # Why a probation and not the full share
//!
//! Envoy's ejected host gets its whole share back when its time is over, and if it still fails, some requests pay for the
//! news. A circuit breaker is half-open first: linkerd lets single requests through after a backoff. Here a trickle goes
//! there, of requests that can be sent again where possible. Five good answers and a second end it; the first failure
//! ejects again, with a higher count, unless the others fail as often. Only a failed probation makes the next ejection longer: a new outlier in the first
//! minute after the last one is the same trouble, not a worse one.
//!
//! # Why the defaults are short
//!
//! Envoy starts with 30 s, since nothing tests the host meanwhile. A trickle tests often and costs little, so `base` is
//! 2 s.

use std::time::Duration;

use crate::{
    chance::Share, fault::Evidence, outlier::Outlier, reason::Cause, roll::mix, slot::EndpointId, tick::Tick,
    topology::EjectRules,
};

/// A probation lasts at least this long,
const PROBATION: Duration = Duration::from_secs(1);
/// and takes this many answers.
const PROOF: u32 = 5;
/// After this long Clear, an endpoint's next ejection counts as its first.
const GRACE: Duration = Duration::from_secs(60);
/// How long an endpoint that is spared is not told of again.
const QUIET: Duration = Duration::from_secs(60);

/// What is remembered about one endpoint's ejections.
#[derive(Clone, Debug, Default)]
pub(crate) struct EjectionRecord {
    /// Ejections in a row.
    count: u32,
    /// When the present ejection, probation or freedom began.
    since: Tick,
    /// Good answers to requests of this probation.
    proof: u32,
    /// Failures of requests of this probation.
    failed: u32,
    /// When it was last told that the endpoint is spared.
    spared: Option<Tick>,
    /// What led to the last ejection.
    evidence: Option<Evidence>,
}

impl EjectionRecord {
    /// Ejections in a row.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// What led to the last ejection.
    pub(crate) fn evidence(&self) -> Option<&Evidence> {
        self.evidence.as_ref()
    }

    /// When the present ejection, probation or freedom began.
    pub(crate) fn since(&self) -> Tick {
        self.since
    }

    /// Takes the endpoint out; says until when. Only a failed probation makes the next ejection longer.
    pub(crate) fn eject(&mut self, id: EndpointId, outlier: Outlier, rules: &EjectRules, now: Tick) -> Tick {
        self.count = match outlier.cause {
            Cause::Probation => self.count.saturating_add(1),
            _ if self.count == 0 || now.since(self.since) >= GRACE => 1,
            _ => self.count,
        };
        self.evidence = Some(outlier.evidence);
        self.since = now;
        let lasts = rules.base.saturating_mul(self.count).min(rules.max);
        let jitter = mix(u64::from(id.0) ^ (now.0 << 20)) >> 40;
        #[expect(clippy::cast_precision_loss, reason = "24 bits")]
        let part = jitter as f64 / f64::from(1 << 24);
        now.after(lasts + lasts.mul_f64(part / 10.0))
    }

    /// Begins the probation.
    pub(crate) fn begin_probation(&mut self, now: Tick) {
        (self.since, self.proof, self.failed) = (now, 0, 0);
    }

    /// Counts good answers to requests that began in this probation.
    pub(crate) fn prove(&mut self, answers: u32) {
        self.proof = self.proof.saturating_add(answers);
    }

    /// Counts a failure of a request that began in this probation. Says how much of the probation has failed.
    pub(crate) fn fail(&mut self) -> Share {
        self.failed = self.failed.saturating_add(1);
        Share { bad: self.failed, total: self.failed.saturating_add(self.proof) }
    }

    /// The endpoint is spared, because the others fail as often. Says whether that is news.
    pub(crate) fn spare(&mut self, now: Tick) -> bool {
        let news = self.spared.is_none_or(|told| now.since(told) >= QUIET);
        if news {
            self.spared = Some(now);
        }
        news
    }

    /// Did a request that began at `started` begin in this probation?
    pub(crate) fn is_of_probation(&self, started: Tick) -> bool {
        started >= self.since
    }

    /// When this probation can end at the earliest.
    pub(crate) fn shortest_probation(&self) -> Tick {
        self.since.after(PROBATION)
    }

    /// When this probation ends, if it has enough answers.
    pub(crate) fn proven_at(&self) -> Option<Tick> {
        (self.proof >= PROOF).then(|| self.shortest_probation())
    }

    /// The endpoint is Clear from now on.
    pub(crate) fn clear(&mut self, now: Tick) {
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    #[test]
    fn ejections_grow_by_failed_probations_only_up_to_the_cap() {
        let rules = EjectRules::default();
        let mut record = EjectionRecord::default();
        let mut lasts = |cause, at: u64| {
            let now = Tick(at * 1_000_000);
            let evidence = Evidence { fault: Fault::Reset, detail: "".into() };
            let until = record.eject(EndpointId(1), Outlier { cause, evidence }, &rules, now);
            (record.count, until.since(now).as_secs_f64())
        };
        let check = |(count, lasts): (u32, f64), expected: u32, seconds: f64| {
            assert_eq!(count, expected);
            assert!(lasts >= seconds && lasts <= seconds * 1.1, "{lasts} for {seconds}");
        };
        check(lasts(Cause::Ratio, 0), 1, 2.0);
        check(lasts(Cause::Probation, 3), 2, 4.0);
        check(lasts(Cause::Consecutive, 10), 2, 4.0);
        for nth in 3..60 {
            check(lasts(Cause::Probation, 20), nth, (2.0 * f64::from(nth)).min(60.0));
        }
        check(lasts(Cause::Consecutive, 81), 1, 2.0);
    }
}
