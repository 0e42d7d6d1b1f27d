//! What a cell must reach. Every goal gives figures: the value as it was, the goal, and the limit that a run is failed
//! by. Counts must be met exactly; times may take three times as long before a run fails, because machines are noisy;
//! the report says either way whether the goal itself was reached.

use serde::{Deserialize, Serialize};
use thalweg_testkit::Shot;

use crate::record::{Hit, Record, due_ms, quantile};

/// How much longer than its goal a time may be before a run fails.
const NOISE: f64 = 3.0;

/// One claim about a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Goal {
    /// No request fails.
    NoneFailed,
    /// No GET fails.
    NoGetFailed,
    /// 99.9 % of the GETs under the fault take at most this much longer than those before it.
    AddedP999(f64),
    /// 99.9 % of the GETs under the fault.
    P999(f64),
    /// Every GET under the fault.
    Max(f64),
    /// From so long after the start of the fault until its cure, this region has at most this share (percent).
    Leaves {
        /// The region.
        region: &'static str,
        /// Milliseconds.
        within_ms: f64,
        /// Percent.
        share: f64,
    },
    /// So long after the cure this region has four fifths of the share it had before.
    Returns {
        /// The region.
        region: &'static str,
        /// Milliseconds.
        within_ms: f64,
    },
    /// Its share in seconds changes direction at most this often; changes under five points do not count.
    Turns {
        /// The region.
        region: &'static str,
        /// How often.
        at_most: usize,
    },
    /// Its share in each span of the fault is no larger than in the span before.
    Shrinks {
        /// The region.
        region: &'static str,
        /// Milliseconds.
        span_ms: f64,
    },
    /// What arrived under the fault, per request that was due.
    Attempts(f64),
    /// The last failed request after the cure.
    Healed(f64),
    /// Connections that were new in the five seconds after the cure, per connection opened before the fault.
    Fresh(f64),
    /// All requests are answered by this region so long after the first attempt that failed.
    Moves {
        /// The region.
        to: &'static str,
        /// Milliseconds.
        within_ms: f64,
    },
}

/// One measured value beside what it should be.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured, with its unit.
    pub what: String,
    /// What it was.
    pub value: f64,
    /// What it should be at most.
    pub goal: f64,
    /// What fails a run.
    pub limit: f64,
}

impl Figure {
    fn count(what: &str, value: f64, goal: f64) -> Self {
        Self { what: what.to_owned(), value, goal, limit: goal }
    }

    fn time(what: &str, value: f64, goal: f64) -> Self {
        Self { what: what.to_owned(), value, goal, limit: goal * NOISE }
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
                let shares = record.shares(region, fault, record.end_ms, 1000.0);
                Figure::count(&format!("turns of {region}"), turns(&shares, 0.05) as f64, at_most as f64)
            }
            Self::Shrinks { region, span_ms } => {
                let shares = record.shares(region, fault, cure, span_ms);
                let growth = shares.windows(2).map(|two| two[1] - two[0]).fold(0.0, f64::max);
                // To a hundredth of a point: as many requests of a few less in all are no growth.
                let points = (growth * 10_000.0).round() / 100.0;
                Figure::count(&format!("largest growth of {region} (points)"), points, 0.0)
            }
            Self::Attempts(goal) => Figure::count("attempts per request", attempts(record), goal),
            Self::Healed(goal) => Figure::time("last failure after the cure (ms)", healed(record), goal),
            Self::Fresh(goal) => Figure::count("new connections over steady", fresh(record), goal),
            Self::Moves { to, within_ms } => {
                Figure::time(&format!("all in {to} after (ms)"), moves(record, to), within_ms)
            }
        }
    }
}

/// What is due before this is not judged: connections are being opened.
const WARM_MS: f64 = 1000.0;

/// The last request that went there in any second of the fault in which the region had more than its limit: seconds
/// that overlap, because a share over the whole fault would forgive a bad start.
fn leaves(record: &Record, region: &str, limit: f64) -> f64 {
    const SPAN_MS: f64 = 1000.0;
    const STEP_MS: f64 = 100.0;
    let (fault, cure) = (record.fault_ms, record.cure_ms);
    let steps = ((cure - fault - SPAN_MS) / STEP_MS).max(0.0) as usize;
    let over = (0..=steps)
        .map(|nth| fault + nth as f64 * STEP_MS)
        .rfind(|from| record.share(region, *from, from + SPAN_MS) > limit);
    let Some(from) = over else { return 0.0 };
    let there =
        |hit: &&Hit| record.region(hit.site) == region && (from..from + SPAN_MS).contains(&hit.due_ms);
    record.hits.iter().filter(there).map(|hit| hit.due_ms - fault).fold(0.0, f64::max)
}

fn returns(record: &Record, region: &str) -> f64 {
    const STEP_MS: f64 = 250.0;
    let steady = record.share(region, WARM_MS, record.fault_ms);
    let shares = record.shares(region, record.cure_ms, record.end_ms, STEP_MS);
    let back = shares.windows(2).position(|two| two.iter().all(|share| *share >= steady * 0.8));
    back.map_or(f64::MAX, |nth| nth as f64 * STEP_MS)
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
    let due = record.shots.iter().filter(|shot| span.contains(&due_ms(shot))).count();
    let arrived = record.hits.iter().filter(|hit| span.contains(&hit.due_ms)).count();
    arrived as f64 / due.max(1) as f64
}

fn healed(record: &Record) -> f64 {
    let after = |shot: &&Shot| shot.failed() && due_ms(shot) >= record.cure_ms;
    record.shots.iter().filter(after).map(|shot| due_ms(shot) - record.cure_ms).fold(0.0, f64::max)
}

fn fresh(record: &Record) -> f64 {
    let used = |from: f64, to: f64| -> std::collections::BTreeSet<(usize, (usize, u64))> {
        let within = record.hits.iter().filter(|hit| (from..to).contains(&hit.at_ms));
        within.map(|hit| (hit.site, hit.connection)).collect()
    };
    // From the very start: a cold start opens connections as a recovery does.
    // Never less than one per site and worker: who asks all sites again needs them.
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    // Nor less than came at once when this machine stood still, for each of those needs one.
    let at_once = record.shots.len() as f64 * record.late_ms / record.end_ms;
    let steady = used(0.0, record.fault_ms).len().max(record.sites.len() * workers).max(at_once as usize);
    let before = used(0.0, record.cure_ms);
    let new = used(record.cure_ms, record.cure_ms + 5000.0).difference(&before).count();
    new as f64 / steady.max(1) as f64
}

/// The fault is the first failed attempt up to one request's gap, which at 500/s is below what is measured here.
fn moves(record: &Record, to: &str) -> f64 {
    let due = record.shots.iter().filter(|shot| (record.fault_ms..record.cure_ms).contains(&due_ms(shot)));
    let elsewhere = due.filter(|shot| shot.by.split('#').next() != Some(to));
    elsewhere.map(|shot| due_ms(shot) - record.fault_ms).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

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
