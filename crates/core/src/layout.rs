//! From config and DNS answers to places: which endpoints exist, in which order, under which id.
//! Knows nothing about health.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    ops::Range,
    sync::Arc,
};

use crate::{
    matching::Matcher,
    names::Names,
    slot::{
        EndpointHash, EndpointId, EndpointKey, EndpointSlot, PoolSlot, RouteSlot, SlotVec, SpecSlot, entries,
    },
    topology::{EndpointSpec, Pool, Topology},
};

/// The part of a snapshot that changes only with the topology or with DNS. A reader that keeps a table by slot
/// rebuilds the table when `number` moves, not at every change of health.
#[derive(Debug, Default)]
pub struct Layout {
    /// Number of this layout; each has the next.
    pub number: u64,
    /// The config in force.
    pub topology: Arc<Topology>,
    /// The endpoints, pool after pool.
    pub endpoints: SlotVec<EndpointSlot, Place>,
    /// The endpoints of each pool.
    members: SlotVec<PoolSlot, Range<EndpointSlot>>,
    /// The routes that use each pool.
    routes: SlotVec<PoolSlot, Vec<RouteSlot>>,
    /// Finds the route of a host and a path.
    pub matcher: Matcher,
}

impl Layout {
    /// The layout that follows on layout `number`.
    pub(crate) fn after(number: u64, topology: Arc<Topology>, laid: Laid) -> Self {
        Self {
            number: number + 1,
            routes: users(&topology),
            matcher: Matcher::new(&topology.routes),
            topology,
            endpoints: laid.places,
            members: laid.members,
        }
    }

    /// The endpoints of a pool.
    #[must_use]
    pub fn members(&self, pool: PoolSlot) -> Range<EndpointSlot> {
        self.members.get(pool).cloned().unwrap_or(EndpointSlot(0)..EndpointSlot(0))
    }

    /// The pool of an endpoint.
    #[must_use]
    pub fn pool_of(&self, endpoint: EndpointSlot) -> Option<&Pool> {
        self.endpoints.get(endpoint).and_then(|place| self.topology.pool(place.pool))
    }

    /// The routes that use an endpoint's pool.
    pub(crate) fn routes_of(&self, endpoint: EndpointSlot) -> &[RouteSlot] {
        self.endpoints.get(endpoint).map_or(&[], |place| self.users(place.pool))
    }

    /// The routes that use a pool.
    pub(crate) fn users(&self, pool: PoolSlot) -> &[RouteSlot] {
        self.routes.get(pool).map_or(&[], Vec::as_slice)
    }
}

/// Where an endpoint stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The id, which is stable across layouts.
    pub id: EndpointId,
    /// The hash of its key, which is the same on every edge.
    pub hash: EndpointHash,
    /// The endpoint's pool.
    pub pool: PoolSlot,
    /// Which configured endpoint of the pool it comes from.
    pub spec: SpecSlot,
    /// Where the endpoint listens.
    pub address: SocketAddr,
    /// The share inside the pool.
    pub weight: u32,
}

/// Endpoints laid end to end, pool after pool.
#[derive(Debug, Default)]
pub(crate) struct Laid {
    pub(crate) places: SlotVec<EndpointSlot, Place>,
    pub(crate) keys: Vec<EndpointKey>,
    /// The endpoints of each pool.
    pub(crate) members: SlotVec<PoolSlot, Range<EndpointSlot>>,
    /// One of the pool's names was never asked for.
    pub(crate) unasked: SlotVec<PoolSlot, bool>,
}

/// Lays the endpoints out. Of two entries of one pool with the same address, the first wins.
pub(crate) fn lay_out(
    topology: &Topology,
    names: &Names,
    mut id_of: impl FnMut(&EndpointKey) -> EndpointId,
) -> Laid {
    let mut laid = Laid::default();
    for (pool_slot, pool) in entries(&topology.pools) {
        let start = laid.places.next_slot();
        let name: Arc<str> = Arc::from(&*pool.name);
        let mut seen = BTreeSet::new();
        for (spec, address) in addresses_of(pool, names) {
            if seen.insert(address) {
                let key = EndpointKey { pool: Arc::clone(&name), address };
                let weight = pool.endpoints.get(spec.index()).map_or(0, |spec| spec.weight);
                let (id, hash) = (id_of(&key), key.hash());
                laid.places.push(Place { id, hash, pool: pool_slot, spec, address, weight });
                laid.keys.push(key);
            }
        }
        laid.members.push(start..laid.places.next_slot());
        let unasked =
            |spec: &EndpointSpec| literal(&spec.host).is_none() && names.addresses(&spec.host).is_none();
        laid.unasked.push(pool.endpoints.iter().any(unasked));
    }
    laid
}

/// The routes that use each pool.
fn users(topology: &Topology) -> SlotVec<PoolSlot, Vec<RouteSlot>> {
    let mut users: SlotVec<PoolSlot, Vec<RouteSlot>> = topology.pools.iter().map(|_| Vec::new()).collect();
    for (slot, route) in entries(&topology.routes) {
        for member in &route.pools {
            if let Some(routes) = users.get_mut(member.pool) {
                routes.push(slot);
            }
        }
    }
    users
}

fn literal(host: &str) -> Option<IpAddr> {
    host.parse().ok()
}

/// The addresses of a pool, each with the configured endpoint that it comes from. A name stands for the addresses of
/// its families that it resolved to.
fn addresses_of<'a>(pool: &'a Pool, names: &'a Names) -> impl Iterator<Item = (SpecSlot, SocketAddr)> + 'a {
    entries(&pool.endpoints).flat_map(move |(slot, spec)| {
        let literal = literal(&spec.host);
        let resolved = if literal.is_some() { None } else { names.addresses(&spec.host) };
        literal
            .into_iter()
            .chain(resolved.into_iter().flatten().copied().filter(|ip| spec.family.accepts(*ip)))
            .map(move |ip| (slot, SocketAddr::new(ip, spec.port)))
    })
}
