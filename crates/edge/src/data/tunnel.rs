//! Upgraded streams (WebSocket and whatever else follows a 101): bytes in both directions until either side ends or
//! both are silent for too long. A tunnel begins after the endpoint's 101, never on the request (CVE-2026-2833).

use std::{rc::Rc, task::Poll, time::Duration};

use tokio::io::AsyncWriteExt;

use crate::data::{
    conn::{ClientConn, ClientIo, ConnSignal},
    deadline::Deadline,
    inbox::Inbox,
    link::Link,
    peer::Peer,
    settle::RequestRecord,
};

/// The endpoint's end of an upgraded stream, and what must be settled when it ends.
#[derive(Debug)]
pub struct UpstreamEnd {
    /// The connection; what it has read belongs to the stream.
    pub link: Link,
    /// Longest silence of both sides together.
    pub idle: Duration,
    /// The request's deadline.
    pub deadline: Rc<Deadline>,
    /// The request's record.
    pub record: Box<RequestRecord>,
    /// Keeps the stream in flight at its endpoint.
    pub slot: InFlightSlot,
}

/// An upgraded stream's place among the requests in flight at its endpoint; released when dropped.
#[derive(Debug)]
pub struct InFlightSlot(Rc<Peer>);

impl InFlightSlot {
    /// Takes a slot at `peer`.
    #[must_use]
    pub fn new(peer: &Rc<Peer>) -> Self {
        peer.enter();
        Self(Rc::clone(peer))
    }
}

impl Drop for InFlightSlot {
    fn drop(&mut self) {
        self.0.exit();
    }
}

/// Passes bytes both ways until the stream ends. `early`: what the client has sent behind its request.
pub async fn pass_through(mut client: ClientIo, early: Inbox, mut end: Box<UpstreamEnd>, conn: &ClientConn) {
    conn.tunnel(early.unread().len());
    let Link { io: upstream, inbox, .. } = &mut end.link;
    let opening = async {
        upstream.write_all(early.unread()).await?;
        drop(early);
        client.write_all(inbox.unread()).await?;
        inbox.consume(usize::MAX);
        client.flush().await?;
        tokio::io::copy_bidirectional_with_sizes(&mut client, upstream, 16 * 1024, 16 * 1024).await
    };
    let mut copying = std::pin::pin!(opening);
    end.deadline.silent_for(end.idle);
    let ended = std::future::poll_fn(|cx| match copying.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if conn.take_signal(cx) == ConnSignal::Kill || end.deadline.poll(cx).is_ready() => {
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
    end.record.finish_tunnel(conn.tunnelled.get(), error);
}
