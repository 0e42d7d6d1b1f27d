//! A share that grows over time: how far it is, and when it takes its next step.
//!
//! # Why steps and not a line
//!
//! A request has no clock in its decision, so a growing share is a row of snapshots. A hundred steps follow a line within
//! half a point and cost a hundred snapshots in all, however long the ramp is. HAProxy's `slowstart` and Envoy's slow
//! start mode grow a weight over time as well; HAProxy updates it once per second.

use std::time::Duration;

use crate::tick::{Tick, micros};

/// Most steps of a ramp.
const STEPS: u64 = 100;
/// Shortest step, microseconds: a snapshot is published within this time.
const SHORTEST_US: u64 = 50_000;

/// How much (0–1) of its share a ramp from `since` allows at `now`; `None` when the ramp is over. Each step has the value
/// of its middle.
pub(crate) fn part(since: Tick, over: Duration, now: Tick) -> Option<f64> {
    let (steps, step) = step(since, over, now);
    #[expect(clippy::cast_precision_loss, reason = "at most 100")]
    let part = (step as f64 + 0.5) / steps as f64;
    (step < steps && !over.is_zero()).then_some(part)
}

/// When a ramp that is not over takes its next step, or ends.
pub(crate) fn next_step(since: Tick, over: Duration, now: Tick) -> Tick {
    let (steps, step) = step(since, over, now);
    let next = (u128::from(micros(over)) * u128::from(step + 1)).div_ceil(u128::from(steps));
    Tick(since.0.saturating_add(u64::try_from(next).unwrap_or(u64::MAX)))
}

/// The number of steps, and the one that runs now.
fn step(since: Tick, over: Duration, now: Tick) -> (u64, u64) {
    let over = micros(over).max(1);
    let steps = (over / SHORTEST_US).clamp(1, STEPS);
    let elapsed = u128::from(micros(now.since(since)));
    let step = elapsed * u128::from(steps) / u128::from(over);
    (steps, u64::try_from(step).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_is_never_more_than_half_a_step_from_its_line() {
        for (seconds, points) in [(30, 0.5), (3_600, 0.5), (1, 2.5)] {
            let over = Duration::from_secs(seconds);
            let since = Tick(7);
            for permille in 0..1000 {
                let now = since.after(over * permille / 1000);
                let off = (part(since, over, now).unwrap() - f64::from(permille) / 1000.0).abs();
                assert!(off <= points / 100.0 + 1e-9, "{seconds} s at {permille}: {off}");
            }
            assert_eq!(part(since, over, since.after(over)), None);
        }
    }

    #[test]
    fn each_step_comes_when_it_is_said_to() {
        for over in [Duration::from_micros(1), Duration::from_millis(333), Duration::from_secs(30)] {
            let (since, mut now, mut last) = (Tick(5), Tick(5), 0.0);
            while let Some(part) = part(since, over, now) {
                assert!(part > last, "{over:?}: {part} after {last}");
                last = part;
                now = next_step(since, over, now);
            }
            assert_eq!(now, since.after(over));
        }
    }
}
