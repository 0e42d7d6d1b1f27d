//! A smoothed latency: an average in which a sample's weight halves every five seconds.

use std::time::Duration;

use crate::tick::Tick;

/// Exponentially weighted moving average over time: a sample's weight halves every [`Ewma::HALF_LIFE`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ewma {
    value_us: f64,
    at: Option<Tick>,
}

impl Ewma {
    /// CONTRACT "Latency".
    pub const HALF_LIFE: Duration = Duration::from_secs(5);

    /// Takes a sample in. The first one is the value.
    pub fn add(&mut self, sample: Duration, now: Tick) {
        let sample = sample.as_secs_f64() * 1e6;
        let keep = match self.at {
            None => 0.0,
            Some(at) => (-(now.since(at).as_secs_f64() / Self::HALF_LIFE.as_secs_f64())).exp2().min(0.99),
        };
        self.value_us = self.value_us * keep + sample * (1.0 - keep);
        self.at = Some(now);
    }

    /// Microseconds; `None` before the first sample.
    #[must_use]
    pub fn micros(&self) -> Option<u32> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "float casts saturate, and the value is never negative"
        )]
        self.at.map(|_| self.value_us as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_halves_the_weight_of_the_past_in_five_seconds() {
        let mut latency = Ewma::default();
        assert_eq!(latency.micros(), None);
        latency.add(Duration::from_millis(100), Tick(0));
        assert_eq!(latency.micros(), Some(100_000));
        latency.add(Duration::from_millis(0), Tick(5_000_000));
        assert_eq!(latency.micros(), Some(50_000));
    }
}
