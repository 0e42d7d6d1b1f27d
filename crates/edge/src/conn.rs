//! One client connection as the worker sees it: what it is doing, since when, and what it has been told to do.
//! The I/O wrapper underneath hyper keeps that true by watching bytes go by. Never interprets HTTP beyond telling
//! that a head has begun and how long its first line is.

use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderValue;
use thalweg_core::Tick;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

use crate::{coalesce::as_one, tunnel::UpstreamEnd};

/// Gap between looks at a first segment that is too short to tell protocols apart.
const PEEK_AGAIN: Duration = Duration::from_millis(5);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing has arrived since the last answer.
    Idle,
    /// Some bytes of a request head have arrived.
    Head,
    /// At least one request is being served.
    Busy,
    /// HTTP has ended: bytes pass both ways.
    Tunnel,
}

/// What the worker tells a connection to do at its next poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Nothing.
    #[default]
    None,
    /// Give the memory of an idle HTTP/1.1 connection back until it speaks again.
    Park,
    /// Finish what is under way, then close.
    Graceful,
    /// The head took too long: answer 408 and close.
    HeaderTimeout,
    /// The target is too long: answer 414 and close.
    LongTarget,
    /// Close now.
    Kill,
}

/// One client connection.
#[derive(Debug)]
pub struct ClientConn {
    /// The configured name of its listener.
    pub listener: Arc<str>,
    /// Its number in this worker's list of names.
    pub listener_number: u32,
    /// The client.
    pub peer: SocketAddr,
    /// The client's address as a field value.
    pub client: HeaderValue,
    /// TLS version, if any.
    pub tls: Cell<Option<&'static str>>,
    /// HTTP/2 is spoken.
    pub http2: Cell<bool>,
    /// Over `max_connections`: its request is answered 503 `overloaded`.
    pub surplus: bool,
    /// What it is doing.
    pub phase: Cell<Phase>,
    /// Since when.
    pub since: Cell<Tick>,
    /// When bytes last went either way.
    pub progress: Cell<Tick>,
    /// Everything written so far has left our buffers.
    pub flushed: Cell<bool>,
    /// Parked: no hyper state is kept.
    pub parked: Cell<bool>,
    /// The client has closed its sending side while it waits for an answer.
    pub ended: Cell<bool>,
    /// An HTTP/1.1 upload has not been read to its end.
    pub uploading: Cell<bool>,
    /// Its client may still be sending when we close.
    pub lingers: Cell<bool>,
    /// Bytes of a head's first line so far; `None` = it has ended.
    first_line: Cell<Option<usize>>,
    /// Of a first line as long as this, the target is too long; HTTP/1.1 only.
    pub first_line_limit: Cell<usize>,
    /// Bytes from and to the client since HTTP ended.
    pub tunnelled: Cell<(u64, u64)>,
    /// The other end of an upgraded stream, left here by the request that upgraded.
    pub upgrade: RefCell<Option<UpstreamEnd>>,
    serving: Cell<u32>,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
    /// The worker's coarse clock.
    pub clock: Rc<Cell<Tick>>,
}

impl ClientConn {
    /// A connection that was just accepted on listener `(number, name)`.
    #[must_use]
    pub fn new(
        listener: (u32, Arc<str>),
        peer: SocketAddr,
        surplus: bool,
        clock: Rc<Cell<Tick>>,
    ) -> Rc<Self> {
        let now = clock.get();
        let ip = peer.ip().to_canonical();
        Rc::new(Self {
            listener: listener.1,
            listener_number: listener.0,
            client: HeaderValue::from_str(&ip.to_string())
                .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            peer,
            tls: Cell::new(None),
            http2: Cell::new(false),
            surplus,
            phase: Cell::new(Phase::Idle),
            since: Cell::new(now),
            progress: Cell::new(now),
            flushed: Cell::new(true),
            parked: Cell::new(false),
            lingers: Cell::new(false),
            ended: Cell::new(false),
            uploading: Cell::new(false),
            first_line: Cell::new(Some(0)),
            first_line_limit: Cell::new(usize::MAX),
            tunnelled: Cell::new((0, 0)),
            upgrade: RefCell::new(None),
            serving: Cell::new(0),
            order: Cell::new(Order::None),
            waker: RefCell::new(None),
            clock,
        })
    }

    /// Leaves an order and wakes the connection's task. A weaker order never replaces a stronger one.
    pub fn order(&self, order: Order) {
        if order as u8 > self.order.get() as u8 {
            self.order.set(order);
        }
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Takes the pending order, and remembers whom to wake for the next.
    pub fn take_order(&self, cx: &Context<'_>) -> Order {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(known) => known.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        self.order.take()
    }

    /// A request reached the service.
    pub fn begin(&self) {
        self.serving.set(self.serving.get() + 1);
        self.enter(Phase::Busy);
    }

    /// Its answer has been produced to the last byte (or was given up).
    pub fn end(&self) {
        self.serving.set(self.serving.get().saturating_sub(1));
        if self.serving.get() == 0 {
            self.flushed.set(false);
            if self.uploading.replace(false) {
                // What comes next may be the rest of the upload, which has no lines.
                self.first_line_limit.set(usize::MAX);
            }
            self.first_line.set(Some(0));
            self.enter(Phase::Idle);
        }
    }

    /// Its request upgraded: from now on an end is an end, and `early` bytes of the stream have been read.
    pub fn tunnel(&self, early: usize) {
        self.tunnelled.set((early as u64, 0));
        self.enter(Phase::Tunnel);
    }

    /// It has its answers and will send no more.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.ended.get() && self.flushed.get()
    }

    /// Its buffers can be taken away: nothing is under way in either direction.
    #[must_use]
    pub fn can_park(&self) -> bool {
        self.tls.get().is_none() && !self.http2.get() && !self.parked.get() && self.flushed.get()
    }

    /// A client that closes its sending side after its request has only said that it will send no more: it still
    /// gets its answer. So that end is kept from hyper, which would give the request up. (A reset is an error, not
    /// an end: hyper sees it, and gives the request up. An upload that ends too early is found by the sweep.)
    fn awaits_answer(&self) -> bool {
        !self.http2.get() && (self.phase.get() == Phase::Busy || !self.flushed.get())
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.clock.get());
    }

    fn touch(&self) {
        self.progress.set(self.clock.get());
    }
}

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

    /// `false` = hyper must not see them: an order was left instead.
    fn saw(&self, bytes: &[u8]) -> bool {
        match self.conn.phase.get() {
            // Between two streams, HTTP/2 speaks of its settings and sends its pings: no head.
            Phase::Idle if !bytes.is_empty() && !self.conn.http2.get() => self.conn.enter(Phase::Head),
            Phase::Tunnel => {
                let (up, down) = self.conn.tunnelled.get();
                self.conn.tunnelled.set((up + bytes.len() as u64, down));
            }
            _ => {}
        }
        self.conn.touch();
        let Some(before) = self.conn.first_line.get() else { return true };
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let length = before + end.unwrap_or(bytes.len());
        self.conn.first_line.set(end.is_none().then_some(length));
        let fits = length < self.conn.first_line_limit.get() || self.conn.phase.get() != Phase::Head;
        if !fits {
            self.conn.order(Order::LongTarget);
        }
        fits
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        let Poll::Ready(result) = polled else { return };
        if self.conn.phase.get() == Phase::Tunnel {
            let (up, down) = self.conn.tunnelled.get();
            self.conn.tunnelled.set((up, down + result.as_ref().map_or(0, |n| *n as u64)));
        }
        self.conn.touch();
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
