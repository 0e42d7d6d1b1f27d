//! What the world concludes from real traffic: who is to be ejected. Here the endpoints of a route are compared with
//! each other; what becomes of those that are convicted is in `sentences`.

use std::{collections::BTreeSet, time::Duration};

use super::{Known, World};
use crate::{
    Availability, Cause, Changes, Counts, EjectRules, Ejection, EndpointId, Evidence, Fault, ProbeRules,
    Publish, Tally, Tick, baseline,
    eject::{Comparison, worse},
    ring::{Grid, Ring},
    routes::RouteState,
};

/// Lateness is compared with that of the others over this span.
const LATELY: Duration = Duration::from_secs(2);

/// Counts of pools and routes, and who is serving a sentence.
#[derive(Debug)]
pub(super) struct Traffic {
    grid: Grid,
    pools: Vec<Option<Ring>>,
    routes: Vec<Option<Ring>>,
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
        let (pools, routes) = (Vec::new(), Vec::new());
        Self { grid, pools, routes, convicted: Vec::new(), sentenced: BTreeSet::new(), age_at: None }
    }
}

impl World {
    /// Takes a probe's result in. A timeout proves nothing while real requests are answered.
    pub(super) fn probed(
        &mut self,
        slot: u32,
        result: Result<Duration, Evidence>,
        now: Tick,
        changes: &mut Changes,
    ) {
        let Some(known) = self.known.get(slot as usize) else { return };
        let timeout = self.probe_rules(slot).map_or(Duration::ZERO, |rules| rules.timeout);
        let timed_out = result.as_ref().is_err_and(|evidence| evidence.fault == Fault::Timeout);
        let sent = Tick(now.0.saturating_sub(crate::micros(timeout)));
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
        slot: u32,
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
        let excused = fault == Fault::Late && !self.routes_of(slot).any(alone);
        let Some(known) = self.known.get_mut(slot as usize) else { return };
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
            let Some(known) = self.known.get_mut(slot as usize) else { continue };
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
        let mut of_pools: Vec<Option<Ring>> = vec![None; pools.len()];
        for (place, known) in self.layout.endpoints.iter().zip(&mut self.known) {
            known.record.keep_to(grid);
            if let Some(ring) = known.record.ring()
                && let Some(pool) = of_pools.get_mut(place.pool.0 as usize)
            {
                sum(pool, ring);
            }
        }
        let mut of_routes: Vec<Option<Ring>> = vec![None; self.layout.topology.routes.len()];
        for (ring, users) in of_pools.iter().zip(&self.users) {
            for route in users {
                if let (Some(ring), Some(route)) = (ring, of_routes.get_mut(*route as usize)) {
                    sum(route, ring);
                }
            }
        }
        let sentenced = self.layout.endpoints.iter().zip(&self.known);
        let sentenced = sentenced.filter(|(_, known)| known.health.ejection != Ejection::Clear);
        self.traffic.sentenced = sentenced.map(|(place, _)| place.id).collect();
        (self.traffic.grid, self.traffic.pools, self.traffic.routes) = (grid, of_pools, of_routes);
    }

    fn count_traffic(&mut self, slot: u32, counts: Counts, now: Tick) {
        let Some(pool) = self.layout.endpoints.get(slot as usize).map(|place| place.pool.0 as usize) else {
            return;
        };
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
        for route in self.users.get(pool).into_iter().flatten() {
            add(self.traffic.routes.get_mut(*route as usize));
        }
    }

    /// Which pool; one beyond all if there is no such endpoint.
    fn pool_of(&self, slot: u32) -> usize {
        self.layout.endpoints.get(slot as usize).map_or(usize::MAX, |place| place.pool.0 as usize)
    }

    pub(super) fn routes_of(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        let pool = self.pool_of(slot);
        self.users.get(pool).into_iter().flatten().copied()
    }

    /// The traffic of a route that an endpoint's is compared with: that of its other pools; where it has only one,
    /// that of the pool's other endpoints.
    fn others(&self, slot: u32, route: u32) -> Comparison<'_> {
        let pool = self.pool_of(slot);
        let of_pool = self.traffic.pools.get(pool).and_then(Option::as_ref);
        if self.route(route).is_some_and(|route| route.pools.len() > 1) {
            let all = self.traffic.routes.get(route as usize).and_then(Option::as_ref);
            return Comparison { all, less: of_pool };
        }
        let own = self.known.get(slot as usize).and_then(|known| known.record.ring());
        Comparison { all: of_pool, less: own }
    }

    /// Late answers are held against an endpoint only while the route's others are not as late as it is.
    fn lateness_counts(&self, slot: u32, route: u32, now: Tick) -> bool {
        let own = self.known.get(slot as usize).and_then(|known| known.record.ring());
        let own = own.map(|ring| ring.last(LATELY, now)).unwrap_or_default();
        let other = self.others(slot, route).last(LATELY, now);
        worse((own.late.max(1), own.total().max(1)), (other.late, other.total()))
    }

    /// Since `from` the route's others were late as well, and nobody was in time: when all become slow at once, the
    /// answers from before say nothing, and who is drawn first has most of the few late ones.
    fn late_together(&self, slot: u32, route: u32, from: Tick) -> bool {
        let none_in_time = !self.rivals(slot, route).any(|rival| rival.record.good_since(from));
        none_in_time && self.rivals(slot, route).any(|rival| rival.record.late_since(from))
    }

    /// Those whose traffic an endpoint's is compared with, as in [`World::others`].
    fn rivals(&self, slot: u32, route: u32) -> impl Iterator<Item = &Known> {
        let own = self.pool_of(slot);
        let pools = self.route(route).map(|route| &*route.pools).unwrap_or_default();
        let elsewhere = pools.len() > 1;
        let pools = pools.iter().map(|member| member.pool).filter(move |pool| !elsewhere || *pool != own);
        let slots = pools.filter_map(|pool| self.layout.ranges.get(pool).cloned()).flatten();
        slots.filter(move |rival| *rival != slot).filter_map(|rival| self.known.get(rival as usize))
    }

    /// Does what is known convict it, and may it be taken out?
    fn judge(&mut self, slot: u32, now: Tick, changes: &mut Changes) {
        let Some(known) = self.known.get(slot as usize) else { return };
        let Some(rules) = self.eject_rules(slot) else { return };
        // In panic probes say nothing: real traffic alone tells who is to go.
        let serves = match known.health.availability() {
            Availability::Up => true,
            _ => known.health.in_panic() && self.routes_of(slot).any(|route| self.panics(route)),
        };
        if !serves {
            return;
        }
        let by_ratio = || {
            self.routes_of(slot).find_map(|route| {
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

    pub(super) fn panics(&self, route: u32) -> bool {
        self.routes.get(route as usize).is_some_and(RouteState::panics)
    }

    fn probe_rules(&self, slot: u32) -> Option<&ProbeRules> {
        let pool = self.layout.endpoints.get(slot as usize)?.pool;
        self.layout.topology.pools.get(pool.0 as usize)?.probe.as_ref()
    }

    pub(super) fn eject_rules(&self, slot: u32) -> Option<&EjectRules> {
        let pool = self.layout.endpoints.get(slot as usize)?.pool;
        self.layout.topology.pools.get(pool.0 as usize).map(|pool| &pool.eject)
    }
}

/// Worth a new picture: a bucket's width is noise.
fn moved(before: Option<u32>, after: Option<u32>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => before.abs_diff(after) > before / 3,
        (before, after) => before != after,
    }
}
