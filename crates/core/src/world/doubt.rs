//! "Is it me?" When most endpoints fail their probes within one round, the checker is the first suspect. Panic keeps
//! traffic going by what real requests say; this says it aloud, and takes it back.

use std::{collections::BTreeMap, time::Duration};

use super::World;
use crate::{Change, Changes, EndpointId, Probe, ProbeRules, Publish, Tick};

/// Fewer endpoints than this are no crowd.
const CROWD: u32 = 2;

/// Who fell when, and whether the checker is suspected.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// When each that is down fell. One that flaps is one.
    falls: BTreeMap<EndpointId, Tick>,
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
}

impl World {
    /// An endpoint's probe state may have moved from `before`.
    pub(super) fn weigh_doubt(&mut self, slot: u32, before: Probe, now: Tick, changes: &mut Changes) {
        let after = self.known.get(slot as usize).map_or(before, |known| known.health.probe);
        if before == after {
            return;
        }
        let Some(id) = self.layout.endpoints.get(slot as usize).map(|place| place.id) else { return };
        let round = self.round();
        let (slots, known) = (&self.slots, &self.known);
        let is_down = |id: &EndpointId| {
            let known = slots.get(id).and_then(|slot| known.get(*slot as usize));
            known.is_some_and(|known| known.health.probe == Probe::Unhealthy)
        };
        self.doubt.falls.retain(|other, _| *other != id && is_down(other));
        if (before, after) == (Probe::Healthy, Probe::Unhealthy) {
            self.doubt.falls.insert(id, now);
        }
        let count = |state: Probe| self.known.iter().filter(|known| known.health.probe == state).count();
        let unhealthy = u32::try_from(count(Probe::Unhealthy)).unwrap_or(u32::MAX);
        let judged = unhealthy.saturating_add(u32::try_from(count(Probe::Healthy)).unwrap_or(u32::MAX));
        let lately = self.doubt.falls.values().filter(|fall| now.since(**fall) <= round).count();
        let fallen = u32::try_from(lately).unwrap_or(u32::MAX).min(unhealthy);
        let most = |part: u32| judged >= CROWD && part > judged / 2;
        let on = if self.doubt.on { most(unhealthy) } else { most(fallen) };
        if on != self.doubt.on {
            self.doubt.on = on;
            let after_reload = self.doubt.adopted.is_some_and(|adopted| now.since(adopted) <= round);
            let fallen = if on { fallen } else { unhealthy };
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
