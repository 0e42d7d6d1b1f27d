//! Owner of what real traffic shows: the counts of every endpoint, pool and route. Compares endpoints with each other
//! and names the one that stands out. Never ejects: the caps and the ejection itself are in `ejections`.

use std::time::Duration;

use super::state::WorldState;
use crate::{
    baseline,
    chance::{Odds, Share, is_beyond_chance, is_worse},
    fault::Evidence,
    layout::Layout,
    outlier::{CommonRate, Comparison, EndpointTraffic, Finding, Outlier},
    reason::Cause,
    ring::{Grid, Ring},
    slot::{EndpointSlot, PoolSlot, RouteSlot, SlotVec, slots_in},
    tally::{Counts, Tally},
    tick::Tick,
    topology::EjectRules,
};

/// The span over which an endpoint's lateness is compared with that of the others.
const LATELY: Duration = Duration::from_secs(2);

/// The span over which a pool's load is measured.
const LOAD: Duration = Duration::from_secs(5);

/// What real traffic shows, by endpoint and summed by pool and route. The sums leave out the endpoints that are ejected or
/// in probation: an endpoint is compared with those that nothing speaks against.
#[derive(Clone, Debug)]
pub(super) struct Traffic {
    grid: Grid,
    endpoints: SlotVec<EndpointSlot, EndpointTraffic>,
    pools: SlotVec<PoolSlot, Option<Ring>>,
    routes: SlotVec<RouteSlot, Option<Ring>>,
    /// When the baselines age next; `None` before there is one.
    age_at: Option<Tick>,
}

/// Failures that may be an endpoint's own.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnFailures {
    pub(super) own: Share,
    /// When they began.
    pub(super) began: Tick,
    /// How improbable they must be.
    pub(super) odds: Odds,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            grid: Grid::over(EjectRules::default().window),
            endpoints: SlotVec::default(),
            pools: SlotVec::default(),
            routes: SlotVec::default(),
            age_at: None,
        }
    }
}

impl Traffic {
    pub(super) fn endpoint(&self, slot: EndpointSlot) -> Option<&EndpointTraffic> {
        self.endpoints.get(slot)
    }

    /// What traffic shows at an endpoint, to be changed.
    pub(super) fn endpoint_mut(&mut self, slot: EndpointSlot) -> Option<&mut EndpointTraffic> {
        self.endpoints.get_mut(slot)
    }

    /// Takes in what requests did at one endpoint. Says whether the endpoint was calm before.
    pub(super) fn count(&mut self, slot: EndpointSlot, tally: &Tally, layout: &Layout, now: Tick) -> bool {
        let Some(traffic) = self.endpoints.get_mut(slot) else { return false };
        if !traffic.is_out() {
            self.count_sums(slot, tally.counts, layout, now);
        }
        let Some(traffic) = self.endpoints.get_mut(slot) else { return false };
        let was_calm = traffic.was_calm();
        traffic.count(tally, self.grid, now);
        was_calm
    }

    /// Requests per second at a pool's endpoints lately, retries included.
    pub(super) fn rate(&self, pool: PoolSlot, now: Tick) -> f64 {
        let span = LOAD.min(self.grid.span());
        let counts = self.pools.get(pool).and_then(Option::as_ref).map(|ring| ring.last(span, now));
        counts.map_or(0.0, |counts| f64::from(counts.total()) / span.as_secs_f64())
    }

    /// Takes in times to the first byte at an endpoint that is Clear. Says whether what is usual there moved visibly.
    pub(super) fn measure(&mut self, slot: EndpointSlot, tally: &Tally, now: Tick) -> bool {
        let Some(traffic) = self.endpoints.get_mut(slot) else { return false };
        let before = traffic.p95_us();
        traffic.measure(&tally.spans, now);
        self.age_at.get_or_insert(now.after(baseline::PART));
        moved(before, traffic.p95_us())
    }

    /// Adds to the sums of the endpoint's pool and of the routes that use it.
    fn count_sums(&mut self, slot: EndpointSlot, counts: Counts, layout: &Layout, now: Tick) {
        let Some(place) = layout.endpoints.get(slot).filter(|_| counts.total() > 0) else { return };
        let grid = self.grid;
        let add = |ring: Option<&mut Option<Ring>>| {
            if let Some(ring) = ring {
                ring.get_or_insert_with(|| Ring::new(grid)).add(counts, now);
            }
        };
        add(self.pools.get_mut(place.pool));
        for route in layout.users(place.pool) {
            add(self.routes.get_mut(*route));
        }
    }

    /// An endpoint was ejected.
    pub(super) fn ejected(&mut self, slot: EndpointSlot, layout: &Layout, now: Tick) {
        if let Some(traffic) = self.endpoints.get_mut(slot) {
            traffic.ejected(now);
        }
        self.sum_up(layout);
    }

