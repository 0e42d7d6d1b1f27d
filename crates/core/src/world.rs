//! The mutable truth, and the only place where health ever changes: [`World::apply`]. Owned by the keeper.
//! Reads no clock (every event comes with its tick) and does no I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use crate::{
    Admin, Availability, EndpointId, EndpointKey, Evidence, Fault, Health, Layout, Matcher, Place, PoolSlot,
    Probe, RouteSlot, Snapshot, Tick, Topology, mix,
    routes::{Pools, RouteState},
};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A config came into force.
    Adopted {
        /// What it says.
        topology: Arc<Topology>,
        /// Its number.
        generation: u64,
    },
    /// A probe ended: time from request sent to head received, or what went wrong.
    Probed {
        /// Of whom. Unknown ids are ignored: the endpoint has vanished meanwhile.
        id: EndpointId,
        /// How it ended.
        result: Result<Duration, Evidence>,
    },
    /// A name resolved, to nothing if it never did. Callers keep the last good answer by not sending failures.
    Resolved {
        /// As written in [`crate::EndpointSpec::host`].
        host: Box<str>,
        /// Without port.
        addresses: Vec<IpAddr>,
    },
    /// The operator ordered.
    Ordered {
        /// Whom.
        key: EndpointKey,
        /// What.
        admin: Admin,
    },
    /// A request failed there: a hint, no verdict.
    Suspected {
        /// Whom.
        id: EndpointId,
        /// How.
        fault: Fault,
    },
    /// Nothing but time.
    Ticked,
}

/// How urgently a new snapshot should be published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Publish {
    /// Nothing that steering reads has changed.
    #[default]
    No,
    /// Within 50 ms.
    Soon,
    /// Availability was lost: at once.
    Now,
}

/// What an event changed.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// How urgently to publish.
    pub publish: Publish,
    /// For the event log, oldest first.
    pub log: Vec<Change>,
}

/// One entry of the event log.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A config came into force.
    Adopted {
        /// Its number.
        generation: u64,
    },
    /// An endpoint's availability moved.
    Endpoint {
        /// Whose.
        key: EndpointKey,
        /// From.
        from: Availability,
        /// To.
        to: Availability,
        /// What was seen last.
        evidence: Option<Evidence>,
    },
    /// A name's addresses moved.
    Resolved {
        /// The name.
        host: Box<str>,
        /// How many addresses it has now.
        addresses: usize,
    },
    /// A pool lost, or got back, enough endpoints to serve.
    Pool {
        /// Which.
        pool: Box<str>,
        /// Too few are available.
        short: bool,
        /// Part that is available, 0–1.
        available: f64,
    },
    /// Traffic left a pool because it is down.
    Failover {
        /// On which route.
        route: Box<str>,
        /// The pool that was left.
        from: Box<str>,
        /// The pool that has the largest share now.
        to: Box<str>,
    },
    /// Traffic returned to a pool that had been left.
    Failback {
        /// On which route.
        route: Box<str>,
        /// The pool that serves again.
        to: Box<str>,
    },
    /// Health stopped counting on a route, or counts again.
    Panic {
        /// Which.
        route: Box<str>,
        /// It stopped.
        on: bool,
    },
    /// The pools that count as nearest changed.
    Nearest {
        /// On which route.
        route: Box<str>,
        /// Those that count now.
        pools: Vec<Box<str>>,
    },
}

/// One endpoint that exists: who it is and what is known.
#[derive(Clone, Debug)]
struct Known {
    key: EndpointKey,
    health: Health,
}

/// The mutable truth. Starts empty; a start is an [`Event::Adopted`].
#[derive(Debug)]
pub struct World {
    layout: Arc<Layout>,
    generation: u64,
    revision: u64,
    /// By slot of the layout.
    known: Vec<Known>,
    ids: BTreeMap<EndpointKey, EndpointId>,
    slots: BTreeMap<EndpointId, u32>,
    next_id: u32,
    /// Last good answers of names that the topology uses; no entry = not asked yet.
    names: BTreeMap<Box<str>, Vec<IpAddr>>,
    pools: Vec<crate::PoolView>,
    routes: Vec<RouteState>,
    /// By pool: the routes that use it.
    users: Vec<Vec<u32>>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            layout: Arc::new(Layout {
                number: 0,
                topology: Arc::default(),
                endpoints: Box::default(),
                ranges: Box::default(),
                matcher: Matcher::default(),
            }),
            generation: 0,
            revision: 0,
            known: Vec::new(),
            ids: BTreeMap::new(),
            slots: BTreeMap::new(),
            next_id: 0,
            names: BTreeMap::new(),
            pools: Vec::new(),
            routes: Vec::new(),
            users: Vec::new(),
        }
    }
}

