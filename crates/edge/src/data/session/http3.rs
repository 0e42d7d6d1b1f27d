//! HTTP/3 towards a client: the `h3` crate's connection and its streams in one task, each stream with the head type of
//! the wire engine.
//!
//! A drain says GOAWAY twice, as RFC 9114 section 5.2 advises: first that the connection is to end, and a round trip
//! later which streams were still accepted. What a client has opened after that is refused unread, so it can ask again
//! elsewhere.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, Stream as _};
use h3::{error::Code, server};
use quinn::VarInt;
use tokio::time::{Sleep, sleep, timeout};

use self::stream::{RequestTask, StreamFate};
use crate::data::{
    conn::{ClientConn, ConnSignal},
    local::Local,
    quic::{StreamWatch, Transport},
};

mod stream;

type Connection = server::Connection<Transport, Bytes>;
type Resolver = server::RequestResolver<Transport, Bytes>;

/// What the size of a field counts beside its name and value (RFC 9114 section 4.2.2).
const FIELD_OVERHEAD: u64 = 32;

/// Bytes of a head that is too large that the library still reads: the edge itself refuses it then, and says why.
const EXCESS: u64 = 16 * 1024;

/// Bounds on the time behind each of the two GOAWAYs of a drain.
const FAREWELL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Streams in the first GOAWAY: more than a client can open.
const ALL_STREAMS: usize = 1 << 60;

/// Serves HTTP/3 until the connection closes.
pub async fn http3(local: Rc<Local>, conn: Rc<ClientConn>, quic: quinn::Connection) {
    let limits = local.limits();
    let section = limits.header_bytes as u64 + FIELD_OVERHEAD * limits.header_count as u64 + EXCESS;
    let mut builder = server::builder();
    builder.max_field_section_size(section).send_grease(false);
    let opening = builder.build(Transport::new(quic.clone(), section));
    let Ok(Ok(mut connection)) = timeout(limits.header_timeout, opening).await else { return };
    let resets = (limits.h2_resets, limits.h2_resets);
    let mut session = Http3Session {
        local,
        conn,
        quic,
        streams: FuturesUnordered::new(),
        shutdown: ShutdownPhase::No,
        resets,
    };
    while session.step(&mut connection).await {}
    // Streams that are dropped here are reset; then the library says that the connection ends without an error.
}

/// One connection.
struct Http3Session {
    local: Rc<Local>,
    conn: Rc<ClientConn>,
    quic: quinn::Connection,
    streams: FuturesUnordered<RequestTask>,
    shutdown: ShutdownPhase,
    /// Streams that the client may still reset, and the most of them (CVE-2023-44487).
    resets: (u32, u32),
}

/// How far the shutdown is.
enum ShutdownPhase {
    No,
    /// The client knows; this long it may still open streams.
    Told(Pin<Box<Sleep>>),
    /// Streams that were accepted are served to their end, and no others. The client has this long to hear of it.
    Last(Pin<Box<Sleep>>),
    /// As before, and the client has heard of it.
    Heard,
}

/// What is to be done next.
enum Step {
    Request(Box<Resolver>, StreamWatch),
    Told,
    Last,
    Flood,
    End,
}

impl Http3Session {
    /// Waits for what happens next, and does it; `false` = the connection is to end.
    async fn step(&mut self, connection: &mut Connection) -> bool {
        match poll_fn(|cx| self.poll(connection, cx)).await {
            Step::Request(resolver, watch) => {
                let task = RequestTask::new(&self.local, &self.conn, *resolver, watch);
                self.streams.push(task);
                true
            }
            Step::Told => {
                self.streams.iter().for_each(RequestTask::wake);
                self.shutdown = ShutdownPhase::Told(self.round_trip());
                connection.shutdown(ALL_STREAMS).await.is_ok()
            }
            Step::Last => {
                self.shutdown = ShutdownPhase::Last(self.round_trip());
                connection.inner.conn.refuse_streams();
                // The library counts from the last stream that it has accepted; the next one is the first that it has not.
                connection.shutdown(1).await.is_ok()
            }
            Step::Flood => {
                self.local.meters().shed(&self.conn.listener, "http3_flood", 1);
                let code = VarInt::from_u64(Code::H3_EXCESSIVE_LOAD.value()).unwrap_or(VarInt::MAX);
                self.quic.close(code, b"");
                false
            }
            Step::End => false,
        }
    }

    fn round_trip(&self) -> Pin<Box<Sleep>> {
        Box::pin(sleep((self.quic.rtt() * 2).clamp(FAREWELL.0, FAREWELL.1)))
    }

    fn poll(&mut self, connection: &mut Connection, cx: &mut Context<'_>) -> Poll<Step> {
        match self.conn.take_signal(cx) {
            ConnSignal::None | ConnSignal::Park => {}
            ConnSignal::Graceful if matches!(self.shutdown, ShutdownPhase::No) => {
                return Poll::Ready(Step::Told);
            }
            ConnSignal::Graceful => {}
            ConnSignal::HeaderTimeout | ConnSignal::Kill => return Poll::Ready(Step::End),
        }
        while let Poll::Ready(Some(fate)) = Pin::new(&mut self.streams).poll_next(cx) {
            let (left, most) = self.resets;
            match fate {
                StreamFate::Answered => self.resets.0 = (left + 1).min(most),
                StreamFate::Reset if left == 0 => return Poll::Ready(Step::Flood),
                StreamFate::Reset => self.resets.0 = left - 1,
                StreamFate::Ended => {}
            }
        }
        match &mut self.shutdown {
            ShutdownPhase::No => {}
            ShutdownPhase::Told(pause) => {
                if pause.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Step::Last);
                }
            }
            ShutdownPhase::Last(pause) => {
                if pause.as_mut().poll(cx).is_ready() {
                    self.shutdown = ShutdownPhase::Heard;
                }
            }
            ShutdownPhase::Heard => {}
        }
        if matches!(self.shutdown, ShutdownPhase::Heard) && self.streams.is_empty() {
            return Poll::Ready(Step::End);
        }
        // The future holds nothing between two polls.
        let accepted = pin!(connection.accept()).poll(cx);
        match accepted {
            Poll::Ready(Ok(Some(resolver))) => match connection.inner.conn.watch() {
                Some(watch) => Poll::Ready(Step::Request(Box::new(resolver), watch)),
                None => Poll::Ready(Step::End),
            },
            // The library has told the client of an error by then.
            Poll::Ready(Ok(None) | Err(_)) => Poll::Ready(Step::End),
            Poll::Pending => Poll::Pending,
        }
    }
}
