//! The goals of cells. Every goal gives figures: the measured value, the goal, and the limit above which a run
//! fails. Counts must be met exactly; times may be three times as long before a run fails, because machines are noisy;
//! the report says either way whether the goal itself was reached.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    record::{Record, due_ms, failed, quantile},
    steady,
};

/// How much longer than its goal a time may be before a run fails.
const NOISE: f64 = 3.0;

/// One claim about a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Goal {
    /// No request fails.
    NoneFailed,
    /// No GET fails.
    NoGetFailed,
    /// No answer is cut after its head.
    NoneCut,
    /// 99.9 % of the GETs under the fault take at most this much longer than those before it.
    AddedP999(f64),
    /// As above, for the GETs that were due within half a second of a kill, each without its network round trips.
    AddedByKills(f64),
    /// Every kill strikes a site that answered at least this share of what was due just before (percent).
    Strikes(f64),
    /// 99.9 % of the GETs under the fault.
    P999(f64),
    /// Every GET under the fault.
    Max(f64),
    /// From so long after the start of the fault until its cure, this region has at most this share (percent).
    Leaves {
        /// The region.
        region: &'static str,
        /// The limit in milliseconds.
        within_ms: f64,
        /// The largest share in percent.
        share: f64,
    },
    /// From so long after the cure on, in every second, this region has three quarters of the share it had before.
    Returns {
        /// The region.
        region: &'static str,
        /// The limit in milliseconds.
        within_ms: f64,
    },
    /// Its share in seconds, from the last one before the fault on, changes direction at most this often; changes under
    /// five points do not count.
    Turns {
        /// The region.
        region: &'static str,
        /// The largest number of changes.
        at_most: usize,
    },
    /// In each of the first three spans of this length, its share is no larger than in the span before. The requests of
    /// one probation are not counted, because chance decides in which span they fall.
    Shrinks {
        /// The region.
        region: &'static str,
        /// The length of a span in milliseconds.
        span_ms: f64,
    },
    /// Arrivals during the fault per request that was due.
    Attempts(f64),
    /// From so many milliseconds after the cure on no request fails.
    Healed(f64),
    /// Connections that were new in the five seconds after the cure, per connection opened before the fault. Requests
    /// that a late generator sends at once need a connection each: that many are not counted.
    Fresh(f64),
    /// This region answers all requests this long after the first failed attempt.
    Moves {
        /// The region.
        to: &'static str,
        /// The limit in milliseconds.
        within_ms: f64,
    },
    /// From its first request after the cure on, this region's share follows its ramp in every second: within three points
    /// if the ramp takes 30 s.
    Ramps {
        /// The region.
        region: &'static str,
        /// The length of the ramp in milliseconds.
        ramp_ms: f64,
    },
    /// During the fault this region's share is within one point of this (percent).
    Share {
        /// The region.
        region: &'static str,
        /// What the formula says.
        percent: f64,
    },
    /// No region gets more requests than this in any second.
    Capacity(f64),
    /// After the last kill, the regions that are left answer nine tenths of this many requests per second.
    Goodput(f64),
    /// After the last kill, 99 % of the refusals take at most this many milliseconds.
    RefusedWithin(f64),
    /// No GET is refused. A pause of the machine makes a burst, which no capacity allows: such a run is void.
    NoneRefused,
    /// This region is left at most this often, by the edge's own count.
    Left {
        /// The region.
        region: &'static str,
        /// The largest number of failovers.
        at_most: usize,
    },
}

/// One measured value beside what it should be.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Figure {
    /// The name of the value, with its unit.
    pub what: String,
    /// The measured value.
    pub value: f64,
    /// The goal: the largest value that reaches it.
    pub goal: f64,
    /// The limit: a larger value fails the run.
    pub limit: f64,
    /// Whether it depends on the machine, which may void it: a time, or a count that a pause increases.
    #[serde(default)]
    pub timed: bool,
    /// The parts of the value, where the value alone says too little.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Figure {
    pub(crate) fn count(what: &str, value: f64, goal: f64) -> Self {
        Self { what: what.to_owned(), value, goal, limit: goal, timed: false, note: String::new() }
    }

    pub(crate) fn time(what: &str, value: f64, goal: f64) -> Self {
        Self { limit: goal * NOISE, timed: true, ..Self::count(what, value, goal) }
    }

    pub(crate) fn noted(self, note: String) -> Self {
        Self { note, ..self }
    }

    /// Whether the goal was reached.
    pub fn reached(&self) -> bool {
        self.value <= self.goal
    }

    /// Whether the run passes.
    pub fn holds(&self) -> bool {
        self.value <= self.limit
    }
}

