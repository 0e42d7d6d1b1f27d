//! How the admin server answers: JSON or text with the right head.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use serde_json::{Value, json};

/// The body of every answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// An answer with a body of a content type.
pub(crate) fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

/// An answer in JSON.
pub(crate) fn json_reply(status: StatusCode, body: &Value) -> Response<Body> {
    reply(status, "application/json", format!("{body}\n"))
}

/// A refusal in JSON.
pub(crate) fn refuse(status: StatusCode, error: &str, detail: &str) -> Response<Body> {
    json_reply(status, &json!({ "error": error, "detail": detail }))
}
