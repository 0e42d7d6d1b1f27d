//! What became of a pool that one route uses: does it serve, was it left, does it wait to return, does its share grow?
//! A state machine of one pool on behalf of one route. Never looks at another pool: whether a pool that waits must serve
//! for want of others is the funnel's answer.

use std::time::Duration;

use crate::{
    ramp,
    tick::Tick,
    topology::Failback,
    view::{PoolView, Ramp, RoutePoolView},
};

/// What became of a pool that this route uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Standing {
    /// The pool serves whenever it can.
    #[default]
    Free,
    /// The pool served when new addresses replaced all that were known: nothing there is known to be down yet.
    Renewed,
    /// The pool served when it went down.
    Left,
    /// The pool is up again since this tick.
    Held(Tick),
    /// The pool serves again, and its share grows since this tick.
    Ramping(Tick),
}

/// What a change of standing means for the route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoolTurn {
    /// The pool was left, because it is down.
    Lost,
    /// The pool is up again, and waits.
    Waits,
    /// The pool serves again.
    Returned,
}

/// How pools return on this route at this moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReturnRules<'a> {
    pub(super) failback: &'a Failback,
    /// Since when the operator allows no failback.
    pub(super) frozen: Option<Tick>,
    /// Until when the pool is damped.
    pub(super) damped_until: Option<Tick>,
    pub(super) now: Tick,
}

impl ReturnRules<'_> {
    /// Has a pool waited long enough that is up since this tick?
    fn ends_hold(&self, since: Tick) -> bool {
        let free = self.frozen.is_none() && self.damped_until.is_none();
        free && self.failback.hold.is_some_and(|hold| since.after(hold) <= self.now)
    }

    /// The time by which ramps go: it stands still while the route is frozen.
    fn ramp_now(&self) -> Tick {
        self.frozen.unwrap_or(self.now)
    }

    /// What a pool becomes that may serve again.
    pub(super) fn returned(&self) -> Standing {
        if self.failback.ramp == Duration::ZERO { Standing::Free } else { Standing::Ramping(self.now) }
    }
}

impl Standing {
    /// Takes in the pool's view. `served` says whether the pool had a share. A pool without an enabled endpoint was
    /// drained, not lost: its return waits for nothing. A pool whose endpoints are all unproven is lost only when all
    /// are refuted.
    pub(super) fn next(
        self,
        view: &PoolView,
        served: bool,
        rules: &ReturnRules<'_>,
    ) -> (Self, Option<PoolTurn>) {
        let down = view.below_threshold;
        let refuted = down && view.enabled > view.unproven;
        match self {
            Self::Free | Self::Ramping(_) if refuted && served => (Self::Left, Some(PoolTurn::Lost)),
            Self::Free | Self::Ramping(_) if down && view.enabled > 0 && served => (Self::Renewed, None),
            Self::Ramping(since) => {
                let part = ramp::part(since, rules.failback.ramp, rules.ramp_now());
                (if part.is_some() { self } else { Self::Free }, None)
            }
            Self::Renewed if !down || view.enabled == 0 => (Self::Free, None),
            Self::Renewed if view.unproven == 0 => (Self::Left, Some(PoolTurn::Lost)),
            // A latched pool is remembered before the first probes after a start have spoken.
            Self::Held(_) if refuted || (down && !rules.failback.is_latched()) => (Self::Left, None),
            Self::Held(since) if rules.ends_hold(since) => (rules.returned(), Some(PoolTurn::Returned)),
            Self::Left if !down => match Self::Held(rules.now).next(view, served, rules) {
                (Self::Held(since), _) => (Self::Held(since), Some(PoolTurn::Waits)),
                returned => returned,
            },
            same => (same, None),
        }
    }

    /// The pool is up again and waits.
    pub(super) fn is_held(self) -> bool {
        matches!(self, Self::Held(_))
    }

    /// Moves the beginning of a ramp that stood still from `frozen` to `now`.
    pub(super) fn thawed(self, frozen: Tick, now: Tick) -> Self {
        match self {
            Self::Ramping(since) => Self::Ramping(since.after(now.since(frozen.max(since)))),
            same => same,
        }
    }

    /// When the standing changes by itself.
    pub(super) fn deadline(self, rules: &ReturnRules<'_>) -> Option<Tick> {
        match self {
            Self::Held(since) => {
                let hold = rules.failback.hold.filter(|_| rules.frozen.is_none())?;
                Some(since.after(hold).max(rules.damped_until.unwrap_or_default()))
            }
            Self::Ramping(since) if rules.frozen.is_none() => {
                Some(ramp::next_step(since, rules.failback.ramp, rules.now))
            }
            _ => None,
        }
    }

    /// What a snapshot says about the standing.
    pub(super) fn view(self, near: bool, rules: &ReturnRules<'_>) -> RoutePoolView {
        let ramp = match self {
            Self::Ramping(since) => {
                let until = rules.frozen.is_none().then(|| since.after(rules.failback.ramp));
                ramp::part(since, rules.failback.ramp, rules.ramp_now()).map(|part| Ramp { part, until })
            }
            _ => None,
        };
        let held_until = if self.is_held() { self.deadline(rules) } else { None };
        RoutePoolView {
            near,
            held: self.is_held(),
            left: self == Self::Left,
            held_until,
            damped_until: rules.damped_until,
            ramp,
        }
    }
}
