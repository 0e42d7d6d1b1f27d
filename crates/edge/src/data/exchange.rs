//! Room 5, RELAY: one request and its answer over one HTTP/1.1 connection to an endpoint, streaming in both directions.
//! A plain object that its request polls: no task, no channel. Never buffers a body, and never gives a connection back
//! after an unclean end. `either` is an exchange of either protocol, `http2` one over a stream of HTTP/2, `ask`
//! what both are given.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use thalweg_wire::{AnswerHead, AnswerReader, AnswerStep, BodyEvent, BodyWriter, Framing};
use tokio::io::AsyncWrite;

use crate::data::{
    headers::passes_in_trailers,
    interim::InterimTo,
    link::Http1Link,
    outbox::Outbox,
    splice::{Pipe, WORTHWHILE},
    upload::{UploadBody, UploadError, UploadStep},
};

mod ask;
mod either;
mod http2;

pub use ask::{Ask, ExchangeError, HeadOut};
pub use either::Exchange;

/// One request and its answer on one connection.
#[derive(Debug)]
pub struct Http1Exchange {
    link: Http1Link,
    body: UploadBody,
    writer: BodyWriter,
    outbox: Outbox,
    sending: Sending,
    /// Behind the content that is being sent.
    after: &'static [u8],
    reader: AnswerReader,
    head: AnswerHead,
    /// Content of the answer at the front of the inbox.
    content: usize,
    has_sent: bool,
    interim: InterimTo,
    may_desync: bool,
}

/// How far the request is.
#[derive(Debug)]
enum Sending {
    /// Content is to come.
    Open,
    /// The last bytes are in the outbox.
    Last,
    Done,
    /// The endpoint takes no more; what it has answered may still be read (RFC 9112 section 9.5).
    Broken(Option<io::Error>),
}

/// An upload of this many bytes fits into any endpoint's kernel buffers, even if the process reads nothing.
const FINDS_ROOM: u64 = 16 * 1024;

impl Http1Exchange {
    /// Prepares an exchange. No byte is sent before it is polled.
    #[must_use]
    pub fn new(mut link: Http1Link, body: UploadBody, ask: Ask, idle: Duration) -> Self {
        let long = match ask.framing {
            Framing::Length(bytes) => bytes > FINDS_ROOM,
            Framing::None => false,
            Framing::Chunked | Framing::UntilClose => true,
        };
        link.set_user_timeout(idle, long || ask.to.upgrade);
        let outbox = match ask.head_out {
            HeadOut::Http1(outbox) => outbox,
            // A reload has changed the protocol since the head was written.
            HeadOut::Http2(_) => {
                link.unfit = true;
                Outbox::default()
            }
        };
        Self {
            link,
            body,
            writer: BodyWriter::new(ask.framing),
            outbox,
            sending: Sending::Open,
            after: b"",
            reader: AnswerReader::new(ask.to, ask.limits),
            head: ask.head,
            content: 0,
            has_sent: false,
            interim: ask.interim,
            may_desync: ask.may_desync,
        }
    }

    /// The connection.
    #[must_use]
    pub const fn link(&self) -> &Http1Link {
        &self.link
    }

    /// The connection, whatever its state.
    #[must_use]
    pub fn into_link(self) -> Http1Link {
        self.link
    }

    /// The connection, if both sides of the exchange ended cleanly on it.
    #[must_use]
    pub fn into_reusable(self) -> Option<Http1Link> {
        let clean = matches!(self.sending, Sending::Done)
            && !self.may_desync
            && self.reader.may_reuse(self.link.inbox.unread());
        clean.then_some(self.link)
    }

    /// The head of the answer; valid once [`poll_head`](Self::poll_head) was ready.
    #[must_use]
    pub const fn head(&self) -> &AnswerHead {
        &self.head
    }

    /// Takes the head of the answer out.
    #[must_use]
    pub fn take_head(&mut self) -> AnswerHead {
        std::mem::take(&mut self.head)
    }

