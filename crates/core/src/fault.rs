//! How a probe or an attempt failed, and what was seen.

/// How a probe (or an attempt) failed. Each is something on which an operator acts differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No process listens there.
    Refused,
    /// The connection ended before the answer did.
    Reset,
    /// No answer came in time.
    Timeout,
    /// No way leads there (no route, network or host unreachable, no permission).
    Unreachable,
    /// The TLS handshake failed.
    Tls,
    /// The certificate is not accepted: not trusted, another name, not in force, no proof of its key.
    TlsCertificate,
    /// The endpoint ended the TLS handshake with an alert.
    TlsAlert,
    /// What came back is not HTTP.
    Protocol,
    /// The status is not the expected one.
    Status,
    /// The body is not the expected one.
    Body,
    /// The first byte came late, or had not come when it was late.
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
            Self::TlsCertificate => "tls_certificate",
            Self::TlsAlert => "tls_alert",
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
    /// How it failed.
    pub fault: Fault,
    /// The particulars in at most 200 bytes.
    pub detail: Box<str>,
}
