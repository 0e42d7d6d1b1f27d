//! The sieves between route and draw: which pools are eligible, in which order, and what share each takes.
//! Pure arithmetic over one snapshot. The world runs it once per change; a later retry and `explain` run it again.

use crate::{
    axes::PanicRank,
    reason::Reason,
    shares::{Segment, Shares, Stage},
    slot::{self, EntrySlot, PoolSlot, SlotVec},
    tick::micros,
    topology::Route,
    view::{PoolView, RoutePoolView},
};

/// One pool of the route on its way through the sieves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// The position of the pool in the route.
    pub entry: EntrySlot,
    /// The pool.
    pub pool: PoolSlot,
    /// Failover rank.
    pub tier: u32,
    /// Share among its equals; 1 for a pool of weight 0 that serves for want of others.
    pub weight: u32,
    /// The part (0–1) of its share that the pool may take: dial × overprovisioned availability × how far it has ramped.
    pub cap: f64,
    /// Smoothed latency, microseconds.
    pub latency_us: Option<u32>,
    /// The pool is in the band of the nearest.
    pub near: bool,
    /// How far the pool came.
    pub verdict: Verdict,
}

/// How far a pool came through the sieves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The pool is eligible.
    Open,
    /// No endpoint that the stage accepts is left to try.
    Empty,
    /// The pool is below its threshold: too few of its endpoints are available.
    BelowThreshold,
    /// The pool is back, but its failback hold has not ended, and another pool may take its load.
    Held,
    /// The pool flaps, and another pool may take its load.
    Damped,
    /// The pool has weight 0, or (in panic) none of its endpoints answers: it serves for want of others.
    Reserve,
}

impl Verdict {
    /// The spelling in log and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Empty => "empty",
            Self::BelowThreshold => "short",
            Self::Held => "held",
            Self::Damped => "damped",
            Self::Reserve => "reserve",
        }
    }
}

/// Everything the sieves concluded; `explain` prints it, `steer` draws from `shares`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Funnel {
    /// The pools of the route.
    pub entries: Vec<Entry>,
    /// What each pool takes, and why.
    pub shares: Shares,
}

/// Where the last segment ends.
const WHOLE: f64 = 4_294_967_296.0;

/// A smaller part of the traffic counts as nothing.
const NOTHING: f64 = 1e-9;

/// Runs the sieves: at the stage that health allows, and in panic if that leaves no pool. `has_candidate(pool, stage)`
/// says whether an endpoint that the stage accepts is left to try. If panic finds no pool either, the answer is that
/// of the calm run.
#[must_use]
pub fn funnel(
    route: &Route,
    remembered: &SlotVec<EntrySlot, RoutePoolView>,
    pools: &SlotVec<PoolSlot, PoolView>,
    has_candidate: &dyn Fn(PoolSlot, Stage) -> bool,
) -> Funnel {
    let view_of = |pool: PoolSlot| pools.get(pool).copied().unwrap_or_default();
    let any_up = route.pools.iter().any(|member| view_of(member.pool).up > 0);
    let any_unproven = route.pools.iter().any(|member| view_of(member.pool).unproven > 0);
    let stage = if !any_up && any_unproven { Stage::Unproven } else { Stage::Up };
    let calm = sieve(route, remembered, pools, stage, &|pool| has_candidate(pool, stage));
    if !calm.shares.segments.is_empty() {
        return calm;
    }
    let panic = sieve(route, remembered, pools, Stage::Panic, &|pool| has_candidate(pool, Stage::Panic));
    if panic.shares.segments.is_empty() { calm } else { panic }
}

