//! The mutable truth, and the only place where health ever changes: [`World::apply`]. Owned by the keeper.
//! Reads no clock (every event comes with its tick) and does no I/O.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    axes::{Admin, Availability, Ejection, Probe},
    eject::Record,
    event::{Change, Changes, Event, Publish},
    health::Health,
    layout::{Layout, Names, Place},
    roll::mix,
    slot::{self, EndpointId, EndpointKey, EndpointSlot, PoolSlot, RouteSlot, SlotVec},
    snapshot::Snapshot,
    tick::Tick,
    topology::{ProbeRules, Route},
    view::{EndpointView, PoolView},
};

/// One endpoint that exists: who it is and what is known.
#[derive(Clone, Debug)]
struct Known {
    key: EndpointKey,
    health: Health,
    /// What real traffic says.
    record: Record,
    /// The latency in the last snapshot.
    shown_us: Option<u32>,
}

impl Known {
    /// It refused, but the last thing heard from it is a good answer to a request.
    fn answers_again(&self) -> bool {
        let probed = self.health.last.as_ref().map(|(at, _)| *at);
        self.health.refusing
            && self.record.good_at_last().is_some_and(|good| probed.is_none_or(|at| good >= at))
    }
}

/// What became of a pool's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    Nothing,
    /// Matters to routes with a band only.
    Latency,
    Health,
}

/// The mutable truth. Starts empty; a start is an [`Event::Adopted`].
#[derive(Debug, Default)]
pub struct World {
    layout: Arc<Layout>,
    generation: u64,
    revision: u64,
    /// By slot of the layout.
    known: SlotVec<EndpointSlot, Known>,
    ids: BTreeMap<EndpointKey, EndpointId>,
    slots: BTreeMap<EndpointId, EndpointSlot>,
    next_id: u32,
    /// Of names that the topology uses.
    names: Names,
    /// Standing orders other than Enabled. They outlive an endpoint that DNS drops for a while, not its pool.
    orders: BTreeMap<EndpointKey, Admin>,
    pools: SlotVec<PoolSlot, PoolView>,
    /// By pool: one of its names was never asked for.
    unasked: SlotVec<PoolSlot, bool>,
    /// By pool: every endpoint was probed once and every name was asked for once.
    rounds: SlotVec<PoolSlot, bool>,
    routes: SlotVec<RouteSlot, RouteState>,
    traffic: Traffic,
    doubt: Doubt,
    incidents: Incidents,
}

impl World {
    /// Advances the world by one event.
    pub fn apply(&mut self, event: Event, now: Tick) -> Changes {
        let mut changes = Changes::default();
        match event {
            Event::Adopted { topology, generation } => self.adopt(topology, generation, now, &mut changes),
            Event::Probed { id, result } => {
                let Some(slot) = self.slots.get(&id).copied() else { return changes };
                self.probed(slot, result, now, &mut changes);
            }
            Event::Ordered { key, admin } => {
                if admin == Admin::Enabled {
                    self.orders.remove(&key);
                }
                let slot = self.ids.get(&key).and_then(|id| self.slots.get(id)).copied();
                let Some(slot) = slot else { return changes };
                if admin != Admin::Enabled {
                    self.orders.insert(key, admin);
                }
                self.observe(slot, now, &mut changes, |health, _| health.admin = admin);
            }
            Event::Suspected { id, fault, started, at } => {
                let Some(slot) = self.slots.get(&id).copied() else { return changes };
                self.suspected(slot, (fault, started, at), now, &mut changes);
            }
            Event::Tallied(tallies) => self.tallied(tallies, now, &mut changes),
            Event::Resolved { host, addresses } => self.resolve(host, addresses, now, &mut changes),
            Event::Ticked => {
                let due = |state: &RouteState| state.next_deadline().is_some_and(|deadline| deadline <= now);
                let due = self.routes.entries().filter(|(_, state)| due(state)).map(|(slot, _)| slot);
                self.update_routes(due.collect(), now, &mut changes);
                self.release(now, &mut changes);
                self.close_incidents(now, &mut changes);
            }
        }
        changes
    }

