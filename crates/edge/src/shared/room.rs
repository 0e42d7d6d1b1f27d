//! How many requests per second each pool may still get, by its declared `capacity`.
//!
//! # Why a part per worker and not one bucket
//!
//! One bucket over all workers would be written by all of them on each request. Each worker has its own token bucket, which
//! only that worker touches; ten times a second the keeper shares a pool's rate out among the workers, by what each has
//! used and whether it ran short ([`Parts`]). This is how the retry budgets are held, and how Envoy's local rate limit
//! shares a limit among its workers, but by need and not evenly.
//!
//! # Why a bucket of 50 ms and 95 %
//!
//! A bucket lets as much through at once as it holds. What it holds is taken off the rate, so that no second sees more
//! than the capacity: a twentieth, or one request per worker where a pool's capacity is that small.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use thalweg_core::Tick;

use crate::shared::meters::Cell;

/// The part of the capacity that the buckets hold.
const HELD: f64 = 0.05;
/// The part of the rate that a worker without requests keeps, so that its first ones find room.
const FLOOR: f64 = 0.02;

/// A real number with a single writer.
#[derive(Debug, Default)]
struct Real(AtomicU64);

impl Real {
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }

    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }
}

/// One worker's part of a pool's capacity. The worker writes all of it but the rate, which the keeper writes.
#[derive(Debug, Default)]
pub struct PoolRoom {
    /// Requests per second that this worker may send there.
    rate: Real,
    tokens: Real,
    /// When `tokens` were counted last, in microseconds.
    filled: Cell,
    /// Requests that were sent there.
    taken: Cell,
    /// How often the worker found no room.
    short: Cell,
}

impl PoolRoom {
    /// May the worker send one more request there now?
    pub fn has_room(&self, now: Tick) -> bool {
        let rate = self.rate.get();
        let elapsed = now.since(Tick(self.filled.get())).as_secs_f64();
        let tokens = (self.tokens.get() + rate * elapsed).min(depth(rate));
        self.tokens.set(tokens);
        self.filled.set(now.0);
        let room = tokens >= 1.0;
        if !room {
            self.short.bump();
        }
        room
    }

    /// Takes the place of one request.
    pub fn take(&self) {
        self.taken.bump();
        self.tokens.set(self.tokens.get() - 1.0);
    }
}

/// What a worker's bucket holds at most.
fn depth(rate: f64) -> f64 {
    (rate * HELD).max(1.0)
}

/// One worker's rooms, by pool. Locked when one is opened and when the keeper shares out; never per request.
#[derive(Debug, Default)]
pub struct RoomTable(Mutex<BTreeMap<Box<str>, Arc<PoolRoom>>>);

impl RoomTable {
    /// The worker's room in a pool; made if there is none yet.
    pub fn open(&self, pool: &str) -> Arc<PoolRoom> {
        Arc::clone(self.lock().entry(pool.into()).or_default())
    }

    /// Drops the rooms of pools for which `keep` is false.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.lock().retain(|pool, _| keep(pool));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Arc<PoolRoom>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the keeper remembers to share one pool's capacity out: what each worker had taken and missed.
#[derive(Debug, Default)]
pub struct Parts(Vec<Part>);

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    taken: u64,
    short: u64,
    /// Requests per second, smoothed.
    used: f64,
}

impl Parts {
    /// Sets the workers' rates of a pool. `elapsed` is the time since the last sharing; zero = for the first time.
    pub fn share_out(&mut self, capacity: u32, rooms: &[Arc<PoolRoom>], elapsed: Duration) {
        self.0.resize(rooms.len(), Part::default());
        #[expect(clippy::cast_precision_loss, reason = "a number of workers")]
        let workers = rooms.len().max(1) as f64;
        let capacity = f64::from(capacity);
        let rate = (capacity - (capacity * HELD).max(workers)).max(capacity / 2.0);
        let floor = rate * FLOOR / workers;
        let wanted: Vec<(f64, bool)> = rooms
            .iter()
            .zip(&mut self.0)
            .map(|(room, part)| {
                let (taken, short) = (room.taken.get(), room.short.get());
                let was = std::mem::replace(part, Part { taken, short, used: part.used });
                if !elapsed.is_zero() {
                    #[expect(clippy::cast_precision_loss, reason = "requests of a tenth of a second")]
                    let now = taken.wrapping_sub(was.taken) as f64 / elapsed.as_secs_f64();
                    part.used = (part.used + now) / 2.0;
                }
                (part.used + floor, short != was.short)
            })
            .collect();
        for (room, rate) in rooms.iter().zip(parts(rate, &wanted)) {
            room.rate.set(rate);
        }
    }
}

