//! What the world remembers on behalf of a route: who was left, who is held, who counts as near.
//! Never touches health; reads the pools' views and concludes.

use std::collections::{BTreeMap, BTreeSet};

use super::pools::Pools;
use crate::{
    event::{Change, Changes, Publish},
    funnel::funnel,
    shares::{Shares, Stage},
    slot::{EntrySlot, PoolSlot, SlotVec},
    tick::{Tick, micros},
    topology::{Band, Route, Topology},
    view::{RoutePoolView, RouteView, Trickle},
};

/// The pools' views, and the names for the event log.
#[derive(Clone, Copy)]
pub(super) struct NamedPools<'a> {
    pub(super) topology: &'a Topology,
    pub(super) pools: &'a Pools,
}

impl NamedPools<'_> {
    fn name(&self, pool: PoolSlot) -> Box<str> {
        self.topology.pool(pool).map(|pool| pool.name.clone()).unwrap_or_default()
    }
}

/// The pools that a route has left because they went down, and those that have returned to it.
struct Moves {
    lost: Vec<PoolSlot>,
    returned: Vec<PoolSlot>,
}

/// What became of a pool that this route uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Standing {
    /// Free to serve whenever it can.
    #[default]
    Free,
    /// Was serving when new addresses took the place of all that were known: nothing there is down yet.
    Renewed,
    /// Was serving when it went down.
    Left,
    /// Up again since the tick.
    Held(Tick),
}

/// One pool, on behalf of one route.
#[derive(Clone, Copy, Debug)]
struct Member {
    pool: PoolSlot,
    standing: Standing,
    near: bool,
    /// Its latency counted when the band was last looked at.
    measured: bool,
    /// Since when the latencies say otherwise than `near`.
    disputed: Option<Tick>,
}

impl Member {
    fn new(pool: PoolSlot) -> Self {
        Self { pool, standing: Standing::Free, near: false, measured: false, disputed: None }
    }
}

/// What the world remembers on behalf of a route.
#[derive(Clone, Debug, Default)]
pub(super) struct RouteState {
    members: Vec<Member>,
    shares: Shares,
    deadline: Option<Tick>,
    first_round_done: bool,
}