/// Runs the sieves at one stage.
pub(crate) fn sieve(
    route: &Route,
    remembered: &SlotVec<EntrySlot, RoutePoolView>,
    pools: &SlotVec<PoolSlot, PoolView>,
    stage: Stage,
    has_candidate: &dyn Fn(PoolSlot) -> bool,
) -> Funnel {
    let view_of = |pool: PoolSlot| pools.get(pool).copied().unwrap_or_default();
    let mut entries: Vec<Entry> = Vec::with_capacity(route.pools.len());
    for (entry, member) in slot::entries(&route.pools) {
        let view = view_of(member.pool);
        let memory = remembered.get(entry).copied().unwrap_or_default();
        let (able, below_threshold) = ability(route, &view, stage);
        let verdict = if !has_candidate(member.pool) {
            Verdict::Empty
        } else if below_threshold {
            Verdict::BelowThreshold
        } else if member.weight == 0 || (stage == Stage::Panic && view.panic_rank() > PanicRank::Answering) {
            Verdict::Reserve
        } else if memory.damped_until.is_some() && stage != Stage::Panic {
            Verdict::Damped
        } else if memory.held && stage != Stage::Panic {
            Verdict::Held
        } else {
            Verdict::Open
        };
        let ramped = memory.ramp.filter(|_| stage == Stage::Up).map_or(1.0, |ramp| ramp.part);
        entries.push(Entry {
            entry,
            pool: member.pool,
            tier: member.tier,
            weight: member.weight.max(1),
            cap: able * f64::from(member.dial) / 100.0 * ramped,
            latency_us: view.latency_us,
            near: memory.near,
            verdict,
        });
    }
    end_idle_holds(route, &mut entries);
    // In panic, pools that hardly answer serve last, after the reserve.
    let rank = |entry: &Entry| match entry.verdict {
        Verdict::Open => Some(0),
        Verdict::Held | Verdict::Damped => Some(1),
        Verdict::Reserve if stage == Stage::Panic => Some(2 + view_of(entry.pool).panic_rank() as u32),
        Verdict::Reserve => Some(2),
        Verdict::Empty | Verdict::BelowThreshold => None,
    };
    let best = entries.iter().filter_map(rank).min();
    let chosen = entries.iter().filter(|entry| best.is_some() && rank(entry) == best).copied().collect();
    Funnel { shares: Shares { stage, segments: divide(route, chosen, stage) }, entries }
}

/// Opens the held and the damped pools that no other pool stands in for. A hold governs the return to a better tier or a nearer
/// band, while another pool serves. Without an open pool that may take the whole load, a held pool is open: a dial
/// counts for more than a hold. A degraded pool takes over nonetheless: it is available until it is below its threshold,
/// and a pool that returns may fall again.
fn end_idle_holds(route: &Route, entries: &mut [Entry]) {
    let dial = |entry: &Entry| route.pools.get(entry.entry.index()).map_or(0, |member| member.dial);
    let latency = |entry: &Entry| u64::from(entry.latency_us.unwrap_or(u32::MAX));
    let nearer = |other: &Entry, held: &Entry| {
        route.band.is_some_and(|band| latency(other) + micros(band.width) < latency(held))
    };
    let ahead = |other: &Entry, held: &Entry| {
        other.tier < held.tier || (other.tier == held.tier && nearer(other, held))
    };
    let stands_in = |other: &Entry, held: &Entry| {
        other.verdict == Verdict::Open && dial(other) == 100 && !ahead(other, held)
    };
    // A pool that is dialled to zero would take nothing.
    let ends = |held: &Entry| {
        matches!(held.verdict, Verdict::Held | Verdict::Damped)
            && dial(held) > 0
            && !entries.iter().any(|other| stands_in(other, held))
    };
    let ended: Vec<EntrySlot> = entries.iter().filter(|entry| ends(entry)).map(|entry| entry.entry).collect();
    for entry in entries.iter_mut().filter(|entry| ended.contains(&entry.entry)) {
        entry.verdict = Verdict::Open;
    }
}

/// The part (0–1) of its share that a pool is able to take at this stage, and whether too few of its endpoints are
/// available. Endpoints that start slowly add what they may take, and no overprovision: it is what they cannot do yet.
fn ability(route: &Route, view: &PoolView, stage: Stage) -> (f64, bool) {
    let slowly = !route.failback.slow_start.is_zero();
    match stage {
        Stage::Up if slowly => {
            ((view.started * route.overprovision + view.starting).min(1.0), view.below_threshold)
        }
        Stage::Up => (view.takes(route.overprovision), view.below_threshold),
        // Nothing on the route is Up, so every endpoint counts that is not refuted; a pool of refuted endpoints is Empty.
        Stage::Unproven | Stage::Panic => (1.0, false),
    }
}

