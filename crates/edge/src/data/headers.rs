//! Which header fields pass this hop, in both directions, and how a head of one protocol becomes one of the other.

use http::{HeaderMap, HeaderName, HeaderValue};
use thalweg_wire::{
    AnswerHead, BodyWriter, FieldName, FieldRef, Fields, HeadWriter, ProtocolError, RequestHead, Unwritable,
};

use crate::{data::source::RequestSource, shared::client_cookie};

mod http2;

pub use http2::http2_request;

/// What this edge says about a request in the head that it sends to an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Path and query, if not the client's.
    pub target: Option<&'a str>,
    /// The Host to send, if not the client's.
    pub host: Option<&'a str>,
    /// Where the request comes from.
    pub source: &'a RequestSource,
    /// The client speaks TLS.
    pub https: bool,
    /// The client's verified certificate, as a field value.
    pub client_cert: Option<&'a str>,
    /// The request id.
    pub id: &'a str,
    /// The trace that the request belongs to, if not as the client says.
    pub traceparent: Option<&'a str>,
    /// The request asks for an upgrade that this edge forwards.
    pub upgrade: bool,
    /// Fields whose names look like framing go on.
    pub look_alikes: bool,
    /// The edge's own cookie, which stays here.
    pub cookie: Option<&'a str>,
}

/// Writes the head of a request for an endpoint: the client's end-to-end fields in their order, then the edge's own.
/// Hop-by-hop fields (RFC 9110 section 7.6.1), `Expect` and other proxies' claims about the client stay here.
///
/// # Errors
/// Only if the operator's Host for the pool is none.
pub fn write_request(
    out: &mut Vec<u8>,
    head: &RequestHead,
    told: &Told<'_>,
) -> Result<BodyWriter, Unwritable> {
    let mut writer = HeadWriter::forward(out, head, told.target, told.host);
    writer.fields(head.fields(), |field| match field.kind {
        FieldName::Upgrade => told.upgrade,
        FieldName::LookAlike => told.look_alikes,
        FieldName::Cookie if told.cookie.is_some() => false,
        FieldName::Traceparent if told.traceparent.is_some() => false,
        _ => passes_in_request(field),
    });
    if let Some(name) = told.cookie {
        write_cookies(&mut writer, head.fields(), name);
    }
    writer.known(FieldName::XForwardedFor, told.source.forwarded_for());
    writer.known(FieldName::XForwardedProto, if told.https { "https" } else { "http" });
    if let Some(certificate) = told.client_cert {
        writer.known(FieldName::ClientCert, certificate);
    }
    if let Some(host) = told.source.forwarded_host().map(str::as_bytes).or(head.authority_bytes()) {
        writer.known(FieldName::XForwardedHost, host);
    }
    let via = match head.version() {
        thalweg_wire::Version::Http10 => "1.0 thalweg",
        thalweg_wire::Version::Http11 => "1.1 thalweg",
        thalweg_wire::Version::Http2 => "2 thalweg",
        thalweg_wire::Version::Http3 => "3 thalweg",
    };
    writer.known(FieldName::Via, via).known(FieldName::XRequestId, told.id);
    if let Some(traceparent) = told.traceparent {
        writer.known(FieldName::Traceparent, traceparent);
    }
    if told.upgrade {
        writer.known(FieldName::Connection, "upgrade");
    }
    writer.finish()
}

/// Writes the client's cookies without one of them.
fn write_cookies(writer: &mut HeadWriter<'_>, fields: &Fields, name: &str) {
    for field in fields.iter().filter(|field| field.kind == FieldName::Cookie && passes_in_request(field)) {
        match client_cookie::without(field.value, name) {
            None => _ = writer.known(FieldName::Cookie, field.value),
            Some(rest) if rest.is_empty() => {}
            Some(rest) => _ = writer.known(FieldName::Cookie, rest),
        }
    }
}

fn passes_in_request(field: &FieldRef<'_>) -> bool {
    let is_ours = matches!(field.kind, FieldName::Expect | FieldName::XRequestId);
    !is_ours
        && !field.kind.is_client_claim()
        && (!field.is_hop_by_hop() || field.kind == FieldName::TransferEncoding)
}

/// Writes an endpoint's end-to-end fields. The request id is the edge's own, which the caller adds.
pub fn write_answer_fields(writer: &mut HeadWriter<'_>, fields: &Fields) {
    writer.fields(fields, passes_in_answer);
}

fn passes_in_answer(field: &FieldRef<'_>) -> bool {
    field.kind != FieldName::XRequestId
        && (!field.is_hop_by_hop() || field.kind == FieldName::TransferEncoding)
}

/// Whether a trailer field passes, in both directions: not if a head could not bring it either. Hop-by-hop fields and
/// framing are kept back by the writer.
#[must_use]
pub fn passes_in_trailers(field: &FieldRef<'_>) -> bool {
    let is_ours = matches!(field.kind, FieldName::XRequestId | FieldName::Via | FieldName::Expect);
    !is_ours && !field.kind.is_client_claim()
}

/// Whether an answer has a `Date`.
#[must_use]
pub fn has_date(fields: &Fields) -> bool {
    has_field(fields, "date")
}

/// Whether there is a field of this name.
#[must_use]
pub fn has_field(fields: &Fields, name: &str) -> bool {
    fields.iter().any(|field| field.name.eq_ignore_ascii_case(name.as_bytes()))
}

/// The fields of an HTTP/2 head or trailer section.
///
/// # Errors
/// The rule that a field breaks.
pub fn fields_of(map: &HeaderMap) -> Result<Fields, ProtocolError> {
    let mut fields = Fields::default();
    for (name, value) in map {
        fields.push(name.as_str().as_bytes(), value.as_bytes())?;
    }
    Ok(fields)
}

/// The end-to-end fields of an answer for HTTP/2. A length is said only if it is the body's, or that of a body that does
/// not come.
#[must_use]
pub fn answer_map(head: &AnswerHead) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(head.fields().len() + 2);
    for field in head
        .fields()
        .iter()
        .filter(|field| passes_in_answer(field) && field.kind != FieldName::TransferEncoding)
    {
        append(&mut map, &field);
    }
    map
}

/// The trailer fields that pass, for HTTP/2.
#[must_use]
pub fn trailer_map(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::new();
    let is_framing = |kind| {
        matches!(
            kind,
            FieldName::Host | FieldName::ContentLength | FieldName::TransferEncoding | FieldName::LookAlike
        )
    };
    for field in fields
        .iter()
        .filter(|field| passes_in_trailers(field) && !field.is_hop_by_hop() && !is_framing(field.kind))
    {
        append(&mut map, &field);
    }
    map
}

fn append(map: &mut HeaderMap, field: &FieldRef<'_>) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(field.name), HeaderValue::from_bytes(field.value))
    {
        map.append(name, value);
    }
}
