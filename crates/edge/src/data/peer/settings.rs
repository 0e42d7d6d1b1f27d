//! What the config says about reaching an endpoint, ready for use. Never read from a file here.

use std::{rc::Rc, sync::Arc};

use thalweg_config::{Keepalive, PoolProtocol};

use crate::{data::queue::PoolQueue, shared::UpstreamTls};

/// What the config says about reaching an endpoint.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Limits of idle connections.
    pub keepalive: Keepalive,
    /// What the endpoint speaks.
    pub protocol: PoolProtocol,
    /// TLS settings ready for use; `None` for plaintext.
    pub tls: Option<UpstreamTls>,
    /// The Host field to send; `None` = the client's.
    pub host: Option<Box<str>>,
    /// The Host field for requests whose client named none (HTTP/1.0).
    pub own_host: Box<str>,
    /// Connections begin with a PROXY header.
    pub send_proxy: bool,
    /// Where requests wait while the pool has no room.
    pub queue: Option<Rc<PoolQueue>>,
}

/// Whether two TLS settings mean the same. The TLS cache returns the same object for equal files, so a pointer
/// comparison compares the content.
pub(super) fn same_tls(one: Option<&UpstreamTls>, other: Option<&UpstreamTls>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(&one.config, &other.config) && one.name == other.name,
        (one, other) => one.is_none() && other.is_none(),
    }
}
