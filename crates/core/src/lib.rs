//! The pure core of Thalweg: what there is, what is known about it, and the steering decision.
//! No clock, no randomness, no I/O, no logging, no serialisation, no dependency.
#![forbid(unsafe_code)]

mod baseline;
mod draw;
mod eject;
mod event;
mod explain;
mod funnel;
mod health;
mod layout;
mod matching;
pub mod retry;
mod ring;
mod routes;
mod snapshot;
mod steer;
#[cfg(test)]
mod test_world;
mod tick;
mod topology;
mod world;

pub use baseline::{SPANS, Spans, bucket_of, late_after};
pub use eject::Cause;
pub use event::{Change, Changes, Event, Fallout, Publish, Tally};
pub use explain::{Explained, ExplainedPool, explain};
pub use funnel::{Entry, Funnel, Verdict, funnel};
pub use health::{Admin, Availability, Ejection, Evidence, Ewma, Fault, Health, Probe};
pub use matching::Matcher;
pub use ring::Counts;
pub use snapshot::{
    EndpointId, EndpointKey, EndpointSlot, EndpointView, Layout, Place, PoolSlot, PoolView, Prospect,
    RoutePoolView, RouteSlot, RouteView, Segment, Shares, Snapshot, Stage,
};
pub use steer::{Decision, Facts, Loads, NoLoads, Reason, Refusal, Tried, mix, roll, steer, steer_on};
pub use tick::{Tick, micros};
pub use topology::{
    Band, EjectRules, EndpointSpec, Pool, ProbeRules, RetryRules, Route, RoutePool, Timeouts, Topology,
};
pub use world::{Incident, Scope, World};
