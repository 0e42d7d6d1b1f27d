//! Owner of the endpoints' states: which exist, under which id, and what is known about the health of each.
//! Takes observations in and answers with what changed. Never decides on ejections, and never looks at a pool.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    axes::{Admin, Availability, Ejection, Probe},
    event::{Change, Publish},
    fault::{Evidence, Fault},
    health::Health,
    layout::{Laid, Place},
    said::SaidWeight,
    slot::{EndpointId, EndpointKey, EndpointSlot, SlotVec},
    tick::Tick,
    topology::{ProbeRules, Topology},
    view::{EndpointView, RecoveryView},
};

/// One endpoint that exists: its identity and its health.
#[derive(Clone, Debug)]
pub(super) struct EndpointState {
    pub(super) key: EndpointKey,
    pub(super) health: Health,
    /// The latency in the last snapshot.
    shown_us: Option<u32>,
}

/// Something that was seen at an endpoint, or ordered for it.
#[derive(Clone, Debug)]
pub(super) enum Observation<'a> {
    /// A probe ended. The flag: requests were answered well while the probes failed.
    Probed(Result<Duration, Evidence>, bool, &'a ProbeRules),
    /// A probe timed out while real requests were answered: it proves nothing.
    Contradicted(Evidence),
    /// A good probe answer said something about the endpoint.
    Said(SaidWeight),
    /// A request failed.
    Failed(Fault),
    /// A request was answered after connections had been refused.
    Answered,
    /// A request was answered well for the first time.
    Worked,
    /// The operator ordered.
    Ordered(Admin),
    /// The traffic axis moved.
    Ejection(Ejection),
}

/// What an observation changed.
#[derive(Debug, Default)]
pub(super) struct Observed {
    pub(super) publish: Publish,
    /// The availability moved, or what it rests on.
    pub(super) changes: Vec<Change>,
    /// The endpoint was Up and is Down, by this fault.
    pub(super) lost: Option<Fault>,
}

/// The states of all endpoints of the layout.
#[derive(Clone, Debug, Default)]
pub(super) struct Endpoints {
    states: SlotVec<EndpointSlot, EndpointState>,
    ids: BTreeMap<EndpointKey, EndpointId>,
    slots: BTreeMap<EndpointId, EndpointSlot>,
    last_id: u32,
}

impl Endpoints {
    pub(super) fn slot(&self, id: EndpointId) -> Option<EndpointSlot> {
        self.slots.get(&id).copied()
    }

    pub(super) fn state(&self, slot: EndpointSlot) -> Option<&EndpointState> {
        self.states.get(slot)
    }

    pub(super) fn health(&self, slot: EndpointSlot) -> Option<&Health> {
        self.states.get(slot).map(|state| &state.health)
    }

    pub(super) fn is_up(&self, slot: EndpointSlot) -> bool {
        self.health(slot).is_some_and(|health| health.availability() == Availability::Up)
    }

    /// The states of a range of endpoints: those of one pool.
    pub(super) fn range(&self, range: &std::ops::Range<EndpointSlot>) -> &[EndpointState] {
        self.states.range(range)
    }

    /// Every endpoint with what its probes say.
    pub(super) fn probes(&self) -> impl Iterator<Item = (EndpointId, Probe)> {
        self.slots.iter().filter_map(|(id, slot)| Some((*id, self.health(*slot)?.probe)))
    }

    /// The endpoints that are not Clear.
    pub(super) fn out(&self) -> impl Iterator<Item = EndpointId> {
        let is_out =
            |slot: &EndpointSlot| self.health(*slot).is_some_and(|health| health.ejection != Ejection::Clear);
        self.slots.iter().filter(move |(_, slot)| is_out(slot)).map(|(id, _)| *id)
    }

    /// Takes an observation in. `ejected_for` is the evidence of the endpoint's last ejection: an operator reads it
    /// where the endpoint is Down because of that.
    pub(super) fn observe(
        &mut self,
        slot: EndpointSlot,
        seen: Observation<'_>,
        ejected_for: Option<&Evidence>,
        now: Tick,
    ) -> Observed {
        let mut observed = Observed::default();
        let Some(state) = self.states.get_mut(slot) else { return observed };
        let read =
            |health: &Health| (health.probe, health.admin, health.ejection, health.refusing, health.scale());
        let (before, was) = (state.health.availability(), read(&state.health));
        let said = state.health.said.clone();
        take_in(&mut state.health, seen, now);
        let (after, is) = (state.health.availability(), read(&state.health));
        if before != after {
            let lost = before == Availability::Up || after == Availability::Down;
            observed.publish = if lost { Publish::Now } else { Publish::Soon };
            let ejected = matches!(state.health.ejection, Ejection::Ejected { .. });
            let evidence = if ejected { ejected_for } else { state.health.probe_failure() };
            // An order is no endpoint's failure, whatever was seen before it.
            let evidence = evidence.filter(|_| is.1 == was.1).cloned();
            if before == Availability::Up && after == Availability::Down {
                observed.lost = evidence.as_ref().map(|seen| seen.fault);
            }
            let key = state.key.clone();
            observed.changes.push(Change::Endpoint { key, from: before, to: after, evidence });
        } else if (was.0 == Probe::Flapping) != (is.0 == Probe::Flapping) {
            let (key, counts) = (state.key.clone(), state.health.flapping());
            observed.changes.push(Change::Flapping { key, counts });
        }
        let news = state.health.said.clone().filter(|now| *now != said.unwrap_or_default());
        observed.changes.extend(news.map(|said| Change::Weighed { key: state.key.clone(), said }));
        if was != is || drifted(state.shown_us, state.health.latency.micros()) {
            observed.publish = observed.publish.max(Publish::Soon);
        }
        observed
    }

