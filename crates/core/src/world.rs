//! The mutable truth, and the only place where health ever changes: [`World::apply`]. Owned by the keeper.
//! The world is a conductor: each part of it owns its fields and answers with what changed; the order is decided here.
//! Reads no clock (every event comes with its tick) and does no I/O.

use std::{sync::Arc, time::Duration};

use crate::{
    axes::Ejection,
    chance::Odds,
    eject::EjectionRecord,
    event::{Change, Changes, Event, Publish},
    fault::{Evidence, Fault},
    health::Health,
    names::Names,
    outlier::{EndpointTraffic, Finding, Outlier},
    reason::Cause,
    slot::EndpointSlot,
    tally::Tally,
    tick::{Tick, micros},
    topology::Topology,
};

mod adopt;
mod band;
mod checker;
mod command;
mod ejections;
mod endpoints;
mod families;
mod forecast;
mod incidents;
mod member;
mod orders;
mod pools;
mod queries;
mod recoveries;
mod route_state;
mod routes;
mod standing;
mod state;
#[cfg(test)]
mod tests;
mod traffic;

use checker::{CheckerSuspicion, ProbeMove};
use ejections::{Ejected, Ejections};
use endpoints::Observation;
pub use forecast::{Forecast, Supposition};
use incidents::{FailureSign, Incidents};
use orders::Orders;
use state::WorldState;
use traffic::{OwnFailures, Traffic};

/// The mutable truth. Starts empty; a start is an [`Event::Adopted`].
///
/// An observation runs through the owners in one order: the endpoint's state, its pool, the routes that use the pool.
/// What real traffic shows is judged on that new state, since the caps on ejections count it; an ejection is an
/// observation again. Incidents come last.
#[derive(Clone, Debug, Default)]
pub struct World {
    state: WorldState,
    generation: u64,
    revision: u64,
    /// The config in force, without the operator's orders.
    configured: Arc<Topology>,
    names: Names,
    orders: Orders,
    traffic: Traffic,
    ejections: Ejections,
    checker: CheckerSuspicion,
    incidents: Incidents,
}

/// A request failed at an endpoint.
#[derive(Clone, Copy, Debug)]
struct FailedAttempt {
    fault: Fault,
    started: Tick,
    at: Tick,
}

impl World {
    /// Advances the world by one event.
    pub fn apply(&mut self, event: Event, now: Tick) -> Changes {
        let mut changes = Changes::default();
        match event {
            Event::Adopted { topology, generation } => self.adopt(topology, generation, now, &mut changes),
            Event::Resolved { host, addresses } => self.resolve(host, addresses, now, &mut changes),
            Event::Probed { id, result } => {
                if let Some(slot) = self.state.endpoints.slot(id) {
                    self.probed(slot, result, now, &mut changes);
                }
            }
            Event::Said { id, said } => {
                let slot = self.state.endpoints.slot(id);
                let weighs = |slot: &EndpointSlot| {
                    let rules = self.state.layout.pool_of(*slot).and_then(|pool| pool.probe.as_ref());
                    rules.is_some_and(|rules| rules.weight_from_body)
                };
                if let Some(slot) = slot.filter(weighs) {
                    self.observe(slot, Observation::Said(said), now, &mut changes);
                }
            }
            Event::Ordered(order) => self.give_orders(vec![order], false, now, &mut changes),
            Event::Restored(orders) => self.give_orders(orders, true, now, &mut changes),
            Event::Cancelled(id) => self.cancel_order(id, now, &mut changes),
            Event::FailbackOrdered { route } => {
                if let Some(slot) = self.route_slot(&route) {
                    self.state.end_waits(slot, now, &mut changes);
                }
            }
            Event::Latched { route, pool } => self.latch(&route, &pool, now, &mut changes),
            Event::Suspected { id, fault, started, at } => {
                if let Some(slot) = self.state.endpoints.slot(id).filter(|_| fault != Fault::Local) {
                    self.failed(slot, FailedAttempt { fault, started, at }, now, &mut changes);
                }
            }
            Event::Tallied(tallies) => {
                for tally in &tallies {
                    if let Some(slot) = self.state.endpoints.slot(tally.id) {
                        self.tallied(slot, tally, now, &mut changes);
                    }
                }
                self.release(now, &mut changes);
            }
            Event::Ticked => {
                self.state.recover(now, &mut changes);
                self.orders_due(now, &mut changes);
                let due = self.state.routes.due(now);
                self.state.update_routes(&due, now, &mut changes);
                self.release(now, &mut changes);
                changes.log.extend(self.incidents.close(&self.state, now));
            }
        }
        changes
    }

