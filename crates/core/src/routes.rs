//! What the world remembers on behalf of a route: who was left, who is held, who counts as near.
//! Never touches health; reads the pools' views and concludes.

use crate::{
    Admin, Availability, Change, Health, Pool, PoolSlot, PoolView, Publish, Route, RoutePoolView, RouteView,
    Shares, Stage, Tick, Topology, funnel::funnel, micros,
};

/// A pool's health in numbers.
pub(crate) fn pool_view<'a>(members: impl Iterator<Item = &'a Health>, panic_threshold: f64) -> PoolView {
    let mut view = PoolView::default();
    for health in members.filter(|health| health.admin == Admin::Enabled) {
        view.enabled += 1;
        view.answering += u32::from(!health.refusing);
        match health.availability() {
            Availability::Up => {
                view.up += 1;
                let latency = health.latency.micros();
                view.latency_us = view.latency_us.into_iter().chain(latency).min();
            }
            Availability::Unproven => view.unproven += 1,
            _ => {}
        }
    }
    let proven = view.enabled - view.unproven;
    view.available = if proven == 0 { 0.0 } else { f64::from(view.up) / f64::from(proven) };
    view.short = view.up == 0 || view.available < panic_threshold;
    view
}

/// The pools as configured and as seen, both by slot.
#[derive(Clone, Copy)]
pub(crate) struct Pools<'a> {
    pub(crate) configured: &'a [Pool],
    pub(crate) views: &'a [PoolView],
}

/// What became of a pool that this route uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Standing {
    /// Free to serve whenever it can.
    #[default]
    Free,
    /// Was serving when it went down.
    Left,
    /// Up again, may return at the tick.
    Held(Tick),
}

/// One pool, on behalf of one route.
#[derive(Clone, Copy, Debug, Default)]
struct Member {
    pool: usize,
    standing: Standing,
    near: bool,
    /// Since when the latencies say otherwise than `near`.
    disputed: Option<Tick>,
}

/// What the world remembers on behalf of a route.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteState {
    members: Vec<Member>,
    shares: Shares,
    deadline: Option<Tick>,
}

