//! Owner of the ejections: the caps that bound them, how long each lasts, and how a probation ends.
//! Never looks at what speaks against an endpoint: `traffic` names the outlier.

use std::{collections::BTreeSet, time::Duration};

use super::state::WorldState;
use crate::{
    axes::{Admin, Availability, Ejection, PanicRank},
    chance::Share,
    eject::EjectionRecord,
    event::Change,
    outlier::Outlier,
    reason::Cause,
    slot::{EndpointId, EndpointSlot, RouteSlot, SlotVec},
    tick::Tick,
    view::Trickle,
};

/// The velocity of ejections is counted over this span.
const VELOCITY: Duration = Duration::from_secs(1);

/// The ejections of all endpoints.
#[derive(Clone, Debug, Default)]
pub(super) struct Ejections {
    records: SlotVec<EndpointSlot, EjectionRecord>,
    /// Ejections of the last [`VELOCITY`] that came from Clear.
    recent: Vec<Recent>,
    /// Endpoints that are not Clear.
    out: BTreeSet<EndpointId>,
}

#[derive(Clone, Copy, Debug)]
struct Recent {
    at: Tick,
    id: EndpointId,
}

/// An endpoint was taken out.
#[derive(Clone, Debug)]
pub(super) struct Ejected {
    /// The new state of its traffic axis.
    pub(super) ejection: Ejection,
    pub(super) change: Change,
}

impl Ejections {
    pub(super) fn record(&self, slot: EndpointSlot) -> Option<&EjectionRecord> {
        self.records.get(slot)
    }

    /// The caps, on every route that uses the endpoint: another endpoint is available (in panic: answers), at most
    /// `max_share` of the enabled endpoints are out (but one always may be), and in any second at most a third,
    /// rounded up, are taken out.
    pub(super) fn may_eject(
        &self,
        slot: EndpointSlot,
        max_share: f64,
        state: &WorldState,
        now: Tick,
    ) -> bool {
        let Some(health) = state.endpoints.health(slot) else { return false };
        state.layout.routes_of(slot).iter().all(|route| {
            let panics = state.routes.panics(*route);
            let Some(members) = state.layout.topology.route(*route).map(|route| &route.pools) else {
                return false;
            };
            let own = if panics {
                health.panic_rank() == PanicRank::Answering
            } else {
                health.availability() == Availability::Up
            };
            let (mut enabled, mut serving, mut out) = (0, 0, 0);
            for member in members {
                let view = state.pools.view(member.pool);
                (enabled, out) = (enabled + view.enabled, out + view.out);
                serving += if panics { view.answering } else { view.up };
            }
            let lately = self.recent.iter().filter(|recent| {
                let slot = state.endpoints.slot(recent.id);
                let pool = slot.and_then(|slot| state.layout.endpoints.get(slot)).map(|place| place.pool);
                let here = pool.is_some_and(|pool| members.iter().any(|member| member.pool == pool));
                here && now.since(recent.at) < VELOCITY
            });
            let within_share = out == 0 || f64::from(out + 1) <= max_share * f64::from(enabled);
            let within_velocity = lately.count() < enabled.div_ceil(3) as usize;
            serving > u32::from(own) && within_share && within_velocity
        })
    }

    /// Takes an endpoint out.
    pub(super) fn eject(
        &mut self,
        slot: EndpointSlot,
        outlier: Outlier,
        state: &WorldState,
        now: Tick,
    ) -> Option<Ejected> {
        let rules = &state.layout.pool_of(slot)?.eject;
        let id = state.layout.endpoints.get(slot)?.id;
        let key = state.endpoints.state(slot)?.key.clone();
        let record = self.records.get_mut(slot)?;
        let (cause, evidence) = (outlier.cause, outlier.evidence.clone());
        if cause != Cause::Probation {
            self.recent.retain(|recent| now.since(recent.at) < VELOCITY);
            self.recent.push(Recent { at: now, id });
        }
        let until = record.eject(id, outlier, rules, now);
        self.out.insert(id);
        let change = Change::Ejected { key, cause, count: record.count(), lasts: until.since(now), evidence };
        Some(Ejected { ejection: Ejection::Ejected { until }, change })
    }

