//! What real traffic says about one endpoint, and the sentence it serves: Clear, Ejected for a while, Probation.
//! Never looks at other endpoints: whether this one is worse than they are, and whether it may be spared, the world says.

use std::time::Duration;

use crate::{
    baseline::Baseline,
    fault::{Evidence, Fault},
    reason::Cause,
    ring::{Grid, Ring},
    roll::mix,
    tally::{Counts, Tally},
    tick::Tick,
    topology::EjectRules,
};

/// Probation lasts at least this long,
pub(crate) const PROBATION: Duration = Duration::from_secs(1);
/// and this many answers.
const PROOF: u32 = 5;
/// Clear for this long, an endpoint's next conviction counts as its first.
const GRACE: Duration = Duration::from_secs(60);
/// A span shorter than this convicts nobody.
const SHORTEST: Duration = Duration::from_millis(250);
/// Good answers after which a failure is the first of something new: fewer than one in so many convict nobody.
const CALM: u32 = 20;
/// How much worse than the others an endpoint must be.
pub(crate) const WORSE: u64 = 3;

/// What real traffic says about one endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    ring: Option<Ring>,
    baseline: Option<Box<Baseline>>,
    /// The last answer below 500, in time, to its end.
    last_good: Option<Tick>,
    last_bad: Option<Tick>,
    /// The last late one, whether it was held against it or not.
    last_late: Option<Tick>,
    /// Failures since the last good answer.
    streak: u32,
    /// Good answers since the last failure, to the tally.
    calm: u32,
    /// How it failed last.
    fault: Option<Fault>,
    /// Convictions in a row.
    pub(crate) count: u32,
    /// When the present sentence (or freedom) began.
    since: Tick,
    /// Good answers to requests of this probation.
    proof: u32,
    /// What convicted it last.
    pub(crate) evidence: Option<Evidence>,
}

impl Record {
    /// Takes counts in that have come since the last time.
    pub(crate) fn count(&mut self, tally: &Tally, grid: Grid, now: Tick) {
        let Tally { counts, last_good, proof, .. } = *tally;
        if counts.total() > 0 {
            self.ring.get_or_insert_with(|| Ring::new(grid)).add(counts, now);
        }
        self.last_good = self.last_good.max(last_good);
        self.calm = if counts.bad(true) == 0 { self.calm.saturating_add(counts.good) } else { 0 };
        self.proof = self.proof.saturating_add(proof);
    }

    /// Counts of another grid cannot be compared with those of the others any more.
    pub(crate) fn keep_to(&mut self, grid: Grid) {
        self.ring = self.ring.take().filter(|ring| ring.grid() == grid);
    }

    pub(crate) fn ring(&self) -> Option<&Ring> {
        self.ring.as_ref()
    }

    /// Takes first bytes in, of a time in which it was Clear.
    pub(crate) fn measure(&mut self, spans: &[(u8, u32)], now: Tick) {
        self.baseline.get_or_insert_default().add(spans, now);
    }

    /// Usual time to the first byte.
    pub(crate) fn p95_us(&self) -> Option<u32> {
        self.baseline.as_ref().and_then(|known| known.p95_us())
    }

    /// A request failed at `at`, in the order of the failures; good answers are known by the time of the last one.
    pub(crate) fn failed(&mut self, fault: Fault, at: Tick) {
        let before = if self.good_at_last().is_some() { 0 } else { self.streak };
        let counts = self.last_good.is_none_or(|good| at > good);
        self.streak = before.saturating_add(u32::from(counts));
        self.last_bad = self.last_bad.max(Some(at));
        self.fault = Some(fault);
        self.calm = 0;
    }

    /// Late at `at`, whoever is to blame.
    pub(crate) fn was_late(&mut self, at: Tick) {
        self.last_late = self.last_late.max(Some(at));
    }

    /// It was late since `from`.
    pub(crate) fn late_since(&self, from: Tick) -> bool {
        self.last_late.is_some_and(|late| late >= from)
    }

