//! A connection that may carry a request: all of an HTTP/1.1 connection, or a place for one stream on an HTTP/2
//! connection. An enum and no trait object: the request path of HTTP/1.1 pays one comparison.

use super::{Http1Link, http2::Http2Link};

/// A connection that may carry a request.
#[derive(Debug)]
pub enum Link {
    /// A connection of its own.
    Http1(Http1Link),
    /// A place among the streams of a connection.
    Http2(Http2Link),
}

impl Link {
    /// Whether the connection has carried a request before, so that the endpoint may have closed it meanwhile.
    #[must_use]
    pub const fn is_reused(&self) -> bool {
        match self {
            Self::Http1(link) => link.reused,
            Self::Http2(link) => link.reused,
        }
    }
}
