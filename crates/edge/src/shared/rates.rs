//! How many requests each client may still make, over all workers: one token bucket per address. A worker takes a few
//! requests of a bucket at a time and spends them by itself, so that no request of a client within its rate takes a
//! lock of its own as long as the rate is high.
//!
//! # What is promised
//!
//! Over any span a client gets at most `burst + rate × span` requests, on all workers together, because every request
//! was taken from the one bucket before it is spent. A client may be refused up to an eighth of its burst early: so much
//! may lie at workers that it does not use at the moment.
//!
//! # Why one number per bucket
//!
//! A bucket is the moment at which it will be full again (GCRA, ITU-T I.371). Taking requests moves the moment; nothing
//! needs to refill. A bucket whose moment has passed says the same as no bucket at all, so it may be forgotten.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use thalweg_config::RequestRate;
use thalweg_core::Tick;

/// Parts of the table, each with a lock of its own.
const SHARDS: usize = 64;

/// Buckets in one part: 65,536 in all, about 4 MiB.
const BUCKETS: usize = 1024;

/// The part of a full shard that is forgotten when every client in it is in debt: those that are nearest to a full
/// bucket, which lose least.
const FORGOTTEN: usize = 8;

/// The buckets of all clients.
#[derive(Debug)]
pub struct RateTable {
    /// By client: when its bucket is full again, in nanoseconds.
    shards: Box<[Mutex<HashMap<IpAddr, u64>>]>,
    hasher: RandomState,
}

impl Default for RateTable {
    fn default() -> Self {
        Self {
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl RateTable {
    /// Takes up to `most` requests out of a client's bucket; returns how many, at least one.
    ///
    /// # Errors
    /// The bucket is empty: the time until the next request.
    pub fn take(&self, client: IpAddr, rate: RequestRate, most: u32, now: Tick) -> Result<u32, Duration> {
        let now = now.0.saturating_mul(1_000);
        let each = 1_000_000_000 / u64::from(rate.per_second.max(1));
        let room = each * u64::from(rate.burst.max(1));
        let shard = usize::try_from(self.hasher.hash_one(client)).unwrap_or_default() % SHARDS;
        let Some(shard) = self.shards.get(shard) else { return Ok(most) };
        let mut buckets = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let full_at = buckets.get(&client).copied().unwrap_or(now).max(now);
        let left = (now + room).saturating_sub(full_at) / each;
        if left == 0 {
            return Err(Duration::from_nanos(full_at + each - room - now));
        }
        let taken = left.min(u64::from(most.max(1)));
        if buckets.len() >= BUCKETS && !buckets.contains_key(&client) {
            make_room(&mut buckets, now);
        }
        buckets.insert(client, full_at + taken * each);
        Ok(u32::try_from(taken).unwrap_or(most))
    }
}

/// Forgets full buckets; if there are none, those that are nearest to full.
fn make_room(buckets: &mut HashMap<IpAddr, u64>, now: u64) {
    buckets.retain(|_, full_at| *full_at > now);
    if buckets.len() >= BUCKETS {
        let mut moments: Vec<u64> = buckets.values().copied().collect();
        let (_, last, _) = moments.select_nth_unstable(BUCKETS / FORGOTTEN);
        buckets.retain(|_, full_at| *full_at > *last);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const RATE: RequestRate = RequestRate { per_second: 10, burst: 5 };

    fn client(nth: u32) -> IpAddr {
        Ipv4Addr::from_bits(nth).into()
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let table = RateTable::default();
        let mut now = Tick(1_000_000);
        assert_eq!(table.take(client(1), RATE, 3, now), Ok(3));
        assert_eq!(table.take(client(1), RATE, 3, now), Ok(2), "no more than there is");
        assert_eq!(table.take(client(1), RATE, 3, now), Err(Duration::from_millis(100)));
        assert_eq!(table.take(client(2), RATE, 1, now), Ok(1), "another client");
        now = now.after(Duration::from_millis(40));
        assert_eq!(table.take(client(1), RATE, 3, now), Err(Duration::from_millis(60)));
        now = now.after(Duration::from_millis(60));
        assert_eq!(table.take(client(1), RATE, 3, now), Ok(1));
        now = now.after(Duration::from_secs(3600));
        assert_eq!(table.take(client(1), RATE, 100, now), Ok(5), "never more than the burst");
    }

    #[test]
    fn a_span_gives_no_more_than_burst_and_rate() {
        for (per_second, burst) in [(1, 1), (3, 7), (700_000, 1_000), (1_000_000, 1_000_000), (7, 1)] {
            let (table, rate) = (RateTable::default(), RequestRate { per_second, burst });
            let mut given = 0_u64;
            for step in 0..=2_000_u64 {
                given += table.take(client(1), rate, 1_000_000, Tick(step * 1_000)).map_or(0, u64::from);
            }
            let most = f64::from(burst) + 2.0 * f64::from(per_second);
            assert!((most * 0.99 - 1.0..=most * 1.001).contains(&(given as f64)), "{given} of {most}");
        }
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_least_indebted() {
        let table = RateTable::default();
        let now = Tick(1_000_000);
        assert_eq!(table.take(client(0), RATE, 5, now), Ok(5));
        for nth in 1..300_000 {
            assert_eq!(table.take(client(nth), RATE, 1, now), Ok(1));
        }
        let all: usize = table.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(all <= SHARDS * BUCKETS, "{all}");
        assert!(table.take(client(0), RATE, 1, now).is_err(), "the greediest is remembered");
    }
}
