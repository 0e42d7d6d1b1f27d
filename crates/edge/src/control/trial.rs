//! A config on trial: how long, and what ends the trial at once. Judges and remembers; `reload` takes the config back.
//!
//! Why the minute before and not a fixed bound: 1 % of errors is an outage for one route and a quiet day for another. The
//! guard asks only whether it got worse with the new config.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::control::{
    traffic_log::{RouteCounts, TrafficSample},
    wall_clock,
};

/// A route with fewer requests than this since the trial began is not judged.
const MIN_REQUESTS: u64 = 20;
/// Fewer bad requests than this on a route prove nothing.
const MIN_BAD: u64 = 3;
/// A 99th percentile of fewer answers than this is that of a single request.
const MIN_ANSWERS: u64 = 100;
/// By how much the share of bad requests may grow when the caller does not say.
const GUARD_ERRORS: f64 = 0.02;

/// When a trial ends by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrialTerms {
    /// The config is taken back unless it is confirmed within this time.
    pub confirm: Duration,
    /// What takes it back at once.
    pub guard: Guard,
}

/// What takes a config on trial back at once, against the minute before, on any route.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guard {
    /// The share of failed requests, and that of refused ones, may grow by this much; `None` = by any.
    pub error_ratio: Option<f64>,
    /// The 99th percentile may be this many times as long; `None` = any.
    pub p99_factor: Option<f64>,
}

impl Default for Guard {
    fn default() -> Self {
        Self { error_ratio: Some(GUARD_ERRORS), p99_factor: None }
    }
}

impl Guard {
    /// As the API shows it.
    #[must_use]
    pub fn shown(&self) -> Value {
        json!({ "error_ratio": self.error_ratio, "p99_factor": self.p99_factor })
    }
}

/// A trial as callers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialView {
    /// The generation on trial.
    pub generation: u64,
    /// The generation that comes back unless it is confirmed.
    pub back_to: u64,
    /// When it comes back.
    pub until: SystemTime,
    /// What brings it back at once.
    pub guard: Guard,
    /// A crash during the trial would start with the last confirmed config, too.
    pub stored: bool,
}

impl TrialView {
    /// As the API shows it.
    #[must_use]
    pub fn shown(&self) -> Value {
        json!({
            "generation": self.generation, "back_to": self.back_to, "until": wall_clock::rfc3339(self.until),
            "guard": self.guard.shown(), "stored": self.stored,
        })
    }
}

/// A trial that runs.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What callers see of it.
    pub view: TrialView,
    /// When it ends, on the clock that no operator moves.
    pub until: Instant,
    /// What each route did in the minute before.
    pub before: BTreeMap<Arc<str>, RouteCounts>,
    /// The counters when it began.
    pub began: TrafficSample,
    /// The config could not be taken back: when to try again.
    pub again: Option<Instant>,
}

/// The trial that runs, and how the last one ended.
#[derive(Debug, Default)]
pub struct Trials {
    /// The trial that runs.
    pub running: RefCell<Option<Trial>>,
    /// How the last one ended, as one sentence.
    pub ended: RefCell<Option<String>>,
}

impl Trials {
    /// The trial that runs, as callers see it.
    #[must_use]
    pub fn view(&self) -> Option<TrialView> {
        self.running.borrow().as_ref().map(|trial| trial.view.clone())
    }

    /// Notes how a trial ended. Returns the trial, if one was running.
    pub fn end(&self, how: &str) -> Option<TrialView> {
        let view = self.running.take()?.view;
        let time = wall_clock::rfc3339(SystemTime::now());
        self.ended.replace(Some(format!("generation {} {how} at {time}", view.generation)));
        Some(view)
    }
}

/// What tripped the guard, in one clause.
#[must_use]
pub fn tripped(
    guard: &Guard,
    before: &BTreeMap<Arc<str>, RouteCounts>,
    during: &BTreeMap<Arc<str>, RouteCounts>,
) -> Option<String> {
    let none = RouteCounts::default();
    let judge = |(route, now): (&Arc<str>, &RouteCounts)| {
        let was = before.get(route).unwrap_or(&none);
        let name = if &**route == "-" { "requests without a route" } else { route };
        worse(guard, was, now).map(|what| format!("{name}: {what}"))
    };
    during.iter().find_map(judge)
}

