//! Room 3, STEER: the request path's one question, answered from one snapshot. Same inputs, same answer.
//! Never allocates on a first attempt, never blocks, never fails but with a [`Refusal`].

use crate::{
    axes::Prospect,
    draw::{Draw, Need, accepts},
    facts::{Decision, Facts, Loads, Tried},
    funnel::sieve,
    layout::Place,
    reason::{Reason, Refusal},
    shares::{Segment, Stage},
    slot::{EntrySlot, PoolSlot, RouteSlot},
    snapshot::Snapshot,
    view::{PoolView, Trickle},
};

/// Chooses an endpoint. Same inputs, same answer: a logged decision can be replayed.
///
/// # Errors
/// A [`Refusal`] when nobody may serve this request.
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
/// As [`steer`]; `NoRoute` if the slot is not of this snapshot.
pub fn steer_on(
    snapshot: &Snapshot,
    loads: &impl Loads,
    route: RouteSlot,
    facts: &Facts<'_>,
    roll: u64,
) -> Result<Decision, Refusal> {
    let view = snapshot.routes.get(route).ok_or(Refusal::NoRoute)?;
    if !view.trickles.is_empty()
        && facts.tried.is_empty()
        && let Some(Trickle { pool, endpoint }) = trickle(snapshot, loads, &view.trickles, facts)
    {
        return Ok(Decision { route, pool, endpoint, reason: Reason::Probation });
    }
    let shares = &view.shares;
    let leave = facts.tried.len() > 1 || facts.tried.iter().any(|tried| tried.leave);
    if !leave && let Some(segment) = pick(&shares.segments, roll) {
        let best = snapshot.pools.get(segment.pool).map_or(Prospect::Poor, PoolView::prospect);
        let prospect = if shares.stage == Stage::Panic { best } else { Prospect::Poor };
        let need = Need { stage: shares.stage, prospect };
        let draw = Draw { snapshot, loads, need, tried: facts.tried };
        if let Some(endpoint) = draw.endpoint(segment.pool, roll) {
            return Ok(Decision { route, pool: segment.pool, endpoint, reason: segment.reason });
        }
    }
    Again { snapshot, loads, route, facts, roll }.steer()
}

/// The endpoint in probation that is due for a request, if there is one.
fn trickle(
    snapshot: &Snapshot,
    loads: &impl Loads,
    trickles: &[Trickle],
    facts: &Facts<'_>,
) -> Option<Trickle> {
    trickles.iter().copied().find(|Trickle { pool, endpoint }| {
        let cap = snapshot.pool(*pool).map_or(0, |pool| pool.max_in_flight);
        !loads.is_full(*endpoint, cap) && loads.trickle_due(*endpoint, facts.replayable)
    })
}

/// The sieves once more, without the pools that cannot take this attempt: all tried, all at their caps, or (from
/// the second retry on, while there is another) pools that failed this request.
struct Again<'a, L> {
    snapshot: &'a Snapshot,
    loads: &'a L,
    route: RouteSlot,
    facts: &'a Facts<'a>,
    roll: u64,
}

impl<L: Loads> Again<'_, L> {
    fn steer(&self) -> Result<Decision, Refusal> {
        let stage = self.snapshot.routes.get(self.route).ok_or(Refusal::NoRoute)?.shares.stage;
        let mut skipped = 2;
        if stage != Stage::Panic {
            if let Some(decision) = self.attempt(stage, Need { stage, prospect: Prospect::Poor }) {
                return Ok(decision);
            }
            // Panic is for when health is not to be believed, not for when the healthy are busy.
            if self.at_capacity(stage) {
                return Err(Refusal::Overloaded);
            }
            skipped = 0;
        }
        let lax = Need::LAST_RESORTS.into_iter().skip(skipped);
        let found = lax.filter_map(|need| self.attempt(Stage::Panic, need)).next();
        let busy = || self.at_capacity(Stage::Panic);
        found.ok_or_else(|| if busy() { Refusal::Overloaded } else { Refusal::NoEndpoint })
    }

    /// One pass; with the pools that failed this request only if there is nobody else.
    fn attempt(&self, stage: Stage, need: Need) -> Option<Decision> {
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
                let reason = if self.overflows(segment) { Reason::Spill } else { segment.reason };
                return Some(Decision { route: self.route, pool: segment.pool, endpoint, reason });
            }
            if avoided.is_empty() {
                break;
            }
        }
        None
    }

    /// The pool of a tried endpoint in this snapshot: slots move with a reload, ids do not. One that has vanished
    /// still counts against the pool it was in.
    fn pool_of(&self, tried: &Tried) -> PoolSlot {
        let is = |place: &&Place| place.id == tried.endpoint;
        if self.snapshot.endpoints_of(tried.pool).any(|member| is(&member.place)) {
            return tried.pool;
        }
        self.snapshot.layout.endpoints.iter().find(is).map_or(tried.pool, |place| place.pool)
    }

    /// A better tier is alive, but all at its caps: that is no failover.
    fn overflows(&self, segment: &Segment) -> bool {
        let tier = |entry: EntrySlot| {
            let route = self.snapshot.route(self.route)?;
            route.pools.get(entry.index()).map(|member| member.tier)
        };
        let view = self.snapshot.routes.get(self.route);
        segment.reason == Reason::Failover
            && self.facts.tried.is_empty()
            && view.is_some_and(|view| {
                view.shares.segments.iter().any(|usual| tier(usual.entry) < tier(segment.entry))
            })
    }

    /// Some untried endpoint that the stage accepts is at its pool's `max_in_flight`.
    fn at_capacity(&self, stage: Stage) -> bool {
        let snapshot = self.snapshot;
        let pools = snapshot.route(self.route).map(|route| route.pools.as_slice()).unwrap_or_default();
        pools.iter().any(|member| {
            let cap = snapshot.pool(member.pool).map_or(0, |pool| pool.max_in_flight);
            cap > 0
                && snapshot.endpoints_of(member.pool).any(|endpoint| {
                    accepts(endpoint.view, stage)
                        && !self.facts.tried.iter().any(|tried| tried.endpoint == endpoint.place.id)
                        && self.loads.is_full(endpoint.slot, cap)
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
        test_world::{failover, pool, weighted},
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
    fn picture(health: &str, route: Route, change: impl Fn(&mut Pool)) -> Snapshot {
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
                tried: &tried,
                replayable: true,
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
        let snapshot = picture(health, failover(2), |pool| pool.max_in_flight = 2);
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
    fn a_request_that_failed_everywhere_tries_the_rest_and_those_that_refuse_last() {
        check("uddr", &[], &["0 balanced", "1 panic", "2 panic", "3 panic", "no_endpoint"]);
        check("ruru", &[], &["1 balanced", "3 failover", "0 panic", "2 panic", "no_endpoint"]);
        check("rddr", &[], &["1 panic", "2 panic", "0 panic", "3 panic", "no_endpoint"]);
        check("nddd", &[], &["0 balanced", "1 panic", "3 panic", "2 panic", "no_endpoint"]);
    }

    #[test]
    fn equal_weights_are_equal_whatever_their_number() {
        let busy_part = |weight: u32| {
            let change = |pool: &mut Pool| pool.endpoints.iter_mut().for_each(|spec| spec.weight = weight);
            let snapshot = picture("uuuu", weighted(&[(1, 100), (0, 100)]), change);
            let facts = Facts {
                host: "h",
                path: "/",
                client: IpAddr::from([1, 1, 1, 1]),
                tried: &[],
                replayable: true,
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
