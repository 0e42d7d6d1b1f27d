//! What the keeper, the admin page and the tests may ask of the world. Changes nothing but the number of the snapshot.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{World, families};
use crate::{
    axes::{Admin, Ejection},
    eject::EjectionRecord,
    health::Health,
    layout::{Layout, Place},
    order::Order,
    outlier::EndpointTraffic,
    slot::{self, EndpointId, EndpointKey, PoolSlot, RouteSlot},
    snapshot::Snapshot,
    view::RecoveryView,
};

impl World {
    /// An immutable snapshot, with the next revision number.
    pub fn snapshot(&mut self) -> Snapshot {
        self.revision += 1;
        let recoveries: Vec<RecoveryView> =
            self.state.endpoints.slots().map(|slot| self.state.recovery(slot)).collect();
        let endpoints = self.state.endpoints.slots().zip(recoveries).filter_map(|(slot, recovery)| {
            let p95_us = self.traffic.endpoint(slot).and_then(EndpointTraffic::p95_us);
            let since = self.ejections.record(slot).map(EjectionRecord::since);
            let mut view = self.state.endpoints.show(slot, p95_us, since, recovery)?;
            if view.admin != Admin::Enabled {
                view.drain =
                    self.orders.drain(&self.state.layout.topology, self.state.layout.endpoints.get(slot)?);
            }
            Some(view)
        });
        Snapshot {
            revision: self.revision,
            generation: self.generation,
            layout: Arc::clone(&self.state.layout),
            endpoints: endpoints.collect(),
            pools: self.state.pools.views().clone(),
            routes: self.state.routes.views(self.ejections.trickles(&self.state)),
            orders: Arc::clone(self.orders.standing()),
            checker_suspected: self.checker.on(),
        }
    }

    /// What is known about an endpoint.
    #[must_use]
    pub fn health(&self, id: EndpointId) -> Option<&Health> {
        self.state.endpoints.health(self.state.endpoints.slot(id)?)
    }

    /// The identity behind an id.
    #[must_use]
    pub fn key(&self, id: EndpointId) -> Option<&EndpointKey> {
        self.state.endpoints.state(self.state.endpoints.slot(id)?).map(|state| &state.key)
    }

    /// The orders that stand.
    #[must_use]
    pub fn orders(&self) -> &[Order] {
        self.orders.standing()
    }

    /// The layout in force.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.state.layout
    }

    /// Gap to the next probe of an endpoint; `None` if it is not probed (any more).
    #[must_use]
    pub fn probe_gap(&self, id: EndpointId, roll: u64) -> Option<Duration> {
        let slot = self.state.endpoints.slot(id)?;
        let rules = self.state.layout.pool_of(slot)?.probe.as_ref()?;
        Some(self.state.endpoints.health(slot)?.probe_gap(rules, roll))
    }

    /// The slot of a route in force, by name.
    #[must_use]
    pub fn route_slot(&self, name: &str) -> Option<RouteSlot> {
        let mut routes = slot::entries(&self.state.layout.topology.routes);
        routes.find(|(_, route)| &*route.name == name).map(|(slot, _)| slot)
    }

    /// The pools that a route, or a sub-route of it, has left because they were down, and that have not returned: by name,
    /// each with whether it is up again and waits.
    #[must_use]
    pub fn left_pools(&self, route: RouteSlot) -> Vec<(Box<str>, bool)> {
        let topology = &self.state.layout.topology;
        let pools = &self.state.pools;
        let all = topology.with_sub_routes(route).map(|(slot, _)| slot);
        let left: BTreeSet<PoolSlot> = all.flat_map(|slot| self.state.routes.left(slot)).collect();
        let shown = |pool| Some((topology.pool(pool)?.name.clone(), !pools.view(pool).below_threshold));
        left.into_iter().filter_map(shown).collect()
    }

    /// Does the operator forbid failback and moves between latencies on a route?
    #[must_use]
    pub fn is_frozen(&self, route: RouteSlot) -> bool {
        self.state.routes.is_frozen(route)
    }

    /// Every endpoint that needs a probe, in layout order.
    pub fn probed_endpoints(&self) -> impl Iterator<Item = &Place> {
        let topology = &self.state.layout.topology;
        let is_probed =
            move |place: &&Place| topology.pool(place.pool).is_some_and(|pool| pool.probe.is_some());
        self.state.layout.endpoints.iter().filter(is_probed)
    }

    /// The endpoints that do not count in their pools, because nothing of their address family has ever worked.
    #[must_use]
    pub fn left_out(&self) -> BTreeSet<EndpointId> {
        let (layout, mut ids) = (&self.state.layout, BTreeSet::new());
        for (pool, _) in slot::entries::<PoolSlot, _>(&layout.topology.pools) {
            let members = layout.members(pool);
            let places = layout.endpoints.range(&members);
            let left_out = families::left_out(places, self.state.endpoints.range(&members));
            ids.extend(
                places.iter().zip(left_out).filter(|(_, left_out)| *left_out).map(|(place, _)| place.id),
            );
        }
        ids
    }

    /// Ejections in a row of an endpoint, for the status page.
    #[must_use]
    pub fn ejection_count(&self, id: EndpointId) -> u32 {
        let slot = self.state.endpoints.slot(id);
        slot.and_then(|slot| self.ejections.record(slot)).map_or(0, EjectionRecord::count)
    }

    /// Enabled endpoints of a route, and those of them that are out, for tests and simulations.
    #[must_use]
    pub fn ejected_share(&self, route: RouteSlot) -> (u32, u32) {
        let members = self.state.layout.topology.route(route).map(|route| route.pools.as_slice());
        let mut sums = (0, 0);
        for member in members.unwrap_or_default() {
            for state in self.state.endpoints.range(&self.state.layout.members(member.pool)) {
                let enabled = state.health.admin == Admin::Enabled;
                sums.0 += u32::from(enabled);
                sums.1 += u32::from(enabled && state.health.ejection != Ejection::Clear);
            }
        }
        sums
    }
}
