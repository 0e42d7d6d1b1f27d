//! The last sieve: one endpoint inside the pool that was chosen, by weight and by load.
//! Never allocates, never looks beyond its pool.
//!
//! # Why two choices and not the least loaded
//!
//! The least loaded endpoint is the least loaded for every worker at the same moment. Each sees only its own requests and
//! a latency of a moment ago, so all would send to the same endpoint until its number rises: the herd that Mitzenmacher
//! describes in "How Useful Is Old Information?" (2000). Two endpoints drawn at random, of which the better one serves,
//! come close to the optimum without that ("The Power of Two Choices in Randomized Load Balancing", 2001). Envoy's least
//! request policy, Finagle and linkerd draw two as well.
//!
//! # Why by weight first
//!
//! Envoy uses two choices only while all weights are equal, and another schedule otherwise. Here the first endpoint is
//! drawn by weight, and so is the second from the rest. While both cost the same the first one stays, so that equals
//! share exactly by weight, and weights and loads need one algorithm only.
//!
//! # Why the second takes over by probability and not by comparison
//!
//! A strict comparison gives the better of two everything: an endpoint that is 5 % slower than its only sibling would
//! get no request and never be measured again. The second takes over with probability 1 − (its cost ÷ the first's)²: a
//! slow endpoint fades out smoothly and is still asked now and then, which shows when it has recovered.
//!
//! The cost is the smoothed time to an answer times the queue per unit of weight, as in Finagle's Peak EWMA.

use crate::{
    affinity::best,
    axes::{Admin, Availability, PanicRank},
    facts::{Loads, Tried},
    roll::mix,
    scale::Scale,
    shares::Stage,
    slot::{EndpointSlot, PoolSlot},
    snapshot::{PoolEndpoint, Snapshot},
    view::{EndpointView, PoolView, Ramp},
};

/// The draw inside one pool.
pub(crate) struct Draw<'a, L> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) loads: &'a L,
    pub(crate) need: Requirement,
    pub(crate) tried: &'a [Tried],
}

/// An endpoint that may take the attempt. Its weight is in thousandths, scaled by what the endpoint takes and by how far its
/// slow start is.
#[derive(Clone, Copy)]
struct Candidate {
    slot: EndpointSlot,
    weight: u64,
    slow_start: Option<Ramp>,
}