impl RouteState {
    /// A route of a new config: what was remembered under the same name about the same pools stays. A pool that is
    /// down at that moment is no longer "left": its first Up after a reload is no return.
    pub(super) fn carried(route: &Route, topology: &Topology, before: Option<(&Self, &Topology)>) -> Self {
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
            let known =
                name.and_then(|name| known.get(name)).map_or_else(|| Member::new(pool), |known| **known);
            let held = matches!(known.standing, Standing::Held(_));
            let standing = if held { known.standing } else { Standing::Free };
            Member { pool, standing, ..known }
        };
        Self {
            members: route.pools.iter().map(|entry| member(entry.pool)).collect(),
            shares: Shares { stage: before.shares.stage, segments: Vec::new() },
            deadline: None,
            first_round_done: before.first_round_done,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Tick> {
        self.deadline
    }

    pub(super) fn view(&self, trickles: Box<[Trickle]>) -> RouteView {
        RouteView {
            pools: self.remembered(),
            shares: self.shares.clone(),
            first_round_done: self.first_round_done,
            trickles,
        }
    }

    /// A pool that the operator gives nothing serves all the same: nobody else is left.
    pub(super) fn calls_in(&self, pool: PoolSlot) -> bool {
        self.panics() || serves(&self.shares, pool)
    }

    pub(super) fn panics(&self) -> bool {
        self.shares.stage == Stage::Panic
    }

    fn remembered(&self) -> SlotVec<EntrySlot, RoutePoolView> {
        let view = |member: &Member| RoutePoolView {
            near: member.near,
            held: matches!(member.standing, Standing::Held(_)),
        };
        self.members.iter().map(view).collect()
    }

    /// Concludes from the pools' new views.
    pub(super) fn update(&mut self, route: &Route, pools: &NamedPools<'_>, now: Tick, changes: &mut Changes) {
        let was = self.view(Box::default());
        self.first_round_done |= self.members.iter().all(|member| pools.pools.first_round_done(member.pool));
        let Moves { lost, mut returned } = self.update_standings(route, pools, now);
        let mut moved = self.conclude(route, pools, now, &returned);
        // Each that is called in may move the band, and with it the turn of the next.
        loop {
            let called = self.call_in();
            if called.is_empty() {
                break;
            }
            moved |= self.conclude(route, pools, now, &called);
            returned.extend(called);
        }
        if moved {
            let near = self.members.iter().filter(|member| member.near).map(|member| pools.name(member.pool));
            changes.log.push(Change::Nearest { route: route.name.clone(), pools: near.collect() });
        }
        self.deadline = self.members.iter().filter_map(|member| member.deadline(route)).min();
        let panicked = was.shares.stage == Stage::Panic;
        if panicked != self.panics() {
            changes.log.push(Change::Panic { route: route.name.clone(), on: self.panics() });
        }
        let to = largest(&self.shares);
        for (from, to) in lost.iter().filter_map(|from| Some((*from, to?))).filter(|(from, to)| from != to) {
            let (from, to) = (pools.name(from), pools.name(to));
            changes.log.push(Change::Failover { route: route.name.clone(), from, to });
        }
        for pool in returned.into_iter().filter(|pool| serves(&self.shares, *pool)) {
            changes.log.push(Change::Failback { route: route.name.clone(), to: pools.name(pool) });
        }
        let publish = if !lost.is_empty() || (!panicked && self.panics()) {
            Publish::Now
        } else if was != self.view(Box::default()) {
            Publish::Soon
        } else {
            Publish::No
        };
        changes.publish = changes.publish.max(publish);
    }

    /// Who is near, and who takes which share. Says whether the near ones changed.
    fn conclude(&mut self, route: &Route, pools: &NamedPools<'_>, now: Tick, returned: &[PoolSlot]) -> bool {
        let moved = self.update_band(route, pools, now, returned);
        let accepts = |pool, stage| pools.pools.view(pool).can_serve(stage);
        self.shares = funnel(route, &self.remembered(), pools.pools.views(), &accepts).shares;
        moved
    }

    /// Who was left, who is back. Says which pools were lost and which returned. A pool without an enabled endpoint
    /// was drained, not lost: its return waits for nothing. Nor was one lost whose endpoints are all unproven, before
    /// they are all refuted.
    fn update_standings(&mut self, route: &Route, pools: &NamedPools<'_>, now: Tick) -> Moves {
        let (mut lost, mut returned) = (Vec::new(), Vec::new());
        for member in &mut self.members {
            let view = pools.pools.view(member.pool);
            let served = self.shares.stage == Stage::Up && serves(&self.shares, member.pool);
            member.standing = match member.standing {
                Standing::Free if view.short && view.enabled > view.unproven && served => {
                    lost.push(member.pool);
                    Standing::Left
                }
                Standing::Free if view.short && view.enabled > 0 && served => Standing::Renewed,
                Standing::Renewed if !view.short || view.enabled == 0 => Standing::Free,
                Standing::Renewed if view.unproven == 0 => {
                    lost.push(member.pool);
                    Standing::Left
                }
                Standing::Held(_) if view.short => Standing::Left,
                Standing::Left if !view.short => Standing::Held(now),
                same => same,
            };
            if let Standing::Held(since) = member.standing
                && since.after(route.failback_hold) <= now
            {
                member.standing = Standing::Free;
                returned.push(member.pool);
            }
        }
        Moves { lost, returned }
    }

    /// A held pool that serves because nobody else takes its load has returned: to send its clients away again, for
    /// the rest of the hold, would move them twice more for nothing.
    fn call_in(&mut self) -> Vec<PoolSlot> {
        let mut returned = Vec::new();
        for member in &mut self.members {
            let calm = self.shares.stage == Stage::Up;
            if calm && matches!(member.standing, Standing::Held(_)) && serves(&self.shares, member.pool) {
                member.standing = Standing::Free;
                returned.push(member.pool);
            }
        }
        returned
    }

    /// Who counts as near, tier by tier. Says whether anything moved.
    fn update_band(
        &mut self,
        route: &Route,
        pools: &NamedPools<'_>,
        now: Tick,
        returned: &[PoolSlot],
    ) -> bool {
        let Some(band) = route.band else {
            for member in &mut self.members {
                (member.near, member.measured, member.disputed) = (false, false, None);
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
                    // A pool of weight 0 is not there as long as others are: it draws no band around itself.
                    let open =
                        !view.short && !matches!(member.standing, Standing::Held(_)) && entry.weight > 0;
                    Equal { member, latency: if open { view.latency_us.map(f64::from) } else { None } }
                })
                .collect();
            moved |= rejudge(&mut equals, &band, now, returned);
        }
        moved
    }
}

impl Member {
    /// When its hold or its dwell ends.
    fn deadline(&self, route: &Route) -> Option<Tick> {
        let held = match self.standing {
            Standing::Held(since) => Some(since.after(route.failback_hold)),
            _ => None,
        };
        let dwell = self.disputed.zip(route.band).map(|(since, band)| since.after(band.dwell));
        held.into_iter().chain(dwell).min()
    }
}

/// A pool among those of its tier, and its latency in microseconds if that counts.
struct Equal<'a> {
    member: &'a mut Member,
    latency: Option<f64>,
}

/// Who of one tier counts as near. At once where nobody does (those that did are gone), or where a pool that was
/// not there has come and is near: its coming is no move between latencies. Otherwise a pool joins when it has been
/// within the band for `dwell`, and goes when it has been out of it by more than `hysteresis` for `dwell`.
fn rejudge(equals: &mut [Equal<'_>], band: &Band, now: Tick, returned: &[PoolSlot]) -> bool {
    let best = equals.iter().filter_map(|equal| equal.latency).min_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a band stay far below 2^53")]
    let limit = best.unwrap_or_default() + micros(band.width) as f64;
    let settled = equals.iter().any(|equal| equal.member.near && equal.latency.is_some());
    let arrived = equals.iter().any(|Equal { member, latency }| {
        let new = !member.measured || returned.contains(&member.pool);
        new && latency.is_some_and(|latency| latency <= limit)
    });
    let mut moved = false;
    for Equal { member, latency } in equals {
        member.measured = latency.is_some();
        let wants = latency.is_some_and(|latency| latency <= limit);
        let clear = !member.near || latency.is_none_or(|latency| latency > limit * (1.0 + band.hysteresis));
        if wants == member.near || !clear {
            member.disputed = None;
            continue;
        }
        let since = *member.disputed.get_or_insert(now);
        if latency.is_none() || !settled || arrived || since.after(band.dwell) <= now {
            member.near = wants;
            member.disputed = None;
            moved = true;
        }
    }
    moved
}

/// Has the pool a share?
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
