//! The answer to a request, from an endpoint or made here, and how its head is written for HTTP/1.1 and for HTTP/2. Answers made here
//! are a [`Failure`] with `Proxy-Status` (RFC 9209) and a JSON body.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use thalweg_wire::{AnswerHead, BodyWriter, FieldName, Framing, HeadWriter, Unwritable, Version};

use crate::data::{
    conn::ConnSignal,
    failure::{Failure, Row},
    grpc,
    headers::{answer_map, has_date, has_field, write_answer_fields},
    relay::AnswerBody,
    request_id::RequestId,
    settle::RequestRecord,
    tunnel::UpstreamEnd,
};

/// The answer to a request.
#[derive(Debug)]
pub enum Answer {
    /// Made here; already settled.
    Own(OwnAnswer),
    /// From an endpoint.
    Relayed {
        /// The endpoint's head.
        head: AnswerHead,
        /// The request id.
        id: RequestId,
        /// The body.
        body: AnswerBody,
    },
    /// A 101: HTTP ends on this connection.
    Switched {
        /// The endpoint's head.
        head: AnswerHead,
        /// The endpoint's end of the stream.
        end: Box<UpstreamEnd>,
    },
    /// The client is gone: the connection or the stream ends without an answer.
    Abandoned,
}

/// An answer that this edge makes.
#[derive(Debug)]
pub struct OwnAnswer {
    failure: Failure,
    id: RequestId,
    /// The length of the text, also where it is not sent.
    length: usize,
    /// The text of the body; empty for a HEAD.
    pub body: Bytes,
    /// The connection must close behind it.
    pub closes: bool,
    /// The client speaks gRPC: it gets a status in the head and no body.
    grpc: bool,
}

/// The answer for `failure`; settles the request.
#[must_use]
pub fn refuse(mut record: Box<RequestRecord>, failure: Failure) -> Answer {
    let text = text(failure, &record.request_id);
    record.status = failure.status();
    let body = if record.method == "HEAD" || record.grpc { Bytes::new() } else { text.clone() };
    record.bytes_out = body.len() as u64;
    record.told(failure);
    record.finish(record.now());
    // A connection above the limit must not stay above it.
    let surplus = record.conn.surplus;
    if surplus && record.version >= Version::Http2 {
        record.conn.signal(ConnSignal::Graceful);
    }
    let closes = surplus || failure.closes();
    let id = record.request_id.clone();
    Answer::Own(OwnAnswer { failure, id, length: text.len(), body, closes, grpc: record.grpc })
}

impl OwnAnswer {
    /// Writes the head for HTTP/1.1.
    ///
    /// # Errors
    /// Never: all values are this edge's own.
    pub fn write_head(&self, out: &mut Vec<u8>, options: &Options<'_>) -> Result<BodyWriter, Unwritable> {
        let row = self.failure.row();
        let framing = Framing::Length(self.length as u64);
        let mut writer = HeadWriter::answer(out, row.status, reason(row.status), framing);
        writer.known(FieldName::ContentType, "application/json").field("Proxy-Status", proxy_status(&row));
        writer.known(FieldName::XRequestId, self.id.as_str()).field("Date", options.date);
        if let Some(seconds) = self.failure.retry_after() {
            writer.field("Retry-After", seconds.to_string());
        }
        if self.failure == Failure::MethodNotAllowed {
            writer.field("Allow", ALLOWED);
        }
        options.write_connection(&mut writer);
        let writer = writer.finish()?;
        Ok(if self.body.is_empty() { BodyWriter::new(Framing::None) } else { writer })
    }

    /// The answer to a head that could not be read.
    #[must_use]
    pub fn unread(failure: Failure, id: RequestId) -> Self {
        let body = text(failure, &id);
        Self { failure, id, length: body.len(), body, closes: true, grpc: false }
    }

    /// The answer for HTTP/2.
    #[must_use]
    pub fn into_response(self) -> Response<AnswerBody> {
        let row = self.failure.row();
        let mut response = Response::new(AnswerBody::own(self.body));
        let headers = response.headers_mut();
        if self.grpc {
            // A trailers-only answer, whose HTTP status is 200 (gRPC over HTTP/2, "Responses").
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert("grpc-status", HeaderValue::from(grpc::code_of(row.status)));
            headers.insert("grpc-message", HeaderValue::from_static(row.ours));
        } else {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.length));
        }
        for (name, value) in [("proxy-status", &*proxy_status(&row)), ("x-request-id", self.id.as_str())] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        if let Some(seconds) = self.failure.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.failure == Failure::MethodNotAllowed {
            headers.insert(header::ALLOW, HeaderValue::from_static(ALLOWED));
        }
        if !self.grpc {
            *response.status_mut() = StatusCode::from_u16(row.status).unwrap_or_default();
        }
        response
    }
}

/// Where else an origin is (RFC 7838 section 3).
const ALT_SVC: &str = "alt-svc";

const ALLOWED: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH";

