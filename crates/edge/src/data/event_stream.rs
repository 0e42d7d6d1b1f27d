//! An answer of the type `text/event-stream` on its way to a client: when a drain ends it, and behind which of its bytes.
//! Says only when; the body that it belongs to ends, and with it, in the frames of HTTP/1.1 or HTTP/2, the answer.
//!
//! # Why an event stream is ended, and another long answer is not
//!
//! Its end is no loss: the client opens it anew, with the last event's id (WHATWG HTML, section 9.2.3), and meets another
//! endpoint. A download that ends early is a broken file.
//!
//! # Why between two events
//!
//! A client throws an incomplete event away. That loses nothing either where the server sends it again, but not every
//! server can. So the stream ends behind an empty line, if one comes within a second.

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use thalweg_wire::{AnswerHead, FieldName, Framing};
use tokio::time::{Sleep, sleep};

use crate::data::{conn::ClientConn, peer::Peer};

/// How long the end of an event is waited for.
const LAST_EVENT: Duration = Duration::from_secs(1);

/// One event stream. Counts among the streams of its endpoint and of its client's connection until it is dropped.
pub struct EventStream {
    peer: Rc<Peer>,
    conn: Rc<ClientConn>,
    /// Ready when the operator's drain of the endpoint ends the stream.
    drained: Pin<Box<dyn Future<Output = ()>>>,
    /// What is left of the time for the current event, once the stream is to end.
    grace: Option<Pin<Box<Sleep>>>,
    /// The last bytes that have passed.
    tail: [u8; 3],
    waker: Option<Waker>,
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream").field("tail", &self.tail).finish_non_exhaustive()
    }
}

/// Is this answer an event stream whose end the client can tell from a loss of the connection?
#[must_use]
pub fn is_event_stream(head: &AnswerHead) -> bool {
    const TYPE: &[u8] = b"text/event-stream";
    let is = |value: &[u8]| value.get(..TYPE.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(TYPE));
    matches!(head.framing(), Framing::Chunked | Framing::UntilClose)
        && head.fields().all(FieldName::ContentType).any(is)
}

impl EventStream {
    /// The stream of an answer from `peer` on a client's connection.
    #[must_use]
    pub fn new(peer: &Rc<Peer>, conn: &Rc<ClientConn>) -> Self {
        conn.endless_streams.set(conn.endless_streams.get() + 1);
        let (streams, clock) = (Rc::clone(peer), Rc::clone(&conn.clock));
        let nth = peer.meters.streams.begin();
        Self {
            peer: Rc::clone(peer),
            conn: Rc::clone(conn),
            drained: Box::pin(async move { streams.meters.streams.told(nth, &clock).await }),
            grace: None,
            tail: *b"\n\n\n",
            waker: None,
        }
    }

    /// Ready when the stream ends here: a drain of its endpoint or of the edge has its turn at it, and no event is under
    /// way, or none that ends soon.
    pub fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.conn.told.get() && self.grace.is_none() {
            if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                self.waker = Some(cx.waker().clone());
            }
            ready!(self.drained.as_mut().poll(cx));
        }
        let grace = self.grace.get_or_insert_with(|| Box::pin(sleep(LAST_EVENT)));
        let late = grace.as_mut().poll(cx);
        if is_between(self.tail) { Poll::Ready(()) } else { late }
    }

    /// Content has arrived.
    pub fn saw(&mut self, content: &[u8]) {
        self.tail = tail_of(self.tail, content);
    }

    /// Looks again whether the connection was told to end.
    pub fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// The last three bytes of what passed and of what follows it.
fn tail_of(before: [u8; 3], content: &[u8]) -> [u8; 3] {
    let [_, second, third] = before;
    match content {
        [.., a, b, c] => [*a, *b, *c],
        [a, b] => [third, *a, *b],
        [a] => [second, third, *a],
        [] => before,
    }
}

/// Do these last bytes end an empty line? Lines end with CR LF, LF, or CR.
fn is_between(tail: [u8; 3]) -> bool {
    matches!(tail, [_, b'\n', b'\n'] | [_, b'\r', b'\r'] | [b'\n', b'\r', b'\n'])
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.peer.meters.streams.end();
        self.conn.endless_streams.set(self.conn.endless_streams.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&str], between: bool) {
        let tail = pieces.iter().fold(*b"\n\n\n", |tail, piece| tail_of(tail, piece.as_bytes()));
        assert_eq!(is_between(tail), between, "{pieces:?}");
    }

    #[test]
    fn a_stream_is_between_two_events_behind_an_empty_line() {
        check(&[], true);
        check(&["data: 1\n\n"], true);
        check(&["data: 1\r\n\r\n"], true);
        check(&["data: 1\r\r"], true);
        check(&["data: 1\n", "\n"], true);
        check(&["data: 1\r", "\n\r", "\n"], true);
        check(&["data: 1", "\n\n", ""], true);
        check(&["data: 1\n"], false);
        check(&["data: 1\r\n"], false);
        check(&["data: 1\n\nda"], false);
    }
}
