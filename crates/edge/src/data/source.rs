//! Where a request comes from: the address that logs, limits, geo, affinity and `X-Forwarded-For` use. Of a direct
//! connection it is the TCP address; a PROXY header may replace it for a connection, and the forwarding fields of a
//! trusted proxy for a request. Never trusts anyone by itself.

use std::net::{IpAddr, SocketAddr};

/// Where a request comes from.
#[derive(Clone, Debug)]
pub struct RequestSource {
    /// The client's address; the port is 0 if only the address is known.
    pub addr: SocketAddr,
    /// The address as text.
    pub text: Box<str>,
    /// The client speaks TLS, with this edge or with a proxy in front whose word counts.
    pub https: bool,
    /// The address that the client connected to, if a PROXY header has told it or is to be sent.
    pub destination: Option<SocketAddr>,
    /// What a PROXY header has told, as a JSON object for the access log.
    pub proxy: Option<Box<str>>,
    /// What trusted proxies have told, if the request came by one.
    pub forwarded: Option<Box<Forwarded>>,
}

/// Who a connection to an endpoint is for, on pools that send a PROXY header: what the header says. Such a connection
/// carries the requests of this client alone, because the endpoint takes its header for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxiedFor {
    /// The client.
    pub source: SocketAddr,
    /// The address that the client connected to.
    pub destination: SocketAddr,
}

/// What trusted proxies have told about a request.
#[derive(Clone, Debug)]
pub struct Forwarded {
    /// The client and the trusted proxies behind it, up to this edge's own peer: the `X-Forwarded-For` for the endpoint.
    pub chain: Box<str>,
    /// The host that the client asked for.
    pub host: Option<Box<str>>,
}

impl RequestSource {
    /// The client of a connection. An IPv4 address that is mapped into IPv6 counts as what it is.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        let ip = addr.ip().to_canonical();
        Self {
            addr: SocketAddr::new(ip, addr.port()),
            text: ip.to_string().into(),
            https: false,
            destination: None,
            proxy: None,
            forwarded: None,
        }
    }

    /// The client's address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.addr.ip()
    }

    /// What a PROXY header for this client says.
    #[must_use]
    pub fn proxied(&self) -> ProxiedFor {
        let unknown = match self.addr {
            SocketAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
            SocketAddr::V6(_) => SocketAddr::from(([0_u16; 8], 0)),
        };
        ProxiedFor { source: self.addr, destination: self.destination.unwrap_or(unknown) }
    }

    /// The `X-Forwarded-For` for the endpoint.
    #[must_use]
    pub fn forwarded_for(&self) -> &str {
        self.forwarded.as_ref().map_or(&self.text, |forwarded| &forwarded.chain)
    }

    /// The `X-Forwarded-Host` for the endpoint, if a trusted proxy has told it.
    #[must_use]
    pub fn forwarded_host(&self) -> Option<&str> {
        self.forwarded.as_ref()?.host.as_deref()
    }
}
