//! The shell around the core: sockets, TLS, HTTP, probes, reloads and the admin server of one edge.
//!
//! | folder | what | may import |
//! |---|---|---|
//! | [`data`] | the data plane: the six rooms that a request passes, and what they stand on | `shared` |
//! | [`dns`] | the DNS thread: answers by the same steering | `shared` |
//! | [`control`] | the control side, which no request waits for | `shared`, and [`data::worker`] and [`dns::thread`] to start threads |
//! | [`admin`] | the admin server: status, explain, events, metrics, orders | `control`, `shared` |
//! | [`cli`] | the command line | all of them |
//! | [`shared`] | what both sides read: the published snapshot, counters, statistics | nothing here |
//!
//! The shell observes and acts. It concludes nothing that `thalweg_core` can conclude.

pub mod data;

pub mod dns;

pub mod control;

pub mod admin;

pub mod cli;

pub mod shared;
