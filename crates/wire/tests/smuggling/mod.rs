//! Generates smuggling attempts: messages whose body holds a complete second request, framed so that two readers
//! disagree about where the body ends. Knows nothing of the engine; needs only the standard library, so that a scenario
//! on the real binary can send the same messages through sockets.
//!
//! A message is a template (which framing fields there are) times one spelling of a framing field (its name, its value,
//! its line end) times a position in the head. The generator knows the grammar and says of each message whether it is
//! certain. What is not certain must be refused; what is certain holds the second request as content.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test binary uses a part of this module")]

mod attempt;
mod spelling;
mod framing;
mod chunks;
mod lines;

pub use attempt::{AFTER, Attempt, HIDDEN};

/// Every attempt, in a fixed order, for this `Host`.
pub fn attempts(host: &str) -> Vec<Attempt> {
    let mut made = Vec::new();
    framing::attempts(host, &mut made);
    chunks::attempts(host, &mut made);
    lines::attempts(host, &mut made);
    made
}
