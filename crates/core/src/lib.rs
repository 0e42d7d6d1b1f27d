//! The pure core of Thalweg: what can be steered to, what is known about it, and where a request goes.
//!
//! # What it is
//!
//! Three things and two verbs. A [`Topology`] is what the operator wrote. The [`World`] is what is known: it takes one
//! [`Event`] after another ([`World::apply`]) and answers with [`Changes`]. A [`Snapshot`] is one immutable state of the
//! world, from which [`steer()`] chooses an endpoint for a request. [`explain()`] answers the same question with every step.
//!
//! # What it does not do
//!
//! The core reads no clock, rolls no dice, opens no socket, writes no log and depends on no crate. Time ([`Tick`]) and
//! chance (a [`roll()`]) are arguments. So the same inputs give the same answer: a logged decision can be replayed, and the
//! simulation in `tests/simulation.rs` plays ten thousand seeds in seconds.
//!
//! # One picture
//!
//! ```text
//!   config   ─ Adopted ──┐
//!   probes   ─ Probed ───┤    World::apply(event, now)                        every request
//!   DNS      ─ Resolved ─┼──▶   endpoints ▸ pools ▸ routes ──▶ Snapshot ──▶ steer(snapshot, loads, facts, roll)
//!   operator ─ Ordered ──┤      traffic ▸ ejections                             │
//!   requests ─ Tallied,  │      checker ▸ incidents                             ▼
//!              Suspected ┘          └──▶ Changes (log, urgency)            Decision or Refusal
//! ```
//!
//! Most of the work is done once per change, not once per request: the world runs the funnel (eligible, tier, band) and
//! leaves `Shares` in the snapshot. A request finds its route, draws a pool from the shares and an endpoint from the pool.
//!
//! # From a topology to a decision
//!
//! Two pools in failover order. The probes find the first one dead, so the second one serves.
//!
//! ```
//! use std::{net::IpAddr, sync::Arc, time::Duration};
//!
//! use thalweg_core::*;
//!
//! let pool = |name: &str, host: &str| Pool {
//!     name: name.into(),
//!     probe: Some(ProbeRules { rise: 1, fall: 1, ..ProbeRules::default() }),
//!     endpoints: vec![EndpointSpec { host: host.into(), port: 8000, weight: 1, family: Default::default() }],
//!     ..Pool::default()
//! };
//! let route = Route {
//!     name: "all".into(),
//!     pools: vec![
//!         RoutePool { tier: 0, ..RoutePool::new(PoolSlot(0)) },
//!         RoutePool { tier: 1, ..RoutePool::new(PoolSlot(1)) },
//!     ],
//!     ..Route::default()
//! };
//! let topology = Topology {
//!     pools: vec![pool("near", "192.0.2.1"), pool("far", "192.0.2.2")],
//!     routes: vec![route],
//! };
//!
//! // A start is a config that replaces the empty topology.
//! let mut world = World::default();
//! world.apply(Event::Adopted { topology: Arc::new(topology), generation: 1 }, Tick(0));
//!
//! // The shell probes; the world concludes.
//! let ids: Vec<EndpointId> = world.probed_endpoints().map(|place| place.id).collect();
//! let refused = Evidence { fault: Fault::Refused, detail: "errno 111".into() };
//! let changes = world.apply(Event::Probed { id: ids[0], result: Err(refused) }, Tick(1_000));
//! assert_eq!(changes.publish, Publish::Now, "availability was lost");
//! world.apply(Event::Probed { id: ids[1], result: Ok(Duration::from_millis(20)) }, Tick(2_000));
//!
//! // One snapshot, one request.
//! let snapshot = world.snapshot();
//! let facts = Facts {
//!     host: "example.com",
//!     path: "/",
//!     client: IpAddr::from([198, 51, 100, 7]),
//!     location: Location::default(),
//!     tried: &[],
//!     replayable: true,
//!     bound: None,
//! };
//! let decision = steer(&snapshot, &NoLoads, &facts, roll(1, 0)).unwrap();
//! assert_eq!((decision.pool, decision.reason), (PoolSlot(1), Reason::Failover));
//!
//! // The same question with every step: why not the first pool?
//! let explained = explain(&snapshot, &NoLoads, &facts, roll(1, 0));
//! assert_eq!(explained.outcome, Ok(decision));
//! assert_eq!(explained.pools[0].entry.verdict, Verdict::Empty);
//! assert_eq!(explained.pools[1].share, 1.0);
//! ```
//!
//! # Where to read on
//!
//! Files import from the floors below them only. Bottom up: `tick`, `roll`, `scale`, `slot` (values) · `axes`, `fault`, `reason`
//! (closed lists) · [`Topology`] · `series`, `said`, [`Health`] · `ring`, `baseline`, `chance`, `outlier`, `eject` (what traffic shows at
//! one endpoint) · `funnel` · `draw` · `steer` · `world` (the owners of all that is learnt, and their conductor).
#![forbid(unsafe_code)]

