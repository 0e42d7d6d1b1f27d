//! The I/O wrapper underneath hyper: it reports the bytes that pass to its [`ClientConn`]. It only knows where a head
//! begins, changes no byte, and hides only an end that hyper would mistake for a client that left.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use super::{ClientConn, ConnPhase, ConnSignal};
use crate::data::coalesce::as_one;

/// Gap between looks at a first segment that is too short to tell protocols apart.
const PEEK_AGAIN: Duration = Duration::from_millis(5);

/// The transport underneath HTTP.
#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The reader and writer that hyper uses.
#[derive(Debug)]
pub struct ClientIo {
    stream: Stream,
    conn: Rc<ClientConn>,
    /// Bytes that were read before and must be read again.
    before: Bytes,
}

impl ClientIo {
    /// A plaintext connection.
    #[must_use]
    pub fn plain(stream: TcpStream, conn: Rc<ClientConn>) -> Self {
        Self { stream: Stream::Plain(stream), conn, before: Bytes::new() }
    }

    /// A TLS connection after its handshake.
    #[must_use]
    pub fn tls(stream: TlsStream<TcpStream>, conn: Rc<ClientConn>) -> Self {
        Self { stream: Stream::Tls(Box::new(stream)), conn, before: Bytes::new() }
    }

    /// Puts bytes back in front of the next read.
    pub fn rewind(&mut self, bytes: Bytes) {
        self.before = bytes;
    }

    /// Ready when a read would not block. Only a plaintext socket can tell without reading, and only by a peek: a
    /// socket that was just accepted is reported readable before anything has arrived.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.stream {
            Stream::Plain(stream) if self.before.is_empty() => {
                stream.poll_peek(cx, &mut ReadBuf::new(&mut [0])).map(|peeked| peeked.map(|_| ()))
            }
            _ => Poll::Ready(Ok(())),
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

    /// Returns `false` if hyper must not see these bytes, because a signal was left instead. That never happens while
    /// an earlier answer is under way.
    fn saw(&self, bytes: &[u8]) -> bool {
        self.conn.trails.set(!bytes.ends_with(b"\r\n\r\n"));
        match self.conn.phase.get() {
            // Between streams, HTTP/2 sends settings and pings, which are no head.
            ConnPhase::Idle if !bytes.is_empty() && !self.conn.http2.get() && !self.conn.rest.get() => {
                self.conn.enter(ConnPhase::Head);
            }
            ConnPhase::Tunnel => {
                let (up, down) = self.conn.tunnelled.get();
                self.conn.tunnelled.set((up + bytes.len() as u64, down));
            }
            _ => {}
        }
        self.conn.touch(false, bytes.len());
        // The rest of an upload is no line of the next head.
        let Some(before) = self.conn.first_line.get().filter(|_| !self.conn.rest.get()) else { return true };
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let length = before + end.unwrap_or(bytes.len());
        self.conn.first_line.set(end.is_none().then_some(length));
        let alone = self.conn.phase.get() == ConnPhase::Head && self.conn.flushed.get();
        if alone && length >= self.conn.first_line_limit.get() {
            self.conn.signal(ConnSignal::LongTarget);
            return false;
        }
        true
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        let Poll::Ready(result) = polled else { return };
        let bytes = *result.as_ref().unwrap_or(&0);
        if self.conn.phase.get() == ConnPhase::Tunnel {
            let (up, down) = self.conn.tunnelled.get();
            self.conn.tunnelled.set((up, down + bytes as u64));
        }
        self.conn.touch(true, bytes);
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.before.is_empty() {
            let n = this.before.len().min(buf.remaining());
            let bytes = this.before.split_to(n);
            buf.put_slice(&bytes);
            return if this.saw(&bytes) { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let start = buf.filled().len();
        let polled = match &mut this.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if polled.is_ready() {
            let bytes = buf.filled().get(start..).unwrap_or_default();
            if bytes.is_empty() && matches!(polled, Poll::Ready(Ok(()))) && this.conn.awaits_answer() {
                this.conn.ended.set(true);
                return Poll::Pending;
            }
            if !this.saw(bytes) {
                return Poll::Pending;
            }
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
        this.wrote(&polled);
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
        this.wrote(&polled);
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
        if polled.is_ready() {
            this.conn.flushed.set(true);
        }
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