    /// Notes that an endpoint is spared, because the others fail as often; told once in a while.
    pub(super) fn spare(
        &mut self,
        slot: EndpointSlot,
        outlier: Outlier,
        state: &WorldState,
        now: Tick,
    ) -> Option<Change> {
        let key = state.endpoints.state(slot)?.key.clone();
        let Outlier { cause, evidence } = outlier;
        self.records.get_mut(slot)?.spare(now).then_some(Change::Spared { key, cause, evidence })
    }

    /// Counts a failed request of an endpoint's probation; `None` if it began before. Says how much of the probation
    /// failed so far, and when it began.
    pub(super) fn fail_probation(&mut self, slot: EndpointSlot, started: Tick) -> Option<(Share, Tick)> {
        let record = self.records.get_mut(slot).filter(|record| record.is_of_probation(started))?;
        Some((record.fail(), record.since()))
    }

    /// Counts good answers to requests that began in the endpoint's probation.
    pub(super) fn prove(&mut self, slot: EndpointSlot, answers: u32) {
        if let Some(record) = self.records.get_mut(slot) {
            record.prove(answers);
        }
    }

    /// The endpoints that are not Clear.
    pub(super) fn out(&self) -> Vec<EndpointId> {
        self.out.iter().copied().collect()
    }

    /// The next state of an endpoint whose ejection or probation has ended: an ejection that has lasted its time
    /// becomes a probation, a probation that was passed ends. Rules that are off hold no endpoint.
    pub(super) fn advance(&mut self, slot: EndpointSlot, state: &WorldState, now: Tick) -> Option<Ejection> {
        let ejection = state.endpoints.health(slot)?.ejection;
        let off = state.layout.pool_of(slot).is_none_or(|pool| pool.eject.are_off());
        let proven = self.proven_at(slot, state).is_some_and(|at| at <= now);
        let record = self.records.get_mut(slot)?;
        match ejection {
            Ejection::Ejected { .. } | Ejection::Probation if off => {}
            Ejection::Ejected { until } if until <= now => {
                record.begin_probation(now);
                return Some(Ejection::Probation);
            }
            Ejection::Probation if proven => {}
            _ => return None,
        }
        record.clear(now);
        self.out.remove(&state.layout.endpoints.get(slot)?.id);
        Some(Ejection::Clear)
    }

    /// When the next ejection or probation ends.
    pub(super) fn due(&self, state: &WorldState) -> Option<Tick> {
        let due = |id: &EndpointId| {
            let slot = state.endpoints.slot(*id)?;
            match state.endpoints.health(slot)?.ejection {
                Ejection::Ejected { until } => Some(until),
                Ejection::Probation => self.proven_at(slot, state),
                Ejection::Clear => None,
            }
        };
        self.out.iter().filter_map(due).min()
    }

    /// When a probation ends, if it does: by answers; where no request goes that the endpoint could answer, by time.
    fn proven_at(&self, slot: EndpointSlot, state: &WorldState) -> Option<Tick> {
        let record = self.records.get(slot)?;
        let is_asked = state.feeders(slot).next().is_some();
        if is_asked { record.proven_at() } else { Some(record.shortest_probation()) }
    }

    /// The endpoints of each route that get a trickle. In panic they get it whatever their probes say.
    pub(super) fn trickles(&self, state: &WorldState) -> SlotVec<RouteSlot, Vec<Trickle>> {
        let routes = &state.layout.topology.routes;
        let mut trickles: SlotVec<RouteSlot, Vec<Trickle>> = routes.iter().map(|_| Vec::new()).collect();
        for id in &self.out {
            let Some(slot) = state.endpoints.slot(*id) else { continue };
            let Some(health) = state.endpoints.health(slot) else { continue };
            let Some(pool) = state.layout.endpoints.get(slot).map(|place| place.pool) else { continue };
            let in_panic = health.admin == Admin::Enabled && health.ejection == Ejection::Probation;
            for route in state.feeders(slot) {
                let may = health.availability() == Availability::Trickle
                    || (in_panic && state.routes.panics(route));
                if let Some(trickles) = trickles.get_mut(route).filter(|_| may) {
                    trickles.push(Trickle { pool, endpoint: slot });
                }
            }
        }
        trickles
    }

    /// Takes what is remembered into a new layout; `from` says where each endpoint was.
    pub(super) fn carry(
        &mut self,
        from: &SlotVec<EndpointSlot, Option<EndpointSlot>>,
        out: impl Iterator<Item = EndpointId>,
    ) {
        self.records = std::mem::take(&mut self.records).carried(from);
        self.out = out.collect();
    }
}
