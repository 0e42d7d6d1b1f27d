//! The transport towards an endpoint: plain TCP or TLS, and how it leaves its HTTP driver after an upgrade.

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::data::coalesce::as_one;

/// The transport underneath HTTP towards an endpoint.
#[derive(Debug)]
pub enum UpstreamIo {
    /// A plaintext connection.
    Plain(TcpStream),
    /// A TLS connection.
    Tls(Box<TlsStream<TcpStream>>),
}

impl UpstreamIo {
    /// The number of the socket underneath.
    #[must_use]
    pub fn socket(&self) -> RawFd {
        match self {
            Self::Plain(stream) => stream.as_raw_fd(),
            Self::Tls(stream) => stream.get_ref().0.as_raw_fd(),
        }
    }
}

impl AsyncRead for UpstreamIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut scratch = [0; 2048];
        if let Some(bytes) = as_one(slices, &mut scratch) {
            return self.poll_write(cx, bytes);
        }
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// What the driver of an upstream connection leaves behind when it ends, for a request that asked for an upgrade.
#[derive(Debug, Default)]
pub struct Exit {
    /// A request wants the socket back.
    pub wanted: Cell<bool>,
    /// The number of the socket while the driver owns it.
    pub socket: Cell<Option<RawFd>>,
    left: RefCell<Option<Option<(UpstreamIo, Bytes)>>>,
    waker: RefCell<Option<Waker>>,
}

impl Exit {
    /// The driver has ended; `parts` holds the socket and unread bytes if it ended cleanly.
    pub fn leave(&self, parts: Option<(UpstreamIo, Bytes)>) {
        self.socket.set(None);
        if self.wanted.get() {
            *self.left.borrow_mut() = Some(parts);
            if let Some(waker) = self.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Waits for the socket and the unread bytes; `None` if the driver ended uncleanly.
    pub async fn taken(&self) -> Option<(UpstreamIo, Bytes)> {
        std::future::poll_fn(|cx| match self.left.borrow_mut().take() {
            Some(parts) => Poll::Ready(parts),
            None => {
                *self.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}
