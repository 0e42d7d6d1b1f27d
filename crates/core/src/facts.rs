//! What steering is asked with, and what it answers: a request's facts, the loads in the eyes of the one who asks, the
//! decision. Plain values; nothing here decides.

use std::net::IpAddr;

use crate::{
    reason::Reason,
    slot::{EndpointId, EndpointSlot, PoolSlot, RouteSlot},
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
    /// The request could be sent again: it may be used to try an endpoint that is in probation.
    pub replayable: bool,
}

/// An endpoint that failed this request. By id, so that it stays excluded when the snapshot moves between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Which one.
    pub endpoint: EndpointId,
    /// Its pool, by the slot of the layout in which it was tried.
    pub pool: PoolSlot,
    /// It asked to be left alone (503 with `Retry-After`): its pool is left at once.
    pub leave: bool,
}

/// How loaded each endpoint is, in the eyes of who asks.
pub trait Loads {
    /// Requests in flight there.
    fn in_flight(&self, slot: EndpointSlot) -> u32;
    /// Requests in flight there, in the eyes of all who ask. Asked only where `max_in_flight` is set.
    fn in_flight_everywhere(&self, slot: EndpointSlot) -> u32 {
        self.in_flight(slot)
    }
    /// Is it at this cap? 0 = no cap.
    fn is_full(&self, slot: EndpointSlot, cap: u32) -> bool {
        cap > 0 && self.in_flight_everywhere(slot) >= cap
    }
    /// Smoothed time to an answer in microseconds, failures counted as slow answers; 0 = not known.
    fn latency_us(&self, slot: EndpointSlot) -> u32;
    /// Is a request of its trickle due there (CONTRACT "Probation")? One that cannot be sent again is due less often.
    fn trickle_due(&self, slot: EndpointSlot, replayable: bool) -> bool;
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
    fn trickle_due(&self, _: EndpointSlot, _: bool) -> bool {
        false
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
