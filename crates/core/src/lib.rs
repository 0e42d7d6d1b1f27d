//! The pure core of Thalweg: what there is ([`topology`]), what is known about it, and the steering decision.
//! No clock, no randomness, no I/O, no logging, no serialisation, no dependency.
#![forbid(unsafe_code)]

pub mod tick;
pub mod topology;

pub use tick::{Tick, micros};
pub use topology::*;
