//! Owner of what an endpoint's past losses mean for its return: one that was lost and is Up again takes its share of its
//! pool little by little (slow start); one that is lost again and again steps back while its pool has a better one
//! (damping). Knows which endpoints recover, so that a tick costs what they cost. Never changes health.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use super::endpoints::Observed;
use crate::{
    axes::Availability,
    damping::{Damper, DampingRules},
    event::Change,
    ramp,
    slot::{EndpointSlot, PoolSlot, SlotVec},
    tick::Tick,
    topology::Topology,
    view::{Ramp, RecoveryView},
};

/// How the endpoints of a pool recover.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct RecoveryRules {
    /// The longest slow start of the routes that use the pool.
    slow_start: Duration,
    /// The damping of the first route that uses the pool.
    damping: Option<DampingRules>,
}

/// What is remembered about one endpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Recovery {
    /// The endpoint was Up, and is lost.
    lost: bool,
    /// The endpoint is Up again, and its share grows since this tick.
    since: Option<Tick>,
    damper: Damper,
}

/// Damping of an endpoint has begun or ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DampingMove {
    pub(super) penalty: f64,
    /// How long it lasts; `None` = it has ended.
    pub(super) lasts: Option<Duration>,
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
#[derive(Clone, Debug, Default)]
pub(super) struct Recoveries {
    rules: SlotVec<PoolSlot, RecoveryRules>,
    states: SlotVec<EndpointSlot, (PoolSlot, Recovery)>,
    /// What a snapshot says of each endpoint.
    shown: SlotVec<EndpointSlot, RecoveryView>,
    /// The endpoints that recover, and when that changes next.
    busy: BTreeMap<EndpointSlot, Tick>,
}

impl Recoveries {
    /// How far an endpoint is.
    pub(super) fn view(&self, slot: EndpointSlot) -> RecoveryView {
        self.shown.get(slot).copied().unwrap_or_default()
    }

    /// How far the endpoints of a range are: those of one pool.
    pub(super) fn views(&self, range: &Range<EndpointSlot>) -> &[RecoveryView] {
        self.shown.range(range)
    }

    /// Takes in what became of an endpoint; says whether its damping has begun.
    pub(super) fn observe(
        &mut self,
        slot: EndpointSlot,
        observed: &Observed,
        now: Tick,
    ) -> Option<DampingMove> {
        let (pool, recovery) = self.states.get_mut(slot)?;
        let to = observed.changes.iter().find_map(|change| match change {
            Change::Endpoint { to, .. } => Some(to),
            _ => None,
        })?;
        let rules = self.rules.get(*pool).copied().unwrap_or_default();
        let mut began = None;
        if *to == Availability::Up {
            recovery.since = (recovery.lost && !rules.slow_start.is_zero()).then_some(now);
            recovery.lost = false;
        } else {
            recovery.since = None;
            let lost = observed.lost.is_some();
            recovery.lost |= lost;
            if let Some(damping) = rules.damping.filter(|_| lost)
                && recovery.damper.charge(&damping, now)
            {
                let lasts = recovery.damper.until().map(|until| until.since(now));
                began = Some(DampingMove { penalty: recovery.damper.value_at(&damping, now), lasts });
            }
        }
        self.show(slot, now);
        began
    }

    /// Lets recover whose time has come; returns the endpoints that have moved, each with what ended.
    pub(super) fn advance(&mut self, now: Tick) -> Vec<(EndpointSlot, Option<DampingMove>)> {
        let due: Vec<EndpointSlot> =
            self.busy.iter().filter(|(_, next)| **next <= now).map(|(slot, _)| *slot).collect();
        let mut moved = Vec::new();
        for slot in due {
            let Some((pool, recovery)) = self.states.get_mut(slot) else { continue };
            let rules = self.rules.get(*pool).and_then(|rules| rules.damping);
            let ended = rules.filter(|_| recovery.damper.release(now));
            let ended = ended
                .map(|rules| DampingMove { penalty: recovery.damper.value_at(&rules, now), lasts: None });
            if self.show(slot, now) || ended.is_some() {
                moved.push((slot, ended));
            }
        }
        moved
    }

    /// When something recovers next.
    pub(super) fn due(&self) -> Option<Tick> {
        self.busy.values().copied().min()
    }

    /// A config came into force: the first Up of what is down is no return.
    pub(super) fn adopt(&mut self, topology: &Topology) {
        let mut rules: SlotVec<PoolSlot, Option<RecoveryRules>> =
            topology.pools.iter().map(|_| None).collect();
        for route in &topology.routes {
            for member in &route.pools {
                let Some(rules) = rules.get_mut(member.pool) else { continue };
                let first = RecoveryRules { slow_start: Duration::ZERO, damping: route.damping };
                let rules = rules.get_or_insert(first);
                rules.slow_start = rules.slow_start.max(route.failback.slow_start);
            }
        }
        self.rules = rules.iter().map(|rules| rules.unwrap_or_default()).collect();
        self.states.iter_mut().for_each(|(_, recovery)| recovery.lost = false);
    }

    /// Puts the states into the order of a new layout.
    pub(super) fn carry(&mut self, endpoints: impl Iterator<Item = Carried>, now: Tick) {
        let before = std::mem::take(&mut self.states);
        let rules = &self.rules;
        let known = |Carried { pool, from, up }| {
            let known = from.and_then(|from| before.get(from)).map(|(_, known)| *known).unwrap_or_default();
            let mut recovery = Recovery { since: known.since.filter(|_| up), ..known };
            recovery.damper.adjust(rules.get(pool).and_then(|rules| rules.damping.as_ref()), now);
            (pool, recovery)
        };
        self.states = endpoints.map(known).collect();
        self.shown = self.states.iter().map(|_| RecoveryView::default()).collect();
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
        let start = recovery.since.and_then(part);
        recovery.since = start.map(|(since, _)| since);
        let damped_until = recovery.damper.until();
        let step = recovery.since.map(|since| ramp::next_step(since, over, now));
        match step.into_iter().chain(damped_until).min() {
            Some(next) => _ = self.busy.insert(slot, next),
            None => _ = self.busy.remove(&slot),
        }
        let slow_start = start.map(|(since, part)| Ramp { part, until: Some(since.after(over)) });
        let is = RecoveryView { slow_start, damped: damped_until.is_some(), damped_until };
        self.shown.get_mut(slot).is_some_and(|shown| std::mem::replace(shown, is) != is)
    }
}
