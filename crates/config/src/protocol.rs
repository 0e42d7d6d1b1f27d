//! What the endpoints of a pool speak, as the config names it. Never says how it is spoken.

/// What the endpoints of a pool speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolProtocol {
    /// One request at a time on a connection.
    #[default]
    Http1,
    /// HTTP/2: by ALPN over TLS, by prior knowledge in clear.
    Http2,
}

impl PoolProtocol {
    /// The protocol that the config spells so.
    pub(crate) fn of(spelling: &str) -> Self {
        if spelling == "h2" { Self::Http2 } else { Self::Http1 }
    }
}
