//! One HTTP/2 connection to an endpoint: its streams, its driver, and whether the endpoint still answers on it.
//!
//! Why a driver: the streams of one connection belong to requests of many clients, so no request can own the socket. The
//! driver is one local task per connection, never one per stream. Streams leave their frames with the library, which wakes the
//! driver; the driver reads what has come and writes what all of them had to say in one call. The price is one turn of
//! the worker's queue per batch of frames.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Ping, PingPong,
    client::{Connection, SendRequest},
};
use thalweg_core::Tick;

use super::{
    ActiveGuard,
    batch::{Greeting, Http2Socket},
    opening::{GreetingError, Opening, builder},
};
use crate::{
    data::{leave::jittered, upstream_io::UpstreamIo},
    shared::meters::Cell as Count,
};

/// The most streams on one connection, whatever the endpoint allows: more streams than these share a lost packet, and one
/// lost connection fails them all. The same number as the library and most servers have.
pub(super) const MOST_STREAMS: usize = 100;

/// Silence of a connection with streams after which the endpoint is asked for a sign of life, and then again while only
/// PINGs are answered. gRPC servers close a connection at the fourth PING within five minutes in which they have sent
/// neither head nor content ("too_many_pings").
const SILENCES: [Duration; 3] = [Duration::from_secs(4), Duration::from_secs(15), Duration::from_secs(60)];
/// The same after those.
const LONGEST_SILENCE: Duration = Duration::from_secs(330);

/// How long the answer to a PING may take. An application whose one thread is busy answers late and is not dead; a peer
/// whose kernel is gone shows sooner ([`Http2Conn::is_dead`]).
const PONG: Duration = Duration::from_secs(8);

/// One HTTP/2 connection.
#[derive(Debug)]
pub struct Http2Conn {
    socket: Http2Socket,
    /// `None` = the connection takes no more streams.
    sender: RefCell<Option<SendRequest<Bytes>>>,
    /// `None` = the connection has ended.
    connection: RefCell<Option<Connection<Http2Socket, Bytes>>>,
    ping: RefCell<Option<PingPong>>,
    /// The driver's.
    waker: RefCell<Option<Waker>>,
    streams: Cell<u32>,
    /// The connection has carried a request.
    carried: Cell<bool>,
    /// The endpoint was given up.
    dead: Cell<bool>,
    opened: Tick,
    tls_epoch: u32,
    clock: Rc<Cell<Tick>>,
    /// When the last stream ended.
    idle_since: Cell<Tick>,
    /// When the endpoint last sent something for a stream, or the first stream began.
    heard: Cell<Tick>,
    /// When an unanswered PING went out.
    pinged: Cell<Option<Tick>>,
    /// PINGs that were answered since `heard`.
    pongs: Cell<usize>,
    active: Arc<Count>,
    idle: Arc<Count>,
    counted: RefCell<Counted>,
}

/// How a connection shows in the metrics.
#[derive(Debug)]
enum Counted {
    Not,
    Idle,
    Active(#[expect(dead_code, reason = "counts until it is dropped")] ActiveGuard),
}

/// A place for one stream on a connection; given back when dropped.
#[derive(Debug)]
pub struct Http2Link {
    /// The connection.
    pub conn: Rc<Http2Conn>,
    /// What begins the stream, until it has begun.
    pub sender: Option<SendRequest<Bytes>>,
    /// The connection had carried a request before.
    pub reused: bool,
}

impl Http2Conn {
    /// Opens HTTP/2 on a socket. Waits for the endpoint's SETTINGS, so that an endpoint that does not speak HTTP/2 is one that
    /// cannot be connected to: no byte of a request was sent.
    ///
    /// # Errors
    /// What came in their place.
    pub async fn open(io: UpstreamIo, opening: Opening<'_>) -> Result<Rc<Self>, GreetingError> {
        let socket = Http2Socket::new(io, opening.buffers);
        let handshake = builder(opening.buffers.size()).handshake(socket.clone());
        let (sender, mut connection) = handshake.await.map_err(|_| GreetingError::Ended)?;
        let ping = connection.ping_pong();
        let now = opening.opened.0;
        let conn = Rc::new(Self {
            socket,
            sender: RefCell::new(Some(sender)),
            connection: RefCell::new(Some(connection)),
            ping: RefCell::new(ping),
            waker: RefCell::default(),
            streams: Cell::new(0),
            carried: Cell::new(false),
            dead: Cell::new(false),
            opened: now,
            tls_epoch: opening.opened.1,
            clock: Rc::clone(opening.clock),
            idle_since: Cell::new(now),
            heard: Cell::new(now),
            pinged: Cell::new(None),
            pongs: Cell::new(0),
            active: Arc::clone(opening.counts.0),
            idle: Arc::clone(opening.counts.1),
            counted: RefCell::new(Counted::Not),
        });
        poll_fn(|cx| conn.poll_greeting(cx)).await?;
        conn.count();
        let driven = Rc::clone(&conn);
        tokio::task::spawn_local(async move { poll_fn(|cx| driven.poll(cx)).await });
        Ok(conn)
    }

