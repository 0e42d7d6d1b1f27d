//! Room 5, RELAY: one request and its answer on one stream of an HTTP/2 connection. A plain object that its request
//! polls, like the one of HTTP/1.1. Content waits for the endpoint's window with the client, and the client's with the
//! endpoint: nothing is buffered beyond one window. A stream that is dropped before its end is reset (CANCEL).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, client::ResponseFuture};
use http::{HeaderMap, Request, StatusCode};
use thalweg_wire::{AnswerHead, Fields, Framing, ProtocolError};

use super::ask::{AnswerRules, Ask, ExchangeError, HeadOut};
use crate::data::{
    headers::{fields_of, trailer_map},
    interim::InterimTo,
    link::{Http2Stream, http2::Http2Link},
    upload::{UploadBody, UploadError, UploadStep},
};

/// Interim answers to one request, as many as over HTTP/1.1.
const MAX_INTERIM: u8 = 32;

/// The largest piece of an upload that waits for the endpoint's window.
const PIECE: usize = 16 * 1024;

/// One request and its answer on one stream.
#[derive(Debug)]
pub struct Http2Exchange {
    link: Http2Link,
    body: UploadBody,
    /// The head, until the stream begins.
    request: Option<Box<Request<()>>>,
    framing: Framing,
    sending: StreamSending,
    out: Option<SendStream<Bytes>>,
    /// Content that was announced and not sent yet.
    left: Option<u64>,
    answer: Option<ResponseFuture>,
    input: Option<RecvStream>,
    rules: AnswerRules,
    head: AnswerHead,
    interim: u8,
    content: Bytes,
    trailers: Option<Fields>,
    /// The last byte of the answer was read.
    ended: bool,
    /// What the socket had taken when the stream began.
    written: u64,
    to_client: InterimTo,
}

/// How far the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamSending {
    /// Content is to come.
    Open,
    /// The last content went out with the end of the stream.
    Last,
    Done,
    /// The endpoint takes no more; what it has answered may still be read.
    Broken,
}

impl Http2Exchange {
    /// Prepares an exchange. No byte is sent before it is polled.
    #[must_use]
    pub fn new(link: Http2Link, body: UploadBody, ask: Ask) -> Self {
        let request = match ask.head_out {
            HeadOut::Http2(request) => Some(request),
            // A reload has changed the protocol since the head was written.
            HeadOut::Http1(_) => None,
        };
        Self {
            link,
            body,
            request,
            framing: ask.framing,
            sending: StreamSending::Open,
            out: None,
            left: if let Framing::Length(length) = ask.framing { Some(length) } else { None },
            answer: None,
            input: None,
            rules: AnswerRules { to: ask.to, limits: ask.limits, accept: ask.accept },
            head: ask.head,
            interim: 0,
            content: Bytes::new(),
            trailers: None,
            ended: false,
            written: 0,
            to_client: ask.interim,
        }
    }

    /// Its place on the connection.
    #[must_use]
    pub const fn link(&self) -> &Http2Link {
        &self.link
    }