/// What is worse on one route than the guard allows.
fn worse(guard: &Guard, was: &RouteCounts, now: &RouteCounts) -> Option<String> {
    let shares = [("failed", was.failed, now.failed), ("refused", was.refused, now.refused)];
    let grown = |(what, was_bad, bad): (&str, u64, u64)| {
        let (before, share) = (ratio(was_bad, was.requests), ratio(bad, now.requests));
        let allowed = before + guard.error_ratio?;
        let counts = bad >= MIN_BAD && now.requests >= MIN_REQUESTS;
        (counts && share > allowed).then(|| {
            let (share, before, most) = (share * 100.0, before * 100.0, allowed * 100.0);
            let requests = now.requests;
            format!("{share:.1} % of {requests} requests {what}, {before:.1} % before, {most:.1} % allowed")
        })
    };
    shares.into_iter().find_map(grown).or_else(|| slower(guard, was, now))
}

fn slower(guard: &Guard, was: &RouteCounts, now: &RouteCounts) -> Option<String> {
    let enough = |counts: &RouteCounts| counts.spans.iter().sum::<u64>() >= MIN_ANSWERS;
    let factor = guard.p99_factor.filter(|_| enough(was) && enough(now))?;
    let (before, p99) = (was.p99()?, now.p99()?);
    (p99 > before * factor).then(|| {
        let (p99, before) = (p99 * 1000.0, before * 1000.0);
        format!("99 % within {p99:.1} ms, {before:.1} ms before, {factor} times that allowed")
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(requests: u64, failed: u64, refused: u64) -> RouteCounts {
        RouteCounts { requests, failed, refused, ..RouteCounts::default() }
    }

    fn spans(fast: u64, slow: u64) -> RouteCounts {
        let mut counts = counts(fast + slow, 0, 0);
        (counts.spans[4], counts.spans[9]) = (fast, slow);
        counts
    }

    fn check(guard: Guard, was: RouteCounts, now: RouteCounts) -> Option<String> {
        let (was, now) = ([(Arc::from("api"), was)].into(), [(Arc::from("api"), now)].into());
        tripped(&guard, &was, &now)
    }

    #[test]
    fn the_guard_trips_on_what_got_worse_and_on_nothing_else() {
        let errors = Guard::default();
        for (was, now, expected) in [
            (counts(1000, 0, 0), counts(1000, 0, 0), None),
            (counts(1000, 0, 0), counts(1000, 20, 0), None),
            (counts(1000, 0, 0), counts(1000, 21, 0), Some("2.1 % of 1000 requests failed")),
            (counts(1000, 100, 0), counts(1000, 110, 0), None),
            (counts(1000, 100, 0), counts(1000, 121, 0), Some("10.0 % before, 12.0 % allowed")),
            (counts(0, 0, 0), counts(19, 19, 0), None),
            (counts(0, 0, 0), counts(20, 2, 0), None),
            (counts(0, 0, 0), counts(20, 3, 0), Some("15.0 % of 20 requests failed")),
            (counts(1000, 0, 0), counts(50, 0, 50), Some("100.0 % of 50 requests refused")),
        ] {
            let found = check(errors, was, now);
            assert_eq!(found.is_some(), expected.is_some(), "{found:?}, not {expected:?}");
            assert!(found.unwrap_or_default().contains(expected.unwrap_or_default()));
        }
        let off = Guard { error_ratio: None, p99_factor: None };
        assert_eq!(check(off, counts(1000, 0, 0), counts(1000, 1000, 0)), None);
        let all = check(errors, counts(1000, 0, 0), counts(50, 0, 50)).unwrap();
        assert!(all.starts_with("api: "), "{all}");
    }

    #[test]
    fn the_guard_knows_what_is_slower_by_enough_answers() {
        let guard = Guard { error_ratio: None, p99_factor: Some(2.0) };
        assert_eq!(check(guard, spans(1000, 0), spans(1000, 0)), None);
        assert!(check(guard, spans(1000, 0), spans(1000, 50)).is_some_and(|why| why.contains("2 times")));
        assert_eq!(check(guard, spans(1000, 0), spans(50, 49)), None, "99 answers");
        assert_eq!(check(guard, spans(1, 0), spans(1000, 50)), None, "unknown before");
    }
}
