//! The reasons for which this edge answers a request itself: the one table from refusal or failure to status, RFC 9209
//! token and our spelling. No other code chooses a status.

use thalweg_core::{Fault, Refusal};
use thalweg_wire::{HelloError, ProtocolError, ProxyError};

/// Why this edge answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No route for this host and path.
    NoRoute,
    /// The client of a connection that is not HTTP names no host, and no route serves every host.
    NoServerName,
    /// A connection begins as TLS does, and its ClientHello breaks the protocol.
    BadHello(HelloError),
    /// No endpoint may serve the request.
    NoEndpoint,
    /// No endpoint of the pools that the request must stay in may serve it, or can be connected to.
    Residency,
    /// Every candidate, or this edge, is at its limit.
    Overloaded,
    /// This edge is draining.
    ShuttingDown,
    /// No endpoint could be connected to; holds the fault of the last one.
    ConnectFailed(Fault),
    /// The endpoint's connection ended before its answer.
    Reset,
    /// The head of the endpoint's answer is too large.
    AnswerFields,
    /// No first byte in time.
    FirstByteTimeout,
    /// `timeouts.total` ran out.
    TotalTimeout,
    /// The upload made no progress for `timeouts.idle`.
    UploadTimeout,
    /// The request breaks a rule of HTTP, or two servers could understand it differently.
    BadMessage(ProtocolError),
    /// A field's name looks like framing.
    LookAlike,
    /// Two servers could understand the path differently.
    AmbiguousPath,
    /// The method is CONNECT or TRACE.
    MethodNotAllowed,
    /// The head took too long.
    HeaderTimeout,
    /// More than `body_bytes`.
    BodyTooLarge,
    /// The endpoint's answer breaks a rule of HTTP.
    BadAnswer(ProtocolError),
    /// Our own name is in `Via` too often.
    Loop,
    /// The connection begins with a PROXY header that is malformed or not allowed, or lacks one.
    BadProxyHeader(ProxyError),
    /// The client makes more requests than it may; the next one may come after so many seconds.
    RateLimited(u32),
    /// The client sends its upload, or takes its answer, slower than it must.
    BodyTooSlow,
    /// The request asks for an upgrade to something else than a WebSocket, and its endpoint speaks HTTP/2.
    NoUpgrade,
    /// The request opens a WebSocket, and its endpoint speaks HTTP/2 and allows none.
    NoWebSocket,
    /// The endpoint has answered an HTTP/2 client's WebSocket with a 2xx that is no 101: passed on, it would open one.
    NotSwitched,
}

/// One row of the table.
pub struct Row {
    /// The status of the answer.
    pub status: u16,
    /// The registered token of RFC 9209 section 2.3.
    pub token: &'static str,
    /// Our spelling in log, metric and `details`.
    pub ours: &'static str,
    /// Whether the endpoint is at fault, not the request and not this edge.
    pub upstream: bool,
}

impl Failure {
    /// The row of the table.
    #[must_use]
    pub fn row(self) -> Row {
        let (status, token, ours, upstream) = match self {
            Self::NoRoute => (404, "destination_not_found", "no_route", false),
            Self::NoServerName => (404, "destination_not_found", "no_server_name", false),
            Self::NoEndpoint => (503, "destination_unavailable", "no_endpoint", false),
            Self::Residency => (503, "destination_unavailable", "residency", false),
            Self::Overloaded => (503, "connection_limit_reached", "overloaded", false),
            Self::ShuttingDown => (503, "proxy_internal_response", "shutting_down", false),
            Self::ConnectFailed(fault) => (502, connect_token(fault), "connect_failed", true),
            Self::Reset => (502, "connection_terminated", "reset", true),
            Self::AnswerFields => (502, "http_response_header_section_size", "answer_fields", true),
            Self::BadAnswer(_) => (502, "http_protocol_error", "bad_answer", true),
            Self::FirstByteTimeout => (504, "http_response_timeout", "timeout", true),
            Self::TotalTimeout => (504, "http_response_timeout", "timeout", true),
            Self::UploadTimeout => (504, "connection_write_timeout", "timeout", true),
            Self::BadMessage(error) => {
                let status = error.status();
                (status, "http_request_error", refused_message(status), false)
            }
            Self::LookAlike | Self::AmbiguousPath | Self::BadProxyHeader(_) | Self::BadHello(_) => {
                (400, "http_request_error", "bad_request", false)
            }
            Self::MethodNotAllowed => (405, "http_request_denied", "method_not_allowed", false),
            Self::HeaderTimeout => (408, "http_request_error", "header_timeout", false),
            Self::BodyTooLarge => (413, "http_request_error", "body_too_large", false),
            Self::NoUpgrade => (501, "http_upgrade_failed", "not_implemented", false),
            Self::NoWebSocket => (502, "http_upgrade_failed", "no_websocket", true),
            Self::NotSwitched => (502, "http_upgrade_failed", "not_switched", true),
            Self::Loop => (508, "proxy_loop_detected", "loop", false),
            Self::RateLimited(_) => (429, "http_request_denied", "rate_limited", false),
            Self::BodyTooSlow => (408, "http_request_error", "body_too_slow", false),
        };
        Row { status, token, ours, upstream }
    }

    /// Our spelling, the same in log, metric and header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().ours
    }

    /// The status that the client gets.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().status
    }

    /// After how many seconds the client may ask again, if waiting helps.
    #[must_use]
    pub fn retry_after(self) -> Option<u32> {
        match self {
            Self::RateLimited(seconds) => Some(seconds),
            other => (other.status() == 503).then_some(1),
        }
    }

    /// Whether the rest of the upload is probably still on its way, so that the connection must close.
    #[must_use]
    pub fn closes(self) -> bool {
        matches!(
            self,
            Self::BadMessage(_)
                | Self::LookAlike
                | Self::AmbiguousPath
                | Self::BadProxyHeader(_)
                | Self::BodyTooLarge
                | Self::BodyTooSlow
                | Self::Loop
        )
    }

    /// The rule behind a refusal or a bad answer, where the spelling alone does not tell it.
    #[must_use]
    pub fn rule(self) -> Option<&'static str> {
        match self {
            Self::BadMessage(error) | Self::BadAnswer(error) => Some(error.as_str()),
            Self::LookAlike => Some("field_looks_like_framing"),
            Self::AmbiguousPath => Some("ambiguous_path"),
            Self::BadProxyHeader(error) => Some(error.as_str()),
            Self::BadHello(error) => Some(error.as_str()),
            _ => None,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoRoute => Self::NoRoute,
            Refusal::NoEndpoint => Self::NoEndpoint,
            Refusal::Overloaded => Self::Overloaded,
            Refusal::Residency => Self::Residency,
        }
    }
}

/// Our spelling for a message that was refused with this status.
fn refused_message(status: u16) -> &'static str {
    match status {
        413 => "body_too_large",
        414 => "uri_too_long",
        431 => "headers_too_large",
        501 => "not_implemented",
        505 => "version",
        _ => "bad_request",
    }
}

fn connect_token(fault: Fault) -> &'static str {
    match fault {
        Fault::Refused => "connection_refused",
        Fault::Timeout => "connection_timeout",
        Fault::Unreachable => "destination_ip_unroutable",
        Fault::Tls => "tls_protocol_error",
        Fault::TlsCertificate => "tls_certificate_error",
        Fault::TlsAlert => "tls_alert_received",
        Fault::Protocol => "http_protocol_error",
        _ => "connection_terminated",
    }
}
