//! From config and DNS answers to places: which endpoints exist, in which order, under which id.
//! Knows nothing about health.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    ops::Range,
    sync::Arc,
};

use crate::{
    matching::Matcher,
    slot::{EndpointId, EndpointKey, PoolSlot},
    topology::{Pool, Topology},
};

/// The part of a snapshot that changes only with the topology or with DNS: readers that keep a table by slot
/// rebuild it when `number` moves, not at every change of health.
#[derive(Debug)]
pub struct Layout {
    /// Grows with each layout.
    pub number: u64,
    /// The config in force.
    pub topology: Arc<Topology>,
    /// By [`crate::EndpointSlot`], pool after pool.
    pub endpoints: Box<[Place]>,
    /// By [`PoolSlot`]: its endpoints.
    pub ranges: Box<[Range<u32>]>,
    /// Host + path → route.
    pub matcher: Matcher,
}

/// Where an endpoint stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Stable across layouts.
    pub id: EndpointId,
    /// Its pool.
    pub pool: PoolSlot,
    /// Index into [`Pool::endpoints`]: which entry it comes from.
    pub spec: u32,
    /// Where it listens.
    pub address: SocketAddr,
    /// Share inside the pool.
    pub weight: u32,
}

/// Last good answers by name; no entry = not asked yet.
pub(crate) type Names = BTreeMap<Box<str>, Vec<IpAddr>>;

/// Endpoints laid end to end, pool after pool.
#[derive(Debug, Default)]
pub(crate) struct Laid {
    /// By slot.
    pub(crate) places: Vec<Place>,
    /// By slot.
    pub(crate) keys: Vec<EndpointKey>,
    /// By pool: its endpoints.
    pub(crate) ranges: Vec<Range<u32>>,
    /// By pool: one of its names was never asked for.
    pub(crate) unasked: Vec<bool>,
}

/// Lays the endpoints out. Of two entries of one pool with the same address, the first wins.
pub(crate) fn lay_out(
    topology: &Topology,
    names: &Names,
    mut id_of: impl FnMut(&EndpointKey) -> EndpointId,
) -> Laid {
    let mut laid = Laid::default();
    let slot = |laid: &Laid| u32::try_from(laid.places.len()).unwrap_or(u32::MAX);
    for (pool_slot, pool) in (0..).map(PoolSlot).zip(&topology.pools) {
        let start = slot(&laid);
        let name: Arc<str> = Arc::from(&*pool.name);
        let mut seen = BTreeSet::new();
        for (spec, address, weight) in addresses_of(pool, names) {
            if seen.insert(address) {
                let key = EndpointKey { pool: Arc::clone(&name), address };
                laid.places.push(Place { id: id_of(&key), pool: pool_slot, spec, address, weight });
                laid.keys.push(key);
            }
        }
        laid.ranges.push(start..slot(&laid));
        laid.unasked.push(hosts(pool).any(|host| literal(host).is_none() && !names.contains_key(host)));
    }
    laid
}

/// By pool: the routes that use it.
pub(crate) fn users(topology: &Topology) -> Vec<Vec<u32>> {
    let mut users = vec![Vec::new(); topology.pools.len()];
    for (slot, route) in (0..).zip(&topology.routes) {
        for member in &route.pools {
            if let Some(routes) = users.get_mut(member.pool) {
                routes.push(slot);
            }
        }
    }
    users
}

/// Every host of the topology as written: literals and names.
pub(crate) fn hosts_of(topology: &Topology) -> BTreeSet<&str> {
    topology.pools.iter().flat_map(hosts).collect()
}

fn hosts(pool: &Pool) -> impl Iterator<Item = &str> {
    pool.endpoints.iter().map(|spec| &*spec.host)
}

fn literal(host: &str) -> Option<IpAddr> {
    host.parse().ok()
}

/// A pool's configured entries with their addresses, names replaced by what they resolve to.
fn addresses_of<'a>(pool: &'a Pool, names: &'a Names) -> impl Iterator<Item = (u32, SocketAddr, u32)> + 'a {
    (0..).zip(&pool.endpoints).flat_map(move |(nth, spec)| {
        let literal = literal(&spec.host);
        let resolved = if literal.is_some() { None } else { names.get(&spec.host) };
        literal
            .into_iter()
            .chain(resolved.into_iter().flatten().copied())
            .map(move |ip| (nth, SocketAddr::new(ip, spec.port), spec.weight))
    })
}
