//! One immutable state of the world: what a request reads. Slots are positions in it; ids outlive it.
//! A snapshot never changes.

use std::sync::Arc;

use crate::{
    layout::{Layout, Place},
    order::Order,
    shares::Stage,
    slot::{EndpointSlot, PoolSlot, RouteSlot, SlotVec, slots_in},
    topology::{Pool, Route},
    view::{EndpointView, PoolView, RouteView},
};

/// One immutable state of the world.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Number of this snapshot; each has the next.
    pub revision: u64,
    /// Number of the config in force.
    pub generation: u64,
    /// The part that changes with the topology or with DNS only.
    pub layout: Arc<Layout>,
    /// The endpoints of the layout.
    pub endpoints: SlotVec<EndpointSlot, EndpointView>,
    /// The pools of the topology.
    pub pools: SlotVec<PoolSlot, PoolView>,
    /// The routes of the topology.
    pub routes: SlotVec<RouteSlot, RouteView>,
    /// The operator's orders that stand, in the order of their numbers.
    pub orders: Arc<Vec<Order>>,
    /// Most endpoints failed their probes at once: the checker is the first suspect.
    pub checker_suspected: bool,
}

/// One endpoint of a pool, as a snapshot shows it.
#[derive(Clone, Copy, Debug)]
pub struct PoolEndpoint<'a> {
    /// Which endpoint.
    pub slot: EndpointSlot,
    /// Where it stands in the layout.
    pub place: &'a Place,
    /// What is known about it.
    pub view: &'a EndpointView,
}

impl Snapshot {
    /// The route in a slot.
    #[must_use]
    pub fn route(&self, slot: RouteSlot) -> Option<&Route> {
        self.layout.topology.route(slot)
    }

    /// The pool in a slot.
    #[must_use]
    pub fn pool(&self, slot: PoolSlot) -> Option<&Pool> {
        self.layout.topology.pool(slot)
    }

    /// The endpoints of a pool.
    pub fn endpoints_of(&self, pool: PoolSlot) -> impl Iterator<Item = PoolEndpoint<'_>> {
        let members = self.layout.members(pool);
        let (places, views) = (self.layout.endpoints.range(&members), self.endpoints.range(&members));
        slots_in(&members).zip(places.iter().zip(views)).map(|(slot, (place, view))| PoolEndpoint {
            slot,
            place,
            view,
        })
    }

    /// Is the route in panic, so that health does not count?
    #[must_use]
    pub fn in_panic(&self, route: RouteSlot) -> bool {
        self.routes.get(route).is_some_and(|view| view.shares.stage == Stage::Panic)
    }
}
