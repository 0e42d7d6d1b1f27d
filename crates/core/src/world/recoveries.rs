//! Owner of what an endpoint's past means for its return: an endpoint that was lost and is Up again takes its share of its
//! pool little by little (slow start). Knows which endpoints recover, so that a tick costs what they cost.
//! Never changes health.

use std::{collections::BTreeMap, time::Duration};

use super::endpoints::Observed;
use crate::{
    axes::Availability,
    event::Change,
    ramp,
    slot::{EndpointSlot, PoolSlot, SlotVec},
    tick::Tick,
    topology::Topology,
    view::Ramp,
};

/// How the endpoints of a pool recover: the gentlest rules of the routes that use the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct RecoveryRules {
    slow_start: Duration,
}

/// What is remembered about one endpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Recovery {
    /// The endpoint was Up, and is lost.
    lost: bool,
    /// The endpoint is Up again, and its share grows since this tick.
    since: Option<Tick>,
}

/// One endpoint of a new layout.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    pub(super) pool: PoolSlot,
    /// Where the endpoint was in the layout before.
    pub(super) from: Option<EndpointSlot>,
    /// The endpoint is Up: with another probe it may not be any more.
    pub(super) up: bool,
}

/// The recoveries of all endpoints of the layout.
#[derive(Debug, Default)]
pub(super) struct Recoveries {
    rules: SlotVec<PoolSlot, RecoveryRules>,
    states: SlotVec<EndpointSlot, (PoolSlot, Recovery)>,
    /// What a snapshot says of each endpoint.
    shown: SlotVec<EndpointSlot, Option<Ramp>>,
    /// The endpoints whose share grows, and when it grows next.
    busy: BTreeMap<EndpointSlot, Tick>,
}

impl Recoveries {
    /// How far an endpoint is on its slow start; `None` if it takes its whole share.
    pub(super) fn slow_start(&self, slot: EndpointSlot) -> Option<Ramp> {
        self.shown.get(slot).copied().flatten()
    }

    /// Takes in what became of an endpoint.
    pub(super) fn observe(&mut self, slot: EndpointSlot, observed: &Observed, now: Tick) {
        let Some((pool, recovery)) = self.states.get_mut(slot) else { return };
        let Some(Change::Endpoint { to, .. }) = &observed.change else { return };
        let over = self.rules.get(*pool).copied().unwrap_or_default().slow_start;
        if *to == Availability::Up {
            recovery.since = (recovery.lost && !over.is_zero()).then_some(now);
            recovery.lost = false;
        } else {
            recovery.since = None;
            recovery.lost |= observed.lost.is_some();
        }
        self.show(slot, now);
    }

    /// Lets the shares grow whose time has come; returns their endpoints.
    pub(super) fn advance(&mut self, now: Tick) -> Vec<EndpointSlot> {
        let due: Vec<EndpointSlot> =
            self.busy.iter().filter(|(_, next)| **next <= now).map(|(slot, _)| *slot).collect();
        due.into_iter().filter(|slot| self.show(*slot, now)).collect()
    }

    /// When a share grows next.
    pub(super) fn due(&self) -> Option<Tick> {
        self.busy.values().copied().min()
    }

    /// A config came into force: the first Up of what is down is no return.
    pub(super) fn adopt(&mut self, topology: &Topology) {
        let mut rules: SlotVec<PoolSlot, RecoveryRules> =
            topology.pools.iter().map(|_| RecoveryRules::default()).collect();
        for (route, member) in
            topology.routes.iter().flat_map(|route| route.pools.iter().map(move |m| (route, m)))
        {
            if let Some(rules) = rules.get_mut(member.pool) {
                rules.slow_start = rules.slow_start.max(route.failback.slow_start);
            }
        }
        self.rules = rules;
        self.states.iter_mut().for_each(|(_, recovery)| recovery.lost = false);
    }

    /// Puts the states into the order of a new layout.
    pub(super) fn carry(&mut self, endpoints: impl Iterator<Item = Carried>, now: Tick) {
        let before = std::mem::take(&mut self.states);
        let known = |Carried { pool, from, up }| {
            let known = from.and_then(|from| before.get(from)).map(|(_, known)| *known).unwrap_or_default();
            (pool, Recovery { since: known.since.filter(|_| up), ..known })
        };
        self.states = endpoints.map(known).collect();
        self.shown = self.states.iter().map(|_| None).collect();
        self.busy.clear();
        let slots: Vec<EndpointSlot> = self.states.slots().collect();
        for slot in slots {
            self.show(slot, now);
        }
    }

    /// Concludes how far an endpoint is; says whether that has changed.
    fn show(&mut self, slot: EndpointSlot, now: Tick) -> bool {
        let Some((pool, recovery)) = self.states.get_mut(slot) else { return false };
        let over = self.rules.get(*pool).copied().unwrap_or_default().slow_start;
        let part = |since: Tick| ramp::part(since, over, now).map(|part| (since, part));
        let is = recovery.since.and_then(part).map(|(since, part)| {
            self.busy.insert(slot, ramp::next_step(since, over, now));
            Ramp { part, until: Some(since.after(over)) }
        });
        if is.is_none() {
            recovery.since = None;
            self.busy.remove(&slot);
        }
        self.shown.get_mut(slot).is_some_and(|shown| std::mem::replace(shown, is) != is)
    }
}
