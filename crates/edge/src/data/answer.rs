//! Answers made here: the one table from refusal or failure to status, `Proxy-Status` (RFC 9209) and body.
//! Nothing else in the edge chooses a status.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use thalweg_core::{Fault, Refusal};

use crate::data::{conn::Order, relay::AnswerBody, settle::Ledger};

/// Why this edge answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No route for this host and path.
    NoRoute,
    /// Nobody may serve it.
    NoEndpoint,
    /// Every candidate, or this edge, is at its limit.
    Overloaded,
    /// This edge is draining.
    ShuttingDown,
    /// No endpoint could be connected to; how the last one failed.
    ConnectFailed(Fault),
    /// The endpoint's connection ended before its answer.
    Reset,
    /// No first byte in time.
    FirstByteTimeout,
    /// `timeouts.total` ran out.
    TotalTimeout,
    /// The upload stood still for `timeouts.idle`.
    UploadTimeout,
    /// The request cannot be understood in exactly one way.
    BadRequest,
    /// CONNECT, TRACE.
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
struct Row {
    status: StatusCode,
    /// RFC 9209 §2.3 registered token.
    token: &'static str,
    /// Our spelling: log, metric and `details`.
    ours: &'static str,
    /// An endpoint is to blame, not the request and not this edge.
    upstream: bool,
}

impl Failure {
    fn row(self) -> Row {
        use StatusCode as S;
        let (status, token, ours, upstream) = match self {
            Self::NoRoute => (S::NOT_FOUND, "destination_not_found", "no_route", false),
            Self::NoEndpoint => (S::SERVICE_UNAVAILABLE, "destination_unavailable", "no_endpoint", false),
            Self::Overloaded => (S::SERVICE_UNAVAILABLE, "connection_limit_reached", "overloaded", false),
            Self::ShuttingDown => (S::SERVICE_UNAVAILABLE, "proxy_internal_response", "shutting_down", false),
            Self::ConnectFailed(fault) => (S::BAD_GATEWAY, connect_token(fault), "connect_failed", true),
            Self::Reset => (S::BAD_GATEWAY, "connection_terminated", "reset", true),
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

    /// What the client is told.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().status.as_u16()
    }

    /// Whether the rest of the upload can be expected to be still on its way: then the connection cannot be kept.
    fn closes(self) -> bool {
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
        _ => "connection_terminated",
    }
}

/// The answer for `failure`; settles the request.
#[must_use]
pub fn answer(mut ledger: Box<Ledger>, failure: Failure) -> Response<AnswerBody> {
    let row = failure.row();
    let id = ledger.request_id.clone();
    let body = body(row.ours, &id);
    ledger.status = row.status.as_u16();
    let is_head = ledger.method == http::Method::HEAD;
    ledger.bytes_out = if is_head { 0 } else { body.len() as u64 };
    if row.upstream {
        ledger.error = Some(row.ours);
    } else {
        ledger.refusal = Some(row.ours);
    }
    ledger.finish(ledger.now());
    let mut response = Response::new(AnswerBody::own(if is_head { Bytes::new() } else { body.clone() }));
    *response.status_mut() = row.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    if let Ok(value) = HeaderValue::from_str(&proxy_status(&row)) {
        headers.insert("proxy-status", value);
    }
    headers.insert("x-request-id", id);
    if row.status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if failure == Failure::MethodNotAllowed {
        let allowed = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH";
        headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
    }
    // A connection above the limit must not stay above it.
    let surplus = ledger.conn.surplus;
    if ledger.version == http::Version::HTTP_2 {
        if surplus {
            ledger.conn.order(Order::Graceful);
        }
    } else if failure.closes() || surplus {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What hyper is given when the client is gone: nobody reads it. The request counts as the client's leaving.
#[must_use]
pub fn to_nobody(ledger: Box<Ledger>) -> Response<AnswerBody> {
    let http2 = ledger.version == http::Version::HTTP_2;
    drop(ledger);
    let mut response = Response::new(AnswerBody::own(Bytes::new()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    if !http2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A whole HTTP/1.1 answer as bytes, for when hyper is not there to write one: the head never arrived. With how many of
/// them are its body.
#[must_use]
pub fn raw(failure: Failure, id: &HeaderValue) -> (Vec<u8>, u64) {
    let row = failure.row();
    let body = body(row.ours, id);
    let mut out = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nproxy-status: {}\r\nx-request-id: {}\r\nconnection: close\r\n\r\n",
        row.status.as_u16(),
        row.status.canonical_reason().unwrap_or("Error"),
        body.len(),
        proxy_status(&row),
        id.to_str().unwrap_or("-"),
    )
    .into_bytes();
    out.extend_from_slice(&body);
    (out, body.len() as u64)
}

fn proxy_status(row: &Row) -> String {
    format!("thalweg; error={}; details=\"{}\"", row.token, row.ours)
}

/// The id is ours or passed our alphabet, so it needs no escaping.
fn body(ours: &str, id: &HeaderValue) -> Bytes {
    format!("{{\"error\":\"{ours}\",\"request_id\":\"{}\"}}\n", id.to_str().unwrap_or("-")).into()
}
