//! Outlier detection for one endpoint: what real traffic shows there, and whether that speaks against it.
//! Never looks at other endpoints: the world says with which traffic this one is compared.
//!
//! # Why compared with others and not by a fixed limit alone
//!
//! When a database behind all regions fails, every endpoint answers errors. Taking some of them out helps no request and
//! overloads the rest. So a failed share counts only if it is at least three times that of the traffic beside it. Envoy
//! compares success rates with the mean of a cluster of at least five hosts; regions have one or two endpoints, so the
//! comparison here is with all traffic of the route's other pools, however few endpoints they have.
//!
//! # Why failures are ordered by their own time
//!
//! Good answers arrive as counts, failures one by one and sooner. A streak of failures is one only if no good answer
//! ended in between: the time of the failure and of the last good answer decide, not the order in which the news came.

use std::time::Duration;

use crate::{
    baseline::Baseline,
    fault::{Evidence, Fault},
    reason::Cause,
    ring::{Grid, Ring},
    tally::{Counts, Tally},
    tick::Tick,
    topology::EjectRules,
};

/// A span shorter than this is no evidence.
const SHORTEST: Duration = Duration::from_millis(250);
/// After so many good answers in a row, the next failure begins something new.
const CALM: u32 = 20;
/// How much worse than the others an endpoint must be.
const WORSE: u64 = 3;

/// Why an endpoint is to be ejected, and what was seen.
#[derive(Clone, Debug)]
pub(crate) struct Outlier {
    pub(crate) cause: Cause,
    pub(crate) evidence: Evidence,
}

/// What real traffic shows at one endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointTraffic {
    ring: Option<Ring>,
    baseline: Option<Box<Baseline>>,
    /// When the last good answer ended.
    last_good: Option<Tick>,
    last_bad: Option<Tick>,
    /// The last late answer, whether it was held against the endpoint or not.
    last_late: Option<Tick>,
    /// Failures since the last good answer.
    streak: u32,
    /// Good answers since the last failure, to the tally.
    calm: u32,
    /// How the endpoint failed last.
    fault: Option<Fault>,
}

impl EndpointTraffic {
    /// Takes in counts that have come since the last time.
    pub(crate) fn count(&mut self, tally: &Tally, grid: Grid, now: Tick) {
        let Tally { counts, last_good, .. } = *tally;
        if counts.total() > 0 {
            self.ring.get_or_insert_with(|| Ring::new(grid)).add(counts, now);
        }
        self.last_good = self.last_good.max(last_good);
        self.calm = if counts.bad(true) == 0 { self.calm.saturating_add(counts.good) } else { 0 };
    }

    /// Drops the counts of another grid: those of the other endpoints cannot be compared with them any more.
    pub(crate) fn keep_to(&mut self, grid: Grid) {
        self.ring = self.ring.take().filter(|ring| ring.grid() == grid);
    }

    pub(crate) fn ring(&self) -> Option<&Ring> {
        self.ring.as_ref()
    }

    /// Takes in times to the first byte, measured while the endpoint was Clear.
    pub(crate) fn measure(&mut self, spans: &[(u8, u32)], now: Tick) {
        self.baseline.get_or_insert_default().add(spans, now);
    }

    /// The usual time to the first byte.
    pub(crate) fn p95_us(&self) -> Option<u32> {
        self.baseline.as_ref().and_then(|known| known.p95_us())
    }

    /// Counts a request that failed at `at`. Failures are ordered by their own time: a good answer that ended later
    /// ends the streak, whenever the news of either arrives.
    pub(crate) fn failed(&mut self, fault: Fault, at: Tick) {
        let before = if self.good_at_last().is_some() { 0 } else { self.streak };
        let counts = self.last_good.is_none_or(|good| at > good);
        self.streak = before.saturating_add(u32::from(counts));
        self.last_bad = self.last_bad.max(Some(at));
        self.fault = Some(fault);
        self.calm = 0;
    }

    /// Notes a late answer at `at`, whether the endpoint is to blame or not.
    pub(crate) fn was_late(&mut self, at: Tick) {
        self.last_late = self.last_late.max(Some(at));
    }

    /// Was an answer late since `from`?
    pub(crate) fn late_since(&self, from: Tick) -> bool {
        self.last_late.is_some_and(|late| late >= from)
    }

