//! What is tested: the real core, or the real core with one rule broken on purpose. A simulation that does not notice
//! the broken ones proves nothing about the real one.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use thalweg_core::{
    Action, Admin, Availability, Change, Changes, Decision, Ejection, EndpointId, Event, Facts, Fault, Loads,
    OrderProblem, Publish, Refusal, Scale, Snapshot, Tick, Topology, World, steer,
};

use crate::records::shown;

/// One way to break the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Nothing is broken.
    None,
    /// Steers to endpoints that failed this request.
    IgnoresTried,
    /// Steers to endpoints that are Down.
    IgnoresDown,
    /// Steers to endpoints that the operator took out.
    IgnoresOrders,
    /// Keeps orders whose time is over.
    OrdersNeverExpire,
    /// Lets an order take out the last pool that serves.
    TakesOutTheLast,
    /// Moves by latency and fails back in spite of a freeze.
    IgnoresFreeze,
    /// Steers past the caps.
    IgnoresCaps,
    /// Steers past the pools' capacities.
    IgnoresCapacity,
    /// Loses all health with each reload.
    ForgetsOnReload,
    /// Returns to a pool that was left without waiting.
    SkipsHold,
    /// Returns to a pool in one step.
    SkipsRamp,
    /// Returns to a latched pool by itself.
    ForgetsLatch,
    /// Ignores the operator's end of a wait.
    IgnoresFailback,
    /// Never damps what flaps.
    NeverDamps,
    /// Damps a pool or an endpoint that was lost once.
    DampsEarly,
    /// Damps for a day.
    DampsForever,
    /// Panics at the first loss.
    PanicsEarly,
    /// Misses the ticks.
    NeverTicks,
    /// Never follows a change of latencies.
    DwellsForever,
    /// Publishes a loss late.
    PublishesLate,
    /// Ignores DNS answers.
    IgnoresNames,
    /// Ejects past `max_share`.
    EjectsPastShare,
    /// Ejects at half of `failure_ratio`.
    EjectsEarly,
    /// Never ejects by `failure_ratio`.
    IgnoresRatio,
    /// Ends all ejections with each reload.
    ClearsOnReload,
    /// A probe that succeeds ends an ejection.
    ProbeUnejects,
    /// A single good answer ends a probation.
    ProvenAtOnce,
    /// A good answer to a request from before a probation passes it.
    ProvenByOld,
    /// Ejections never grow longer.
    EjectionsNeverGrow,
    /// Serves those that are ejected.
    EjectedServe,
    /// In panic, serves those that are ejected beside those that answer.
    PanicForgetsEjected,
    /// Counts each failure twice.
    CountsNewsTwice,
    /// Orders failures by their arrival.
    OrdersByArrival,
    /// Holds this edge's own lack of resources against the endpoint.
    BlamesLocal,
    /// Holds requests from before a probation against it.
    BlamesProbationForOld,
    /// Does not know when good answers ended.
    ForgetsGood,
    /// Ejects for failures that the others share.
    BlamesShared,
    /// Gives an endpoint whose probes contradict each other its whole share.
    IgnoresFlapping,
    /// Never suspects the checker.
    NeverSuspectsChecker,
    /// Dates the loss in an incident to the first failure.
    MisdatesIncidents,
}

impl Mutant {
    /// Every broken core.
    pub(crate) const ALL: [Self; 40] = [
        Self::IgnoresTried,
        Self::IgnoresDown,
        Self::IgnoresOrders,
        Self::OrdersNeverExpire,
        Self::TakesOutTheLast,
        Self::IgnoresFreeze,
        Self::IgnoresCaps,
        Self::IgnoresCapacity,
        Self::ForgetsOnReload,
        Self::SkipsHold,
        Self::SkipsRamp,
        Self::ForgetsLatch,
        Self::IgnoresFailback,
        Self::NeverDamps,
        Self::DampsEarly,
        Self::DampsForever,
        Self::PanicsEarly,
        Self::NeverTicks,
        Self::DwellsForever,
        Self::PublishesLate,
        Self::IgnoresNames,
        Self::EjectsPastShare,
        Self::EjectsEarly,
        Self::IgnoresRatio,
        Self::ClearsOnReload,
        Self::ProbeUnejects,
        Self::ProvenAtOnce,
        Self::ProvenByOld,
        Self::EjectionsNeverGrow,
        Self::EjectedServe,
        Self::PanicForgetsEjected,
        Self::CountsNewsTwice,
        Self::OrdersByArrival,
        Self::BlamesLocal,
        Self::BlamesProbationForOld,
        Self::ForgetsGood,
        Self::BlamesShared,
        Self::IgnoresFlapping,
        Self::NeverSuspectsChecker,
        Self::MisdatesIncidents,
    ];
}

