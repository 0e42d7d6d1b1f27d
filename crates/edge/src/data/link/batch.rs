//! The socket below an HTTP/2 connection to an endpoint. What the streams have to say is collected in a batch, a buffer
//! that the worker lends, and leaves in one write when the connection's driver has polled them all: the library flushes
//! behind each frame (docs/decisions/0017-http2-on-h2.md has the same for clients).
//!
//! It also looks at the first bytes of the endpoint, because the library reports HTTP/1.1 as a frame of the wrong size.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    os::fd::AsFd,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    data::{frame_batch::FrameBatch, inbox::Buffers, upstream_io::UpstreamIo},
    shared::kernel,
};

/// Length of a frame's head (RFC 9113 section 4.1).
const HEAD: usize = 9;
/// The kind of the frame that an endpoint must send first (RFC 9113 section 3.4).
const SETTINGS: u8 = 4;

/// The socket, shared by the library and the owner of the connection. Each borrows it for one call only.
#[derive(Clone, Debug)]
pub(super) struct Http2Socket(Rc<RefCell<SocketState>>);

/// How the endpoint has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// Fewer bytes than a frame's head have come.
    Open,
    /// A SETTINGS frame.
    Http2,
    /// An answer of HTTP/1.
    Http1,
    /// Something else.
    Other,
}

#[derive(Debug)]
struct SocketState {
    io: UpstreamIo,
    batch: FrameBatch,
    first: [u8; HEAD],
    known: usize,
}

impl Http2Socket {
    pub(super) fn new(io: UpstreamIo, buffers: &Rc<Buffers>) -> Self {
        let batch = FrameBatch::new(buffers);
        Self(Rc::new(RefCell::new(SocketState { io, batch, first: [0; HEAD], known: 0 })))
    }

    /// How the endpoint has begun.
    pub(super) fn greeting(&self) -> Greeting {
        let inner = self.0.borrow();
        let first = inner.first.get(..inner.known).unwrap_or_default();
        match first {
            [b'H', b'T', b'T', b'P', b'/', ..] => Greeting::Http1,
            [_, _, _, SETTINGS, ..] if inner.known == HEAD => Greeting::Http2,
            _ if inner.known == HEAD => Greeting::Other,
            _ => Greeting::Open,
        }
    }

    /// Bytes that the socket has taken so far.
    pub(super) fn written(&self) -> u64 {
        self.0.borrow().batch.written()
    }

    /// Whether something may have arrived. Costs no system call.
    pub(super) fn has_news(&self, cx: &mut Context<'_>) -> bool {
        self.0.borrow().io.poll_readable(cx).is_ready()
    }

    /// Whether the endpoint's kernel acknowledges nothing any more.
    pub(super) fn is_dead(&self) -> bool {
        kernel::is_dead(self.0.borrow().io.socket().as_fd())
    }

    /// Writes the batch.
    ///
    /// # Errors
    /// Those of the connection.
    pub(super) fn poll_batch(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        inner.batch.poll_leave(&mut inner.io, cx)
    }
}

impl AsyncRead for Http2Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut inner.io).poll_read(cx, buf))?;
        if inner.known < HEAD {
            let read = buf.filled().get(before..).unwrap_or_default();
            for (place, byte) in inner.first.iter_mut().skip(inner.known).zip(read) {
                *place = *byte;
                inner.known += 1;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Http2Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let inner = &mut *self.0.borrow_mut();
        inner.batch.poll_take(&mut inner.io, slices, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: the driver writes the batch once all streams have said what they have to say.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        ready!(inner.batch.poll_write(&mut inner.io, cx))?;
        Pin::new(&mut inner.io).poll_shutdown(cx)
    }
}
