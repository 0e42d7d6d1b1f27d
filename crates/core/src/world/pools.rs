//! Owner of the pools' views: how much of each pool is available, and whether its first probe round has ended.
//! Counts the states of the endpoints and answers with what moved. Never changes an endpoint.

use std::{collections::BTreeMap, mem};

use super::{
    endpoints::{EndpointState, Endpoints},
    families,
    recoveries::Recoveries,
};
use crate::{
    axes::{Admin, Availability, Ejection, PanicRank},
    event::{Change, Changes},
    health::Health,
    layout::{Layout, Place},
    scale::Scale,
    slot::{PoolSlot, SlotVec},
    topology::Topology,
    view::{PoolView, RecoveryView},
};

/// The views of all pools of the topology.
#[derive(Clone, Debug, Default)]
pub(super) struct Pools {
    views: SlotVec<PoolSlot, PoolView>,
    /// Every endpoint of the pool was probed once, and every name of it was asked for once.
    rounds: SlotVec<PoolSlot, bool>,
    /// One of the pool's names was never asked for.
    unasked: SlotVec<PoolSlot, bool>,
}

/// What became of a pool's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoolMove {
    Nothing,
    /// Matters to routes with a band only.
    Latency,
    Health,
}

impl Pools {
    pub(super) fn views(&self) -> &SlotVec<PoolSlot, PoolView> {
        &self.views
    }

    pub(super) fn view(&self, pool: PoolSlot) -> PoolView {
        self.views.get(pool).copied().unwrap_or_default()
    }

    pub(super) fn first_round_done(&self, pool: PoolSlot) -> bool {
        self.rounds.get(pool).copied().unwrap_or(false)
    }

    /// Counts a pool's endpoints again.
    pub(super) fn recount(
        &mut self,
        slot: PoolSlot,
        layout: &Layout,
        (endpoints, recoveries): (&Endpoints, &Recoveries),
        changes: &mut Changes,
    ) -> PoolMove {
        let Some(pool) = layout.topology.pool(slot) else { return PoolMove::Nothing };
        let range = layout.members(slot);
        let members = endpoints.range(&range);
        let left_out = families::left_out(layout.endpoints.range(&range), members);
        let healths = members.iter().map(|state| &state.health);
        let recovering = recoveries.views(&range);
        let recoveries = recovering.iter().copied();
        let counted = healths.zip(recoveries).zip(&left_out).filter(|(_, left_out)| !**left_out);
        let mut view = pool_view(counted.map(|(member, _)| member), pool.panic_threshold);
        view.kept = kept(layout.endpoints.range(&range), members, recovering);
        view.left_out = left_out.iter().map(|left_out| u32::from(*left_out)).sum();
        let asked = self.unasked.get(slot).is_some_and(|unasked| !unasked);
        let round = asked && members.iter().all(|state| state.health.probed);
        let (Some(current), Some(done)) = (self.views.get_mut(slot), self.rounds.get_mut(slot)) else {
            return PoolMove::Nothing;
        };
        // A pool whose endpoints are all new has lost nothing yet.
        let new = view.enabled > 0 && view.unproven == view.enabled;
        if current.below_threshold != view.below_threshold && !new {
            let name = pool.name.clone();
            changes.log.push(Change::Pool {
                pool: name,
                below_threshold: view.below_threshold,
                available: view.available,
            });
        }
        let moved = if *done != round || *current != (PoolView { latency_us: current.latency_us, ..view }) {
            PoolMove::Health
        } else if current.latency_us != view.latency_us {
            PoolMove::Latency
        } else {
            PoolMove::Nothing
        };
        (*current, *done) = (view, round);
        moved
    }

