//! The pure core of Thalweg: what there is, what is known about it, and the steering decision.
//! No clock, no randomness, no I/O, no logging, no serialisation, no dependency.
#![forbid(unsafe_code)]

mod axes;
mod baseline;
mod draw;
mod eject;
mod event;
mod ewma;
mod explain;
mod facts;
mod fault;
mod funnel;
mod health;
mod incident;
mod layout;
mod matching;
mod names;
mod outlier;
mod reason;
pub mod retry;
mod ring;
mod roll;
mod shares;
mod slot;
mod snapshot;
mod steer;
mod tally;
#[cfg(test)]
mod test_world;
mod tick;
mod topology;
mod view;
mod world;

pub use axes::{Admin, Availability, Ejection, Probe, Prospect};
pub use baseline::{SPANS, Spans, bucket_of, late_after};
pub use event::{Change, Changes, Event, Publish};
pub use ewma::Ewma;
pub use explain::{Explained, ExplainedPool, explain};
pub use facts::{Decision, Facts, Loads, NoLoads, Tried};
pub use fault::{Evidence, Fault};
pub use funnel::{Entry, Funnel, Verdict, funnel};
pub use health::Health;
pub use incident::{Incident, Scope};
pub use layout::{Layout, Place};
pub use matching::Matcher;
pub use reason::{Cause, Reason, Refusal};
pub use roll::{mix, roll};
pub use shares::{Segment, Shares, Stage};
pub use slot::{
    EndpointId, EndpointKey, EndpointSlot, EntrySlot, PoolSlot, RouteSlot, Slot, SlotVec, SpecSlot,
};
pub use snapshot::{PoolEndpoint, Snapshot};
pub use steer::{steer, steer_on};
pub use tally::{Counts, Fallout, Tally};
pub use tick::{Tick, micros};
pub use topology::{
    Band, EjectRules, EndpointSpec, Pool, ProbeRules, RetryRules, Route, RoutePool, Timeouts, Topology,
};
pub use view::{EndpointView, PoolView, RoutePoolView, RouteView, Trickle};
pub use world::World;
