//! The body of an answer on its way to the client, and everything that ends with it. HTTP/1.1 takes the content from
//! where it was read; HTTP/2 gets a copy of each piece.

use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use thalweg_wire::{Fields, Framing};

use crate::data::{
    attempt::Attempt,
    deadline::Deadline,
    event_stream::EventStream,
    exchange::{Exchange, ExchangeError},
    grpc::GrpcAnswer,
    outcome::Outcome,
    settle::RequestRecord,
    splice::Pipe,
    upload::Upload,
};

/// The spelling for a client that takes its answer too slowly.
const TOO_SLOW: &str = "body_too_slow";

/// The body of an answer to a client.
#[derive(Debug)]
pub struct AnswerBody(BodySource);

#[derive(Debug)]
enum BodySource {
    /// Made by this edge; already settled.
    Own(Bytes),
    /// From an endpoint.
    Relayed(Box<Relaying>),
}

/// An answer that is being passed on, and everything that ends with it.
#[derive(Debug)]
pub struct Relaying {
    /// The exchange with the endpoint; `None` once its connection was given back or given up.
    pub exchange: Option<Exchange>,
    /// The framing of the endpoint's body.
    pub framing: Framing,
    /// The attempt at the endpoint.
    pub attempt: Attempt,
    /// The record of the request.
    pub record: Box<RequestRecord>,
    /// The request's deadline.
    pub deadline: Rc<Deadline>,
    /// The upload, which may still be under way.
    pub upload: Rc<Upload>,
    /// For an event stream: when a drain ends it.
    pub event_stream: Option<Box<EventStream>>,
    /// The answer is one of gRPC, over HTTP/2.
    pub grpc: Option<GrpcAnswer>,
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

impl AnswerBody {
    /// A body made by this edge.
    #[must_use]
    pub const fn own(bytes: Bytes) -> Self {
        Self(BodySource::Own(bytes))
    }

    /// Passes an endpoint's answer on. An answer without a body is settled at once.
    #[must_use]
    pub fn relayed(relaying: Relaying) -> Self {
        let mut relaying = Box::new(relaying);
        if relaying.exchange.as_ref().is_some_and(Exchange::is_over) {
            relaying.settle();
        }
        relaying.give_back();
        Self(BodySource::Relayed(relaying))
    }

    /// The answer is out: sends what the client still has of its upload to the endpoint, which waits for it. Ready when
    /// nothing more can be sent.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let BodySource::Relayed(relaying) = &mut self.0 else { return Poll::Ready(()) };
        let Some(exchange) = &mut relaying.exchange else { return Poll::Ready(()) };
        if exchange.poll_rest(cx).is_pending() && relaying.deadline.poll(cx).is_pending() {
            return Poll::Pending;
        }
        relaying.give_back();
        relaying.exchange = None;
        Poll::Ready(())
    }

    /// Finds the next content. `true`: content is there; `false`: the body is over.
    ///
    /// # Errors
    /// Why the answer breaks off.
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, CutError>> {
        match &mut self.0 {
            BodySource::Own(bytes) => Poll::Ready(Ok(!bytes.is_empty())),
            BodySource::Relayed(relaying) => relaying.poll_content(cx),
        }
    }

    /// The content that was found.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        match &self.0 {
            BodySource::Own(bytes) => bytes,
            BodySource::Relayed(relaying) => relaying.exchange.as_ref().map_or(&[], Exchange::content),
        }
    }

    /// Takes the first bytes of the content.
    pub fn consume(&mut self, bytes: usize) {
        match &mut self.0 {
            BodySource::Own(content) => _ = content.split_to(bytes.min(content.len())),
            BodySource::Relayed(relaying) => relaying.consume(bytes),
        }
    }

    /// Moves content into a pipe instead of finding it; returns how much. 0 = it is to be found.
    pub fn splice(&mut self, pipe: &mut Pipe, cx: &mut Context<'_>) -> usize {
        let BodySource::Relayed(relaying) = &mut self.0 else { return 0 };
        relaying.splice(pipe, cx)
    }

    /// Whether so much content of known length is to come that a pipe is worth its cost.
    #[must_use]
    pub fn is_long(&self) -> bool {
        match &self.0 {
            BodySource::Own(_) => false,
            BodySource::Relayed(relaying) => relaying.exchange.as_ref().is_some_and(Exchange::is_long),
        }
    }

    /// The next piece, in memory of its own; `None`: the body is over.
    ///
    /// # Errors
    /// Why the answer breaks off.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, CutError>> {
        if let BodySource::Own(bytes) = &mut self.0 {
            let bytes = std::mem::take(bytes);
            return Poll::Ready(Ok((!bytes.is_empty()).then_some(bytes)));
        }
        if !ready!(self.poll_content(cx))? {
            return Poll::Ready(Ok(None));
        }
        let BodySource::Relayed(relaying) = &mut self.0 else { return Poll::Ready(Ok(None)) };
        Poll::Ready(Ok(relaying.take_content()))
    }

    /// The client's connection was told to end: an event stream ends with it.
    pub fn wake(&self) {
        if let BodySource::Relayed(relaying) = &self.0
            && let Some(stream) = &relaying.event_stream
        {
            stream.wake();
        }
    }

    /// Whether nothing follows, no trailers either.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        match &self.0 {
            BodySource::Own(bytes) => bytes.is_empty(),
            BodySource::Relayed(relaying) => relaying.exchange.is_none(),
        }
    }

    /// The client takes nothing at the moment, or takes more again.
    pub fn waits_for_client(&self, waits: bool) {
        if let BodySource::Relayed(relaying) = &self.0 {
            relaying.deadline.pace.answer_waits(waits);
        }
    }

    /// The end was reached: keeps the connection, if its exchange ended cleanly.
    pub fn give_back(&mut self) {
        if let BodySource::Relayed(relaying) = &mut self.0 {
            relaying.give_back();
        }
    }

    /// The trailer fields, at the end of the body.
    #[must_use]
    pub fn trailers(&self) -> Option<&Fields> {
        match &self.0 {
            BodySource::Own(_) => None,
            BodySource::Relayed(relaying) => relaying.exchange.as_ref().and_then(Exchange::trailers),
        }
    }

    /// The framing that the sender of this body chose.
    #[must_use]
    pub fn framing(&self) -> Framing {
        match &self.0 {
            BodySource::Own(bytes) => Framing::Length(bytes.len() as u64),
            BodySource::Relayed(relaying) => relaying.framing,
        }
    }
}

