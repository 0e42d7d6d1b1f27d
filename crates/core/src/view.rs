//! What a snapshot says about one endpoint, one pool and one route: plain numbers, read by steering and status.

use crate::{
    axes::{Admin, Availability, Ejection, PanicRank, Probe},
    reason::Reason,
    scale::Scale,
    series::ProbeCounts,
    shares::{Shares, Stage},
    slot::{EndpointSlot, EntrySlot, PoolSlot, SlotVec},
    tick::Tick,
};

/// What steering and status read about an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndpointView {
    /// The three axes as one answer.
    pub availability: Availability,
    /// What the probes say.
    pub probe: Probe,
    /// How many of the last probes succeeded, while they contradict each other.
    pub flapping: Option<ProbeCounts>,
    /// The percent of its share that the endpoint asks for in its answers to probes, if it does.
    pub said_percent: Option<u8>,
    /// Which part of its usual share the endpoint takes.
    pub scale: Scale,
    /// What the operator ordered.
    pub admin: Admin,
    /// What real traffic says.
    pub ejection: Ejection,
    /// When the present probation began. A good answer to a request from before proves nothing.
    pub probation_since: Option<Tick>,
    /// The operator's drain, if one is under way or done.
    pub drain: Option<Drain>,
    /// No process listens there, as far as is known.
    pub refusing: bool,
    /// The endpoint flaps: it takes no request while the pool has another that is Up.
    pub damped: bool,
    /// Until when the endpoint is damped; also set while the pool has no other.
    pub damped_until: Option<Tick>,
    /// The endpoint has returned, and its share of the pool grows.
    pub slow_start: Option<Ramp>,
    /// Usual time to the first byte (95th percentile), microseconds.
    pub p95_us: Option<u32>,
    /// Smoothed probe latency, microseconds.
    pub latency_us: Option<u32>,
}

/// An endpoint is taken out of service: it gets no new work. Long streams end between `since` and `deadline`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// When the drain began; 0 if it began before this process.
    pub since: Tick,
    /// When the last stream ends; `None` = streams may end in their own time.
    pub deadline: Option<Tick>,
}

/// What an endpoint's past losses mean now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct RecoveryView {
    pub(crate) slow_start: Option<Ramp>,
    pub(crate) damped: bool,
    pub(crate) damped_until: Option<Tick>,
}

/// What steering and status read about a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolView {
    /// Number of endpoints that are enabled.
    pub enabled: u32,
    /// Number of enabled endpoints that are Up.
    pub up: u32,
    /// Number of enabled endpoints that are Unproven.
    pub unproven: u32,
    /// Number of enabled endpoints whose panic rank is Answering.
    pub answering: u32,
    /// Number of enabled endpoints whose panic rank is Proving.
    pub proving: u32,
    /// Number of enabled endpoints that real traffic took out: Ejected, or in Probation.
    pub out: u32,
    /// Number of endpoints that do not count, in none of these numbers: no endpoint of their name and address family
    /// has ever worked, and one of the other family has.
    pub left_out: u32,
    /// `up` ÷ (`enabled` − `unproven`), 0–1; 0 if nothing is proven. New endpoints change nothing in it.
    pub available: f64,
    /// Number of enabled endpoints that are Up and damped, while others are Up and are not.
    pub damped: u32,
    /// The part of `available` that takes its whole share: without the damped, those that start slowly and those that
    /// take less.
    pub started: f64,
    /// What the others may take: the sum of their parts ÷ the same number of endpoints.
    pub starting: f64,
    /// The part of `available` whose endpoints take less than their share, 0–1,
    pub reduced: f64,
    /// and the sum of what those take of it, 0–1.
    pub reduced_takes: f64,
    /// The part of the clients that belong to its endpoints, by weight, whose endpoint takes them now (0–1).
    pub kept: f64,
    /// Nothing is Up, or `available` is under the panic threshold.
    pub below_threshold: bool,
    /// Its best Up endpoint's smoothed probe latency, microseconds.
    pub latency_us: Option<u32>,
}

