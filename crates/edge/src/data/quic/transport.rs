//! QUIC for the `h3` crate, over quinn.
//!
//! Why not `h3-quinn`: it lets nobody see whether a client has taken an answer to its end or has stopped it, it panics when
//! a stream is stopped while it is read, it finishes a stream that is dropped in the middle of an answer, and it has no place for the
//! guard over frames ([`super::frames`]).

use std::{
    fmt,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h3::{
    error::Code,
    quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf},
};
use quinn::{ConnectionError, ReadError, RecvStream, SendStream, StoppedError, VarInt, WriteError};

use super::frames::{FrameError, FrameGuard};

type Waiting<T> = Pin<Box<dyn Future<Output = T>>>;

/// One connection.
pub struct Transport {
    quic: quinn::Connection,
    bidirectional: Waiting<Result<(SendStream, RecvStream), ConnectionError>>,
    unidirectional: Waiting<Result<RecvStream, ConnectionError>>,
    opening: Option<Waiting<Result<SendStream, ConnectionError>>>,
    /// Most bytes of a frame other than DATA.
    frame_bytes: u64,
    refuses: bool,
    watch: Option<StreamWatch>,
}

impl Transport {
    /// A connection whose handshake is over. Frames other than DATA may have so many bytes.
    #[must_use]
    pub fn new(quic: quinn::Connection, frame_bytes: u64) -> Self {
        let bidirectional = accept_bidirectional(quic.clone());
        let unidirectional = accept_unidirectional(quic.clone());
        Self { quic, bidirectional, unidirectional, opening: None, frame_bytes, refuses: false, watch: None }
    }

    /// From now on, streams that the client opens are refused: their requests have not been looked at.
    pub fn refuse_streams(&mut self) {
        self.refuses = true;
    }

    /// What may be seen of the stream that was accepted last.
    pub fn watch(&mut self) -> Option<StreamWatch> {
        self.watch.take()
    }
}

fn accept_bidirectional(
    quic: quinn::Connection,
) -> Waiting<Result<(SendStream, RecvStream), ConnectionError>> {
    Box::pin(async move { quic.accept_bi().await })
}

fn accept_unidirectional(quic: quinn::Connection) -> Waiting<Result<RecvStream, ConnectionError>> {
    Box::pin(async move { quic.accept_uni().await })
}

/// The fate of what goes out on one stream.
pub struct StreamWatch {
    /// `None` once it is known.
    stopped: Option<Waiting<Result<Option<VarInt>, StoppedError>>>,
    resets: Arc<AtomicBool>,
}

impl fmt::Debug for StreamWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWatch").field("known", &self.stopped.is_none()).finish()
    }
}

impl StreamWatch {
    /// From now on, a stream that is dropped without an end is reset: what went out is not all.
    pub fn resets_when_dropped(&self) {
        self.resets.store(true, Relaxed);
    }

    /// Ready when the client has stopped the stream or is gone, and when it has acknowledged all of a stream that ended.
    pub fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(stopped) = &mut self.stopped {
            let _ = ready!(stopped.as_mut().poll(cx));
            self.stopped = None;
        }
        Poll::Ready(())
    }
}

impl<B: Buf> quic::OpenStreams<B> for Transport {
    type BidiStream = Both<B>;
    type SendStream = Out<B>;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Self::BidiStream, StreamErrorIncoming>> {
        // A server opens none (RFC 9114 section 6.1).
        let connection_error =
            ConnectionErrorIncoming::InternalError("a server opens no requests".to_owned());
        Poll::Ready(Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error }))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::SendStream, StreamErrorIncoming>> {
        let quic = &self.quic;
        let opening = self.opening.get_or_insert_with(|| {
            let quic = quic.clone();
            Box::pin(async move { quic.open_uni().await })
        });
        let opened = ready!(opening.as_mut().poll(cx));
        self.opening = None;
        Poll::Ready(match opened {
            Ok(stream) => Ok(Out::new(stream, Arc::default())),
            Err(error) => Err(lost(error)),
        })
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.quic.close(number(code.value()), reason);
    }
}

