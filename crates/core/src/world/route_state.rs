//! What one route remembers about its pools: which it has left, which wait to return, which count as near.
//! Never touches health; reads the pools' views and concludes.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    band::{Equal, Nearness, rejudge},
    member::Member,
    pools::Pools,
    standing::{PoolTurn, ReturnRules, Standing},
};
use crate::{
    affinity::affinity_pools,
    event::{Change, Changes, Publish},
    funnel::funnel,
    shares::{Shares, Stage},
    slot::{EntrySlot, PoolSlot, SlotVec},
    tick::Tick,
    topology::{Route, Topology},
    view::{AffinityPool, RoutePoolView, RouteView, Trickle},
};

/// The pools' views at a moment, and the names for the event log.
#[derive(Clone, Copy)]
pub(super) struct NamedPools<'a> {
    pub(super) topology: &'a Topology,
    pub(super) pools: &'a Pools,
    pub(super) now: Tick,
}

impl NamedPools<'_> {
    fn name(&self, pool: PoolSlot) -> Box<str> {
        self.topology.pool(pool).map(|pool| pool.name.clone()).unwrap_or_default()
    }
}

/// The pools that a route has left because they went down, those that are up again and wait, and those that have
/// returned.
#[derive(Default)]
struct Moves {
    lost: Vec<PoolSlot>,
    waiting: Vec<PoolSlot>,
    returned: Vec<PoolSlot>,
    /// Those whose damping has begun (`true`) or ended.
    damped: Vec<(PoolSlot, bool)>,
}

/// What a route was before an update, and what has moved with it.
struct RouteTurn {
    was: RouteView,
    moves: Moves,
}

/// What the world remembers on behalf of a route.
#[derive(Clone, Debug, Default)]
pub(super) struct RouteState {
    members: Vec<Member>,
    /// What a snapshot says of the members.
    pools: SlotVec<EntrySlot, RoutePoolView>,
    shares: Shares,
    affinity: Box<[AffinityPool]>,
    deadline: Option<Tick>,
    first_round_done: bool,
    /// Since when the operator allows no failback and no move between latencies.
    frozen: Option<Tick>,
}

impl RouteState {
    /// The state of a route in a new topology. What was remembered under the same name about the same pools stays. A
    /// pool that is down at that moment is no longer "left", unless the route is latched: its first Up after a reload is
    /// no return.
    pub(super) fn carried(
        route: &Route,
        topology: &Topology,
        before: Option<(&Self, &Topology)>,
        now: Tick,
    ) -> Self {
        let Some((before, old)) = before else {
            let members = route.pools.iter().map(|entry| Member::new(entry.pool)).collect();
            return Self { members, ..Self::default() };
        };
        let known: BTreeMap<&str, &Member> = before
            .members
            .iter()
            .filter_map(|member| Some((&*old.pool(member.pool)?.name, member)))
            .collect();
        let member = |pool: PoolSlot| {
            let name = topology.pool(pool).map(|pool| &*pool.name);
            let known = name.and_then(|name| known.get(name));
            known.map_or_else(|| Member::new(pool), |known| known.carried(pool, route, now))
        };
        Self {
            members: route.pools.iter().map(|entry| member(entry.pool)).collect(),
            pools: SlotVec::default(),
            shares: Shares { stage: before.shares.stage, segments: Vec::new() },
            affinity: Box::default(),
            deadline: None,
            first_round_done: before.first_round_done,
            frozen: before.frozen,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Tick> {
        self.deadline
    }

    pub(super) fn view(&self, trickles: Box<[Trickle]>) -> RouteView {
        RouteView {
            pools: self.pools.clone(),
            shares: self.shares.clone(),
            first_round_done: self.first_round_done,
            trickles,
            frozen: self.frozen.is_some(),
            affinity: self.affinity.clone(),
        }
    }

    /// Does the route send requests to this pool now? In panic it does.
    pub(super) fn sends_to(&self, pool: PoolSlot) -> bool {
        self.panics() || serves(&self.shares, pool)
    }

    pub(super) fn panics(&self) -> bool {
        self.shares.stage == Stage::Panic
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    fn rules<'a>(&self, route: &'a Route, now: Tick) -> ReturnRules<'a> {
        ReturnRules { failback: &route.failback, frozen: self.frozen, damped_until: None, now }
    }

    /// Concludes from the pools' new views.
    pub(super) fn update(&mut self, route: &Route, pools: &NamedPools<'_>, changes: &mut Changes) {
        self.conclude_all(route, pools, Vec::new(), changes);
    }

    /// Ends the wait of every pool that is up again: the operator's order.
    pub(super) fn end_waits(&mut self, route: &Route, pools: &NamedPools<'_>, changes: &mut Changes) {
        let rules = self.rules(route, pools.now);
        let waiting = self.members.iter_mut().filter(|member| member.waits());
        let returned = waiting.filter_map(|member| {
            member.forgive();
            let held = member.standing.is_held();
            member.standing = if held { rules.returned() } else { member.standing };
            held.then_some(member.pool)
        });
        let returned = returned.collect();
        self.conclude_all(route, pools, returned, changes);
    }

    /// Forbids, or allows again, failback and moves between latencies; says whether that is new. What was allowed
    /// meanwhile happens with the next conclusion.
    pub(super) fn freeze(&mut self, on: bool, now: Tick) -> bool {
        let was = self.frozen;
        if let Some(since) = was.filter(|_| !on) {
            for member in &mut self.members {
                member.standing = member.standing.thawed(since, now);
            }
        }
        self.frozen = on.then(|| was.unwrap_or(now));
        was.is_some() != on
    }

    /// Lets pools that were left before a restart wait for the operator, as far as the route is latched.
    pub(super) fn latch(&mut self, pool: PoolSlot, route: &Route, now: Tick) {
        for member in
            self.members.iter_mut().filter(|member| member.pool == pool && route.failback.is_latched())
        {
            member.standing = Standing::Held(now);
        }
    }

    /// The pools that were left and have not returned.
    pub(super) fn left(&self) -> impl Iterator<Item = PoolSlot> + '_ {
        let left = |member: &&Member| matches!(member.standing, Standing::Left | Standing::Held(_));
        self.members.iter().filter(left).map(|member| member.pool)
    }

