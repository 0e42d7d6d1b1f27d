//! One open connection to an endpoint: what sends on it, and how long the kernel bears with it.
//! Belongs to one worker; kept by its `Peer` between requests.

use std::{rc::Rc, sync::Arc, time::Duration};

use hyper::client::conn::http1::SendRequest;
use thalweg_core::Tick;

use crate::{
    data::{upload::UploadBody, upstream_io::Exit},
    shared::{kernel, meters::Cell as Count},
};

/// An open connection to an endpoint.
#[derive(Debug)]
pub struct Link {
    /// Where requests go in.
    pub sender: SendRequest<UploadBody>,
    /// What its driver leaves behind when the connection is upgraded.
    pub exit: Rc<Exit>,
    /// When it was opened.
    pub opened: Tick,
    /// Of its peer's TLS settings when it was begun.
    pub tls_epoch: u32,
    /// It has carried a request before: its peer may have closed it meanwhile.
    pub reused: bool,
    /// Its kernel waits longer than usual for what it sends to be taken.
    pub patient: bool,
    /// Counts it as active while it carries a request or an upgraded stream.
    pub in_use: Option<ActiveGuard>,
}

impl Link {
    /// While a body or a stream may be held back by its endpoint, `idle` alone bounds it, not the kernel.
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
    /// Counts one more.
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
