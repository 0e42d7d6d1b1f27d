//! What a route knows its clients by, and what it promises them: the rules of affinity, and what a cookie says. Plain
//! values; nothing here decides.

use crate::slot::EndpointHash;

/// How a route keeps its clients on their endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// What a client is known by.
    pub by: ClientMark,
    /// What a client gets whose endpoint may not serve.
    pub on_failure: OnFailure,
}

/// What a client is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMark {
    /// Its address; of an IPv6 address the first 64 bits.
    Address,
    /// A cookie that names its endpoint.
    Cookie,
}

impl ClientMark {
    /// The spelling in config and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "client-ip",
            Self::Cookie => "cookie",
        }
    }
}

/// What a client gets whose endpoint may not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// Another endpoint meanwhile.
    Return,
    /// Another endpoint, which becomes the client's own (cookies only: an address leaves no trace).
    Stick,
    /// A refusal.
    Refuse,
}

/// A client and the endpoint that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The client's own number: it ranks the endpoints that stand in for the client's.
    pub client: u64,
    /// The client's endpoint.
    pub endpoint: EndpointHash,
}