    /// Takes the views of pools that keep their names into a new topology, and starts those of the others. Says for
    /// each pool whether it is a new one.
    pub(super) fn carry(
        &mut self,
        old: &Topology,
        new: &Topology,
        unasked: SlotVec<PoolSlot, bool>,
    ) -> SlotVec<PoolSlot, bool> {
        let names = old.pools.iter().map(|pool| &*pool.name);
        let mut before: BTreeMap<&str, PoolView> = names.zip(mem::take(&mut self.views)).collect();
        let carried: Vec<Option<PoolView>> =
            new.pools.iter().map(|pool| before.remove(&*pool.name)).collect();
        self.views = carried.iter().map(|view| view.unwrap_or_default()).collect();
        self.rounds = carried.iter().map(|_| false).collect();
        self.unasked = unasked;
        carried.iter().map(Option::is_none).collect()
    }
}

/// A pool's health in numbers.
pub(super) fn pool_view<'a>(
    members: impl Iterator<Item = (&'a Health, RecoveryView)> + Clone,
    panic_threshold: f64,
) -> PoolView {
    let mut view = PoolView::default();
    let is_up = |health: &Health| health.availability() == Availability::Up;
    // Where all that are Up flap, none is better than another: the pool's own damping decides.
    let better = members.clone().any(|(health, recovery)| is_up(health) && !recovery.damped);
    let (mut starting, mut parts) = (0, 0.0);
    for (health, recovery) in members.filter(|(health, _)| health.admin == Admin::Enabled) {
        view.enabled += 1;
        let panic_rank = health.panic_rank();
        view.answering += u32::from(panic_rank == PanicRank::Answering);
        view.proving += u32::from(panic_rank == PanicRank::Proving);
        view.out += u32::from(health.ejection != Ejection::Clear);
        match health.availability() {
            Availability::Up => {
                view.up += 1;
                let steps_back = recovery.damped && better;
                view.damped += u32::from(steps_back);
                let (start, scale) = (recovery.slow_start, health.scale());
                if !steps_back && scale < Scale::WHOLE {
                    (view.reduced, view.reduced_takes) =
                        (view.reduced + 1.0, view.reduced_takes + scale.as_f64());
                }
                if !steps_back && (scale < Scale::WHOLE || start.is_some()) {
                    starting += 1;
                    parts += scale.as_f64() * start.map_or(1.0, |start| start.part);
                }
                let latency = health.latency.micros();
                view.latency_us = view.latency_us.into_iter().chain(latency).min();
            }
            Availability::Unproven => view.unproven += 1,
            _ => {}
        }
    }
    let proven = view.enabled - view.unproven;
    let proven = f64::from(proven.max(1));
    view.available = f64::from(view.up) / proven;
    (view.reduced, view.reduced_takes) = (view.reduced / proven, view.reduced_takes / proven);
    view.started = f64::from(view.up - view.damped - starting) / proven;
    view.starting = parts / proven;
    view.below_threshold = view.up == 0 || view.available < panic_threshold;
    view
}

/// The part of the clients that belong to the pool's endpoints whose endpoint takes them, by weight. Endpoints of weight
/// 0 have clients only if the pool has no others.
fn kept(places: &[Place], members: &[EndpointState], recoveries: &[RecoveryView]) -> f64 {
    let reserve = places.iter().all(|place| place.weight == 0);
    let is_up = |state: &EndpointState| state.health.availability() == Availability::Up;
    let steady = |(state, recovery): (&EndpointState, &RecoveryView)| is_up(state) && !recovery.damped;
    // Where all that are Up flap, none steps back.
    let better = members.iter().zip(recoveries).any(steady);
    let (mut all, mut taken) = (0.0, 0.0);
    for ((place, state), recovery) in places.iter().zip(members).zip(recoveries) {
        let (health, weight) = (&state.health, f64::from(place.weight.max(u32::from(reserve))));
        let takes = is_up(state) && !(recovery.damped && better);
        let part = health.scale().as_f64() * recovery.slow_start.map_or(1.0, |start| start.part);
        all += if takes { weight * part } else { weight };
        taken += if takes { weight * part } else { 0.0 };
    }
    if all > 0.0 { taken / all } else { 0.0 }
}
