//! Upgraded streams (WebSocket and whatever else follows a 101): bytes in both directions until either side ends or
//! both are silent for too long. A tunnel begins after the endpoint's 101, never on the request (CVE-2026-2833).

use std::{cell::RefCell, rc::Rc, task::Poll, time::Duration};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWriteExt;

use crate::data::{
    conn::{ClientConn, ClientIo, ConnSignal},
    deadline::Deadline,
    link::ActiveGuard,
    peer::Peer,
    settle::RequestRecord,
    upstream_io::Exit,
};

/// Where an upgraded request leaves the endpoint's end for its session. Each client connection has one, owned by the
/// session; whatever still lies here is settled when the session ends.
#[derive(Debug, Default)]
pub struct Handover(RefCell<Option<UpstreamEnd>>);

impl Handover {
    /// Leaves the endpoint's end here.
    pub fn put(&self, end: UpstreamEnd) {
        *self.0.borrow_mut() = Some(end);
    }

    /// Takes the upgraded stream, if there is one.
    #[must_use]
    pub fn take(&self) -> Option<UpstreamEnd> {
        self.0.borrow_mut().take()
    }

    /// Whether no request has upgraded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_none()
    }
}

/// The endpoint's end of an upgraded stream, and what must be settled when it ends.
#[derive(Debug)]
pub struct UpstreamEnd {
    /// Where the driver leaves the socket.
    pub exit: Rc<Exit>,
    /// Longest silence of both sides together.
    pub idle: Duration,
    /// The request's deadline.
    pub deadline: Rc<Deadline>,
    /// The request's record.
    pub record: Box<RequestRecord>,
    /// Keeps the connection counted as active.
    pub in_use: Option<ActiveGuard>,
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

/// Passes bytes both ways until the stream ends.
pub async fn pass_through(mut client: ClientIo, sent_early: Bytes, mut end: UpstreamEnd, conn: &ClientConn) {
    conn.tunnel(sent_early.len());
    let Some((mut upstream, answered_early)) = end.exit.taken().await else {
        return end.record.cut("reset");
    };
    let opening = async {
        upstream.write_all(sent_early.chunk()).await?;
        client.write_all(answered_early.chunk()).await?;
        tokio::io::copy_bidirectional_with_sizes(&mut client, &mut upstream, 16 * 1024, 16 * 1024).await
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
