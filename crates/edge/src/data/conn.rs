//! One client connection as the worker sees it: what it is doing, since when, and what it has been told to do.
//! [`ClientIo`] underneath hyper keeps that true by watching bytes go by. Moves no bytes itself.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use http::HeaderValue;
use thalweg_core::Tick;

mod io;

pub use io::ClientIo;

/// Idle limit for connections accepted while their listener closes.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// Longest write of HTTP/2 that is taken for acknowledgements and windows.
const HOUSEKEEPING: usize = 256;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnPhase {
    /// Nothing has arrived since the last answer.
    Idle,
    /// Some bytes of a request head have arrived.
    Head,
    /// At least one request is being served, or the rest of an upload is on its way.
    Busy,
    /// HTTP has ended: bytes pass both ways.
    Tunnel,
}

/// What the worker tells a connection to do at its next poll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnSignal {
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
    pub client_addr: SocketAddr,
    /// The client's address as a field value.
    pub client_field: HeaderValue,
    /// TLS version, if any.
    pub tls: Cell<Option<&'static str>>,
    /// HTTP/2 is spoken.
    pub http2: Cell<bool>,
    /// Over `max_connections`: its request is answered 503 `overloaded`.
    pub surplus: bool,
    /// What it is doing.
    pub phase: Cell<ConnPhase>,
    /// Since when.
    pub since: Cell<Tick>,
    /// When bytes last went either way; in HTTP/2, when more than its own housekeeping last went out.
    pub progress: Cell<Tick>,
    /// Everything written so far has left our buffers.
    pub flushed: Cell<bool>,
    /// Parked: no hyper state is kept.
    pub parked: Cell<bool>,
    /// The client has closed its sending side while it waits for an answer.
    pub ended: Cell<bool>,
    /// The last request's upload has not been read to its end: its client may still be sending when we close.
    pub lingers: Cell<bool>,
    /// What was read last did not end with an empty line: the beginning of a head may lie behind it, in hyper.
    trails: Cell<bool>,
    /// Bytes of a head's first line so far; `None` = it has ended.
    first_line: Cell<Option<usize>>,
    /// Of a first line as long as this, the target is too long; HTTP/1.1 only.
    pub first_line_limit: Cell<usize>,
    /// Bytes from and to the client since HTTP ended.
    pub tunnelled: Cell<(u64, u64)>,
    serving: Cell<u32>,
    /// How many requests have begun.
    begun: Cell<u32>,
    /// Accepted from the queue of a socket that was already closing. The connection is told to close with its first
    /// answer: closing at once would drop a first request that is still on its way.
    pub accepted_while_closing: Cell<bool>,
    /// HTTP/1.1 uploads that are still on their way: that of the next request may begin before the last piece of one
    /// has been taken.
    uploads: Cell<u32>,
    /// Whoever takes such an upload has taken all that has come of it.
    pub due: Cell<bool>,
    /// What comes next may be the rest of an upload that nobody reads.
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

    /// A request reached the service.
    pub fn begin(&self) {
        self.serving.set(self.serving.get() + 1);
        self.begun.set(self.begun.get().wrapping_add(1));
        self.enter(ConnPhase::Busy);
        if self.accepted_while_closing.get() {
            self.signal(ConnSignal::Graceful);
        }
    }

    /// Its answer has been produced to the last byte (or was given up).
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

    /// A request has an upload; gives the request's number here. In HTTP/2 it concerns its stream alone.
    pub fn upload_begins(&self) -> u32 {
        self.uploads.set(self.uploads.get() + u32::from(!self.http2.get()));
        self.due.set(false);
        self.begun.get()
    }

    /// That of this request has been read to its `end`, or is left where it is.
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

    /// An upload has not been read to its end.
    #[must_use]
    pub fn uploading(&self) -> bool {
        self.uploads.get() > 0
    }

    /// All that is still under way is the rest of an upload.
    #[must_use]
    pub fn only_uploads(&self) -> bool {
        self.uploading() && self.serving.get() == 0
    }

    /// HTTP has ended: what still comes has no lines, and an end is an end.
    pub fn closes(&self) {
        self.first_line_limit.set(usize::MAX);
        self.flushed.set(true);
    }

    fn be_idle(&self) {
        self.first_line.set(Some(0));
        self.enter(ConnPhase::Idle);
    }

    /// Its request upgraded: from now on an end is an end, and `early` bytes of the stream have been read.
    pub fn tunnel(&self, early: usize) {
        self.tunnelled.set((early as u64, 0));
        self.enter(ConnPhase::Tunnel);
    }

    /// It has its answers and will send no more; or it came late and has been silent for so long that nothing will come.
    #[must_use]
    pub fn has_left(&self, quiet: Duration) -> bool {
        (self.ended.get() && self.flushed.get()) || (self.accepted_while_closing.get() && quiet >= FIRST_WORD)
    }

    /// It has not taken the end of its last answer.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.http2.get() && !self.flushed.get()
    }

    /// Its buffers can be taken away: nothing is under way in either direction. What has come behind the last request
    /// is seen by that, too, as what it is; which is all that it is good for in TLS, where nothing waits without buffers.
    #[must_use]
    pub fn can_park(&self) -> bool {
        let quiet = self.flushed.get() && !self.rest.get();
        let good = self.tls.get().is_none() || self.trails.get();
        good && !self.http2.get() && !self.parked.get() && quiet
    }

    /// Its buffers have been taken away; what lay in them is about to be read again.
    pub fn parks(&self) {
        self.trails.set(false);
    }

    /// Runs one poll of hyper. In the first after an upload was left, hyper drops what has come of it, or closes.
    pub fn polled<R>(&self, poll: impl FnOnce() -> R) -> R {
        let rest = self.rest.get();
        let polled = poll();
        self.rest.set(self.rest.get() && !rest);
        polled
    }

    /// A client that closes its sending side after its request has only said that it will send no more: it still
    /// gets its answer. So that end is kept from hyper, which would give the request up. (A reset is an error, not
    /// an end: hyper sees it, and gives the request up. An upload that ends too early is found by the sweep, once
    /// somebody waits for the rest.)
    fn awaits_answer(&self) -> bool {
        let serves = self.phase.get() == ConnPhase::Busy && self.serving.get() > 0;
        !self.http2.get() && (serves || !self.flushed.get())
    }

    fn enter(&self, phase: ConnPhase) {
        self.phase.set(phase);
        self.since.set(self.clock.get());
    }

    /// So many bytes went by.
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
    fn an_upload_that_is_taken_late_says_nothing_about_that_of_the_next_request() {
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
