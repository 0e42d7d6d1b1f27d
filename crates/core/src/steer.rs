//! Room 3, STEER: the request path's one question, answered from one snapshot. Same inputs, same answer.
//! Never allocates on a first attempt, never blocks, never fails but with a [`Refusal`].

use crate::{
    affinity::{Affine, Home},
    axes::PanicRank,
    draw::{Draw, Requirement, accepts, has_room},
    facts::{Decision, Facts, Loads, NoLoads, Tried},
    funnel::sieve,
    layout::Place,
    reason::{Reason, Refusal},
    shares::{Segment, Stage},
    slot::{PoolSlot, RouteSlot},
    snapshot::Snapshot,
    view::Trickle,
};

/// Chooses an endpoint. Same inputs, same answer: a logged decision can be replayed.
///
/// # Errors
/// Returns a [`Refusal`] when no endpoint may serve this request.
pub fn steer(
    snapshot: &Snapshot,
    loads: &impl Loads,
    facts: &Facts<'_>,
    roll: u64,
) -> Result<Decision, Refusal> {
    let route = snapshot.layout.matcher.find(facts.host, facts.path).ok_or(Refusal::NoRoute)?;
    steer_on(snapshot, loads, route, facts, roll)
}

/// [`steer`] for a caller that has matched the route already, because its roll comes from a sequence per route.
///
/// # Errors
/// Returns what [`steer`] returns, and `NoRoute` if the slot is not of this snapshot.
pub fn steer_on(
    snapshot: &Snapshot,
    loads: &impl Loads,
    route: RouteSlot,
    facts: &Facts<'_>,
    roll: u64,
) -> Result<Decision, Refusal> {
    let rules = snapshot.route(route).ok_or(Refusal::NoRoute)?;
    if rules.geo.is_none() && !rules.residency {
        return steer_within(snapshot, loads, route, facts, roll);
    }
    let serving = rules.serving(route, facts.client, facts.location);
    let resident = snapshot.route(serving).is_some_and(|rules| rules.residency);
    match steer_within(snapshot, loads, serving, facts, roll) {
        Ok(decision) => Ok(Decision { route, ..decision }),
        Err(Refusal::NoEndpoint) if resident => Err(Refusal::Residency),
        Err(refusal) => Err(refusal),
    }
}

/// Steers in the order of one route, or of one sub-route.
fn steer_within(
    snapshot: &Snapshot,
    loads: &impl Loads,
    route: RouteSlot,
    facts: &Facts<'_>,
    roll: u64,
) -> Result<Decision, Refusal> {
    let view = snapshot.routes.get(route).ok_or(Refusal::NoRoute)?;
    let affine = Affine { snapshot, loads, route, view, facts };
    let home = affine.home();
    if !view.trickles.is_empty()
        && facts.tried.is_empty()
        && let Some(Trickle { pool, endpoint }) = trickle(snapshot, loads, (&view.trickles, home), facts)
    {
        return Ok(Decision { route, pool, endpoint, reason: Reason::Probation });
    }
    if let Some(answer) = home.and_then(|home| affine.steer(home)) {
        return answer;
    }
    let shares = &view.shares;
    let leave = facts.tried.len() > 1 || facts.tried.iter().any(|tried| tried.leave);
    if !leave && let Some(segment) = pick(&shares.segments, roll) {
        let need = Requirement::of(snapshot, shares.stage, segment.pool);
        let draw = Draw { snapshot, loads, need, tried: facts.tried };
        if let Some(endpoint) = draw.endpoint(segment.pool, roll) {
            return Ok(Decision { route, pool: segment.pool, endpoint, reason: segment.reason });
        }
    }
    Fallback { snapshot, loads, route, facts, roll }.steer()
}