    /// When [`Event::Ticked`] is due next: a hold, a dwell, an ejection, a probation or an incident ends.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        let routes = self.routes.iter().filter_map(RouteState::next_deadline);
        routes.chain(self.release_due()).chain(self.incidents.due()).min()
    }

    /// An immutable picture, with the next revision number.
    pub fn snapshot(&mut self) -> Snapshot {
        self.revision += 1;
        let view = |known: &mut Known| {
            known.shown_us = known.health.latency.micros();
            EndpointView {
                availability: known.health.availability(),
                probe: known.health.probe,
                admin: known.health.admin,
                ejection: known.health.ejection,
                tried_since: (known.health.ejection == Ejection::Probation).then(|| known.record.since()),
                refusing: known.health.refusing,
                latency_us: known.shown_us,
                p95_us: known.record.p95_us(),
            }
        };
        let trickles = self.trickles();
        Snapshot {
            revision: self.revision,
            generation: self.generation,
            layout: Arc::clone(&self.layout),
            endpoints: self.known.iter_mut().map(view).collect(),
            pools: self.pools.clone(),
            routes: self
                .routes
                .iter()
                .zip(trickles)
                .map(|(state, trickles)| state.view(trickles.into()))
                .collect(),
            doubted: self.doubt.on(),
        }
    }

    /// What is known about an endpoint.
    #[must_use]
    pub fn health(&self, id: EndpointId) -> Option<&Health> {
        self.slots.get(&id).and_then(|slot| self.known.get(*slot)).map(|known| &known.health)
    }

    /// Who an id is.
    #[must_use]
    pub fn key(&self, id: EndpointId) -> Option<&EndpointKey> {
        self.slots.get(&id).and_then(|slot| self.known.get(*slot)).map(|known| &known.key)
    }

    /// The layout in force.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Gap to the next probe of an endpoint: short while a change is being confirmed, else the interval ± 10 %.
    /// Right after it became Healthy the gap is anywhere within one interval, so that many edges that start together
    /// spread out. `None`: it is not probed (any more).
    #[must_use]
    pub fn probe_gap(&self, id: EndpointId, roll: u64) -> Option<Duration> {
        let slot = *self.slots.get(&id)?;
        let health = &self.known.get(slot)?.health;
        let rules = self.layout.pool_of(slot)?.probe.as_ref()?;
        #[expect(clippy::cast_precision_loss, reason = "a fraction needs no more than 53 bits")]
        let fraction = (mix(roll) >> 11) as f64 / (1u64 << 53) as f64;
        Some(if health.confirming() {
            rules.confirm
        } else if health.just_risen(rules) {
            rules.interval.mul_f64(fraction).max(rules.confirm.min(rules.interval))
        } else {
            rules.interval.mul_f64(0.9 + 0.2 * fraction)
        })
    }

    /// Changes one endpoint's health, then whatever follows from it.
    fn observe(
        &mut self,
        slot: EndpointSlot,
        now: Tick,
        changes: &mut Changes,
        act: impl FnOnce(&mut Health, Option<&ProbeRules>),
    ) {
        let Some(pool) = self.layout.endpoints.get(slot).map(|place| place.pool) else { return };
        let Some(known) = self.known.get_mut(slot) else { return };
        let rules = self.layout.topology.pool(pool).and_then(|pool| pool.probe.as_ref());
        let read = |health: &Health| (health.probe, health.admin, health.ejection, health.refusing);
        let (before, was) = (known.health.availability(), read(&known.health));
        act(&mut known.health, rules);
        let mut fell = None;
        let after = known.health.availability();
        if before != after {
            let ejected = matches!(known.health.ejection, Ejection::Ejected { .. });
            let probe = known.health.last.as_ref().and_then(|(_, result)| result.as_ref().err());
            let seen = if ejected { known.record.evidence.as_ref() } else { probe };
            // An order is nobody's failure, whatever was seen before it.
            let evidence = seen.filter(|_| known.health.admin == was.1).cloned();
            let lost = before == Availability::Up || after == Availability::Down;
            if before == Availability::Up && after == Availability::Down {
                fell = evidence.as_ref().map(|seen| seen.fault);
            }
            changes.log.push(Change::Endpoint { key: known.key.clone(), from: before, to: after, evidence });
            changes.publish = changes.publish.max(if lost { Publish::Now } else { Publish::Soon });
        }
        if was != read(&known.health) || drifted(known.shown_us, known.health.latency.micros()) {
            changes.publish = changes.publish.max(Publish::Soon);
        }
        if let Some(fault) = fell {
            self.incident_lost(slot, fault, now);
        }
        match self.settle_pool(pool, changes) {
            Moved::Nothing => {}
            moved => {
                let routes = self.layout.users(pool).iter().copied();
                let concerns = |slot: &RouteSlot| {
                    moved == Moved::Health || self.route(*slot).is_some_and(|r| r.band.is_some())
                };
                self.update_routes(routes.filter(concerns).collect(), now, changes);
            }
        }
    }

    fn route(&self, slot: RouteSlot) -> Option<&Route> {
        self.layout.topology.route(slot)
    }

    /// Lets routes conclude from the pools' views.
    fn update_routes(&mut self, routes: Vec<RouteSlot>, now: Tick, changes: &mut Changes) {
        for slot in routes {
            let Some(route) = self.layout.topology.route(slot) else { continue };
            let Some(state) = self.routes.get_mut(slot) else { continue };
            let pools = Pools { topology: &self.layout.topology, views: &self.pools, rounds: &self.rounds };
            let publish = state.update(route, pools, now, &mut changes.log);
            changes.publish = changes.publish.max(publish);
        }
    }

    fn settle_pool(&mut self, slot: PoolSlot, changes: &mut Changes) -> Moved {
        let Some(pool) = self.layout.topology.pool(slot) else { return Moved::Nothing };
        let members = self.known.range(&self.layout.members(slot));
        let view = pool_view(members.iter().map(|known| &known.health), pool.panic_threshold);
        let asked = self.unasked.get(slot).is_some_and(|unasked| !unasked);
        let round = asked && members.iter().all(|known| known.health.probed);
        let (Some(current), Some(done)) = (self.pools.get_mut(slot), self.rounds.get_mut(slot)) else {
            return Moved::Nothing;
        };
        // A pool whose endpoints are all new is not short of anything yet.
        let new = view.enabled > 0 && view.unproven == view.enabled;
        if current.short != view.short && !new {
            let name = pool.name.clone();
            changes.log.push(Change::Pool { pool: name, short: view.short, available: view.available });
        }
        let moved = if *done != round || *current != (PoolView { latency_us: current.latency_us, ..view }) {
            Moved::Health
        } else if current.latency_us != view.latency_us {
            Moved::Latency
        } else {
            Moved::Nothing
        };
        (*current, *done) = (view, round);
        moved
    }

    /// The slot of a route in force, by name.
    #[must_use]
    pub fn route_slot(&self, name: &str) -> Option<RouteSlot> {
        let mut routes = slot::entries(&self.layout.topology.routes);
        routes.find(|(_, route)| &*route.name == name).map(|(slot, _)| slot)
    }

    /// Every endpoint that needs a probe, in layout order.
    pub fn probed_endpoints(&self) -> impl Iterator<Item = &Place> {
        let topology = &self.layout.topology;
        let wants = move |place: &&Place| topology.pool(place.pool).is_some_and(|pool| pool.probe.is_some());
        self.layout.endpoints.iter().filter(wants)
    }

    /// An endpoint's probe axis, for tests and simulations.
    #[must_use]
    pub fn probe_state(&self, id: EndpointId) -> Option<Probe> {
        self.health(id).map(|health| health.probe)
    }
}

/// Has a latency moved far enough from what the last snapshot shows to be worth a new one? Every probe moves it a
/// little; a snapshot per probe would be work for nothing.
fn drifted(shown_us: Option<u32>, now_us: Option<u32>) -> bool {
    match (shown_us, now_us) {
        (Some(shown), Some(now)) => shown.abs_diff(now) > shown / 8 + 200,
        (shown, now) => shown != now,
    }
}

mod adopt;
mod checker;
mod incidents;
mod ejections;
mod route_state;
mod traffic;

use checker::Doubt;
use incidents::Incidents;
use route_state::{Pools, RouteState, pool_view};
use traffic::Traffic;

#[cfg(test)]
mod tests;
