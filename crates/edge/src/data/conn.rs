//! One client connection as the worker sees it: its phase, since when, and the signal it was sent. [`ClientIo`]
//! underneath hyper keeps this state true by watching the bytes that pass. Moves no bytes itself.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::HeaderValue;
use thalweg_core::Tick;

mod io;

pub use io::ClientIo;

/// Idle limit for connections accepted while their listener closes.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// Longest HTTP/2 write that counts as acknowledgements and window updates only.
const HOUSEKEEPING: usize = 256;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnPhase {
    /// Nothing has arrived since the last answer.
    Idle,
    /// A part of a request head has arrived.
    Head,
    /// At least one request is being served, or the rest of an upload is on its way.
    Busy,
    /// HTTP has ended: bytes pass in both directions.
    Tunnel,
}

/// A signal from the worker, taken by the connection at its next poll. Stronger signals have higher discriminants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnSignal {
    /// No signal.
    #[default]
    None,
    /// Give the buffers of an idle HTTP/1.1 connection back until more bytes arrive.
    Park,
    /// Finish the requests in flight, then close.
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
    /// The listener's number in this worker.
    pub listener_number: u32,
    /// The address of the client.
    pub client_addr: SocketAddr,
    /// The address of the client as a field value.
    pub client_field: HeaderValue,
    /// TLS version, if any.
    pub tls: Cell<Option<&'static str>>,
    /// Whether the connection speaks HTTP/2.
    pub http2: Cell<bool>,
    /// The connection is over `max_connections`: its request is answered 503 `overloaded`.
    pub surplus: bool,
    /// The current phase.
    pub phase: Cell<ConnPhase>,
    /// When the phase began.
    pub since: Cell<Tick>,
    /// When bytes last passed in either direction. In HTTP/2: when more than housekeeping was last sent.
    pub progress: Cell<Tick>,
    /// Everything written so far has left this process's buffers.
    pub flushed: Cell<bool>,
    /// The connection is parked: no state of hyper is kept.
    pub parked: Cell<bool>,
    /// The client has closed its sending side while it waits for an answer.
    pub ended: Cell<bool>,
    /// The connection was told to make room for others.
    pub shed: Cell<bool>,
    /// The last request's upload has not been read to its end, so the client may still be sending when the edge closes.
    pub lingers: Cell<bool>,
    /// The last read did not end with an empty line, so hyper may hold the beginning of another head.
    trails: Cell<bool>,
    /// Bytes of a head's first line so far; `None` after its end.
    first_line: Cell<Option<usize>>,
    /// A first line of this length has too long a target; HTTP/1.1 only.
    pub first_line_limit: Cell<usize>,
    /// Bytes from and to the client since HTTP ended.
    pub tunnelled: Cell<(u64, u64)>,
    serving: Cell<u32>,
    /// Number of requests that have begun.
    begun: Cell<u32>,
    /// Accepted from the queue of a socket that was already closing. The connection is told to close with its first
    /// answer: closing at once would drop a first request that is still on its way.
    pub accepted_while_closing: Cell<bool>,
    /// HTTP/1.1 uploads that are still on their way. The next request's upload may begin before the last piece of the
    /// previous one has been taken.
    uploads: Cell<u32>,
    /// The reader of such an upload has taken everything that has arrived.
    pub due: Cell<bool>,
    /// The next bytes may be the rest of an upload that is not read any more.
    rest: Cell<bool>,
    signal: Cell<ConnSignal>,
    waker: RefCell<Option<Waker>>,
    /// The worker's coarse clock.
    pub clock: Rc<Cell<Tick>>,
}

impl ClientConn {
    /// A connection that was just accepted on listener `(number, name)`.
    #[must_use]
    pub fn new(
        listener: (u32, Arc<str>),
        client_addr: SocketAddr,
        surplus: bool,
        clock: Rc<Cell<Tick>>,
    ) -> Rc<Self> {
        let now = clock.get();
        let ip = client_addr.ip().to_canonical();
        Rc::new(Self {
            listener: listener.1,
            listener_number: listener.0,
            client_field: HeaderValue::from_str(&ip.to_string())
                .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            client_addr,
            tls: Cell::new(None),
            http2: Cell::new(false),
            surplus,
            phase: Cell::new(ConnPhase::Idle),
            since: Cell::new(now),
            progress: Cell::new(now),
            flushed: Cell::new(true),
            parked: Cell::new(false),
            shed: Cell::new(false),
            lingers: Cell::new(false),
            ended: Cell::new(false),
            trails: Cell::new(false),
            first_line: Cell::new(Some(0)),
            first_line_limit: Cell::new(usize::MAX),
            tunnelled: Cell::new((0, 0)),
            serving: Cell::new(0),
            begun: Cell::new(0),
            accepted_while_closing: Cell::new(false),
            uploads: Cell::new(0),
            due: Cell::new(false),
            rest: Cell::new(false),
            signal: Cell::new(ConnSignal::None),
            waker: RefCell::new(None),
            clock,
        })
    }

