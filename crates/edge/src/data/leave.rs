//! When connections end, so that their clients do not all come back in one moment: the spread of a drain, and the jitter
//! on lifetimes. Decides only when; the connection knows how.
//!
//! Why even gaps and not random ones: random times cluster (the fullest of many slots has a multiple of the mean), and
//! the other edges must have room for the fullest slot.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use thalweg_core::{Drain, Tick, mix};
use tokio::{sync::Notify, time::sleep};

use crate::{
    data::conn::{ClientConn, ConnPhase, ConnSignal},
    shared::meters::Cell as Count,
};

/// A drain ends at most one connection per this time in each worker, as long as it has that much time.
const GAP: Duration = Duration::from_millis(20);
/// A connection that was idle for less may have a request on its way.
const QUIET: Duration = Duration::from_secs(1);
/// Part of a drain in which connections are told to end; the rest is for the requests that they still carry.
const PART: f64 = 0.5;
/// Part of a drain in which upgraded streams and event streams are ended. A stream does not end sooner by being told so.
const STREAM_PART: f64 = 0.9;
/// Largest part of a lifetime that jitter takes away.
const JITTER: f64 = 0.1;

/// The connections of a worker that are still to be told that the edge drains.
#[derive(Debug, Default)]
pub struct Departures(RefCell<VecDeque<(Tick, Weak<ClientConn>)>>);

impl Departures {
    /// A drain of `timeout` begins: gives each connection its time.
    pub fn begin<'a>(&self, conns: impl Iterator<Item = &'a Rc<ClientConn>>, now: Tick, timeout: Duration) {
        let (streams, others): (Vec<_>, Vec<_>) = conns.partition(|conn| conn.carries_streams());
        let timed = |conns: Vec<&Rc<ClientConn>>, after: fn(usize, usize, Duration) -> Duration| {
            let count = conns.len();
            let at = move |nth| now.after(after(nth, count, timeout));
            conns.into_iter().enumerate().map(move |(nth, conn)| (at(nth), Rc::downgrade(conn))).collect()
        };
        let mut all: Vec<_> = timed(others, leaves_after);
        all.extend::<Vec<_>>(timed(streams, stream_leaves_after));
        all.sort_by_key(|(at, _)| *at);
        self.0.replace(all.into());
    }

    /// Tells the connections whose time has come. A connection that was busy a moment ago may have its next request on
    /// its way: it is told by the answer to that one, or closed when none comes.
    pub fn tell(&self, now: Tick) {
        let mut waiting = self.0.borrow_mut();
        while let Some((_, conn)) = waiting.pop_front_if(|(at, _)| *at <= now) {
            let Some(conn) = conn.upgrade() else { continue };
            if conn.phase.get() == ConnPhase::Idle && now.since(conn.since.get()) < QUIET {
                conn.accepted_while_closing.set(true);
            } else {
                conn.signal(ConnSignal::Graceful);
            }
        }
    }
}

/// The upgraded streams and event streams of one endpoint in one worker, and what the operator's drain means for them.
#[derive(Debug)]
pub struct Streams {
    open: Arc<Count>,
    begun: Cell<u32>,
    drain: Cell<Option<Drain>>,
    changed: Notify,
}

impl Streams {
    /// No stream yet; `open` is the gauge of those that are open.
    #[must_use]
    pub fn new(open: Arc<Count>) -> Self {
        Self { open, begun: Cell::new(0), drain: Cell::new(None), changed: Notify::new() }
    }

    /// Takes in what the snapshot says about the endpoint's drain.
    pub fn follow(&self, drain: Option<Drain>) {
        if self.drain.replace(drain) != drain {
            self.changed.notify_waiters();
        }
    }

    /// A stream begins; returns its number.
    #[must_use]
    pub fn begin(&self) -> u32 {
        self.open.bump();
        let nth = self.begun.get();
        self.begun.set(nth.wrapping_add(1));
        nth
    }

    /// A stream has ended.
    pub fn end(&self) {
        self.open.drop_one();
    }

    /// Waits until a drain with a deadline ends stream `nth`.
    pub async fn told(&self, nth: u32, clock: &Cell<Tick>) {
        loop {
            let changed = self.changed.notified();
            match self.drain.get().and_then(|drain| stream_leaves_at(nth, drain)) {
                None => changed.await,
                Some(at) => tokio::select! {
                    () = sleep(at.since(clock.get())) => return,
                    () = changed => {}
                },
            }
        }
    }
}

