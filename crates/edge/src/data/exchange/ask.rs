//! What an exchange is given and how it may fail, in either protocol.

use std::io;

use thalweg_wire::{AnswerHead, AnswerTo, Framing, Limits, ProtocolError};

use crate::data::{interim::InterimTo, outbox::Outbox, upload::UploadError};

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
    /// Some servers read the content of this request as another request: the connection is not used again.
    pub may_desync: bool,
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
