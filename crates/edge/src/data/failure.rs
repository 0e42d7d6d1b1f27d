//! The reasons for which this edge answers a request itself: the one table from refusal or failure to status, RFC 9209
//! token and our spelling. No other code chooses a status.

use http::StatusCode;
use thalweg_core::{Fault, Refusal};

/// Why this edge answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No route for this host and path.
    NoRoute,
    /// No endpoint may serve the request.
    NoEndpoint,
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
    /// The request cannot be understood in exactly one way.
    BadRequest,
    /// The method is CONNECT or TRACE.
    MethodNotAllowed,
    /// The head took too long.
    HeaderTimeout,
    /// More than `body_bytes`.
    BodyTooLarge,
    /// The target is too long.
    UriTooLong,
    /// Too many header fields.
    HeadersTooLarge,
    /// Our own name is in `Via` too often.
    Loop,
}

/// One row of the table.
pub struct Row {
    /// The status of the answer.
    pub status: StatusCode,
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
        use StatusCode as S;
        let (status, token, ours, upstream) = match self {
            Self::NoRoute => (S::NOT_FOUND, "destination_not_found", "no_route", false),
            Self::NoEndpoint => (S::SERVICE_UNAVAILABLE, "destination_unavailable", "no_endpoint", false),
            Self::Overloaded => (S::SERVICE_UNAVAILABLE, "connection_limit_reached", "overloaded", false),
            Self::ShuttingDown => (S::SERVICE_UNAVAILABLE, "proxy_internal_response", "shutting_down", false),
            Self::ConnectFailed(fault) => (S::BAD_GATEWAY, connect_token(fault), "connect_failed", true),
            Self::Reset => (S::BAD_GATEWAY, "connection_terminated", "reset", true),
            Self::AnswerFields => {
                (S::BAD_GATEWAY, "http_response_header_section_size", "answer_fields", true)
            }
            Self::FirstByteTimeout => (S::GATEWAY_TIMEOUT, "http_response_timeout", "timeout", true),
            Self::TotalTimeout => (S::GATEWAY_TIMEOUT, "http_response_timeout", "timeout", true),
            Self::UploadTimeout => (S::GATEWAY_TIMEOUT, "connection_write_timeout", "timeout", true),
            Self::BadRequest => (S::BAD_REQUEST, "http_request_error", "bad_request", false),
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "http_request_denied", "method_not_allowed", false)
            }
            Self::HeaderTimeout => (S::REQUEST_TIMEOUT, "http_request_error", "header_timeout", false),
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "http_request_error", "body_too_large", false),
            Self::UriTooLong => (S::URI_TOO_LONG, "http_request_error", "uri_too_long", false),
            Self::HeadersTooLarge => {
                (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "http_request_error", "headers_too_large", false)
            }
            Self::Loop => (S::LOOP_DETECTED, "proxy_loop_detected", "loop", false),
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
        self.row().status.as_u16()
    }

    /// Whether the rest of the upload is probably still on its way, so that the connection must close.
    #[must_use]
    pub fn closes(self) -> bool {
        matches!(self, Self::BadRequest | Self::BodyTooLarge | Self::Loop)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoRoute => Self::NoRoute,
            Refusal::NoEndpoint => Self::NoEndpoint,
            Refusal::Overloaded => Self::Overloaded,
        }
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
        _ => "connection_terminated",
    }
}
