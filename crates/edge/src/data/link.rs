//! One open connection to an endpoint: its request sender, and how long the kernel waits for acknowledgements on it.
//! Belongs to one worker; its `Peer` keeps it between requests.

use std::{rc::Rc, sync::Arc, time::Duration};

use hyper::client::conn::http1::SendRequest;
use thalweg_core::Tick;

use crate::{
    data::{leave::jittered, upload::UploadBody, upstream_io::Exit},
    shared::{kernel, meters::Cell as Count},
};

/// An open connection to an endpoint.
#[derive(Debug)]
pub struct Link {
    /// Sends requests on the connection.
    pub sender: SendRequest<UploadBody>,
    /// What the connection's driver leaves behind after an upgrade.
    pub exit: Rc<Exit>,
    /// When it was opened.
    pub opened: Tick,
    /// The epoch of the peer's TLS settings when the connection was opened.
    pub tls_epoch: u32,
    /// The connection has carried a request before, so the endpoint may have closed it meanwhile.
    pub reused: bool,
    /// The kernel waits longer than usual for sent data to be acknowledged.
    pub patient: bool,
    /// Counts the connection as active while it carries a request or an upgraded stream.
    pub in_use: Option<ActiveGuard>,
}

impl Link {
    /// Whether the connection is older than `age`, less a jitter of its own.
    #[must_use]
    pub fn is_aged(&self, age: Duration, now: Tick) -> bool {
        now.since(self.opened) >= jittered(age, self.opened.0)
    }

    /// Raises the kernel's limit to `idle` while the endpoint may hold back a body or a stream; restores it afterwards.
    pub fn set_user_timeout(&mut self, idle: Duration, held_back: bool) {
        if std::mem::replace(&mut self.patient, held_back) != held_back
            && let Some(socket) = self.exit.socket.get()
        {
            kernel::set_user_timeout(socket, idle);
        }
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
