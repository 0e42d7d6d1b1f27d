//! Flap damping: what goes down again and again is left alone until it has been quiet for a while.
//!
//! # How, and why this and not a longer hold
//!
//! Each loss adds a penalty, which decays by half every `half_life`. At `suppress` the flapping thing is damped, at
//! `reuse` it is used again: the algorithm of BGP route flap damping (RFC 2439, sections 4.2 and 4.8.5), with the
//! thresholds set far above one loss, as RFC 7196 recommends. A hold forgets: each return starts it anew from nothing, so
//! what flaps a little more slowly than the hold is followed for ever. The ceiling on the penalty bounds the time that
//! anything is damped after its last loss to `max`.
//!
//! The penalty is compared with `suppress` to the nearest whole loss: three quick losses are worth a little less than
//! three, since the first ones have decayed, and are meant to reach a threshold of three.

use std::time::Duration;

use crate::tick::{Tick, micros};

/// When something that flaps is damped, and until when. The units are losses when `penalty` is 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DampingRules {
    /// What one loss adds; > 0.
    pub penalty: f64,
    /// The penalty at which damping begins; > `reuse`.
    pub suppress: f64,
    /// The penalty at which damping ends; > 0.
    pub reuse: f64,
    /// The time in which a penalty halves; > 0.
    pub half_life: Duration,
    /// The longest damping after the last loss.
    pub max: Duration,
}

impl Default for DampingRules {
    fn default() -> Self {
        Self {
            penalty: 1.0,
            suppress: 3.0,
            reuse: 1.0,
            half_life: Duration::from_secs(30),
            max: Duration::from_secs(300),
        }
    }
}

impl DampingRules {
    /// The penalty from which damping begins.
    fn threshold(&self) -> f64 {
        (self.suppress - self.penalty / 2.0).max(self.reuse)
    }

    /// The highest penalty: it decays to `reuse` in `max`.
    fn ceiling(&self) -> f64 {
        self.reuse * (self.max.as_secs_f64() / self.half_life.as_secs_f64()).min(1000.0).exp2()
    }

    /// The time in which this penalty decays to `reuse`.
    fn decay(&self, value: f64) -> Duration {
        let halves = (value / self.reuse).log2().max(0.0);
        Duration::from_secs_f64(halves * self.half_life.as_secs_f64()).min(self.max)
    }
}

/// The memory of one endpoint's, or one pool's, losses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Damper {
    value: f64,
    at: Tick,
    until: Option<Tick>,
}

impl Damper {
    /// Counts a loss. Says whether damping has begun with it.
    pub(crate) fn charge(&mut self, rules: &DampingRules, now: Tick) -> bool {
        let was = self.until.is_some();
        self.value = (self.value_at(rules, now) + rules.penalty).min(rules.ceiling());
        self.at = now;
        if was || self.value >= rules.threshold() {
            self.until = Some(now.after(rules.decay(self.value)));
        }
        !was && self.until.is_some()
    }

    /// Ends the damping whose time has come. Says whether it has.
    pub(crate) fn release(&mut self, now: Tick) -> bool {
        let over = self.until.is_some_and(|until| until <= now);
        if over {
            self.until = None;
        }
        over
    }

    /// Ends the damping now; what is remembered stays, so that the next loss may begin it again.
    pub(crate) fn end(&mut self) {
        self.until = None;
    }

    /// Takes changed rules in; without rules nothing is remembered.
    pub(crate) fn adjust(&mut self, rules: Option<&DampingRules>, now: Tick) {
        match (rules, self.until) {
            (None, _) => *self = Self::default(),
            (Some(rules), Some(_)) => {
                self.value = self.value_at(rules, now).min(rules.ceiling());
                self.at = now;
                self.until = Some(now.after(rules.decay(self.value)));
            }
            (Some(_), None) => {}
        }
    }

    /// Until when, if it is damped.
    pub(crate) fn until(&self) -> Option<Tick> {
        self.until
    }

    /// The penalty at this moment.
    pub(crate) fn value_at(&self, rules: &DampingRules, now: Tick) -> f64 {
        let elapsed = micros(now.since(self.at)) as f64;
        self.value * (-elapsed / micros(rules.half_life).max(1) as f64).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(f64) -> Duration = Duration::from_secs_f64;

    /// When damping begins, and how long it lasts, for losses at these seconds.
    fn check(rules: DampingRules, losses: &[f64], expected: Option<(usize, f64)>) {
        let mut damper = Damper::default();
        let mut began = None;
        for (nth, at) in losses.iter().enumerate() {
            damper.release(Tick(0).after(S(*at)));
            if damper.charge(&rules, Tick(0).after(S(*at))) {
                began = Some(nth + 1);
            }
        }
        let last = Tick(0).after(S(*losses.last().unwrap()));
        let lasts = damper.until().map(|until| (until.since(last).as_secs_f64() * 10.0).round() / 10.0);
        assert_eq!(began.zip(lasts), expected, "{losses:?}");
    }

    #[test]
    fn quick_losses_are_damped_and_slow_ones_are_not() {
        let rules = DampingRules::default();
        check(rules, &[0.0], None);
        check(rules, &[0.0, 1.0], None);
        check(rules, &[0.0, 1.0, 2.0], Some((3, 46.5)));
        check(rules, &[0.0, 8.0, 16.0], Some((3, 40.2)));
        check(rules, &[0.0, 10.0, 20.0], None);
        check(rules, &[0.0, 30.0, 60.0, 90.0, 120.0], None);
        check(DampingRules { suppress: 2.0, ..rules }, &[0.0, 1.0], Some((2, 29.3)));
        check(DampingRules { penalty: 3.0, ..rules }, &[0.0], Some((1, 47.5)));
    }

    #[test]
    fn damping_lasts_no_longer_than_its_maximum_after_the_last_loss() {
        let rules = DampingRules { max: S(60.0), ..DampingRules::default() };
        let losses: Vec<f64> = (0..1000).map(|nth| f64::from(nth) * 0.1).collect();
        check(rules, &losses, Some((3, 60.0)));
    }

    #[test]
    fn a_damper_follows_changed_rules_and_forgets_without() {
        let rules = DampingRules::default();
        let mut damper = Damper::default();
        for second in 0..3 {
            damper.charge(&rules, Tick(second * 1_000_000));
        }
        let now = Tick(2_000_000);
        damper.adjust(Some(&DampingRules { half_life: S(60.0), ..rules }), now);
        assert_eq!(damper.until().map(|until| until.since(now).as_secs()), Some(93));
        assert!(damper.release(now.after(S(94.0))) && !damper.release(now.after(S(95.0))));
        damper.adjust(None, now);
        assert_eq!(damper, Damper::default());
    }
}
