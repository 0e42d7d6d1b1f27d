//! "Is it me?" When most endpoints fail their probes within one round, the checker is the first suspect. Panic keeps
//! traffic going by what real requests say; this says it aloud, and takes it back.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::World;
use crate::{
    axes::Probe,
    event::{Change, Changes, Publish},
    slot::{EndpointId, EndpointSlot},
    tick::Tick,
    topology::ProbeRules,
};

/// Fewer endpoints than this are no crowd.
const CROWD: u32 = 2;

/// Who fell when, and whether the checker is suspected.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// When each that is down fell. One that flaps is one.
    falls: BTreeMap<EndpointId, Tick>,
    /// Endpoints whose probes say Healthy, and Unhealthy.
    healthy: u32,
    unhealthy: u32,
    adopted: Option<Tick>,
    on: bool,
}

impl Doubt {
    pub(super) fn on(&self) -> bool {
        self.on
    }

    /// A config came into force: what fails right after it may be the config's fault.
    pub(super) fn adopted(&mut self, now: Tick) {
        self.adopted = Some(now);
    }

    fn count(&mut self, probe: Probe) -> Option<&mut u32> {
        match probe {
            Probe::Unknown => None,
            Probe::Healthy => Some(&mut self.healthy),
            Probe::Unhealthy => Some(&mut self.unhealthy),
        }
    }
}

impl World {
    /// An endpoint's probe state may have moved from `before`.
    pub(super) fn weigh_doubt(
        &mut self,
        slot: EndpointSlot,
        before: Probe,
        now: Tick,
        changes: &mut Changes,
    ) {
        let after = self.known.get(slot).map_or(before, |known| known.health.probe);
        let Some(id) = self.layout.endpoints.get(slot).map(|place| place.id) else { return };
        if before == after {
            return;
        }
        if let Some(count) = self.doubt.count(before) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.doubt.count(after) {
            *count += 1;
        }
        self.doubt.falls.remove(&id);
        // What a new config could never reach speaks against the config.
        let fell = match before {
            Probe::Healthy => true,
            _ => self.doubt.adopted.is_some_and(|adopted| now.since(adopted) <= self.round()),
        };
        if after == Probe::Unhealthy && fell {
            self.doubt.falls.insert(id, now);
        }
        self.conclude_doubt(now, changes);
    }

    /// After a new layout: who is gone counts no more.
    pub(super) fn recount_doubt(&mut self, now: Tick, changes: &mut Changes) {
        let probes = self.layout.endpoints.iter().zip(&self.known).map(|(place, known)| (place.id, known));
        let (mut healthy, mut down) = (0, BTreeSet::new());
        for (id, known) in probes {
            healthy += u32::from(known.health.probe == Probe::Healthy);
            if known.health.probe == Probe::Unhealthy {
                down.insert(id);
            }
        }
        self.doubt.falls.retain(|id, _| down.contains(id));
        (self.doubt.healthy, self.doubt.unhealthy) = (healthy, u32::try_from(down.len()).unwrap_or(u32::MAX));
        self.conclude_doubt(now, changes);
    }

    fn conclude_doubt(&mut self, now: Tick, changes: &mut Changes) {
        let unhealthy = self.doubt.unhealthy;
        let judged = unhealthy.saturating_add(self.doubt.healthy);
        let most = |part: u32| judged >= CROWD && part > judged / 2;
        let round = self.round();
        // Those that fell lately are among those that are down: most of the time there is nothing to count.
        let lately = || {
            let count = self.doubt.falls.values().filter(|fall| now.since(**fall) <= round).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let fallen = if self.doubt.on || !most(unhealthy) { unhealthy } else { lately() };
        let on = most(fallen);
        if on != self.doubt.on {
            self.doubt.on = on;
            let after_reload = self.doubt.adopted.is_some_and(|adopted| now.since(adopted) <= round);
            changes.log.push(Change::Doubted { on, fallen, of: judged, after_reload });
            changes.publish = changes.publish.max(Publish::Soon);
        }
    }

    /// The time in which every endpoint that fails is found to.
    fn round(&self) -> Duration {
        let round =
            |rules: &ProbeRules| rules.interval * 11 / 10 + (rules.timeout + rules.confirm) * rules.fall;
        let pools = &self.layout.topology.pools;
        pools.iter().filter_map(|pool| pool.probe.as_ref()).map(round).max().unwrap_or_default()
    }
}
