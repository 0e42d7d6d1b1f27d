//! The pure core of Thalweg: what there is, what is known about it, and the steering decision.
//! No clock, no randomness, no I/O, no logging, no serialisation, no dependency.
#![forbid(unsafe_code)]

mod draw;
mod event;
mod explain;
mod funnel;
mod health;
mod layout;
mod matching;
pub mod retry;
mod routes;
mod snapshot;
mod steer;
#[cfg(test)]
mod test_world;
mod tick;
mod topology;
mod world;

pub use event::{Change, Changes, Event, Publish};
pub use explain::{Explained, ExplainedPool, explain};
pub use funnel::{Entry, Funnel, Verdict, funnel};
pub use health::{Admin, Availability, Ejection, Evidence, Ewma, Fault, Health, Probe};
pub use matching::Matcher;
pub use snapshot::{
    EndpointId, EndpointKey, EndpointSlot, EndpointView, Layout, Place, PoolSlot, PoolView, RoutePoolView,
    RouteSlot, RouteView, Segment, Shares, Snapshot, Stage,
};
pub use steer::{Decision, Facts, Loads, NoLoads, Reason, Refusal, Tried, mix, roll, steer, steer_on};
pub use tick::{Tick, micros};
pub use topology::{Band, EndpointSpec, Pool, ProbeRules, RetryRules, Route, RoutePool, Timeouts, Topology};
pub use world::World;
