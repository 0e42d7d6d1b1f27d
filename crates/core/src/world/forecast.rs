//! What a change would do: a copy of the world takes the change in and comes to rest. The world itself does not change.
//!
//! Why a copy that goes through the same transitions and not a calculation of its own: health, orders, holds and the
//! funnel decide together. A second model of them would agree with the first on quiet days only.
//!
//! The copy is at rest: holds, ramps, slow starts and dwells are over, and endpoints that were never probed have passed
//! their probes. What is known today stays: which endpoints are down, ejected, draining or damped, and which failovers
//! are latched.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use super::{World, endpoints::Observation};
use crate::{
    axes::Probe,
    event::{Changes, Event},
    order::{Order, OrderId},
    slot::{self, EndpointSlot, PoolSlot},
    snapshot::Snapshot,
    tick::Tick,
    topology::{Family, Topology},
};

/// Latency of an endpoint of which nothing is known, where nothing is known of any other one either.
const UNKNOWN: Duration = Duration::from_millis(1);
/// Deadlines at one moment that are followed: enough for a return that lets another one follow.
const STEPS: usize = 64;

/// What is supposed to happen.
#[derive(Clone, Debug)]
pub enum Supposition {
    /// Nothing: what things come to by themselves.
    Nothing,
    /// This config comes into force.
    Config(Arc<Topology>),
    /// This order is given.
    Order(Order),
    /// These orders end.
    Ended(Vec<OrderId>),
}

/// What it comes to.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// The world at rest.
    pub snapshot: Snapshot,
    /// The pools of which no endpoint has ever worked.
    pub untried: BTreeSet<PoolSlot>,
}

impl World {
    /// What a supposition comes to. Takes the world by value: the caller keeps the one that counts.
    #[must_use]
    pub fn forecast(mut self, supposed: Supposition, now: Tick) -> Forecast {
        let topology = match &supposed {
            Supposition::Config(topology) => Arc::clone(topology),
            Supposition::Nothing | Supposition::Order(_) | Supposition::Ended(_) => {
                Arc::clone(&self.configured)
            }
        };
        self.suppose_names(&topology);
        let mut ignored = Changes::default();
        self.adopt(at_rest(&topology), self.generation + 1, now, &mut ignored);
        let untried = self.untried();
        self.suppose_probes(now, &mut ignored);
        let events = match supposed {
            Supposition::Order(order) => vec![Event::Ordered(order)],
            Supposition::Ended(orders) => orders.into_iter().map(Event::Cancelled).collect(),
            Supposition::Nothing | Supposition::Config(_) => Vec::new(),
        };
        for event in events {
            let _ = self.apply(event, now);
        }
        for _ in 0..STEPS {
            if self.next_deadline().is_none_or(|due| due > now) {
                break;
            }
            let _ = self.apply(Event::Ticked, now);
        }
        Forecast { snapshot: self.snapshot(), untried }
    }

    /// Gives each name that was never asked for an address of its own that no endpoint has.
    fn suppose_names(&mut self, topology: &Topology) {
        let specs = topology.pools.iter().flat_map(|pool| &pool.endpoints);
        let unknown = |host: &str| host.parse::<IpAddr>().is_err() && self.names.addresses(host).is_none();
        let hosts: BTreeMap<Box<str>, Family> =
            specs.filter(|spec| unknown(&spec.host)).map(|spec| (spec.host.clone(), spec.family)).collect();
        for ((host, family), nth) in hosts.into_iter().zip(1_u32..) {
            let address = match family {
                // For future use (RFC 1112), and the prefix for packets to be discarded (RFC 6666).
                Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(0xf000_0000 | nth)),
                Family::Auto | Family::V6 => {
                    IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, (nth >> 16) as u16, nth as u16))
                }
            };
            self.names.learn(&host, vec![address]);
        }
    }

    /// The pools of which no endpoint has ever worked.
    fn untried(&self) -> BTreeSet<PoolSlot> {
        let layout = &self.state.layout;
        let pools = slot::entries::<PoolSlot, _>(&layout.topology.pools);
        let worked = |pool: PoolSlot| {
            let members = self.state.endpoints.range(&layout.members(pool));
            members.iter().any(|state| state.health.worked)
        };
        pools.map(|(pool, _)| pool).filter(|pool| !worked(*pool)).collect()
    }

    /// Lets every endpoint pass that was never probed. Pools and routes conclude once, when all have.
    fn suppose_probes(&mut self, now: Tick, changes: &mut Changes) {
        let layout = Arc::clone(&self.state.layout);
        let latencies = self.latencies();
        for (slot, place) in layout.endpoints.entries() {
            let Some(pool) = layout.topology.pool(place.pool) else { continue };
            let Some(rules) = &pool.probe else { continue };
            let fresh = |health: &crate::Health| health.probe == Probe::Unknown && !health.probed;
            if !self.state.endpoints.health(slot).is_some_and(fresh) {
                continue;
            }
            let latency = latencies.get(&*pool.region).or(latencies.get("")).copied().unwrap_or(UNKNOWN);
            for _ in 0..rules.rise {
                let seen = Observation::Probed(Ok(latency), false, rules);
                let observed = self.state.endpoints.observe(slot, seen, None, now);
                self.state.recoveries.observe(slot, &observed, now);
            }
        }
        for (pool, _) in slot::entries::<PoolSlot, _>(&layout.topology.pools) {
            let _ = self.state.recount_pool(pool, changes);
        }
        let routes = self.state.routes.slots();
        self.state.update_routes(&routes, now, changes);
    }

    /// The mean latency of each region's endpoints, and under the empty name that of all.
    fn latencies(&self) -> BTreeMap<Box<str>, Duration> {
        let layout = &self.state.layout;
        let mut sums: BTreeMap<Box<str>, (u64, u32)> = BTreeMap::new();
        let known = |slot: EndpointSlot| self.state.endpoints.health(slot)?.latency.micros();
        for (slot, place) in layout.endpoints.entries() {
            let Some(us) = known(slot) else { continue };
            let region = layout.topology.pool(place.pool).map(|pool| pool.region.clone());
            for name in region.into_iter().filter(|name| !name.is_empty()).chain(["".into()]) {
                let (sum, count) = sums.entry(name).or_default();
                (*sum, *count) = (*sum + u64::from(us), *count + 1);
            }
        }
        let mean = |(sum, count): (u64, u32)| Duration::from_micros(sum / u64::from(count.max(1)));
        sums.into_iter().map(|(region, sums)| (region, mean(sums))).collect()
    }
}

/// The same config with all waits over: nothing holds, grows or dwells. A latched pool still waits for the operator.
fn at_rest(topology: &Topology) -> Arc<Topology> {
    let mut rest = topology.clone();
    for route in &mut rest.routes {
        route.failback.hold = route.failback.hold.map(|_| Duration::ZERO);
        (route.failback.ramp, route.failback.slow_start) = (Duration::ZERO, Duration::ZERO);
        if let Some(band) = &mut route.band {
            band.dwell = Duration::ZERO;
        }
    }
    Arc::new(rest)
}
