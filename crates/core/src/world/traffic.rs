//! What the world concludes from real traffic: who is to be ejected. Here the endpoints of a route are compared with
//! each other; what becomes of those that are convicted is in `sentences`.

use std::{collections::BTreeSet, time::Duration};

use super::{Known, World, route_state::RouteState};
use crate::{
    axes::{Availability, Ejection},
    baseline,
    eject::{Comparison, Share, worse},
    event::{Changes, Publish},
    fault::{Evidence, Fault},
    reason::Cause,
    ring::{Grid, Ring},
    slot::{EndpointId, EndpointSlot, PoolSlot, RouteSlot, SlotVec, slots_in},
    tally::{Counts, Tally},
    tick::{Tick, micros},
    topology::{EjectRules, ProbeRules},
};

/// Lateness is compared with that of the others over this span.
const LATELY: Duration = Duration::from_secs(2);

/// Counts of pools and routes, and who is serving a sentence.
#[derive(Debug)]
pub(super) struct Traffic {
    grid: Grid,
    pools: SlotVec<PoolSlot, Option<Ring>>,
    routes: SlotVec<RouteSlot, Option<Ring>>,
    /// Ejections of the last [`VELOCITY`] that came from Clear.
    pub(super) convicted: Vec<(Tick, EndpointId)>,
    /// Endpoints that are not Clear.
    pub(super) sentenced: BTreeSet<EndpointId>,
    /// When what is usual is looked through for what is too old; nothing is usual yet.
    pub(super) age_at: Option<Tick>,
}

impl Default for Traffic {
    fn default() -> Self {
        let grid = Grid::over(EjectRules::default().window);
        let (pools, routes) = (SlotVec::default(), SlotVec::default());
        Self { grid, pools, routes, convicted: Vec::new(), sentenced: BTreeSet::new(), age_at: None }
    }
}

impl World {
    /// Takes a probe's result in. A timeout proves nothing while real requests are answered.
    pub(super) fn probed(
        &mut self,
        slot: EndpointSlot,
        result: Result<Duration, Evidence>,
        now: Tick,
        changes: &mut Changes,
    ) {
        let Some(known) = self.known.get(slot) else { return };
        let timeout = self.probe_rules(slot).map_or(Duration::ZERO, |rules| rules.timeout);
        let timed_out = result.as_ref().is_err_and(|evidence| evidence.fault == Fault::Timeout);
        let sent = Tick(now.0.saturating_sub(micros(timeout)));
        let contradicted = timed_out && known.record.good_since(sent);
        let before = known.health.probe;
        self.observe(slot, now, changes, |health, rules| match (result, rules) {
            (Err(evidence), Some(_)) if contradicted => health.contradicted(evidence, now),
            (result, Some(rules)) => health.probed(result, rules, now),
            (_, None) => {}
        });
        self.weigh_doubt(slot, before, now, changes);
    }

    /// A request failed there.
    pub(super) fn suspected(
        &mut self,
        slot: EndpointSlot,
        (fault, started, at): (Fault, Tick, Tick),
        now: Tick,
        changes: &mut Changes,
    ) {
        if fault == Fault::Local {
            return;
        }
        self.observe(slot, now, changes, |health, _| health.suspected(fault));
        let alone =
            |route| self.lateness_counts(slot, route, now) && !self.late_together(slot, route, started);
        let excused = fault == Fault::Late && !self.layout.routes_of(slot).iter().any(|route| alone(*route));
        let Some(known) = self.known.get_mut(slot) else { return };
        if fault == Fault::Late {
            known.record.was_late(at);
        }
        if excused {
            return;
        }
        let afresh = known.record.was_calm();
        known.record.failed(fault, at);
        match known.health.ejection {
            Ejection::Clear => self.judge(slot, now, changes),
            Ejection::Probation if known.record.is_of_probation(started) => {
                let detail = format!("a request of its probation failed: {}", fault.as_str());
                self.eject(slot, (Cause::Probation, detail), now, changes);
            }
            Ejection::Probation | Ejection::Ejected { .. } => {}
        }
        self.incident_bad(slot, (Some(fault), afresh), at);
    }

