//! The HTTP/2 connections of one endpoint in one worker. Requests share them: a new one is opened when all are full, and
//! requests that come while it opens wait for it instead of opening their own.
//!
//! Why the waiters do not fail with the connect they wait for: its time limit is that of another request. Each waits within its
//! own limit, and the first of them tries next.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use thalweg_config::{Keepalive, PoolProtocol};
use thalweg_core::Tick;
use tokio::sync::Notify;

use super::Peer;
use crate::data::link::{
    http2::{Http2Conn, Http2Link},
    opening::Opening,
};

/// Requests that wait for one connect. An endpoint allows at least so many streams (RFC 9113 section 6.5.2), as far as is known
/// before it says so.
const WAITERS: usize = 100;

/// Streams that an endpoint may refuse in a row (RFC 9113 section 8.7) before that speaks against it: a server that lowers its
/// limit, or ends, refuses those that were on their way.
const REFUSALS: u32 = 20;

/// The connections of one endpoint.
#[derive(Debug, Default)]
pub struct Http2Pool {
    conns: RefCell<Vec<Rc<Http2Conn>>>,
    connects: Cell<usize>,
    waiters: Cell<usize>,
    /// A connect has ended.
    ended: Notify,
}

/// A connect in progress.
#[derive(Debug)]
pub struct ConnectGuard<'a>(&'a Http2Pool);

/// A request that waits for another one's connect.
struct Waiter<'a>(&'a Http2Pool);

impl Http2Pool {
    /// A place for a stream on an open connection, the oldest first, so that those opened for a crowd empty again.
    pub fn take(&self, keepalive: Keepalive, now: Tick) -> Option<Http2Link> {
        let conns = self.conns.borrow();
        conns.iter().find_map(|conn| conn.take((keepalive.idle, keepalive.age), now))
    }

    /// Waits for a connect in progress; `None` = none is, or enough requests wait for it.
    pub async fn wait(&self) -> Option<()> {
        if self.waiters.get() >= self.connects.get() * WAITERS {
            return None;
        }
        let _waiter = Waiter::new(self);
        self.ended.notified().await;
        Some(())
    }

    /// Begins a connect.
    pub fn connecting(&self) -> ConnectGuard<'_> {
        self.connects.set(self.connects.get() + 1);
        ConnectGuard(self)
    }

    /// Keeps a new connection.
    pub fn add(&self, conn: Rc<Http2Conn>) {
        self.conns.borrow_mut().push(conn);
    }

    /// Looks after the connections; called once a second.
    pub fn tend(&self, keepalive: Keepalive, now: Tick) {
        let conns: Vec<_> = self.conns.borrow().clone();
        let mut idle = 0;
        for conn in &conns {
            conn.tend((keepalive.idle, keepalive.age), now);
            idle += usize::from(conn.streams() == 0);
            if conn.streams() == 0 && idle > keepalive.max_idle {
                conn.retire();
            }
        }
        self.conns.borrow_mut().retain(|conn| !conn.has_ended());
    }

    /// Takes no more streams on any connection: those without a stream close at once, the others when theirs have ended.
    pub fn retire_all(&self) {
        for conn in self.conns.borrow().iter() {
            conn.retire();
        }
    }
}

impl Drop for ConnectGuard<'_> {
    fn drop(&mut self) {
        self.0.connects.set(self.0.connects.get() - 1);
        self.0.ended.notify_waiters();
    }
}

impl<'a> Waiter<'a> {
    fn new(pool: &'a Http2Pool) -> Self {
        pool.waiters.set(pool.waiters.get() + 1);
        Self(pool)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiters.set(self.0.waiters.get() - 1);
    }
}

impl Peer {
    /// Whether the endpoint speaks HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.settings.borrow().protocol == PoolProtocol::Http2
    }

    /// What a new HTTP/2 connection needs.
    pub fn opening(&self, opened: (Tick, u32)) -> Opening<'_> {
        let counts = (&self.meters.active, &self.meters.idle);
        Opening { buffers: &self.base.buffers, opened, clock: &self.base.clock, counts }
    }

    /// Counts a stream that the endpoint has refused; `true` = it has refused so many in a row that this speaks against it.
    pub fn refused(&self) -> bool {
        self.refusals.set(self.refusals.get().saturating_add(1));
        self.refusals.get() > REFUSALS
    }

    /// The endpoint has answered.
    pub fn not_refused(&self) {
        self.refusals.set(0);
    }

    /// Whether a connection was opened under the settings that are in force, and its endpoint is in the layout.
    pub fn keeps(&self, tls_epoch: u32) -> bool {
        !self.gone.get() && tls_epoch == self.tls_epoch.get()
    }
}