impl Goal {
    /// Measures it.
    pub fn figure(&self, record: &Record) -> Figure {
        let (fault, cure) = (record.fault_ms, record.cure_ms);
        let under = || record.latencies(fault, cure);
        match *self {
            Self::NoneFailed => {
                let failed = record.failed(false).len() + record.failed(true).len();
                Figure::count("failed requests", failed as f64, 0.0)
            }
            Self::NoGetFailed => Figure::count("failed GETs", record.failed(false).len() as f64, 0.0),
            Self::NoneCut => Figure::count("cut answers", record.cut() as f64, 0.0),
            Self::AddedByKills(goal) => {
                let (before, near) = (record.less_the_way(WARM_MS, fault, None), near_kills(record));
                let note = format!("of {} GETs, {} before", near.len(), before.len());
                let added = quantile(&near, 0.999) - quantile(&before, 0.999);
                Figure::time("added p99.9 by kills (ms)", added, goal).noted(note)
            }
            Self::Strikes(share) => strikes(record, share / 100.0),
            Self::AddedP999(goal) => {
                let before = quantile(&record.latencies(WARM_MS, fault), 0.999);
                Figure::time("added p99.9 (ms)", quantile(&under(), 0.999) - before, goal)
            }
            Self::P999(goal) => Figure::time("p99.9 (ms)", quantile(&under(), 0.999), goal),
            Self::Max(goal) => Figure::time("max (ms)", quantile(&under(), 1.0), goal),
            Self::Leaves { region, within_ms, share } => {
                let what = format!("{region} under {share} % after (ms)");
                Figure::time(&what, leaves(record, region, share / 100.0), within_ms)
            }
            Self::Returns { region, within_ms } => {
                Figure::time(&format!("{region} back after (ms)"), returns(record, region), within_ms)
            }
            Self::Turns { region, at_most } => {
                let shares = record.shares(region, fault - 1000.0, record.end_ms, 1000.0);
                Figure::count(&format!("turns of {region}"), turns(&shares, 0.05) as f64, at_most as f64)
            }
            Self::Ramps { region, ramp_ms } => steady::off_the_ramp(record, region, ramp_ms),
            Self::Share { region, percent } => steady::off_the_share(record, region, percent),
            Self::NoneRefused => {
                let failed = record.failed(false).len() as f64;
                Figure { timed: true, ..Figure::count("refused GETs", failed, 0.0) }
            }
            Self::Capacity(capacity) => steady::busiest_second(record, capacity),
            Self::Goodput(capacity) => steady::shortfall(record, capacity),
            Self::RefusedWithin(goal_ms) => {
                let taken = steady::refusals(record);
                Figure::time("p99 of refusals (ms)", quantile(&taken, 0.99), goal_ms)
                    .noted(format!("of {}", taken.len()))
            }
            Self::Left { region, at_most } => {
                let book = record.book.as_ref();
                let count = book.map(|book| book.metrics.sum("thalweg_failovers_total", &[("from", region)]));
                Figure::count(&format!("failovers from {region}"), count.unwrap_or(0.0), at_most as f64)
            }
            Self::Shrinks { region, span_ms } => shrinks(record, region, span_ms),
            Self::Attempts(goal) => Figure::count("attempts per request", attempts(record), goal),
            Self::Healed(from_ms) => healed(record, from_ms),
            Self::Fresh(goal) => fresh(record, goal),
            Self::Moves { to, within_ms } => {
                Figure::time(&format!("all in {to} after (ms)"), moves(record, to), within_ms)
            }
        }
    }
}

/// The goals of the edge in every cell.
const WORKERS: usize = 2;

/// Requests due before this are not judged, because connections are being opened.
const WARM_MS: f64 = 1000.0;

/// Latencies, without the network round trips, of the GETs that were due within half a second of a kill or under way
/// at the kill; sorted.
fn near_kills(record: &Record) -> Vec<f64> {
    let spans = record
        .kills
        .iter()
        .map(|(at_ms, site)| record.less_the_way(at_ms - 50.0, at_ms + 500.0, Some(*site)));
    let mut near: Vec<f64> = spans.flatten().collect();
    near.sort_by(f64::total_cmp);
    near
}