    /// Takes in what requests did since the last time.
    pub(super) fn tallied(&mut self, tallies: Vec<Tally>, now: Tick, changes: &mut Changes) {
        for tally in tallies {
            let Some(slot) = self.slots.get(&tally.id).copied() else { continue };
            self.count_traffic(slot, tally.counts, now);
            let Some(known) = self.known.get_mut(slot) else { continue };
            let afresh = known.record.was_calm();
            known.record.count(&tally, self.traffic.grid, now);
            let before = known.record.p95_us();
            if known.health.ejection == Ejection::Clear {
                known.record.measure(&tally.spans, now);
                self.traffic.age_at.get_or_insert(now.after(baseline::PART));
            }
            if moved(before, known.record.p95_us()) {
                changes.publish = changes.publish.max(Publish::Soon);
            }
            if tally.counts.good > 0 && known.answers_again() {
                self.observe(slot, now, changes, |health, _| health.refusing = false);
            }
            let bad = tally.counts.bad(true) > 0;
            if bad {
                self.incident_bad(slot, (None, afresh), now);
            }
            self.incident_fallout(slot, &tally.fallout);
            if bad {
                self.judge(slot, now, changes);
            }
        }
        self.release(now, changes);
    }

    /// After a new layout: the counts of pools and routes are those of their endpoints.
    pub(super) fn retell_traffic(&mut self) {
        let pools = &self.layout.topology.pools;
        let window = pools.iter().map(|pool| pool.eject.window).max().unwrap_or(EjectRules::default().window);
        let grid = Grid::over(window);
        let sum =
            |into: &mut Option<Ring>, ring: &Ring| into.get_or_insert_with(|| Ring::new(grid)).merge(ring);
        let mut of_pools: SlotVec<PoolSlot, Option<Ring>> = pools.iter().map(|_| None).collect();
        for (place, known) in self.layout.endpoints.iter().zip(&mut self.known) {
            known.record.keep_to(grid);
            if let Some(ring) = known.record.ring()
                && let Some(pool) = of_pools.get_mut(place.pool)
            {
                sum(pool, ring);
            }
        }
        let routes = &self.layout.topology.routes;
        let mut of_routes: SlotVec<RouteSlot, Option<Ring>> = routes.iter().map(|_| None).collect();
        for (pool, ring) in of_pools.entries() {
            for route in self.layout.users(pool) {
                if let (Some(ring), Some(route)) = (ring, of_routes.get_mut(*route)) {
                    sum(route, ring);
                }
            }
        }
        let sentenced = self.layout.endpoints.iter().zip(&self.known);
        let sentenced = sentenced.filter(|(_, known)| known.health.ejection != Ejection::Clear);
        self.traffic.sentenced = sentenced.map(|(place, _)| place.id).collect();
        (self.traffic.grid, self.traffic.pools, self.traffic.routes) = (grid, of_pools, of_routes);
    }

    fn count_traffic(&mut self, slot: EndpointSlot, counts: Counts, now: Tick) {
        let Some(pool) = self.pool_of(slot) else { return };
        if counts.total() == 0 {
            return;
        }
        let grid = self.traffic.grid;
        let add = |ring: Option<&mut Option<Ring>>| {
            if let Some(ring) = ring {
                ring.get_or_insert_with(|| Ring::new(grid)).add(counts, now);
            }
        };
        add(self.traffic.pools.get_mut(pool));
        for route in self.layout.users(pool) {
            add(self.traffic.routes.get_mut(*route));
        }
    }

    fn pool_of(&self, slot: EndpointSlot) -> Option<PoolSlot> {
        self.layout.endpoints.get(slot).map(|place| place.pool)
    }

