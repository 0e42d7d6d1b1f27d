//! The question to steering and its answer: a request's facts, the loads as the asking worker sees them, the decision.
//! Plain values; nothing here decides.

use std::net::IpAddr;

use crate::{
    client::Binding,
    geo::Location,
    reason::Reason,
    slot::{EndpointId, EndpointSlot, PoolSlot, RouteSlot},
};

/// Everything about a request that steering may know.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The host in lower case, without port and final dot.
    pub host: &'a str,
    /// The normalised path, without query.
    pub path: &'a str,
    /// The client's address.
    pub client: IpAddr,
    /// Where that address is. Asked only on routes whose geo rules name countries or continents.
    pub location: Location,
    /// Endpoints that failed this same request, in order.
    pub tried: &'a [Tried],
    /// The request could be sent again: it may be used to try an endpoint that is in probation.
    pub replayable: bool,
    /// What the client's cookie says, on a route with cookie affinity. The cookie is genuine.
    pub bound: Option<Binding>,
}

/// An endpoint that failed this request. The id keeps it excluded when the snapshot changes between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its pool, in the layout that the attempt was made with.
    pub pool: PoolSlot,
    /// The endpoint answered 503 with `Retry-After`: the next attempt leaves its pool.
    pub leave: bool,
}

/// How loaded each endpoint is, as the asking worker sees it.
pub trait Loads {
    /// Requests of this worker in flight there.
    fn in_flight(&self, slot: EndpointSlot) -> u32;
    /// Requests of all workers in flight there. Asked only where `max_in_flight` is set.
    fn in_flight_everywhere(&self, slot: EndpointSlot) -> u32 {
        self.in_flight(slot)
    }
    /// Is the endpoint at this cap? 0 = no cap.
    fn is_full(&self, slot: EndpointSlot, cap: u32) -> bool {
        cap > 0 && self.in_flight_everywhere(slot) >= cap
    }
    /// May this worker send one more request to the pool, by its `capacity`? Asked only where that is declared.
    fn has_room(&self, _pool: PoolSlot) -> bool {
        true
    }
    /// Smoothed time to an answer in microseconds, failures counted as slow answers; 0 = not known.
    fn latency_us(&self, slot: EndpointSlot) -> u32;
    /// Is a request of the endpoint's trickle due? A request that cannot be sent again is due less often.
    fn trickle_due(&self, slot: EndpointSlot, replayable: bool) -> bool;
}

/// No load is known: what an offline `explain` uses.
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
    /// The endpoint that the draw in the pool chose.
    pub endpoint: EndpointSlot,
    /// Why the pool serves.
    pub reason: Reason,
}
