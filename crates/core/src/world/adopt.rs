//! What a config or a DNS answer changes: the layout. What is known about an endpoint stays with its key.

use std::{net::IpAddr, sync::Arc};

use super::{World, recoveries::Carried};
use crate::{
    event::{Change, Changes, Publish},
    layout::{Layout, Place, lay_out},
    order::OrderEnd,
    slot::{self, EndpointSlot, PoolSlot},
    tick::Tick,
    topology::{Pool, Topology},
};

impl World {
    pub(super) fn resolve(
        &mut self,
        host: Box<str>,
        addresses: Vec<IpAddr>,
        now: Tick,
        changes: &mut Changes,
    ) {
        let topology = Arc::clone(&self.state.layout.topology);
        // A reload may have made the question moot while it was asked.
        if !topology.hosts().contains(&*host) {
            return;
        }
        if let Some(addresses) = self.names.learn(&host, addresses) {
            changes.log.push(Change::Resolved { host, addresses });
            self.relayout(topology, now, changes);
        }
    }

    pub(super) fn adopt(
        &mut self,
        topology: Arc<Topology>,
        generation: u64,
        now: Tick,
        changes: &mut Changes,
    ) {
        self.generation = generation;
        self.names.keep(&topology);
        changes.log.push(Change::Adopted { generation });
        Self::tell_ended(self.orders.keep(&topology), OrderEnd::TargetGone, changes);
        self.expire_orders(now, changes);
        self.configured = topology;
        let topology = self.orders.applied(&self.configured);
        self.state.routes.carry(&self.state.layout.topology, &topology);
        self.checker.adopted(now);
        self.state.recoveries.adopt(&topology);
        changes.publish = Publish::Now;
        self.relayout(topology, now, changes);
        self.follow_freezes(now, changes);
        // Rules that are off now hold no endpoint.
        self.release(now, changes);
    }

    /// Lets a pool wait for the operator that a latched route had left before a restart.
    pub(super) fn latch(&mut self, route: &str, pool: &str, now: Tick, changes: &mut Changes) {
        let topology = Arc::clone(&self.state.layout.topology);
        let named = |(_, candidate): &(PoolSlot, &Pool)| &*candidate.name == pool;
        let pool = slot::entries(&topology.pools).find(named).map(|(slot, _)| slot);
        if let (Some(route), Some(pool)) = (self.route_slot(route), pool) {
            self.state.routes.latch(route, pool, &topology, now);
            self.state.update_routes(&[route], now, changes);
        }
    }

    /// Lays the endpoints out anew; what is known stays with its key.
    pub(super) fn relayout(&mut self, topology: Arc<Topology>, now: Tick, changes: &mut Changes) {
        let old = Arc::clone(&self.state.layout);
        let mut laid = lay_out(&topology, &self.names, |key| self.state.endpoints.id_of(key));
        let unasked = std::mem::take(&mut laid.unasked);
        let order = |place: &_| self.orders.admin(&topology, place);
        let relaid = self.state.endpoints.carry(&laid, &topology, &old.topology, order);
        let from = |(slot, place): (EndpointSlot, &Place)| Carried {
            pool: place.pool,
            from: relaid.from.get(slot).copied().flatten(),
            up: self.state.endpoints.is_up(slot),
        };
        self.state.recoveries.carry(laid.places.entries().map(from), now);
        self.traffic.carry(&relaid.from);
        self.ejections.carry(&relaid.from, self.state.endpoints.out());
        let new_pools = self.state.pools.carry(&old.topology, &topology, unasked);
        self.state.layout = Arc::new(Layout::after(old.number, topology, laid));
        changes.publish = changes.publish.max(if relaid.lost { Publish::Now } else { Publish::Soon });
        self.traffic.sum_up(&self.state.layout);
        let round = self.state.layout.topology.probe_round();
        let suspicion = self.checker.recount(self.state.endpoints.probes(), round, now);
        Self::tell_suspicion(suspicion, changes);
        // That a new pool exists is no news about its health.
        let mut quiet = Changes::default();
        for (pool, is_new) in new_pools.entries() {
            let _ = self.state.recount_pool(pool, if *is_new { &mut quiet } else { changes });
        }
        let routes = self.state.routes.slots();
        self.state.update_routes(&routes, now, changes);
    }
}
