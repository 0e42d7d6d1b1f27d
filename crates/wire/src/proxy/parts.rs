//! What both versions have in common: bounds, beginnings, what a header says, and what a reader still needs.

use std::net::SocketAddr;

use super::tlv::ProxyFields;

/// The longest header of version 1, with its line end.
pub const PROXY_V1_MAX: usize = 107;

/// The longest header of version 2 that is read: addresses, and fields with a certificate's subject and more.
pub const PROXY_V2_MAX: usize = 4096;

/// How a header of version 1 begins.
pub(super) const V1_START: &[u8] = b"PROXY ";

/// How a header of version 2 begins.
pub(super) const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest beginning that tells whether a header follows.
pub const PROXY_START_MAX: usize = V2_START.len();

/// What a PROXY header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyHeader {
    /// The client. `None`: the sender speaks for itself (LOCAL), or does not know (UNKNOWN, UNSPEC, a Unix socket).
    pub source: Option<SocketAddr>,
    /// The address that the client connected to; known exactly when `source` is.
    pub destination: Option<SocketAddr>,
    /// The further fields of version 2.
    pub fields: ProxyFields,
}

/// How many further bytes a reader needs, and whether the header ends with them.
pub(super) struct Wanted {
    pub(super) bytes: usize,
    pub(super) is_last: bool,
}
