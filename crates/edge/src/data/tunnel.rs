//! Upgraded streams (WebSocket and whatever else follows a 101), and connections that are not HTTP: bytes in both directions until either side ends or
//! both are silent for too long. A tunnel begins after the endpoint's 101, never on the request (CVE-2026-2833).

use std::{cell::Cell, future::poll_fn, pin::pin, rc::Rc, task::Poll, time::Duration};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::{sleep, timeout},
};

use crate::data::{
    conn::{ClientConn, ClientIo, ConnSignal},
    deadline::Deadline,
    inbox::Inbox,
    link::Http1Link,
    peer::Peer,
    settle::RequestRecord,
    websocket::{Framed, SERVICE_RESTART},
};

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
    async fn told(&self, conn: &ClientConn) {
        self.peer.meters.streams.told(self.nth, &conn.clock).await;
    }
}

impl Drop for InFlightSlot {
    fn drop(&mut self) {
        self.peer.meters.streams.end();
        self.peer.exit();
    }
}

/// How a stream ended.
enum StreamEnd {
    /// Both sides have closed it, or one of them broke it off.
    Over(std::io::Result<(u64, u64)>),
    /// Both sides were silent for too long, or the worker ends.
    Cut,
    /// A drain ends it: of this edge, or of the endpoint.
    Told,
}

/// Passes bytes both ways until the stream ends. A stream that a drain ends is told so, if it is a WebSocket, between two
/// frames. `early`: what the client has sent behind its request.
pub async fn pass_through(mut client: ClientIo, early: Inbox, end: Box<UpstreamEnd>, conn: &ClientConn) {
    conn.tunnel(early.unread().len());
    let mut end = *end;
    let Http1Link { io: upstream, inbox, .. } = &mut end.link;
    let between = Cell::new(true);
    let ended = {
        let mut framed = Framed::new(&mut client, &between, end.websocket);
        let mut copying = pin!(async {
            upstream.write_all(early.unread()).await?;
            drop(early);
            framed.write_all(inbox.unread()).await?;
            inbox.consume(usize::MAX);
            framed.flush().await?;
            tokio::io::copy_bidirectional_with_sizes(&mut framed, upstream, 16 * 1024, 16 * 1024).await
        });
        let mut told = pin!(end.slot.told(conn));
        end.deadline.silent_for(end.idle);
        let (mut leaves, mut grace) = (false, None);
        poll_fn(|cx| {
            if let Poll::Ready(done) = copying.as_mut().poll(cx) {
                return Poll::Ready(StreamEnd::Over(done));
            }
            let signal = conn.take_signal(cx);
            if signal == ConnSignal::Kill || end.deadline.poll(cx).is_ready() {
                return Poll::Ready(StreamEnd::Cut);
            }
            leaves = leaves || signal == ConnSignal::Graceful || told.as_mut().poll(cx).is_ready();
            if !leaves {
                return Poll::Pending;
            }
            // Inside a frame, the rest of it comes first, if it comes.
            let inside = end.websocket && !between.get();
            let late = grace.get_or_insert_with(|| Box::pin(sleep(LAST_WORDS))).as_mut().poll(cx);
            if inside && late.is_pending() { Poll::Pending } else { Poll::Ready(StreamEnd::Told) }
        })
        .await
    };
    let error = match ended {
        StreamEnd::Over(Ok(_)) => None,
        StreamEnd::Over(Err(_)) => {
            if conn.tcp.get() {
                // An orderly end would look like the end of the stream, to the side that has not broken it off.
                client.reset_on_close();
                end.link.io.reset_on_close();
            }
            Some("reset")
        }
        StreamEnd::Cut => Some("timeout"),
        StreamEnd::Told => {
            // Whatever fails here, the stream is over.
            let close_frame = end.websocket && between.get();
            let _ = timeout(LAST_WORDS, take_leave(&mut client, &mut end.link.io, close_frame)).await;
            None
        }
    };
    end.record.finish_tunnel(conn.tunnelled.get(), error);
}

/// Closes the edge's side (a WebSocket by a Close frame, which only fits between two others), and lets the client's last
/// words (a WebSocket's own Close frame) reach the endpoint.
async fn take_leave(
    client: &mut ClientIo,
    upstream: &mut (impl AsyncWrite + Unpin),
    close_frame: bool,
) -> std::io::Result<()> {
    if close_frame {
        client.write_all(&SERVICE_RESTART).await?;
        client.flush().await?;
    } else {
        client.shutdown().await?;
    }
    tokio::io::copy(client, upstream).await?;
    client.shutdown().await
}