/// When a drain of its endpoint ends stream `nth`. The golden ratio spreads any run of numbers evenly.
fn stream_leaves_at(nth: u32, drain: Drain) -> Option<Tick> {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let part = (u64::from(nth).wrapping_add(1).wrapping_mul(GOLDEN) >> 32) as u32;
    let time = drain.deadline?.since(drain.since);
    Some(drain.since.after(time.mul_f64(f64::from(part) / f64::from(u32::MAX))))
}

/// How long after its beginning a drain of `timeout` tells connection `nth` of `count` to end. Few connections end at
/// once, many over half of the drain.
#[must_use]
pub fn leaves_after(nth: usize, count: usize, timeout: Duration) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "the connections of one worker are far fewer than 2^52")]
    let (nth, count) = (nth as f64, count.max(1) as f64);
    GAP.mul_f64(count).min(timeout.mul_f64(PART)).mul_f64(nth / count)
}

/// How long after its beginning a drain of `timeout` ends upgraded stream `nth` of `count`.
#[must_use]
pub fn stream_leaves_after(nth: usize, count: usize, timeout: Duration) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "the streams of one worker are far fewer than 2^52")]
    let part = (nth as f64 + 1.0) / count.max(1) as f64;
    timeout.mul_f64(STREAM_PART * part)
}

/// A lifetime, shortened by up to a tenth. The seed decides by how much.
#[must_use]
pub fn jittered(age: Duration, seed: u64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a fraction needs no more than 53 bits")]
    let fraction = (mix(seed) >> 11) as f64 / (1u64 << 53) as f64;
    age.mul_f64(1.0 - JITTER * fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn few_connections_end_at_once_and_many_over_half_of_the_drain() {
        for (count, timeout, last) in [
            (1, 25 * S, Duration::ZERO),
            (2, 25 * S, GAP),
            (50, 25 * S, GAP * 49),
            (1000, 25 * S, (25 * S / 2).mul_f64(0.999)),
            (1000, S, (S / 2).mul_f64(0.999)),
            (10, Duration::ZERO, Duration::ZERO),
        ] {
            let after = leaves_after(count - 1, count, timeout);
            assert!(after.abs_diff(last) < Duration::from_micros(10), "{count} in {timeout:?}: {after:?}");
        }
        assert_eq!(leaves_after(0, 0, S), Duration::ZERO);
    }

    #[test]
    fn no_slot_of_a_tenth_of_a_second_gets_more_than_twice_the_mean() {
        for count in [100, 1000, 2200, 50_000] {
            let after: Vec<u128> =
                (0..count).map(|nth| leaves_after(nth, count, 25 * S).as_millis() / 100).collect();
            let slots = *after.last().unwrap() as usize + 1;
            let fullest = (0..slots).map(|slot| after.iter().filter(|at| **at == slot as u128).count()).max();
            assert!(fullest.unwrap() <= 2 * count.div_ceil(slots), "{count}");
        }
    }

    #[test]
    fn the_last_stream_ends_before_the_drain_does() {
        assert_eq!(stream_leaves_after(0, 1, 10 * S), 9 * S);
        assert_eq!(stream_leaves_after(0, 3, 10 * S), 3 * S);
        assert_eq!(stream_leaves_after(2, 3, 10 * S), 9 * S);
    }

    #[test]
    fn streams_end_between_the_order_and_its_deadline_and_evenly() {
        let since = Tick(7_000_000);
        let drain = Drain { since, deadline: Some(since.after(10 * S)) };
        for first in [0, 1000, u32::MAX - 100] {
            let mut slots = [0; 10];
            for nth in 0..500 {
                let at = stream_leaves_at(first.wrapping_add(nth), drain).unwrap();
                slots[(at.since(since).as_micros() / 1_000_001) as usize] += 1;
            }
            assert!(slots.iter().all(|count| (45..=55).contains(count)), "{slots:?}");
        }
        assert_eq!(stream_leaves_at(1, Drain { deadline: None, ..drain }), None);
    }

    #[test]
    fn lifetimes_are_shortened_by_at_most_a_tenth_and_differ() {
        let ages: std::collections::BTreeSet<Duration> =
            (0..100).map(|seed| jittered(600 * S, seed)).collect();
        assert!(ages.len() > 90 && ages.iter().all(|age| (540 * S..=600 * S).contains(age)), "{ages:?}");
    }
}
