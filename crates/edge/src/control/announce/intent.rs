//! Whether this edge wants its addresses announced: a state machine over readiness and time. Pure: time is an argument.
//!
//! Only what this edge sees of itself makes it withdraw; in a fleet, it goes on announcing when no other edge does. A short break of readiness does not withdraw, a return waits, and each
//! withdrawal makes the next return wait longer: a route that comes back moves flows of the other edges, which breaks
//! them.

use std::time::Duration;

use thalweg_core::Tick;

use crate::control::fleet::withdrawal::Withdrawal;

/// Readiness may be away for this long before the edge withdraws.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Most doublings of the wait.
const MAX_DOUBLINGS: u32 = 4;
/// An announcement that lasts this many times `after` takes the doublings back.
const GOOD_TIMES: u32 = 10;

/// Why the addresses are to be announced or withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntentReason {
    /// The edge is ready.
    Ready,
    /// The edge is ready, but not for long enough; until when.
    Waiting(Tick),
    /// The edge is not ready.
    NotReady,
    /// The edge is ending.
    Draining,
    /// The edge is not ready, and no other edge announces.
    LastToAnnounce,
    /// The edge is not ready, and it is not known whether another edge announces.
    OthersUnknown,
}

impl IntentReason {
    /// The spelling in status and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Waiting(_) => "waiting",
            Self::NotReady => "not_ready",
            Self::Draining => "draining",
            Self::LastToAnnounce => "last_to_announce",
            Self::OthersUnknown => "others_unknown",
        }
    }
}

/// The state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Intent {
    /// Whether the addresses are to be announced, and since when.
    announced: Option<Tick>,
    /// Since when the edge is ready, or not ready, without a break.
    same_since: Option<(bool, Tick)>,
    doublings: u32,
}

impl Intent {
    /// The state of a process that took over from one that announced, or did not.
    #[must_use]
    pub fn inherited(announced: bool, now: Tick) -> Self {
        Self { announced: announced.then_some(now), ..Self::default() }
    }

    /// Whether the addresses are to be announced.
    #[must_use]
    pub fn wanted(&self) -> bool {
        self.announced.is_some()
    }

    /// Takes in whether the edge is ready; returns what follows. `may_withdraw` is asked when the edge would withdraw.
    pub fn step(
        &mut self,
        ready: bool,
        after: Duration,
        may_withdraw: impl FnOnce() -> Withdrawal,
        now: Tick,
    ) -> IntentReason {
        let since = match self.same_since {
            Some((same, since)) if same == ready => since,
            _ => now,
        };
        self.same_since = Some((ready, since));
        match (ready, self.announced) {
            (true, Some(announced)) => {
                if now.since(announced) >= after * GOOD_TIMES {
                    self.doublings = 0;
                }
                IntentReason::Ready
            }
            (true, None) => {
                let begins = since.after(after * (1 << self.doublings));
                if now < begins {
                    return IntentReason::Waiting(begins);
                }
                self.announced = Some(now);
                IntentReason::Ready
            }
            (false, Some(_)) if now.since(since) < PATIENCE => IntentReason::Ready,
            (false, None) => IntentReason::NotReady,
            (false, Some(_)) => match may_withdraw() {
                Withdrawal::Last => IntentReason::LastToAnnounce,
                Withdrawal::Unknown => IntentReason::OthersUnknown,
                Withdrawal::Granted => {
                    self.announced = None;
                    self.doublings = (self.doublings + 1).min(MAX_DOUBLINGS);
                    IntentReason::NotReady
                }
            },
        }
    }

    /// The edge is ending.
    pub fn leave(&mut self) -> IntentReason {
        self.announced = None;
        IntentReason::Draining
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Tick {
        Tick(seconds * 1_000_000)
    }

    /// Each step: second, ready, and what follows; `None` of a wait = the wait's end in seconds.
    fn check(steps: &[(u64, bool, IntentReason)]) -> Intent {
        let mut intent = Intent::default();
        for (second, ready, expected) in steps {
            assert_eq!(
                intent.step(*ready, AFTER, || Withdrawal::Granted, at(*second)),
                *expected,
                "second {second}"
            );
            assert_eq!(intent.wanted(), *expected == IntentReason::Ready, "second {second}");
        }
        intent
    }

    use IntentReason::{NotReady, Ready, Waiting};

    #[test]
    fn an_edge_announces_after_readiness_without_a_break() {
        check(&[
            (0, false, NotReady),
            (5, true, Waiting(at(65))),
            (30, true, Waiting(at(65))),
            (40, false, NotReady),
            (41, true, Waiting(at(101))),
            (100, true, Waiting(at(101))),
            (101, true, Ready),
        ]);
    }

    #[test]
    fn a_short_break_does_not_withdraw_and_a_long_one_does() {
        check(&[
            (0, true, Waiting(at(60))),
            (60, true, Ready),
            (70, false, Ready),
            (71, true, Ready),
            (80, false, Ready),
            (81, false, NotReady),
        ]);
    }

    #[test]
    fn each_withdrawal_doubles_the_wait_and_good_service_takes_that_back() {
        let mut intent = Intent::default();
        let mut now = 0;
        for wait in [60, 120, 240, 480, 960, 960] {
            assert_eq!(intent.step(true, AFTER, || Withdrawal::Granted, at(now)), Waiting(at(now + wait)));
            now += wait;
            assert_eq!(intent.step(true, AFTER, || Withdrawal::Granted, at(now)), Ready);
            intent.step(false, AFTER, || Withdrawal::Granted, at(now + 1));
            assert_eq!(intent.step(false, AFTER, || Withdrawal::Granted, at(now + 3)), NotReady);
            now += 10;
        }
        intent.step(true, AFTER, || Withdrawal::Granted, at(now));
        intent.step(true, AFTER, || Withdrawal::Granted, at(now + 960));
        assert_eq!(intent.step(true, AFTER, || Withdrawal::Granted, at(now + 960 + 600)), Ready);
        intent.step(false, AFTER, || Withdrawal::Granted, at(now + 2000));
        intent.step(false, AFTER, || Withdrawal::Granted, at(now + 2002));
        assert_eq!(
            intent.step(true, AFTER, || Withdrawal::Granted, at(now + 2003)),
            Waiting(at(now + 2003 + 120)),
            "one withdrawal"
        );
    }

    #[test]
    fn an_ending_edge_withdraws_at_once_and_a_successor_goes_on() {
        let mut intent = check(&[(0, true, Waiting(at(60))), (60, true, Ready)]);
        assert_eq!((intent.leave(), intent.wanted()), (IntentReason::Draining, false));
        let mut successor = Intent::inherited(true, at(1));
        assert_eq!(successor.step(true, AFTER, || Withdrawal::Granted, at(1)), Ready);
        assert!(!Intent::inherited(false, at(1)).wanted());
    }

    #[test]
    fn the_last_that_announces_goes_on_and_so_does_one_that_cannot_know() {
        let mut intent = check(&[(0, true, Waiting(at(60))), (60, true, Ready), (70, false, Ready)]);
        for (second, answer, expected) in [
            (72, Withdrawal::Unknown, IntentReason::OthersUnknown),
            (73, Withdrawal::Last, IntentReason::LastToAnnounce),
        ] {
            assert_eq!(intent.step(false, AFTER, || answer, at(second)), expected);
            assert!(intent.wanted());
        }
        assert_eq!(intent.step(false, AFTER, || Withdrawal::Granted, at(74)), NotReady);
        assert!(!intent.wanted());
        let asked = || panic!("an edge that does not announce asks nothing");
        assert_eq!(intent.step(false, AFTER, asked, at(75)), NotReady);
    }
}