fn strikes(record: &Record, least: f64) -> Figure {
    const BEFORE_MS: f64 = 200.0;
    let share = |(at_ms, site): &(f64, usize)| {
        let due: Vec<_> = record.due(at_ms - BEFORE_MS, *at_ms).collect();
        due.iter().filter(|shot| shot.by == record.sites[*site]).count() as f64 / due.len().max(1) as f64
    };
    let shares: Vec<f64> = record.kills.iter().map(share).collect();
    let missed = shares.iter().filter(|share| **share < least).count();
    let worst = shares.iter().copied().fold(1.0, f64::min) * 100.0;
    let what = format!("kills that struck under {:.0} %", least * 100.0);
    Figure::count(&what, missed as f64, 0.0)
        .noted(format!("of {}, the least struck {worst:.0} %", shares.len()))
}

/// The due time of the last request to the region in a second of the fault in which the region had more than its limit.
/// The seconds overlap; a share over the whole fault would hide a bad start. An attempt that arrived at no site counts
/// as one to this region.
fn leaves(record: &Record, region: &str, limit: f64) -> f64 {
    const SPAN_MS: f64 = 1000.0;
    const STEP_MS: f64 = 100.0;
    let (fault, cure) = (record.fault_ms, record.cure_ms);
    let there = record.hits.iter().filter(|hit| record.region(hit.site) == region).map(|hit| hit.due_ms);
    let there: Vec<f64> = there.chain(record.vanished()).collect();
    let elsewhere = record.hits.iter().filter(|hit| record.region(hit.site) != region).map(|hit| hit.due_ms);
    let elsewhere: Vec<f64> = elsewhere.collect();
    let steps = ((cure - fault - SPAN_MS) / STEP_MS).max(0.0) as usize;
    let over = (0..=steps).map(|nth| fault + nth as f64 * STEP_MS).rfind(|from| {
        let within =
            |all: &[f64]| all.iter().filter(|due| (*from..from + SPAN_MS).contains(*due)).count() as f64;
        let gone = within(&there);
        gone / (gone + within(&elsewhere)).max(1.0) > limit
    });
    let Some(from) = over else { return 0.0 };
    there
        .iter()
        .filter(|due| (from..from + SPAN_MS).contains(*due))
        .map(|due| due - fault)
        .fold(0.0, f64::max)
}

/// The time to the end of the last second in which the region had too small a share; `f64::MAX` if the run ends with
/// such a second.
fn returns(record: &Record, region: &str) -> f64 {
    const SPAN_MS: f64 = 1000.0;
    const STEP_MS: f64 = 250.0;
    let least = record.share(region, WARM_MS, record.fault_ms) * 0.75;
    let steps = ((record.end_ms - record.cure_ms - SPAN_MS) / STEP_MS).max(0.0) as usize;
    let poor = (0..=steps).rfind(|nth| {
        let from = record.cure_ms + *nth as f64 * STEP_MS;
        record.share(region, from, from + SPAN_MS) < least
    });
    match poor {
        None => 0.0,
        Some(nth) if nth == steps => f64::MAX,
        Some(nth) => nth as f64 * STEP_MS + SPAN_MS,
    }
}

fn shrinks(record: &Record, region: &str, span_ms: f64) -> Figure {
    /// The requests of a probation before it can end: one each 100 ms, for a second.
    const PROBATION: f64 = 10.0;
    let fault = record.fault_ms;
    let shares: Vec<f64> = (0..3)
        .map(|nth| fault + f64::from(nth) * span_ms)
        .map(|from| record.share(region, from, from + span_ms))
        .collect();
    let due = record.due(fault, fault + span_ms).count();
    let growth = shares.windows(2).map(|two| two[1] - two[0]).fold(0.0, f64::max);
    let beyond = (growth - PROBATION / due.max(1) as f64).max(0.0) * 100.0;
    let points = shares.iter().map(|share| format!("{:.2}", share * 100.0)).collect::<Vec<_>>().join(", ");
    Figure::count(&format!("largest growth of {region} (points)"), beyond, 0.0).noted(format!("{points} %"))
}

