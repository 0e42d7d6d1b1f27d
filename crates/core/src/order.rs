//! An order of the operator as a value: what it does, its owner and reason, and when it ends.
//! Never acts: the world applies orders, the shell stores and shows them.
//!
//! Why values and not commands: a command that has been carried out leaves no trace of its owner, and nothing ends
//! it. A value can be listed, expires by itself, is taken back by its number, and outlives a restart.

use std::net::IpAddr;

use crate::{
    layout::Place,
    tick::Tick,
    topology::{Pool, Route, Topology},
};

/// Most orders that may stand at a time.
pub const MAX_ORDERS: usize = 1000;

/// The number of an order. A number is given once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(pub u64);

/// Where an order was given.
///
/// The number tells it: a fleet numbers its orders by the Unix time in milliseconds, and an edge counts from 1. So no two
/// orders have one number, and no field can disagree with it. Of two orders for the same dial or weight, the later in this
/// order counts: the edge has the last word, and no clock is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderOrigin {
    /// For every edge of the fleet.
    Fleet,
    /// On one edge.
    Edge,
}

impl OrderOrigin {
    /// The spelling in API and log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::Edge => "edge",
        }
    }
}

impl OrderId {
    /// The first number of the fleet: September 2001 in milliseconds.
    pub const FIRST_OF_FLEET: u64 = 1_000_000_000_000;
    /// The last number of the fleet: JSON has no larger whole numbers everywhere.
    pub const LAST_OF_FLEET: u64 = (1 << 53) - 1;

    /// Where an order with this number was given.
    #[must_use]
    pub fn origin(self) -> OrderOrigin {
        if (Self::FIRST_OF_FLEET..=Self::LAST_OF_FLEET).contains(&self.0) {
            OrderOrigin::Fleet
        } else {
            OrderOrigin::Edge
        }
    }
}

/// One instant on both clocks: the tick counts in this process; the wall clock is shown and stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The tick; 0 for what lies before this process.
    pub at: Tick,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
}

/// What a drain takes out of service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DrainTarget {
    /// All endpoints of the pool with this name.
    Pool(Box<str>),
    /// All endpoints of the pools in this region.
    Region(Box<str>),
    /// One endpoint, or all addresses of one name.
    Endpoint {
        /// The pool's name.
        pool: Box<str>,
        /// An IP literal (no brackets), or a name as configured.
        host: Box<str>,
        /// The port, 1–65535.
        port: u16,
    },
}

/// What an order does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The endpoints take no new work and finish what they have.
    Drain {
        /// What is taken out of service.
        target: DrainTarget,
        /// From then on the endpoints serve no request; `None` = they may finish in their own time.
        deadline: Option<Moment>,
    },
    /// Sets the dial of a pool on every route.
    Dial {
        /// The pool's name.
        pool: Box<str>,
        /// Percent of its share that the pool may take, 0–100.
        percent: u8,
    },
    /// Sets the weight of a pool on one route.
    Weight {
        /// The route's name.
        route: Box<str>,
        /// The pool's name.
        pool: Box<str>,
        /// The share among the pools of its tier; 0 = only when nothing else is left.
        weight: u32,
    },
    /// Sets the dials of a region's pools to zero: they serve only when nothing else can.
    Evacuate {
        /// The region's name.
        region: Box<str>,
    },
    /// Stops failback and moves by latency. Failover still works.
    Freeze {
        /// The route's name; `None` = all routes.
        route: Option<Box<str>>,
    },
}

/// An order of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The number by which the order is taken back.
    pub id: OrderId,
    /// What the order does.
    pub action: Action,
    /// The owner: the person or program that gave the order.
    pub owner: Box<str>,
    /// Why the order was given; may be empty.
    pub reason: Box<str>,
    /// When the order was given.
    pub since: Moment,
    /// When the order ends by itself; `None` = it stands until it is taken back.
    pub until: Option<Moment>,
    /// The order was given in spite of what speaks against it.
    pub forced: bool,
}

/// Why an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderEnd {
    /// Its time is over.
    Expired,
    /// An operator took it back.
    Cancelled,
    /// Its target has left the config.
    TargetGone,
}

/// What speaks against an order.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderProblem {
    /// The target is not in the config.
    UnknownTarget {
        /// What kind of thing is unknown: `pool`, `region`, `endpoint`, `route`.
        kind: &'static str,
        /// The name that was given.
        name: Box<str>,
    },
    /// The order would take out the last pool that serves a route.
    LastToServe {
        /// The route's name.
        route: Box<str>,
    },
    /// The rest declares less capacity than it would have to take, in requests per second.
    TooLittleCapacity {
        /// What the region declares, or what its routes carry now if that is more.
        needed: u64,
        /// The capacity that the other pools declare.
        declared: u64,
    },
    /// As many orders stand as may stand.
    TooMany,
}

