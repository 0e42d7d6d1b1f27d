//! Which connections of a worker go when there is little room: those without a complete head, then those that wait for
//! their next request. A connection with a request on it never goes.

use std::{rc::Rc, time::Duration};

use super::Local;
use crate::data::conn::{ClientConn, ConnSignal};

/// The part of a worker's connections that goes at once when there is little room: one in so many, and one at least.
const SHED_PART: usize = 32;

impl Local {
    /// Tells the connections that have waited longest for a complete head, at least `age`, to go: one of
    /// `SHED_PART`, so that a storm costs few walks over the list. Returns how many.
    #[must_use]
    pub fn shed_headless(&self, age: Duration) -> usize {
        // An answer would be followed by a wait for the client, which keeps its place.
        self.shed(age, ConnSignal::Kill, ClientConn::is_headless)
    }

    /// As [`shed_headless`](Self::shed_headless), for connections that have waited longest for their next request. One
    /// that has just sent it is still answered.
    #[must_use]
    pub fn shed_idle(&self, age: Duration) -> usize {
        self.shed(age, ConnSignal::Graceful, ClientConn::is_between_requests)
    }

    fn shed(&self, age: Duration, signal: ConnSignal, may_go: impl Fn(&ClientConn) -> bool) -> usize {
        let now = self.clock.get();
        let conns = self.conns.borrow();
        let mut going: Vec<&Rc<ClientConn>> = conns
            .values()
            .filter(|conn| !conn.shed.get() && may_go(conn) && now.since(conn.since.get()) >= age)
            .collect();
        let count = going.len().min(1 + conns.len() / SHED_PART);
        if let Some(last) = count.checked_sub(1) {
            going.select_nth_unstable_by_key(last, |conn| conn.since.get());
        }
        for conn in going.iter().take(count) {
            conn.shed.set(true);
            conn.signal(signal);
        }
        count
    }
}
