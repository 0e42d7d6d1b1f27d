//! Owner of one question: is the checker to be suspected, rather than the endpoints? When most endpoints fail their
//! probes within one round, it is. Panic keeps traffic going by what real requests show; this says so aloud, and
//! takes it back.

use std::{collections::BTreeMap, time::Duration};

use crate::{axes::Probe, event::Change, slot::EndpointId, tick::Tick};

/// Fewer endpoints than this say nothing about the checker.
const CROWD: u32 = 2;

/// Which endpoints fell when, and whether the checker is suspected.
#[derive(Clone, Debug, Default)]
pub(super) struct CheckerSuspicion {
    /// When each endpoint that is Unhealthy fell. One that flaps counts once.
    falls: BTreeMap<EndpointId, Tick>,
    healthy: u32,
    unhealthy: u32,
    adopted: Option<Tick>,
    on: bool,
}

/// An endpoint's probe axis before and after a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProbeMove {
    pub(super) id: EndpointId,
    pub(super) before: Probe,
    pub(super) after: Probe,
}

impl CheckerSuspicion {
    /// The checker is suspected.
    pub(super) fn on(&self) -> bool {
        self.on
    }

    /// Notes that a config came into force: what fails right after it may be the config's fault.
    pub(super) fn adopted(&mut self, now: Tick) {
        self.adopted = Some(now);
    }

    /// Takes in how an endpoint's probe axis moved. `round` is the time in which the probes find every endpoint that
    /// fails.
    pub(super) fn probed(&mut self, moved: ProbeMove, round: Duration, now: Tick) -> Option<Change> {
        if moved.before == moved.after {
            return None;
        }
        if let Some(count) = self.count(moved.before) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.count(moved.after) {
            *count += 1;
        }
        self.falls.remove(&moved.id);
        // An endpoint that a new config could never reach speaks against the config.
        let fell = moved.before.serves() || self.is_fresh(round, now);
        if moved.after == Probe::Unhealthy && fell {
            self.falls.insert(moved.id, now);
        }
        self.conclude(round, now)
    }

    /// Counts all endpoints again, after a new layout.
    pub(super) fn recount(
        &mut self,
        probes: impl Iterator<Item = (EndpointId, Probe)>,
        round: Duration,
        now: Tick,
    ) -> Option<Change> {
        let mut falls = BTreeMap::new();
        (self.healthy, self.unhealthy) = (0, 0);
        for (id, probe) in probes {
            if let Some(count) = self.count(probe) {
                *count += 1;
            }
            if let Some(fall) = self.falls.remove(&id).filter(|_| probe == Probe::Unhealthy) {
                falls.insert(id, fall);
            }
        }
        self.falls = falls;
        self.conclude(round, now)
    }

    fn count(&mut self, probe: Probe) -> Option<&mut u32> {
        match probe {
            Probe::Unknown => None,
            Probe::Healthy | Probe::Flapping => Some(&mut self.healthy),
            Probe::Unhealthy => Some(&mut self.unhealthy),
        }
    }

    /// The config came into force within the last round.
    fn is_fresh(&self, round: Duration, now: Tick) -> bool {
        self.adopted.is_some_and(|adopted| now.since(adopted) <= round)
    }

    fn conclude(&mut self, round: Duration, now: Tick) -> Option<Change> {
        let judged = self.unhealthy.saturating_add(self.healthy);
        let most = |part: u32| judged >= CROWD && part > judged / 2;
        // Endpoints that fell lately are among those that are down: most of the time nothing is to be counted.
        let lately = || {
            let count = self.falls.values().filter(|fall| now.since(**fall) <= round).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let fallen = if self.on || !most(self.unhealthy) { self.unhealthy } else { lately() };
        let on = most(fallen);
        if on == self.on {
            return None;
        }
        self.on = on;
        Some(Change::CheckerSuspected { on, fallen, of: judged, after_reload: self.is_fresh(round, now) })
    }
}
