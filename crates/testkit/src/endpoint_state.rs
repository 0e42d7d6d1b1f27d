//! What the tasks of one fake endpoint share with the scenario: how to behave, and what arrived. No I/O.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Instant,
};

use tokio::task::AbortHandle;

use crate::{Behaviour, Health};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The head as it was on the wire.
    pub head: crate::Head,
    /// Bytes of body that arrived.
    pub body_len: u64,
    /// A hash of those bytes, to compare with [`Endpoint::hash`](crate::Endpoint::hash).
    pub body_hash: u64,
    /// Which connection, from 1.
    pub connection: u64,
    /// Whether the whole body arrived.
    pub complete: bool,
    /// When the head was there.
    pub at: Instant,
}

impl Seen {
    /// The method.
    pub fn method(&self) -> &str {
        self.head.word(0)
    }

    /// The request target.
    pub fn target(&self) -> &str {
        self.head.word(1)
    }

    /// The first field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }
}

/// What the tasks of one endpoint share with the scenario.
#[derive(Debug)]
pub(crate) struct EndpointState {
    pub(crate) name: String,
    pub(crate) behaviour: Mutex<Behaviour>,
    pub(crate) health: Mutex<Health>,
    pub(crate) seen: Mutex<Vec<Seen>>,
    pub(crate) served: AtomicU64,
    pub(crate) probes: AtomicU64,
    pub(crate) accepted: AtomicU64,
    pub(crate) open: AtomicU64,
    /// Connections that the other side closed while an answer was due.
    pub(crate) abandoned: AtomicU64,
    pub(crate) connections: Mutex<BTreeMap<u64, AbortHandle>>,
    pub(crate) tls: Mutex<Option<Arc<rustls::ServerConfig>>>,
}
