//! The last results of one endpoint's probes, and whether they contradict each other.
//! Never looks at what requests show, and never says what the endpoint may do.
//!
//! # Why a window and not only results in a row
//!
//! `fall` failures in a row find an endpoint that died within a second. An address behind which one of three instances
//! fails, fails a third of its probes, and sooner or later two of them follow each other: counted in a row, such an
//! endpoint goes down and comes back several times a minute, and takes a whole region's traffic along. HAProxy, Envoy and
//! nginx count in a row alone. Here a failure that the next probe contradicts (a *blip*) is remembered for a window. After
//! one blip, failures in a row count as a death only if they are more than chance at the rate of the window. After a second
//! one the endpoint counts as failing in part: it keeps the share that its probes confirm, until nearly all fail.
//!
//! # Why a death is found as fast as without it
//!
//! Without a blip in the window, `fall` failures in a row are enough at once, as always.

use std::{collections::VecDeque, time::Duration};

use crate::{
    chance::{Odds, Share, is_beyond_chance},
    tick::Tick,
};

/// Results kept.
const KEPT: usize = 16;
/// So many failures of [`KEPT`] results: the endpoint is bad, whatever the others say. Of an endpoint that fails a third of
/// its probes, sixteen in a row look so once in 80,000 times.
const MOST: u32 = 14;
/// So many blips in a window: the series contradicts itself.
const BLIPS: usize = 2;
/// Failures more than `fall` that take down an endpoint that answers requests meanwhile.
const PATIENCE: u32 = 4;

/// The last results of one endpoint's probes.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProbeSeries {
    results: VecDeque<ProbeResult>,
    contradicts: bool,
}

/// How many of an endpoint's last probes succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeCounts {
    /// The probes that succeeded.
    pub good: u32,
    /// All of them.
    pub of: u32,
}

#[derive(Clone, Copy, Debug)]
struct ProbeResult {
    at: Tick,
    good: bool,
    /// This good result ended a run of failures that was too short to take the endpoint down.
    blip: bool,
}

impl ProbeSeries {
    /// Takes in a result. `serving`: the endpoint is not down.
    pub(crate) fn add(&mut self, good: bool, serving: bool, window: Duration, now: Tick) {
        let blip = good && serving && self.results.back().is_some_and(|last| !last.good);
        if self.results.len() == KEPT {
            self.results.pop_front();
        }
        self.results.push_back(ProbeResult { at: now, good, blip });
        self.results.retain(|result| now.since(result.at) <= window);
        let Share { bad, total } = self.failed();
        // Once contradictory, a series is so until the whole window says the same.
        self.contradicts = bad > 0 && bad < total && (self.contradicts || self.blips() >= BLIPS);
    }

    /// Does the series contradict itself?
    pub(crate) fn contradicts(&self) -> bool {
        self.contradicts
    }

    /// How many of the window's results are good.
    pub(crate) fn counts(&self) -> ProbeCounts {
        let Share { bad, total } = self.failed();
        ProbeCounts { good: total - bad, of: total }
    }

    /// The failures of the window.
    pub(crate) fn failed(&self) -> Share {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let bad = self.results.iter().filter(|result| !result.good).count();
        Share { bad: count(bad), total: count(self.results.len()) }
    }

    /// Do the last `streak` results, all failures, take the endpoint down? `answers`: requests were answered well
    /// meanwhile, so that the endpoint is not dead, whatever its probes say.
    pub(crate) fn confirms_down(&self, streak: u32, fall: u32, answers: bool) -> bool {
        let failed = self.failed();
        if streak < fall || (answers && streak < fall.saturating_add(PATIENCE)) {
            return false;
        }
        if failed.bad >= MOST || self.contradicts {
            return failed.bad >= MOST;
        }
        let before = failed.total.saturating_sub(streak).max(1);
        let recovered = if self.blips() > 0 { failed.bad.saturating_sub(streak) } else { 0 };
        let rate = f64::from(recovered) / f64::from(before);
        is_beyond_chance(Share { bad: streak, total: streak }, rate, Odds::SERVING)
    }

    /// May a run of successes bring the endpoint back? After a series that contradicts itself, only if most of the window
    /// are.
    pub(crate) fn confirms_up(&self) -> bool {
        let Share { bad, total } = self.failed();
        !self.contradicts || bad * 2 < total
    }

    fn blips(&self) -> usize {
        self.results.iter().filter(|result| result.blip).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    /// Adds results, one every `gap` milliseconds.
    fn series(results: &str, gap: u64) -> ProbeSeries {
        let mut series = ProbeSeries::default();
        for (nth, result) in results.chars().enumerate() {
            series.add(result == '+', true, WINDOW, Tick(nth as u64 * gap * 1000));
        }
        series
    }

    #[test]
    fn a_series_contradicts_itself_from_the_second_blip_until_its_window_agrees() {
        let check = |results: &str, gap: u64, expected: bool| {
            assert_eq!(series(results, gap).contradicts(), expected, "{results}");
        };
        check("+++-+", 500, false);
        check("+++-+-", 500, false);
        check("+++-+-+", 500, true);
        check("++-++-++-++", 500, true);
        check("--+", 500, false);
        check("+-+-+++++++++++++++", 500, true);
        check("+-+-++++++++++++++++", 500, false);
        check("+-+-++++++++", 1500, false);
        check("+-+----------", 1000, false);
    }

    #[test]
    fn how_many_failures_in_a_row_are_enough_follows_from_the_window() {
        let least = |before: &str, answers: bool| {
            (1..=16usize).find(|streak| {
                let results = format!("{before}{}", "-".repeat(*streak));
                series(&results, 300).confirms_down(u32::try_from(*streak).unwrap(), 2, answers)
            })
        };
        assert_eq!(least("+++++++++", false), Some(2), "a death");
        assert_eq!(least("+++++++++", true), Some(6), "a death, but for the requests");
        assert_eq!(least("", false), Some(2));
        assert_eq!(least("++++++++-+", false), Some(6), "after a blip");
        assert_eq!(least("++-++-++-++-++", false), Some(13), "a third fails");
        assert_eq!(least("+-+-+-+-+-+-+", false), Some(12), "half of them");
    }

    #[test]
    fn a_series_that_contradicted_itself_brings_back_only_what_is_mostly_good() {
        assert!(series("----------++", 300).confirms_up(), "a death and a return");
        assert!(!series("+-+---------++", 300).confirms_up());
        assert!(series("+-+-------+++++++++", 300).confirms_up());
    }
}
