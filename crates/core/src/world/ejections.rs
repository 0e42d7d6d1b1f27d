//! Who serves which sentence: the caps on ejections, ejection, probation by a trickle, freedom.
//! Never looks at what speaks against an endpoint: `traffic` says so.

use std::time::Duration;

use super::World;
use crate::{
    axes::{Admin, Availability, Ejection, Prospect},
    baseline,
    event::{Change, Changes, Publish},
    layout::Place,
    reason::Cause,
    slot::{EndpointId, EndpointSlot, RouteSlot, SlotVec},
    tick::Tick,
    topology::{EjectRules, RoutePool},
    view::Trickle,
};

/// The velocity of ejections is counted over this span.
const VELOCITY: Duration = Duration::from_secs(1);

impl World {
    /// The caps, on every route that it serves: another endpoint is available (in panic: answers), at most `max_share`
    /// are out (but one always may be), and in any second at most a third, rounded up, are taken out.
    pub(super) fn may_eject(&self, slot: EndpointSlot, max_share: f64, now: Tick) -> bool {
        let Some(health) = self.known.get(slot).map(|known| &known.health) else { return false };
        self.layout.routes_of(slot).iter().all(|route| {
            let route = *route;
            let panics = self.panics(route);
            let Some(route) = self.route(route) else { return false };
            let own = if panics {
                health.prospect() == Prospect::Good
            } else {
                health.availability() == Availability::Up
            };
            let (mut enabled, mut serving, mut out) = (0, 0, 0);
            for member in &route.pools {
                let view = self.pools.get(member.pool).copied().unwrap_or_default();
                (enabled, out) = (enabled + view.enabled, out + view.out);
                serving += if panics { view.answering } else { view.up };
            }
            let lately = self.traffic.convicted.iter().filter(|(at, id)| {
                let pool = self.slots.get(id).and_then(|slot| self.layout.endpoints.get(*slot));
                let here = pool.is_some_and(|place| route.pools.iter().any(|m| m.pool == place.pool));
                here && now.since(*at) < VELOCITY
            });
            let within_share = out == 0 || f64::from(out + 1) <= max_share * f64::from(enabled);
            let within_velocity = lately.count() < enabled.div_ceil(3) as usize;
            serving > u32::from(own) && within_share && within_velocity
        })
    }

    pub(super) fn eject(
        &mut self,
        slot: EndpointSlot,
        (cause, detail): (Cause, String),
        now: Tick,
        changes: &mut Changes,
    ) {
        let Some(rules) = self.eject_rules(slot).cloned() else { return };
        let Some(id) = self.layout.endpoints.get(slot).map(|place| place.id) else { return };
        if cause != Cause::Probation {
            self.traffic.convicted.retain(|(at, _)| now.since(*at) < VELOCITY);
            self.traffic.convicted.push((now, id));
        }
        let Some(known) = self.known.get_mut(slot) else { return };
        let was_up = known.health.availability() == Availability::Up;
        let until = known.record.convict(cause, detail, &rules, (id.0, now));
        let fault = known.record.evidence.as_ref().map(|evidence| evidence.fault);
        if let Some(evidence) = known.record.evidence.clone() {
            let (key, count) = (known.key.clone(), known.record.count);
            changes.log.push(Change::Ejected { key, cause, count, lasts: until.since(now), evidence });
        }
        self.traffic.sentenced.insert(id);
        // In panic what it is ejected from is not to be seen in its availability.
        changes.publish = Publish::Now;
        self.observe(slot, now, changes, |health, _| health.ejection = Ejection::Ejected { until });
        // What was taken out in panic was not Up, and is lost all the same.
        if let Some(fault) = fault.filter(|_| !was_up && cause != Cause::Probation) {
            self.incident_lost(slot, fault, now);
        }
    }

    /// Its pool convicts nobody (any more).
    pub(super) fn unjudged(&self, slot: EndpointSlot) -> bool {
        self.eject_rules(slot).is_none_or(EjectRules::are_off)
    }

    /// Ejections that have ended become probations, and probations that were passed end.
    pub(super) fn release(&mut self, now: Tick, changes: &mut Changes) {
        self.age(now, changes);
        self.release_who_is_due(now, changes);
        // One that is free again may serve instead of one that had to prove itself by serving.
        while self.release_due().is_some_and(|due| due <= now) {
            self.release_who_is_due(now, changes);
        }
    }

