//! A client's socket: plain or TLS. Tells its [`ClientConn`] when bytes pass.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::ClientConn;
use crate::data::{coalesce::as_one, splice::Pipe, tunnel::TunnelIo};

/// Gap between looks at a first segment that is too short to tell protocols apart.
const PEEK_AGAIN: Duration = Duration::from_millis(5);

/// The transport underneath HTTP.
#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A client's socket.
#[derive(Debug)]
pub struct ClientIo {
    stream: Stream,
    conn: Rc<ClientConn>,
}

impl ClientIo {
    /// A plaintext connection.
    #[must_use]
    pub fn plain(stream: TcpStream, conn: Rc<ClientConn>) -> Self {
        Self { stream: Stream::Plain(stream), conn }
    }

    /// A TLS connection after its handshake.
    #[must_use]
    pub fn tls(stream: TlsStream<TcpStream>, conn: Rc<ClientConn>) -> Self {
        Self { stream: Stream::Tls(Box::new(stream)), conn }
    }

    /// The socket, if the connection is plaintext.
    #[must_use]
    pub fn into_plain(self) -> Option<TcpStream> {
        match self.stream {
            Stream::Plain(stream) => Some(stream),
            Stream::Tls(_) => None,
        }
    }

    /// Ready when a read would not block. Only a plaintext socket can tell without reading, and only by a peek: a
    /// socket that was just accepted is reported readable before anything has arrived.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.stream {
            Stream::Plain(stream) => {
                stream.poll_peek(cx, &mut ReadBuf::new(&mut [0])).map(|peeked| peeked.map(|_| ()))
            }
            Stream::Tls(_) => Poll::Ready(Ok(())),
        }
    }

    /// Whether the connection begins with these bytes; consumes none. `None`: the client ended, or the connection is
    /// not plaintext.
    pub async fn begins_with(&self, wanted: &[u8; 4]) -> Option<bool> {
        let Stream::Plain(stream) = &self.stream else { return None };
        loop {
            let mut start = [0; 4];
            let seen = stream.peek(&mut start).await.ok()?;
            match start.get(..seen)? {
                [] => return None,
                whole if whole.len() == wanted.len() || !wanted.starts_with(whole) => {
                    return Some(whole == wanted);
                }
                // An immediate second peek would spin: the kernel does not report a single further byte.
                _ => tokio::time::sleep(PEEK_AGAIN).await,
            }
        }
    }

    /// Whether nothing lies between the socket and HTTP.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        matches!(self.stream, Stream::Plain(_))
    }

    /// The name that the client asked for in a TLS handshake with this edge.
    #[must_use]
    pub fn server_name(&self) -> Option<Box<str>> {
        let Stream::Tls(stream) = &self.stream else { return None };
        let name = stream.get_ref().1.server_name()?;
        Some(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into())
    }

    /// Waits until the client has broken the connection off. One that has only closed its side still waits for an answer.
    pub async fn broken(&self) {
        // An error means that the reactor is gone: the connection is as good as broken.
        let _ = self.socket().ready(Interest::ERROR).await;
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }

    /// The error that the kernel has noted on the socket: a reset shows here although the client's end was read.
    #[must_use]
    pub fn take_error(&self) -> Option<io::Error> {
        self.socket().take_error().unwrap_or_else(Some)
    }

    /// Makes the close a reset.
    pub fn reset_on_close(&self) {
        // The call fails on a socket that has ended already.
        let _ = SockRef::from(self.socket()).set_linger(Some(Duration::ZERO));
    }
}

impl TunnelIo for ClientIo {
    fn takes_pipes(&self) -> bool {
        self.is_plain()
    }

    fn take(&self, pipe: &mut Pipe, cx: &mut Context<'_>) -> usize {
        let Stream::Plain(stream) = &self.stream else { return 0 };
        let taken = pipe.take(stream, u64::MAX, cx);
        if taken > 0 {
            self.conn.has_read(taken);
        }
        taken
    }

    fn poll_give(&self, pipe: &mut Pipe, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Stream::Plain(stream) = &self.stream else {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        };
        let polled = pipe.poll_give(stream, cx);
        self.conn.tried_to_write(&polled);
        polled
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if polled.is_ready() {
            this.conn.has_read(buf.filled().len() - before);
        }
        polled
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        this.conn.tried_to_write(&polled);
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut scratch = [0; 2048];
        if let Some(bytes) = as_one(slices, &mut scratch) {
            return Pin::new(this).poll_write(cx, bytes);
        }
        let polled = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        };
        this.conn.tried_to_write(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        this.conn.behind.set(polled.is_pending());
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
