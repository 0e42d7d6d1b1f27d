//! The head of a request for an HTTP/2 endpoint: pseudo-fields, and the same fields that HTTP/1.1 endpoints get, without
//! those of connections (RFC 9113 section 8.2.2).

use h2::ext::Protocol;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header,
    uri::{Authority, PathAndQuery, Scheme},
};
use thalweg_wire::{FieldName, FieldRef, ProtocolError, RequestHead};

use super::{Told, append, passes_in_request};
use crate::shared::client_cookie;

/// Fields that this edge adds.
const OWN: usize = 8;

/// The head of a request for an HTTP/2 endpoint. `secure`: its connection has TLS. An upgrade becomes an extended CONNECT
/// that opens a WebSocket (RFC 8441).
///
/// # Errors
/// The rule that a part of it breaks for HTTP/2.
pub fn http2_request(
    head: &RequestHead,
    told: &Told<'_>,
    secure: bool,
) -> Result<Request<()>, ProtocolError> {
    let mut request = Request::new(());
    *request.version_mut() = Version::HTTP_2;
    *request.method_mut() =
        Method::from_bytes(head.method_name().as_bytes()).map_err(|_| ProtocolError::BadMethod)?;
    *request.uri_mut() = uri(head, told, secure)?;
    let map = request.headers_mut();
    map.reserve(head.fields().len() + OWN);
    for field in head.fields().iter().filter(|field| passes(field, told)) {
        if field.kind == FieldName::Cookie
            && let Some(name) = told.cookie
        {
            add_cookie(map, &field, name);
        } else {
            append(map, &field);
        }
    }
    if head.fields().all(FieldName::Te).any(takes_trailers) {
        map.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    add_own(map, head, told);
    if told.upgrade {
        map.remove("sec-websocket-key");
        *request.method_mut() = Method::CONNECT;
        request.extensions_mut().insert(Protocol::from_static("websocket"));
    }
    Ok(request)
}

fn uri(head: &RequestHead, told: &Told<'_>, secure: bool) -> Result<Uri, ProtocolError> {
    let authority = match told.host {
        Some(host) => Authority::try_from(host),
        None => Authority::try_from(head.authority_bytes().unwrap_or_default()),
    };
    let path = told.target.unwrap_or_else(|| head.target());
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(authority.map_err(|_| ProtocolError::BadHost)?);
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_| ProtocolError::BadTarget)?);
    Uri::from_parts(parts).map_err(|_| ProtocolError::BadTarget)
}

fn passes(field: &FieldRef<'_>, told: &Told<'_>) -> bool {
    match field.kind {
        FieldName::Host | FieldName::TransferEncoding | FieldName::Upgrade => false,
        FieldName::LookAlike => told.look_alikes,
        FieldName::Traceparent if told.traceparent.is_some() => false,
        _ => passes_in_request(field),
    }
}

/// Whether a `TE` says that its sender reads trailers; HTTP/2 lets it say nothing else.
fn takes_trailers(value: &[u8]) -> bool {
    let mut codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    codings.any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

/// The client's cookies without the edge's own.
fn add_cookie(map: &mut HeaderMap, field: &FieldRef<'_>, name: &str) {
    match client_cookie::without(field.value, name) {
        None => append(map, field),
        Some(rest) if rest.is_empty() => {}
        Some(rest) => _ = HeaderValue::from_bytes(&rest).map(|value| map.append(header::COOKIE, value)),
    }
}

fn add_own(map: &mut HeaderMap, head: &RequestHead, told: &Told<'_>) {
    let mut add = |name: &'static str, value: &[u8], once: bool| {
        if let Ok(mut value) = HeaderValue::from_bytes(value) {
            // A value that never repeats stays out of the compression table.
            value.set_sensitive(once);
            map.append(HeaderName::from_static(name), value);
        }
    };
    add("x-forwarded-for", told.source.forwarded_for().as_bytes(), false);
    add("x-forwarded-proto", if told.https { b"https" } else { b"http" }, false);
    if let Some(certificate) = told.client_cert {
        add("client-cert", certificate.as_bytes(), false);
    }
    if let Some(host) = told.source.forwarded_host().map(str::as_bytes).or(head.authority_bytes()) {
        add("x-forwarded-host", host, false);
    }
    let via: &[u8] = match head.version() {
        thalweg_wire::Version::Http10 => b"1.0 thalweg",
        thalweg_wire::Version::Http11 => b"1.1 thalweg",
        thalweg_wire::Version::Http2 => b"2 thalweg",
        thalweg_wire::Version::Http3 => b"3 thalweg",
    };
    add("via", via, false);
    add("x-request-id", told.id.as_bytes(), true);
    if let Some(traceparent) = told.traceparent {
        add("traceparent", traceparent.as_bytes(), true);
    }
}