    /// The head of the answer.
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
        if self.answer.is_none() {
            self.begin()?;
        }
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(ExchangeError::Upload(error)));
        }
        loop {
            let Some(answer) = &mut self.answer else { return Poll::Ready(Err(ExchangeError::Stale)) };
            match answer.poll_informational(cx) {
                Poll::Ready(Some(Ok(interim))) => {
                    let (parts, ()) = interim.into_parts();
                    self.pass_interim(parts.status, &parts.headers, cx)?;
                    continue;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(self.failed(&error, false))),
                Poll::Ready(None) | Poll::Pending => {}
            }
            let (parts, input) = match ready!(Pin::new(answer).poll(cx)) {
                Ok(answer) => answer.into_parts(),
                Err(error) => return Poll::Ready(Err(self.failed(&error, false))),
            };
            self.link.conn.heard();
            self.ended = input.is_end_stream();
            self.input = Some(input);
            self.head = self.rules.read(parts.status, &parts.headers, !self.ended)?;
            return Poll::Ready(Ok(()));
        }
    }

    /// Opens the stream. From here on the head is with the library, and leaves when the driver runs.
    fn begin(&mut self) -> Result<(), ExchangeError> {
        let (Some(mut sender), Some(request)) = (self.link.sender.take(), self.request.take()) else {
            return Err(ExchangeError::Stale);
        };
        if self.rules.accept.is_some() && !sender.is_extended_connect_protocol_enabled() {
            return Err(ExchangeError::NoConnect);
        }
        let ends = self.rules.accept.is_none() && matches!(self.framing, Framing::None | Framing::Length(0));
        self.written = self.link.conn.written();
        let Ok((answer, out)) = sender.send_request(*request, ends) else {
            self.link.conn.retire();
            return Err(ExchangeError::Stale);
        };
        (self.answer, self.out) = (Some(answer), Some(out));
        if ends {
            self.sending = StreamSending::Last;
        }
        Ok(())
    }

    fn pass_interim(
        &mut self,
        status: StatusCode,
        fields: &HeaderMap,
        cx: &mut Context<'_>,
    ) -> Result<(), ExchangeError> {
        self.interim += 1;
        if self.interim > MAX_INTERIM {
            return Err(ExchangeError::Protocol(ProtocolError::TooManyInterim));
        }
        if status == StatusCode::SWITCHING_PROTOCOLS {
            // HTTP/2 has no such status (RFC 9113 section 8.6).
            return Err(ExchangeError::Protocol(ProtocolError::UnsolicitedSwitch));
        }
        let head = self.rules.read(status, fields, false)?;
        if status != StatusCode::CONTINUE {
            self.to_client.pass(&head, cx);
        }
        Ok(())
    }

    /// What an error of the library means for the exchange. `answered`: the head has come.
    fn failed(&self, error: &h2::Error, answered: bool) -> ExchangeError {
        let reset = || ExchangeError::Reset(io::Error::other(error.to_string()));
        if self.link.conn.was_given_up() {
            return ExchangeError::Dead;
        }
        if error.is_library() {
            // The library refuses a head that is too large so.
            let too_large = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
            let rule = if too_large { ProtocolError::HeadTooLarge } else { ProtocolError::BadFrame };
            return ExchangeError::Protocol(rule);
        }
        if answered {
            return reset();
        }
        if error.is_remote() && error.is_go_away() {
            // The library says so only to streams behind the last one that the endpoint has looked at.
            return ExchangeError::Stale;
        }
        if error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM) {
            return ExchangeError::Refused;
        }
        let nothing_sent = error.is_io() && self.link.conn.written() == self.written;
        if nothing_sent { ExchangeError::Stale } else { reset() }
    }

    /// Sends the request on. Ready when it was sent to its end, or when the endpoint takes no more.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        loop {
            match self.sending {
                StreamSending::Done | StreamSending::Broken => return Poll::Ready(Ok(())),
                StreamSending::Open | StreamSending::Last => match ready!(self.body.poll_step(cx))? {
                    UploadStep::End => self.finish(),
                    // Longer than its head said: only an HTTP/2 client can get here.
                    UploadStep::Content if self.sending == StreamSending::Last => {
                        return Poll::Ready(Err(UploadError::ClientGone));
                    }
                    UploadStep::Content => ready!(self.poll_piece(cx)),
                },
            }
        }
    }

    /// The upload is over: says so, with its trailers.
    fn finish(&mut self) {
        let before = std::mem::replace(&mut self.sending, StreamSending::Done);
        // A WebSocket goes on after its head.
        let may_end = before == StreamSending::Open && self.rules.accept.is_none();
        let Some(out) = self.out.as_mut().filter(|_| may_end) else { return };
        let trailers = self.body.upload().with_trailers(|fields| fields.map(trailer_map));
        let sent = match trailers.filter(|map| !map.is_empty()) {
            Some(map) => out.send_trailers(map),
            None => out.send_data(Bytes::new(), true),
        };
        if sent.is_err() {
            self.sending = StreamSending::Broken;
        }
    }

    /// Sends the next piece of content, as far as the endpoint's window goes.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(out) = &mut self.out else {
            self.sending = StreamSending::Broken;
            return Poll::Ready(());
        };
        let length = self.body.with_content(<[u8]>::len);
        if length == 0 {
            // An empty frame of the client: for no content there is no room to wait for.
            return Poll::Ready(());
        }
        out.reserve_capacity(length.min(PIECE));
        while out.capacity() == 0 {
            if !matches!(ready!(out.poll_capacity(cx)), Some(Ok(_))) {
                self.sending = StreamSending::Broken;
                return Poll::Ready(());
            }
        }
        let piece = self.body.take(out.capacity().min(length));
        self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        let ends = self.left == Some(0);
        self.sending = match out.send_data(piece, ends) {
            Err(_) => StreamSending::Broken,
            Ok(()) if ends => StreamSending::Last,
            Ok(()) => StreamSending::Open,
        };
        Poll::Ready(())
    }

    /// The answer was read: sends the rest of the upload. Ready when it was sent to its end, or when the endpoint takes
    /// no more.
    pub fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.poll_send(cx).is_ready() {
            return Poll::Ready(());
        }
        // An endpoint that wants no more of the upload resets the stream (RFC 9113 section 8.1).
        self.out.as_mut().map_or(Poll::Ready(()), |out| out.poll_reset(cx).map(drop))
    }

    /// Finds the next content of the answer, and goes on sending the request.
    ///
    /// # Errors
    /// Why the answer breaks off.
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ExchangeError>> {
        if !self.content.is_empty() {
            return Poll::Ready(Ok(true));
        }
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(ExchangeError::Upload(error)));
        }
        loop {
            let Some(input) = self.input.as_mut().filter(|_| !self.ended) else {
                return Poll::Ready(Ok(false));
            };
            match ready!(input.poll_data(cx)) {
                Some(Ok(content)) => {
                    self.ended = input.is_end_stream();
                    self.link.conn.heard();
                    if content.is_empty() {
                        continue;
                    }
                    if self.head.framing() == Framing::None && self.is_bodiless() {
                        return Poll::Ready(Err(ExchangeError::Protocol(ProtocolError::BodyForbidden)));
                    }
                    self.content = content;
                    return Poll::Ready(Ok(true));
                }
                Some(Err(error)) => return Poll::Ready(Err(self.failed(&error, true))),
                None => {
                    match ready!(input.poll_trailers(cx)) {
                        Ok(Some(map)) => {
                            let fields = fields_of(&map).map_err(ExchangeError::Protocol)?;
                            self.trailers = Some(fields).filter(|fields| !fields.is_empty());
                        }
                        Ok(None) => {}
                        Err(error) => return Poll::Ready(Err(self.failed(&error, true))),
                    }
                    self.link.conn.heard();
                    self.ended = true;
                }
            }
        }
    }

    /// Whether its answer has no content whatever its fields say.
    const fn is_bodiless(&self) -> bool {
        self.rules.to.head
    }

    /// The content that was found.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// Takes the first bytes of the content, and opens the endpoint's window by them.
    pub fn consume(&mut self, bytes: usize) {
        drop(self.content.split_to(bytes.min(self.content.len())));
        self.release(bytes);
    }

    /// Takes the whole content.
    pub fn take_content(&mut self) -> Bytes {
        let content = std::mem::take(&mut self.content);
        self.release(content.len());
        content
    }

    fn release(&mut self, bytes: usize) {
        if let Some(input) = &mut self.input {
            // The call fails on a stream that has ended: its window does not matter any more.
            let _ = input.flow_control().release_capacity(bytes);
        }
    }

    /// The stream, once a WebSocket is open on it.
    #[must_use]
    pub fn into_stream(self) -> Option<Http2Stream> {
        Some(Http2Stream::new(self.link, (self.out?, self.input?), self.content))
    }

    /// Whether the request was sent to its end, or as far as the endpoint takes it, and the answer was read.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.is_over() && matches!(self.sending, StreamSending::Done | StreamSending::Broken)
    }

    /// Whether the last byte of the answer has arrived.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether the answer was read to its end.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.ended && self.content.is_empty()
    }

    /// The trailer fields, at the end of the answer.
    #[must_use]
    pub const fn trailers(&self) -> Option<&Fields> {
        if self.is_over() { self.trailers.as_ref() } else { None }
    }
}
