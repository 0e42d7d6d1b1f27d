//! How long an endpoint's first bytes usually take: a histogram over the last minute, and its 95th percentile.
//! Distance alone is never late: every endpoint is measured against itself.

use std::time::Duration;

use crate::tick::{Tick, micros};

/// Buckets of [`bucket_of`].
pub const SPANS: usize = 84;

/// First bytes per bucket.
pub type Spans = [u32; SPANS];

/// The bucket of a time to the first byte: four per doubling, from 64 µs to two minutes; at most 19 % wide.
#[must_use]
pub fn bucket_of(span: Duration) -> usize {
    let us = micros(span).clamp(64, 1 << 27);
    let octave = 63 - u64::from(us.leading_zeros());
    let quarter = (us >> (octave - 2)) & 3;
    usize::try_from((octave - 6) * 4 + quarter).unwrap_or(SPANS).min(SPANS - 1)
}

/// The upper end of a bucket.
fn upper_us(bucket: usize) -> u64 {
    let (octave, quarter) = (6 + bucket as u64 / 4, bucket as u64 % 4);
    (1 << octave) + ((quarter + 1) << (octave - 2))
}

/// A sixth of a minute at a time, so that the oldest part can be forgotten.
pub(crate) const PART: Duration = Duration::from_secs(10);
const PARTS: usize = 6;

/// Answers before anything can be called late.
const ENOUGH: u32 = 50;

/// The first bytes of the last minute in which the endpoint was Clear.
#[derive(Clone, Debug)]
pub(crate) struct Baseline {
    parts: [Spans; PARTS],
    current: usize,
    /// When the current part began, as if it had been Clear ever since.
    since: Option<Tick>,
    /// Not Clear since.
    paused: Option<Tick>,
    p95_us: Option<u32>,
}

impl Default for Baseline {
    fn default() -> Self {
        Self { parts: [[0; SPANS]; PARTS], current: 0, since: None, paused: None, p95_us: None }
    }
}

impl Baseline {
    /// Takes first bytes in.
    pub(crate) fn add(&mut self, spans: &[(u8, u32)], now: Tick) {
        if spans.is_empty() {
            return;
        }
        self.age(now);
        self.since.get_or_insert(now);
        if let Some(part) = self.parts.get_mut(self.current) {
            for (bucket, count) in spans {
                if let Some(cell) = part.get_mut(*bucket as usize) {
                    *cell = cell.saturating_add(*count);
                }
            }
        }
        self.p95_us = self.percentile();
    }

    /// Forgets what is older than a minute; says whether that moved the percentile.
    pub(crate) fn age(&mut self, now: Tick) -> bool {
        let Some(since) = self.since.filter(|_| self.paused.is_none()) else { return false };
        let passed = now.since(since).as_micros() / PART.as_micros();
        if passed == 0 {
            return false;
        }
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        for _ in 0..passed.min(PARTS as u32) {
            self.current = (self.current + 1) % PARTS;
            if let Some(part) = self.parts.get_mut(self.current) {
                *part = [0; SPANS];
            }
        }
        self.since = Some(since.after(PART.saturating_mul(passed)));
        let before = self.p95_us;
        self.p95_us = self.percentile();
        before != self.p95_us
    }

    /// It is not Clear any more: what is known does not age.
    pub(crate) fn pause(&mut self, now: Tick) {
        self.paused.get_or_insert(now);
    }

    /// It is Clear again.
    pub(crate) fn resume(&mut self, now: Tick) {
        let Some(paused) = self.paused.take() else { return };
        self.since = self.since.map(|since| since.after(now.since(paused)));
    }

    /// Microseconds; `None` until there were enough answers in the last minute.
    pub(crate) fn p95_us(&self) -> Option<u32> {
        self.p95_us
    }

    fn percentile(&self) -> Option<u32> {
        let mut sums = [0u64; SPANS];
        for part in &self.parts {
            for (sum, count) in sums.iter_mut().zip(part) {
                *sum += u64::from(*count);
            }
        }
        if sums.iter().sum::<u64>() < u64::from(ENOUGH) {
            return None;
        }
        u32::try_from(rank(sums.into_iter(), 95)?).ok()
    }
}

/// A percentile of what was counted, in microseconds: the upper end of its bucket. `None` if nothing was.
pub(crate) fn percentile(spans: &Spans, percent: u64) -> Option<u64> {
    rank(spans.iter().map(|count| u64::from(*count)), percent)
}

fn rank(counts: impl Iterator<Item = u64> + Clone, percent: u64) -> Option<u64> {
    let total: u64 = counts.clone().sum();
    let mut left = (total * percent).div_ceil(100).max(1);
    for (bucket, count) in counts.enumerate() {
        if count >= left {
            return Some(upper_us(bucket));
        }
        left -= count;
    }
    None
}

/// A first byte is late when it takes longer than this (CONTRACT "Late").
#[must_use]
pub fn late_after(p95_us: u32) -> Duration {
    let p95 = Duration::from_micros(u64::from(p95_us));
    (p95 * 2).max(p95 + Duration::from_millis(50))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_hold_what_falls_into_them() {
        let mut last = 0;
        for us in (1..200_000_000u64).step_by(997) {
            let bucket = bucket_of(Duration::from_micros(us));
            assert!(bucket >= last && bucket < SPANS);
            assert!(us.clamp(64, 1 << 27) <= upper_us(bucket), "{us}");
            assert!(bucket == 0 || upper_us(bucket - 1) <= us, "{us}");
            last = bucket;
        }
    }

    #[test]
    fn the_percentile_needs_fifty_answers_and_forgets_after_a_minute() {
        let mut known = Baseline::default();
        let at = |ms: u64| u8::try_from(bucket_of(Duration::from_millis(ms))).unwrap();
        known.add(&[(at(10), 49)], Tick(0));
        assert_eq!(known.p95_us(), None);
        known.add(&[(at(10), 46), (at(100), 5)], Tick(1));
        let near = |us: u32, ms: f64| f64::from(us) >= ms * 1e3 && f64::from(us) <= ms * 1.25e3;
        assert!(near(known.p95_us().unwrap(), 10.0), "{known:?}");
        known.add(&[(at(100), 5)], Tick(2));
        assert!(near(known.p95_us().unwrap(), 100.0));
        for second in 1..=70 {
            known.add(&[(at(10), 1)], Tick(second * 1_000_000));
        }
        assert!(near(known.p95_us().unwrap(), 10.0));
    }

    #[test]
    fn silence_ages_what_is_usual_and_a_sentence_does_not() {
        let second = |nth: u64| Tick(nth * 1_000_000);
        let mut known = Baseline::default();
        known.add(&[(20, 60)], second(0));
        assert!(!known.age(second(49)) && known.p95_us().is_some());
        known.pause(second(49));
        assert!(!known.age(second(500)) && known.p95_us().is_some());
        known.resume(second(500));
        assert!(!known.age(second(510)) && known.p95_us().is_some(), "59 s of being Clear");
        assert!(known.age(second(512)) && known.p95_us().is_none());
    }

    #[test]
    fn late_is_both_twice_and_fifty_milliseconds_more() {
        assert_eq!(late_after(10_000), Duration::from_millis(60));
        assert_eq!(late_after(200_000), Duration::from_millis(400));
    }
}