/// The pool whose queue a request joins that was refused because there is no room: the pool that it would go to, or else
/// the first that has a queue, those with a share before the others. A retry may have left the only pool with a share. A
/// pool of which nothing is Up or Unproven lends no place: what waits there would be served by others, whose own queues are full.
pub fn queued_pool(
    snapshot: &Snapshot,
    facts: &Facts<'_>,
    roll: u64,
    has_queue: impl Fn(PoolSlot) -> bool,
) -> Option<PoolSlot> {
    let written = snapshot.layout.matcher.find(facts.host, facts.path)?;
    let route = snapshot.route(written)?.serving(written, facts.client, facts.location);
    let written = &snapshot.route(route)?.pools;
    let view = snapshot.routes.get(route)?;
    let home = Affine { snapshot, loads: &NoLoads, route, view, facts }.home().map(|home| home.pool);
    let segments = &view.shares.segments;
    let usual = pick(segments, roll).map(|segment| segment.pool);
    let is_up = |pool: &PoolSlot| snapshot.pools.get(*pool).is_some_and(|view| view.up + view.unproven > 0);
    let rest = written.iter().map(|member| member.pool).filter(is_up);
    let others = segments.iter().map(|segment| segment.pool).chain(rest);
    home.into_iter().chain(usual).chain(others).find(|pool| has_queue(*pool))
}

/// The endpoint in probation that is due for a request, if there is one. A client that belongs to another endpoint is
/// not sent there.
fn trickle(
    snapshot: &Snapshot,
    loads: &impl Loads,
    (trickles, home): (&[Trickle], Option<Home>),
    facts: &Facts<'_>,
) -> Option<Trickle> {
    trickles.iter().copied().find(|Trickle { pool, endpoint }| {
        let cap = snapshot.pool(*pool).map_or(0, |pool| pool.max_in_flight);
        home.is_none_or(|home| home.endpoint == Some(*endpoint))
            && !loads.is_full(*endpoint, cap)
            && has_room(snapshot, loads, *pool)
            && loads.trickle_due(*endpoint, facts.replayable)
    })
}

/// Runs the sieves once more for a request that the shares cannot serve: without the pools whose endpoints were all
/// tried or are all at their caps and, from the second retry on, without the pools that failed this request.
struct Fallback<'a, L> {
    snapshot: &'a Snapshot,
    loads: &'a L,
    route: RouteSlot,
    facts: &'a Facts<'a>,
    roll: u64,
}

