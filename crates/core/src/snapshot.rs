//! One immutable picture of the world: what a request reads. Slots are positions in this picture; ids outlive it.
//! Never changed after it was built.

use std::sync::Arc;

use crate::{
    layout::{Layout, Place},
    shares::Stage,
    slot::{EndpointSlot, PoolSlot, RouteSlot},
    topology::{Pool, Route},
    view::{EndpointView, PoolView, RouteView},
};

/// One immutable picture of the world.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Number of this picture; grows by one with each.
    pub revision: u64,
    /// Number of the config in force.
    pub generation: u64,
    /// The slow-changing part.
    pub layout: Arc<Layout>,
    /// By [`EndpointSlot`].
    pub endpoints: Box<[EndpointView]>,
    /// By [`PoolSlot`].
    pub pools: Box<[PoolView]>,
    /// By [`RouteSlot`].
    pub routes: Box<[RouteView]>,
    /// Most endpoints failed their probes at once: the checker is the first suspect.
    pub doubted: bool,
}

impl Snapshot {
    /// The route in a slot.
    #[must_use]
    pub fn route(&self, slot: RouteSlot) -> Option<&Route> {
        self.layout.topology.routes.get(slot.0 as usize)
    }

    /// The pool in a slot.
    #[must_use]
    pub fn pool(&self, slot: PoolSlot) -> Option<&Pool> {
        self.layout.topology.pools.get(slot.0 as usize)
    }

    /// The endpoints of a pool, each with its slot.
    pub fn endpoints_of(
        &self,
        pool: PoolSlot,
    ) -> impl Iterator<Item = (EndpointSlot, &Place, &EndpointView)> {
        let range = self.layout.ranges.get(pool.0 as usize).cloned().unwrap_or(0..0);
        let bounds = range.start as usize..range.end as usize;
        let places = self.layout.endpoints.get(bounds.clone()).unwrap_or_default();
        let views = self.endpoints.get(bounds).unwrap_or_default();
        (range.start..)
            .zip(places.iter().zip(views))
            .map(|(slot, (place, view))| (EndpointSlot(slot), place, view))
    }

    /// Health does not count on this route any more.
    #[must_use]
    pub fn in_panic(&self, route: RouteSlot) -> bool {
        self.routes.get(route.0 as usize).is_some_and(|view| view.shares.stage == Stage::Panic)
    }
}