    fn poll_greeting(&self, cx: &mut Context<'_>) -> Poll<Result<(), GreetingError>> {
        let ended = self.poll(cx).is_ready();
        match self.socket.greeting() {
            Greeting::Http1 => Poll::Ready(Err(GreetingError::Http1)),
            Greeting::Other => Poll::Ready(Err(GreetingError::Other)),
            _ if ended => Poll::Ready(Err(GreetingError::Ended)),
            Greeting::Http2 => Poll::Ready(Ok(())),
            Greeting::Open => Poll::Pending,
        }
    }

    /// Drives the connection: reads what has come, and writes what the streams have to say. Ready when it has ended.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut waker = self.waker.borrow_mut();
            match &mut *waker {
                Some(known) => known.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        let mut slot = self.connection.borrow_mut();
        let Some(connection) = &mut *slot else { return Poll::Ready(()) };
        let ended = Pin::new(connection).poll(cx).is_ready();
        let written = self.socket.poll_batch(cx);
        if !ended && !matches!(written, Poll::Ready(Err(_))) {
            return Poll::Pending;
        }
        drop(slot.take());
        drop(slot);
        self.retire();
        self.count();
        Poll::Ready(())
    }

    /// Lets the library see what has arrived, if anything has. Nothing is lost for the driver, whose waker it gets.
    fn look(&self) {
        let Some(waker) = self.waker.borrow().clone() else { return };
        let mut cx = Context::from_waker(&waker);
        if self.socket.has_news(&mut cx) {
            let _ = self.poll(&mut cx);
        }
    }

    /// A place for a stream; `None` = the connection takes no more of them.
    pub fn take(self: &Rc<Self>, limits: (Duration, Duration), now: Tick) -> Option<Http2Link> {
        if self.streams.get() == 0 {
            // A connection that its endpoint has closed is found out before a request is lost on it.
            self.look();
        }
        self.expire(limits, now);
        let mut sender = self.sender.borrow_mut();
        let open = sender.as_mut()?;
        // GOAWAY shows here.
        if !matches!(open.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(()))) {
            *sender = None;
            return None;
        }
        let streams = self.streams.get();
        if streams as usize >= open.current_max_send_streams().min(MOST_STREAMS) {
            return None;
        }
        let own = open.clone();
        drop(sender);
        if streams == 0 {
            self.heard.set(now);
            self.pongs.set(0);
        }
        self.streams.set(streams + 1);
        self.count();
        Some(Http2Link { sender: Some(own), reused: self.carried.replace(true), conn: Rc::clone(self) })
    }

    /// Takes no more streams. The connection closes when it has none left.
    pub fn retire(&self) {
        drop(self.sender.borrow_mut().take());
    }

