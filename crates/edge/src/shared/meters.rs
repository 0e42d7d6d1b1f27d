//! Counters of the data plane. Each worker writes its own cells; the control thread sums them when it is asked. Two
//! threads never write one cell, and nothing is ever reset.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::shared::telemetry::{self, Metric, SECONDS};

/// One counter or gauge with a single writer: a plain load and store, no locked instruction.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds one.
    pub fn bump(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Subtracts one (gauges).
    pub fn drop_one(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(1), Relaxed);
    }

    /// Sets a gauge.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The current value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A fixed-bucket histogram with a single writer.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Cell; SECONDS.len() + 1],
    sum_us: Cell,
}

impl Histogram {
    /// Counts one observation.
    pub fn record(&self, span: Duration) {
        let seconds = span.as_secs_f64();
        let bucket = SECONDS.partition_point(|bound| *bound < seconds);
        if let Some(cell) = self.buckets.get(bucket) {
            cell.bump();
        }
        self.sum_us.add(thalweg_core::micros(span));
    }
}

/// A metric with its label values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// The declared metric.
    pub metric: &'static Metric,
    /// Label values, in the order of the metric's label names.
    pub labels: Vec<Arc<str>>,
}

impl Series {
    /// A series of `metric`.
    #[must_use]
    pub fn new(metric: &'static Metric, labels: &[&Arc<str>]) -> Self {
        Self { metric, labels: labels.iter().map(|label| Arc::clone(label)).collect() }
    }
}

/// The storage of one series.
#[derive(Clone, Debug)]
enum Instrument {
    Cell(Arc<Cell>),
    Histogram(Arc<Histogram>),
}

/// One worker's series. Locked when a series is made or retired and when a scrape reads; never per request.
#[derive(Debug, Default)]
pub struct Meters {
    series: Mutex<BTreeMap<Series, Instrument>>,
}

impl Meters {
    /// No series yet.
    #[must_use]
    pub const fn none() -> Self {
        Self { series: Mutex::new(BTreeMap::new()) }
    }

    /// The counter or gauge of a series, made on first use.
    pub fn cell(&self, series: Series) -> Arc<Cell> {
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        match all.entry(series).or_insert_with(|| Instrument::Cell(Arc::default())) {
            Instrument::Cell(cell) => Arc::clone(cell),
            Instrument::Histogram(_) => Arc::default(),
        }
    }

    /// Counts client connections that were let go, by cause.
    pub fn shed(&self, listener: &Arc<str>, cause: &str, count: u64) {
        self.cell(Series::new(&telemetry::SHED, &[listener, &Arc::from(cause)])).add(count);
    }

    /// Counts a TLS handshake with a client that failed.
    pub fn handshake_failed(&self, listener: &Arc<str>, reason: &str) {
        self.cell(Series::new(&telemetry::TLS_FAILURES, &[listener, &Arc::from(reason)])).bump();
    }

    /// The histogram of a series, made on first use.
    pub fn histogram(&self, series: Series) -> Arc<Histogram> {
        let mut all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        match all.entry(series).or_insert_with(|| Instrument::Histogram(Arc::default())) {
            Instrument::Histogram(histogram) => Arc::clone(histogram),
            Instrument::Cell(_) => Arc::default(),
        }
    }

    /// The series of `metric` that another owner still counts on.
    #[must_use]
    pub fn held(&self, metric: &'static Metric) -> Vec<Series> {
        let all = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let held = |instrument: &Instrument| match instrument {
            Instrument::Cell(cell) => Arc::strong_count(cell) > 1,
            Instrument::Histogram(histogram) => Arc::strong_count(histogram) > 1,
        };
        let held = all.iter().filter(|(series, instrument)| series.metric == metric && held(instrument));
        held.map(|(series, _)| series.clone()).collect()
    }

    /// Drops the series for which `keep` is false: the thing they count has left the config.
    pub fn retire(&self, keep: impl Fn(&Series) -> bool) {
        self.series.lock().unwrap_or_else(PoisonError::into_inner).retain(|series, _| keep(series));
    }
}

/// The sum of one series over all workers.
#[derive(Clone, Debug, PartialEq)]
pub enum Total {
    /// A counter's or gauge's value.
    Value(u64),
    /// Observations per bucket of [`SECONDS`] (not cumulative), with one more bucket for larger values, and their sum
    /// in seconds.
    Histogram {
        /// Observations per bucket.
        buckets: [u64; SECONDS.len() + 1],
        /// Sum of all observations, seconds.
        sum_seconds: f64,
    },
}

/// Sums all workers' series at this moment. A gauge may be below zero in one worker; the sum never is.
#[must_use]
pub fn totals<'a>(workers: impl Iterator<Item = &'a Meters>) -> BTreeMap<Series, Total> {
    totals_of(workers, |_| true)
}

/// As [`totals`], for some metrics alone.
#[must_use]
pub fn totals_of<'a>(
    workers: impl Iterator<Item = &'a Meters>,
    wanted: impl Fn(&'static Metric) -> bool,
) -> BTreeMap<Series, Total> {
    let mut totals: BTreeMap<Series, Total> = BTreeMap::new();
    for worker in workers {
        let all = worker.series.lock().unwrap_or_else(PoisonError::into_inner);
        let some = all.iter().filter(|(series, _)| wanted(series.metric));
        let some: Vec<(Series, Instrument)> =
            some.map(|(series, instrument)| (series.clone(), instrument.clone())).collect();
        drop(all);
        for (series, instrument) in some {
            match instrument {
                Instrument::Cell(cell) => match totals.entry(series).or_insert(Total::Value(0)) {
                    Total::Value(sum) => *sum = sum.wrapping_add(cell.get()),
                    Total::Histogram { .. } => {}
                },
                Instrument::Histogram(histogram) => {
                    let empty = Total::Histogram { buckets: [0; SECONDS.len() + 1], sum_seconds: 0.0 };
                    if let Total::Histogram { buckets, sum_seconds } = totals.entry(series).or_insert(empty) {
                        for (sum, cell) in buckets.iter_mut().zip(&histogram.buckets) {
                            *sum += cell.get();
                        }
                        *sum_seconds += Duration::from_micros(histogram.sum_us.get()).as_secs_f64();
                    }
                }
            }
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::telemetry::{DURATION, GENERATION};

    #[test]
    fn a_scrape_sums_what_each_worker_counted() {
        let workers = [Meters::default(), Meters::default()];
        let route: Arc<str> = "api".into();
        for (nth, worker) in workers.iter().enumerate() {
            worker.cell(Series::new(&GENERATION, &[])).add(nth as u64 + 1);
            worker.histogram(Series::new(&DURATION, &[&route])).record(Duration::from_millis(7));
        }
        let totals = totals(workers.iter());
        assert_eq!(totals[&Series::new(&GENERATION, &[])], Total::Value(3));
        let Total::Histogram { buckets, sum_seconds } = &totals[&Series::new(&DURATION, &[&route])] else {
            panic!()
        };
        assert_eq!((buckets[4], buckets.iter().sum::<u64>()), (2, 2));
        assert!((sum_seconds - 0.014).abs() < 1e-9);
    }

    #[test]
    fn an_observation_on_a_bound_belongs_to_that_bucket() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_micros(500));
        histogram.record(Duration::from_secs(61));
        assert_eq!((histogram.buckets[0].get(), histogram.buckets[16].get()), (1, 1));
    }
}