impl<L: Loads> Draw<'_, L> {
    /// Draws an endpoint by weight, and a second one that may take over.
    pub(crate) fn endpoint(&self, pool: PoolSlot, roll: u64) -> Option<EndpointSlot> {
        if !has_room(self.snapshot, self.loads, pool) {
            return None;
        }
        let cap = self.cap(pool);
        // Endpoints of weight 0 serve only when the pool has no others.
        for reserve in [false, true] {
            let suits = |endpoint: &PoolEndpoint<'_>| {
                (endpoint.place.weight == 0) == reserve && self.suits(cap, endpoint)
            };
            let total: u64 = self.candidates(pool, &suits).map(|candidate| candidate.weight).sum();
            if total == 0 {
                continue;
            }
            let hash = mix(roll);
            let first = self.nth(pool, &suits, None, scaled(hash, total))?;
            if first.weight == total {
                return Some(first.slot);
            }
            let hash = mix(hash);
            let second = self.nth(pool, &suits, Some(first.slot), scaled(hash, total - first.weight))?;
            return Some(self.better(first, second, mix(hash)));
        }
        None
    }

    /// The endpoint of the pool that ranks first for a client, out of those that may take the attempt.
    pub(crate) fn ranked(&self, pool: PoolSlot, client: u64) -> Option<EndpointSlot> {
        let cap = self.cap(pool);
        let ranked = |reserve: bool| {
            let suits = |endpoint: &PoolEndpoint<'_>| {
                (endpoint.place.weight == 0) == reserve && self.suits(cap, endpoint)
            };
            let hash =
                |slot: EndpointSlot| self.snapshot.layout.endpoints.get(slot).map_or(0, |at| at.hash.0);
            let scored = self.candidates(pool, &suits);
            best(client, scored.map(|Candidate { slot, weight, .. }| (slot, hash(slot), weight as f64)))
        };
        ranked(false).or_else(|| ranked(true))
    }

    /// May this endpoint take the attempt?
    pub(crate) fn takes(&self, pool: PoolSlot, endpoint: EndpointSlot) -> bool {
        let cap = self.cap(pool);
        self.snapshot.endpoints_of(pool).any(|member| member.slot == endpoint && self.suits(cap, &member))
    }

    /// The weight by which clients belong to an endpoint: what it takes while it may serve, else its whole weight.
    pub(crate) fn home_weight(&self, endpoint: &PoolEndpoint<'_>) -> u64 {
        let whole = Scale::WHOLE.weigh(endpoint.place.weight.max(1));
        let serves = self.need.met_by(endpoint.view) && (self.need.damped || !endpoint.view.damped);
        if serves { self.weight(endpoint) } else { whole }
    }

    /// The weight of an endpoint in thousandths, scaled by what it takes and by how far its slow start is.
    fn weight(&self, endpoint: &PoolEndpoint<'_>) -> u64 {
        // In panic, what probes say does not count.
        let panics = self.need.stage == Stage::Panic;
        let scale = if panics { Scale::WHOLE } else { endpoint.view.scale };
        let whole = scale.weigh(endpoint.place.weight.max(1));
        endpoint.view.slow_start.map_or(whole, |start| part_of(whole, start))
    }

    /// Does [`Draw::endpoint`] find an endpoint?
    pub(crate) fn any(&self, pool: PoolSlot) -> bool {
        let cap = self.cap(pool);
        has_room(self.snapshot, self.loads, pool)
            && self.snapshot.endpoints_of(pool).any(|endpoint| self.suits(cap, &endpoint))
    }

    fn cap(&self, pool: PoolSlot) -> u32 {
        self.snapshot.pool(pool).map_or(0, |pool| pool.max_in_flight)
    }

    fn suits(&self, cap: u32, endpoint: &PoolEndpoint<'_>) -> bool {
        self.need.met_by(endpoint.view)
            && (self.need.damped || !endpoint.view.damped)
            && !self.loads.is_full(endpoint.slot, cap)
            && !self.tried.iter().any(|tried| tried.endpoint == endpoint.place.id)
    }

    fn candidates<'b>(
        &'b self,
        pool: PoolSlot,
        suits: &'b impl Fn(&PoolEndpoint<'_>) -> bool,
    ) -> impl Iterator<Item = Candidate> + 'b {
        self.snapshot.endpoints_of(pool).filter(move |endpoint| suits(endpoint)).map(move |endpoint| {
            Candidate {
                slot: endpoint.slot,
                weight: self.weight(&endpoint),
                slow_start: endpoint.view.slow_start,
            }
        })
    }

    /// The candidate at `point` of the cumulative weights, `skip` left out.
    fn nth(
        &self,
        pool: PoolSlot,
        suits: &impl Fn(&PoolEndpoint<'_>) -> bool,
        skip: Option<EndpointSlot>,
        mut point: u64,
    ) -> Option<Candidate> {
        let mut candidates = self.candidates(pool, suits).filter(|candidate| Some(candidate.slot) != skip);
        candidates.find(|Candidate { weight, .. }| {
            let here = point < *weight;
            point = point.saturating_sub(*weight);
            here
        })
    }

    /// `second` wins with probability 1 − (its cost ÷ the first's)².
    fn better(&self, first: Candidate, second: Candidate, hash: u64) -> EndpointSlot {
        // Weights count relative to each other: 100 and 100 are as equal as 1 and 1.
        let mean = (first.weight + second.weight) as f64 / 2.0;
        let (cost, rival) = (self.cost(first, mean), self.cost(second, mean));
        if rival >= cost {
            return first.slot;
        }
        let ratio = rival / cost;
        let chance = (hash >> 32) as f64 / 4_294_967_296.0;
        // Idle because it starts slowly is not idle because it is fast.
        let part = second.slow_start.map_or(1.0, |start| start.part);
        if chance < (1.0 - ratio * ratio) * part { second.slot } else { first.slot }
    }

    /// Expected wait: the smoothed time to an answer × what is already queued there per unit of weight.
    fn cost(&self, Candidate { slot, weight, .. }: Candidate, mean: f64) -> f64 {
        let known = self.loads.latency_us(slot);
        let latency = if known > 0 {
            known
        } else {
            self.snapshot.endpoints.get(slot).and_then(|view| view.latency_us).unwrap_or(0)
        };
        let queued = f64::from(self.loads.in_flight(slot)) * mean / weight as f64;
        // 200 µs of slack: differences below that are the scheduler's, not the endpoint's.
        (f64::from(latency) + 200.0) * (1.0 + queued)
    }
}

