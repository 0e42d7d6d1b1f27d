//! Outlier detection for one endpoint: what real traffic shows there, and whether that speaks against it.
//! Never looks at other endpoints: the world says with which traffic this one is compared.
//!
//! # Why compared with others and not by a fixed limit alone
//!
//! When a database behind all regions fails, every endpoint answers errors. Taking some of them out helps no request and
//! overloads the rest. So a failed share counts only if it is at least three times that of the traffic beside it, and no
//! failure counts, alone, in a row or as a share, that is no more than chance at the others' rate (`chance`). Envoy
//! compares success rates with the mean of a cluster of at least five hosts; regions have one or two endpoints, so the
//! comparison here is with all traffic of the route's other pools, however few endpoints they have.
//!
//! # Why failures are ordered by their own time
//!
//! Good answers arrive as counts, failures one by one and sooner. A streak of failures is one only if no good answer
//! ended in between: the time of the failure and of the last good answer decide, not the order in which the news came.

use std::{fmt, time::Duration};

use crate::{
    baseline::Baseline,
    chance::{Odds, Share, are_apart, is_beyond_chance, is_worse},
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
/// Fewer failures than this among the others say nothing about how often they fail,
const FEW: u32 = 2;
/// nor do fewer requests than this that say that they fail never.
const TELLING: u32 = 30;

/// Why an endpoint is to be ejected, and what was seen.
#[derive(Clone, Debug)]
pub(crate) struct Outlier {
    pub(crate) cause: Cause,
    pub(crate) evidence: Evidence,
}

/// What an endpoint's failures say about it, compared with those of the others.
#[derive(Clone, Debug)]
pub(crate) enum Finding {
    /// The endpoint is worse than the others.
    Outlier(Outlier),
    /// The failures are enough for an ejection, but the others fail as often.
    Shared(Outlier),
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
    /// Failures since the last good answer, and when the first of them was.
    streak: u32,
    streak_began: Tick,
    /// Good answers since the last failure, to the tally.
    calm: u32,
    /// How the endpoint failed last.
    fault: Option<Fault>,
    /// The endpoint is ejected or in probation: its failures are its own, and excuse no other endpoint.
    out: bool,
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
        if counts && (before == 0 || at < self.streak_began) {
            self.streak_began = at;
        }
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

    /// Did a request fail since `from`?
    pub(crate) fn bad_since(&self, from: Tick) -> bool {
        self.last_bad.is_some_and(|bad| bad >= from)
    }

    /// The failures in a row, if they are enough for an ejection.
    pub(crate) fn in_a_row(&self, rules: &EjectRules) -> Option<Streak> {
        let enough = rules.consecutive_failures > 0 && self.streak >= rules.consecutive_failures;
        let streak = Streak { failures: self.streak, began: self.streak_began };
        (enough && self.good_at_last().is_none()).then_some(streak)
    }

    /// How often the endpoint failed before its last `failures` (0–1).
    pub(crate) fn rate_before(&self, failures: u32, rules: &EjectRules, now: Tick) -> f64 {
        let counts = self.ring.as_ref().map(|ring| ring.last(rules.window, now)).unwrap_or_default();
        let before = counts.total().saturating_sub(failures);
        f64::from(counts.bad(true).saturating_sub(failures))
            / f64::from(before.max(rules.min_requests).max(1))
    }

    /// The trailing spans whose failed share is enough for an ejection, each compared with that of `others` in the same
    /// span: whether it is more than chance, and what was seen. The first that is decides.
    pub(crate) fn ratio(
        &self,
        rules: &EjectRules,
        others: &Comparison<'_>,
        late: bool,
        now: Tick,
    ) -> Option<(bool, String)> {
        let mine = self.ring.as_ref()?.spans(now);
        let mut theirs = others.spans(now);
        let (rate, mut shared) = (others.rate(rules, late, now), None);
        for (length, own) in mine.take_while(|(length, _)| *length <= rules.window) {
            let (_, other) = theirs.next().unwrap_or_default();
            let own = Share { bad: own.bad(late), total: own.total() };
            if length < SHORTEST
                || own.total < rules.min_requests
                || own.bad == 0
                || rules.failure_ratio == 0.0
            {
                continue;
            }
            let share = f64::from(own.bad) / f64::from(own.total);
            if share < rules.failure_ratio {
                continue;
            }
            let detail =
                || format!("{} of {} requests failed in {} ms", own.bad, own.total, length.as_millis());
            let other = Share { bad: other.bad(late), total: other.total() };
            if is_worse(own, other)
                && (are_apart(own, other) || (other.total == 0 && !others.are_asked))
                && is_beyond_chance(own, rate.rate, Odds::SERVING)
            {
                return Some((true, detail()));
            }
            shared.get_or_insert_with(|| (false, detail()));
        }
        shared
    }

    /// How the endpoint failed, for the evidence of an ejection.
    pub(crate) fn fault(&self, cause: Cause, rules: &EjectRules, now: Tick) -> Fault {
        // An ejection by share rests on tallies: the last failure that was reported may be of another kind.
        let only_late = |ring: &Ring| ring.last(rules.window, now).failed == 0;
        let late = cause == Cause::Ratio && self.ring.as_ref().is_some_and(only_late);
        if late { Fault::Late } else { self.fault.unwrap_or(Fault::Status) }
    }

    /// Is the endpoint ejected or in probation?
    pub(crate) fn is_out(&self) -> bool {
        self.out
    }

    /// The endpoint was ejected: what is usual does not age meanwhile.
    pub(crate) fn ejected(&mut self, now: Tick) {
        (self.streak, self.out) = (0, true);
        if let Some(baseline) = &mut self.baseline {
            baseline.pause(now);
        }
    }

    /// The endpoint is Clear again: what was counted before is no evidence any more.
    pub(crate) fn cleared(&mut self, now: Tick) {
        (self.streak, self.ring, self.out) = (0, None, false);
        if let Some(baseline) = &mut self.baseline {
            baseline.resume(now);
        }
    }

    /// Lets the baseline age. Says whether that moved its percentile.
    pub(crate) fn age(&mut self, now: Tick) -> bool {
        self.baseline.as_mut().is_some_and(|known| known.age(now))
    }
}

/// Failures in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streak {
    pub(crate) failures: u32,
    /// When the first of them was.
    pub(crate) began: Tick,
}

