//! What one worker's requests did at one endpoint, as counts that only grow: written there, read by the keeper.
//! Made on the first request, so that endpoints without traffic cost nothing.

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

/// TimeCounts, counted per bucket of [`bucket_of`].
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

/// What lost races cost, kept until it is known whose fault they were: counts per bucket of [`bucket_of`], so that many
/// take no more room than a few.
#[derive(Debug, Default)]
pub struct RaceCosts(BTreeMap<usize, u32>);

impl RaceCosts {
    /// One more.
    pub fn keep(&mut self, cost: Duration) {
        let count = self.0.entry(bucket_of(cost)).or_default();
        *count = count.saturating_add(1);
    }
}

/// One endpoint's statistics in one worker. The counters that the keeper reads each time share one cache line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct EndpointStats {
    /// Answers below 500, in time, to their end.
    pub good: Cell,
    /// Connect errors, resets, timeouts, 5xx.
    pub failed: Cell,
    /// Late first bytes.
    pub late: Cell,
    /// Requests that failed for the client because of it.
    pub given_up: Cell,
    /// Requests that were tried elsewhere because of it.
    pub retried: Cell,
    /// Requests that were raced elsewhere because of it.
    pub hedged: Cell,
    /// Of the good ones, those to requests of the probation in which the endpoint was.
    pub proof: Cell,
    /// How often times were added. Moves after they did, so that who has seen it move sees what moved it.
    timed: AtomicU64,
    /// When the last good answer ended, microseconds + 1; 0 = never.
    last_good: Cell,
    /// When this worker last sent a request of the trickle there, likewise.
    trickled: Cell,
    /// Requests under way.
    pub in_flight: Cell,
    /// TimeCounts to the first byte.
    pub spans: TimeCounts,
    /// Time that attempts there cost the requests that were tried or raced elsewhere.
    pub cost: TimeCounts,
}

impl EndpointStats {
    /// A good answer ended.
    pub fn good(&self, now: Tick) {
        self.last_good.set(now.0.saturating_add(1));
        self.good.bump();
    }

    /// A first byte took so long.
    pub fn took(&self, span: Duration) {
        self.time(&self.spans, bucket_of(span), 1);
    }

    /// A request was tried elsewhere after so long.
    pub fn retried(&self, cost: Duration) {
        self.retried.bump();
        self.time(&self.cost, bucket_of(cost), 1);
    }

    /// A request of the trickle goes there.
    pub fn trickle(&self, now: Tick) {
        self.trickled.set(now.0.saturating_add(1));
    }

    /// When the last one did.
    #[must_use]
    pub fn trickled(&self) -> Option<Tick> {
        self.trickled.get().checked_sub(1).map(Tick)
    }

    /// A request was raced elsewhere after so long.
    pub fn raced(&self, cost: Duration) {
        self.hedged.bump();
        self.time(&self.cost, bucket_of(cost), 1);
    }

    /// So many were, at these costs.
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

    /// How often times were added. Those that are read after this are at least as new: what has come meanwhile moves it
    /// again, and is reported the next time at the latest.
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
    /// Apart, so that what is compared each time lies close together.
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
    /// Opens one.
    pub fn open(&self, id: EndpointId) -> Arc<EndpointStats> {
        Arc::clone(&self.lock().entry(id).or_default().0)
    }

    /// Closes one: its endpoint has left the layout.
    pub fn close(&self, id: EndpointId) {
        self.lock().remove(&id);
    }

    /// Reads the statistics of one endpoint.
    pub fn one(&self, id: EndpointId, read: impl FnOnce(&EndpointStats, &mut Reported)) {
        if let Some((stats, reported)) = self.lock().get_mut(&id) {
            read(stats, reported);
        }
    }

    /// Reads all of them, in the order of their endpoints.
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
    fn costs_that_were_kept_count_as_if_each_had_been_told_and_take_no_more_room() {
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