    /// Leaves a signal and wakes the connection's task. A weaker signal never replaces a stronger one.
    pub fn signal(&self, signal: ConnSignal) {
        if signal as u8 > self.signal.get() as u8 {
            self.signal.set(signal);
        }
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Takes the pending signal and keeps the waker for the next one.
    pub fn take_signal(&self, cx: &Context<'_>) -> ConnSignal {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(known) => known.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        self.signal.take()
    }

    /// Ready when the connection was told to close now. Other signals stay.
    pub fn poll_killed(&self, cx: &Context<'_>) -> Poll<()> {
        match self.take_signal(cx) {
            ConnSignal::Kill => Poll::Ready(()),
            other => {
                self.signal.set(other);
                Poll::Pending
            }
        }
    }

    /// Whether the client has yet to send a complete head: its first, or one of which a part has arrived.
    #[must_use]
    pub fn is_headless(&self) -> bool {
        match self.phase.get() {
            ConnPhase::Head => !self.is_behind(),
            ConnPhase::Idle => self.begun.get() == 0,
            ConnPhase::Busy | ConnPhase::Tunnel => false,
        }
    }

    /// A request reached the service.
    pub fn begin(&self) {
        self.serving.set(self.serving.get() + 1);
        self.begun.set(self.begun.get().wrapping_add(1));
        self.enter(ConnPhase::Busy);
        if self.accepted_while_closing.get() {
            self.signal(ConnSignal::Graceful);
        }
    }

    /// A request's answer has been produced to its last byte, or was given up.
    pub fn end(&self) {
        self.serving.set(self.serving.get().saturating_sub(1));
        if self.serving.get() == 0 {
            self.flushed.set(false);
            // An answer may be complete before its upload: the next bytes are then no head. The request's deadline bounds
            // the wait for them.
            if !self.uploading() {
                self.be_idle();
            }
        }
    }

    /// A request has an upload. Returns the request's number on this connection. In HTTP/2 the upload concerns only its
    /// stream.
    pub fn upload_begins(&self) -> u32 {
        self.uploads.set(self.uploads.get() + u32::from(!self.http2.get()));
        self.due.set(false);
        self.begun.get()
    }

    /// The upload of this request has been read to its `end`, or is abandoned.
    pub fn upload_ends(&self, request: u32, end: bool) {
        if self.http2.get() {
            return;
        }
        self.uploads.set(self.uploads.get().saturating_sub(1));
        if end {
            // The next request may have begun by now, and its client may still be sending.
            self.lingers.set(self.lingers.get() && request != self.begun.get());
        } else {
            self.rest.set(true);
            self.signal(ConnSignal::None);
        }
        if self.phase.get() == ConnPhase::Busy && self.serving.get() == 0 && !self.uploading() {
            self.be_idle();
            self.signal(ConnSignal::None);
        }
    }

    /// Whether an upload has not been read to its end.
    #[must_use]
    pub fn uploading(&self) -> bool {
        self.uploads.get() > 0
    }

    /// Whether the rest of an upload is all that is still under way.
    #[must_use]
    pub fn only_uploads(&self) -> bool {
        self.uploading() && self.serving.get() == 0
    }

    /// HTTP has ended: later bytes are no lines, and an end is passed on as an end.
    pub fn closes(&self) {
        self.first_line_limit.set(usize::MAX);
        self.flushed.set(true);
    }

    fn be_idle(&self) {
        self.first_line.set(Some(0));
        self.enter(ConnPhase::Idle);
    }

    /// The connection's request upgraded: an end is now passed on as an end, and `early` bytes of the stream have been
    /// read.
    pub fn tunnel(&self, early: usize) {
        self.tunnelled.set((early as u64, 0));
        self.enter(ConnPhase::Tunnel);
    }

    /// Whether the client has all its answers and will send no more, or was accepted while its listener closed and has
    /// been silent since.
    #[must_use]
    pub fn has_left(&self, quiet: Duration) -> bool {
        (self.ended.get() && self.flushed.get()) || (self.accepted_while_closing.get() && quiet >= FIRST_WORD)
    }

    /// Whether the client has not yet taken the end of its last answer.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.http2.get() && !self.flushed.get()
    }

    /// Whether the buffers can be given back: nothing is under way in either direction. Over TLS, bytes that wait
    /// behind the last request can only be noticed by reading them, which parking forces.
    #[must_use]
    pub fn can_park(&self) -> bool {
        let quiet = self.flushed.get() && !self.rest.get();
        let good = self.tls.get().is_none() || self.trails.get();
        good && !self.http2.get() && !self.parked.get() && quiet
    }

    /// The buffers have been given back; their content is about to be read again.
    pub fn parks(&self) {
        self.trails.set(false);
    }

    /// Runs one poll of hyper. In the first poll after an upload was abandoned, hyper drops what has arrived of it, or
    /// closes.
    pub fn polled<R>(&self, poll: impl FnOnce() -> R) -> R {
        let rest = self.rest.get();
        let polled = poll();
        self.rest.set(self.rest.get() && !rest);
        polled
    }

    /// Whether an end of the client's sending side must be kept from hyper. A client that closes its sending side after
    /// a request has only said that it will send no more, and it still gets its answer; hyper would give the request
    /// up. A reset is an error, which hyper sees. The sweep finds an upload that ends too early.
    fn awaits_answer(&self) -> bool {
        let serves = self.phase.get() == ConnPhase::Busy && self.serving.get() > 0;
        !self.http2.get() && (serves || !self.flushed.get())
    }

    fn enter(&self, phase: ConnPhase) {
        self.phase.set(phase);
        self.since.set(self.clock.get());
    }

    /// Notes that bytes passed.
    fn touch(&self, outwards: bool, bytes: usize) {
        if !self.http2.get() || (outwards && bytes > HOUSEKEEPING) {
            self.progress.set(self.clock.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_end_of_an_upload_does_not_affect_the_next_request() {
        let conn = ClientConn::new((0, "l".into()), ([127, 0, 0, 1], 1).into(), false, Rc::default());
        let asks = || {
            conn.begin();
            conn.lingers.set(true);
            conn.upload_begins()
        };
        let first = asks();
        conn.end();
        let second = asks();
        conn.upload_ends(first, true);
        assert!(conn.lingers.get(), "the client may still be sending the second");
        conn.upload_ends(second, true);
        assert!(!conn.lingers.get());
    }
}