    /// Whether it takes no more streams.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.sender.borrow().is_none()
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.connection.borrow().is_none()
    }

    /// Whether it was opened under these settings.
    #[must_use]
    pub const fn is_of(&self, tls_epoch: u32) -> bool {
        self.tls_epoch == tls_epoch
    }

    /// Streams on it.
    #[must_use]
    pub const fn streams(&self) -> u32 {
        self.streams.get()
    }

    /// Bytes that the socket has taken so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.socket.written()
    }

    /// The endpoint has sent something for a stream.
    pub fn heard(&self) {
        self.heard.set(self.clock.get());
        self.pongs.set(0);
    }

    /// Whether the endpoint has been given up, or its kernel acknowledges nothing any more.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.dead.get() || self.socket.is_dead()
    }

    /// Whether the endpoint has been given up.
    #[must_use]
    pub const fn was_given_up(&self) -> bool {
        self.dead.get()
    }

    /// Ends the connection at once: nothing that is said on it arrives.
    pub fn give_up(&self) {
        self.dead.set(true);
        drop(self.connection.borrow_mut().take());
        self.retire();
        self.count();
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Looks after the connection, once a second: closes it if it is idle for too long or too old, and asks for a sign of
    /// life while streams wait in silence.
    pub fn tend(&self, limits: (Duration, Duration), now: Tick) {
        if self.streams.get() > 0 {
            self.ask_for_life(now);
        }
        self.expire(limits, now);
    }

    fn expire(&self, (idle, age): (Duration, Duration), now: Tick) {
        let is_idle = self.streams.get() == 0 && now.since(self.idle_since.get()) >= idle;
        if is_idle || now.since(self.opened) >= jittered(age, self.opened.0) {
            self.retire();
        }
    }

    fn ask_for_life(&self, now: Tick) {
        // What waits in the socket counts first: this edge may have stood still.
        self.look();
        let mut slot = self.ping.borrow_mut();
        let Some(ping) = &mut *slot else { return };
        if let Some(since) = self.pinged.get() {
            let mut cx = Context::from_waker(Waker::noop());
            if matches!(ping.poll_pong(&mut cx), Poll::Ready(Ok(_))) {
                self.pinged.set(None);
                self.pongs.set(self.pongs.get() + 1);
            } else if now.since(since) >= PONG && self.heard.get() <= since {
                drop(slot);
                self.give_up();
            }
            return;
        }
        let silence = SILENCES.get(self.pongs.get()).copied().unwrap_or(LONGEST_SILENCE);
        if now.since(self.heard.get()) >= silence && ping.send_ping(Ping::opaque()).is_ok() {
            self.pinged.set(Some(now));
        }
    }

    fn leave(&self) {
        self.streams.set(self.streams.get().saturating_sub(1));
        if self.streams.get() == 0 {
            self.idle_since.set(self.clock.get());
            self.count();
        }
    }

    /// Shows the connection in the metrics as it is.
    fn count(&self) {
        let mut counted = self.counted.borrow_mut();
        let wanted = (!self.has_ended_now()).then(|| self.streams.get() > 0);
        match (&*counted, wanted) {
            (Counted::Not, None) | (Counted::Idle, Some(false)) | (Counted::Active(_), Some(true)) => return,
            (Counted::Idle, _) => self.idle.drop_one(),
            _ => {}
        }
        *counted = match wanted {
            None => Counted::Not,
            Some(true) => Counted::Active(ActiveGuard::new(&self.active)),
            Some(false) => {
                self.idle.bump();
                Counted::Idle
            }
        };
    }

    /// As [`has_ended`](Self::has_ended), also while the driver runs.
    fn has_ended_now(&self) -> bool {
        self.connection.try_borrow().is_ok_and(|connection| connection.is_none())
    }
}

impl Drop for Http2Conn {
    fn drop(&mut self) {
        if matches!(*self.counted.borrow(), Counted::Idle) {
            self.idle.drop_one();
        }
    }
}

impl Http2Link {
    /// Whether the endpoint is gone.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.conn.is_dead()
    }
}

impl Drop for Http2Link {
    fn drop(&mut self) {
        self.conn.leave();
    }
}
