//! What is put to the test: the real core, or the real core with one rule broken on purpose. A simulation that does
//! not notice the broken ones proves nothing about the real one.

use std::sync::Arc;

use thalweg_core::{
    Admin, Availability, Changes, Decision, Event, Facts, Loads, Publish, Refusal, Snapshot, Tick, Topology,
    World, steer,
};

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
    /// Steers past the caps.
    IgnoresCaps,
    /// Loses all health with each reload.
    ForgetsOnReload,
    /// Returns to a pool that was left without waiting.
    SkipsHold,
    /// Takes any loss for a shortage.
    PanicsEarly,
    /// Misses the ticks.
    NeverTicks,
    /// Never follows a change of latencies.
    DwellsForever,
    /// Lets a loss wait for the next picture.
    PublishesLate,
    /// Does not hear which names moved.
    IgnoresNames,
}

impl Mutant {
    /// Every broken one.
    pub(crate) const ALL: [Self; 11] = [
        Self::IgnoresTried,
        Self::IgnoresDown,
        Self::IgnoresOrders,
        Self::IgnoresCaps,
        Self::ForgetsOnReload,
        Self::SkipsHold,
        Self::PanicsEarly,
        Self::NeverTicks,
        Self::DwellsForever,
        Self::PublishesLate,
        Self::IgnoresNames,
    ];
}

/// The core behind one door.
pub(crate) struct Subject {
    pub(crate) world: World,
    mutant: Mutant,
}

/// Nobody is at a cap.
struct Idle<'a, L>(&'a L);

impl<L: Loads> Loads for Idle<'_, L> {
    fn in_flight(&self, _: thalweg_core::EndpointSlot) -> u32 {
        0
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
        Self { world: World::default(), mutant }
    }

    pub(crate) fn apply(&mut self, event: Event, now: Tick) -> Changes {
        let event = match (self.mutant, event) {
            (Mutant::NeverTicks, Event::Ticked) | (Mutant::IgnoresNames, Event::Resolved { .. }) => {
                return Changes::default();
            }
            (mutant, Event::Adopted { topology, generation }) => {
                let mut topology = topology;
                match mutant {
                    Mutant::ForgetsOnReload => {
                        let nothing = Arc::new(Topology::default());
                        self.world.apply(Event::Adopted { topology: nothing, generation }, now);
                    }
                    Mutant::SkipsHold => {
                        let routes = &mut Arc::make_mut(&mut topology).routes;
                        routes.iter_mut().for_each(|route| route.failback_hold = std::time::Duration::ZERO);
                    }
                    Mutant::DwellsForever => {
                        let routes = &mut Arc::make_mut(&mut topology).routes;
                        let forever = std::time::Duration::from_secs(86_400);
                        routes.iter_mut().filter_map(|r| r.band.as_mut()).for_each(|b| b.dwell = forever);
                    }
                    Mutant::PanicsEarly => {
                        let pools = &mut Arc::make_mut(&mut topology).pools;
                        pools.iter_mut().for_each(|pool| pool.panic_threshold = 1.0);
                    }
                    _ => {}
                }
                Event::Adopted { topology, generation }
            }
            (_, event) => event,
        };
        let mut changes = self.world.apply(event, now);
        if self.mutant == Mutant::PublishesLate {
            changes.publish = changes.publish.min(Publish::Soon);
        }
        changes
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
            Mutant::IgnoresCaps => steer(snapshot, &Idle(loads), facts, roll),
            Mutant::IgnoresDown => {
                let lie = lie(|view| {
                    if view.availability == Availability::Down && view.admin == Admin::Enabled {
                        view.availability = Availability::Up;
                    }
                });
                steer(&lie, loads, facts, roll)
            }
            Mutant::IgnoresOrders => {
                let lie = lie(|view| {
                    view.admin = Admin::Enabled;
                    view.availability = Availability::of(view.probe, view.admin, view.ejection);
                });
                steer(&lie, loads, facts, roll)
            }
            _ => steer(snapshot, loads, facts, roll),
        }
    }
}
