//! May this request be tried again? One pure verdict, and the budget that bounds it.
//! Never sends anything and never picks the endpoint: the caller asks `steer` anew.
//!
//! # Why a budget and not a number of attempts alone
//!
//! A limit per request multiplies load just when there is too much: with two retries each, a service that fails
//! everything gets three times its traffic. A budget bounds what all requests of a route may add together, so that
//! retries help against the failure of some and vanish in the failure of all. The idea is Finagle's `RetryBudget` (20 % of
//! the requests plus 10 per second, credits of ten seconds), which tower and linkerd use as well; Google's SRE book
//! ("Handling Overload") names 10 % per client. This one allows 10 % plus 10 per second.
//!
//! # Why counts and not a token bucket
//!
//! A token bucket is smoother, but what it allows in a given span cannot be said in one sentence. Two sums over forty
//! quarters of a second can: retries ≤ ratio × requests of the last ten seconds + floor. The simulation checks that
//! sentence itself.
//!
//! # Why some failures cost nothing, and some are never retried
//!
//! A connection that was never made sent no byte: another endpoint may have the request whatever its method (RFC 9110,
//! section 9.2.2), and no server does work twice, so it costs no budget. Once a byte has left, only idempotent methods
//! whose body can be sent again are retried. A timeout is not retried at all: the endpoint may still be working, and the
//! client's time is mostly spent. A hedge is for that.

use std::time::Duration;

use crate::{tick::Tick, topology::RetryRules};

/// How an attempt failed, as far as a retry cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection was made, and not one byte of the request was sent.
    Connect,
    /// The connection ended after bytes were sent and before a byte of the answer.
    Reset,
    /// The endpoint answered 5xx.
    ServerError,
    /// No first byte came in time.
    Timeout,
    /// Every other endpoint would fail alike: its answer is larger than this edge passes on.
    Common,
}

impl Failure {
    /// The spelling in log and metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::ServerError => "5xx",
            Self::Timeout => "timeout",
            Self::Common => "common",
        }
    }
}

/// What is known when an attempt has failed.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// How the attempt failed.
    pub failure: Failure,
    /// Attempts made so far, this one included; ≥ 1.
    pub attempts: u32,
    /// The method is GET, HEAD, OPTIONS, PUT or DELETE (RFC 9110 §9.2.2, without TRACE).
    pub idempotent: bool,
    /// The upload can be sent once more from its start: it is empty, untouched, or still wholly in the buffer.
    pub replayable: bool,
    /// A byte of an answer went to the client.
    pub answered: bool,
    /// What is left of the total deadline.
    pub remaining: Duration,
}

/// Another attempt, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryVerdict {
    /// Make another attempt.
    Retry,
    /// The rules do not allow it.
    Forbidden,
    /// `attempts` is used up.
    Exhausted,
    /// The budget is used up.
    OverBudget,
    /// The deadline has passed.
    TooLate,
}

/// May this request be tried again? Takes from the budget only when it says [`RetryVerdict::Retry`] and bytes were sent.
pub fn verdict(rules: &RetryRules, situation: &Situation, budget: &mut Budget, now: Tick) -> RetryVerdict {
    let allowed = !situation.answered
        && match situation.failure {
            Failure::Connect => rules.on_connect && situation.replayable,
            Failure::Reset => rules.on_reset && situation.idempotent && situation.replayable,
            Failure::ServerError => rules.on_5xx && situation.idempotent && situation.replayable,
            Failure::Timeout | Failure::Common => false,
        };
    if !allowed {
        RetryVerdict::Forbidden
    } else if situation.attempts > rules.attempts {
        RetryVerdict::Exhausted
    } else if situation.remaining.is_zero() {
        RetryVerdict::TooLate
    } else if situation.failure == Failure::Connect || budget.take(now) {
        RetryVerdict::Retry
    } else {
        RetryVerdict::OverBudget
    }
}

/// Retries ÷ requests over the last 10 s, besides a floor per second. One per route.
#[derive(Clone, Debug)]
pub struct Budget {
    ratio: f64,
    /// Retries per window that are always allowed.
    floor: f64,
    /// Requests and retries in each part of the window. The parts are small, so that the window has nearly its full
    /// length at every moment.
    buckets: [(u32, u32); Budget::BUCKETS],
    requests: u32,
    retries: u32,
    /// Number of the newest bucket.
    newest: u64,
}

impl Budget {
    const BUCKETS: usize = 40;
    const WIDTH_US: u64 = 250_000;

    /// A budget of `ratio` plus `floor_per_second`.
    #[must_use]
    pub fn new(ratio: f64, floor_per_second: f64) -> Self {
        let floor = floor_per_second * 10.0;
        Self { ratio, floor, buckets: [(0, 0); Self::BUCKETS], requests: 0, retries: 0, newest: 0 }
    }