impl<L: Loads> Fallback<'_, L> {
    fn steer(&self) -> Result<Decision, Refusal> {
        let stage = self.snapshot.routes.get(self.route).ok_or(Refusal::NoRoute)?.shares.stage;
        let mut skipped = 2;
        if stage != Stage::Panic {
            let strict = Requirement::at(stage, PanicRank::Last);
            let found = self.attempt(stage, strict);
            // What flaps is better than a refusal.
            let lax = || self.attempt(stage, Requirement { damped: true, ..strict });
            if let Some(decision) = found.or_else(|| if self.any_damped() { lax() } else { None }) {
                return Ok(decision);
            }
            // Panic is for when health is not to be believed, not for when the healthy are busy.
            if self.at_capacity(stage) {
                return Err(Refusal::Overloaded);
            }
            skipped = 0;
        }
        let lax = Requirement::FALLBACK_ORDER.into_iter().skip(skipped);
        let found = lax.filter_map(|need| self.attempt(Stage::Panic, need)).next();
        let busy = || self.at_capacity(Stage::Panic);
        found.ok_or_else(|| if busy() { Refusal::Overloaded } else { Refusal::NoEndpoint })
    }

    /// Makes one pass; a second one, with the pools that failed this request, if the first finds no pool.
    fn attempt(&self, stage: Stage, need: Requirement) -> Option<Decision> {
        let (snapshot, facts) = (self.snapshot, self.facts);
        let route = snapshot.route(self.route)?;
        let view = snapshot.routes.get(self.route)?;
        let draw = Draw { snapshot, loads: self.loads, need, tried: facts.tried };
        let many = facts.tried.len() > 1;
        let left = facts.tried.iter().filter(|tried| many || tried.leave);
        let failed: Vec<PoolSlot> = left.map(|tried| self.pool_of(tried)).collect();
        for avoided in [failed.as_slice(), &[]] {
            let has_candidate = |pool: PoolSlot| !avoided.contains(&pool) && draw.any(pool);
            let found = sieve(route, &view.pools, &snapshot.pools, stage, &has_candidate).shares;
            if let Some(segment) = pick(&found.segments, self.roll)
                && let Some(endpoint) = draw.endpoint(segment.pool, self.roll)
            {
                let spills = stage != Stage::Panic && self.overflows(segment);
                let reason = if spills { Reason::Spill } else { segment.reason };
                return Some(Decision { route: self.route, pool: segment.pool, endpoint, reason });
            }
            if avoided.is_empty() {
                break;
            }
        }
        None
    }

    /// The pool of a tried endpoint in this snapshot: slots move with a reload, ids do not. An endpoint
    /// that has vanished still counts against the pool that it was in.
    fn pool_of(&self, tried: &Tried) -> PoolSlot {
        let is = |place: &&Place| place.id == tried.endpoint;
        if self.snapshot.endpoints_of(tried.pool).any(|member| is(&member.place)) {
            return tried.pool;
        }
        self.snapshot.layout.endpoints.iter().find(is).map_or(tried.pool, |place| place.pool)
    }

    /// Would the shares send a first attempt to another pool? That pool is at its capacity, or all its endpoints are at
    /// their caps: a spill, whatever else would be the reason.
    fn overflows(&self, segment: &Segment) -> bool {
        let view = self.snapshot.routes.get(self.route);
        let usual = view.and_then(|view| pick(&view.shares.segments, self.roll));
        self.facts.tried.is_empty() && usual.is_some_and(|usual| usual.pool != segment.pool)
    }

    /// Does some endpoint of the route step back because it flaps?
    fn any_damped(&self) -> bool {
        let pools = self.snapshot.route(self.route).map(|route| route.pools.as_slice()).unwrap_or_default();
        pools.iter().any(|member| self.snapshot.pools.get(member.pool).is_some_and(|view| view.damped > 0))
    }

    /// Is some untried endpoint that the stage accepts at its pool's `max_in_flight`, or its pool at its `capacity`?
    fn at_capacity(&self, stage: Stage) -> bool {
        let snapshot = self.snapshot;
        let pools = snapshot.route(self.route).map(|route| route.pools.as_slice()).unwrap_or_default();
        pools.iter().any(|member| {
            let cap = snapshot.pool(member.pool).map_or(0, |pool| pool.max_in_flight);
            let room = has_room(snapshot, self.loads, member.pool);
            (cap > 0 || !room)
                && snapshot.endpoints_of(member.pool).any(|endpoint| {
                    accepts(endpoint.view, stage)
                        && !self.facts.tried.iter().any(|tried| tried.endpoint == endpoint.place.id)
                        && (!room || self.loads.is_full(endpoint.slot, cap))
                })
        })
    }
}