    /// Sums pools and routes up again: after a new layout, or when an endpoint begins or ceases to count there.
    pub(super) fn sum_up(&mut self, layout: &Layout) {
        let topology = &layout.topology;
        let windows = topology.pools.iter().map(|pool| pool.eject.window);
        let grid = Grid::over(windows.max().unwrap_or(EjectRules::default().window));
        let sum =
            |into: &mut Option<Ring>, ring: &Ring| into.get_or_insert_with(|| Ring::new(grid)).merge(ring);
        let mut of_pools: SlotVec<PoolSlot, Option<Ring>> = topology.pools.iter().map(|_| None).collect();
        for (place, traffic) in layout.endpoints.iter().zip(&mut self.endpoints) {
            traffic.keep_to(grid);
            let ring = traffic.ring().filter(|_| !traffic.is_out());
            if let (Some(ring), Some(pool)) = (ring, of_pools.get_mut(place.pool)) {
                sum(pool, ring);
            }
        }
        let mut of_routes: SlotVec<RouteSlot, Option<Ring>> = topology.routes.iter().map(|_| None).collect();
        for (pool, ring) in of_pools.entries() {
            for route in layout.users(pool) {
                if let (Some(ring), Some(route)) = (ring, of_routes.get_mut(*route)) {
                    sum(route, ring);
                }
            }
        }
        (self.grid, self.pools, self.routes) = (grid, of_pools, of_routes);
    }

    /// Takes what is known into a new layout; `from` says where each endpoint was.
    pub(super) fn carry(&mut self, from: &SlotVec<EndpointSlot, Option<EndpointSlot>>) {
        self.endpoints = std::mem::take(&mut self.endpoints).carried(from);
    }

    /// What the failures of an endpoint say about it; `None` if they are too few for an ejection anyway.
    pub(super) fn finding(
        &self,
        slot: EndpointSlot,
        rules: &EjectRules,
        state: &WorldState,
        now: Tick,
    ) -> Option<Finding> {
        let layout = &state.layout;
        let traffic = self.endpoints.get(slot)?;
        let outlier = |cause, detail: String| {
            let evidence = Evidence { fault: traffic.fault(cause, rules, now), detail: detail.into() };
            Outlier { cause, evidence }
        };
        let mut shared = None;
        if let Some(streak) = traffic.in_a_row(rules) {
            let detail = format!("{} failures in a row", streak.failures);
            let own = OwnFailures { own: streak.share(), began: streak.began, odds: Odds::SERVING };
            match self.in_common(slot, own, layout, now) {
                None => return Some(Finding::Outlier(outlier(Cause::Consecutive, detail))),
                Some(others) if others.is_vague() => {}
                Some(others) => shared = Some(outlier(Cause::Consecutive, format!("{detail}; {others}"))),
            }
        }
        for route in layout.routes_of(slot) {
            let late = self.lateness_counts(slot, *route, layout, now);
            let are_asked = state.asks_others(slot, *route);
            let others = Comparison { are_asked, ..self.others(slot, *route, layout) };
            match traffic.ratio(rules, &others, late, now) {
                Some((true, detail)) => return Some(Finding::Outlier(outlier(Cause::Ratio, detail))),
                Some((false, detail)) => {
                    // What is spared because too little is known of the others is no news yet.
                    let others = Some(others.rate(rules, late, now)).filter(|others| others.rate > 0.0);
                    let told = others.map(|others| outlier(Cause::Ratio, format!("{detail}; {others}")));
                    shared = shared.or(told);
                }
                None => {}
            }
        }
        shared.map(Finding::Shared)
    }

    /// Do the others fail as often? They do if the endpoint's share is no more than chance at their rate, or if none of them
    /// has answered since its failures began while some failed. Of several routes, those decide whose others have
    /// traffic, and one where the endpoint stands out is enough. Says how often they fail.
    pub(super) fn in_common(
        &self,
        slot: EndpointSlot,
        OwnFailures { own, began, odds }: OwnFailures,
        layout: &Layout,
        now: Tick,
    ) -> Option<CommonRate> {
        let rules = &layout.pool_of(slot)?.eject;
        let mut common = None;
        for route in layout.routes_of(slot) {
            let late = self.lateness_counts(slot, *route, layout, now);
            let rate = self.others(slot, *route, layout).rate(rules, late, now);
            if rate.requests == 0 {
                continue;
            }
            // Others of which too little is known are taken to fail as the endpoint did before.
            let traffic = self.endpoints.get(slot).filter(|_| rate.is_vague());
            let usual = traffic.map_or(rate.rate, |traffic| traffic.rate_before(own.bad, rules, now));
            if is_beyond_chance(own, usual, odds) && !self.fail_together(slot, *route, layout, began) {
                return None;
            }
            common.get_or_insert(rate);
        }
        common
    }

