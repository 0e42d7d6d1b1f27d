//! One immutable picture of the world: what a request reads. Slots are positions in this picture; ids outlive it.
//! Never changed after it was built.

use std::{net::SocketAddr, ops::Range, sync::Arc};

use crate::{Admin, Availability, Ejection, Matcher, Pool, Probe, Reason, Route, Tick, Topology};

/// Position of an endpoint in its [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointSlot(pub u32);

/// Position of a pool in [`Topology::pools`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolSlot(pub u32);

/// Position of a route in [`Topology::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteSlot(pub u32);

/// The short name of an [`EndpointKey`] in this process; given once, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(pub u32);

/// An endpoint's identity: all that is learnt is kept by it, across reloads. Weight is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointKey {
    /// The pool's name.
    pub pool: Arc<str>,
    /// The resolved address.
    pub address: SocketAddr,
}

/// The part of a snapshot that changes only with the topology or with DNS: readers that keep a table by slot
/// rebuild it when `number` moves, not at every change of health.
#[derive(Debug)]
pub struct Layout {
    /// Grows with each layout.
    pub number: u64,
    /// The config in force.
    pub topology: Arc<Topology>,
    /// By [`EndpointSlot`], pool after pool.
    pub endpoints: Box<[Place]>,
    /// By [`PoolSlot`]: its endpoints.
    pub ranges: Box<[Range<u32>]>,
    /// Host + path → route.
    pub matcher: Matcher,
}

/// Where an endpoint stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Stable across layouts.
    pub id: EndpointId,
    /// Its pool.
    pub pool: PoolSlot,
    /// Index into [`Pool::endpoints`]: which entry it comes from.
    pub spec: u32,
    /// Where it listens.
    pub address: SocketAddr,
    /// Share inside the pool.
    pub weight: u32,
}

/// One immutable picture of the world.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Number of this picture; grows by one with each.
    pub revision: u64,
    /// Number of the config in force.
    pub generation: u64,
    /// The slow-changing part.
    pub layout: Arc<Layout>,
    /// By [`EndpointSlot`].
    pub endpoints: Box<[EndpointView]>,
    /// By [`PoolSlot`].
    pub pools: Box<[PoolView]>,
    /// By [`RouteSlot`].
    pub routes: Box<[RouteView]>,
    /// Most endpoints failed their probes at once: the checker is the first suspect.
    pub doubted: bool,
}

/// What steering and status read about an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EndpointView {
    /// The three axes as one answer.
    pub availability: Availability,
    /// Probe axis.
    pub probe: Probe,
    /// Operator axis.
    pub admin: Admin,
    /// Traffic axis.
    pub ejection: Ejection,
    /// When its probation began, while it is in one: a good answer to a request from before proves nothing.
    pub tried_since: Option<Tick>,
    /// Nobody listens there, as far as we know.
    pub refusing: bool,
    /// Usual time to the first byte (95th percentile), microseconds.
    pub p95_us: Option<u32>,
    /// Smoothed probe latency, microseconds.
    pub latency_us: Option<u32>,
}

/// What steering and status read about a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolView {
    /// Endpoints that are Enabled.
    pub enabled: u32,
    /// Of these, Up.
    pub up: u32,
    /// Of these, Unproven.
    pub unproven: u32,
    /// Of these, those whose prospect is good.
    pub answering: u32,
    /// Of these, those whose prospect is open.
    pub proving: u32,
    /// Of these, those that real traffic took out: Ejected, or in Probation.
    pub out: u32,
    /// `up` ÷ (`enabled` − `unproven`), 0–1; 0 if nothing is proven. New endpoints neither help nor hurt.
    pub available: f64,
    /// `available` is under the panic threshold.
    pub short: bool,
    /// Its best Up endpoint's smoothed probe latency, microseconds.
    pub latency_us: Option<u32>,
}

