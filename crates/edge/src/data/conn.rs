//! One client connection as the worker sees it: its phase, since when, and the signal it was sent. Its session and its
//! [`ClientIo`] keep this state true. Moves no bytes itself.

use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use thalweg_config::{Forwarders, Limits};
use thalweg_core::Tick;

use crate::{data::source::RequestSource, shared::client_certificate::ClientCertificate};

mod io;

pub use io::ClientIo;

/// Idle limit for connections accepted while their listener closes.
const FIRST_WORD: Duration = Duration::from_secs(1);

/// An HTTP/1.1 connection that has been idle this long gives its buffers back.
const PARK_AFTER: Duration = Duration::from_millis(100);

/// Longest HTTP/2 write that counts as acknowledgements and window updates only.
const HOUSEKEEPING: usize = 256;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnPhase {
    /// Nothing has arrived since the last answer.
    Idle,
    /// A part of a request head has arrived.
    Head,
    /// At least one request is being served.
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
    /// Give the state of an idle HTTP/1.1 connection back until more bytes arrive.
    Park,
    /// Finish the requests in flight, then close.
    Graceful,
    /// The head took too long: answer 408 and close.
    HeaderTimeout,
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
    source: RefCell<Rc<RequestSource>>,
    /// The peer is a trusted proxy, whose forwarding fields count by these rules.
    forwarders: RefCell<Option<Arc<Forwarders>>>,
    /// The trusted proxies of the listener.
    trusts: Option<Arc<Forwarders>>,
    /// TLS version, if any.
    pub tls: Cell<Option<&'static str>>,
    /// The client's verified certificate, if it has shown one. Set once, by the handshake.
    pub certificate: OnceCell<Box<ClientCertificate>>,
    /// Whether the connection is not HTTP.
    pub tcp: Cell<bool>,
    /// Whether the connection speaks HTTP/2 or HTTP/3: several requests at a time.
    pub http2: Cell<bool>,
    /// Whether the connection is one of QUIC.
    pub quic: Cell<bool>,
    /// What answers say about HTTP/3 on the same port, if it is spoken there. Set once, when the connection is accepted.
    pub alt_svc: OnceCell<Box<str>>,
    /// The connection is over `max_connections`: its request is answered 503 `overloaded`.
    pub surplus: bool,
    /// The current phase.
    pub phase: Cell<ConnPhase>,
    /// When the phase began.
    pub since: Cell<Tick>,
    /// When bytes last passed in either direction. In HTTP/2: when more than housekeeping was last sent.
    pub progress: Cell<Tick>,
    /// Bytes for the client wait in this process because the client takes none.
    pub behind: Cell<bool>,
    /// The connection is parked: it holds no state of HTTP.
    pub parked: Cell<bool>,
    /// The client has closed its sending side while it waits for an answer. The sweep wakes the session, which looks
    /// whether the client has closed the other side too.
    pub half_closed: Cell<bool>,
    /// The connection was told to make room for others.
    pub shed: Cell<bool>,
    /// A request has begun on it.
    has_begun: Cell<bool>,
    /// Bytes from and to the client since HTTP ended.
    pub tunnelled: Cell<(u64, u64)>,
    serving: Cell<u32>,
    /// Accepted from the queue of a socket that was already closing, or busy a moment before it was to end. The connection
    /// is told to close with its next answer: closing at once would drop a request that is still on its way.
    pub accepted_while_closing: Cell<bool>,
    /// It was told to end with what is under way on it.
    pub told: Cell<bool>,
    /// Streams on it that have no end of their own: event streams, and WebSockets over HTTP/2.
    pub endless_streams: Cell<u32>,
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
        (source, trusts): (RequestSource, Option<Arc<Forwarders>>),
        surplus: bool,
        clock: Rc<Cell<Tick>>,
    ) -> Rc<Self> {
        let now = clock.get();
        let conn = Self {
            listener: listener.1,
            listener_number: listener.0,
            source: RefCell::new(Rc::new(source)),
            forwarders: RefCell::default(),
            trusts,
            tls: Cell::new(None),
            certificate: OnceCell::new(),
            tcp: Cell::new(false),
            http2: Cell::new(false),
            quic: Cell::new(false),
            alt_svc: OnceCell::new(),
            surplus,
            phase: Cell::new(ConnPhase::Idle),
            since: Cell::new(now),
            progress: Cell::new(now),
            behind: Cell::new(false),
            parked: Cell::new(false),
            half_closed: Cell::new(false),
            shed: Cell::new(false),
            has_begun: Cell::new(false),
            tunnelled: Cell::new((0, 0)),
            serving: Cell::new(0),
            accepted_while_closing: Cell::new(false),
            told: Cell::new(false),
            endless_streams: Cell::new(0),
            signal: Cell::new(ConnSignal::None),
            waker: RefCell::new(None),
            clock,
        };
        conn.look_for_trust();
        Rc::new(conn)
    }

    /// Where the connection comes from.
    #[must_use]
    pub fn source(&self) -> Rc<RequestSource> {
        Rc::clone(&self.source.borrow())
    }

    /// The rules by which the forwarding fields of this connection's requests count; `None` = they do not.
    #[must_use]
    pub fn forwarders(&self) -> Option<Arc<Forwarders>> {
        self.forwarders.borrow().clone()
    }

    /// A balancer has told where the connection comes from.
    pub fn introduce(&self, source: RequestSource) {
        *self.source.borrow_mut() = Rc::new(source);
        self.look_for_trust();
    }

    fn look_for_trust(&self) {
        let ip = self.source.borrow().ip();
        let trusts = self.trusts.as_ref().filter(|forwarders| forwarders.trusted.contain(ip));
        *self.forwarders.borrow_mut() = trusts.cloned();
    }

    /// What an answer says about HTTP/3 on the same port. A connection that is to end sends no client there.
    #[must_use]
    pub fn alternative(&self) -> Option<&str> {
        if self.told.get() { None } else { self.alt_svc.get().map(AsRef::as_ref) }
    }

    /// Leaves a signal and wakes the connection's task. A weaker signal never replaces a stronger one.
    pub fn signal(&self, signal: ConnSignal) {
        self.told.set(self.told.get() || signal == ConnSignal::Graceful);
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
            ConnPhase::Head => !self.behind.get(),
            ConnPhase::Idle => !self.has_begun.get(),
            ConnPhase::Busy | ConnPhase::Tunnel => false,
        }
    }

    /// Whether the client has been answered, and has sent nothing since.
    #[must_use]
    pub fn is_between_requests(&self) -> bool {
        self.phase.get() == ConnPhase::Idle && self.has_begun.get() && !self.behind.get()
    }

    /// A part of a request's head has arrived, or of what comes before it.
    pub fn head_begins(&self) {
        if !self.is_in_head() {
            self.enter(ConnPhase::Head);
        }
    }

    /// What came before the first head has ended.
    pub fn head_ended(&self) {
        self.enter(ConnPhase::Idle);
    }

    /// Whether a part of a head has arrived, or of what comes before it.
    #[must_use]
    pub fn is_in_head(&self) -> bool {
        self.phase.get() == ConnPhase::Head
    }

    /// A request's head was read.
    pub fn begin(&self) {
        self.serving.set(self.serving.get() + 1);
        self.has_begun.set(true);
        self.enter(ConnPhase::Busy);
        if self.accepted_while_closing.get() {
            self.signal(ConnSignal::Graceful);
        }
    }

    /// A request's answer has been produced to its last byte, or was given up.
    pub fn end(&self) {
        self.serving.set(self.serving.get().saturating_sub(1));
        if self.serving.get() == 0 {
            self.half_closed.set(false);
            self.enter(ConnPhase::Idle);
        }
    }

    /// The connection's request upgraded, and `early` bytes of the stream have been read.
    pub fn tunnel(&self, early: usize) {
        self.tunnelled.set((early as u64, 0));
        self.enter(ConnPhase::Tunnel);
    }

    /// Whether the client was to leave and has been silent for a while.
    #[must_use]
    pub fn never_spoke(&self, quiet: Duration) -> bool {
        self.accepted_while_closing.get() && quiet >= FIRST_WORD
    }

    /// Whether it carries streams, which have no end of their own.
    #[must_use]
    pub fn carries_streams(&self) -> bool {
        self.phase.get() == ConnPhase::Tunnel || self.endless_streams.get() > 0
    }

    /// Whether an idle connection can give its state back.
    #[must_use]
    pub fn can_park(&self) -> bool {
        !self.http2.get() && !self.parked.get() && !self.behind.get()
    }

    /// What the connection's time says: the signal that is due, if any.
    #[must_use]
    pub fn due(&self, now: Tick, limits: &Limits) -> Option<ConnSignal> {
        let (quiet, still) = (now.since(self.since.get()), now.since(self.progress.get()));
        let waits_for_client = self.behind.get() && !self.http2.get();
        match self.phase.get() {
            // A client that does not answer the edge's goodbye, or does not read its answer.
            ConnPhase::Idle
                if quiet >= limits.idle_timeout + limits.header_timeout
                    && (self.http2.get() || still >= limits.header_timeout) =>
            {
                Some(ConnSignal::Kill)
            }
            ConnPhase::Idle if quiet >= limits.idle_timeout || self.never_spoke(quiet) => {
                Some(ConnSignal::Graceful)
            }
            ConnPhase::Idle => (quiet >= PARK_AFTER && self.can_park()).then_some(ConnSignal::Park),
            // The end of an answer waits for the client. Later requests are not read before the client takes it.
            ConnPhase::Head | ConnPhase::Busy if waits_for_client => {
                (still >= limits.idle_timeout).then_some(ConnSignal::Kill)
            }
            // No signal, but the session looks.
            ConnPhase::Busy => self.half_closed.get().then_some(ConnSignal::None),
            ConnPhase::Head => (quiet >= limits.header_timeout).then_some(ConnSignal::HeaderTimeout),
            ConnPhase::Tunnel => None,
        }
    }

    fn enter(&self, phase: ConnPhase) {
        self.phase.set(phase);
        self.since.set(self.clock.get());
    }

    fn has_read(&self, bytes: usize) {
        if self.phase.get() == ConnPhase::Tunnel {
            let (up, down) = self.tunnelled.get();
            self.tunnelled.set((up + bytes as u64, down));
        }
        if !self.http2.get() {
            self.progress.set(self.clock.get());
        }
    }

    fn tried_to_write(&self, polled: &Poll<std::io::Result<usize>>) {
        let Poll::Ready(result) = polled else { return self.behind.set(true) };
        let bytes = *result.as_ref().unwrap_or(&0);
        self.behind.set(false);
        if self.phase.get() == ConnPhase::Tunnel {
            let (up, down) = self.tunnelled.get();
            self.tunnelled.set((up, down + bytes as u64));
        }
        if !self.http2.get() || bytes > HOUSEKEEPING {
            self.progress.set(self.clock.get());
        }
    }
}
