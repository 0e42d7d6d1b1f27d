//! Room 3, STEER: the request path's one question, answered from one snapshot. Same inputs, same answer.
//! Never allocates on a first attempt, never blocks, never fails but with a [`Refusal`].

use std::net::IpAddr;

use crate::{
    Availability, EndpointId, EndpointSlot, EndpointView, Place, PoolSlot, RouteSlot, Segment, Snapshot,
    Stage, funnel::funnel,
};

/// Everything about a request that steering may know.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Lower case, without port and final dot.
    pub host: &'a str,
    /// Normalised, without query.
    pub path: &'a str,
    /// Who asks.
    pub client: IpAddr,
    /// Endpoints that failed this same request, in order.
    pub tried: &'a [Tried],
}

/// An endpoint that failed this request. By id, so that it stays excluded when the snapshot moves between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Which one.
    pub endpoint: EndpointId,
    /// Its pool, by the slot of the layout in which it was tried.
    pub pool: PoolSlot,
}

/// How loaded each endpoint is, in the eyes of who asks.
pub trait Loads {
    /// Requests in flight there.
    fn in_flight(&self, slot: EndpointSlot) -> u32;
    /// Smoothed time to an answer in microseconds, failures counted as slow answers; 0 = not known.
    fn latency_us(&self, slot: EndpointSlot) -> u32;
}

/// Nothing is known: what `explain` uses offline.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLoads;

impl Loads for NoLoads {
    fn in_flight(&self, _: EndpointSlot) -> u32 {
        0
    }
    fn latency_us(&self, _: EndpointSlot) -> u32 {
        0
    }
}

/// Where this attempt goes, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The route that matched.
    pub route: RouteSlot,
    /// The pool that was steered to.
    pub pool: PoolSlot,
    /// The endpoint that the balancing inside it chose.
    pub endpoint: EndpointSlot,
    /// Why that pool.
    pub reason: Reason,
}

/// Why a pool serves; the first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Too few are available anywhere: health does not count.
    Panic,
    /// Every better tier is down.
    Failover,
    /// A better pool may not take more.
    Spill,
    /// The client is bound to it.
    Affinity,
    /// It is (or is as good as) the nearest.
    Nearest,
    /// It took its share by weight.
    Balanced,
}

impl Reason {
    /// All of them, in order of precedence.
    pub const ALL: [Self; 6] =
        [Self::Panic, Self::Failover, Self::Spill, Self::Affinity, Self::Nearest, Self::Balanced];

    /// The spelling in log, metric and header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Failover => "failover",
            Self::Spill => "spill",
            Self::Affinity => "affinity",
            Self::Nearest => "nearest",
            Self::Balanced => "balanced",
        }
    }
}

/// Why nobody serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No route for this host and path.
    NoRoute,
    /// No endpoint is enabled, resolved and untried.
    NoEndpoint,
    /// Everyone who could serve is at its cap.
    Overloaded,
}

impl Refusal {
    /// The spelling in log, metric and header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::NoEndpoint => "no_endpoint",
            Self::Overloaded => "overloaded",
        }
    }
}

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
    let view = snapshot.routes.get(route.0 as usize).ok_or(Refusal::NoRoute)?;
    let shares = &view.shares;
    if facts.tried.len() < 2
        && let Some(segment) = pick(&shares.segments, roll)
    {
        let draw = Draw { snapshot, loads, stage: shares.stage, tried: facts.tried };
        if let Some(endpoint) = draw.endpoint(segment.pool, roll) {
            return Ok(Decision { route, pool: segment.pool, endpoint, reason: segment.reason });
        }
    }
    steer_again(snapshot, loads, route, facts, roll)
}

