//! The bench rig's Rust half: a cheap endpoint to proxy to, and a load generator whose latencies count from
//! the moment a request was due. What starts, measures and compares the proxies is Python, in `rig/`.
#![allow(missing_docs, reason = "a tool for this repository, not a library")]

pub mod args;
pub mod attack;
pub mod connects;
pub mod hold;
pub mod lane;
pub mod open_loop;