    /// Concludes which pools serve. `ordered` are the pools that return by order.
    fn conclude_all(
        &mut self,
        route: &Route,
        pools: &NamedPools<'_>,
        ordered: Vec<PoolSlot>,
        changes: &mut Changes,
    ) {
        let was = self.view(Box::default());
        self.first_round_done |= self.members.iter().all(|member| pools.pools.first_round_done(member.pool));
        let mut moves = self.update_standings(route, pools);
        moves.returned.extend(ordered);
        let mut moved = self.conclude(route, pools, &moves.returned);
        // Each pool that returns early may move the band, and with it the turn of the next.
        while let Some(called) = self.call_in(route, pools) {
            moved |= self.conclude(route, pools, &called);
            moves.returned.extend(called);
        }
        if moved {
            let near = self
                .members
                .iter()
                .filter(|member| member.nearness.near)
                .map(|member| pools.name(member.pool));
            changes.log.push(Change::Nearest { route: route.name.clone(), pools: near.collect() });
        }
        let rules = self.rules(route, pools.now);
        self.deadline = self.members.iter().filter_map(|member| member.deadline(route, rules)).min();
        self.tell(route, pools, &RouteTurn { was, moves }, changes);
    }

    /// Logs what became of the route, and says how urgent it is.
    fn tell(&self, route: &Route, pools: &NamedPools<'_>, turn: &RouteTurn, changes: &mut Changes) {
        let RouteTurn { was, moves } = turn;
        let name = || route.name.clone();
        let panicked = was.shares.stage == Stage::Panic;
        if panicked != self.panics() {
            changes.log.push(Change::Panic { route: name(), on: self.panics() });
        }
        let Moves { lost, waiting, returned, damped } = moves;
        let to = largest(&self.shares);
        for (from, to) in lost.iter().filter_map(|from| Some((*from, to?))).filter(|(from, to)| from != to) {
            let (from, to) = (pools.name(from), pools.name(to));
            changes.log.push(Change::Failover { route: name(), from, to });
        }
        for (pool, on) in damped {
            changes.log.extend(self.tell_damping(route, pools, *pool, *on));
        }
        for pool in waiting.iter().copied().filter(|pool| !returned.contains(pool)) {
            changes.log.push(Change::Held {
                route: name(),
                pool: pools.name(pool),
                hold: route.failback.hold,
            });
        }
        for pool in returned.iter().copied().filter(|pool| serves(&self.shares, *pool)) {
            let ramping =
                |member: &Member| member.pool == pool && matches!(member.standing, Standing::Ramping(_));
            let ramp =
                if self.members.iter().any(ramping) { route.failback.ramp } else { Default::default() };
            changes.log.push(Change::Failback { route: name(), to: pools.name(pool), ramp });
        }
        let publish = if !lost.is_empty() || (!panicked && self.panics()) {
            Publish::Now
        } else if *was != self.view(Box::default()) {
            Publish::Soon
        } else {
            Publish::No
        };
        changes.publish = changes.publish.max(publish);
    }

    /// That a pool's damping has begun, or ended.
    fn tell_damping(
        &self,
        route: &Route,
        pools: &NamedPools<'_>,
        pool: PoolSlot,
        on: bool,
    ) -> Option<Change> {
        let member = self.members.iter().find(|member| member.pool == pool)?;
        let (penalty, lasts) = member.damping(route, pools.now);
        let (route, pool) = (Some(route.name.clone()), pools.name(pool));
        Some(Change::Damped { route, pool, endpoint: None, penalty, lasts: lasts.filter(|_| on) })
    }