/// The sieves once more, without the pools that cannot take this attempt: all tried, all at their caps, or (from
/// the second retry on, while there is another) pools that failed this request.
fn steer_again(
    snapshot: &Snapshot,
    loads: &impl Loads,
    slot: RouteSlot,
    facts: &Facts<'_>,
    roll: u64,
) -> Result<Decision, Refusal> {
    let route = snapshot.route(slot).ok_or(Refusal::NoRoute)?;
    let view = snapshot.routes.get(slot.0 as usize).ok_or(Refusal::NoRoute)?;
    let leave = |pool: PoolSlot| facts.tried.len() >= 2 && facts.tried.iter().any(|tried| tried.pool == pool);
    for leave_tried_pools in [true, false] {
        let has_candidate = |pool: PoolSlot, stage: Stage| {
            !(leave_tried_pools && leave(pool))
                && Draw { snapshot, loads, stage, tried: facts.tried }.endpoint(pool, roll).is_some()
        };
        let found = funnel(route, &view.pools, &snapshot.pools, &has_candidate).shares;
        // Panic is for when health is not to be believed, not for when the healthy are busy or were tried.
        let last_resort = found.stage == Stage::Panic && view.shares.stage != Stage::Panic;
        if last_resort && at_capacity(snapshot, loads, slot, view.shares.stage) {
            return Err(Refusal::Overloaded);
        }
        if last_resort && leave_tried_pools && facts.tried.len() >= 2 {
            continue;
        }
        if let Some(segment) = pick(&found.segments, roll)
            && let Some(endpoint) = (Draw { snapshot, loads, stage: found.stage, tried: facts.tried })
                .endpoint(segment.pool, roll)
        {
            return Ok(Decision { route: slot, pool: segment.pool, endpoint, reason: segment.reason });
        }
    }
    if at_capacity(snapshot, loads, slot, Stage::Panic) {
        Err(Refusal::Overloaded)
    } else {
        Err(Refusal::NoEndpoint)
    }
}

/// Some endpoint that the stage accepts is at its pool's `max_in_flight`.
fn at_capacity(snapshot: &Snapshot, loads: &impl Loads, route: RouteSlot, stage: Stage) -> bool {
    let pools = snapshot.route(route).map(|route| route.pools.as_slice()).unwrap_or_default();
    pools.iter().any(|member| {
        let cap = snapshot.layout.topology.pools.get(member.pool).map_or(0, |pool| pool.max_in_flight);
        let slot = PoolSlot(u32::try_from(member.pool).unwrap_or(u32::MAX));
        cap > 0
            && snapshot
                .endpoints_of(slot)
                .any(|(endpoint, _, view)| accepts(view, stage) && loads.in_flight(endpoint) >= cap)
    })
}

/// An endpoint's rank as a candidate in a stage: may it serve at all?
fn accepts(view: &EndpointView, stage: Stage) -> bool {
    use crate::Admin;
    match stage {
        Stage::Up => view.availability == Availability::Up,
        Stage::Unproven => matches!(view.availability, Availability::Up | Availability::Unproven),
        Stage::Panic => view.admin == Admin::Enabled,
    }
}

/// The segment that a roll falls into. Bits 21–52 of the roll are the point, so that a roll survives a JSON number.
fn pick(segments: &[Segment], roll: u64) -> Option<&Segment> {
    let point = (roll >> 21) & 0xffff_ffff;
    segments.get(segments.partition_point(|segment| segment.end <= point))
}

/// The draw inside one pool.
struct Draw<'a, L> {
    snapshot: &'a Snapshot,
    loads: &'a L,
    stage: Stage,
    tried: &'a [Tried],
}