impl Order {
    /// An order that was given just now, stands until it is taken back, and names no owner.
    #[must_use]
    pub fn new(id: OrderId, action: Action, since: Moment) -> Self {
        Self { id, action, owner: "".into(), reason: "".into(), since, until: None, forced: false }
    }
}

impl OrderEnd {
    /// The spelling in log and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::TargetGone => "target_gone",
        }
    }
}

impl Action {
    /// The kinds of orders.
    pub const KINDS: [&str; 5] = ["drain", "dial", "weight", "evacuate", "freeze"];

    /// The kind, as spelled in log and API.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Drain { .. } => "drain",
            Self::Dial { .. } => "dial",
            Self::Weight { .. } => "weight",
            Self::Evacuate { .. } => "evacuate",
            Self::Freeze { .. } => "freeze",
        }
    }

    /// Does the order concern the pool with this name on the route with this name?
    #[must_use]
    pub fn concerns(&self, on_route: &str, pool: &Pool) -> bool {
        match self {
            Self::Drain {
                target: DrainTarget::Pool(name) | DrainTarget::Endpoint { pool: name, .. },
                ..
            }
            | Self::Dial { pool: name, .. } => *name == pool.name,
            Self::Drain { target: DrainTarget::Region(region), .. } | Self::Evacuate { region } => {
                *region == pool.region
            }
            Self::Weight { route, pool: name, .. } => {
                **route == *Route::written_name(on_route) && *name == pool.name
            }
            Self::Freeze { .. } => self.freezes(on_route),
        }
    }

    /// Does the order forbid failback and moves by latency on the route with this name? A sub-route obeys its parent's.
    pub(crate) fn freezes(&self, on_route: &str) -> bool {
        let on_route = Route::written_name(on_route);
        matches!(self, Self::Freeze { route } if route.as_deref().is_none_or(|route| route == on_route))
    }

    /// Is everything that the order names in this topology?
    ///
    /// # Errors
    /// The first name that is not.
    pub(crate) fn find_target(&self, topology: &Topology) -> Result<(), OrderProblem> {
        let unknown = |kind, name: &str| Err(OrderProblem::UnknownTarget { kind, name: name.into() });
        let pool = |name: &str| topology.pools.iter().find(|pool| *pool.name == *name);
        let route = |name: &str| topology.written_routes().find(|(_, route)| *route.name == *name);
        match self {
            Self::Drain { target: DrainTarget::Endpoint { pool: name, host, port }, .. } => {
                match pool(name) {
                    Some(pool) if may_hold(pool, host, *port) => Ok(()),
                    Some(_) => unknown("endpoint", &format!("{name}/{host}:{port}")),
                    None => unknown("pool", name),
                }
            }
            Self::Drain { target: DrainTarget::Pool(name), .. } | Self::Dial { pool: name, .. } => {
                if pool(name).is_some() { Ok(()) } else { unknown("pool", name) }
            }
            Self::Drain { target: DrainTarget::Region(region), .. } | Self::Evacuate { region } => {
                let any = !region.is_empty() && topology.pools.iter().any(|pool| pool.region == *region);
                if any { Ok(()) } else { unknown("region", region) }
            }
            Self::Weight { route: on, pool: name, .. } => {
                let Some((slot, _)) = route(on) else { return unknown("route", on) };
                let uses = |member: &crate::topology::RoutePool| {
                    topology.pool(member.pool).is_some_and(|pool| pool.name == *name)
                };
                let mut members = topology.with_sub_routes(slot).flat_map(|(_, route)| &route.pools);
                if members.any(uses) { Ok(()) } else { unknown("pool", name) }
            }
            Self::Freeze { route: Some(name) } if route(name).is_none() => unknown("route", name),
            Self::Freeze { .. } => Ok(()),
        }
    }
}

/// May an endpoint of this pool have this host and port? The addresses of a name change, so that any address with the
/// port of a name may come.
fn may_hold(pool: &Pool, host: &str, port: u16) -> bool {
    let is_address = |host: &str| host.parse::<IpAddr>().is_ok();
    pool.endpoints.iter().any(|spec| {
        spec.port == port && (*spec.host == *host || (is_address(host) && !is_address(&spec.host)))
    })
}

impl DrainTarget {
    /// Does the order take this endpoint out of service?
    #[must_use]
    pub fn covers(&self, topology: &Topology, place: &Place) -> bool {
        let Some(pool) = topology.pool(place.pool) else { return false };
        match self {
            Self::Pool(name) => *name == pool.name,
            Self::Region(region) => *region == pool.region,
            Self::Endpoint { pool: name, host, port } => {
                let spec = || pool.endpoints.get(place.spec.index()).map(|spec| &spec.host);
                let here = || host.parse().is_ok_and(|ip: IpAddr| ip == place.address.ip());
                *name == pool.name && *port == place.address.port() && (here() || spec() == Some(host))
            }
        }
    }
}