/// Follows the extremes: a turn is a move of at least `least` against the direction so far.
fn turns(shares: &[f64], least: f64) -> usize {
    let Some(&first) = shares.first() else { return 0 };
    let (mut extreme, mut direction, mut count) = (first, 0.0, 0);
    for &share in shares {
        let change = share - extreme;
        if change.abs() >= least && change.signum() != direction {
            count += usize::from(direction != 0.0);
            (direction, extreme) = (change.signum(), share);
        } else if change * direction > 0.0 {
            extreme = share;
        }
    }
    count
}

fn attempts(record: &Record) -> f64 {
    let span = record.fault_ms..record.cure_ms;
    let due = record.due(span.start, span.end).count();
    let arrived = record.hits.iter().filter(|hit| span.contains(&hit.due_ms)).count();
    arrived as f64 / due.max(1) as f64
}

fn healed(record: &Record, from_ms: f64) -> Figure {
    let after = record.shots.iter().filter(|shot| failed(shot)).map(|shot| due_ms(shot) - record.cure_ms);
    let after: Vec<f64> = after.filter(|after| *after >= 0.0).collect();
    let late = after.iter().filter(|after| **after >= from_ms).count();
    let last = after.iter().copied().fold(0.0, f64::max);
    let what = format!("failed from {from_ms} ms after the cure on");
    Figure::count(&what, late as f64, 0.0).noted(format!("the last after {last:.0} ms"))
}

fn fresh(record: &Record, goal: f64) -> Figure {
    const AFTER_MS: f64 = 5000.0;
    let used = |from: f64, to: f64| -> BTreeSet<(usize, (usize, u64))> {
        let within = record.hits.iter().filter(|hit| (from..to).contains(&hit.at_ms));
        within.map(|hit| (hit.site, hit.connection)).collect()
    };
    let cure = record.cure_ms;
    // Counted from the start of the run, because a cold start opens connections as a recovery does.
    // At least one per site and worker: an edge that uses all sites again needs that many.
    let steady = used(0.0, record.fault_ms).len().max(record.sites.len() * WORKERS);
    let before = used(0.0, cure);
    let new = used(cure, cure + AFTER_MS).difference(&before).count();
    let at_once =
        at_once(record, cure, cure + AFTER_MS).saturating_sub(at_once(record, 0.0, record.fault_ms));
    let value = new.saturating_sub(at_once) as f64 / steady as f64;
    let figure = Figure { timed: true, ..Figure::count("new connections over steady", value, goal) };
    figure.noted(format!("{new} new, {steady} steady, {at_once} for what came late and at once"))
}

/// The largest number of requests that the generator started in one millisecond of this span.
fn at_once(record: &Record, from_ms: f64, to_ms: f64) -> usize {
    let began = record.shots.iter().map(|shot| shot.due_us + shot.late_us);
    let mut began: Vec<u64> =
        began.filter(|at_us| (from_ms..to_ms).contains(&(*at_us as f64 / 1000.0))).collect();
    began.sort_unstable();
    let within = |nth: usize| began[nth..].partition_point(|at_us| *at_us < began[nth] + 1000);
    (0..began.len()).map(within).max().unwrap_or(0)
}

