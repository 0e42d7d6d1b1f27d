//! What requests did over the last seconds, exactly: a ring of buckets of equal width, one per endpoint, pool and route.
//! Never decays anything: a span's counts are the counts of that span.
//!
//! # Why exact counts and not a decaying average
//!
//! An exponentially weighted average needs one number instead of a hundred, but an operator cannot check what it says:
//! "20 % over ten seconds" is then a mix of the last minute, and a burst of failures is averaged away or remembered too
//! long. Here the rule that the operator wrote is the rule that is computed, and the evidence ("6 of 13 requests failed
//! in 250 ms") is true. Rolling windows of buckets are known from Hystrix, which counts ten seconds in ten buckets.
//!
//! # Why every span and not one fixed interval
//!
//! Envoy judges success rates once per `interval` (10 s by default): an endpoint that fails every request can go on until
//! the sweep comes. All trailing spans from 250 ms up to `window` are looked at with each failure here, so that a busy
//! endpoint is judged in a quarter of a second and a quiet one when it has enough requests.
//!
//! # Why rings can be added and subtracted
//!
//! All rings of a world share one grid. The traffic of "the others", with which an endpoint is compared, is the route's
//! ring less the pool's: no second set of counters.

use std::time::Duration;

use crate::{
    tally::Counts,
    tick::{Tick, micros},
};

/// Width and number of the buckets; the same for all rings of a world, so that they can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    width_us: u64,
    buckets: usize,
}

impl Grid {
    /// Buckets of 100 ms over `window`, but at most 600 of them: a longer window has wider buckets.
    pub(crate) fn over(window: Duration) -> Self {
        let window = micros(window).max(1);
        let width_us = (window / 600).max(100_000);
        Self { width_us, buckets: usize::try_from(window.div_ceil(width_us)).unwrap_or(600) + 1 }
    }

    /// The longest span that is counted whole.
    pub(crate) fn span(self) -> Duration {
        Duration::from_micros(self.width_us * (self.buckets as u64 - 1))
    }

    fn number(self, at: Tick) -> u64 {
        at.0 / self.width_us
    }
}

/// The counts of the last buckets.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    grid: Grid,
    counts: Box<[Counts]>,
    /// Number of the newest bucket.
    newest: u64,
}

impl Ring {
    pub(crate) fn new(grid: Grid) -> Self {
        Self { grid, counts: vec![Counts::default(); grid.buckets].into(), newest: 0 }
    }

    pub(crate) fn grid(&self) -> Grid {
        self.grid
    }

    pub(crate) fn add(&mut self, counts: Counts, now: Tick) {
        let number = self.grid.number(now);
        // Counts from a clock that stood still or went back belong to the newest bucket.
        let passed = number.saturating_sub(self.newest).min(self.grid.buckets as u64);
        for step in 1..=passed {
            let cleared = self.slot(number - passed + step);
            if let Some(bucket) = self.counts.get_mut(cleared) {
                *bucket = Counts::default();
            }
        }
        self.newest = self.newest.max(number);
        let slot = self.slot(self.newest);
        if let Some(bucket) = self.counts.get_mut(slot) {
            bucket.add(counts);
        }
    }

    /// Adds another ring of the same grid, bucket by bucket.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.add(Counts::default(), Tick(other.newest * self.grid.width_us));
        let oldest = self.newest.saturating_sub(self.grid.buckets as u64 - 1);
        for number in oldest..=self.newest {
            let counts = other.bucket(number);
            let slot = self.slot(number);
            if let Some(bucket) = self.counts.get_mut(slot) {
                bucket.add(counts);
            }
        }
    }

    /// The trailing spans that end now, shortest first: how long each is, and what it holds.
    pub(crate) fn spans(&self, now: Tick) -> impl Iterator<Item = (Duration, Counts)> {
        let last = self.grid.number(now).max(self.newest);
        let mut sum = Counts::default();
        (0..self.grid.buckets as u64).map_while(move |back| {
            let number = last.checked_sub(back)?;
            sum.add(self.bucket(number));
            let length = now.since(Tick(number * self.grid.width_us));
            Some((length, sum))
        })
    }

    /// The counts of the last `span`, accurate to a bucket.
    pub(crate) fn last(&self, span: Duration, now: Tick) -> Counts {
        let mut spans = self.spans(now).take_while(|(length, _)| *length <= span + self.width());
        spans.by_ref().last().map(|(_, counts)| counts).unwrap_or_default()
    }

    fn width(&self) -> Duration {
        Duration::from_micros(self.grid.width_us)
    }

    fn bucket(&self, number: u64) -> Counts {
        let kept = number <= self.newest && number + self.grid.buckets as u64 > self.newest;
        if kept { self.counts.get(self.slot(number)).copied().unwrap_or_default() } else { Counts::default() }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a remainder of the number of buckets")]
    fn slot(&self, number: u64) -> usize {
        (number % self.grid.buckets as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1000;

    fn good(good: u32) -> Counts {
        Counts { good, ..Counts::default() }
    }

    #[test]
    fn a_span_holds_exactly_what_came_in_it() {
        let mut ring = Ring::new(Grid::over(Duration::from_secs(1)));
        for at in [50, 150, 250, 1050] {
            ring.add(good(1), Tick(at * MS));
        }
        let seen = |at: u64, span: u64| ring.last(Duration::from_millis(span), Tick(at * MS)).good;
        assert_eq!((seen(1050, 0), seen(1050, 800), seen(1050, 900), seen(1050, 2000)), (1, 2, 3, 4));
        assert_eq!((seen(1150, 2000), seen(1250, 2000), seen(2100, 2000)), (3, 2, 0));
    }

    #[test]
    fn a_ring_that_slept_forgets_and_one_whose_clock_goes_back_does_not() {
        let mut ring = Ring::new(Grid::over(Duration::from_secs(10)));
        ring.add(good(5), Tick(0));
        ring.add(good(1), Tick(3_600_000 * MS));
        ring.add(good(1), Tick(MS));
        assert_eq!(ring.last(Duration::from_secs(100), Tick(3_600_000 * MS)).good, 2);
    }

    #[test]
    fn rings_of_one_grid_add_up() {
        let grid = Grid::over(Duration::from_secs(1));
        let (mut a, mut b) = (Ring::new(grid), Ring::new(grid));
        a.add(good(1), Tick(0));
        b.add(good(2), Tick(500 * MS));
        let mut sum = Ring::new(grid);
        sum.merge(&a);
        sum.merge(&b);
        assert_eq!(sum.last(Duration::from_secs(1), Tick(500 * MS)).good, 3);
    }
}