    /// Changes the rules and keeps the counts.
    pub fn adjust(&mut self, ratio: f64, floor_per_second: f64) {
        (self.ratio, self.floor) = (ratio, floor_per_second * 10.0);
    }

    /// Counts requests.
    pub fn requests(&mut self, count: u32, now: Tick) {
        self.turn(now);
        self.requests += count;
        if let Some(bucket) = self.bucket() {
            bucket.0 += count;
        }
    }

    /// Takes one retry out, if one is left.
    pub fn take(&mut self, now: Tick) -> bool {
        self.turn(now);
        let allowed = f64::from(self.requests) * self.ratio + self.floor;
        if f64::from(self.retries) + 1.0 > allowed {
            return false;
        }
        self.retries += 1;
        if let Some(bucket) = self.bucket() {
            bucket.1 += 1;
        }
        true
    }

    /// Gives back the last retry, which was not used.
    pub fn give_back(&mut self) {
        if let Some(bucket) = self.bucket()
            && bucket.1 > 0
        {
            bucket.1 -= 1;
            self.retries -= 1;
        }
    }

    fn bucket(&mut self) -> Option<&mut (u32, u32)> {
        #[expect(clippy::cast_possible_truncation, reason = "a remainder of forty")]
        self.buckets.get_mut((self.newest % Self::BUCKETS as u64) as usize)
    }

    /// Forgets what has left the window.
    fn turn(&mut self, now: Tick) {
        let number = now.0 / Self::WIDTH_US;
        let passed = number.saturating_sub(self.newest).min(Self::BUCKETS as u64);
        for _ in 0..passed {
            self.newest += 1;
            if let Some(bucket) = self.bucket() {
                let (requests, retries) = std::mem::take(bucket);
                self.requests -= requests;
                self.retries -= retries;
            }
        }
        self.newest = self.newest.max(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut Situation, &mut RetryRules), expected: RetryVerdict) {
        let (mut situation, mut rules) = (
            Situation {
                failure: Failure::Reset,
                attempts: 1,
                idempotent: true,
                replayable: true,
                answered: false,
                remaining: Duration::from_secs(1),
            },
            RetryRules::default(),
        );
        change(&mut situation, &mut rules);
        assert_eq!(
            verdict(&rules, &situation, &mut Budget::new(0.1, 10.0), Tick(0)),
            expected,
            "{situation:?}"
        );
    }

    #[test]
    fn a_retry_needs_a_failure_that_the_rules_name_and_a_repeatable_request() {
        check(|_, _| {}, RetryVerdict::Retry);
        check(|s, _| s.idempotent = false, RetryVerdict::Forbidden);
        check(|s, _| (s.idempotent, s.failure) = (false, Failure::Connect), RetryVerdict::Retry);
        check(|s, _| (s.idempotent, s.failure) = (false, Failure::ServerError), RetryVerdict::Forbidden);
        check(|s, _| s.replayable = false, RetryVerdict::Forbidden);
        check(|s, _| s.answered = true, RetryVerdict::Forbidden);
        check(|s, _| s.failure = Failure::Timeout, RetryVerdict::Forbidden);
        check(|_, r| r.on_reset = false, RetryVerdict::Forbidden);
        check(|s, _| s.attempts = 3, RetryVerdict::Exhausted);
        check(|s, _| s.remaining = Duration::ZERO, RetryVerdict::TooLate);
    }

    #[test]
    fn the_budget_is_a_share_of_the_last_ten_seconds_plus_a_floor() {
        let mut budget = Budget::new(0.1, 1.0);
        let second = |n: u64| Tick(n * 1_000_000);
        for _ in 0..100 {
            budget.requests(1, second(0));
        }
        let taken = |budget: &mut Budget, at: u64| (0..1000).filter(|_| budget.take(second(at))).count();
        assert_eq!(taken(&mut budget, 0), 20, "10 % of 100, and 10 x 1/s");
        assert_eq!(taken(&mut budget, 9), 0);
        assert_eq!(taken(&mut budget, 10), 10, "only the floor: the requests have left the window");
        assert_eq!(taken(&mut budget, 1000), 10);
    }

    #[test]
    fn connect_failures_cost_no_budget() {
        let mut budget = Budget::new(0.0, 0.0);
        let situation = Situation {
            failure: Failure::Connect,
            attempts: 1,
            idempotent: false,
            replayable: true,
            answered: false,
            remaining: Duration::from_secs(1),
        };
        assert_eq!(verdict(&RetryRules::default(), &situation, &mut budget, Tick(0)), RetryVerdict::Retry);
        let reset = Situation { failure: Failure::Reset, idempotent: true, ..situation };
        assert_eq!(verdict(&RetryRules::default(), &reset, &mut budget, Tick(0)), RetryVerdict::OverBudget);
    }
}
