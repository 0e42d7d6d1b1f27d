//! DNS answers by the same steering, for those who cannot announce an address: an authoritative server of one zone
//! (RFC 1034, RFC 1035), on a thread of its own, so that a flood of queries takes nothing from requests, probes or the
//! admin server. Reads the published snapshot and never changes it.
//!
//! `thread` runs the sockets; `udp` and `tcp` move messages; `responder` is one message in and one out, with the bound
//! on queries; `query` reads, `zone` knows the names, `answer` writes; `result` is the closed list of what became of a
//! query.
//!
//! # What it does not do
//!
//! No DNSSEC, no transfers, no wildcards, no recursion, no delegation below the zone.
//!
//! # Why not hickory-server
//!
//! See decision 0026: what it would bring is the loop around the messages, and that loop is where the bounds are.

pub mod thread;
mod udp;
mod tcp;
mod responder;
mod query;
mod zone;
mod answer;
mod result;