    /// Has the endpoint given so many good answers since its last failure that the next one begins something new?
    pub(crate) fn was_calm(&self) -> bool {
        self.calm >= CALM
    }

    /// When the last good answer ended, if no failure that is known came after it.
    pub(crate) fn good_at_last(&self) -> Option<Tick> {
        self.last_good.filter(|good| self.last_bad.is_none_or(|bad| *good >= bad))
    }

    /// Did real traffic get a good answer since `from`?
    pub(crate) fn good_since(&self, from: Tick) -> bool {
        self.last_good.is_some_and(|good| good >= from)
    }

    /// Are the failures in a row enough for an ejection? Says what was seen.
    pub(crate) fn in_a_row(&self, rules: &EjectRules) -> Option<String> {
        let enough = rules.consecutive_failures > 0 && self.streak >= rules.consecutive_failures;
        (enough && self.good_at_last().is_none()).then(|| format!("{} failures in a row", self.streak))
    }

    /// Is the failed share of some trailing span enough for an ejection, compared with that of `others` in the same span?
    /// Says what was seen.
    pub(crate) fn ratio(
        &self,
        rules: &EjectRules,
        others: &Comparison<'_>,
        late: bool,
        now: Tick,
    ) -> Option<String> {
        let mine = self.ring.as_ref()?.spans(now);
        let mut theirs = others.spans(now);
        for (length, own) in mine.take_while(|(length, _)| *length <= rules.window) {
            let other = theirs.next().unwrap_or_default();
            let (bad, total) = (own.bad(late), own.total());
            if length < SHORTEST || total < rules.min_requests || bad == 0 || rules.failure_ratio == 0.0 {
                continue;
            }
            let share = f64::from(bad) / f64::from(total);
            if share >= rules.failure_ratio
                && worse(Share { bad, total }, Share { bad: other.bad(late), total: other.total() })
            {
                return Some(format!("{bad} of {total} requests failed in {} ms", length.as_millis()));
            }
        }
        None
    }

    /// How the endpoint failed, for the evidence of an ejection.
    pub(crate) fn fault(&self, cause: Cause, rules: &EjectRules, now: Tick) -> Fault {
        // An ejection by share rests on tallies: the last failure that was reported may be of another kind.
        let only_late = |ring: &Ring| ring.last(rules.window, now).failed == 0;
        let late = cause == Cause::Ratio && self.ring.as_ref().is_some_and(only_late);
        if late { Fault::Late } else { self.fault.unwrap_or(Fault::Status) }
    }

    /// The endpoint was ejected: what is usual does not age meanwhile.
    pub(crate) fn ejected(&mut self, now: Tick) {
        self.streak = 0;
        if let Some(baseline) = &mut self.baseline {
            baseline.pause(now);
        }
    }

    /// The endpoint is Clear again: what was counted before is no evidence any more.
    pub(crate) fn cleared(&mut self, now: Tick) {
        (self.streak, self.ring) = (0, None);
        if let Some(baseline) = &mut self.baseline {
            baseline.resume(now);
        }
    }

    /// Lets the baseline age. Says whether that moved its percentile.
    pub(crate) fn age(&mut self, now: Tick) -> bool {
        self.baseline.as_mut().is_some_and(|known| known.age(now))
    }
}

/// The traffic with which an endpoint's is compared: all of it, less the endpoint's own part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison<'a> {
    pub(crate) all: Option<&'a Ring>,
    pub(crate) less: Option<&'a Ring>,
}

impl Comparison<'_> {
    fn spans(&self, now: Tick) -> impl Iterator<Item = Counts> {
        let mut less = self.less.map(|ring| ring.spans(now));
        let all = self.all.into_iter().flat_map(move |ring| ring.spans(now));
        all.map(move |(_, all)| {
            let less = less.as_mut().and_then(Iterator::next).map(|(_, counts)| counts);
            all.minus(less.unwrap_or_default())
        })
    }

    pub(crate) fn last(&self, span: Duration, now: Tick) -> Counts {
        let last = |ring: Option<&Ring>| ring.map(|ring| ring.last(span, now)).unwrap_or_default();
        last(self.all).minus(last(self.less))
    }
}