    /// So many good answers since its last failure that the next one has nothing to do with it.
    pub(crate) fn was_calm(&self) -> bool {
        self.calm >= CALM
    }

    /// When the last good answer ended, if nothing that is known failed after it.
    pub(crate) fn good_at_last(&self) -> Option<Tick> {
        self.last_good.filter(|good| self.last_bad.is_none_or(|bad| *good >= bad))
    }

    /// Real traffic got a good answer there since `from`.
    pub(crate) fn good_since(&self, from: Tick) -> bool {
        self.last_good.is_some_and(|good| good >= from)
    }

    /// Does the number of failures in a row convict?
    pub(crate) fn in_a_row(&self, rules: &EjectRules) -> Option<String> {
        let enough = rules.consecutive_failures > 0 && self.streak >= rules.consecutive_failures;
        (enough && self.good_at_last().is_none()).then(|| format!("{} failures in a row", self.streak))
    }

    /// Does the failed share of a trailing span convict, beside that of `others` in the same span?
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

    /// Takes it out; says for how long. Only a failed probation makes it longer.
    pub(crate) fn convict(
        &mut self,
        cause: Cause,
        detail: String,
        rules: &EjectRules,
        (id, now): (u32, Tick),
    ) -> Tick {
        self.count = match cause {
            Cause::Probation => self.count.saturating_add(1),
            _ if self.count == 0 || now.since(self.since) >= GRACE => 1,
            _ => self.count,
        };
        // What a share convicts of came by tally: the last failure that was told may be of another kind.
        let only_late = |ring: &Ring| ring.last(rules.window, now).failed == 0;
        let late = cause == Cause::Ratio && self.ring.as_ref().is_some_and(only_late);
        let fault = if late { Fault::Late } else { self.fault.unwrap_or(Fault::Status) };
        self.evidence = Some(Evidence { fault, detail: detail.into() });
        self.streak = 0;
        self.since = now;
        if let Some(baseline) = &mut self.baseline {
            baseline.pause(now);
        }
        let lasts = rules.base.saturating_mul(self.count).min(rules.max);
        let jitter = mix(u64::from(id) ^ (now.0 << 20)) >> 40;
        #[expect(clippy::cast_precision_loss, reason = "24 bits")]
        let part = jitter as f64 / f64::from(1 << 24);
        now.after(lasts + lasts.mul_f64(part / 10.0))
    }

    /// Probation begins.
    pub(crate) fn on_probation(&mut self, now: Tick) {
        (self.since, self.proof) = (now, 0);
    }

    /// When the present sentence (or freedom) began.
    pub(crate) fn since(&self) -> Tick {
        self.since
    }

    /// A request that began at `started` belongs to this probation.
    pub(crate) fn is_of_probation(&self, started: Tick) -> bool {
        started >= self.since
    }

    /// When this probation can end.
    pub(crate) fn tried_until(&self) -> Tick {
        self.since.after(PROBATION)
    }

    /// When this probation ends, if it has enough answers.
    pub(crate) fn proven_at(&self) -> Option<Tick> {
        (self.proof >= PROOF).then(|| self.tried_until())
    }

    /// It has proven itself. What was counted before is no evidence any more.
    pub(crate) fn acquit(&mut self, now: Tick) {
        (self.since, self.streak, self.ring) = (now, 0, None);
        if let Some(baseline) = &mut self.baseline {
            baseline.resume(now);
        }
    }

    /// Time has passed: says whether what is usual is not known any more.
    pub(crate) fn age(&mut self, now: Tick) -> bool {
        self.baseline.as_mut().is_some_and(|known| known.age(now))
    }
}

/// The traffic that an endpoint's is compared with: all of it, less its own part.
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

/// Is the first share at least [`WORSE`] times the second? Nothing is no share.
pub(crate) fn worse(own: Share, other: Share) -> bool {
    let share = u64::from(own.bad) * u64::from(other.total.max(1));
    share >= WORSE * u64::from(other.bad) * u64::from(own.total)
}