/// What the head of an HTTP/1.1 answer depends on beside the answer itself.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The version of the request.
    pub version: Version,
    /// The connection closes behind this answer.
    pub close: bool,
    /// The value of `Date`.
    pub date: &'a str,
    /// The value of `Alt-Svc`, if this edge has one.
    pub alternative: Option<&'a str>,
}

impl Options<'_> {
    fn write_connection(&self, writer: &mut HeadWriter<'_>) {
        if let Some(alternative) = self.alternative {
            writer.field(ALT_SVC, alternative);
        }
        match (self.close, self.version) {
            (true, _) => _ = writer.known(FieldName::Connection, "close"),
            (false, Version::Http10) => _ = writer.known(FieldName::Connection, "keep-alive"),
            (false, _) => {}
        }
    }
}

/// Writes the head of an endpoint's answer for HTTP/1.1. A 1xx, 204, 304 or answer to HEAD keeps its framing of none.
///
/// # Errors
/// Never: the head was read by the same rules.
pub fn write_relayed(
    out: &mut Vec<u8>,
    (head, framing): (&AnswerHead, Framing),
    id: &RequestId,
    options: &Options<'_>,
) -> Result<BodyWriter, Unwritable> {
    let mut writer = HeadWriter::answer(out, head.status(), head.reason(), framing);
    write_answer_fields(&mut writer, head.fields());
    writer.known(FieldName::XRequestId, id.as_str());
    if !has_date(head.fields()) {
        writer.field("Date", options.date);
    }
    let theirs = options.alternative.is_some() && has_field(head.fields(), ALT_SVC);
    let options = Options { alternative: options.alternative.filter(|_| !theirs), ..*options };
    options.write_connection(&mut writer);
    writer.finish()
}

/// Writes the head of a 101.
///
/// # Errors
/// Never: the head was read by the same rules.
pub fn write_switched(
    out: &mut Vec<u8>,
    head: &AnswerHead,
    id: &RequestId,
) -> Result<BodyWriter, Unwritable> {
    let mut writer = HeadWriter::answer(out, head.status(), head.reason(), Framing::None);
    write_answer_fields(&mut writer, head.fields());
    for protocol in head.fields().all(FieldName::Upgrade) {
        writer.known(FieldName::Upgrade, protocol);
    }
    writer.known(FieldName::Connection, "upgrade").known(FieldName::XRequestId, id.as_str());
    writer.finish()
}

/// The answer for HTTP/2; `None` = the stream is to be reset.
#[must_use]
pub fn for_http2(answer: Answer) -> Option<Response<AnswerBody>> {
    match answer {
        Answer::Own(own) => Some(own.into_response()),
        Answer::Relayed { head, id, body } => {
            let mut response = Response::new(body);
            *response.status_mut() = StatusCode::from_u16(head.status()).unwrap_or(StatusCode::BAD_GATEWAY);
            *response.headers_mut() = answer_map(&head);
            name_request(response.headers_mut(), &id);
            Some(response)
        }
        // Only a WebSocket is upgraded over HTTP/2, and its stream takes this answer itself.
        Answer::Switched { .. } | Answer::Abandoned => None,
    }
}

/// The head that opens an HTTP/2 client's WebSocket, made from the endpoint's 101 (RFC 8441 section 5).
#[must_use]
pub fn opened_for_http2(head: &AnswerHead, id: &RequestId) -> Response<()> {
    let mut response = Response::new(());
    *response.headers_mut() = answer_map(head);
    response.headers_mut().remove("sec-websocket-accept");
    response.headers_mut().remove(header::CONTENT_LENGTH);
    name_request(response.headers_mut(), id);
    response
}

fn name_request(headers: &mut HeaderMap, id: &RequestId) {
    if let Ok(mut id) = HeaderValue::from_str(id.as_str()) {
        // This keeps a value that never repeats out of the compression table.
        id.set_sensitive(true);
        headers.insert("x-request-id", id);
    }
}

/// Adds what every HTTP/2 and HTTP/3 answer has (RFC 9110 section 6.6.1), and where else the edge is, unless the endpoint
/// has said where it is itself.
pub fn complete(headers: &mut HeaderMap, date: &str, alternative: Option<&str>) {
    if let Some(Ok(alternative)) = alternative.map(HeaderValue::from_str) {
        headers.entry(header::ALT_SVC).or_insert(alternative);
    }
    if let (http::header::Entry::Vacant(entry), Ok(date)) =
        (headers.entry(header::DATE), HeaderValue::from_str(date))
    {
        entry.insert(date);
    }
}

fn reason(status: u16) -> &'static [u8] {
    let known = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    known.unwrap_or("Error").as_bytes()
}

fn proxy_status(row: &Row) -> String {
    format!("thalweg; error={}; details=\"{}\"", row.token, row.ours)
}

/// The id is the edge's own or was checked against our alphabet, so it needs no escaping.
fn text(failure: Failure, id: &RequestId) -> Bytes {
    let rule = failure.rule().map_or_else(String::new, |rule| format!(",\"rule\":\"{rule}\""));
    format!("{{\"error\":\"{}\",\"request_id\":\"{}\"{rule}}}\n", failure.as_str(), id.as_str()).into()
}