mod affinity;
mod answer_time;
mod axes;
mod baseline;
mod chance;
mod client;
mod damping;
mod draw;
mod eject;
mod event;
mod ewma;
mod explain;
mod facts;

mod fault;
mod funnel;
mod geo;
mod health;
mod incident;
mod layout;
mod matching;
mod names;
mod order;
mod outlier;
mod ramp;
mod reason;
pub mod retry;
mod ring;
mod roll;
mod said;
mod scale;
mod series;
mod shares;
mod slot;
mod snapshot;
mod steer;
mod sub_route;
mod tally;
#[cfg(test)]
mod test_world;
mod tick;
mod topology;
mod view;
mod world;

pub use affinity::{Home, bound_endpoint};
pub use answer_time::{faded, smoothed};
pub use axes::{Admin, Availability, Ejection, PanicRank, Probe};
pub use baseline::{TIME_BUCKETS, TimeHistogram, bucket_of, late_after};
pub use client::{Affinity, Binding, ClientMark, OnFailure};
pub use damping::DampingRules;
pub use event::{Change, Changes, Event, Publish};
pub use ewma::Ewma;
pub use explain::{Explained, ExplainedPool, explain};
pub use facts::{Decision, Facts, Loads, NoLoads, Tried};
pub use fault::{Evidence, Fault};
pub use funnel::{Entry, Funnel, Verdict, funnel};
pub use geo::{Cidr, CidrProblem, Geo, GeoRule, Location, Origin, PlaceCode};
pub use health::Health;
pub use incident::{Incident, Scope};
pub use layout::{Layout, Place};
pub use matching::Matcher;
pub use order::{
    Action, DrainTarget, MAX_ORDERS, Moment, Order, OrderEnd, OrderId, OrderOrigin, OrderProblem,
};
pub use reason::{Cause, Reason, Refusal};
pub use roll::{mix, roll};
pub use said::SaidWeight;
pub use scale::Scale;
pub use series::ProbeCounts;
pub use shares::{Segment, Shares, Stage};
pub use slot::{
    EndpointHash, EndpointId, EndpointKey, EndpointSlot, EntrySlot, PoolSlot, RouteSlot, Slot, SlotVec,
    SpecSlot,
};
pub use snapshot::{PoolEndpoint, Snapshot};
pub use steer::{queued_pool, steer, steer_on};
pub use tally::{Counts, FailureCost, Tally};
pub use tick::{Tick, micros};
pub use topology::{
    Band, EjectRules, EndpointSpec, Failback, Family, Pool, ProbeRules, RetryRules, Route, RoutePool,
    Timeouts, Topology,
};
pub use view::{AffinityPool, Drain, EndpointView, PoolView, Ramp, RoutePoolView, RouteView, Trickle};
pub use world::{Forecast, Supposition, World};
