//! The I/O wrapper underneath hyper: it tells its [`ClientConn`] what goes by. Of HTTP it knows where a head begins.
//! Changes no byte, and keeps back only an end that hyper would take for a client that has left.

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

/// The bytes underneath HTTP.
#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What hyper reads from and writes to.
#[derive(Debug)]
pub struct ClientIo {
    stream: Stream,
    conn: Rc<ClientConn>,
    /// Bytes that were read before and are to be read again.
    before: Bytes,
}

impl ClientIo {
    /// Plaintext.
    #[must_use]
    pub fn plain(stream: TcpStream, conn: Rc<ClientConn>) -> Self {
        Self { stream: Stream::Plain(stream), conn, before: Bytes::new() }
    }

    /// After a handshake.
    #[must_use]
    pub fn tls(stream: TlsStream<TcpStream>, conn: Rc<ClientConn>) -> Self {
        Self { stream: Stream::Tls(Box::new(stream)), conn, before: Bytes::new() }
    }

    /// Puts bytes back in front.
    pub fn rewind(&mut self, bytes: Bytes) {
        self.before = bytes;
    }

    /// Ready when a read would not block. Only plaintext tells without reading, and only by trying: a socket that was
    /// just accepted is reported readable before anything has come.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.stream {
            Stream::Plain(stream) if self.before.is_empty() => {
                stream.poll_peek(cx, &mut ReadBuf::new(&mut [0])).map(|peeked| peeked.map(|_| ()))
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Whether the first bytes are these; reads none. `None` = the client ended, or this is not plaintext.
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
                // Peeking again at once would spin: the kernel does not tell that one more byte has come.
                _ => tokio::time::sleep(PEEK_AGAIN).await,
            }
        }
    }

    /// `false` = hyper must not see them: a signal was left instead (never while an earlier answer is under way).
    fn saw(&self, bytes: &[u8]) -> bool {
        self.conn.trails.set(!bytes.ends_with(b"\r\n\r\n"));
        match self.conn.phase.get() {
            // Between two streams, HTTP/2 speaks of its settings and sends its pings: no head.
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
        // What may be the rest of an upload is no line of the next head.
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