impl Streak {
    /// The failures as a share: all of them.
    pub(crate) fn share(self) -> Share {
        Share { bad: self.failures, total: self.failures }
    }
}

/// The traffic with which an endpoint's is compared: all of it, less the endpoint's own part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison<'a> {
    pub(crate) all: Option<&'a Ring>,
    pub(crate) less: Option<&'a Ring>,
    /// Requests go to the others now. If none does, nothing is known of them but that they may be better: asking them is
    /// the only way to know.
    pub(crate) are_asked: bool,
}

/// How often the others fail, where that was worst.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CommonRate {
    /// The part (0–1) of their requests that failed.
    pub(crate) rate: f64,
    /// What that part is of.
    pub(crate) seen: Share,
    /// How many requests the others had.
    pub(crate) requests: u32,
}

impl CommonRate {
    /// Did the others have some requests, but too few to tell that they fail never?
    pub(crate) fn is_vague(self) -> bool {
        self.rate == 0.0 && self.requests > 0 && self.requests < TELLING
    }
}

impl fmt::Display for CommonRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seen {
            Share { bad: 0, .. } => f.write_str("others fail as well"),
            Share { bad, total } => write!(f, "others fail as often: {bad} of {total}"),
        }
    }
}

impl Comparison<'_> {
    fn spans(&self, now: Tick) -> impl Iterator<Item = (Duration, Counts)> {
        let mut less = self.less.map(|ring| ring.spans(now));
        let all = self.all.into_iter().flat_map(move |ring| ring.spans(now));
        all.map(move |(length, all)| {
            let less = less.as_mut().and_then(Iterator::next).map(|(_, counts)| counts);
            (length, all.minus(less.unwrap_or_default()))
        })
    }

    /// How often the others fail: the worst of the trailing spans. What is missing to `min_requests` counts as good: two
    /// failures of two requests are no rate.
    pub(crate) fn rate(&self, rules: &EjectRules, late: bool, now: Tick) -> CommonRate {
        let mut worst = CommonRate::default();
        for (length, counts) in self.spans(now).take_while(|(length, _)| *length <= rules.window) {
            let seen = Share { bad: counts.bad(late), total: counts.total() };
            let rate = f64::from(seen.bad) / f64::from(seen.total.max(rules.min_requests).max(1));
            worst.requests = seen.total;
            if length >= SHORTEST && seen.bad >= FEW && rate > worst.rate {
                (worst.rate, worst.seen) = (rate, seen);
            }
        }
        worst
    }

    pub(crate) fn last(&self, span: Duration, now: Tick) -> Counts {
        let last = |ring: Option<&Ring>| ring.map(|ring| ring.last(span, now)).unwrap_or_default();
        last(self.all).minus(last(self.less))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1000;
    const NOBODY: Comparison<'static> = Comparison { all: None, less: None, are_asked: false };

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
            if traffic.ratio(&rules, &NOBODY, true, now).is_some_and(|(alone, _)| alone) {
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
                .ratio(
                    &rules,
                    &Comparison { all: Some(&ring), less: None, are_asked: false },
                    late,
                    Tick(300 * MS),
                )
                .is_some_and(|(alone, _)| alone)
        };
        assert!(ratio(counts(0, 0), true) && ratio(counts(100, 0), true) && ratio(counts(88, 12), true));
        assert!(!ratio(counts(80, 20), true) && !ratio(counts(0, 1), true));
        assert!(!ratio(Counts { good: 80, failed: 0, late: 20 }, true));
        assert!(ratio(Counts { good: 80, failed: 0, late: 20 }, false), "late ones do not count here");
    }
}
