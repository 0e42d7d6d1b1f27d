//! What is in force: layout, endpoints, pools and routes, as the other owners may read it.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    endpoints::Endpoints,
    pools::{PoolMove, Pools},
    recoveries::{DampingMove, Recoveries},
    route_state::NamedPools,
    routes::Routes,
};
use crate::{
    axes::Availability,
    event::{Change, Changes, Publish},
    layout::{Layout, Place},
    slot::{EndpointSlot, PoolSlot, RouteSlot, slots_in},
    tick::Tick,
    topology::RoutePool,
    view::RecoveryView,
};

/// The layout, and the states of endpoints, pools and routes. The world alone changes them; the other owners read.
#[derive(Clone, Debug, Default)]
pub(super) struct WorldState {
    pub(super) layout: Arc<Layout>,
    pub(super) endpoints: Endpoints,
    pub(super) recoveries: Recoveries,
    pub(super) pools: Pools,
    pub(super) routes: Routes,
}

impl WorldState {
    /// Counts a pool's endpoints again; says what moved.
    pub(super) fn recount_pool(&mut self, pool: PoolSlot, changes: &mut Changes) -> PoolMove {
        self.pools.recount(pool, &self.layout, (&self.endpoints, &self.recoveries), changes)
    }

    /// What an endpoint's past losses mean: one that flaps steps back only while its pool has a better one.
    pub(super) fn recovery(&self, slot: EndpointSlot) -> RecoveryView {
        let recovery = self.recoveries.view(slot);
        let pool = self.layout.endpoints.get(slot).map(|place| self.pools.view(place.pool));
        let better = pool.is_some_and(|pool| pool.damped > 0);
        RecoveryView { damped: recovery.damped && better && self.is_up(slot), ..recovery }
    }

    /// That an endpoint's damping has begun, or ended.
    pub(super) fn tell_damping(&self, slot: EndpointSlot, damping: DampingMove) -> Option<Change> {
        let DampingMove { penalty, lasts } = damping;
        let key = &self.endpoints.state(slot)?.key;
        let (pool, endpoint) = (Box::from(&*key.pool), Some(key.address));
        Some(Change::Damped { route: None, pool, endpoint, penalty, lasts })
    }

    /// Lets endpoints recover, and the pools and routes that they concern conclude.
    pub(super) fn recover(&mut self, now: Tick, changes: &mut Changes) {
        let moved = self.recoveries.advance(now);
        for (slot, damping) in &moved {
            changes.log.extend(damping.and_then(|damping| self.tell_damping(*slot, damping)));
        }
        let places = moved.iter().filter_map(|(slot, _)| self.layout.endpoints.get(*slot));
        let pools = places.map(|place| place.pool);
        let pools: BTreeSet<PoolSlot> = pools.collect();
        for pool in pools {
            changes.publish = changes.publish.max(Publish::Soon);
            let moved = self.recount_pool(pool, changes);
            let concerned = self.concerned(pool, moved);
            self.update_routes(&concerned, now, changes);
        }
    }

    /// The routes that a move of this pool concerns.
    pub(super) fn concerned(&self, pool: PoolSlot, moved: PoolMove) -> Vec<RouteSlot> {
        Routes::concerned(&self.layout, pool, moved)
    }

    /// Lets routes conclude from the pools' views.
    pub(super) fn update_routes(&mut self, routes: &[RouteSlot], now: Tick, changes: &mut Changes) {
        let pools = NamedPools { topology: &self.layout.topology, pools: &self.pools, now };
        self.routes.update(routes, &pools, changes);
    }

    /// Ends the waits of a route's pools, and of its sub-routes' pools.
    pub(super) fn end_waits(&mut self, route: RouteSlot, now: Tick, changes: &mut Changes) {
        let pools = NamedPools { topology: &self.layout.topology, pools: &self.pools, now };
        for (slot, _) in self.layout.topology.with_sub_routes(route) {
            self.routes.end_waits(slot, &pools, changes);
        }
    }

    pub(super) fn is_up(&self, slot: EndpointSlot) -> bool {
        self.endpoints.is_up(slot)
    }

    /// Does an endpoint serve, so that an ejection would take something away? In panic probes say nothing: there
    /// every enabled endpoint serves that is Clear.
    pub(super) fn serves(&self, slot: EndpointSlot) -> bool {
        let Some(health) = self.endpoints.health(slot) else { return false };
        health.availability() == Availability::Up
            || (health.in_panic()
                && self.layout.routes_of(slot).iter().any(|route| self.routes.panics(*route)))
    }

    /// The routes that send requests to an endpoint. What the operator gives nothing (weight 0, dial 0) gets requests
    /// only while nothing else is left.
    pub(super) fn feeders(&self, slot: EndpointSlot) -> impl Iterator<Item = RouteSlot> + '_ {
        let place = self.layout.endpoints.get(slot).filter(|place| place.weight > 0 || self.is_alone(place));
        place.into_iter().flat_map(move |place| {
            let gives =
                |member: &RoutePool| member.pool == place.pool && member.dial > 0 && member.weight > 0;
            self.layout.routes_of(slot).iter().copied().filter(move |route| {
                let given =
                    self.layout.topology.route(*route).is_some_and(|route| route.pools.iter().any(gives));
                given || self.routes.sends_to(*route, place.pool)
            })
        })
    }

    /// Does a route send requests to the endpoints that this one is compared with: those of its other pools; where it has
    /// only one, the pool's other endpoints?
    pub(super) fn asks_others(&self, slot: EndpointSlot, route: RouteSlot) -> bool {
        let Some(own) = self.layout.endpoints.get(slot).map(|place| place.pool) else { return false };
        let members = self.layout.topology.route(route).map(|route| &*route.pools).unwrap_or_default();
        if members.len() > 1 {
            return members
                .iter()
                .any(|member| member.pool != own && self.routes.sends_to(route, member.pool));
        }
        slots_in(&self.layout.members(own)).any(|other| other != slot && self.is_up(other))
    }

    /// No endpoint of this one's pool is Up that has a weight.
    fn is_alone(&self, place: &Place) -> bool {
        let members = self.layout.members(place.pool);
        let (places, states) = (self.layout.endpoints.range(&members), self.endpoints.range(&members));
        !places
            .iter()
            .zip(states)
            .any(|(place, state)| place.weight > 0 && state.health.availability() == Availability::Up)
    }
}
