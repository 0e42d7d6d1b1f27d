//! What a config or a DNS answer changes: the layout. What is known about an endpoint stays with its key.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::{Known, World, route_state::RouteState};
use crate::{
    eject::Record,
    event::{Change, Changes, Publish},
    health::Health,
    layout::{Laid, Layout, hosts_of, lay_out},
    slot::{EndpointId, EndpointKey, PoolSlot, SlotVec},
    tick::Tick,
    topology::Topology,
    view::PoolView,
};

impl World {
    pub(super) fn resolve(
        &mut self,
        host: Box<str>,
        addresses: Vec<IpAddr>,
        now: Tick,
        changes: &mut Changes,
    ) {
        let addresses: Vec<IpAddr> = addresses.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let used = hosts_of(&self.layout.topology).contains(&*host);
        // An answer to a question that a reload has made moot.
        if !used || self.names.get(&host) == Some(&addresses) {
            return;
        }
        changes.log.push(Change::Resolved { host: host.clone(), addresses: addresses.len() });
        self.names.insert(host, addresses);
        self.relayout(Arc::clone(&self.layout.topology), now, changes);
    }

    pub(super) fn adopt(
        &mut self,
        topology: Arc<Topology>,
        generation: u64,
        now: Tick,
        changes: &mut Changes,
    ) {
        self.generation = generation;
        let hosts = hosts_of(&topology);
        self.names.retain(|host, _| hosts.contains(&**host));
        let pools: BTreeSet<&str> = topology.pools.iter().map(|pool| &*pool.name).collect();
        self.orders.retain(|key, _| pools.contains(&*key.pool));
        let old = Arc::clone(&self.layout.topology);
        let states: BTreeMap<&str, &RouteState> =
            old.routes.iter().map(|route| &*route.name).zip(&self.routes).collect();
        let carried = topology.routes.iter().map(|route| {
            let before = states.get(&*route.name).map(|state| (*state, &*old));
            RouteState::carried(route, &topology, before)
        });
        self.routes = carried.collect();
        self.doubt.adopted(now);
        changes.log.push(Change::Adopted { generation });
        changes.publish = Publish::Now;
        self.relayout(topology, now, changes);
        // Rules that are off now hold nobody.
        self.release(now, changes);
    }

    /// Lays the endpoints out anew; what is known stays with its key.
    fn relayout(&mut self, topology: Arc<Topology>, now: Tick, changes: &mut Changes) {
        let old = Arc::clone(&self.layout.topology);
        let ids = &self.ids;
        let next_id = &mut self.next_id;
        let mut laid = lay_out(&topology, &self.names, |key| {
            ids.get(key).copied().unwrap_or_else(|| {
                *next_id += 1;
                EndpointId(*next_id)
            })
        });
        let lost = self.place(&laid, &topology, &old);
        let views = std::mem::take(&mut self.pools);
        let mut views: BTreeMap<&str, PoolView> =
            old.pools.iter().map(|pool| &*pool.name).zip(views).collect();
        let before: SlotVec<PoolSlot, Option<PoolView>> =
            topology.pools.iter().map(|pool| views.remove(&*pool.name)).collect();
        self.pools = before.iter().map(|view| view.unwrap_or_default()).collect();
        self.rounds = before.iter().map(|_| false).collect();
        self.unasked = std::mem::take(&mut laid.unasked);
        self.layout = Arc::new(Layout::after(self.layout.number, topology, laid));
        changes.publish = changes.publish.max(if lost { Publish::Now } else { Publish::Soon });
        self.retell_traffic();
        self.recount_doubt(now, changes);
        // That a new pool exists is no news about its health.
        let mut quiet = Changes::default();
        for (slot, view) in before.entries() {
            let _ = self.settle_pool(slot, if view.is_some() { changes } else { &mut quiet });
        }
        self.update_routes(self.routes.slots().collect(), now, changes);
    }

    /// Puts what is known into the new order. Says whether an endpoint is gone.
    fn place(&mut self, laid: &Laid, topology: &Topology, old: &Topology) -> bool {
        let was_probed: BTreeMap<&str, bool> =
            old.pools.iter().map(|pool| (&*pool.name, pool.probe.is_some())).collect();
        let mut before: BTreeMap<EndpointKey, Known> =
            std::mem::take(&mut self.known).into_iter().map(|known| (known.key.clone(), known)).collect();
        self.ids = laid.keys.iter().cloned().zip(laid.places.iter().map(|place| place.id)).collect();
        self.slots = laid.places.entries().map(|(slot, place)| (place.id, slot)).collect();
        for (key, place) in laid.keys.iter().zip(&laid.places) {
            let probed = topology.pool(place.pool).is_some_and(|pool| pool.probe.is_some());
            let still_valid = was_probed.get(&*key.pool) == Some(&probed);
            let (health, record, shown_us) = match before.remove(key) {
                Some(known) => (Some(known.health), known.record, known.shown_us),
                None => (None, Record::default(), None),
            };
            let mut health = Health::inherited(health, still_valid, probed);
            health.admin = self.orders.get(key).copied().unwrap_or_default();
            self.known.push(Known { key: key.clone(), health, record, shown_us });
        }
        !before.is_empty()
    }
}