/// What steering and status read about a route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteView {
    /// The pools of the route.
    pub pools: SlotVec<EntrySlot, RoutePoolView>,
    /// How first attempts are shared out; empty if no pool can serve.
    pub shares: Shares,
    /// Every endpoint was probed once (or needs no probe) and every name was asked for once. Stays true for a route
    /// of this name: an edge that serves does not become unready by what a reload or DNS adds.
    pub first_round_done: bool,
    /// Endpoints in Probation: they get a trickle of first attempts.
    pub trickles: Box<[Trickle]>,
    /// The operator allows no failback, and no move between latencies.
    pub frozen: bool,
    /// Where clients belong, by pool; empty for a route without affinity.
    pub affinity: Box<[AffinityPool]>,
}

/// What affinity reads about one pool of a route. All numbers are parts (0–1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AffinityPool {
    /// Which pool.
    pub pool: PoolSlot,
    /// What its name hashes to: the same on every edge.
    pub hash: u64,
    /// The part of all clients that belong there, whatever the pool's health.
    pub home: f64,
    /// The part of them that may stay while their endpoint serves: less than all where the pool takes less than it has.
    pub keeps: f64,
    /// The pool's weight for the clients that may not stay where they belong.
    pub takes: f64,
    /// Why the pool serves; `None` = it has no share.
    pub reason: Option<Reason>,
}

/// An endpoint in Probation that gets a trickle of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trickle {
    /// Its pool.
    pub pool: PoolSlot,
    /// Which endpoint.
    pub endpoint: EndpointSlot,
}

/// What the world remembers about a pool on behalf of one route.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoutePoolView {
    /// The pool counts as one of the nearest (in routes with a band).
    pub near: bool,
    /// The pool is back, but waits to return: for its failback hold, or for the operator.
    pub held: bool,
    /// The pool was left because it went down, and is not up again.
    pub left: bool,
    /// When the hold ends by itself; `None` if the pool does not wait, or waits for the operator.
    pub held_until: Option<Tick>,
    /// The pool flaps, and is left alone until then unless no other can serve.
    pub damped_until: Option<Tick>,
    /// The pool has returned, and its share grows.
    pub ramp: Option<Ramp>,
}

/// How far a pool is on its way back to its full share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ramp {
    /// The part (0–1) of its share that it may take.
    pub part: f64,
    /// When it may take all of it; `None` while the route is frozen.
    pub until: Option<Tick>,
}

impl EndpointView {
    /// In which order the endpoint serves where probes do not count.
    #[must_use]
    pub fn panic_rank(&self) -> PanicRank {
        PanicRank::of(self.refusing, self.ejection)
    }
}

impl PoolView {
    /// Does the pool have an endpoint that the stage accepts?
    pub(crate) fn can_serve(&self, stage: Stage) -> bool {
        match stage {
            Stage::Up => self.up > 0,
            Stage::Unproven => self.up + self.unproven > 0,
            Stage::Panic => self.enabled > 0,
        }
    }

    /// The part (0–1) of its share that the pool may take. What takes its whole share stands in for what is lost, up to
    /// `overprovision` times its own; what takes less takes that and no more.
    #[must_use]
    pub fn takes(&self, overprovision: f64) -> f64 {
        ((self.ready() - self.reduced).max(0.0) * overprovision + self.reduced_takes).min(1.0)
    }

    /// The part (0–1) of its proven endpoints that is Up and takes new work: `available` without the damped.
    pub(crate) fn ready(&self) -> f64 {
        let up = self.up.saturating_sub(self.damped);
        if self.up == 0 { 0.0 } else { self.available * f64::from(up) / f64::from(self.up) }
    }

    /// The best panic rank of its endpoints.
    #[must_use]
    pub fn panic_rank(&self) -> PanicRank {
        match (self.answering, self.proving) {
            (1.., _) => PanicRank::Answering,
            (0, 1..) => PanicRank::Proving,
            (0, 0) => PanicRank::Last,
        }
    }
}