impl RouteState {
    /// A route of a new config: what was remembered under the same name about the same pools stays. A pool that is
    /// down at that moment is no longer "left": its first Up after a reload is no return.
    pub(crate) fn carried(
        route: &Route,
        topology: &Topology,
        before: Option<(&Route, &Self)>,
        old: &Topology,
    ) -> Self {
        let name = |topology: &Topology, pool: usize| topology.pools.get(pool).map(|pool| pool.name.clone());
        let member = |pool: usize| {
            let known = before.and_then(|(_, state)| {
                state.members.iter().find(|member| name(old, member.pool) == name(topology, pool))
            });
            let known = known.copied().unwrap_or_default();
            let standing = if known.standing == Standing::Left { Standing::Free } else { known.standing };
            Member { pool, standing, ..known }
        };
        Self { members: route.pools.iter().map(|entry| member(entry.pool)).collect(), ..Self::default() }
    }

    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        self.deadline
    }

    pub(crate) fn pools(&self) -> impl Iterator<Item = usize> {
        self.members.iter().map(|member| member.pool)
    }

    pub(crate) fn view(&self, first_round_done: bool) -> RouteView {
        RouteView { pools: self.remembered(), shares: self.shares.clone(), first_round_done }
    }

    fn remembered(&self) -> Box<[RoutePoolView]> {
        let view = |member: &Member| RoutePoolView {
            near: member.near,
            held: matches!(member.standing, Standing::Held(_)),
        };
        self.members.iter().map(view).collect()
    }

    /// Takes the pools' new views in; says how urgent the result is and what is worth an event.
    pub(crate) fn update(
        &mut self,
        route: &Route,
        pools: Pools<'_>,
        now: Tick,
        log: &mut Vec<Change>,
    ) -> Publish {
        let name = |pool: usize| pools.configured.get(pool).map(|pool| pool.name.clone()).unwrap_or_default();
        let views = pools.views;
        let was = std::mem::take(&mut self.shares);
        let had = |pool: usize| was.segments.iter().any(|segment| segment.pool.0 as usize == pool);
        self.deadline = None;
        let mut returned: Vec<usize> = Vec::new();
        let mut lost: Vec<usize> = Vec::new();
        for member in &mut self.members {
            let short = views.get(member.pool).is_none_or(|view| view.short);
            let before = member.standing;
            member.standing = match before {
                Standing::Free if short && had(member.pool) && was.stage == Stage::Up => Standing::Left,
                Standing::Held(_) if short => Standing::Left,
                Standing::Left if !short => Standing::Held(now.after(route.failback_hold)),
                same => same,
            };
            match (before, member.standing) {
                (Standing::Free, Standing::Left) => lost.push(member.pool),
                (_, Standing::Held(until)) if until <= now => {
                    member.standing = Standing::Free;
                    returned.push(member.pool);
                }
                (_, Standing::Held(until)) => self.deadline = self.deadline.into_iter().chain([until]).min(),
                _ => {}
            }
        }
        let moved = self.update_band(route, views, now);
        if moved {
            let near = self.members.iter().filter(|member| member.near).map(|member| name(member.pool));
            log.push(Change::Nearest { route: route.name.clone(), pools: near.collect() });
        }
        self.shares =
            funnel(route, &self.remembered(), views, &|pool, stage| can_serve(views, pool, stage)).shares;
        if was.stage != self.shares.stage && [was.stage, self.shares.stage].contains(&Stage::Panic) {
            let on = self.shares.stage == Stage::Panic;
            log.push(Change::Panic { route: route.name.clone(), on });
        }
        let to = largest(&self.shares);
        for (from, to) in
            lost.into_iter().filter_map(|from| Some((from, to?))).filter(|(from, to)| from != to)
        {
            log.push(Change::Failover { route: route.name.clone(), from: name(from), to: name(to) });
        }
        for pool in returned {
            log.push(Change::Failback { route: route.name.clone(), to: name(pool) });
        }
        if was == self.shares && !moved { Publish::No } else { Publish::Now }
    }

    /// Who counts as near: at once where the memory is empty or its pools are gone; otherwise only after a change
    /// that is clear enough (hysteresis) has held long enough (dwell). Says whether anything moved.
    fn update_band(&mut self, route: &Route, views: &[PoolView], now: Tick) -> bool {
        let Some(band) = route.band else { return false };
        let usable = |member: &Member| {
            let view = views.get(member.pool).copied().unwrap_or_default();
            let open = !view.short && !matches!(member.standing, Standing::Held(_));
            if open { view.latency_us.map(f64::from) } else { None }
        };
        let Some(best) = self.members.iter().filter_map(usable).min_by(f64::total_cmp) else { return false };
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a band stay far below 2^53")]
        let limit = best + micros(band.width) as f64;
        let settled = self.members.iter().any(|member| member.near && usable(member).is_some());
        let mut moved = false;
        for member in &mut self.members {
            let Some(latency) = usable(member) else {
                moved |= std::mem::take(&mut member.near);
                member.disputed = None;
                continue;
            };
            let wants = latency <= limit;
            let clear = if member.near {
                latency > limit * (1.0 + band.hysteresis)
            } else {
                latency < limit * (1.0 - band.hysteresis)
            };
            // The best one itself is always clear enough: it cannot be nearer than by being the nearest.
            let clear = clear || (wants && latency <= best && limit * (1.0 - band.hysteresis) < best);
            if wants == member.near || (settled && !clear) {
                member.disputed = None;
                continue;
            }
            let since = *member.disputed.get_or_insert(now);
            let due = since.after(band.dwell);
            if !settled || due <= now {
                member.near = wants;
                member.disputed = None;
                moved = true;
            } else {
                self.deadline = self.deadline.into_iter().chain([due]).min();
            }
        }
        moved
    }
}

/// Does a pool have an endpoint that the stage accepts?
pub(crate) fn can_serve(views: &[PoolView], pool: PoolSlot, stage: Stage) -> bool {
    let view = views.get(pool.0 as usize).copied().unwrap_or_default();
    match stage {
        Stage::Up => view.up > 0,
        Stage::Unproven => view.up + view.unproven > 0,
        Stage::Panic => view.enabled > 0,
    }
}

/// The pool with the largest share.
fn largest(shares: &Shares) -> Option<usize> {
    let mut from = 0;
    let width = |segment: &crate::Segment| {
        let width = segment.end - from;
        from = segment.end;
        (width, segment.pool.0 as usize)
    };
    shares.segments.iter().map(width).max_by_key(|(width, _)| *width).map(|(_, pool)| pool)
}
