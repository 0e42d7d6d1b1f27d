//! One pool on behalf of one route: its standing, its nearness, and the memory of its losses.
//! Never looks at another pool.

use std::time::Duration;

use super::{
    band::Nearness,
    standing::{PoolTurn, ReturnRules, Standing},
};
use crate::{
    damping::Damper,
    slot::PoolSlot,
    tick::Tick,
    topology::Route,
    view::{PoolView, RoutePoolView},
};

/// One pool, on behalf of one route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) pool: PoolSlot,
    pub(super) standing: Standing,
    pub(super) nearness: Nearness,
    damper: Damper,
    /// The pool was above its threshold since its last loss was counted.
    risen: bool,
}

/// What became of a member.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MemberTurn {
    pub(super) pool: Option<PoolTurn>,
    /// Damping has begun (`true`) or ended.
    pub(super) damping: Option<bool>,
}

impl Member {
    pub(super) fn new(pool: PoolSlot) -> Self {
        let (nearness, damper) = (Nearness::default(), Damper::default());
        Self { pool, standing: Standing::Free, nearness, damper, risen: false }
    }

    /// The member in a new topology, where its pool has this slot.
    pub(super) fn carried(self, pool: PoolSlot, route: &Route, now: Tick) -> Self {
        let stays = match self.standing {
            Standing::Held(_) | Standing::Ramping(_) => true,
            Standing::Left => route.failback.is_latched(),
            Standing::Free | Standing::Renewed => false,
        };
        let mut member = Self { pool, standing: if stays { self.standing } else { Standing::Free }, ..self };
        member.damper.adjust(route.damping.as_ref(), now);
        member
    }

    /// Takes in the pool's view. Each fall below its threshold is a loss, also while the pool waits.
    pub(super) fn update(
        &mut self,
        view: &PoolView,
        served: bool,
        route: &Route,
        rules: ReturnRules<'_>,
    ) -> MemberTurn {
        let mut turn = MemberTurn { damping: self.damper.release(rules.now).then_some(false), pool: None };
        let refuted = view.below_threshold && view.enabled > view.unproven;
        if let Some(damping) = route.damping.as_ref().filter(|_| refuted && self.risen)
            && self.damper.charge(damping, rules.now)
        {
            turn.damping = Some(true);
        }
        self.risen = !view.below_threshold || (self.risen && !refuted);
        let rules = ReturnRules { damped_until: self.damper.until(), ..rules };
        (self.standing, turn.pool) = self.standing.next(view, served, &rules);
        turn
    }

    /// The pool waits for its hold, for the operator, or for the end of its damping.
    pub(super) fn waits(&self) -> bool {
        self.standing.is_held() || self.damper.until().is_some()
    }

    /// Ends the damping: the pool serves for want of others, or by order. The next loss may begin it again.
    pub(super) fn end_damping(&mut self) {
        self.damper.end();
    }

    /// Forgets all losses: the operator's order.
    pub(super) fn forgive(&mut self) {
        self.damper = Damper::default();
    }

    /// The penalty of the pool's losses, and how long it is damped for them.
    pub(super) fn damping(&self, route: &Route, now: Tick) -> (f64, Option<Duration>) {
        let penalty = route.damping.map_or(0.0, |damping| self.damper.value_at(&damping, now));
        (penalty, self.damper.until().map(|until| until.since(now)))
    }

    /// When something about the member changes by itself.
    pub(super) fn deadline(&self, route: &Route, rules: ReturnRules<'_>) -> Option<Tick> {
        let rules = ReturnRules { damped_until: self.damper.until(), ..rules };
        let dwell = route.band.filter(|_| rules.frozen.is_none());
        let dwell = dwell.and_then(|band| self.nearness.deadline(&band));
        self.standing.deadline(&rules).into_iter().chain(dwell).chain(rules.damped_until).min()
    }

    /// What a snapshot says of the member.
    pub(super) fn view(&self, rules: ReturnRules<'_>) -> RoutePoolView {
        let rules = ReturnRules { damped_until: self.damper.until(), ..rules };
        self.standing.view(self.nearness.near, &rules)
    }
}