    /// Concludes which pools are near and which share each takes. Says whether the near pools changed.
    fn conclude(&mut self, route: &Route, pools: &NamedPools<'_>, returned: &[PoolSlot]) -> bool {
        let moved = self.update_band(route, pools, returned);
        let rules = self.rules(route, pools.now);
        self.pools = self.members.iter().map(|member| member.view(rules)).collect();
        let accepts = |pool, stage| pools.pools.view(pool).can_serve(stage);
        let views = pools.pools.views();
        self.shares = funnel(route, &self.pools, views, &accepts).shares;
        self.affinity = affinity_pools(route, pools.topology, &self.pools, views, &self.shares);
        moved
    }

    /// Finds the pools that were lost, those that wait, and those that returned.
    fn update_standings(&mut self, route: &Route, pools: &NamedPools<'_>) -> Moves {
        let mut moves = Moves::default();
        let rules = self.rules(route, pools.now);
        for member in &mut self.members {
            let served = self.shares.stage == Stage::Up && serves(&self.shares, member.pool);
            let turn = member.update(&pools.pools.view(member.pool), served, route, rules);
            moves.damped.extend(turn.damping.map(|on| (member.pool, on)));
            match turn.pool {
                Some(PoolTurn::Lost) => moves.lost.push(member.pool),
                Some(PoolTurn::Waits) => moves.waiting.push(member.pool),
                Some(PoolTurn::Returned) => moves.returned.push(member.pool),
                None => {}
            }
        }
        moves
    }

    /// Ends the wait of pools that serve because no other takes their load, and the ramp of a pool that serves alone. To
    /// send their clients away again, for the rest of the hold, would move them twice more for nothing. While another pool
    /// is unproven, it is not known to be missing, and a latch (from before a restart) stays. Returns the pools whose
    /// wait ended; `None` if nothing has.
    fn call_in(&mut self, route: &Route, pools: &NamedPools<'_>) -> Option<Vec<PoolSlot>> {
        let mut returned = Vec::new();
        let mut ended = false;
        if self.shares.stage != Stage::Up {
            return None;
        }
        let latched = route.failback.is_latched();
        let is_unproven = |pool: &PoolSlot| latched && pools.pools.view(*pool).unproven > 0;
        let unproven: Vec<PoolSlot> =
            self.members.iter().map(|member| member.pool).filter(is_unproven).collect();
        for member in &mut self.members {
            if !serves(&self.shares, member.pool) {
                continue;
            }
            let alone = self.shares.segments.iter().all(|segment| segment.pool == member.pool);
            let another = unproven.iter().any(|pool| *pool != member.pool);
            if member.standing.is_held() && another {
                continue;
            }
            let held = member.standing.is_held();
            let ramped = alone && matches!(member.standing, Standing::Ramping(_));
            if held {
                returned.push(member.pool);
            }
            if held || ramped {
                member.standing = Standing::Free;
            }
            ended |= ramped || member.waits();
            member.end_damping();
        }
        (ended || !returned.is_empty()).then_some(returned)
    }

    /// Concludes which pools count as near, tier by tier. Says whether any moved.
    fn update_band(&mut self, route: &Route, pools: &NamedPools<'_>, returned: &[PoolSlot]) -> bool {
        let Some(band) = route.band else {
            for member in &mut self.members {
                member.nearness = Nearness::default();
            }
            return false;
        };
        let tiers: BTreeSet<u32> = route.pools.iter().map(|entry| entry.tier).collect();
        let mut moved = false;
        for tier in tiers {
            let members = route.pools.iter().zip(&mut self.members);
            let mut equals: Vec<Equal<'_>> = members
                .filter(|(entry, _)| entry.tier == tier)
                .map(|(entry, member)| {
                    let view = pools.pools.view(member.pool);
                    // A pool of weight 0 serves for want of others only: it draws no band around itself.
                    let open = !view.below_threshold && !member.waits() && entry.weight > 0;
                    let latency = view.latency_us.filter(|_| open).map(f64::from);
                    Equal { pool: member.pool, nearness: &mut member.nearness, latency }
                })
                .collect();
            moved |= rejudge(&mut equals, &band, pools.now, returned, self.frozen.is_some());
        }
        moved
    }
}

/// Does the pool have a share?
fn serves(shares: &Shares, pool: PoolSlot) -> bool {
    shares.segments.iter().any(|segment| segment.pool == pool)
}

/// The pool with the largest share; a pool may hold several segments.
fn largest(shares: &Shares) -> Option<PoolSlot> {
    let mut from = 0;
    let mut widths: BTreeMap<PoolSlot, u64> = BTreeMap::new();
    for segment in &shares.segments {
        *widths.entry(segment.pool).or_default() += segment.end - from;
        from = segment.end;
    }
    widths.into_iter().max_by_key(|(pool, width)| (*width, std::cmp::Reverse(*pool))).map(|(pool, _)| pool)
}