    /// When [`Event::Ticked`] is due next: a hold, a dwell, a ramp's next step, an ejection, a probation, an incident or an
    /// order ends.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        let routes = self.state.routes.next_deadline().into_iter().chain(self.state.recoveries.due());
        routes.chain(self.release_due()).chain(self.incidents.due()).chain(self.orders.due()).min()
    }

    /// A probe ended. A timeout proves nothing while real requests are answered.
    fn probed(
        &mut self,
        slot: EndpointSlot,
        result: Result<Duration, Evidence>,
        now: Tick,
        changes: &mut Changes,
    ) {
        let layout = Arc::clone(&self.state.layout);
        let Some(rules) = layout.pool_of(slot).and_then(|pool| pool.probe.as_ref()) else { return };
        let sent = Tick(now.0.saturating_sub(micros(rules.timeout)));
        let answered = self.traffic.endpoint(slot).is_some_and(|traffic| traffic.good_since(sent));
        let seen = match result {
            Err(evidence) if evidence.fault == Fault::Timeout && answered => {
                Observation::Contradicted(evidence)
            }
            result => {
                let answers = self.answers_while_probes_fail(slot, &result);
                Observation::Probed(result, answers, rules)
            }
        };
        let probe = |world: &Self| world.state.endpoints.health(slot).map(|health| health.probe);
        let before = probe(self);
        self.observe(slot, seen, now, changes);
        if let (Some(before), Some(after), Some(place)) = (before, probe(self), layout.endpoints.get(slot)) {
            let moved = ProbeMove { id: place.id, before, after };
            let suspicion = self.checker.probed(moved, layout.topology.probe_round(), now);
            Self::tell_suspicion(suspicion, changes);
        }
    }

    /// A probe failed by what was answered, as others did before it: were requests answered well since the first of them?
    fn answers_while_probes_fail(&self, slot: EndpointSlot, result: &Result<Duration, Evidence>) -> bool {
        let answered = |seen: &Evidence| matches!(seen.fault, Fault::Status | Fault::Body);
        let since = self.state.endpoints.health(slot).and_then(Health::failing_since);
        let traffic = self.traffic.endpoint(slot);
        result.as_ref().is_err_and(answered)
            && since.zip(traffic).is_some_and(|(since, traffic)| traffic.good_since(since))
    }

    /// Logs that the checker is suspected now, or no longer.
    fn tell_suspicion(suspicion: Option<Change>, changes: &mut Changes) {
        if suspicion.is_some() {
            changes.publish = changes.publish.max(Publish::Soon);
        }
        changes.log.extend(suspicion);
    }

    /// A request failed at an endpoint.
    fn failed(&mut self, slot: EndpointSlot, failure: FailedAttempt, now: Tick, changes: &mut Changes) {
        let FailedAttempt { fault, started, at } = failure;
        self.observe(slot, Observation::Failed(fault), now, changes);
        if !fault.is_evidence() {
            return;
        }
        let late = fault == Fault::Late;
        let excused = late && !self.traffic.is_alone_late(slot, started, &self.state.layout, now);
        let Some(traffic) = self.traffic.endpoint_mut(slot) else { return };
        if late {
            traffic.was_late(at);
        }
        if excused {
            return;
        }
        let after_calm = traffic.was_calm();
        traffic.failed(fault, at);
        match self.state.endpoints.health(slot).map(|health| health.ejection) {
            Some(Ejection::Clear) => self.judge(slot, now, changes),
            Some(Ejection::Probation) => self.fail_probation(slot, failure, now, changes),
            Some(Ejection::Ejected { .. }) | None => {}
        }
        if let Some(state) = self.state.endpoints.state(slot) {
            self.incidents.failed(&state.key, FailureSign { fault: Some(fault), after_calm, at });
        }
    }

    /// Requests did this at an endpoint since the last tally.
    fn tallied(&mut self, slot: EndpointSlot, tally: &Tally, now: Tick, changes: &mut Changes) {
        let Some(health) = self.state.endpoints.health(slot) else { return };
        let clear = health.ejection == Ejection::Clear;
        let after_calm = self.traffic.count(slot, tally, &self.state.layout, now);
        self.ejections.prove(slot, tally.proof);
        if clear && self.traffic.measure(slot, tally, now) {
            changes.publish = changes.publish.max(Publish::Soon);
        }
        if tally.counts.good > 0 && self.answers_again(slot) {
            self.observe(slot, Observation::Answered, now, changes);
        }
        if tally.counts.good > 0 && self.state.endpoints.health(slot).is_some_and(|health| !health.worked) {
            self.observe(slot, Observation::Worked, now, changes);
        }
        let Some(key) = self.state.endpoints.state(slot).map(|state| &state.key) else { return };
        let bad = tally.counts.bad(true) > 0;
        if bad {
            self.incidents.failed(key, FailureSign { fault: None, after_calm, at: now });
        }
        self.incidents.fallout(key, &tally.fallout);
        if bad {
            self.judge(slot, now, changes);
        }
    }

    /// Has an endpoint that refused connections given a good answer since?
    fn answers_again(&self, slot: EndpointSlot) -> bool {
        let Some(health) = self.state.endpoints.health(slot).filter(|health| health.refusing) else {
            return false;
        };
        let good = self.traffic.endpoint(slot).and_then(EndpointTraffic::good_at_last);
        good.is_some_and(|good| health.probed_at().is_none_or(|at| good >= at))
    }

    /// Changes one endpoint's state, then whatever follows from it.
    fn observe(&mut self, slot: EndpointSlot, seen: Observation<'_>, now: Tick, changes: &mut Changes) {
        let Some(pool) = self.state.layout.endpoints.get(slot).map(|place| place.pool) else { return };
        let ejected_for = self.ejections.record(slot).and_then(EjectionRecord::evidence);
        let observed = self.state.endpoints.observe(slot, seen, ejected_for, now);
        let damping = self.state.recoveries.observe(slot, &observed, now);
        changes.publish = changes.publish.max(observed.publish);
        changes.log.extend(observed.changes);
        changes.log.extend(damping.and_then(|damping| self.state.tell_damping(slot, damping)));
        let moved = self.state.recount_pool(pool, changes);
        let concerned = self.state.concerned(pool, moved);
        self.state.update_routes(&concerned, now, changes);
        if let (Some(fault), Some(state)) = (observed.lost, self.state.endpoints.state(slot)) {
            self.incidents.lost(&state.key, fault, now);
        }
    }

    /// Does what is known speak against an endpoint that serves, and may it be taken out?
    fn judge(&mut self, slot: EndpointSlot, now: Tick, changes: &mut Changes) {
        let Some(rules) = self.state.layout.pool_of(slot).map(|pool| &pool.eject) else { return };
        if !self.state.serves(slot) {
            return;
        }
        let Some(finding) = self.traffic.finding(slot, rules, &self.state, now) else { return };
        if !self.ejections.may_eject(slot, rules.max_share, &self.state, now) {
            return;
        }
        match finding {
            Finding::Outlier(outlier) => self.eject(slot, outlier, now, changes),
            Finding::Shared(outlier) => {
                changes.log.extend(self.ejections.spare(slot, outlier, &self.state, now))
            }
        }
    }

    /// A request failed at an endpoint in probation: only one that began in the probation ends it, and only if the
    /// others do not fail as often.
    fn fail_probation(
        &mut self,
        slot: EndpointSlot,
        failure: FailedAttempt,
        now: Tick,
        changes: &mut Changes,
    ) {
        let FailedAttempt { fault, started, .. } = failure;
        let Some((own, began)) = self.ejections.fail_probation(slot, started) else { return };
        let failures = OwnFailures { own, began, odds: Odds::PROBATION };
        let others = self.traffic.in_common(slot, failures, &self.state.layout, now);
        let shared = others.map(|others| format!("; {others}")).unwrap_or_default();
        let detail = format!("a request of its probation failed: {}{shared}", fault.as_str()).into();
        let outlier = Outlier { cause: Cause::Probation, evidence: Evidence { fault, detail } };
        match others {
            None => self.eject(slot, outlier, now, changes),
            // Too little is known of the others: that is no news yet.
            Some(others) if others.is_vague() => {}
            Some(_) => changes.log.extend(self.ejections.spare(slot, outlier, &self.state, now)),
        }
    }

    fn eject(&mut self, slot: EndpointSlot, outlier: Outlier, now: Tick, changes: &mut Changes) {
        let (cause, fault) = (outlier.cause, outlier.evidence.fault);
        let was_up = self.state.is_up(slot);
        let Some(Ejected { ejection, change }) = self.ejections.eject(slot, outlier, &self.state, now) else {
            return;
        };
        self.traffic.ejected(slot, &self.state.layout, now);
        changes.log.push(change);
        // In panic the availability of an endpoint does not show that it was taken out.
        changes.publish = Publish::Now;
        self.observe(slot, Observation::Ejection(ejection), now, changes);
        // What was taken out in panic was not Up, and is lost all the same.
        if let Some(state) = self.state.endpoints.state(slot).filter(|_| !was_up && cause != Cause::Probation)
        {
            self.incidents.lost(&state.key, fault, now);
        }
    }

    /// Ends the ejections and probations whose time has come, and lets what is usual age.
    fn release(&mut self, now: Tick, changes: &mut Changes) {
        if self.traffic.age(now) {
            changes.publish = changes.publish.max(Publish::Soon);
        }
        self.release_once(now, changes);
        // An endpoint that is Clear again may serve instead of one that had to prove itself by serving.
        while self.release_due().is_some_and(|due| due <= now) {
            self.release_once(now, changes);
        }
    }

    fn release_once(&mut self, now: Tick, changes: &mut Changes) {
        let mut cleared = false;
        for id in self.ejections.out() {
            let Some(slot) = self.state.endpoints.slot(id) else { continue };
            let Some(next) = self.ejections.advance(slot, &self.state, now) else { continue };
            if next == Ejection::Clear {
                cleared = true;
                if let Some(traffic) = self.traffic.endpoint_mut(slot) {
                    traffic.cleared(now);
                }
            }
            self.observe(slot, Observation::Ejection(next), now, changes);
        }
        if cleared {
            // What is no evidence against the endpoint any more excuses no other endpoint either.
            self.traffic.sum_up(&self.state.layout);
        }
    }

    /// When [`World::release`] has something to do.
    fn release_due(&self) -> Option<Tick> {
        self.ejections.due(&self.state).into_iter().chain(self.traffic.age_due()).min()
    }
}