/// What one pool takes of the traffic (0–1), and why.
struct Take {
    entry: Entry,
    part: f64,
    reason: Reason,
}

/// Divides the traffic among the chosen: group after group (tier, then band), each taking what it may.
fn divide(route: &Route, mut chosen: Vec<Entry>, stage: Stage) -> Vec<Segment> {
    if let Some(band) = route.band {
        refresh_band(&mut chosen, micros(band.width));
    }
    let nearness = |entry: &Entry| match route.band {
        Some(_) if !entry.near => 1 + u64::from(entry.latency_us.unwrap_or(u32::MAX)),
        _ => 0,
    };
    let group = |entry: &Entry| (entry.tier, nearness(entry));
    chosen.sort_by_key(group);
    let best_tier =
        route.pools.iter().filter(|member| member.weight > 0).map(|member| member.tier).min().unwrap_or(0);
    let reason_of = |nth: usize, tier: u32| match (stage, nth) {
        (Stage::Panic, _) => Reason::Panic,
        (_, 1..) => Reason::Spill,
        _ if tier > best_tier => Reason::Failover,
        _ if route.band.is_some() => Reason::Nearest,
        _ => Reason::Balanced,
    };
    let mut takes: Vec<Take> = Vec::with_capacity(chosen.len() * 2);
    let mut remaining = 1.0;
    for (nth, equals) in chosen.chunk_by(|a, b| group(a) == group(b)).enumerate() {
        let reason = reason_of(nth, equals.first().map_or(0, |entry| entry.tier));
        remaining = take(equals, remaining, reason, &mut takes);
        if route.share_leftover {
            remaining = take_rest(equals, remaining, reason, &mut takes);
        }
        if remaining <= NOTHING {
            break;
        }
    }
    // A part is left, and no later group took it: the best group with pools that may take more takes it.
    if let Some(best) = chosen.iter().find(|entry| whole(entry)).map(group) {
        let equals: Vec<Entry> = chosen.iter().filter(|entry| group(entry) == best).copied().collect();
        remaining = take_rest(&equals, remaining, reason_of(1, best.0), &mut takes);
    }
    if remaining >= 1.0 - NOTHING {
        // Every pool is dialled to zero: for want of others, the dials of the best group are ignored.
        let best = chosen.first().map(group);
        let mut equals: Vec<Entry> =
            chosen.iter().filter(|entry| Some(group(entry)) == best).copied().collect();
        equals.iter_mut().for_each(|entry| entry.cap = 1.0);
        takes.clear();
        take(&equals, 1.0, reason_of(0, best.map_or(0, |(tier, _)| tier)), &mut takes);
    }
    segments(&takes)
}

/// May the pool take all that it is given?
fn whole(entry: &Entry) -> bool {
    entry.cap >= 1.0
}

/// Lets one group take its part of `remaining`; returns what is left for the next.
fn take(group: &[Entry], remaining: f64, reason: Reason, takes: &mut Vec<Take>) -> f64 {
    let total: f64 = group.iter().map(|entry| f64::from(entry.weight)).sum();
    let mut left = remaining;
    for entry in group {
        let taken = remaining * f64::from(entry.weight) / total * entry.cap;
        left -= taken;
        takes.push(Take { entry: *entry, part: taken, reason });
    }
    left.max(0.0)
}

/// Lets the pools of one group that may take more take all of `remaining`, by weight; returns what is left.
fn take_rest(group: &[Entry], remaining: f64, reason: Reason, takes: &mut Vec<Take>) -> f64 {
    let total: f64 = group.iter().filter(|entry| whole(entry)).map(|entry| f64::from(entry.weight)).sum();
    if total == 0.0 || remaining <= NOTHING {
        return remaining;
    }
    let reason = if reason == Reason::Panic { Reason::Panic } else { Reason::Spill };
    for entry in group.iter().filter(|entry| whole(entry)) {
        let part = remaining * f64::from(entry.weight) / total;
        takes.push(Take { entry: *entry, part, reason });
    }
    0.0
}

