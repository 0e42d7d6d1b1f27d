//! What each route did in the last minute: requests, failures, refusals and durations, sampled from the workers' counters
//! every five seconds. Read by the guard of a trial and by plans; costs a request nothing.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use thalweg_core::Tick;
use tokio::time::sleep;

use crate::shared::{
    Shared,
    meters::{self, Series, Total},
    telemetry::{DURATION, REFUSALS, REQUESTS, SECONDS},
};

/// Gap between two samples.
const GAP: Duration = Duration::from_secs(5);
/// Samples that are kept: a minute and one gap.
const KEPT: usize = 13;

/// What a route did in some span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteCounts {
    /// All requests.
    pub requests: u64,
    /// Requests that ended as 5xx.
    pub failed: u64,
    /// Requests that the edge answered itself.
    pub refused: u64,
    /// Answered requests by duration, in the buckets of [`SECONDS`].
    pub spans: [u64; SECONDS.len() + 1],
}

/// The counters of all routes at one moment. `-` = no route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrafficSample {
    /// When it was taken.
    pub at: Tick,
    /// The counters since the start, by route.
    pub routes: BTreeMap<Arc<str>, RouteCounts>,
}

impl RouteCounts {
    fn since(&self, before: Option<&Self>) -> Self {
        let none = Self::default();
        let before = before.unwrap_or(&none);
        let mut spans = self.spans;
        spans.iter_mut().zip(before.spans).for_each(|(span, before)| *span = span.saturating_sub(before));
        Self {
            requests: self.requests.saturating_sub(before.requests),
            failed: self.failed.saturating_sub(before.failed),
            refused: self.refused.saturating_sub(before.refused),
            spans,
        }
    }

    /// The 99th percentile of the durations in seconds, interpolated inside its bucket; `None` without an answer.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn p99(&self) -> Option<f64> {
        let all: u64 = self.spans.iter().sum();
        let rank = all as f64 * 0.99;
        let (mut below, mut from) = (0_u64, 0.0);
        for (nth, count) in self.spans.iter().enumerate() {
            let to = SECONDS.get(nth).copied().unwrap_or(f64::INFINITY);
            if *count > 0 && (below + count) as f64 >= rank {
                let part = (rank - below as f64) / *count as f64;
                return Some(if to.is_finite() { from + (to - from) * part } else { from });
            }
            below += count;
            from = to;
        }
        None
    }
}

impl TrafficSample {
    /// The counters of this moment.
    #[must_use]
    pub fn take(shared: &Shared) -> Self {
        let wanted = [&REQUESTS, &REFUSALS, &DURATION];
        let totals = meters::totals_of(shared.meters.iter(), |metric| wanted.contains(&metric));
        let mut routes: BTreeMap<Arc<str>, RouteCounts> = BTreeMap::new();
        for (Series { metric, labels }, total) in totals {
            match (total, labels.as_slice()) {
                (Total::Value(count), [_, route, _, class]) if *metric == REQUESTS => {
                    let counts = routes.entry(Arc::clone(route)).or_default();
                    counts.requests += count;
                    counts.failed += if &**class == "5xx" { count } else { 0 };
                }
                (Total::Value(count), [route, _]) if *metric == REFUSALS => {
                    routes.entry(Arc::clone(route)).or_default().refused += count;
                }
                (Total::Histogram { buckets, .. }, [route]) => {
                    routes.entry(Arc::clone(route)).or_default().spans = buckets;
                }
                _ => {}
            }
        }
        Self { at: shared.now(), routes }
    }

    /// What each route did since an earlier sample.
    #[must_use]
    pub fn since(&self, before: &Self) -> BTreeMap<Arc<str>, RouteCounts> {
        let one = |(route, counts): (&Arc<str>, &RouteCounts)| {
            (Arc::clone(route), counts.since(before.routes.get(route)))
        };
        self.routes.iter().map(one).collect()
    }
}

/// The samples of the last minute. Lives on the control thread; cheap to clone, all clones share them.
#[derive(Clone, Debug, Default)]
pub struct TrafficLog(Rc<RefCell<VecDeque<TrafficSample>>>);

impl TrafficLog {
    fn keep(&self, sample: TrafficSample) {
        let mut samples = self.0.borrow_mut();
        if samples.len() == KEPT {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// The oldest sample: that of a minute ago, or of the start.
    #[must_use]
    pub fn oldest(&self) -> Option<TrafficSample> {
        self.0.borrow().front().cloned()
    }

    /// Requests per second of each route over the last minute.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn rates(&self, now: &TrafficSample) -> BTreeMap<Arc<str>, f64> {
        let before = self.oldest().unwrap_or_default();
        let seconds = now.at.since(before.at).as_secs_f64().max(0.001);
        let rate = |(route, counts): (Arc<str>, RouteCounts)| (route, counts.requests as f64 / seconds);
        now.since(&before).into_iter().map(rate).collect()
    }
}

/// Takes samples until the task is dropped.
pub async fn run(shared: Arc<Shared>, log: TrafficLog) {
    loop {
        log.keep(TrafficSample::take(&shared));
        sleep(GAP).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(requests: u64, spans: &[(usize, u64)]) -> RouteCounts {
        let mut counts = RouteCounts { requests, ..RouteCounts::default() };
        spans.iter().for_each(|(bucket, count)| counts.spans[*bucket] = *count);
        counts
    }

    #[test]
    fn the_99th_percentile_lies_in_its_bucket() {
        for (spans, expected) in [
            (&[][..], None),
            (&[(4, 100)], Some(0.005 + 0.005 * 0.99)),
            (&[(4, 990), (7, 10)], Some(0.01)),
            (&[(4, 980), (7, 20)], Some(0.05 + 0.05 * 0.5)),
            (&[(16, 5)], Some(60.0)),
        ] {
            let p99 = counts(0, spans).p99();
            let near = p99.zip(expected).is_none_or(|(is, expected)| (is - expected).abs() < 1e-9);
            assert!(p99.is_some() == expected.is_some() && near, "{p99:?}, not {expected:?}");
        }
    }

    #[test]
    fn rates_are_those_of_the_last_minute() {
        let log = TrafficLog::default();
        let sample = |second: u64, requests| TrafficSample {
            at: Tick(second * 1_000_000),
            routes: [(Arc::from("api"), counts(requests, &[]))].into(),
        };
        for nth in 0..20 {
            log.keep(sample(nth * 5, nth * 100));
        }
        assert_eq!(log.oldest().map(|oldest| oldest.at), Some(Tick(35_000_000)));
        assert_eq!(log.rates(&sample(95, 1900))["api"], 20.0);
        assert_eq!(log.rates(&sample(95, 0))["api"], 0.0, "a route that left and came back");
    }
}