/// Shares `rate` out. Workers that did not run short get what they used and a quarter more; those that did share the rest
/// in proportion to their use. Where none ran short, all is shared in proportion.
fn parts(rate: f64, wanted: &[(f64, bool)]) -> Vec<f64> {
    let sum =
        |short: bool| -> f64 { wanted.iter().filter(|(_, is)| *is == short).map(|(used, _)| used).sum() };
    let (calm, starved) = (sum(false), sum(true));
    let content = if starved > 0.0 { (calm * 1.25).min(rate * calm / (calm + starved)) } else { rate };
    let part = |(used, short): &(f64, bool)| match *short {
        true => (rate - content) * used / starved,
        false if calm > 0.0 => content * used / calm,
        false => 0.0,
    };
    wanted.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: &[(f64, bool)], expected: &[f64]) {
        let shared = parts(100.0, wanted);
        assert!((shared.iter().sum::<f64>() - 100.0).abs() < 1e-9, "{wanted:?}: {shared:?}");
        let shared: Vec<f64> = shared.into_iter().map(f64::round).collect();
        assert_eq!(shared, expected, "{wanted:?}");
    }

    #[test]
    fn what_is_not_needed_goes_to_the_workers_that_ran_short() {
        check(&[(1.0, false), (1.0, false)], &[50.0, 50.0]);
        check(&[(30.0, false), (10.0, false)], &[75.0, 25.0]);
        check(&[(50.0, true), (10.0, false)], &[88.0, 13.0]);
        check(&[(50.0, true), (1.0, false)], &[99.0, 1.0]);
        check(&[(60.0, true), (30.0, true)], &[67.0, 33.0]);
        check(&[(10.0, true), (90.0, false)], &[10.0, 90.0]);
    }

    /// Plays seconds of load on two workers, `wants` requests/s each; returns what was sent in each second.
    fn play(capacity: u32, wants: [u32; 2], seconds: u64) -> Vec<u32> {
        let rooms = [(); 2].map(|()| Arc::new(PoolRoom::default()));
        let mut shares = Parts::default();
        shares.share_out(capacity, &rooms, Duration::ZERO);
        let mut sent = vec![0; seconds as usize];
        for ms in 0..seconds * 1000 {
            let now = Tick(1_000_000 + ms * 1000);
            if ms % 100 == 99 {
                shares.share_out(capacity, &rooms, Duration::from_millis(100));
            }
            for (room, want) in rooms.iter().zip(wants) {
                for _ in 0..(u64::from(want) * (ms + 1) / 1000 - u64::from(want) * ms / 1000) {
                    if room.has_room(now) {
                        room.take();
                        sent[(ms / 1000) as usize] += 1;
                    }
                }
            }
        }
        sent
    }

    #[test]
    fn no_second_sees_more_than_the_capacity_and_most_of_it_is_used() {
        for (capacity, wants) in [(100, [1000, 1000]), (100, [500, 20]), (1000, [5000, 1]), (60, [400, 0])] {
            let sent = play(capacity, wants, 5);
            assert!(sent.iter().all(|sent| *sent <= capacity), "{capacity} {wants:?}: {sent:?}");
            assert!(
                sent[2..].iter().all(|sent| *sent * 10 >= capacity * 9),
                "{capacity} {wants:?}: {sent:?}"
            );
        }
    }

    #[test]
    fn below_its_capacity_nothing_is_held_up() {
        assert_eq!(play(1000, [300, 300], 3)[1..], [600, 600]);
    }
}
