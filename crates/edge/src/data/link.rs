//! One open HTTP/1.1 connection to an endpoint: a socket, what was read from it, and how long the kernel waits for
//! acknowledgements on it. A plain object without a task: its owner polls it. Its `Peer` keeps it between
//! requests.
//!
//! `either` is a connection of either protocol that may carry a request, `http2` a connection of HTTP/2, `opening`
//! how that begins, `batch` the socket below it, `stream` what either becomes when HTTP ends on it.

use std::{
    io,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use thalweg_core::Tick;

use crate::{
    data::{
        inbox::{Buffers, Inbox},
        leave::jittered,
        source::ProxiedFor,
        upstream_io::UpstreamIo,
    },
    shared::{kernel, meters::Cell as Count},
};

mod batch;
mod either;
pub mod http2;
pub mod opening;
mod stream;

pub use either::Link;
pub use stream::{Http2Stream, UpstreamStream};

/// An open connection to an endpoint.
#[derive(Debug)]
pub struct Http1Link {
    /// The transport.
    pub io: UpstreamIo,
    /// Bytes from the endpoint that are still to be taken.
    pub inbox: Inbox,
    /// When it was opened.
    pub opened: Tick,
    /// The epoch of the peer's TLS settings when the connection was opened.
    pub tls_epoch: u32,
    /// Whose requests it may carry, if it began with a PROXY header.
    pub proxied: Option<ProxiedFor>,
    /// The connection has carried a request before, so the endpoint may have closed it meanwhile.
    pub reused: bool,
    /// The connection does not speak what its request was written for.
    pub unfit: bool,
    /// The kernel waits longer than usual for sent data to be acknowledged.
    patient: bool,
    /// Counts the connection as active while it carries a request or an upgraded stream.
    pub in_use: Option<ActiveGuard>,
}

impl Http1Link {
    /// A connection that was just opened.
    #[must_use]
    pub fn new(
        io: UpstreamIo,
        buffers: &Rc<Buffers>,
        (opened, tls_epoch): (Tick, u32),
        active: &Arc<Count>,
    ) -> Self {
        Self {
            io,
            inbox: Inbox::new(buffers),
            opened,
            tls_epoch,
            proxied: None,
            reused: false,
            unfit: false,
            patient: false,
            in_use: Some(ActiveGuard::new(active)),
        }
    }

    /// Whether the connection is older than `age`, less a jitter of its own.
    #[must_use]
    pub fn is_aged(&self, age: Duration, now: Tick) -> bool {
        now.since(self.opened) >= jittered(age, self.opened.0)
    }

    /// Raises the kernel's limit to `idle` while the endpoint may hold back a body or a stream; restores it afterwards.
    pub fn set_user_timeout(&mut self, idle: Duration, held_back: bool) {
        if std::mem::replace(&mut self.patient, held_back) != held_back {
            kernel::set_user_timeout(self.io.socket(), idle);
        }
    }

    /// Whether the endpoint's kernel acknowledges nothing any more.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        kernel::is_dead(self.io.socket())
    }

    /// Whether an idle connection can still carry a request.
    #[must_use]
    pub fn is_usable(&mut self) -> bool {
        !self.unfit && self.inbox.is_empty() && self.io.is_quiet()
    }

    /// Reads more bytes into the inbox; 0 = the endpoint has ended.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.inbox.poll_fill(&mut self.io, cx)
    }
}

/// Counts a connection as active for as long as it is held.
#[derive(Debug)]
pub struct ActiveGuard(Arc<Count>);

impl ActiveGuard {
    /// Counts one more active connection.
    #[must_use]
    pub fn new(count: &Arc<Count>) -> Self {
        count.bump();
        Self(Arc::clone(count))
    }
}

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        self.0.drop_one();
    }
}
