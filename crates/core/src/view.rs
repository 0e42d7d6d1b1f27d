//! What a snapshot says about one endpoint, one pool and one route: plain numbers, read by steering and status.

use crate::{
    axes::{Admin, Availability, Ejection, Probe, Prospect},
    shares::{Shares, Stage},
    slot::{EndpointSlot, EntrySlot, PoolSlot, SlotVec},
    tick::Tick,
};

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
    /// The pools of the route.
    pub pools: SlotVec<EntrySlot, RoutePoolView>,
    /// How first attempts are shared out; empty = nobody can serve.
    pub shares: Shares,
    /// Every endpoint was probed once (or needs no probe) and every name was asked for once. Stays true for a route
    /// of this name: what a reload or DNS adds later does not make an edge unready that serves.
    pub first_round_done: bool,
    /// Endpoints in Probation: they get a trickle of first attempts.
    pub trickles: Box<[Trickle]>,
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
    /// Counts as one of the nearest (routes with a band).
    pub near: bool,
    /// Back Up, but its failback hold has not ended.
    pub held: bool,
}

impl EndpointView {
    /// What a request may expect of it.
    #[must_use]
    pub fn prospect(&self) -> Prospect {
        Prospect::of(self.refusing, self.ejection)
    }
}

impl PoolView {
    /// Does it have an endpoint that the stage accepts?
    pub(crate) fn can_serve(&self, stage: Stage) -> bool {
        match stage {
            Stage::Up => self.up > 0,
            Stage::Unproven => self.up + self.unproven > 0,
            Stage::Panic => self.enabled > 0,
        }
    }

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