/// The first failed attempt comes at most one request's gap after the fault: 2 ms at 500/s, which is below what is
/// measured here.
fn moves(record: &Record, to: &str) -> f64 {
    let due = record.due(record.fault_ms, record.cure_ms);
    let elsewhere = due.filter(|shot| shot.by.split('#').next() != Some(to));
    elsewhere.map(|shot| due_ms(shot) - record.fault_ms).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use thalweg_testkit::{Outcome, Shot};

    use super::*;
    use crate::{made::run, record::Book};

    /// The measured value of this goal in that record.
    fn value(goal: &Goal, record: &Record) -> f64 {
        goal.figure(record).value
    }

    #[test]
    fn a_region_is_back_when_it_keeps_its_share_to_the_end() {
        let (region, within_ms) = ("a", 0.0);
        let goal = Goal::Returns { region, within_ms };
        let back = |again: fn(f64) -> bool| {
            value(&goal, &run(20, (4000.0, 8000.0), |ms| usize::from(ms >= 4000.0 && !again(ms))))
        };
        assert_eq!(back(|ms| ms >= 10_000.0), 2500.0);
        assert_eq!(back(|ms| (10_000.0..11_000.0).contains(&ms) || ms >= 14_000.0), 6500.0);
        assert_eq!(back(|ms| (10_000.0..19_000.0).contains(&ms)), f64::MAX);
        assert_eq!(back(|_| true), 0.0);
    }

    #[test]
    fn a_region_has_left_after_its_last_request_even_if_that_arrived_nowhere() {
        let goal = Goal::Leaves { region: "a", within_ms: 0.0, share: 1.0 };
        let mut record = run(10, (2000.0, 9000.0), |ms| usize::from(ms >= 2500.0));
        assert_eq!(value(&goal, &record), 498.0);
        let line = |shot: &Shot| {
            (shot.id.clone(), vec![serde_json::json!({ "attempts": 1 + u8::from(shot.due_us < 4_000_000) })])
        };
        let logged = record.shots.iter().map(line).collect();
        record.book = Some(Book { logged, metrics: thalweg_testkit::Metrics::default() });
        assert_eq!(value(&goal, &record), 1998.0);
    }

    #[test]
    fn the_last_third_of_a_flap_counts_and_one_probation_does_not() {
        let goal = Goal::Shrinks { region: "a", span_ms: 2000.0 };
        let growth = |third: f64| {
            value(
                &goal,
                &run(8, (1000.0, 6700.0), |ms| {
                    usize::from(ms >= 1400.0 && !(5000.0..5000.0 + third).contains(&ms))
                }),
            )
        };
        assert_eq!((growth(0.0), growth(20.0)), (0.0, 0.0));
        assert!(growth(40.0) > 0.9, "{}", growth(40.0));
    }

    #[test]
    fn a_kill_of_an_idle_site_is_no_strike_and_slow_answers_near_kills_show() {
        let mut record = run(10, (2000.0, 9000.0), |ms| usize::from(ms >= 5000.0));
        record.kills = vec![(4000.0, 0), (7000.0, 0)];
        assert_eq!(value(&Goal::Strikes(50.0), &record), 1.0);
        assert_eq!(value(&Goal::AddedByKills(20.0), &record), 0.0);
        record.shots[2000..2010].iter_mut().for_each(|shot| shot.latency_us += 30_000);
        assert_eq!(value(&Goal::AddedByKills(20.0), &record), 30.0);
        record.distances_ms = vec![30, 30];
        record.shots.iter_mut().for_each(|shot| shot.latency_us += 30_000);
        assert_eq!(
            value(&Goal::AddedByKills(20.0), &record),
            30.0,
            "the round trip to the site that answers does not count"
        );
    }

    #[test]
    fn only_a_burst_of_the_generator_excuses_new_connections() {
        let mut record = run(10, (2000.0, 4000.0), |_| 0);
        record
            .hits
            .iter_mut()
            .filter(|hit| hit.at_ms >= 4000.0)
            .for_each(|hit| hit.connection.1 = hit.due_ms as u64 % 20);
        assert_eq!(value(&Goal::Fresh(2.0), &record), 9.0 / 4.0, "ten, of which one was known");
        record.shots[2500..2505]
            .iter_mut()
            .enumerate()
            .for_each(|(nth, shot)| shot.late_us = 10_000 - nth as u64 * 2000);
        assert_eq!(value(&Goal::Fresh(2.0), &record), 4.0 / 4.0, "six came in one millisecond");
    }

    #[test]
    fn a_request_without_a_200_has_failed_and_none_may_a_second_after_the_cure() {
        let mut record = run(10, (2000.0, 4000.0), |_| 0);
        record.shots[2100].outcome = Outcome::Status(404);
        record.shots[2600].outcome = Outcome::Status(404);
        record.shots[2601].outcome = Outcome::CutAfterHead(200);
        assert_eq!(value(&Goal::NoGetFailed, &record), 2.0);
        assert_eq!(value(&Goal::Healed(1000.0), &record), 1.0);
        assert_eq!(value(&Goal::NoneCut, &record), 1.0);
    }

    #[test]
    fn a_turn_is_a_move_against_the_direction_and_small_ones_do_not_count() {
        for (shares, expected) in [
            (&[0.33, 0.0, 0.0, 0.0, 0.33, 0.33][..], 1),
            (&[0.33, 0.31, 0.34, 0.32], 0),
            (&[0.33, 0.0, 0.3, 0.0, 0.3], 3),
            (&[0.33, 0.2, 0.16, 0.12, 0.16, 0.33], 1),
            (&[], 0),
        ] {
            assert_eq!(turns(shares, 0.05), expected, "{shares:?}");
        }
    }
}
