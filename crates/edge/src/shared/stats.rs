//! What one worker's requests did at one endpoint, as counts that only grow: the worker writes them, the keeper reads
//! them. An entry is made on the first request, so endpoints without traffic cost nothing.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use thalweg_core::{EndpointId, SPANS, Tick, bucket_of};

use crate::shared::meters::Cell;

/// Durations, counted per bucket of [`bucket_of`].
#[derive(Debug)]
pub struct TimeCounts([AtomicU32; SPANS]);

impl Default for TimeCounts {
    fn default() -> Self {
        Self([const { AtomicU32::new(0) }; SPANS])
    }
}

impl TimeCounts {
    fn add(&self, bucket: usize, count: u32) {
        if let Some(cell) = self.0.get(bucket) {
            cell.store(cell.load(Relaxed).wrapping_add(count), Relaxed);
        }
    }

    /// All counts at this moment.
    #[must_use]
    pub fn read(&self) -> [u32; SPANS] {
        std::array::from_fn(|nth| self.0.get(nth).map_or(0, |cell| cell.load(Relaxed)))
    }
}

/// Time that lost races cost, kept until it is known which endpoint was at fault: counts per bucket of [`bucket_of`],
/// so that many costs take no more room than a few.
#[derive(Debug, Default)]
pub struct RaceCosts(BTreeMap<usize, u32>);

impl RaceCosts {
    /// Adds one cost.
    pub fn keep(&mut self, cost: Duration) {
        let count = self.0.entry(bucket_of(cost)).or_default();
        *count = count.saturating_add(1);
    }
}

/// One endpoint's statistics in one worker. The counters that the keeper reads each time share one cache line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct EndpointStats {
    /// Complete answers below 500 that came in time.
    pub good: Cell,
    /// Connect errors, resets, timeouts, 5xx.
    pub failed: Cell,
    /// Late first bytes.
    pub late: Cell,
    /// Requests that failed for the client because of this endpoint.
    pub given_up: Cell,
    /// Requests that were retried elsewhere because of this endpoint.
    pub retried: Cell,
    /// Requests that were raced elsewhere because of this endpoint.
    pub hedged: Cell,
    /// The part of `good` that belongs to requests of the endpoint's current probation.
    pub proof: Cell,
    /// How often durations were added. Written after the buckets, so that a reader who sees it move also sees the
    /// buckets that moved.
    timed: AtomicU64,
    /// When the last good answer ended, in microseconds + 1; 0 = never.
    last_good: Cell,
    /// When this worker last sent a probation request to the endpoint, in microseconds + 1; 0 = never.
    trickled: Cell,
    /// Requests in flight.
    pub in_flight: Cell,
    /// Times to the first byte.
    pub spans: TimeCounts,
    /// Time that attempts at this endpoint cost the requests that were then retried or raced elsewhere.
    pub cost: TimeCounts,
}

impl EndpointStats {
    /// A good answer ended.
    pub fn good(&self, now: Tick) {
        self.last_good.set(now.0.saturating_add(1));
        self.good.bump();
    }

    /// Counts a time to the first byte.
    pub fn took(&self, span: Duration) {
        self.time(&self.spans, bucket_of(span), 1);
    }

    /// Counts a request that was retried elsewhere after `cost`.
    pub fn retried(&self, cost: Duration) {
        self.retried.bump();
        self.time(&self.cost, bucket_of(cost), 1);
    }

    /// Notes that a probation request goes to the endpoint.
    pub fn trickle(&self, now: Tick) {
        self.trickled.set(now.0.saturating_add(1));
    }

    /// When this worker last sent a probation request to the endpoint.
    #[must_use]
    pub fn trickled(&self) -> Option<Tick> {
        self.trickled.get().checked_sub(1).map(Tick)
    }

    /// Counts a request that was raced elsewhere after `cost`.
    pub fn raced(&self, cost: Duration) {
        self.hedged.bump();
        self.time(&self.cost, bucket_of(cost), 1);
    }

    /// Counts lost races whose costs were kept.
    pub fn raced_before(&self, costs: &RaceCosts) {
        for (bucket, count) in &costs.0 {
            self.hedged.add(u64::from(*count));
            self.time(&self.cost, *bucket, *count);
        }
    }

    fn time(&self, times: &TimeCounts, bucket: usize, count: u32) {
        times.add(bucket, count);
        self.timed.store(self.timed.load(Relaxed).wrapping_add(1), Release);
    }

    /// How often durations were added. Buckets that are read after this value are at least as new; later additions move
    /// it again and are reported by the next tally.
    #[must_use]
    pub fn timed(&self) -> u64 {
        self.timed.load(Acquire)
    }

    /// When the last good answer ended.
    #[must_use]
    pub fn last_good(&self) -> Option<Tick> {
        self.last_good.get().checked_sub(1).map(Tick)
    }
}

/// The values that the last tally has reported, kept beside the statistics so that both go together.
#[derive(Debug, Default)]
pub struct Reported {
    pub(crate) counts: [u64; 7],
    pub(crate) timed: u64,
    /// Boxed, so that the values that every tally compares lie close together.
    pub(crate) times: Box<ReportedTimes>,
}

#[derive(Debug)]
pub(crate) struct ReportedTimes {
    pub(crate) spans: [u32; SPANS],
    pub(crate) cost: [u32; SPANS],
}

impl Default for ReportedTimes {
    fn default() -> Self {
        Self { spans: [0; SPANS], cost: [0; SPANS] }
    }
}

/// One worker's statistics by endpoint, each with its last reported values. Locked when an entry is opened or closed and
/// when the keeper reads; never per request.
#[derive(Debug, Default)]
pub struct StatsTable(Mutex<BTreeMap<EndpointId, (Arc<EndpointStats>, Reported)>>);

impl StatsTable {
    /// The statistics of an endpoint; made if there are none yet.
    pub fn open(&self, id: EndpointId) -> Arc<EndpointStats> {
        Arc::clone(&self.lock().entry(id).or_default().0)
    }

    /// Removes an endpoint that has left the layout.
    pub fn close(&self, id: EndpointId) {
        self.lock().remove(&id);
    }

    /// Reads the statistics of one endpoint.
    pub fn one(&self, id: EndpointId, read: impl FnOnce(&EndpointStats, &mut Reported)) {
        if let Some((stats, reported)) = self.lock().get_mut(&id) {
            read(stats, reported);
        }
    }

    /// Reads the statistics of all endpoints, in the order of their ids.
    pub fn each(&self, mut read: impl FnMut(EndpointId, &EndpointStats, &mut Reported)) {
        for (id, (stats, reported)) in self.lock().iter_mut() {
            read(*id, stats, reported);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<EndpointId, (Arc<EndpointStats>, Reported)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_costs_count_like_reported_ones_in_bounded_room() {
        let (at_once, later, mut kept) =
            (EndpointStats::default(), EndpointStats::default(), RaceCosts::default());
        for nth in 0..10_000_u64 {
            let cost = Duration::from_micros(50_000 + nth * 40);
            at_once.raced(cost);
            kept.keep(cost);
        }
        assert!(kept.0.len() <= SPANS, "{}", kept.0.len());
        later.raced_before(&kept);
        assert_eq!((later.hedged.get(), later.cost.read()), (at_once.hedged.get(), at_once.cost.read()));
    }
}
