//! Answers made here: a [`Failure`] as an HTTP response with `Proxy-Status` (RFC 9209) and a JSON body.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::data::{
    conn::ConnSignal,
    failure::{Failure, Row},
    relay::AnswerBody,
    settle::RequestRecord,
};

/// The answer for `failure`; settles the request.
#[must_use]
pub fn answer(mut record: Box<RequestRecord>, failure: Failure) -> Response<AnswerBody> {
    let row = failure.row();
    let id = record.request_id.clone();
    let body = body(row.ours, &id);
    record.status = row.status.as_u16();
    let is_head = record.method == http::Method::HEAD;
    record.bytes_out = if is_head { 0 } else { body.len() as u64 };
    if row.upstream {
        record.error = Some(row.ours);
    } else {
        record.refusal = Some(row.ours);
    }
    record.finish(record.now());
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
    let surplus = record.conn.surplus;
    if record.version == http::Version::HTTP_2 {
        if surplus {
            record.conn.signal(ConnSignal::Graceful);
        }
    } else if failure.closes() || surplus {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The answer that hyper needs when the client is gone; nobody reads it. The request counts as `client_gone`.
#[must_use]
pub fn to_nobody(record: Box<RequestRecord>) -> Response<AnswerBody> {
    let http2 = record.version == http::Version::HTTP_2;
    drop(record);
    let mut response = Response::new(AnswerBody::own(Bytes::new()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    if !http2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A whole HTTP/1.1 answer as bytes, for use without hyper when no head arrived, and the length of its body.
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

/// The id is the edge's own or was checked against our alphabet, so it needs no escaping.
fn body(ours: &str, id: &HeaderValue) -> Bytes {
    format!("{{\"error\":\"{ours}\",\"request_id\":\"{}\"}}\n", id.to_str().unwrap_or("-")).into()
}
