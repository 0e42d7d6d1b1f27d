//! A WebSocket on a stream of HTTP/2 (RFC 8441): its head in the form of an HTTP/1.1 handshake, and the stream as a socket
//! that the relay of upgraded connections reads and writes. Content waits with the client as long as the endpoint takes
//! none: nothing is buffered beyond one window.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;
use thalweg_core::Tick;
use thalweg_wire::{Fields, ProtocolError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::end::Http2End;
use crate::data::{
    conn::{ClientConn, ConnSignal},
    deadline::Deadline,
    headers::fields_of,
    tunnel::{self, ClientSide, TunnelIo, UpstreamEnd},
    websocket::{KEY, key},
};

/// The fields of an extended CONNECT, with a key of the edge's own in place of the client's.
///
/// # Errors
/// The rule that a field breaks.
pub(super) fn handshake_fields(map: &HeaderMap, random: (u64, u64)) -> Result<Fields, ProtocolError> {
    let mut map = map.clone();
    map.remove("sec-websocket-key");
    let mut fields = fields_of(&map)?;
    fields.push(KEY, key(random).as_bytes())?;
    Ok(fields)
}

/// An open WebSocket: a future that ends with its stream.
pub(super) struct WebSocketOut {
    side: Rc<WebSocketSide>,
    relaying: Pin<Box<dyn Future<Output = ()>>>,
}

impl WebSocketOut {
    /// Relays between the client's stream and the endpoint's connection.
    pub(super) fn new(
        (recv, send): (RecvStream, SendStream<Bytes>),
        http2: &Http2End,
        conn: &Rc<ClientConn>,
        end: Box<UpstreamEnd>,
    ) -> Self {
        let side = Rc::new(WebSocketSide::new(send, conn));
        let mut io = StreamIo {
            side: Rc::clone(&side),
            http2: http2.clone(),
            deadline: Rc::clone(&end.deadline),
            recv,
            piece: Bytes::new(),
        };
        let shared = Rc::clone(&side);
        let relaying = Box::pin(async move {
            let broken = tunnel::pass_through(&mut io, None, end, &*shared).await;
            shared.close(broken.is_none());
            io.http2.answered();
        });
        Self { side, relaying }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.relaying.as_mut().poll(cx)
    }

    /// The connection was told to end.
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.side.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// What the relay and the stream's bytes share. Counts among the streams of its client's connection until it is dropped.
struct WebSocketSide {
    send: RefCell<SendStream<Bytes>>,
    passed: Cell<(u64, u64)>,
    /// The end of the stream was sent.
    ended: Cell<bool>,
    conn: Rc<ClientConn>,
    waker: RefCell<Option<Waker>>,
}

impl WebSocketSide {
    fn new(send: SendStream<Bytes>, conn: &Rc<ClientConn>) -> Self {
        conn.endless_streams.set(conn.endless_streams.get() + 1);
        Self {
            send: RefCell::new(send),
            passed: Cell::default(),
            ended: Cell::new(false),
            conn: Rc::clone(conn),
            waker: RefCell::default(),
        }
    }

    /// Ends the stream as its socket ended: END_STREAM, or a reset in place of one (RFC 8441 section 5).
    fn close(&self, orderly: bool) {
        if !orderly {
            self.send.borrow_mut().send_reset(Reason::CANCEL);
        } else if !self.ended.replace(true) {
            // A client that has gone needs no end.
            let _ = self.send.borrow_mut().send_data(Bytes::new(), true);
        }
    }
}

impl Drop for WebSocketSide {
    fn drop(&mut self) {
        self.conn.endless_streams.set(self.conn.endless_streams.get().saturating_sub(1));
    }
}

impl ClientSide for WebSocketSide {
    fn take_signal(&self, cx: &mut Context<'_>) -> ConnSignal {
        match &mut *self.waker.borrow_mut() {
            Some(known) => known.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        // The connection's own signal is its session's.
        if self.conn.told.get() { ConnSignal::Graceful } else { ConnSignal::None }
    }

    fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.send.borrow_mut().poll_reset(cx).map(drop)
    }

    fn passed(&self) -> (u64, u64) {
        self.passed.get()
    }

    fn clock(&self) -> &Cell<Tick> {
        &self.conn.clock
    }
}

/// The client's stream as a socket.
struct StreamIo {
    side: Rc<WebSocketSide>,
    http2: Http2End,
    deadline: Rc<Deadline>,
    recv: RecvStream,
    /// What was received and not read yet.
    piece: Bytes,
}

impl TunnelIo for StreamIo {}

impl AsyncRead for StreamIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.piece.is_empty() {
            match ready!(self.recv.poll_data(cx)) {
                Some(piece) => self.piece = piece.map_err(io::Error::other)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let read = self.piece.len().min(buf.remaining());
        buf.put_slice(&self.piece.split_to(read));
        self.recv.flow_control().release_capacity(read).map_err(io::Error::other)?;
        let (up, down) = self.side.passed.get();
        self.side.passed.set((up + read as u64, down));
        self.deadline.moved();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut send = self.side.send.borrow_mut();
        send.reserve_capacity(bytes.len());
        while send.capacity() == 0 && !bytes.is_empty() {
            match ready!(send.poll_capacity(cx)) {
                Some(room) => _ = room.map_err(io::Error::other)?,
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let written = send.capacity().min(bytes.len());
        let piece = Bytes::copy_from_slice(bytes.get(..written).unwrap_or_default());
        send.send_data(piece, false).map_err(io::Error::other)?;
        self.http2.sent(written);
        let (up, down) = self.side.passed.get();
        self.side.passed.set((up, down + written as u64));
        self.deadline.moved();
        Poll::Ready(Ok(written))
    }

    /// Does nothing: the connection writes what its streams have said.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.side.close(true);
        Poll::Ready(Ok(()))
    }
}
