//! How a probe or an attempt failed, and what was seen.

/// How a probe (or an attempt) failed. Closed: each is something an operator acts on differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens there.
    Refused,
    /// The connection ended before the answer did.
    Reset,
    /// No answer in time.
    Timeout,
    /// No way there (no route, network or host unreachable, no permission).
    Unreachable,
    /// The TLS handshake failed.
    Tls,
    /// What came back is not HTTP.
    Protocol,
    /// A status that is not expected.
    Status,
    /// A body that is not expected.
    Body,
    /// The first byte came late, or was not there when it would have been late.
    Late,
    /// This edge's own trouble (no descriptor, port or memory): says nothing about the endpoint.
    Local,
}

impl Fault {
    /// The spelling in log, metric and API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Body => "body",
            Self::Late => "late",
            Self::Local => "local",
        }
    }
}

/// What was seen, in a form that an operator can read: the kind and the particulars (errno, status, body, how late).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The kind.
    pub fault: Fault,
    /// The particulars, at most 200 bytes.
    pub detail: Box<str>,
}