/// The weight of an endpoint that starts slowly; never nothing.
fn part_of(whole: u64, start: Ramp) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a weight, at least 1"
    )]
    let part = (whole as f64 * start.part).max(1.0) as u64;
    part
}

/// `hash` as a number below `total`, by multiplication: a remainder would cost a 64-bit division (Lemire 2019).
fn scaled(hash: u64, total: u64) -> u64 {
    ((u128::from(hash) * u128::from(total)) >> 64) as u64
}

/// What an endpoint must be to take an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requirement {
    pub(crate) stage: Stage,
    /// The worst rank that will do.
    pub(crate) panic_rank: PanicRank,
    /// An endpoint that flaps will do.
    pub(crate) damped: bool,
}

impl Requirement {
    /// What a request accepts at this stage. While health counts, what flaps steps back behind what does not.
    pub(crate) fn at(stage: Stage, panic_rank: PanicRank) -> Self {
        Self { stage, panic_rank, damped: stage != Stage::Up }
    }

    /// What a first attempt accepts in this pool: in panic, the best that the pool has.
    pub(crate) fn of(snapshot: &Snapshot, stage: Stage, pool: PoolSlot) -> Self {
        let best = || snapshot.pools.get(pool).map_or(PanicRank::Last, PoolView::panic_rank);
        Self::at(stage, if stage == Stage::Panic { best() } else { PanicRank::Last })
    }

    /// What a request accepts, from strict to lax, when all endpoints that the route would choose were tried. The Up
    /// endpoints of pools below their threshold are better than the dead; those that refuse connections serve last.
    pub(crate) const FALLBACK_ORDER: [Self; 5] = [
        Self { stage: Stage::Up, panic_rank: PanicRank::Answering, damped: true },
        Self { stage: Stage::Unproven, panic_rank: PanicRank::Answering, damped: true },
        Self { stage: Stage::Panic, panic_rank: PanicRank::Answering, damped: true },
        Self { stage: Stage::Panic, panic_rank: PanicRank::Proving, damped: true },
        Self { stage: Stage::Panic, panic_rank: PanicRank::Last, damped: true },
    ];

    fn met_by(self, view: &EndpointView) -> bool {
        view.panic_rank() <= self.panic_rank && accepts(view, self.stage)
    }
}

/// May the pool get one more request, by its declared capacity?
pub(crate) fn has_room(snapshot: &Snapshot, loads: &impl Loads, pool: PoolSlot) -> bool {
    snapshot.pool(pool).is_none_or(|rules| rules.capacity == 0 || loads.has_room(pool))
}

/// May the endpoint serve at this stage?
pub(crate) fn accepts(view: &EndpointView, stage: Stage) -> bool {
    match stage {
        Stage::Up => view.availability == Availability::Up,
        Stage::Unproven => matches!(view.availability, Availability::Up | Availability::Unproven),
        Stage::Panic => view.admin == Admin::Enabled,
    }
}