/// The core, with one rule broken or none.
pub(crate) struct Subject {
    pub(crate) world: World,
    mutant: Mutant,
    /// The endpoints that a mutant shows as Clear.
    cleared: BTreeSet<EndpointId>,
}

/// Loads without an endpoint at its cap.
struct UncappedLoads<'a, L>(&'a L);

impl<L: Loads> Loads for UncappedLoads<'_, L> {
    fn in_flight(&self, _: thalweg_core::EndpointSlot) -> u32 {
        0
    }
    fn has_room(&self, pool: thalweg_core::PoolSlot) -> bool {
        self.0.has_room(pool)
    }
    fn latency_us(&self, slot: thalweg_core::EndpointSlot) -> u32 {
        self.0.latency_us(slot)
    }
    fn trickle_due(&self, slot: thalweg_core::EndpointSlot, replayable: bool) -> bool {
        self.0.trickle_due(slot, replayable)
    }
}

impl Subject {
    pub(crate) fn new(mutant: Mutant) -> Self {
        Self { world: World::default(), mutant, cleared: BTreeSet::new() }
    }

    pub(crate) fn apply(&mut self, event: Event, now: Tick) -> Changes {
        let mut event = event;
        match (self.mutant, &mut event) {
            (Mutant::NeverTicks, Event::Ticked)
            | (Mutant::IgnoresNames, Event::Resolved { .. })
            | (Mutant::IgnoresFailback, Event::FailbackOrdered { .. }) => return Changes::default(),
            (Mutant::ClearsOnReload, Event::Adopted { .. }) => {
                self.cleared = self.world.layout().endpoints.iter().map(|place| place.id).collect();
            }
            (Mutant::OrdersNeverExpire, Event::Ordered(order)) => order.until = None,
            (Mutant::IgnoresFreeze, Event::Ordered(order)) => {
                if let Action::Freeze { route } = &mut order.action {
                    *route = Some("none".into());
                }
            }
            (Mutant::ForgetsOnReload, Event::Adopted { generation, .. }) => {
                let (topology, generation) = (Arc::new(Topology::default()), *generation);
                self.world.apply(Event::Adopted { topology, generation }, now);
            }
            (Mutant::None, _) => {}
            (mutant, Event::Adopted { topology, .. }) => misread(mutant, Arc::make_mut(topology)),
            (Mutant::ProbeUnejects, Event::Probed { id, result: Ok(_) }) => _ = self.cleared.insert(*id),
            (mutant, event) => {
                if let (Mutant::CountsNewsTwice, Event::Suspected { .. }) = (mutant, &event) {
                    self.world.apply(event.clone(), now);
                }
                mishear(mutant, event, now);
            }
        }
        let mut changes = self.world.apply(event, now);
        if self.mutant == Mutant::BlamesShared {
            self.blame_spared(&mut changes, now);
        }
        self.mistell(&mut changes);
        changes
    }

    /// Ejects the endpoints that were spared.
    fn blame_spared(&mut self, changes: &mut Changes, now: Tick) {
        let spared = |change: &Change| match change {
            Change::Spared { key, .. } => Some(key.clone()),
            _ => None,
        };
        let keys: Vec<_> = changes.log.iter().filter_map(spared).collect();
        for key in keys {
            let places = self.world.layout().endpoints.iter();
            let id = places.map(|place| place.id).find(|id| self.world.key(*id) == Some(&key));
            for _ in 0..50 {
                let Some(id) = id else { break };
                let failure = Event::Suspected { id, fault: Fault::Status, started: now, at: now };
                let more = self.world.apply(failure, now);
                changes.publish = changes.publish.max(more.publish);
                changes.log.extend(more.log);
            }
        }
    }

    fn mistell(&self, changes: &mut Changes) {
        if self.mutant == Mutant::PublishesLate {
            changes.publish = changes.publish.min(Publish::Soon);
        }
        for change in &mut changes.log {
            if let (Mutant::MisdatesIncidents, Change::Incident(incident)) = (self.mutant, change) {
                incident.detected = incident.first_bad;
            }
        }
    }

    /// May this order be given?
    pub(crate) fn judge_order(&self, action: &Action, force: bool, now: Tick) -> Result<(), OrderProblem> {
        self.world.judge_order(action, force || self.mutant == Mutant::TakesOutTheLast, now)
    }