    /// Sends the request, and reads until the head of the answer is there.
    ///
    /// # Errors
    /// Why none comes.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExchangeError>> {
        // The connection may have ended meanwhile. What its peer sent unasked is no answer to this request.
        if !self.has_sent && !self.link.is_usable() {
            return Poll::Ready(Err(ExchangeError::Stale));
        }
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(ExchangeError::Upload(error)));
        }
        loop {
            if !self.link.inbox.is_empty() {
                let step = self.reader.head(self.link.inbox.unread(), &mut self.head);
                match step.map_err(ExchangeError::Protocol)? {
                    AnswerStep::More => self.link.inbox.consume(usize::MAX),
                    AnswerStep::Interim { consumed } => {
                        self.link.inbox.consume(consumed);
                        self.pass_interim(cx);
                    }
                    AnswerStep::Head { consumed } | AnswerStep::Switched { consumed } => {
                        self.link.inbox.consume(consumed);
                        return Poll::Ready(Ok(()));
                    }
                }
                continue;
            }
            let error = match ready!(self.link.poll_fill(cx)) {
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => continue,
                Err(error) => error,
            };
            return Poll::Ready(Err(self.no_answer(error)));
        }
    }

    /// The connection has ended before the head of an answer.
    fn no_answer(&mut self, error: io::Error) -> ExchangeError {
        if !self.has_sent {
            return ExchangeError::Stale;
        }
        match &mut self.sending {
            Sending::Broken(first) => ExchangeError::Reset(first.take().unwrap_or(error)),
            _ => ExchangeError::Reset(error),
        }
    }

    fn pass_interim(&self, cx: &mut Context<'_>) {
        if self.head.status() != 100 {
            self.interim.pass(&self.head, cx);
        }
    }

    /// Whether the request was sent to its end, or as far as the endpoint takes it, and the answer was read.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.is_over() && matches!(self.sending, Sending::Done | Sending::Broken(_))
    }

    /// Sends the request on. Ready when it was sent to its end, or when the endpoint takes no more.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        loop {
            match self.sending {
                Sending::Done | Sending::Broken(_) => return Poll::Ready(Ok(())),
                Sending::Open if self.body.is_empty() => match self.body.poll_step(cx) {
                    Poll::Ready(step) => self.take(step?)?,
                    // The head need not wait for the upload.
                    Poll::Pending => {
                        ready!(self.poll_write(cx));
                        if !matches!(self.sending, Sending::Broken(_)) {
                            self.outbox.rest();
                            return Poll::Pending;
                        }
                    }
                },
                Sending::Open | Sending::Last => ready!(self.poll_write(cx)),
            }
        }
    }

    /// The answer was read: sends the rest of the upload. Ready when it was sent to its end, or when the endpoint has
    /// closed the connection or says more than its answer.
    pub fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.poll_send(cx).is_ready() || self.link.poll_fill(cx).is_ready() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Puts the framing around the next part of the body.
    fn take(&mut self, step: UploadStep) -> Result<(), UploadError> {
        let framed = match step {
            UploadStep::Content => self.body.with_content(|content| {
                let frame = self.writer.frame(content.len())?;
                self.outbox.bytes.extend_from_slice(frame.before());
                self.after = frame.after();
                Ok(())
            }),
            UploadStep::End => {
                self.sending = Sending::Last;
                let (writer, outbox) = (self.writer, &mut self.outbox.bytes);
                self.body.upload().with_trailers(|fields| writer.end(fields, passes_in_trailers, outbox))
            }
        };
        // Longer or shorter than its head said: only an HTTP/2 client can get here.
        framed.map_err(|_: thalweg_wire::Unwritable| UploadError::ClientGone)
    }

    /// Writes what is there. A failure ends the sending, not the exchange.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let written = loop {
            let outbox = &mut self.outbox;
            let io = &mut self.link.io;
            let length = outbox.len();
            let polled = self.body.with_content(|content| outbox.poll_write(io, content, cx));
            self.has_sent |= outbox.len() < length;
            match ready!(polled) {
                Err(error) => break Err(error),
                Ok(0) => break ready!(Pin::new(&mut self.link.io).poll_flush(cx)),
                Ok(bytes) => {
                    self.has_sent = true;
                    self.body.consume(bytes);
                    if self.body.is_empty() {
                        self.outbox.bytes.extend_from_slice(std::mem::take(&mut self.after));
                        // More content may be there to go with it.
                        if matches!(self.sending, Sending::Open) {
                            return Poll::Ready(());
                        }
                    }
                }
            }
        };
        match (written, &self.sending) {
            (Err(error), _) => self.sending = Sending::Broken(Some(error)),
            (Ok(()), Sending::Last) => self.sending = Sending::Done,
            (Ok(()), _) => {}
        }
        Poll::Ready(())
    }

    /// Finds the next content of the answer, and goes on sending the request. `true`: content is there; `false`: the
    /// answer is over.
    ///
    /// # Errors
    /// Why the answer breaks off.
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ExchangeError>> {
        if self.content > 0 {
            return Poll::Ready(Ok(true));
        }
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(ExchangeError::Upload(error)));
        }
        loop {
            let step = self.reader.body(self.link.inbox.unread()).map_err(ExchangeError::Protocol)?;
            match step.event {
                BodyEvent::Data(place) => {
                    self.link.inbox.consume(place.start);
                    self.content = place.len();
                    return Poll::Ready(Ok(true));
                }
                BodyEvent::End => {
                    self.link.inbox.consume(step.consumed);
                    return Poll::Ready(Ok(false));
                }
                BodyEvent::More => self.link.inbox.consume(step.consumed),
            }
            match ready!(self.link.poll_fill(cx)) {
                Ok(0) => self.reader.end_of_input().map_err(ExchangeError::Protocol)?,
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(ExchangeError::Reset(error))),
            }
        }
    }

    /// Whether so much content of known length is to come that a pipe is worth its cost.
    #[must_use]
    pub const fn is_long(&self) -> bool {
        matches!(self.reader.left(), Some(WORTHWHILE..)) && self.link.io.as_plain().is_some()
    }

    /// Moves content of known length from the endpoint into a pipe, without reading it; returns how much. 0 = none has
    /// arrived, or the content is to be read: there is a part of it here already, little is left, or TLS is between.
    pub fn splice(&mut self, pipe: &mut Pipe, cx: &mut Context<'_>) -> usize {
        let (Some(left), Some(socket)) = (self.reader.left(), self.link.io.as_plain()) else { return 0 };
        if self.content > 0 || !self.link.inbox.is_empty() || !matches!(self.sending, Sending::Done) {
            return 0;
        }
        let taken = pipe.take(socket, left, cx);
        // The pipe takes no more than is left.
        let _ = self.reader.skip(taken as u64);
        taken
    }

    /// The content that was found.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        self.link.inbox.unread().get(..self.content).unwrap_or_default()
    }

    /// Takes the first bytes of the content.
    pub fn consume(&mut self, bytes: usize) {
        self.content = self.content.saturating_sub(bytes);
        self.link.inbox.consume(bytes);
    }

    /// Whether the last byte of the answer has arrived.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.reader.is_done()
    }

    /// Whether the answer was read to its end.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.reader.is_done() && self.content == 0
    }

    /// The trailer fields, at the end of the answer.
    #[must_use]
    pub fn trailers(&self) -> Option<&thalweg_wire::Fields> {
        self.reader.trailers()
    }
}
