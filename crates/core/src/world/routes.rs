//! Owner of what the world remembers on behalf of the routes. Never touches health; lets each route conclude from the
//! pools' views.

use std::collections::BTreeMap;

use super::{
    pools::PoolMove,
    route_state::{NamedPools, RouteState},
};
use crate::{
    event::Changes,
    layout::Layout,
    slot::{self, PoolSlot, RouteSlot, SlotVec},
    tick::Tick,
    topology::Topology,
    view::{RouteView, Trickle},
};

/// The states of all routes of the topology.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes {
    states: SlotVec<RouteSlot, RouteState>,
}

impl Routes {
    /// Health does not count on this route.
    pub(super) fn panics(&self, route: RouteSlot) -> bool {
        self.states.get(route).is_some_and(RouteState::panics)
    }

    /// Does the route send requests to a pool now, whatever the operator gives it?
    pub(super) fn sends_to(&self, route: RouteSlot, pool: PoolSlot) -> bool {
        self.states.get(route).is_some_and(|state| state.sends_to(pool))
    }

    /// The operator allows no failback and no move between latencies on this route.
    pub(super) fn is_frozen(&self, route: RouteSlot) -> bool {
        self.states.get(route).is_some_and(RouteState::is_frozen)
    }

    /// When the next hold or dwell ends.
    pub(super) fn next_deadline(&self) -> Option<Tick> {
        self.states.iter().filter_map(RouteState::next_deadline).min()
    }

    /// The routes whose hold or dwell has ended.
    pub(super) fn due(&self, now: Tick) -> Vec<RouteSlot> {
        let due = |state: &RouteState| state.next_deadline().is_some_and(|deadline| deadline <= now);
        self.states.entries().filter(|(_, state)| due(state)).map(|(slot, _)| slot).collect()
    }

    pub(super) fn slots(&self) -> Vec<RouteSlot> {
        self.states.slots().collect()
    }

    /// The routes that a move of this pool concerns.
    pub(super) fn concerned(layout: &Layout, pool: PoolSlot, moved: PoolMove) -> Vec<RouteSlot> {
        let has_band =
            |slot: &RouteSlot| layout.topology.route(*slot).is_some_and(|route| route.band.is_some());
        let users = layout.users(pool).iter().copied();
        match moved {
            PoolMove::Nothing => Vec::new(),
            PoolMove::Latency => users.filter(has_band).collect(),
            PoolMove::Health => users.collect(),
        }
    }

    /// Lets routes conclude from the pools' views.
    pub(super) fn update(&mut self, routes: &[RouteSlot], pools: &NamedPools<'_>, changes: &mut Changes) {
        for slot in routes {
            if let (Some(route), Some(state)) = (pools.topology.route(*slot), self.states.get_mut(*slot)) {
                state.update(route, pools, changes);
            }
        }
    }

    /// Ends the waits of a route's pools: the operator's order.
    pub(super) fn end_waits(&mut self, slot: RouteSlot, pools: &NamedPools<'_>, changes: &mut Changes) {
        if let (Some(route), Some(state)) = (pools.topology.route(slot), self.states.get_mut(slot)) {
            state.end_waits(route, pools, changes);
        }
    }

    /// Forbids failback and moves between latencies on the routes for which `frozen` holds, and allows them on the others.
    /// Returns the routes for which that is new: they conclude anew.
    #[must_use]
    pub(super) fn freeze(
        &mut self,
        topology: &Topology,
        frozen: impl Fn(&str) -> bool,
        now: Tick,
    ) -> Vec<RouteSlot> {
        let mut moved = Vec::new();
        for (slot, route) in slot::entries::<RouteSlot, _>(&topology.routes) {
            let state = self.states.get_mut(slot);
            if state.is_some_and(|state| state.freeze(frozen(&route.name), now)) {
                moved.push(slot);
            }
        }
        moved
    }

    /// Lets a pool wait that was left before a restart.
    pub(super) fn latch(&mut self, slot: RouteSlot, pool: PoolSlot, topology: &Topology, now: Tick) {
        if let (Some(route), Some(state)) = (topology.route(slot), self.states.get_mut(slot)) {
            state.latch(pool, route, now);
        }
    }

    /// The pools that a route has left and that have not returned.
    pub(super) fn left(&self, slot: RouteSlot) -> impl Iterator<Item = PoolSlot> + '_ {
        self.states.get(slot).into_iter().flat_map(RouteState::left)
    }

    /// Takes what is remembered about routes and pools that keep their names into a new topology.
    pub(super) fn carry(&mut self, old: &Topology, new: &Topology, now: Tick) {
        let names = old.routes.iter().map(|route| &*route.name);
        let states: BTreeMap<&str, &RouteState> = names.zip(&self.states).collect();
        let carried = new.routes.iter().map(|route| {
            let before = states.get(&*route.name).map(|state| (*state, old));
            RouteState::carried(route, new, before, now)
        });
        self.states = carried.collect();
    }

    pub(super) fn views(&self, trickles: SlotVec<RouteSlot, Vec<Trickle>>) -> SlotVec<RouteSlot, RouteView> {
        self.states.iter().zip(trickles).map(|(state, trickles)| state.view(trickles.into())).collect()
    }
}