    /// Is a late answer to a request that began at `started` the endpoint's own fault? Not where the others are as
    /// late.
    pub(super) fn is_alone_late(
        &self,
        slot: EndpointSlot,
        started: Tick,
        layout: &Layout,
        now: Tick,
    ) -> bool {
        layout.routes_of(slot).iter().any(|route| {
            self.lateness_counts(slot, *route, layout, now)
                && !self.late_together(slot, *route, layout, started)
        })
    }

    /// The traffic of a route that an endpoint's is compared with: that of its other pools; where the route has only
    /// one, that of the pool's other endpoints.
    fn others(&self, slot: EndpointSlot, route: RouteSlot, layout: &Layout) -> Comparison<'_> {
        let pool = layout.endpoints.get(slot).map(|place| place.pool);
        let of_pool = pool.and_then(|pool| self.pools.get(pool)).and_then(Option::as_ref);
        let are_asked = true;
        if layout.topology.route(route).is_some_and(|route| route.pools.len() > 1) {
            let all = self.routes.get(route).and_then(Option::as_ref);
            return Comparison { all, less: of_pool, are_asked };
        }
        let own = self.endpoints.get(slot).filter(|own| !own.is_out());
        Comparison { all: of_pool, less: own.and_then(EndpointTraffic::ring), are_asked }
    }

    /// Late answers are held against an endpoint only while the route's others are not as late as it is.
    fn lateness_counts(&self, slot: EndpointSlot, route: RouteSlot, layout: &Layout, now: Tick) -> bool {
        let own = self.endpoints.get(slot).and_then(EndpointTraffic::ring);
        let own = own.map(|ring| ring.last(LATELY, now)).unwrap_or_default();
        let other = self.others(slot, route, layout).last(LATELY, now);
        is_worse(
            Share { bad: own.late.max(1), total: own.total().max(1) },
            Share { bad: other.late, total: other.total() },
        )
    }

    /// Since `from` some of the route's others were late as well, and none was in time. When all become slow at
    /// once, the answers from before say nothing, and the endpoint that is drawn first has most of the few late ones.
    fn late_together(&self, slot: EndpointSlot, route: RouteSlot, layout: &Layout, from: Tick) -> bool {
        let none_in_time = !self.rivals(slot, route, layout).any(|rival| rival.good_since(from));
        none_in_time && self.rivals(slot, route, layout).any(|rival| rival.late_since(from))
    }

    /// Since `from` some of the route's others failed as well, and none gave a good answer. When all begin to fail at
    /// once, the answers from before say nothing, and the endpoint that is drawn first has the first few failures.
    fn fail_together(&self, slot: EndpointSlot, route: RouteSlot, layout: &Layout, from: Tick) -> bool {
        let none_good = !self.rivals(slot, route, layout).any(|rival| rival.good_since(from));
        none_good && self.rivals(slot, route, layout).any(|rival| rival.bad_since(from))
    }

    /// The endpoints whose traffic an endpoint's is compared with, as in [`Traffic::others`].
    fn rivals<'a>(
        &'a self,
        slot: EndpointSlot,
        route: RouteSlot,
        layout: &'a Layout,
    ) -> impl Iterator<Item = &'a EndpointTraffic> {
        let own = layout.endpoints.get(slot).map(|place| place.pool);
        let pools = layout.topology.route(route).map(|route| &*route.pools).unwrap_or_default();
        let elsewhere = pools.len() > 1;
        let pools = pools.iter().map(|member| member.pool);
        let pools = pools.filter(move |pool| !elsewhere || Some(*pool) != own);
        let slots = pools.flat_map(|pool| slots_in(&layout.members(pool)));
        let rivals = slots.filter(move |rival| *rival != slot).filter_map(|rival| self.endpoints.get(rival));
        rivals.filter(|rival| !rival.is_out())
    }

    /// Lets the baselines age, when it is time. Says whether a percentile moved.
    pub(super) fn age(&mut self, now: Tick) -> bool {
        if self.age_at.is_none_or(|due| due > now) {
            return false;
        }
        self.age_at = Some(now.after(baseline::PART));
        self.endpoints.iter_mut().fold(false, |moved, traffic| traffic.age(now) | moved)
    }

    /// When the baselines age next.
    pub(super) fn age_due(&self) -> Option<Tick> {
        self.age_at
    }
}

/// Is a move of the percentile worth a new snapshot? A bucket's width is noise.
fn moved(before: Option<u32>, after: Option<u32>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => before.abs_diff(after) > before / 3,
        (before, after) => before != after,
    }
}
