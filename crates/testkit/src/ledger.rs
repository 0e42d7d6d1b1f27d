//! The load generator's ledger: every request id and how it ended. Scenarios compare the edge's counters with it.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// How one request ended for its client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// A whole answer.
    Status(u16),
    /// The head arrived, the body is incomplete: no proxy can repair this.
    CutAfterHead(u16),
    /// No answer: `refused`, `reset`, `closed`, `timeout`, or what the library says.
    Failed(String),
}

/// One request.
#[derive(Clone, Debug)]
pub struct Shot {
    /// Its `X-Request-Id`.
    pub id: String,
    /// Whether it was a POST.
    pub post: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// From the moment it was due to the end of its answer.
    pub latency_us: u64,
    /// The endpoint that answered: `X-Endpoint`, else the `region` in the body, else empty.
    pub by: String,
    /// When it was due, from the start of the load.
    pub due_us: u64,
    /// How much later than that the generator itself started it.
    pub late_us: u64,
}

impl Shot {
    /// Whether it failed for its client: no answer, or a 5xx.
    pub fn failed(&self) -> bool {
        match &self.outcome {
            Outcome::Status(status) => *status >= 500,
            Outcome::CutAfterHead(_) => false,
            Outcome::Failed(_) => true,
        }
    }
}

/// All results of one load.
#[derive(Clone, Debug)]
pub struct Report {
    /// Every request, in order of its end.
    pub shots: Vec<Shot>,
    /// Latencies in microseconds.
    pub latency: Histogram<u64>,
    /// Requests that were sent; as many must have ended.
    pub sent: u64,
    /// The largest delay of the generator itself: if it is large, the figures include the machine's own pauses.
    pub late_us: u64,
    /// Kept connections that the other side closed.
    pub closed: u64,
}

impl Report {
    pub(crate) fn new(shots: Vec<Shot>, closed: u64) -> Self {
        // Up to an hour: a histogram without bounds would silently clamp.
        let mut latency =
            Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("bounds and digits are fine");
        for shot in &shots {
            latency.saturating_record(shot.latency_us);
        }
        let late_us = shots.iter().map(|shot| shot.late_us).max().unwrap_or(0);
        Self { sent: shots.len() as u64, late_us, shots, latency, closed }
    }

    /// Requests that failed, cut answers apart.
    pub fn failed(&self) -> Vec<&Shot> {
        self.shots.iter().filter(|shot| shot.failed()).collect()
    }

    /// GETs that failed, cut answers apart.
    pub fn failed_gets(&self) -> Vec<&Shot> {
        self.shots.iter().filter(|shot| !shot.post && shot.failed()).collect()
    }

    /// Answers cut after their head.
    pub fn cut(&self) -> usize {
        self.shots.iter().filter(|shot| matches!(shot.outcome, Outcome::CutAfterHead(_))).count()
    }

    /// How often each outcome was seen.
    pub fn outcomes(&self) -> BTreeMap<Outcome, usize> {
        count(self.shots.iter().map(|shot| shot.outcome.clone()))
    }

    /// How often each endpoint or region answered.
    pub fn by(&self) -> BTreeMap<String, usize> {
        count(self.shots.iter().map(|shot| shot.by.clone()))
    }

    /// Answers of this class (2 = 2xx).
    pub fn class(&self, class: u16) -> usize {
        let fits = |shot: &&Shot| matches!(shot.outcome, Outcome::Status(status) if status / 100 == class);
        self.shots.iter().filter(fits).count()
    }

    /// Panics, with examples, unless no request failed.
    pub fn assert_none_failed(&self, what: &str) {
        let failed = self.failed();
        let examples: Vec<_> = failed.iter().take(5).collect();
        assert!(failed.is_empty(), "{what}: {} of {} failed, {examples:?}", failed.len(), self.shots.len());
    }
}

fn count<T: Ord>(all: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    counts
}
