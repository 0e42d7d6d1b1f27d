//! What can happen to the world and what comes of it, as plain values: shown, stored, replayed.
//! Never decides anything.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::{
    axes::{Admin, Availability},
    fault::{Evidence, Fault},
    incident::Incident,
    reason::Cause,
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
        /// What it says.
        topology: Arc<Topology>,
        /// Its number.
        generation: u64,
    },
    /// A probe ended: time from request sent to head received, or what went wrong.
    Probed {
        /// Of whom. Unknown ids are ignored: the endpoint has vanished meanwhile.
        id: EndpointId,
        /// How it ended.
        result: Result<Duration, Evidence>,
    },
    /// A name resolved, to nothing if it never did. Callers keep the last good answer by not sending failures.
    Resolved {
        /// As written in [`crate::EndpointSpec::host`].
        host: Box<str>,
        /// Without port.
        addresses: Vec<IpAddr>,
    },
    /// The operator ordered.
    Ordered {
        /// Whom.
        key: EndpointKey,
        /// What.
        admin: Admin,
    },
    /// A request failed there, told at once. Counted by a [`Tally`] that comes before it.
    Suspected {
        /// Whom.
        id: EndpointId,
        /// How.
        fault: Fault,
        /// When the attempt began.
        started: Tick,
        /// When it failed.
        at: Tick,
    },
    /// What requests did since the last time.
    Tallied(Vec<Tally>),
    /// Nothing but time.
    Ticked,
}

/// How urgently a new snapshot should be published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Publish {
    /// Nothing that steering reads has changed.
    #[default]
    No,
    /// Within 50 ms.
    Soon,
    /// Availability was lost: at once.
    Now,
}

/// What an event changed.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// How urgently to publish.
    pub publish: Publish,
    /// For the event log, oldest first.
    pub log: Vec<Change>,
}

/// One entry of the event log.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A config came into force.
    Adopted {
        /// Its number.
        generation: u64,
    },
    /// An endpoint's availability moved.
    Endpoint {
        /// Whose.
        key: EndpointKey,
        /// From.
        from: Availability,
        /// To.
        to: Availability,
        /// What was seen last.
        evidence: Option<Evidence>,
    },
    /// Real traffic took an endpoint out.
    Ejected {
        /// Which.
        key: EndpointKey,
        /// Why.
        cause: Cause,
        /// Convictions in a row.
        count: u32,
        /// For how long.
        lasts: Duration,
        /// What was seen.
        evidence: Evidence,
    },
    /// Most endpoints failed their probes within one round: the checker is the first suspect. Or no longer.
    Doubted {
        /// It is suspected.
        on: bool,
        /// How many fell.
        fallen: u32,
        /// Of how many that were judged.
        of: u32,
        /// Right after a config came into force.
        after_reload: bool,
    },
    /// A failure is over, as far as traffic goes: what it cost.
    Incident(Incident),
    /// A name's addresses moved.
    Resolved {
        /// The name.
        host: Box<str>,
        /// How many addresses it has now.
        addresses: usize,
    },
    /// A pool lost, or got back, enough endpoints to serve.
    Pool {
        /// Which.
        pool: Box<str>,
        /// Too few are available.
        short: bool,
        /// Part that is available, 0–1.
        available: f64,
    },
    /// Traffic left a pool because it is down.
    Failover {
        /// On which route.
        route: Box<str>,
        /// The pool that was left.
        from: Box<str>,
        /// The pool that has the largest share now.
        to: Box<str>,
    },
    /// Traffic returned to a pool that had been left.
    Failback {
        /// On which route.
        route: Box<str>,
        /// The pool that serves again.
        to: Box<str>,
    },
    /// Health stopped counting on a route, or counts again.
    Panic {
        /// Which.
        route: Box<str>,
        /// It stopped.
        on: bool,
    },
    /// The pools that count as nearest changed.
    Nearest {
        /// On which route.
        route: Box<str>,
        /// Those that count now.
        pools: Vec<Box<str>>,
    },
}
