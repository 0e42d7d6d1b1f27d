//! A stream of bytes to and from an endpoint once HTTP has ended on it: a connection of its own, or a stream of an HTTP/2
//! connection that an extended CONNECT has opened (RFC 8441). A stream that is dropped before its end is reset (CANCEL).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Http1Link, http2::Http2Link};
use crate::data::{
    splice::{Pipe, TunnelIo},
    websocket::FrameTracker,
};

/// The endpoint's end of a tunnel.
#[derive(Debug)]
pub enum UpstreamStream {
    /// A connection of its own.
    Http1(Http1Link),
    /// A stream of a connection that others share.
    Http2(Box<Http2Stream>),
}

/// A stream of HTTP/2 with a WebSocket on it, as a socket.
///
/// Once the endpoint has ended the stream, or the client has said its Close, nothing but a reset follows: hypercorn forgets a
/// stream after its Close, and takes any content on it for an error of the whole connection, which others share.
#[derive(Debug)]
pub struct Http2Stream {
    /// Its place on the connection.
    link: Http2Link,
    out: SendStream<Bytes>,
    input: RecvStream,
    /// What was received and not read yet.
    piece: Bytes,
    sent: FrameTracker,
    /// The endpoint has ended the stream.
    ended: bool,
}

impl UpstreamStream {
    /// Makes the close a reset.
    pub fn reset_on_close(&mut self) {
        match self {
            Self::Http1(link) => link.io.reset_on_close(),
            Self::Http2(stream) => stream.out.send_reset(Reason::CANCEL),
        }
    }
}

impl TunnelIo for UpstreamStream {
    fn takes_pipes(&self) -> bool {
        matches!(self, Self::Http1(link) if link.io.takes_pipes())
    }

    fn take(&self, pipe: &mut Pipe, cx: &mut Context<'_>) -> usize {
        match self {
            Self::Http1(link) => link.io.take(pipe, cx),
            Self::Http2(_) => 0,
        }
    }

    fn poll_give(&self, pipe: &mut Pipe, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self {
            Self::Http1(link) => link.io.poll_give(pipe, cx),
            Self::Http2(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Http1(link) => Pin::new(&mut link.io).poll_read(cx, buf),
            Self::Http2(stream) => stream.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Http1(link) => Pin::new(&mut link.io).poll_write(cx, bytes),
            Self::Http2(stream) => stream.poll_write(cx, bytes),
        }
    }

    /// The driver of an HTTP/2 connection writes what its streams have said.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Http1(link) => Pin::new(&mut link.io).poll_flush(cx),
            Self::Http2(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Http1(link) => Pin::new(&mut link.io).poll_shutdown(cx),
            Self::Http2(stream) => {
                stream.end();
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl Http2Stream {
    /// A stream whose head has been answered by a 2xx. `piece`: what was received behind that.
    #[must_use]
    pub fn new(link: Http2Link, (out, input): (SendStream<Bytes>, RecvStream), piece: Bytes) -> Self {
        Self { link, out, input, piece, sent: FrameTracker::default(), ended: false }
    }

    /// The client has ended its side.
    fn end(&mut self) {
        if self.ended || self.sent.has_closed() {
            self.out.send_reset(Reason::CANCEL);
        } else {
            // The call fails on a stream that is over.
            let _ = self.out.send_data(Bytes::new(), true);
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.piece.is_empty() {
            match ready!(self.input.poll_data(cx)) {
                Some(piece) => self.piece = piece.map_err(io::Error::other)?,
                None => {
                    self.ended = true;
                    return Poll::Ready(Ok(()));
                }
            }
            self.link.conn.heard();
        }
        let read = self.piece.len().min(buf.remaining());
        buf.put_slice(&self.piece.split_to(read));
        self.input.flow_control().release_capacity(read).map_err(io::Error::other)?;
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.ended || self.sent.has_closed() {
            return Poll::Ready(Ok(bytes.len()));
        }
        self.out.reserve_capacity(bytes.len());
        while self.out.capacity() == 0 && !bytes.is_empty() {
            match ready!(self.out.poll_capacity(cx)) {
                Some(room) => _ = room.map_err(io::Error::other)?,
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let written = self.out.capacity().min(bytes.len());
        let piece = Bytes::copy_from_slice(bytes.get(..written).unwrap_or_default());
        self.sent.pass(&piece);
        self.out.send_data(piece, false).map_err(io::Error::other)?;
        Poll::Ready(Ok(written))
    }
}