impl Relaying {
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, CutError>> {
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(Ok(false)) };
        let known = !exchange.content().is_empty();
        if let Some(stream) = &mut self.event_stream
            && !known
            && stream.poll_end(cx).is_ready()
        {
            self.settle();
            self.exchange = None;
            return Poll::Ready(Ok(false));
        }
        match exchange.poll_content(cx) {
            Poll::Ready(Ok(true)) => {
                if !known {
                    if let Some(stream) = &mut self.event_stream {
                        stream.saw(exchange.content());
                    }
                    self.deadline.moved();
                    self.record.bytes_out += exchange.content().len() as u64;
                    if exchange.has_ended() {
                        self.settle();
                    }
                }
                Poll::Ready(Ok(true))
            }
            Poll::Ready(Ok(false)) => {
                self.settle();
                Poll::Ready(Ok(false))
            }
            Poll::Ready(Err(error)) => {
                // An upload that breaks off ends the exchange too, and is not the endpoint's fault.
                let outcome = match error {
                    ExchangeError::Upload(_) => Outcome::ClientGone,
                    _ => Outcome::Reset,
                };
                self.attempt.cut_off(self.upload.ended.get().is_none(), self.record.now());
                self.fail(outcome, outcome.as_str());
                Poll::Ready(Err(CutError::Reset))
            }
            Poll::Pending => {
                ready!(self.deadline.poll(cx));
                // An endpoint that answers while the upload arrives is silent because its client is.
                let outcome = match self.upload.client_is_due.get() {
                    true => Outcome::ClientGone,
                    false => Outcome::Timeout,
                };
                let is_slow = self.deadline.pace.is_slow();
                self.fail(outcome, if is_slow { TOO_SLOW } else { Outcome::Timeout.as_str() });
                Poll::Ready(Err(CutError::Idle))
            }
        }
    }

    fn splice(&mut self, pipe: &mut Pipe, cx: &mut Context<'_>) -> usize {
        let taken = self.exchange.as_mut().map_or(0, |exchange| exchange.splice(pipe, cx));
        if taken > 0 {
            self.deadline.moved();
            self.deadline.pace.passed(taken);
            // The last bytes of an answer are always read: its end is not seen here.
            self.record.bytes_out += taken as u64;
        }
        taken
    }

    fn consume(&mut self, bytes: usize) {
        self.deadline.pace.passed(bytes);
        if let Some(exchange) = &mut self.exchange {
            exchange.consume(bytes);
            self.has_taken();
        }
    }

    fn take_content(&mut self) -> Option<Bytes> {
        let piece = self.exchange.as_mut()?.take_content();
        self.deadline.pace.passed(piece.len());
        self.has_taken();
        Some(piece)
    }

    /// Content was taken, perhaps the last.
    fn has_taken(&mut self) {
        if self.exchange.as_ref().is_some_and(|exchange| exchange.trailers().is_none()) {
            self.give_back();
        }
    }

    /// The last byte of the answer has arrived.
    fn settle(&mut self) {
        self.event_stream = None;
        let now = self.record.now();
        let trailers = self.exchange.as_ref().and_then(Exchange::trailers);
        let outcome = match self.grpc {
            _ if self.is_server_error() => Outcome::ServerError,
            Some(grpc) => grpc.outcome(trailers),
            None => Outcome::Ok,
        };
        if outcome == Outcome::NoGrpcStatus {
            self.record.error = Some(outcome.as_str());
        }
        self.attempt.end(outcome, now);
        self.record.finish(now);
    }

    /// Keeps the connection once its exchange is complete, if it ended cleanly.
    fn give_back(&mut self) {
        if !self.exchange.as_ref().is_some_and(Exchange::is_complete) {
            return;
        }
        if let Some(link) = self.exchange.take().and_then(Exchange::into_reusable) {
            self.attempt.peer.give_back(link);
        }
    }

    fn is_server_error(&self) -> bool {
        (500..600).contains(&self.record.status)
    }

    fn fail(&mut self, outcome: Outcome, error: &'static str) {
        // A 5xx was counted as a failure before it was passed on.
        if outcome != Outcome::ClientGone && !self.is_server_error() {
            self.attempt.peer.stats().given_up.bump();
        }
        self.attempt.end(outcome, self.record.now());
        self.record.cut(error);
        self.exchange = None;
    }
}

impl Drop for Relaying {
    fn drop(&mut self) {
        self.give_back();
        if self.deadline.pace.is_slow() && self.exchange.is_some() {
            self.fail(Outcome::ClientGone, TOO_SLOW);
        }
        // A loser of a race may hold the upload a while longer, but must not wake anything.
        if self.upload.ended.get().is_some() {
            self.deadline.pause();
        }
    }
}
