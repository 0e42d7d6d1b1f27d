//! An exchange in either protocol. An enum and no trait object, so that HTTP/1.1 pays one comparison per call.

use std::{
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use thalweg_wire::{AnswerHead, Fields};

use super::{
    Http1Exchange,
    ask::{Ask, ExchangeError},
    http2::Http2Exchange,
};
use crate::data::{
    inbox::{Buffers, Inbox},
    link::{Link, UpstreamStream},
    splice::Pipe,
    upload::UploadBody,
};

/// One request and its answer on one connection or one stream.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "HTTP/1.1 allocates nothing for an exchange")]
pub enum Exchange {
    /// On a connection of its own.
    Http1(Http1Exchange),
    /// On a stream of a shared connection.
    Http2(Box<Http2Exchange>),
}

/// Calls the same method in either protocol.
macro_rules! either {
    ($exchange:expr, $inner:ident => $call:expr) => {
        match $exchange {
            Exchange::Http1($inner) => $call,
            Exchange::Http2($inner) => $call,
        }
    };
}

impl Exchange {
    /// Prepares an exchange. No byte is sent before it is polled.
    #[must_use]
    pub fn new(link: Link, body: UploadBody, ask: Ask, idle: Duration) -> Self {
        match link {
            Link::Http1(link) => Self::Http1(Http1Exchange::new(link, body, ask, idle)),
            Link::Http2(link) => Self::Http2(Box::new(Http2Exchange::new(link, body, ask))),
        }
    }

    /// Whether the endpoint's kernel acknowledges nothing any more.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        either!(self, exchange => exchange.link().is_dead())
    }

    /// Whether its connection had carried a request before.
    #[must_use]
    pub const fn is_reused(&self) -> bool {
        either!(self, exchange => exchange.link().reused)
    }

    /// Whether it has a connection of its own.
    #[must_use]
    pub const fn is_http1(&self) -> bool {
        matches!(self, Self::Http1(_))
    }

    /// The stream on which HTTP has ended, and what was read of it already.
    #[must_use]
    pub fn into_stream(self, buffers: &Rc<Buffers>) -> Option<(UpstreamStream, Inbox)> {
        match self {
            Self::Http1(exchange) => {
                let mut link = exchange.into_link();
                let inbox = link.inbox.take();
                Some((UpstreamStream::Http1(link), inbox))
            }
            Self::Http2(exchange) => {
                let stream = exchange.into_stream()?;
                Some((UpstreamStream::Http2(Box::new(stream)), Inbox::new(buffers)))
            }
        }
    }

    /// The connection to be kept, if both sides of the exchange ended cleanly on it.
    #[must_use]
    pub fn into_reusable(self) -> Option<Link> {
        match self {
            Self::Http1(exchange) => exchange.into_reusable().map(Link::Http1),
            Self::Http2(_) => None,
        }
    }

    /// The head of the answer; valid once [`poll_head`](Self::poll_head) was ready.
    #[must_use]
    pub const fn head(&self) -> &AnswerHead {
        either!(self, exchange => exchange.head())
    }

    /// Takes the head of the answer out.
    #[must_use]
    pub fn take_head(&mut self) -> AnswerHead {
        either!(self, exchange => exchange.take_head())
    }

    /// Sends the request, and reads until the head of the answer is there.
    ///
    /// # Errors
    /// Why none comes.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExchangeError>> {
        either!(self, exchange => exchange.poll_head(cx))
    }

    /// The answer was read: sends the rest of the upload. Ready when it was sent to its end, or when the endpoint takes
    /// no more.
    pub fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        either!(self, exchange => exchange.poll_rest(cx))
    }

    /// Finds the next content of the answer, and goes on sending the request. `true`: content is there; `false`: the
    /// answer is over.
    ///
    /// # Errors
    /// Why the answer breaks off.
    pub fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ExchangeError>> {
        either!(self, exchange => exchange.poll_content(cx))
    }

    /// Whether so much content of known length is to come that a pipe is worth its cost.
    #[must_use]
    pub const fn is_long(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.is_long(),
            Self::Http2(_) => false,
        }
    }

    /// Moves content of known length from the endpoint into a pipe; returns how much. 0 = it is to be read.
    pub fn splice(&mut self, pipe: &mut Pipe, cx: &mut Context<'_>) -> usize {
        match self {
            Self::Http1(exchange) => exchange.splice(pipe, cx),
            Self::Http2(_) => 0,
        }
    }

    /// The content that was found.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        either!(self, exchange => exchange.content())
    }

    /// Takes the first bytes of the content.
    pub fn consume(&mut self, bytes: usize) {
        either!(self, exchange => exchange.consume(bytes));
    }

    /// Takes the whole content, in memory of its own.
    pub fn take_content(&mut self) -> Bytes {
        match self {
            Self::Http1(exchange) => {
                let piece = Bytes::copy_from_slice(exchange.content());
                exchange.consume(piece.len());
                piece
            }
            Self::Http2(exchange) => exchange.take_content(),
        }
    }

    /// Whether the request was sent to its end, or as far as the endpoint takes it, and the answer was read.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        either!(self, exchange => exchange.is_complete())
    }

    /// Whether the last byte of the answer has arrived.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        either!(self, exchange => exchange.has_ended())
    }

    /// Whether the answer was read to its end.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        either!(self, exchange => exchange.is_over())
    }

    /// The trailer fields, at the end of the answer.
    #[must_use]
    pub fn trailers(&self) -> Option<&Fields> {
        either!(self, exchange => exchange.trailers())
    }
}