/// Is the first share at least [`WORSE`] times the second? A share of nothing is zero.
pub(crate) fn worse(own: Share, other: Share) -> bool {
    let share = u64::from(own.bad) * u64::from(other.total.max(1));
    share >= WORSE * u64::from(other.bad) * u64::from(own.total)
}

/// The bad requests among all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) bad: u32,
    pub(crate) total: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1000;
    const NOBODY: Comparison<'static> = Comparison { all: None, less: None };

    /// `+` is a good answer and `-` a failure, one every `gap` milliseconds; which request leads to an ejection, and why?
    fn ejected_at(results: &str, gap: u64) -> Option<(usize, Cause)> {
        let (rules, mut traffic) = (EjectRules::default(), EndpointTraffic::default());
        let grid = Grid::over(rules.window);
        for (nth, result) in results.chars().enumerate() {
            let now = Tick((nth as u64 + 1) * gap * MS);
            let good = result == '+';
            let counts = Counts { good: good.into(), failed: (!good).into(), late: 0 };
            traffic.count(&Tally { counts, last_good: good.then_some(now), ..Tally::default() }, grid, now);
            if !good {
                traffic.failed(Fault::Status, now);
            }
            if traffic.in_a_row(&rules).is_some() {
                return Some((nth, Cause::Consecutive));
            }
            if traffic.ratio(&rules, &NOBODY, true, now).is_some() {
                return Some((nth, Cause::Ratio));
            }
        }
        None
    }

    #[test]
    fn failures_in_a_row_eject_and_a_good_answer_starts_the_count_anew() {
        assert_eq!(ejected_at("++++---", 1), Some((6, Cause::Consecutive)));
        assert_eq!(ejected_at("--+--+--+", 1), None);
    }

    #[test]
    fn interleaved_failures_eject_once_a_span_of_250_ms_holds_enough() {
        assert_eq!(ejected_at(&"+-".repeat(50), 50), Some((9, Cause::Ratio)), "the tenth request");
        assert_eq!(ejected_at(&"+-".repeat(200), 5).map(|(nth, _)| nth / 10), Some(4), "250 ms of them");
        assert_eq!(ejected_at(&"+++++++++-".repeat(100), 20), None, "10 % are not 20 %");
        assert_eq!(ejected_at(&"+-".repeat(20), 5000), None, "ten requests take longer than the window");
    }

    #[test]
    fn failures_are_ordered_by_their_time_and_not_by_their_arrival() {
        let mut traffic = EndpointTraffic::default();
        let grid = Grid::over(Duration::from_secs(1));
        traffic.failed(Fault::Status, Tick(10));
        traffic.failed(Fault::Status, Tick(20));
        traffic.count(&Tally { last_good: Some(Tick(25)), ..Tally::default() }, grid, Tick(30));
        traffic.failed(Fault::Status, Tick(24));
        assert_eq!(traffic.streak, 0, "a good answer came after it");
        traffic.failed(Fault::Status, Tick(26));
        traffic.failed(Fault::Status, Tick(27));
        assert_eq!(traffic.streak, 2);
    }

    #[test]
    fn an_endpoint_that_fails_as_the_others_do_is_not_worse() {
        let grid = Grid::over(Duration::from_secs(10));
        let (rules, mut traffic) = (EjectRules::default(), EndpointTraffic::default());
        let counts = |good, failed| Counts { good, failed, late: 0 };
        traffic.count(&Tally { counts: counts(60, 40), ..Tally::default() }, grid, Tick(0));
        let ratio = |others: Counts, late| {
            let mut ring = Ring::new(grid);
            ring.add(others, Tick(0));
            traffic
                .ratio(&rules, &Comparison { all: Some(&ring), less: None }, late, Tick(300 * MS))
                .is_some()
        };
        assert!(ratio(counts(0, 0), true) && ratio(counts(100, 0), true) && ratio(counts(88, 12), true));
        assert!(!ratio(counts(80, 20), true) && !ratio(counts(0, 1), true));
        assert!(!ratio(Counts { good: 80, failed: 0, late: 20 }, true));
        assert!(ratio(Counts { good: 80, failed: 0, late: 20 }, false), "late ones do not count here");
    }
}