    /// The traffic of a route that an endpoint's is compared with: that of its other pools; where it has only one,
    /// that of the pool's other endpoints.
    fn others(&self, slot: EndpointSlot, route: RouteSlot) -> Comparison<'_> {
        let of_pool =
            self.pool_of(slot).and_then(|pool| self.traffic.pools.get(pool)).and_then(Option::as_ref);
        if self.route(route).is_some_and(|route| route.pools.len() > 1) {
            let all = self.traffic.routes.get(route).and_then(Option::as_ref);
            return Comparison { all, less: of_pool };
        }
        let own = self.known.get(slot).and_then(|known| known.record.ring());
        Comparison { all: of_pool, less: own }
    }

    /// Late answers are held against an endpoint only while the route's others are not as late as it is.
    fn lateness_counts(&self, slot: EndpointSlot, route: RouteSlot, now: Tick) -> bool {
        let own = self.known.get(slot).and_then(|known| known.record.ring());
        let own = own.map(|ring| ring.last(LATELY, now)).unwrap_or_default();
        let other = self.others(slot, route).last(LATELY, now);
        worse(
            Share { bad: own.late.max(1), total: own.total().max(1) },
            Share { bad: other.late, total: other.total() },
        )
    }

    /// Since `from` the route's others were late as well, and nobody was in time: when all become slow at once, the
    /// answers from before say nothing, and who is drawn first has most of the few late ones.
    fn late_together(&self, slot: EndpointSlot, route: RouteSlot, from: Tick) -> bool {
        let none_in_time = !self.rivals(slot, route).any(|rival| rival.record.good_since(from));
        none_in_time && self.rivals(slot, route).any(|rival| rival.record.late_since(from))
    }

    /// Those whose traffic an endpoint's is compared with, as in [`World::others`].
    fn rivals(&self, slot: EndpointSlot, route: RouteSlot) -> impl Iterator<Item = &Known> {
        let own = self.pool_of(slot);
        let pools = self.route(route).map(|route| &*route.pools).unwrap_or_default();
        let elsewhere = pools.len() > 1;
        let pools =
            pools.iter().map(|member| member.pool).filter(move |pool| !elsewhere || Some(*pool) != own);
        let slots = pools.flat_map(|pool| slots_in(&self.layout.members(pool)));
        slots.filter(move |rival| *rival != slot).filter_map(|rival| self.known.get(rival))
    }

    /// Does what is known convict it, and may it be taken out?
    fn judge(&mut self, slot: EndpointSlot, now: Tick, changes: &mut Changes) {
        let Some(known) = self.known.get(slot) else { return };
        let Some(rules) = self.eject_rules(slot) else { return };
        // In panic probes say nothing: real traffic alone tells who is to go.
        let serves = match known.health.availability() {
            Availability::Up => true,
            _ => {
                known.health.in_panic() && self.layout.routes_of(slot).iter().any(|route| self.panics(*route))
            }
        };
        if !serves {
            return;
        }
        let by_ratio = || {
            self.layout.routes_of(slot).iter().find_map(|route| {
                let route = *route;
                let late = self.lateness_counts(slot, route, now);
                known.record.ratio(rules, &self.others(slot, route), late, now)
            })
        };
        let in_a_row = known.record.in_a_row(rules).map(|detail| (Cause::Consecutive, detail));
        let verdict = in_a_row.or_else(|| by_ratio().map(|detail| (Cause::Ratio, detail)));
        if let Some(verdict) = verdict
            && self.may_eject(slot, rules.max_share, now)
        {
            self.eject(slot, verdict, now, changes);
        }
    }

    pub(super) fn panics(&self, route: RouteSlot) -> bool {
        self.routes.get(route).is_some_and(RouteState::panics)
    }

    fn probe_rules(&self, slot: EndpointSlot) -> Option<&ProbeRules> {
        self.layout.pool_of(slot)?.probe.as_ref()
    }

    pub(super) fn eject_rules(&self, slot: EndpointSlot) -> Option<&EjectRules> {
        self.layout.pool_of(slot).map(|pool| &pool.eject)
    }
}

/// Worth a new picture: a bucket's width is noise.
fn moved(before: Option<u32>, after: Option<u32>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => before.abs_diff(after) > before / 3,
        (before, after) => before != after,
    }
}
