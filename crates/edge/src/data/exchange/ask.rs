//! What an exchange is given and how it may fail, in either protocol.

use std::io;

use http::{HeaderMap, StatusCode};
use thalweg_wire::{AnswerHead, AnswerParts, AnswerTo, Framing, Limits, ProtocolError};

use crate::data::{headers::fields_of, interim::InterimTo, outbox::Outbox, upload::UploadError};

/// The head of a request, as its connection takes it.
#[derive(Clone, Debug)]
pub enum HeadOut {
    /// Bytes of HTTP/1.1.
    Http1(Outbox),
    /// A head for the `h2` crate.
    Http2(Box<http::Request<()>>),
}

/// What the head of a request says about its exchange.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The head, ready to be sent.
    pub head_out: HeadOut,
    /// The framing of the upload.
    pub framing: Framing,
    /// What the answer's meaning depends on.
    pub to: AnswerTo,
    /// Limits of the answer's head.
    pub limits: Limits,
    /// Room for the answer's head.
    pub head: AnswerHead,
    /// Where interim answers go.
    pub interim: InterimTo,
    /// The request opens a WebSocket on a stream of HTTP/2: what its handshake over HTTP/1.1 would have to be answered with.
    pub accept: Option<Box<str>>,
    /// Some servers read the content of this request as another request: the connection is not used again.
    pub may_desync: bool,
}

/// How the head of an answer that came over HTTP/2 is read.
#[derive(Debug)]
pub(super) struct AnswerRules {
    /// What the answer's meaning depends on.
    pub to: AnswerTo,
    /// Limits of the head.
    pub limits: Limits,
    /// The request opens a WebSocket: what its handshake is answered with.
    pub accept: Option<Box<str>>,
}

impl AnswerRules {
    /// The head in the form that all rooms know, checked by the same rules as one of HTTP/1.1.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub(super) fn read(
        &self,
        status: StatusCode,
        fields: &HeaderMap,
        has_body: bool,
    ) -> Result<AnswerHead, ExchangeError> {
        let parts = AnswerParts { status: status.as_u16(), has_body };
        let head =
            fields_of(fields).and_then(|fields| AnswerHead::from_parts(parts, fields, self.to, self.limits));
        match &self.accept {
            Some(accept) if status.is_success() => head.and_then(|head| head.opened(accept.as_bytes())),
            _ => head,
        }
        .map_err(ExchangeError::Protocol)
    }
}

/// Why an attempt brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The connection had died before any byte of this request was sent on it.
    #[error("the connection was closed by its peer before the request was sent")]
    Stale,
    /// The endpoint says that it has not looked at the request (RFC 9113 section 8.7).
    #[error("the endpoint refused the stream")]
    Refused,
    /// The connection ended after bytes were sent and before the head of the answer.
    #[error("connection ended before the answer: {0}")]
    Reset(#[source] io::Error),
    /// The answer breaks the protocol.
    #[error("answer is not http: {0}")]
    Protocol(#[source] ProtocolError),
    /// The endpoint's kernel acknowledges nothing.
    #[error("the connection is dead: nothing is acknowledged")]
    Dead,
    /// No head within `timeouts.first_byte`.
    #[error("no first byte in time")]
    FirstByte,
    /// `timeouts.total` ran out.
    #[error("no answer in time")]
    Total,
    /// The request opens a WebSocket, and the endpoint's SETTINGS allow none (RFC 8441 section 3).
    #[error("the endpoint offers no extended CONNECT")]
    NoConnect,
    /// The upload made no progress for `timeouts.idle` because its client sent nothing.
    #[error("the upload stood still")]
    UploadIdle,
    /// The endpoint took nothing of the upload for `timeouts.idle`.
    #[error("the endpoint takes nothing of the upload")]
    NotTaken,
    /// `drain_timeout` ran out.
    #[error("this edge ends")]
    ShuttingDown,
    /// The upload broke off.
    #[error("{0}")]
    Upload(#[source] UploadError),
}
