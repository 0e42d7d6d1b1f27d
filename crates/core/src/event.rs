//! What can happen to the world and what comes of it, as plain values: shown, stored, replayed.
//! Never decides anything.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use crate::{
    axes::Availability,
    fault::{Evidence, Fault},
    incident::Incident,
    order::{Order, OrderEnd, OrderId},
    reason::Cause,
    said::SaidWeight,
    series::ProbeCounts,
    slot::{EndpointId, EndpointKey},
    tally::Tally,
    tick::Tick,
    topology::Topology,
};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A config came into force.
    Adopted {
        /// The config's pools and routes.
        topology: Arc<Topology>,
        /// The config's number.
        generation: u64,
    },
    /// A probe ended. Its time runs from the request sent to the head received.
    Probed {
        /// The endpoint. An unknown id is ignored: that endpoint has vanished meanwhile.
        id: EndpointId,
        /// The time that it took, or what went wrong.
        result: Result<Duration, Evidence>,
    },
    /// A probe's good answer said something about the endpoint. Comes before the [`Event::Probed`] of that answer.
    Said {
        /// The endpoint.
        id: EndpointId,
        /// What it said.
        said: SaidWeight,
    },
    /// A name resolved; to no address if it never did. The caller sends no failures, so the last good answer stays.
    Resolved {
        /// The name as written in [`crate::EndpointSpec::host`].
        host: Box<str>,
        /// The addresses, without port.
        addresses: Vec<IpAddr>,
    },
    /// The operator gave an order. The caller has asked [`crate::World::judge_order`] whether it may be given.
    Ordered(Order),
    /// These orders stood when the process before this one ended. They come before the first config.
    Restored(Vec<Order>),
    /// The operator took an order back.
    Cancelled(OrderId),
    /// The operator ends the waits of a route's pools: a latched failover, or a hold. An unknown route is ignored.
    FailbackOrdered {
        /// The route's name.
        route: Box<str>,
    },
    /// A latched route had left a pool before a restart of this process: the pool waits for the operator again. Ignored
    /// where the config has no such route, pool or mode.
    Latched {
        /// The route's name.
        route: Box<str>,
        /// The pool's name.
        pool: Box<str>,
    },
    /// A request failed at an endpoint, which is reported at once. The [`Tally`] that counts it comes first.
    Suspected {
        /// The endpoint.
        id: EndpointId,
        /// How the request failed.
        fault: Fault,
        /// When the attempt began.
        started: Tick,
        /// When the request failed.
        at: Tick,
    },
    /// What requests did since the last tally.
    Tallied(Vec<Tally>),
    /// Time has passed.
    Ticked,
}

/// How urgently a new snapshot should be published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Publish {
    /// Nothing that steering reads has changed.
    #[default]
    No,
    /// Publish within 50 ms.
    Soon,
    /// Publish at once: availability was lost.
    Now,
}

/// What an event changed.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// How urgently a new snapshot should be published.
    pub publish: Publish,
    /// The entries for the event log, oldest first.
    pub log: Vec<Change>,
}

/// One entry of the event log.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A config came into force.
    Adopted {
        /// The config's number.
        generation: u64,
    },
    /// An endpoint's availability moved.
    Endpoint {
        /// The endpoint.
        key: EndpointKey,
        /// The availability before.
        from: Availability,
        /// The availability now.
        to: Availability,
        /// What was seen before the move.
        evidence: Option<Evidence>,
    },
    /// An endpoint's probes contradict each other, or no longer.
    Flapping {
        /// The endpoint.
        key: EndpointKey,
        /// How many of the last probes succeeded; `None`: they agree again.
        counts: Option<ProbeCounts>,
    },
    /// An endpoint asks for another part of its share, or its answer could not be read.
    Weighed {
        /// The endpoint.
        key: EndpointKey,
        /// What it said.
        said: SaidWeight,
    },
    /// Real traffic took an endpoint out.
    Ejected {
        /// The endpoint.
        key: EndpointKey,
        /// Why the endpoint was ejected.
        cause: Cause,
        /// The number of ejections in a row, this one included.
        count: u32,
        /// How long the ejection lasts.
        lasts: Duration,
        /// What was seen.
        evidence: Evidence,
    },
    /// An endpoint fails often enough for an ejection, but the others fail as often, so none is ejected. Told once a minute.
    Spared {
        /// The endpoint.
        key: EndpointKey,
        /// Why the endpoint would have been ejected.
        cause: Cause,
        /// What was seen, and how often the others fail.
        evidence: Evidence,
    },
    /// The checker is suspected, because most endpoints failed their probes within one round; or no longer.
    CheckerSuspected {
        /// The checker is suspected.
        on: bool,
        /// How many endpoints fell.
        fallen: u32,
        /// How many endpoints have a verdict of their probes.
        of: u32,
        /// A config came into force right before.
        after_reload: bool,
    },
    /// A failure is over: no request has failed there for a while.
    Incident(Incident),
    /// An order stands.
    OrderGiven {
        /// The order.
        order: Order,
        /// The order stood before this process.
        restored: bool,
    },
    /// An order stands no longer.
    OrderEnded {
        /// The order.
        order: Order,
        /// Why it ended.
        cause: OrderEnd,
    },
    /// A name's addresses moved.
    Resolved {
        /// The name.
        host: Box<str>,
        /// How many addresses it has now.
        addresses: usize,
    },
    /// A pool lost, or got back, enough endpoints to serve.
    Pool {
        /// The pool.
        pool: Box<str>,
        /// Too few of its endpoints are available.
        below_threshold: bool,
        /// The part (0–1) that is available.
        available: f64,
    },
    /// Traffic left a pool because it is down.
    Failover {
        /// The route.
        route: Box<str>,
        /// The pool that was left.
        from: Box<str>,
        /// The pool that has the largest share now.
        to: Box<str>,
    },
    /// A pool that had been left is up again, and waits to return.
    Held {
        /// The route.
        route: Box<str>,
        /// The pool.
        pool: Box<str>,
        /// How long the pool waits; `None` = for the operator.
        hold: Option<Duration>,
    },
    /// Traffic returned to a pool that had been left.
    Failback {
        /// The route.
        route: Box<str>,
        /// The pool that serves again.
        to: Box<str>,
        /// How long its share grows; zero = it takes all of it at once.
        ramp: Duration,
    },
    /// A pool on a route, or an endpoint, was lost so often that it is left alone for a while; or no longer.
    Damped {
        /// The route; `None` for an endpoint.
        route: Option<Box<str>>,
        /// The pool.
        pool: Box<str>,
        /// The endpoint; `None` for a pool.
        endpoint: Option<SocketAddr>,
        /// The penalty, in units of `penalty` × losses.
        penalty: f64,
        /// How long it lasts if nothing more is lost; `None` = it has ended.
        lasts: Option<Duration>,
    },
    /// Health stopped counting on a route, or counts again.
    Panic {
        /// The route.
        route: Box<str>,
        /// Health stopped counting.
        on: bool,
    },
    /// The pools that count as nearest changed.
    Nearest {
        /// The route.
        route: Box<str>,
        /// The pools that count now.
        pools: Vec<Box<str>>,
    },
}