/// So many bad ones among so many.
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

    /// `+` is a good answer and `-` a failure, one every `gap` milliseconds; where is it convicted, and by what?
    fn convicted(results: &str, gap: u64) -> Option<(usize, Cause)> {
        let (rules, mut record) = (EjectRules::default(), Record::default());
        let grid = Grid::over(rules.window);
        for (nth, result) in results.chars().enumerate() {
            let now = Tick((nth as u64 + 1) * gap * MS);
            let good = result == '+';
            let counts = Counts { good: good.into(), failed: (!good).into(), late: 0 };
            record.count(&Tally { counts, last_good: good.then_some(now), ..Tally::default() }, grid, now);
            if !good {
                record.failed(Fault::Status, now);
            }
            if record.in_a_row(&rules).is_some() {
                return Some((nth, Cause::Consecutive));
            }
            if record.ratio(&rules, &NOBODY, true, now).is_some() {
                return Some((nth, Cause::Ratio));
            }
        }
        None
    }

    #[test]
    fn failures_in_a_row_convict_and_a_good_answer_starts_the_count_anew() {
        assert_eq!(convicted("++++---", 1), Some((6, Cause::Consecutive)));
        assert_eq!(convicted("--+--+--+", 1), None);
    }

    #[test]
    fn interleaved_failures_convict_once_a_span_of_250_ms_holds_enough() {
        assert_eq!(convicted(&"+-".repeat(50), 50), Some((9, Cause::Ratio)), "the tenth request");
        assert_eq!(convicted(&"+-".repeat(200), 5).map(|(nth, _)| nth / 10), Some(4), "250 ms of them");
        assert_eq!(convicted(&"+++++++++-".repeat(100), 20), None, "10 % are not 20 %");
        assert_eq!(convicted(&"+-".repeat(20), 5000), None, "ten requests take longer than the window");
    }

    #[test]
    fn order_is_by_time_whenever_the_news_arrives() {
        let mut record = Record::default();
        let grid = Grid::over(Duration::from_secs(1));
        record.failed(Fault::Status, Tick(10));
        record.failed(Fault::Status, Tick(20));
        record.count(&Tally { last_good: Some(Tick(25)), ..Tally::default() }, grid, Tick(30));
        record.failed(Fault::Status, Tick(24));
        assert_eq!(record.streak, 0, "a good answer came after it");
        record.failed(Fault::Status, Tick(26));
        record.failed(Fault::Status, Tick(27));
        assert_eq!(record.streak, 2);
    }

    #[test]
    fn who_fails_as_the_others_do_is_not_worse() {
        let grid = Grid::over(Duration::from_secs(10));
        let (rules, mut record) = (EjectRules::default(), Record::default());
        let counts = |good, failed| Counts { good, failed, late: 0 };
        record.count(&Tally { counts: counts(60, 40), ..Tally::default() }, grid, Tick(0));
        let ratio = |others: Counts, late| {
            let mut ring = Ring::new(grid);
            ring.add(others, Tick(0));
            record.ratio(&rules, &Comparison { all: Some(&ring), less: None }, late, Tick(300 * MS)).is_some()
        };
        assert!(ratio(counts(0, 0), true) && ratio(counts(100, 0), true) && ratio(counts(88, 12), true));
        assert!(!ratio(counts(80, 20), true) && !ratio(counts(0, 1), true));
        assert!(!ratio(Counts { good: 80, failed: 0, late: 20 }, true));
        assert!(ratio(Counts { good: 80, failed: 0, late: 20 }, false), "late ones do not count here");
    }

    #[test]
    fn sentences_grow_by_failed_probations_only_up_to_the_cap() {
        let rules = EjectRules::default();
        let mut record = Record::default();
        let mut lasts = |cause, at: u64| {
            let now = Tick(at * 1_000_000);
            let until = record.convict(cause, String::new(), &rules, (1, now));
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
