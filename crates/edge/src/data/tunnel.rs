//! Upgraded streams (WebSocket and whatever else follows a 101): bytes both ways until either side ends or both are
//! silent for too long. Begins only after the endpoint's 101, never on the request (CVE-2026-2833).

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::data::{
    coalesce::as_one,
    conn::{ClientConn, ClientIo, Order},
    link::InUse,
    peer::Peer,
    settle::Ledger,
    vigil::Vigil,
};

/// The bytes underneath HTTP towards an endpoint.
#[derive(Debug)]
pub enum UpstreamIo {
    /// Plaintext.
    Plain(TcpStream),
    /// TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl UpstreamIo {
    /// The socket underneath.
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

/// What an upstream connection's driver leaves behind when it ends, for a request that asked for an upgrade.
#[derive(Debug, Default)]
pub struct Exit {
    /// Somebody will want the socket back.
    pub wanted: Cell<bool>,
    /// The socket, while the driver holds it.
    pub socket: Cell<Option<RawFd>>,
    left: RefCell<Option<Option<(UpstreamIo, Bytes)>>>,
    waker: RefCell<Option<Waker>>,
}

impl Exit {
    /// The driver ended; `parts` if cleanly.
    pub fn leave(&self, parts: Option<(UpstreamIo, Bytes)>) {
        self.socket.set(None);
        if self.wanted.get() {
            *self.left.borrow_mut() = Some(parts);
            if let Some(waker) = self.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    async fn taken(&self) -> Option<(UpstreamIo, Bytes)> {
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

/// The endpoint's end of an upgraded stream, and what must be settled when it ends.
#[derive(Debug)]
pub struct UpstreamEnd {
    /// Where the socket will be left.
    pub exit: Rc<Exit>,
    /// Longest silence of both sides.
    pub idle: Duration,
    /// The request's deadline keeper.
    pub vigil: Rc<Vigil>,
    /// The request's account.
    pub ledger: Box<Ledger>,
    /// Keeps the connection counted as active.
    pub in_use: Option<InUse>,
    /// Keeps the stream in flight at its endpoint.
    pub seat: Seat,
}

/// An upgraded stream's place among what is in flight at its endpoint.
#[derive(Debug)]
pub struct Seat(Rc<Peer>);

impl Seat {
    /// Takes one.
    #[must_use]
    pub fn new(peer: &Rc<Peer>) -> Self {
        peer.enter();
        Self(Rc::clone(peer))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.exit();
    }
}

/// Passes bytes both ways until the stream ends.
pub async fn pass_through(mut client: ClientIo, sent_early: Bytes, mut end: UpstreamEnd, conn: &ClientConn) {
    conn.tunnel(sent_early.len());
    let Some((mut upstream, answered_early)) = end.exit.taken().await else {
        return end.ledger.cut("reset");
    };
    let opening = async {
        upstream.write_all(sent_early.chunk()).await?;
        client.write_all(answered_early.chunk()).await?;
        tokio::io::copy_bidirectional_with_sizes(&mut client, &mut upstream, 16 * 1024, 16 * 1024).await
    };
    let mut copying = std::pin::pin!(opening);
    end.vigil.silent_for(end.idle);
    let ended = std::future::poll_fn(|cx| match copying.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if conn.take_order(cx) == Order::Kill || end.vigil.poll(cx).is_ready() => {
            Poll::Ready(None)
        }
        Poll::Pending => Poll::Pending,
    })
    .await;
    let error = match ended {
        Some(Ok(_)) => None,
        Some(Err(_)) => Some("reset"),
        None => Some("timeout"),
    };
    end.ledger.finish_tunnel(conn.tunnelled.get(), error);
}