/// Marks the best pools as near, if none of the chosen is: those that were near are gone, and leaving a pool that is
/// down waits for nothing.
fn refresh_band(chosen: &mut [Entry], width_us: u64) {
    let Some(tier) = chosen.iter().map(|entry| entry.tier).min() else { return };
    let first = |entry: &&mut Entry| entry.tier == tier;
    if chosen.iter_mut().filter(first).any(|entry| entry.near) {
        return;
    }
    let best = chosen.iter_mut().filter(first).filter_map(|entry| entry.latency_us).min();
    for entry in chosen.iter_mut().filter(first) {
        entry.near = match (best, entry.latency_us) {
            (Some(best), Some(latency)) => u64::from(latency) <= u64::from(best) + width_us,
            (None, _) => true,
            (_, None) => false,
        };
    }
}

/// Lays the takes end to end on the unit interval. If the caps leave a part over, they are ignored in proportion: no
/// other pool could take it.
fn segments(takes: &[Take]) -> Vec<Segment> {
    let sum: f64 = takes.iter().map(|take| take.part).sum();
    let mut end = 0.0;
    let mut segments: Vec<Segment> = Vec::with_capacity(takes.len());
    for Take { entry, part, reason } in takes {
        end += part / sum;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2^32, rounded")]
        let end = ((end * WHOLE).round() as u64).min(1 << 32);
        if end > segments.last().map_or(0, |last| last.end) {
            segments.push(Segment { end, entry: entry.entry, pool: entry.pool, reason: *reason });
        }
    }
    if let Some(last) = segments.last_mut() {
        last.end = 1 << 32;
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_world::{failover, latency, view, weighted};

    /// `expected` is "pool share% reason" per segment.
    fn check(route: &Route, pools: &[PoolView], memory: &[RoutePoolView], expected: &str) {
        let accepts = |pool: PoolSlot, stage: Stage| pools[pool.index()].can_serve(stage);
        let memory = memory.iter().copied().collect();
        let funnel = funnel(route, &memory, &pools.iter().copied().collect(), &accepts);
        let mut from = 0;
        let mut seen: Vec<String> = Vec::new();
        for segment in &funnel.shares.segments {
            let percent = (segment.end - from) as f64 / WHOLE * 100.0;
            from = segment.end;
            seen.push(format!("{} {percent:.0}% {}", segment.pool.0, segment.reason.as_str()));
        }
        assert_eq!(seen.join(", "), expected);
    }

    const UP: (u32, u32, u32) = (2, 2, 0);
    const DEAD: (u32, u32, u32) = (2, 0, 0);

    #[test]
    fn failover_uses_the_best_tier_above_its_threshold() {
        let route = failover(3);
        check(&route, &[view(UP), view(UP), view(UP)], &[], "0 100% balanced");
        check(&route, &[view(DEAD), view(UP), view(UP)], &[], "1 100% failover");
        check(&route, &[view((4, 1, 0)), view(UP), view(UP)], &[], "1 100% failover");
        check(&route, &[view(DEAD), view(DEAD), view(DEAD)], &[], "0 100% panic");
        check(&route, &[view((0, 0, 0)), view(DEAD), view(DEAD)], &[], "1 100% panic");
        let refusing = PoolView { answering: 0, ..view(DEAD) };
        check(&route, &[refusing, view(DEAD), view(DEAD)], &[], "1 100% panic");
        check(&route, &[refusing, view((0, 0, 0)), refusing], &[], "0 100% panic");
        check(&route, &[view((0, 0, 0)); 3], &[], "");
    }

    #[test]
    fn a_partly_failed_pool_keeps_what_it_can_carry_and_spills_the_rest() {
        check(&failover(2), &[view((2, 1, 0)), view(UP)], &[], "0 70% balanced, 1 30% spill");
        check(&failover(1), &[view((2, 1, 0))], &[], "0 100% balanced");
    }

    #[test]
    fn what_a_tier_may_not_take_spills_to_any_depth() {
        let (partial, worse) = (view((2, 1, 0)), view((5, 3, 0)));
        check(
            &failover(4),
            &[partial, partial, view(UP), view(UP)],
            &[],
            "0 70% balanced, 1 21% spill, 2 9% spill",
        );
        let expected = "0 70% balanced, 1 25% spill, 2 3% spill, 3 1% spill";
        check(&failover(4), &[partial, worse, partial, view(UP)], &[], expected);
    }

    #[test]
    fn weights_share_a_tier_and_pools_that_are_up_take_the_rest() {
        let route = weighted(&[(70, 100), (20, 100), (10, 100)]);
        check(&route, &[view(UP), view(UP), view(UP)], &[], "0 70% balanced, 1 20% balanced, 2 10% balanced");
        check(&route, &[view(DEAD), view(UP), view(UP)], &[], "1 67% balanced, 2 33% balanced");
    }

    #[test]
    fn a_dial_sends_the_rest_where_the_policy_says() {
        let up = [view(UP), view(UP), view(UP)];
        let dialled = weighted(&[(70, 50), (20, 100), (10, 100)]);
        let expected = "0 35% balanced, 1 20% balanced, 2 10% balanced, 1 23% spill, 2 12% spill";
        check(&dialled, &up, &[], expected);
        let mut first = failover(2);
        first.pools[0].dial = 25;
        check(&first, &up, &[], "0 25% balanced, 1 75% spill");
        first.pools[0].dial = 0;
        check(&first, &up, &[], "1 100% spill");
        check(&first, &[view(UP), view(DEAD)], &[], "0 100% balanced");
        check(&weighted(&[(1, 50), (1, 50)]), &up, &[], "0 50% balanced, 1 50% balanced");
        let mut level = failover(2);
        (level.pools[0].dial, level.pools[1].tier) = (50, 0);
        check(&level, &up, &[], "0 25% balanced, 1 50% balanced, 1 25% spill");
        let mut closed = failover(2);
        (closed.pools[0].dial, closed.pools[1].dial) = (0, 0);
        check(&closed, &up, &[], "0 100% balanced");
    }

    #[test]
    fn weight_zero_serves_only_when_nothing_else_is_left_but_before_panic() {
        let route = weighted(&[(1, 100), (0, 100)]);
        check(&route, &[view(UP), view(UP)], &[], "0 100% balanced");
        check(&route, &[view(DEAD), view(UP)], &[], "1 100% balanced");
        check(&route, &[view(DEAD), view(DEAD)], &[], "0 100% panic");
        let refusing = PoolView { answering: 0, ..view(DEAD) };
        check(&route, &[refusing, view(DEAD)], &[], "1 100% panic");
        let proving = PoolView { proving: 2, ..refusing };
        check(&route, &[proving, view(DEAD)], &[], "1 100% panic");
        check(&weighted(&[(1, 100), (1, 100)]), &[refusing, proving], &[], "1 100% panic");
    }

    #[test]
    fn unproven_endpoints_serve_only_when_nothing_is_up() {
        let route = failover(2);
        check(&route, &[view((2, 0, 2)), view((2, 0, 2))], &[], "0 100% balanced");
        check(&route, &[view((2, 0, 2)), view(UP)], &[], "1 100% failover");
        check(&route, &[view(DEAD), view((2, 0, 1))], &[], "1 100% failover");
    }

    #[test]
    fn a_held_pool_waits_unless_nothing_else_is_available() {
        let held = [RoutePoolView { held: true, ..RoutePoolView::default() }, RoutePoolView::default()];
        check(&failover(2), &[view(UP), view(UP)], &held, "1 100% failover");
        check(&failover(2), &[view(UP), view(DEAD)], &held, "0 100% balanced");
    }

    fn held(which: &[bool]) -> Vec<RoutePoolView> {
        which.iter().map(|held| RoutePoolView { held: *held, ..RoutePoolView::default() }).collect()
    }

    #[test]
    fn a_hold_does_not_overrule_a_dial() {
        let dialled = |dials: &[u8]| {
            let mut route = failover(dials.len());
            route.pools.iter_mut().zip(dials).for_each(|(member, dial)| member.dial = *dial);
            route
        };
        let up = [view(UP); 3];
        let second = held(&[false, true, false]);
        check(&dialled(&[0, 100]), &up, &second, "1 100% spill");
        check(&dialled(&[10, 100]), &up, &second, "0 10% balanced, 1 90% spill");
        check(&dialled(&[0, 100, 100]), &up, &second, "2 100% spill");
        check(&dialled(&[10, 100, 100]), &up, &second, "0 10% balanced, 2 90% spill");
        check(&dialled(&[0, 100, 0]), &up, &second, "1 100% spill");
        check(&dialled(&[0, 100, 50]), &up, &second, "1 100% spill");
        check(&dialled(&[0, 100, 100]), &[view(UP), view(UP), view(DEAD)], &second, "1 100% spill");
        let first = held(&[true, false, false]);
        check(&dialled(&[100, 0]), &up, &first, "0 100% balanced");
        check(&dialled(&[100, 50, 100]), &up, &first, "1 50% failover, 2 50% spill");
        check(&dialled(&[0, 0]), &up, &first, "1 100% failover");
        check(&dialled(&[0, 100, 0]), &up, &held(&[false, true, true]), "1 100% spill");
    }

    #[test]
    fn a_hold_is_for_the_return_to_a_better_tier() {
        let partial = view((2, 1, 0));
        let first = held(&[true, false]);
        check(&failover(2), &[view(UP), partial], &first, "1 100% failover");
        let second = held(&[false, true]);
        check(&failover(2), &[view(UP), view(UP)], &second, "0 100% balanced");
        check(&failover(2), &[partial, view(UP)], &second, "0 70% balanced, 1 30% spill");
        let mut level = failover(2);
        level.pools[1].tier = 0;
        check(&level, &[view(UP), view(UP)], &second, "0 100% balanced");
    }

    #[test]
    fn a_hold_is_for_the_return_to_a_nearer_band() {
        let at = |ms: u32, of| PoolView { latency_us: Some(ms * 1000), ..view(of) };
        let up = [at(10, UP), at(80, UP), at(120, UP)];
        let check = |route: &Route, pools: &[PoolView], who: usize, expected: &str| {
            let mut memory = held(&vec![false; pools.len()]);
            (memory[0].near, memory[who].held) = (who != 0, true);
            check(route, pools, &memory, expected);
        };
        let dialled = |dials: &[u8]| {
            let mut route = latency(dials.len());
            route.pools.iter_mut().zip(dials).for_each(|(member, dial)| member.dial = *dial);
            route
        };
        let partial = at(10, (2, 1, 0));
        check(&dialled(&[100, 100, 100]), &up, 0, "1 100% nearest");
        check(&dialled(&[100, 100]), &[partial, at(80, UP)], 1, "0 70% nearest, 1 30% spill");
        check(
            &dialled(&[100, 100, 100]),
            &[partial, at(80, UP), at(120, UP)],
            1,
            "0 70% nearest, 2 30% spill",
        );
        check(&dialled(&[100, 100]), &[at(10, UP), at(15, UP)], 1, "0 100% nearest");
        check(&dialled(&[0, 100]), &up, 1, "1 100% spill");
        check(&dialled(&[10, 100]), &up, 1, "0 10% nearest, 1 90% spill");
        check(&dialled(&[0, 100, 100]), &up, 1, "2 100% spill");
        check(&dialled(&[0, 100, 100]), &up, 2, "1 100% spill");
        check(&dialled(&[10, 100, 100]), &up, 1, "0 10% nearest, 2 90% spill");
        check(&dialled(&[100, 0]), &up, 0, "0 100% nearest");
    }

    #[test]
    fn the_nearest_serve_and_what_they_cannot_take_goes_to_the_next() {
        let at = |ms: u32, of| PoolView { latency_us: Some(ms * 1000), ..view(of) };
        let near = |which: &[bool]| -> Vec<_> {
            which.iter().map(|near| RoutePoolView { near: *near, ..RoutePoolView::default() }).collect()
        };
        let route = latency(3);
        let memory = near(&[true, false, false]);
        check(&route, &[at(10, UP), at(80, UP), at(30, UP)], &memory, "0 100% nearest");
        check(&route, &[at(10, DEAD), at(80, UP), at(30, UP)], &memory, "2 100% nearest");
        check(&route, &[at(10, (2, 1, 0)), at(80, UP), at(30, UP)], &memory, "0 70% nearest, 2 30% spill");
        check(
            &route,
            &[at(10, UP), at(15, UP), at(30, UP)],
            &near(&[true, true, false]),
            "0 50% nearest, 1 50% nearest",
        );
    }
}