/// What steering and status read about a route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteView {
    /// By position in [`Route::pools`].
    pub pools: Box<[RoutePoolView]>,
    /// How first attempts are shared out; empty = nobody can serve.
    pub shares: Shares,
    /// Every endpoint was probed once (or needs no probe) and every name was asked for once. Stays true for a route
    /// of this name: what a reload or DNS adds later does not make an edge unready that serves.
    pub first_round_done: bool,
    /// Endpoints in Probation: they get a trickle of first attempts.
    pub trickles: Box<[(PoolSlot, EndpointSlot)]>,
}

/// What the world remembers about a pool on behalf of one route.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoutePoolView {
    /// Counts as one of the nearest (routes with a band).
    pub near: bool,
    /// Back Up, but its failback hold has not ended.
    pub held: bool,
}

/// The funnel's result before the draw: who takes which part of the traffic, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shares {
    /// What an endpoint needs to be a candidate.
    pub stage: Stage,
    /// Cumulative; the last one ends at 2³².
    pub segments: Vec<Segment>,
}

/// One contiguous part of the unit interval, scaled to 2³².
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Exclusive upper end.
    pub end: u64,
    /// Position in [`Route::pools`].
    pub entry: u32,
    /// Who serves it.
    pub pool: PoolSlot,
    /// Why.
    pub reason: Reason,
}

/// What an endpoint needs to be a candidate; later stages are wider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Up.
    #[default]
    Up,
    /// Up or Unproven: the route has nothing Up.
    Unproven,
    /// Enabled: too few are available anywhere, so health stops counting.
    Panic,
}

/// What a request may expect of an endpoint where probes do not count, best first. In panic the worse serve last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prospect {
    /// An answer: nothing speaks against it.
    Good,
    /// It is in probation: a trickle is to prove it.
    Open,
    /// It refuses connections, or real traffic took it out.
    Poor,
}

impl Prospect {
    pub(crate) fn of(refusing: bool, ejection: Ejection) -> Self {
        match ejection {
            _ if refusing => Self::Poor,
            Ejection::Clear => Self::Good,
            Ejection::Probation => Self::Open,
            Ejection::Ejected { .. } => Self::Poor,
        }
    }
}

impl EndpointView {
    /// What a request may expect of it.
    #[must_use]
    pub fn prospect(&self) -> Prospect {
        Prospect::of(self.refusing, self.ejection)
    }
}

impl PoolView {
    /// The best prospect in it.
    #[must_use]
    pub fn prospect(&self) -> Prospect {
        match (self.answering, self.proving) {
            (1.., _) => Prospect::Good,
            (0, 1..) => Prospect::Open,
            (0, 0) => Prospect::Poor,
        }
    }
}

impl Snapshot {
    /// The route in a slot.
    #[must_use]
    pub fn route(&self, slot: RouteSlot) -> Option<&Route> {
        self.layout.topology.routes.get(slot.0 as usize)
    }

    /// The pool in a slot.
    #[must_use]
    pub fn pool(&self, slot: PoolSlot) -> Option<&Pool> {
        self.layout.topology.pools.get(slot.0 as usize)
    }

    /// The endpoints of a pool, each with its slot.
    pub fn endpoints_of(
        &self,
        pool: PoolSlot,
    ) -> impl Iterator<Item = (EndpointSlot, &Place, &EndpointView)> {
        let range = self.layout.ranges.get(pool.0 as usize).cloned().unwrap_or(0..0);
        let bounds = range.start as usize..range.end as usize;
        let places = self.layout.endpoints.get(bounds.clone()).unwrap_or_default();
        let views = self.endpoints.get(bounds).unwrap_or_default();
        (range.start..)
            .zip(places.iter().zip(views))
            .map(|(slot, (place, view))| (EndpointSlot(slot), place, view))
    }

    /// Health does not count on this route any more.
    #[must_use]
    pub fn in_panic(&self, route: RouteSlot) -> bool {
        self.routes.get(route.0 as usize).is_some_and(|view| view.shares.stage == Stage::Panic)
    }
}
