//! How many requests per second each pool may still get, by its declared `capacity`.
//!
//! # Why one bucket over all workers, and not a part for each
//!
//! Parts need someone who knows what each worker will need next. Connections move between workers within milliseconds and a
//! count per tenth of a second follows them late: a worker refuses while the other one's part lies idle. So a pool that
//! declares a capacity has one number which all workers write: the moment up to which its capacity is spent (the
//! theoretical arrival time of the generic cell rate algorithm, ITU-T I.371). Envoy's local rate limit shares one atomic
//! token bucket in the same way. A pool without a capacity has none, and costs nothing.
//!
//! # Why a bucket of 50 ms and 95 %
//!
//! A bucket lets as much through at once as it holds. What it holds is taken off the rate, so that no second sees more
//! than the capacity. One request more is taken off for two workers that take the last place in the same moment; what they
//! take too much is missing from the next moment.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use thalweg_core::Tick;

/// The part of the capacity that a bucket holds, and the part of a second that fills it.
const HELD: f64 = 0.05;

/// What a pool may still get. Any worker may take from it.
#[derive(Debug, Default)]
pub struct PoolRoom {
    /// What one request spends, in nanoseconds of the pool's time; 0 = no limit.
    cost: AtomicU64,
    /// The capacity is spent up to this moment, in nanoseconds.
    spent: AtomicU64,
}

impl PoolRoom {
    /// Sets the requests per second that the pool may get.
    pub fn set(&self, capacity: u32) {
        let capacity = f64::from(capacity);
        let rate = (capacity - capacity * HELD - 1.0).max(capacity / 2.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most two seconds, in nanoseconds"
        )]
        let cost = if capacity > 0.0 { (1e9 / rate).ceil() as u64 } else { 0 };
        self.cost.store(cost, Relaxed);
    }

    /// May one more request go there now?
    pub fn has_room(&self, now: Tick) -> bool {
        self.wait(now).is_zero()
    }

    /// How long until one more request may go there, if no other one does.
    pub fn wait(&self, now: Tick) -> Duration {
        let (cost, now) = (self.cost.load(Relaxed), nanos(now));
        let spent = self.spent.load(Relaxed).max(now.saturating_sub(depth(cost)));
        Duration::from_nanos((spent + cost).saturating_sub(now))
    }

    /// Takes the place of one request.
    pub fn take(&self, now: Tick) {
        let (cost, now) = (self.cost.load(Relaxed), nanos(now));
        let after = |spent: u64| Some(spent.max(now.saturating_sub(depth(cost))) + cost);
        // The closure always has a value, so this cannot fail.
        let _ = self.spent.fetch_update(Relaxed, Relaxed, after);
    }
}

fn nanos(now: Tick) -> u64 {
    now.0.saturating_mul(1000)
}

/// How long a bucket takes to fill; it holds one request at least.
fn depth(cost: u64) -> u64 {
    const FILLS: u64 = 50_000_000;
    cost.max(FILLS)
}

/// The pools' rooms, by name. Locked when one is opened and when a config comes into force; never per request.
#[derive(Debug, Default)]
pub struct RoomTable(Mutex<BTreeMap<Box<str>, Arc<PoolRoom>>>);

impl RoomTable {
    /// The room of a pool; made if there is none yet.
    pub fn open(&self, pool: &str) -> Arc<PoolRoom> {
        Arc::clone(self.lock().entry(pool.into()).or_default())
    }

    /// Takes the capacities in force: pools by name, without those that declare none.
    pub fn configure<'a>(&self, capacities: impl Iterator<Item = (&'a str, u32)>) {
        let mut rooms = self.lock();
        let mut before = std::mem::take(&mut *rooms);
        for (pool, capacity) in capacities {
            let room = before.remove(pool).unwrap_or_default();
            room.set(capacity);
            rooms.insert(pool.into(), room);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Arc<PoolRoom>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pool of this capacity, and a moment at which its bucket is full.
    fn room(capacity: u32) -> (PoolRoom, Tick) {
        let room = PoolRoom::default();
        room.set(capacity);
        (room, Tick(10_000_000))
    }

    /// Plays seconds of load, by workers that want so many requests/s in each tenth of a second in turn; returns when
    /// requests were sent, in milliseconds.
    fn play(capacity: u32, wants: &[[u32; 2]], seconds: u64) -> Vec<u64> {
        let (room, start) = room(capacity);
        let mut sent = Vec::new();
        let mut due = [0; 2];
        for ms in 0..seconds * 1000 {
            let now = Tick(start.0 + ms * 1000);
            let wants = wants[(ms / 100) as usize % wants.len()];
            for (due, want) in due.iter_mut().zip(wants) {
                *due += want;
                while *due >= 1000 {
                    *due -= 1000;
                    if room.has_room(now) {
                        room.take(now);
                        sent.push(ms);
                    }
                }
            }
        }
        sent
    }

    #[test]
    fn no_second_sees_more_than_the_capacity_and_most_of_it_is_used() {
        let loads: [(u32, &[[u32; 2]]); 5] = [
            (100, &[[1000, 1000]]),
            (100, &[[500, 20]]),
            (1000, &[[5000, 1]]),
            (60, &[[400, 0]]),
            (300, &[[0, 0], [2000, 0], [0, 2000]]),
        ];
        for (capacity, wants) in loads {
            let sent = play(capacity, wants, 5);
            let most =
                (0..4000).map(|from| sent.iter().filter(|ms| (from..from + 1000).contains(*ms)).count());
            assert!(most.max().unwrap() <= capacity as usize, "{capacity} {wants:?}");
            if wants.len() == 1 {
                assert!(sent.len() >= capacity as usize * 5 * 9 / 10, "{capacity} {wants:?}: {}", sent.len());
            }
        }
    }

    #[test]
    fn what_one_worker_leaves_the_other_may_use_at_once() {
        // The load jumps from one worker to the other; in parts, each would have had half of the room.
        assert_eq!(play(1000, &[[800, 0], [0, 800]], 4).len(), 3200);
        assert_eq!(play(1000, &[[300, 300]], 3).len(), 1800);
    }

    #[test]
    fn the_wait_is_the_time_until_there_is_room() {
        let (room, now) = room(102);
        assert_eq!(room.wait(now), Duration::ZERO);
        let mut now = now;
        while room.has_room(now) {
            room.take(now);
        }
        let wait = room.wait(now);
        assert!(wait > Duration::ZERO && wait < Duration::from_millis(11), "{wait:?}");
        now = now.after(wait + Duration::from_micros(1));
        assert!(room.has_room(now));
    }

    #[test]
    fn the_smallest_capacities_let_one_request_through_at_a_time() {
        for (capacity, a_second_apart) in [(1, false), (2, true)] {
            let (room, now) = room(capacity);
            room.take(now);
            assert!(!room.has_room(now));
            assert_eq!(room.has_room(now.after(Duration::from_secs(1))), a_second_apart, "{capacity}");
            assert!(room.has_room(now.after(Duration::from_secs(2))));
        }
        // Without a capacity there is always room.
        assert!(self::room(0).0.has_room(Tick(0)));
    }

    #[test]
    fn a_pool_keeps_what_it_spent_through_a_reload() {
        let table = RoomTable::default();
        table.configure([("a", 1), ("b", 5)].into_iter());
        let (a, now) = (table.open("a"), Tick(9_000_000));
        a.take(now);
        table.configure([("a", 1)].into_iter());
        assert!(Arc::ptr_eq(&a, &table.open("a")) && !table.open("a").has_room(now));
    }
}
