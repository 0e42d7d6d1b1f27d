//! What is usual at an endpoint: smoothed times, and how long a connect may take before it is late.

use std::time::Duration;

use thalweg_core::{micros, smoothed};

/// A connect is never late before this.
pub(super) const SHORTEST_PATIENCE: Duration = Duration::from_millis(50);
/// How long a connect may take before it is late, if nothing is known about the endpoint.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

/// The usual time to connect in microseconds, after one more connect took `took`. A sample far from the known value
/// counts as twice the known value: a second of lost packets is not the usual way.
pub(super) fn usual_connect(known_us: u32, took: Duration) -> u32 {
    let known = Duration::from_micros(known_us.into());
    let most = if known.is_zero() { PATIENCE } else { (known * 2).max(SHORTEST_PATIENCE / 3) };
    smoothed(known_us, u32::try_from(micros(took.min(most))).unwrap_or(u32::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_lost_packets_does_not_change_the_usual_connect_time_and_a_longer_way_does() {
        let after = |first: u64, then: &[(u64, usize)]| {
            let known = usual_connect(0, Duration::from_millis(first));
            let all =
                then.iter().flat_map(|(ms, times)| std::iter::repeat_n(Duration::from_millis(*ms), *times));
            all.fold(known, usual_connect)
        };
        assert!((900..=1100).contains(&after(1, &[(1, 50)])));
        assert!(after(1, &[(1, 50), (1000, 16)]) < 40_000, "a race still begins early");
        assert!((95_000..=100_000).contains(&after(1, &[(1, 50), (100, 50)])), "moved far away");
        assert_eq!(after(5000, &[]), 250_000);
    }
}
