//! The last sieve: one endpoint inside the pool that was chosen, by weight and by who is less busy.
//! Never allocates, never looks beyond its pool.

use crate::{
    axes::{Admin, Availability, Prospect},
    facts::{Loads, Tried},
    roll::mix,
    shares::Stage,
    slot::{EndpointSlot, PoolSlot},
    snapshot::{PoolEndpoint, Snapshot},
    view::EndpointView,
};

/// The draw inside one pool.
pub(crate) struct Draw<'a, L> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) loads: &'a L,
    pub(crate) need: Need,
    pub(crate) tried: &'a [Tried],
}

/// An endpoint that may take the attempt.
#[derive(Clone, Copy)]
struct Candidate {
    slot: EndpointSlot,
    weight: u64,
}

impl<L: Loads> Draw<'_, L> {
    /// Weighted power of two choices. The first is drawn by weight, so that equals share exactly by weight; the
    /// second takes it over with the probability by which it is the better one, so that a slow or busy endpoint
    /// fades out smoothly instead of all requests chasing the momentary minimum.
    pub(crate) fn endpoint(&self, pool: PoolSlot, roll: u64) -> Option<EndpointSlot> {
        let cap = self.cap(pool);
        // Those of weight 0 serve only when the pool has nothing else.
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

    /// Does [`Draw::endpoint`] find one?
    pub(crate) fn any(&self, pool: PoolSlot) -> bool {
        let cap = self.cap(pool);
        self.snapshot.endpoints_of(pool).any(|endpoint| self.suits(cap, &endpoint))
    }

    fn cap(&self, pool: PoolSlot) -> u32 {
        self.snapshot.pool(pool).map_or(0, |pool| pool.max_in_flight)
    }

    fn suits(&self, cap: u32, endpoint: &PoolEndpoint<'_>) -> bool {
        self.need.met_by(endpoint.view)
            && !self.loads.is_full(endpoint.slot, cap)
            && !self.tried.iter().any(|tried| tried.endpoint == endpoint.place.id)
    }

    fn candidates<'b>(
        &'b self,
        pool: PoolSlot,
        suits: &'b impl Fn(&PoolEndpoint<'_>) -> bool,
    ) -> impl Iterator<Item = Candidate> + 'b {
        self.snapshot.endpoints_of(pool).filter(move |endpoint| suits(endpoint)).map(
            |PoolEndpoint { slot, place, .. }| Candidate { slot, weight: u64::from(place.weight.max(1)) },
        )
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
        let (first, second) = (first.slot, second.slot);
        if rival >= cost {
            return first;
        }
        let ratio = rival / cost;
        let chance = (hash >> 32) as f64 / 4_294_967_296.0;
        if chance < 1.0 - ratio * ratio { second } else { first }
    }

    /// Expected wait: the smoothed time to an answer × what is already queued there per unit of weight.
    fn cost(&self, Candidate { slot, weight }: Candidate, mean: f64) -> f64 {
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

/// `hash` as a number below `total`, by multiplication: a remainder would cost a 64-bit division (Lemire 2019).
fn scaled(hash: u64, total: u64) -> u64 {
    ((u128::from(hash) * u128::from(total)) >> 64) as u64
}

/// What an endpoint must be to take an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    pub(crate) stage: Stage,
    /// The worst that will do.
    pub(crate) prospect: Prospect,
}

impl Need {
    /// From strict to lax: what is left to a request when everyone that the route would choose was tried. The Up
    /// endpoints of short pools are better than the dead; those that refuse connections serve last.
    pub(crate) const LAST_RESORTS: [Self; 5] = [
        Self { stage: Stage::Up, prospect: Prospect::Good },
        Self { stage: Stage::Unproven, prospect: Prospect::Good },
        Self { stage: Stage::Panic, prospect: Prospect::Good },
        Self { stage: Stage::Panic, prospect: Prospect::Open },
        Self { stage: Stage::Panic, prospect: Prospect::Poor },
    ];

    fn met_by(self, view: &EndpointView) -> bool {
        view.prospect() <= self.prospect && accepts(view, self.stage)
    }
}

/// May it serve at this stage?
pub(crate) fn accepts(view: &EndpointView, stage: Stage) -> bool {
    match stage {
        Stage::Up => view.availability == Availability::Up,
        Stage::Unproven => matches!(view.availability, Availability::Up | Availability::Unproven),
        Stage::Panic => view.admin == Admin::Enabled,
    }
}