impl World {
    /// Advances the world by one event.
    pub fn apply(&mut self, event: Event, now: Tick) -> Changes {
        let mut changes = Changes::default();
        match event {
            Event::Adopted { topology, generation } => self.adopt(topology, generation, now, &mut changes),
            Event::Probed { id, result } => {
                let Some(slot) = self.slots.get(&id).copied() else { return changes };
                self.observe(slot, now, &mut changes, |health, rules| {
                    if let Some(rules) = rules {
                        health.probed(result, rules, now);
                    }
                });
            }
            Event::Ordered { key, admin } => {
                let slot = self.ids.get(&key).and_then(|id| self.slots.get(id)).copied();
                let Some(slot) = slot else { return changes };
                self.observe(slot, now, &mut changes, |health, _| health.admin = admin);
            }
            Event::Suspected { id, fault } => {
                let Some(slot) = self.slots.get(&id).copied() else { return changes };
                self.observe(slot, now, &mut changes, |health, _| health.refusing = fault == Fault::Refused);
            }
            Event::Resolved { host, addresses } => self.resolve(host, addresses, now, &mut changes),
            Event::Ticked => self.settle(&self.due(now), now, &mut changes),
        }
        changes
    }

    /// When [`Event::Ticked`] is due next: a hold or a dwell ends.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.routes.iter().filter_map(RouteState::next_deadline).min()
    }

    /// An immutable picture, with the next revision number.
    pub fn snapshot(&mut self) -> Snapshot {
        self.revision += 1;
        let view = |known: &Known| crate::EndpointView {
            availability: known.health.availability(),
            probe: known.health.probe,
            admin: known.health.admin,
            ejection: known.health.ejection,
            refusing: known.health.refusing,
            latency_us: known.health.latency.micros(),
        };
        let first_round_done = self.first_rounds();
        Snapshot {
            revision: self.revision,
            generation: self.generation,
            layout: Arc::clone(&self.layout),
            endpoints: self.known.iter().map(view).collect(),
            pools: self.pools.clone().into(),
            routes: self.routes.iter().zip(first_round_done).map(|(route, done)| route.view(done)).collect(),
        }
    }

    /// What is known about an endpoint.
    #[must_use]
    pub fn health(&self, id: EndpointId) -> Option<&Health> {
        self.slots.get(&id).and_then(|slot| self.known.get(*slot as usize)).map(|known| &known.health)
    }

    /// Who an id is.
    #[must_use]
    pub fn key(&self, id: EndpointId) -> Option<&EndpointKey> {
        self.slots.get(&id).and_then(|slot| self.known.get(*slot as usize)).map(|known| &known.key)
    }

    /// The layout in force.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Gap to the next probe of an endpoint: short while a change is being confirmed, else the interval ± 10 %.
    /// After its first success the gap is anywhere within one interval, so that many edges that start together
    /// spread out. `None`: it is not probed (any more).
    #[must_use]
    pub fn probe_gap(&self, id: EndpointId, roll: u64) -> Option<Duration> {
        let slot = *self.slots.get(&id)? as usize;
        let health = &self.known.get(slot)?.health;
        let pool = self.layout.endpoints.get(slot)?.pool;
        let rules = self.layout.topology.pools.get(pool.0 as usize)?.probe.as_ref()?;
        #[expect(clippy::cast_precision_loss, reason = "a fraction needs no more than 53 bits")]
        let fraction = (mix(roll) >> 11) as f64 / (1u64 << 53) as f64;
        Some(if health.confirming() { rules.confirm } else { rules.interval.mul_f64(0.9 + 0.2 * fraction) })
    }

    /// Changes one endpoint's health, then whatever follows from it.
    fn observe(
        &mut self,
        slot: u32,
        now: Tick,
        changes: &mut Changes,
        act: impl FnOnce(&mut Health, Option<&crate::ProbeRules>),
    ) {
        let Some(pool) = self.layout.endpoints.get(slot as usize).map(|place| place.pool) else { return };
        let Some(known) = self.known.get_mut(slot as usize) else { return };
        let rules = self.layout.topology.pools.get(pool.0 as usize).and_then(|pool| pool.probe.as_ref());
        let before = (known.health.availability(), known.health.refusing, known.health.probed);
        let latency = known.health.latency;
        act(&mut known.health, rules);
        let after = (known.health.availability(), known.health.refusing, known.health.probed);
        if before.0 != after.0 {
            let evidence = known.health.last.as_ref().and_then(|(_, result)| result.as_ref().err().cloned());
            let key = known.key.clone();
            changes.log.push(Change::Endpoint { key, from: before.0, to: after.0, evidence });
            let lost = before.0 == Availability::Up || after.0 == Availability::Down;
            changes.publish = changes.publish.max(if lost { Publish::Now } else { Publish::Soon });
        }
        if before != after || latency != known.health.latency {
            changes.publish = changes.publish.max(if before == after { Publish::No } else { Publish::Soon });
            self.settle(&[pool.0], now, changes);
        }
    }

    /// Pools of routes whose hold or dwell has ended.
    fn due(&self, now: Tick) -> Vec<u32> {
        let due = |state: &&RouteState| state.next_deadline().is_some_and(|deadline| deadline <= now);
        let pools = self.routes.iter().filter(due).flat_map(RouteState::pools);
        pools.map(|pool| u32::try_from(pool).unwrap_or(u32::MAX)).collect()
    }

    /// Recomputes pools and the routes that use them.
    fn settle(&mut self, pools: &[u32], now: Tick, changes: &mut Changes) {
        let mut routes: Vec<u32> = Vec::new();
        for pool in pools {
            self.settle_pool(*pool, changes);
            routes.extend(self.users.get(*pool as usize).into_iter().flatten());
        }
        routes.sort_unstable();
        routes.dedup();
        for slot in routes {
            let Some(route) = self.layout.topology.routes.get(slot as usize) else { continue };
            let Some(state) = self.routes.get_mut(slot as usize) else { continue };
            let pools = Pools { configured: &self.layout.topology.pools, views: &self.pools };
            let publish = state.update(route, pools, now, &mut changes.log);
            changes.publish = changes.publish.max(publish);
        }
    }

    fn settle_pool(&mut self, slot: u32, changes: &mut Changes) {
        let Some(range) = self.layout.ranges.get(slot as usize) else { return };
        let Some(pool) = self.layout.topology.pools.get(slot as usize) else { return };
        let members = self.known.get(range.start as usize..range.end as usize).unwrap_or_default();
        let view = crate::routes::pool_view(members.iter().map(|known| &known.health), pool.panic_threshold);
        let Some(current) = self.pools.get_mut(slot as usize) else { return };
        if current.short != view.short && view.enabled > view.unproven {
            let name = pool.name.clone();
            changes.log.push(Change::Pool { pool: name, short: view.short, available: view.available });
        }
        *current = view;
    }

    /// By route: has each of its endpoints been probed once, and each of its names been asked for once?
    fn first_rounds(&self) -> Vec<bool> {
        let topology = &self.layout.topology;
        let done: Vec<bool> = (0..)
            .zip(&topology.pools)
            .map(|(slot, pool): (usize, _)| {
                let range = self.layout.ranges.get(slot).cloned().unwrap_or_default();
                let members = self.known.get(range.start as usize..range.end as usize).unwrap_or_default();
                members.iter().all(|known| known.health.probed)
                    && pool.endpoints.iter().all(|spec| {
                        spec.host.parse::<IpAddr>().is_ok() || self.names.contains_key(&spec.host)
                    })
            })
            .collect();
        let all = |route: &crate::Route| {
            route.pools.iter().all(|member| done.get(member.pool).copied().unwrap_or(false))
        };
        topology.routes.iter().map(all).collect()
    }

    fn resolve(&mut self, host: Box<str>, addresses: Vec<IpAddr>, now: Tick, changes: &mut Changes) {
        let mut sorted = addresses;
        sorted.sort_unstable();
        sorted.dedup();
        if self.names.get(&host) == Some(&sorted) {
            return;
        }
        changes.log.push(Change::Resolved { host: host.clone(), addresses: sorted.len() });
        self.names.insert(host, sorted);
        self.relayout(Arc::clone(&self.layout.topology), now, changes);
    }

    fn adopt(&mut self, topology: Arc<Topology>, generation: u64, now: Tick, changes: &mut Changes) {
        self.generation = generation;
        let used: BTreeSet<&str> =
            topology.pools.iter().flat_map(|pool| &pool.endpoints).map(|spec| &*spec.host).collect();
        self.names.retain(|host, _| used.contains(&**host));
        let old = std::mem::take(&mut self.routes);
        let old_topology = Arc::clone(&self.layout.topology);
        self.routes = topology
            .routes
            .iter()
            .map(|route| {
                let before =
                    old_topology.routes.iter().zip(&old).find(|(before, _)| before.name == route.name);
                RouteState::carried(route, &topology, before, &old_topology)
            })
            .collect();
        changes.log.push(Change::Adopted { generation });
        self.relayout(topology, now, changes);
    }

    /// Lays the endpoints out anew; what is known stays with its key.
    fn relayout(&mut self, topology: Arc<Topology>, now: Tick, changes: &mut Changes) {
        let old_topology = Arc::clone(&self.layout.topology);
        let rules_before: BTreeMap<&str, Option<&crate::ProbeRules>> =
            old_topology.pools.iter().map(|pool| (&*pool.name, pool.probe.as_ref())).collect();
        let mut before: BTreeMap<EndpointKey, Health> =
            self.known.drain(..).map(|known| (known.key, known.health)).collect();
        let mut ids = BTreeMap::new();
        let (mut places, mut ranges) = (Vec::new(), Vec::new());
        self.slots.clear();
        for (pool_slot, pool) in (0..).map(PoolSlot).zip(&topology.pools) {
            let start = u32::try_from(places.len()).unwrap_or(u32::MAX);
            let name: Arc<str> = Arc::from(&*pool.name);
            for (spec, address, weight) in addresses_of(pool, &self.names) {
                let key = EndpointKey { pool: Arc::clone(&name), address };
                if ids.contains_key(&key) {
                    continue;
                }
                let id = self.ids.get(&key).copied().unwrap_or_else(|| {
                    self.next_id += 1;
                    EndpointId(self.next_id)
                });
                let health = before.remove(&key);
                let same_kind =
                    rules_before.get(&*pool.name).is_some_and(|was| was.is_some() == pool.probe.is_some());
                let health = Health::inherited(health, same_kind, pool.probe.is_some());
                self.slots.insert(id, u32::try_from(places.len()).unwrap_or(u32::MAX));
                ids.insert(key.clone(), id);
                places.push(Place { id, pool: pool_slot, spec, address, weight });
                self.known.push(Known { key, health });
            }
            ranges.push(start..u32::try_from(places.len()).unwrap_or(u32::MAX));
        }
        self.ids = ids;
        self.users = users(&topology);
        self.pools = vec![crate::PoolView::default(); topology.pools.len()];
        let matcher = Matcher::new(&topology.routes);
        let number = self.layout.number + 1;
        let (endpoints, ranges) = (places.into(), ranges.into());
        self.layout = Arc::new(Layout { number, topology, endpoints, ranges, matcher });
        changes.publish = Publish::Now;
        let all: Vec<u32> = (0..u32::try_from(self.pools.len()).unwrap_or(u32::MAX)).collect();
        let mut quiet = Changes::default();
        for pool in &all {
            self.settle_pool(*pool, &mut quiet);
        }
        self.settle(&all, now, changes);
    }

    /// The slot of a route in force, by name.
    #[must_use]
    pub fn route_slot(&self, name: &str) -> Option<RouteSlot> {
        (0..)
            .map(RouteSlot)
            .zip(&self.layout.topology.routes)
            .find(|(_, route)| &*route.name == name)
            .map(|(slot, _)| slot)
    }

    /// Every endpoint that needs a probe, in layout order.
    pub fn probed_endpoints(&self) -> impl Iterator<Item = &Place> {
        let pools = &self.layout.topology.pools;
        let wants =
            move |place: &&Place| pools.get(place.pool.0 as usize).is_some_and(|pool| pool.probe.is_some());
        self.layout.endpoints.iter().filter(wants)
    }

    /// An endpoint's probe axis, for tests and simulations.
    #[must_use]
    pub fn probe_state(&self, id: EndpointId) -> Option<Probe> {
        self.health(id).map(|health| health.probe)
    }
}

/// A pool's configured entries with their addresses, names replaced by what they resolve to.
fn addresses_of<'a>(
    pool: &'a crate::Pool,
    names: &'a BTreeMap<Box<str>, Vec<IpAddr>>,
) -> impl Iterator<Item = (u32, SocketAddr, u32)> + 'a {
    (0..).zip(&pool.endpoints).flat_map(move |(nth, spec)| {
        let literal: Option<IpAddr> = spec.host.parse().ok();
        let resolved = if literal.is_some() { None } else { names.get(&spec.host) };
        literal
            .into_iter()
            .chain(resolved.into_iter().flatten().copied())
            .map(move |ip| (nth, SocketAddr::new(ip, spec.port), spec.weight))
    })
}

/// By pool: the routes that use it.
fn users(topology: &Topology) -> Vec<Vec<u32>> {
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
