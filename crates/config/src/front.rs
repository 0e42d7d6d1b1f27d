//! The trust boundary of the model: whose word about clients counts on a listener, and how much one client may ask for.
//! Never looks at a request.

use std::{net::IpAddr, sync::Arc};

use thalweg_core::Cidr;

/// Whose word about clients counts on one listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Front {
    /// Balancers whose connections begin with a PROXY header; `None` = none do.
    pub proxy_protocol: Option<Arc<ProxyProtocol>>,
    /// Proxies whose forwarding fields count; `None` = none do.
    pub forwarders: Option<Arc<Forwarders>>,
}

/// Balancers whose connections begin with a PROXY header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Their networks.
    pub from: Networks,
    /// Whether a connection of theirs without a header is refused.
    pub required: bool,
}

/// Proxies whose forwarding fields count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarders {
    /// Their networks.
    pub trusted: Networks,
    /// The field that counts.
    pub field: ForwardingField,
}

/// The field in which proxies say who the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardingField {
    /// The field `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Some networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<Cidr>);

impl Networks {
    /// Whether an address is in one of them. An IPv4 address that is mapped into IPv6 counts as what it is.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }
}

/// How many requests one client may make: a token bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestRate {
    /// Requests per second; 0 = no bound.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
}