impl<B: Buf> quic::Connection<B> for Transport {
    type RecvStream = In;
    type OpenStreams = Self;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::RecvStream, ConnectionErrorIncoming>> {
        let accepted = ready!(self.unidirectional.as_mut().poll(cx));
        self.unidirectional = accept_unidirectional(self.quic.clone());
        let guard = FrameGuard::unidirectional(self.frame_bytes);
        Poll::Ready(accepted.map(|stream| In::new(stream, guard)).map_err(ended))
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::BidiStream, ConnectionErrorIncoming>> {
        loop {
            let accepted = ready!(self.bidirectional.as_mut().poll(cx));
            self.bidirectional = accept_bidirectional(self.quic.clone());
            let (mut out, mut received) = accepted.map_err(ended)?;
            if self.refuses {
                let code = number(Code::H3_REQUEST_REJECTED.value());
                // Errors mean that the client has given the stream up.
                let _ = (out.reset(code), received.stop(code));
                continue;
            }
            let resets = Arc::<AtomicBool>::default();
            let stopped = Box::pin(out.stopped());
            self.watch = Some(StreamWatch { stopped: Some(stopped), resets: Arc::clone(&resets) });
            let guard = FrameGuard::request(self.frame_bytes);
            return Poll::Ready(Ok(Both { out: Out::new(out, resets), received: In::new(received, guard) }));
        }
    }

    fn opener(&self) -> Self::OpenStreams {
        Self::new(self.quic.clone(), self.frame_bytes)
    }
}

/// A stream in both directions.
pub struct Both<B> {
    out: Out<B>,
    received: In,
}

impl<B: Buf> quic::BidiStream<B> for Both<B> {
    type SendStream = Out<B>;
    type RecvStream = In;

    fn split(self) -> (Self::SendStream, Self::RecvStream) {
        (self.out, self.received)
    }
}

impl<B: Buf> quic::SendStream<B> for Both<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.out.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.out.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.out.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.out.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.out.send_id()
    }
}

impl<B> quic::RecvStream for Both<B> {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.received.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.received.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.received.recv_id()
    }
}

/// What goes out on a stream.
pub struct Out<B> {
    stream: SendStream,
    writing: Option<WriteBuf<B>>,
    began: bool,
    ended: bool,
    resets: Arc<AtomicBool>,
}

impl<B> Out<B> {
    const fn new(stream: SendStream, resets: Arc<AtomicBool>) -> Self {
        Self { stream, writing: None, began: false, ended: false, resets }
    }
}

impl<B: Buf> quic::SendStream<B> for Out<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while let Some(data) = self.writing.as_mut().filter(|data| data.has_remaining()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, data.chunk()));
            data.advance(written.map_err(unwritable)?);
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.began = true;
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.ended = true;
        Poll::Ready(self.stream.finish().map_err(|error| StreamErrorIncoming::Unknown(Box::new(error))))
    }

    fn reset(&mut self, code: u64) {
        self.ended = true;
        // An error means that the stream is over.
        let _ = self.stream.reset(number(code));
    }

    fn send_id(&self) -> StreamId {
        id(self.stream.id())
    }
}

impl<B> Drop for Out<B> {
    fn drop(&mut self) {
        // What the library answers by itself is whole: a 431 without content.
        if !self.ended && (self.resets.load(Relaxed) || !self.began) {
            let _ = self.stream.reset(number(Code::H3_INTERNAL_ERROR.value()));
        }
    }
}

/// What a client sends on a stream.
pub struct In {
    stream: RecvStream,
    guard: FrameGuard,
    ended: bool,
}

impl In {
    const fn new(stream: RecvStream, guard: FrameGuard) -> Self {
        Self { stream, guard, ended: false }
    }
}

impl quic::RecvStream for In {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        // The future holds nothing between two polls.
        let read = ready!(pin!(self.stream.read_chunk(usize::MAX, true)).poll(cx));
        let refused = |error| {
            let code = match error {
                FrameError::TooLong => Code::H3_EXCESSIVE_LOAD,
                FrameError::Truncated => Code::H3_FRAME_ERROR,
            };
            StreamErrorIncoming::StreamTerminated { error_code: code.value() }
        };
        Poll::Ready(match read {
            Ok(Some(chunk)) => self.guard.read(&chunk.bytes).map(|()| Some(chunk.bytes)).map_err(refused),
            Ok(None) => {
                self.ended = true;
                self.guard.end().map(|()| None).map_err(refused)
            }
            Err(error) => {
                self.ended = true;
                Err(unreadable(error))
            }
        })
    }

    fn stop_sending(&mut self, code: u64) {
        self.ended = true;
        // An error means that the stream is over.
        let _ = self.stream.stop(number(code));
    }

    fn recv_id(&self) -> StreamId {
        id(self.stream.id())
    }
}

impl Drop for In {
    fn drop(&mut self) {
        if !self.ended {
            // The answer does not need the rest (RFC 9114 section 4.1).
            let _ = self.stream.stop(number(Code::H3_NO_ERROR.value()));
        }
    }
}

fn number(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

fn id(stream: quinn::StreamId) -> StreamId {
    let id = StreamId::try_from(u64::from(VarInt::from(stream)));
    #[expect(
        clippy::expect_used,
        reason = "both are integers of 62 bits, and the crate makes an id in no other way"
    )]
    id.expect("a stream id")
}

fn ended(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into() }
        }
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}

fn lost(error: ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error: ended(error) }
}

fn unreadable(error: ReadError) -> StreamErrorIncoming {
    match error {
        ReadError::Reset(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into() },
        ReadError::ConnectionLost(error) => lost(error),
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}

fn unwritable(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into() },
        WriteError::ConnectionLost(error) => lost(error),
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}
