//! Room 5, RELAY: the request to the endpoint and the answer back over one connection, streaming in both directions.
//! Never buffers a body, and never reuses a connection after an unclean end.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, client::conn::TrySendError};

use crate::data::{
    deadline::Deadline,
    headers::clean_trailers,
    link::Link,
    outcome::Outcome,
    settle::{Attempt, RequestRecord},
    upload::{Upload, UploadBody},
};

/// Why an attempt brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The connection had died before any byte of this request was sent on it.
    #[error("the connection was closed by its peer before the request was sent")]
    Stale(Box<Request<UploadBody>>),
    /// The connection ended after bytes were sent and before the head of the answer.
    #[error("connection ended before the answer: {0}")]
    Reset(#[source] hyper::Error),
    /// The answer is not HTTP.
    #[error("answer is not http: {0}")]
    Protocol(#[source] hyper::Error),
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
    /// The client broke the upload off.
    #[error("the client broke the upload off")]
    ClientGone,
    /// The upload is larger than the route allows.
    #[error("the upload is too large")]
    TooLarge,
}

/// Translates hyper's error for an unanswered request.
#[must_use]
pub fn unanswered(mut failure: TrySendError<Request<UploadBody>>, upload: &Upload) -> RelayError {
    if let Some(request) = failure.take_message() {
        return RelayError::Stale(Box::new(request));
    }
    let error = failure.into_error();
    match () {
        () if upload.too_large.get() => RelayError::TooLarge,
        () if upload.client_failed.get() => RelayError::ClientGone,
        () if error.is_parse() && !error.is_incomplete_message() => RelayError::Protocol(error),
        () => RelayError::Reset(error),
    }
}

/// An upload of this many bytes fits into any endpoint's kernel buffers, even if the process reads nothing.
const FINDS_ROOM: u64 = 16 * 1024;

/// Sends a request. No byte is sent before the returned future is polled. `stream`: the connection may become an
/// upgraded stream.
pub fn send(
    link: &mut Link,
    request: Request<UploadBody>,
    (idle, stream): (Duration, bool),
) -> impl Future<Output = Sent> + use<> {
    let long = request.body().size_hint().exact().is_none_or(|bytes| bytes > FINDS_ROOM);
    link.set_user_timeout(idle, long || stream);
    link.sender.try_send_request(request)
}

/// The result of a sent request: the head of an answer, or the request back.
pub type Sent = Result<Response<Incoming>, TrySendError<Request<UploadBody>>>;

/// The body of an answer to a client.
#[derive(Debug)]
pub struct AnswerBody(BodySource);

#[derive(Debug)]
enum BodySource {
    /// Made by this edge; already settled.
    Own(Option<Bytes>),
    /// From an endpoint.
    Relayed(Box<Relaying>),
}

/// An answer that is being passed on, and everything that ends with it.
#[derive(Debug)]
pub struct Relaying {
    /// The endpoint's body.
    pub body: Incoming,
    /// The connection; it goes back to the pool after a clean end.
    pub link: Option<Link>,
    /// The attempt at the endpoint.
    pub attempt: Attempt,
    /// The record of the request.
    pub record: Box<RequestRecord>,
    /// The request's deadline.
    pub deadline: Rc<Deadline>,
    /// The upload, which may still be under way.
    pub upload: Rc<Upload>,
}

impl AnswerBody {
    /// A body made by this edge.
    #[must_use]
    pub fn own(bytes: Bytes) -> Self {
        Self(BodySource::Own((!bytes.is_empty()).then_some(bytes)))
    }

    /// Passes an endpoint's answer on. An answer without a body is settled at once.
    #[must_use]
    pub fn relayed(relaying: Relaying) -> Self {
        let mut relaying = Box::new(relaying);
        if relaying.body.is_end_stream() {
            relaying.complete();
            return Self(BodySource::Own(None));
        }
        Self(BodySource::Relayed(relaying))
    }
}

impl Relaying {
    /// The last byte of the answer has arrived: settles the request, then keeps the connection if its exchange ended
    /// cleanly.
    fn complete(&mut self) {
        let server_error = self.is_server_error();
        let now = self.record.now();
        self.attempt.end(if server_error { Outcome::ServerError } else { Outcome::Ok }, now);
        self.record.finish(now);
        if let Some(link) = self.link.take()
            && self.upload.ended.get().is_some()
        {
            self.attempt.peer.give_back(link, now);
        }
    }

    fn is_server_error(&self) -> bool {
        StatusCode::from_u16(self.record.status).is_ok_and(|status| status.is_server_error())
    }

    fn fail(&mut self, outcome: Outcome, error: &'static str) {
        // A 5xx was counted as a failure before it was passed on.
        if outcome != Outcome::ClientGone && !self.is_server_error() {
            self.attempt.peer.stats().given_up.bump();
        }
        self.attempt.end(outcome, self.record.now());
        self.record.cut(error);
        self.link = None;
    }
}

impl Drop for Relaying {
    fn drop(&mut self) {
        // A loser of a race may hold the upload a while longer, but must not wake anything.
        if self.upload.ended.get().is_some() {
            self.deadline.pause();
        }
    }
}

/// Why an answer was cut after its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// The endpoint's connection ended in the middle of its answer.
    #[error("the endpoint's connection ended in the middle of its answer")]
    Reset,
    /// Nothing arrived for `timeouts.idle`.
    #[error("the answer stood still")]
    Idle,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = CutError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutError>>> {
        let relaying = match &mut self.get_mut().0 {
            BodySource::Own(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            BodySource::Relayed(relaying) => relaying,
        };
        match Pin::new(&mut relaying.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                relaying.deadline.moved();
                if let Some(fields) = frame.trailers_mut() {
                    clean_trailers(fields);
                }
                relaying.record.bytes_out += frame.data_ref().map_or(0, |data| data.len() as u64);
                // No body is polled after trailers; without trailers the end is known early only if the length is
                // known.
                if frame.is_trailers() || relaying.body.is_end_stream() {
                    relaying.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                relaying.complete();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) => {
                // An upload that breaks off ends the exchange too, and is not the endpoint's fault.
                let upload = &relaying.upload;
                let broke_off = upload.client_failed.get() || upload.too_large.get();
                let outcome = if broke_off { Outcome::ClientGone } else { Outcome::Reset };
                relaying.attempt.cut_off(upload.ended.get().is_none(), relaying.record.now());
                relaying.fail(outcome, outcome.as_str());
                Poll::Ready(Some(Err(CutError::Reset)))
            }
            Poll::Pending if relaying.deadline.poll(cx).is_ready() => {
                // An endpoint that answers while the upload arrives is silent because its client is.
                let outcome = match relaying.upload.client_is_due.get() {
                    true => Outcome::ClientGone,
                    false => Outcome::Timeout,
                };
                relaying.fail(outcome, Outcome::Timeout.as_str());
                Poll::Ready(Some(Err(CutError::Idle)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            BodySource::Own(bytes) => bytes.is_none(),
            BodySource::Relayed(relaying) => relaying.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            BodySource::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            BodySource::Relayed(relaying) => relaying.body.size_hint(),
        }
    }
}