    fn release_who_is_due(&mut self, now: Tick, changes: &mut Changes) {
        let sentenced: Vec<EndpointId> = self.traffic.sentenced.iter().copied().collect();
        let mut freed = false;
        for id in sentenced {
            let Some(slot) = self.slots.get(&id).copied() else { continue };
            let (free, proven) = (self.unjudged(slot), self.proven_at(slot));
            let Some(known) = self.known.get_mut(slot) else { continue };
            let next = match known.health.ejection {
                Ejection::Ejected { .. } | Ejection::Probation if free => {
                    known.record.acquit(now);
                    self.traffic.sentenced.remove(&id);
                    Ejection::Clear
                }
                Ejection::Ejected { until } if until <= now => {
                    known.record.on_probation(now);
                    Ejection::Probation
                }
                Ejection::Probation if proven.is_some_and(|at| at <= now) => {
                    known.record.acquit(now);
                    self.traffic.sentenced.remove(&id);
                    Ejection::Clear
                }
                _ => continue,
            };
            self.observe(slot, now, changes, |health, _| health.ejection = next);
            freed |= next == Ejection::Clear;
        }
        if freed {
            // What is no evidence against it any more excuses no other endpoint either.
            self.retell_traffic();
        }
    }

    /// What is usual is that of the last minute: of silence, too.
    fn age(&mut self, now: Tick, changes: &mut Changes) {
        if self.traffic.age_at.is_none_or(|due| due > now) {
            return;
        }
        self.traffic.age_at = Some(now.after(baseline::PART));
        for known in &mut self.known {
            if known.record.age(now) {
                changes.publish = changes.publish.max(Publish::Soon);
            }
        }
    }

    /// When [`World::release`] has something to do.
    pub(super) fn release_due(&self) -> Option<Tick> {
        let due = |id: &EndpointId| {
            let slot = *self.slots.get(id)?;
            let known = self.known.get(slot)?;
            match known.health.ejection {
                Ejection::Ejected { until } => Some(until),
                Ejection::Probation => self.proven_at(slot),
                Ejection::Clear => None,
            }
        };
        self.traffic.sentenced.iter().filter_map(due).chain(self.traffic.age_at).min()
    }

    /// When its probation ends, if it does: by answers; where no request goes that it could answer, by time.
    fn proven_at(&self, slot: EndpointSlot) -> Option<Tick> {
        let record = &self.known.get(slot)?.record;
        if self.feeders(slot).next().is_some() { record.proven_at() } else { Some(record.tried_until()) }
    }

    /// The routes that have something for it: what the operator gives nothing gets it while nobody else is left.
    fn feeders(&self, slot: EndpointSlot) -> impl Iterator<Item = RouteSlot> + '_ {
        let fits = self.layout.endpoints.get(slot).filter(|place| place.weight > 0 || self.is_alone(place));
        fits.into_iter().flat_map(move |place| {
            let gives =
                |member: &RoutePool| member.pool == place.pool && member.dial > 0 && member.weight > 0;
            self.layout.routes_of(slot).iter().copied().filter(move |route| {
                let given = self.route(*route).is_some_and(|route| route.pools.iter().any(gives));
                given || self.routes.get(*route).is_some_and(|state| state.calls_in(place.pool))
            })
        })
    }

    /// Its pool has nobody Up whom the operator gives something.
    fn is_alone(&self, place: &Place) -> bool {
        let members = self.layout.members(place.pool);
        let (places, known) = (self.layout.endpoints.range(&members), self.known.range(&members));
        !places
            .iter()
            .zip(known)
            .any(|(place, known)| place.weight > 0 && known.health.availability() == Availability::Up)
    }

    /// By route: the endpoints that get a trickle. In panic, whatever their probes say.
    pub(super) fn trickles(&self) -> SlotVec<RouteSlot, Vec<Trickle>> {
        let mut trickles: SlotVec<RouteSlot, Vec<Trickle>> = self.routes.iter().map(|_| Vec::new()).collect();
        for id in &self.traffic.sentenced {
            let Some(slot) = self.slots.get(id).copied() else { continue };
            let Some(health) = self.known.get(slot).map(|known| &known.health) else { continue };
            let Some(pool) = self.layout.endpoints.get(slot).map(|place| place.pool) else {
                continue;
            };
            let in_panic = health.admin == Admin::Enabled && health.ejection == Ejection::Probation;
            for route in self.feeders(slot) {
                let may = health.availability() == Availability::Trickle || (in_panic && self.panics(route));
                if let Some(trickles) = trickles.get_mut(route).filter(|_| may) {
                    trickles.push(Trickle { pool, endpoint: slot });
                }
            }
        }
        trickles
    }

    /// Convictions in a row of an endpoint, for the status page.
    #[must_use]
    pub fn convictions(&self, id: EndpointId) -> u32 {
        self.slots.get(&id).and_then(|slot| self.known.get(*slot)).map_or(0, |known| known.record.count)
    }

    /// Enabled endpoints of a route, and those of them that are out, for tests and simulations.
    #[must_use]
    pub fn ejected_share(&self, route: RouteSlot) -> (u32, u32) {
        let members = self.route(route).map(|route| route.pools.as_slice()).unwrap_or_default();
        let mut sums = (0, 0);
        for member in members {
            for known in self.known.range(&self.layout.members(member.pool)) {
                let enabled = known.health.admin == Admin::Enabled;
                sums.0 += u32::from(enabled);
                sums.1 += u32::from(enabled && known.health.ejection != Ejection::Clear);
            }
        }
        sums
    }
}
