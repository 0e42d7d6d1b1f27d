//! Upgraded streams (WebSocket and whatever else follows a 101), and connections that are not HTTP: bytes in both
//! directions until either side ends or both are silent for too long. A tunnel begins after the endpoint's 101, never on the request (CVE-2026-2833).

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use thalweg_core::Tick;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::{sleep, timeout},
};

use crate::data::{
    conn::{ClientConn, ConnSignal},
    deadline::Deadline,
    inbox::Inbox,
    link::Http1Link,
    peer::Peer,
    settle::RequestRecord,
    splice::Pipes,
    websocket::{Framed, SERVICE_RESTART},
};

mod copy;

use copy::BothWays;
pub use copy::TunnelIo;

/// How long a client that was told to leave may take for its last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The endpoint's end of an upgraded stream, and what must be settled when it ends.
#[derive(Debug)]
pub struct UpstreamEnd {
    /// The connection; what it has read belongs to the stream.
    pub link: Http1Link,
    /// Longest silence of both sides together.
    pub idle: Duration,
    /// The request's deadline.
    pub deadline: Rc<Deadline>,
    /// The request's record.
    pub record: Box<RequestRecord>,
    /// Keeps the stream in flight at its endpoint.
    pub slot: InFlightSlot,
    /// The stream is a WebSocket (RFC 6455).
    pub websocket: bool,
    /// The worker's pipes.
    pub pipes: Rc<Pipes>,
}

/// An upgraded stream's place among the requests in flight at its endpoint; released when dropped.
#[derive(Debug)]
pub struct InFlightSlot {
    peer: Rc<Peer>,
    /// The stream's number at the endpoint.
    nth: u32,
}

impl InFlightSlot {
    /// Takes a slot at `peer`.
    #[must_use]
    pub fn new(peer: &Rc<Peer>) -> Self {
        peer.enter();
        Self { nth: peer.meters.streams.begin(), peer: Rc::clone(peer) }
    }
}

impl InFlightSlot {
    /// Waits until the operator's drain of the endpoint ends the stream.
    async fn told(&self, clock: &Cell<Tick>) {
        self.peer.meters.streams.told(self.nth, clock).await;
    }
}

impl Drop for InFlightSlot {
    fn drop(&mut self) {
        self.peer.meters.streams.end();
        self.peer.exit();
    }
}

/// The client's side of an upgraded stream, apart from its bytes: a connection of its own, or a stream of one.
pub trait ClientSide {
    /// Takes the signal for the stream, and keeps the waker for the next one.
    fn take_signal(&self, cx: &mut Context<'_>) -> ConnSignal;

    /// Ready when the client has broken the stream off, which reading alone may not tell.
    fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Bytes from and to the client.
    fn passed(&self) -> (u64, u64);

    /// The worker's coarse clock.
    fn clock(&self) -> &Cell<Tick>;

    /// Whether the stream is a connection that is not HTTP.
    fn is_tcp(&self) -> bool {
        false
    }
}

impl ClientSide for ClientConn {
    fn take_signal(&self, cx: &mut Context<'_>) -> ConnSignal {
        self.take_signal(cx)
    }

    fn poll_reset(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn passed(&self) -> (u64, u64) {
        self.tunnelled.get()
    }

    fn clock(&self) -> &Cell<Tick> {
        &self.clock
    }

    fn is_tcp(&self) -> bool {
        self.tcp.get()
    }
}

/// How a stream ended.
enum StreamEnd {
    /// Both sides have closed it, or one of them broke it off.
    Over(io::Result<()>),
    /// Both sides were silent for too long, or the worker ends.
    Cut,
    /// A drain ends it: of this edge, or of the endpoint.
    Told,
}

/// Settles the request with what has passed, also when its stream is dropped with its connection.
struct Settling<'a, S: ClientSide> {
    record: Box<RequestRecord>,
    side: &'a S,
    error: Option<&'static str>,
}

impl<S: ClientSide> Drop for Settling<'_, S> {
    fn drop(&mut self) {
        self.record.finish_tunnel(self.side.passed(), self.error);
    }
}

/// Passes bytes both ways until the stream ends. A stream that a drain ends is told so, if it is a WebSocket, between two
/// frames. `early`: what the client has sent behind its request. Returns what broke the stream off, as the access log says
/// it; `None` = it has come to an orderly end.
pub async fn pass_through<C, S>(
    client: &mut C,
    early: Option<Inbox>,
    end: Box<UpstreamEnd>,
    side: &S,
) -> Option<&'static str>
where
    C: TunnelIo,
    S: ClientSide,
{
    let UpstreamEnd { mut link, idle, deadline, record, slot, websocket, pipes } = *end;
    let mut settling = Settling { record, side, error: Some("reset") };
    let between = Cell::new(true);
    let ended = {
        let mut framed = Framed::new(client, &between, websocket);
        let of_endpoint = link.inbox.take();
        let of_client = early.unwrap_or_else(|| link.inbox.take());
        let mut bytes = BothWays::new(of_client, of_endpoint, &pipes);
        let mut told = pin!(slot.told(side.clock()));
        deadline.silent_for(idle);
        let (mut leaves, mut grace) = (false, None);
        poll_fn(|cx| {
            if let Poll::Ready(done) = bytes.poll(&mut framed, &mut link.io, cx) {
                return Poll::Ready(StreamEnd::Over(done));
            }
            if side.poll_reset(cx).is_ready() {
                return Poll::Ready(StreamEnd::Over(Err(io::ErrorKind::ConnectionReset.into())));
            }
            let signal = side.take_signal(cx);
            if signal == ConnSignal::Kill || deadline.poll(cx).is_ready() {
                return Poll::Ready(StreamEnd::Cut);
            }
            leaves = leaves || signal == ConnSignal::Graceful || told.as_mut().poll(cx).is_ready();
            if !leaves {
                return Poll::Pending;
            }
            // Inside a frame, the rest of it comes first, if it comes.
            let inside = websocket && !between.get();
            let late = grace.get_or_insert_with(|| Box::pin(sleep(LAST_WORDS))).as_mut().poll(cx);
            if inside && late.is_pending() { Poll::Pending } else { Poll::Ready(StreamEnd::Told) }
        })
        .await
    };
    settling.error = match ended {
        StreamEnd::Over(Ok(_)) => None,
        StreamEnd::Over(Err(_)) => {
            if side.is_tcp() {
                // An orderly end would look like the end of the stream.
                link.io.reset_on_close();
            }
            Some("reset")
        }
        StreamEnd::Cut => Some("timeout"),
        StreamEnd::Told => {
            settling.error = None;
            // Whatever fails here, the stream is over.
            let close_frame = websocket && between.get();
            let _ = timeout(LAST_WORDS, take_leave(client, &mut link.io, close_frame)).await;
            None
        }
    };
    settling.error
}

/// Closes the edge's side (a WebSocket by a Close frame, which only fits between two others), and lets the client's last
/// words (a WebSocket's own Close frame) reach the endpoint.
async fn take_leave(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    upstream: &mut (impl AsyncWrite + Unpin),
    close_frame: bool,
) -> io::Result<()> {
    if close_frame {
        client.write_all(&SERVICE_RESTART).await?;
        client.flush().await?;
    } else {
        client.shutdown().await?;
    }
    tokio::io::copy(client, upstream).await?;
    client.shutdown().await
}