impl<L: Loads> Draw<'_, L> {
    /// Weighted power of two choices. The first is drawn by weight, so that equals share exactly by weight; the
    /// second takes it over with the probability by which it is the better one, so that a slow or busy endpoint
    /// fades out smoothly instead of all requests chasing the momentary minimum.
    fn endpoint(&self, pool: PoolSlot, roll: u64) -> Option<EndpointSlot> {
        let cap =
            self.snapshot.layout.topology.pools.get(pool.0 as usize).map_or(0, |pool| pool.max_in_flight);
        // Those that refuse connections serve last of all, those of weight 0 only when the pool has nothing else.
        for (refusing, reserve) in [(false, false), (false, true), (true, false), (true, true)] {
            if refusing && self.stage != Stage::Panic {
                break;
            }
            let suits = |slot: EndpointSlot, place: &Place, view: &EndpointView| {
                accepts(view, self.stage)
                    && (self.stage != Stage::Panic || view.refusing == refusing)
                    && (place.weight == 0) == reserve
                    && (cap == 0 || self.loads.in_flight(slot) < cap)
                    && !self.tried.iter().any(|tried| tried.endpoint == place.id)
            };
            let total: u64 = self.candidates(pool, &suits).map(|(_, weight)| weight).sum();
            if total == 0 {
                continue;
            }
            let hash = mix(roll);
            let (first, weight) = self.nth(pool, &suits, None, hash % total)?;
            if weight == total {
                return Some(first);
            }
            let hash = mix(hash);
            let (second, other) = self.nth(pool, &suits, Some(first), hash % (total - weight))?;
            return Some(self.better((first, weight), (second, other), mix(hash)));
        }
        None
    }

    fn candidates<'b>(
        &'b self,
        pool: PoolSlot,
        suits: &'b impl Fn(EndpointSlot, &Place, &EndpointView) -> bool,
    ) -> impl Iterator<Item = (EndpointSlot, u64)> + 'b {
        self.snapshot
            .endpoints_of(pool)
            .filter(move |(slot, place, view)| suits(*slot, place, view))
            .map(|(slot, place, _)| (slot, u64::from(place.weight.max(1))))
    }

    /// The candidate at `point` of the cumulative weights, `skip` left out.
    fn nth(
        &self,
        pool: PoolSlot,
        suits: &impl Fn(EndpointSlot, &Place, &EndpointView) -> bool,
        skip: Option<EndpointSlot>,
        mut point: u64,
    ) -> Option<(EndpointSlot, u64)> {
        self.candidates(pool, suits).filter(|(slot, _)| Some(*slot) != skip).find(|(_, weight)| {
            let here = point < *weight;
            point = point.saturating_sub(*weight);
            here
        })
    }

    /// `second` wins with probability 1 − (its cost ÷ the first's)².
    fn better(&self, first: (EndpointSlot, u64), second: (EndpointSlot, u64), hash: u64) -> EndpointSlot {
        let (cost, rival) = (self.cost(first), self.cost(second));
        let (first, second) = (first.0, second.0);
        if rival >= cost {
            return first;
        }
        let ratio = rival / cost;
        #[expect(clippy::cast_precision_loss, reason = "32 bits fit a double exactly")]
        let chance = (hash >> 32) as f64 / 4_294_967_296.0;
        if chance < 1.0 - ratio * ratio { second } else { first }
    }

    /// Expected wait: the smoothed time to an answer × what is already queued there per unit of weight.
    fn cost(&self, (slot, weight): (EndpointSlot, u64)) -> f64 {
        let known = self.loads.latency_us(slot);
        let latency = if known > 0 {
            known
        } else {
            self.snapshot.endpoints.get(slot.0 as usize).and_then(|view| view.latency_us).unwrap_or(0)
        };
        #[expect(clippy::cast_precision_loss, reason = "weights are 32-bit")]
        let queued = f64::from(self.loads.in_flight(slot)) / weight as f64;
        // 200 µs of slack: differences below that are the scheduler's, not the endpoint's.
        (f64::from(latency) + 200.0) * (1.0 + queued)
    }
}

/// One step of SplitMix64 (Steele, Lea, Flood 2014): spreads a roll's bits.
#[must_use]
pub fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The roll of a request: its point comes from a golden-ratio sequence, so that shares are exact over short spans
/// (discrepancy O(log n ÷ n)); its low bits come from `noise`. Fits 53 bits.
#[must_use]
pub fn roll(turn: u32, noise: u64) -> u64 {
    // 2^32 ÷ φ, odd.
    let point = turn.wrapping_mul(0x9e37_79b9);
    (u64::from(point) << 21) | (noise & 0x1f_ffff)
}
