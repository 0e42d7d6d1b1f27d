//! Is an endpoint's share of failures more than chance, if it fails as often as the others do?
//! Pure arithmetic on two shares. Never says what follows from it.
//!
//! # Why a bound and not a fixed number of failures
//!
//! Three failures in a row prove something where nothing else fails. Where every endpoint answers 20 % errors, an endpoint
//! that is as good as the others has three in a row once in 125 requests. So the number of failures that proves something
//! depends on how often the others fail.
//!
//! The bound is Chernoff's: of `n` requests that each fail with probability `r`, a share of `q > r` or more fails with
//! probability at most exp(−n · D(q‖r)), where D is the Kullback–Leibler divergence (Hoeffding 1963, theorem 1). For a
//! streak (`q` = 1) that is `r` to the power of `n`, which is exact. If the others do not fail at all, any failure is more
//! than chance, and the configured limits alone decide.
//!
//! # Why two samples
//!
//! That the others have not failed yet says little if they had three requests. A share is compared with theirs by the
//! likelihood ratio of two samples (the G-test: Sokal and Rohlf, "Biometry"): both rates as they are, against one rate for
//! all.

/// How much worse than the others an endpoint must be.
const WORSE: u64 = 3;

/// The bad requests among all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) bad: u32,
    pub(crate) total: u32,
}

/// How improbable a share must be before it counts as more than chance: one in `odds`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Odds(f64);

impl Odds {
    /// For an endpoint that serves, and is judged with every failure.
    pub(crate) const SERVING: Self = Self(1e6);
    /// For an endpoint that was ejected lately, and is judged with its first requests since.
    pub(crate) const PROBATION: Self = Self(1e3);
}

/// Is the first share at least [`WORSE`] times the second? A share of nothing is zero.
pub(crate) fn is_worse(own: Share, other: Share) -> bool {
    let share = u64::from(own.bad) * u64::from(other.total.max(1));
    share >= WORSE * u64::from(other.bad) * u64::from(own.total)
}

/// Likelihood ratio from which two shares count as different.
const APART: f64 = 1000.0;

/// Do the two samples tell that the rates behind them differ?
pub(crate) fn are_apart(own: Share, other: Share) -> bool {
    let both = Share { bad: own.bad + other.bad, total: own.total + other.total };
    let common = f64::from(both.bad) / f64::from(both.total.max(1));
    divergence(own, common) + divergence(other, common) >= APART.ln()
}

/// Logarithm of how much less probable a share is at `rate` than at its own: n · D(q‖r).
fn divergence(share: Share, rate: f64) -> f64 {
    let part = |count: u32, rate: f64| {
        let (count, total) = (f64::from(count), f64::from(share.total.max(1)));
        if count > 0.0 { count * (count / total / rate).ln() } else { 0.0 }
    };
    part(share.bad, rate) + part(share.total.saturating_sub(share.bad), 1.0 - rate)
}

/// Is the share more than chance, where each request fails with probability `rate` (0–1)?
pub(crate) fn is_beyond_chance(own: Share, rate: f64, odds: Odds) -> bool {
    if own.bad == 0 || rate <= 0.0 {
        return own.bad > 0;
    }
    let above = f64::from(own.bad) > rate * f64::from(own.total);
    above && divergence(own, rate) >= odds.0.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streak_is_more_than_chance_once_the_rate_to_its_power_is_small_enough() {
        let least = |rate: f64, odds: Odds| {
            (1..100).find(|bad| is_beyond_chance(Share { bad: *bad, total: *bad }, rate, odds))
        };
        for (rate, serving, probation) in [
            (0.0, Some(1), Some(1)),
            (0.001, Some(2), Some(1)),
            (0.01, Some(3), Some(2)),
            (0.05, Some(5), Some(3)),
            (0.2, Some(9), Some(5)),
            (0.5, Some(20), Some(10)),
            (1.0, None, None),
        ] {
            assert_eq!(least(rate, Odds::SERVING), serving, "{rate}");
            assert_eq!(least(rate, Odds::PROBATION), probation, "{rate}");
        }
    }

    #[test]
    fn a_share_is_more_than_chance_by_its_size_and_by_its_sample() {
        let check = |bad: u32, total: u32, rate: f64, expected: bool| {
            let own = Share { bad, total };
            assert_eq!(is_beyond_chance(own, rate, Odds::SERVING), expected, "{own:?} at {rate}");
        };
        check(0, 1000, 0.0, false);
        check(2, 10, 0.0, true);
        check(6, 10, 0.2, false);
        check(10, 10, 0.2, true);
        check(14, 24, 0.2, false);
        check(24, 34, 0.2, true);
        check(200, 1000, 0.2, false);
        check(199, 1000, 0.2, false);
        check(300, 1000, 0.2, true);
    }

    #[test]
    fn two_samples_are_apart_by_their_difference_and_by_their_sizes() {
        let check = |own: (u32, u32), other: (u32, u32), expected: bool| {
            let [own, other] = [own, other].map(|(bad, total)| Share { bad, total });
            assert_eq!(are_apart(own, other), expected, "{own:?} {other:?}");
        };
        check((10, 10), (0, 0), false);
        check((13, 64), (0, 3), false);
        check((13, 64), (0, 100), true);
        check((10, 10), (0, 3), true);
        check((10, 10), (0, 2), false);
        check((5, 10), (0, 5), false);
        check((9, 18), (0, 9), false);
        check((14, 28), (0, 14), true);
        check((10, 10), (10, 10), false);
    }

    #[test]
    fn worse_is_three_times_as_much() {
        let share = |bad, total| Share { bad, total };
        assert!(is_worse(share(6, 10), share(2, 10)) && !is_worse(share(5, 10), share(2, 10)));
        assert!(is_worse(share(1, 10), share(0, 0)) && is_worse(share(0, 10), share(0, 10)));
    }
}