    /// What a snapshot says about an endpoint. The latency that is shown is remembered: a later one is worth a new
    /// snapshot only if it is another.
    pub(super) fn show(
        &mut self,
        slot: EndpointSlot,
        p95_us: Option<u32>,
        probation_since: Option<Tick>,
        recovery: RecoveryView,
    ) -> Option<EndpointView> {
        let state = self.states.get_mut(slot)?;
        let health = &state.health;
        state.shown_us = health.latency.micros();
        Some(EndpointView {
            availability: health.availability(),
            probe: health.probe,
            flapping: health.flapping(),
            said_percent: health.said.as_ref().map(|said| said.percent),
            scale: health.scale(),
            admin: health.admin,
            ejection: health.ejection,
            probation_since: probation_since.filter(|_| health.ejection == Ejection::Probation),
            refusing: health.refusing,
            slow_start: recovery.slow_start,
            damped: recovery.damped,
            damped_until: recovery.damped_until,
            latency_us: state.shown_us,
            p95_us,
            drain: None,
        })
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = EndpointSlot> + use<> {
        self.states.slots()
    }

    /// The id of an endpoint: the one that it has, or the next. An id is given once.
    pub(super) fn id_of(&mut self, key: &EndpointKey) -> EndpointId {
        self.ids.get(key).copied().unwrap_or_else(|| {
            self.last_id += 1;
            EndpointId(self.last_id)
        })
    }

    /// Puts the states into the order of a new layout. What is known stays with the key; whether the pool is still
    /// probed decides what the old probe results are worth.
    pub(super) fn carry(
        &mut self,
        laid: &Laid,
        topology: &Topology,
        before: &Topology,
        order: impl Fn(&Place) -> Admin,
    ) -> Relaid {
        let was_probed: BTreeMap<&str, bool> =
            before.pools.iter().map(|pool| (&*pool.name, pool.probe.is_some())).collect();
        let mut old: BTreeMap<EndpointKey, (EndpointSlot, EndpointState)> = self
            .states
            .slots()
            .zip(std::mem::take(&mut self.states))
            .map(|(slot, state)| (state.key.clone(), (slot, state)))
            .collect();
        let mut from = SlotVec::default();
        self.ids = laid.keys.iter().cloned().zip(laid.places.iter().map(|place| place.id)).collect();
        self.slots = laid.places.entries().map(|(slot, place)| (place.id, slot)).collect();
        for (key, place) in laid.keys.iter().zip(&laid.places) {
            let rules = topology.pool(place.pool).and_then(|pool| pool.probe.as_ref());
            let same_probing = was_probed.get(&*key.pool) == Some(&rules.is_some());
            let (slot, state) = old.remove(key).unzip();
            let shown_us = state.as_ref().and_then(|state| state.shown_us);
            let mut health = Health::inherited(state.map(|state| state.health), same_probing, rules);
            health.admin = order(place);
            self.states.push(EndpointState { key: key.clone(), health, shown_us });
            from.push(slot);
        }
        Relaid { from, lost: !old.is_empty() }
    }
}

fn take_in(health: &mut Health, seen: Observation<'_>, now: Tick) {
    match seen {
        Observation::Probed(result, answers, rules) => health.probed(result, answers, rules, now),
        Observation::Contradicted(evidence) => health.contradicted(evidence, now),
        Observation::Said(said) => health.said = Some(said),
        Observation::Failed(fault) => health.suspected(fault),
        Observation::Answered => health.refusing = false,
        Observation::Worked => health.worked = true,
        Observation::Ordered(admin) => health.admin = admin,
        Observation::Ejection(ejection) => health.ejection = ejection,
    }
}

/// What a new layout did to the endpoints.
#[derive(Clone, Debug)]
pub(super) struct Relaid {
    /// For each new slot, the slot in which its endpoint was.
    pub(super) from: SlotVec<EndpointSlot, Option<EndpointSlot>>,
    /// An endpoint is gone.
    pub(super) lost: bool,
}

/// Has a latency moved far enough from what the last snapshot shows to be worth a new one? Every probe moves it a
/// little; a snapshot per probe would be work for nothing.
fn drifted(shown_us: Option<u32>, now_us: Option<u32>) -> bool {
    match (shown_us, now_us) {
        (Some(shown), Some(now)) => shown.abs_diff(now) > shown / 8 + 200,
        (shown, now) => shown != now,
    }
}