/// The segment that a roll falls into. Bits 21–52 of the roll are the point, so that a roll survives a JSON number.
fn pick(segments: &[Segment], roll: u64) -> Option<&Segment> {
    let point = (roll >> 21) & 0xffff_ffff;
    segments.get(segments.partition_point(|segment| segment.end <= point))
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, sync::Arc, time::Duration};

    use super::*;
    use crate::{
        event::Event,
        fault::{Evidence, Fault},
        roll::{mix, roll},
        slot::{EndpointId, EndpointSlot},
        test_world::{facts, failover, pool, weighted},
        tick::Tick,
        topology::{Pool, Route, Topology},
        world::World,
    };

    /// In flight, by slot.
    struct Queues(Vec<u32>);

    impl Loads for Queues {
        fn in_flight(&self, slot: EndpointSlot) -> u32 {
            self.0.get(slot.index()).copied().unwrap_or(0)
        }
        fn latency_us(&self, _: EndpointSlot) -> u32 {
            1000
        }
        fn trickle_due(&self, _: EndpointSlot, _: bool) -> bool {
            true
        }
    }

    /// Two pools of two endpoints; `health` has a letter per endpoint: `u`p, `d`own, `r`efusing, `n`ew.
    fn snapshot_of(health: &str, route: Route, change: impl Fn(&mut Pool)) -> Snapshot {
        let mut pools = vec![pool("a", &["10.0.0.1", "10.0.0.2"]), pool("b", &["10.1.0.1", "10.1.0.2"])];
        pools.iter_mut().for_each(change);
        let mut world = World::default();
        let topology = Arc::new(Topology { pools, routes: vec![route] });
        world.apply(Event::Adopted { topology, generation: 1 }, Tick(0));
        let ids: Vec<EndpointId> = world.probed_endpoints().map(|place| place.id).collect();
        for (id, health) in ids.into_iter().zip(health.chars()) {
            let fault = if health == 'r' { Fault::Refused } else { Fault::Timeout };
            for _ in 0..if health == 'n' { 0 } else { 2 } {
                let evidence = Evidence { fault, detail: "".into() };
                let result = if health == 'u' { Ok(Duration::from_millis(1)) } else { Err(evidence) };
                world.apply(Event::Probed { id, result }, Tick(1));
            }
        }
        world.snapshot()
    }

    /// The slots that a request is sent to until it is refused, each answer with its reason.
    fn walk(snapshot: &Snapshot, queues: &[u32], turn: u32) -> Vec<String> {
        let mut tried: Vec<Tried> = Vec::new();
        let mut seen = Vec::new();
        loop {
            let facts = Facts {
                host: "h",
                path: "/",
                client: IpAddr::from([1, 1, 1, 1]),
                location: Default::default(),
                tried: &tried,
                replayable: true,
                bound: None,
            };
            match steer(snapshot, &Queues(queues.to_vec()), &facts, roll(turn, 3)) {
                Ok(Decision { pool, endpoint, reason, .. }) => {
                    seen.push(format!("{} {}", endpoint.0, reason.as_str()));
                    let endpoint = snapshot.layout.endpoints.get(endpoint).unwrap().id;
                    tried.push(Tried { endpoint, pool, leave: false });
                }
                Err(refusal) => {
                    seen.push(refusal.as_str().into());
                    return seen;
                }
            }
        }
    }

    fn check(health: &str, queues: &[u32], expected: &[&str]) {
        let snapshot = snapshot_of(health, failover(2), |pool| pool.max_in_flight = 2);
        assert_eq!(walk(&snapshot, queues, 1), expected, "{health} {queues:?}");
    }

    #[test]
    fn a_full_pool_spills_and_when_all_that_are_up_are_full_the_request_is_refused() {
        check("udud", &[0, 0, 2, 0], &["0 balanced", "overloaded"]);
        check("uuuu", &[2, 2, 0, 2], &["2 spill", "overloaded"]);
        check("uuuu", &[2, 2, 2, 2], &["overloaded"]);
        check("dduu", &[0, 0, 2, 0], &["3 failover", "overloaded"]);
    }

    #[test]
    fn a_request_waits_for_a_pool_that_can_serve_it() {
        let check = |health: &str, queues: &[u32], expected: Option<u32>| {
            let snapshot = snapshot_of(health, failover(2), |_| {});
            let facts = facts(&[]);
            let found = queued_pool(&snapshot, &facts, roll(1, 3), |pool| queues.contains(&pool.0));
            assert_eq!(found.map(|pool| pool.0), expected, "{health} {queues:?}");
        };
        check("uuuu", &[0, 1], Some(0));
        check("uuuu", &[1], Some(1));
        check("dduu", &[0, 1], Some(1));
        check("dduu", &[0], None);
        check("uunn", &[1], Some(1));
        check("uuuu", &[], None);
    }

    /// No room in these pools.
    struct Closed(Vec<u32>);

    impl Loads for Closed {
        fn in_flight(&self, _: EndpointSlot) -> u32 {
            0
        }
        fn latency_us(&self, _: EndpointSlot) -> u32 {
            0
        }
        fn trickle_due(&self, _: EndpointSlot, _: bool) -> bool {
            true
        }
        fn has_room(&self, pool: PoolSlot) -> bool {
            !self.0.contains(&pool.0)
        }
    }

    #[test]
    fn a_pool_at_its_capacity_spills_to_the_next_and_when_all_are_the_request_is_refused() {
        let facts = facts(&[]);
        let ask = |health: &str, route: Route, capacity: u32, closed: &[u32]| {
            let snapshot = snapshot_of(health, route, |pool| pool.capacity = capacity);
            let answer = steer(&snapshot, &Closed(closed.to_vec()), &facts, roll(1, 3));
            answer.map_or_else(
                |refusal| refusal.as_str().to_owned(),
                |decision| format!("{} {}", decision.pool.0, decision.reason.as_str()),
            )
        };
        for (health, capacity, closed, expected) in [
            ("uuuu", 0, &[0, 1][..], "0 balanced"),
            ("uuuu", 9, &[], "0 balanced"),
            ("uuuu", 9, &[1], "0 balanced"),
            ("uuuu", 9, &[0], "1 spill"),
            ("uuuu", 9, &[0, 1], "overloaded"),
            ("dduu", 9, &[0], "1 failover"),
            ("dduu", 9, &[1], "overloaded"),
            ("dddd", 9, &[0], "1 panic"),
            ("dddd", 9, &[0, 1], "overloaded"),
        ] {
            assert_eq!(
                ask(health, failover(2), capacity, closed),
                expected,
                "{health} {capacity} {closed:?}"
            );
        }
        assert_eq!(ask("uuuu", weighted(&[(1, 100), (1, 100)]), 9, &[1]), "0 spill");
        assert_eq!(ask("uuuu", weighted(&[(1, 100), (1, 100)]), 9, &[0]), "1 balanced");
    }

    #[test]
    fn retries_fall_back_to_dead_endpoints_and_last_to_refusing_ones() {
        check("uddr", &[], &["0 balanced", "1 panic", "2 panic", "3 panic", "no_endpoint"]);
        check("ruru", &[], &["1 balanced", "3 failover", "0 panic", "2 panic", "no_endpoint"]);
        check("rddr", &[], &["1 panic", "2 panic", "0 panic", "3 panic", "no_endpoint"]);
        check("nddd", &[], &["0 balanced", "1 panic", "3 panic", "2 panic", "no_endpoint"]);
    }

    #[test]
    fn equal_weights_are_equal_whatever_their_number() {
        let busy_part = |weight: u32| {
            let change = |pool: &mut Pool| pool.endpoints.iter_mut().for_each(|spec| spec.weight = weight);
            let snapshot = snapshot_of("uuuu", weighted(&[(1, 100), (0, 100)]), change);
            let facts = Facts {
                host: "h",
                path: "/",
                client: IpAddr::from([1, 1, 1, 1]),
                location: Default::default(),
                tried: &[],
                replayable: true,
                bound: None,
            };
            let busy = |turn: &u32| {
                let queues = Queues(vec![3, 0, 0, 0]);
                let roll = roll(*turn, mix(u64::from(*turn)));
                steer(&snapshot, &queues, &facts, roll).unwrap().endpoint == EndpointSlot(0)
            };
            (0..2000u32).filter(busy).count()
        };
        assert_eq!(busy_part(1), busy_part(100));
        assert!((50..120).contains(&busy_part(1)), "{}", busy_part(1));
    }
}