    /// The world's snapshot.
    pub(crate) fn snapshot(&mut self) -> Snapshot {
        let mut snapshot = self.world.snapshot();
        snapshot.checker_suspected &= self.mutant != Mutant::NeverSuspectsChecker;
        for (place, view) in snapshot.layout.endpoints.iter().zip(&mut snapshot.endpoints) {
            match view.ejection {
                Ejection::Clear => _ = self.cleared.remove(&place.id),
                _ if self.cleared.contains(&place.id) => view.ejection = Ejection::Clear,
                _ => {}
            }
            view.availability = shown(view);
            if self.mutant == Mutant::IgnoresFlapping {
                view.scale = Scale::WHOLE;
            }
        }
        snapshot
    }

    pub(crate) fn steer(
        &self,
        snapshot: &Snapshot,
        loads: &impl Loads,
        facts: &Facts<'_>,
        roll: u64,
    ) -> Result<Decision, Refusal> {
        let lie = |change: fn(&mut thalweg_core::EndpointView)| {
            let mut snapshot = snapshot.clone();
            snapshot.endpoints.iter_mut().for_each(change);
            snapshot
        };
        match self.mutant {
            Mutant::IgnoresTried => steer(snapshot, loads, &Facts { tried: &[], ..*facts }, roll),
            Mutant::IgnoresCaps => steer(snapshot, &UncappedLoads(loads), facts, roll),
            Mutant::IgnoresDown => {
                let lie = lie(|view| {
                    if view.availability == Availability::Down && view.admin == Admin::Enabled {
                        view.availability = Availability::Up;
                    }
                });
                steer(&lie, loads, facts, roll)
            }
            Mutant::EjectedServe => {
                let lie = lie(|view| {
                    if matches!(view.ejection, Ejection::Ejected { .. }) {
                        view.ejection = Ejection::Clear;
                        view.availability = shown(view);
                    }
                });
                steer(&lie, loads, facts, roll)
            }
            Mutant::PanicForgetsEjected => {
                steer(&lie(|view| view.ejection = Ejection::Clear), loads, facts, roll)
            }
            Mutant::IgnoresOrders => {
                let lie = lie(|view| {
                    view.admin = Admin::Enabled;
                    view.availability = shown(view);
                });
                steer(&lie, loads, facts, roll)
            }
            _ => steer(snapshot, loads, facts, roll),
        }
    }
}

/// Misreads a config.
fn misread(mutant: Mutant, topology: &mut Topology) {
    let day = Duration::from_secs(86_400);
    for route in &mut topology.routes {
        match mutant {
            Mutant::SkipsHold => route.failback.hold = route.failback.hold.map(|_| Duration::ZERO),
            Mutant::SkipsRamp => route.failback.ramp = Duration::ZERO,
            Mutant::NeverDamps => route.damping = None,
            Mutant::DampsEarly => route.damping.iter_mut().for_each(|rules| rules.suppress = 0.1),
            Mutant::DampsForever => {
                route.damping.iter_mut().for_each(|rules| (rules.half_life, rules.max) = (day, day));
            }
            Mutant::ForgetsLatch => _ = route.failback.hold.get_or_insert(Duration::from_secs(10)),
            Mutant::DwellsForever => route.band.iter_mut().for_each(|band| band.dwell = day),
            _ => {}
        }
    }
    for pool in &mut topology.pools {
        match mutant {
            Mutant::IgnoresCapacity => pool.capacity = 0,
            Mutant::PanicsEarly => pool.panic_threshold = 1.0,
            Mutant::EjectsPastShare => pool.eject.max_share = 1.0,
            Mutant::EjectsEarly => pool.eject.failure_ratio /= 2.0,
            Mutant::IgnoresRatio => pool.eject.failure_ratio = 0.0,
            Mutant::EjectionsNeverGrow => pool.eject.max = pool.eject.base,
            _ => {}
        }
    }
}

/// Misreads what requests did.
fn mishear(mutant: Mutant, event: &mut Event, now: Tick) {
    match (mutant, event) {
        (Mutant::ProvenAtOnce, Event::Tallied(tallies)) => {
            tallies.iter_mut().for_each(|tally| tally.proof *= 5);
        }
        (Mutant::ProvenByOld, Event::Tallied(tallies)) => {
            tallies.iter_mut().for_each(|tally| tally.proof = tally.counts.good);
        }
        (Mutant::ForgetsGood, Event::Tallied(tallies)) => {
            tallies.iter_mut().for_each(|tally| tally.last_good = None);
        }
        (Mutant::OrdersByArrival, Event::Suspected { at, .. }) => *at = now,
        (Mutant::BlamesProbationForOld, Event::Suspected { started, at, .. }) => *started = now.max(*at),
        (Mutant::BlamesLocal, Event::Suspected { fault, .. }) if *fault == Fault::Local => {
            *fault = Fault::Reset;
        }
        _ => {}
    }
}
