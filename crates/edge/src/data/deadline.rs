//! Deadlines of requests and connections.
//!
//! Why this and not a timer per request: a worker looks at its deadlines every [`SWEEP`], so setting one is a plain
//! store instead of an entry in a timer wheel, and nearly all deadlines are replaced before they expire. A deadline
//! never fires early and fires at most one sweep late (docs/decisions/0001-deadlines-are-swept.md).

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use thalweg_core::Tick;

use crate::data::{
    conn::{ClientConn, ConnSignal},
    pace::Pace,
};

/// How often a worker looks at its deadlines.
pub const SWEEP: Duration = Duration::from_millis(20);

/// How long an expired request may ignore its waker, because its client takes no bytes and its body is not polled,
/// before its connection is closed or its stream is reset.
const IGNORED: Duration = Duration::from_secs(1);

/// One request's current deadline.
#[derive(Debug)]
pub struct Deadline {
    set_to: Cell<Due>,
    expired: Cell<Expired>,
    /// The task of the request's HTTP/2 stream watches the deadline too.
    watched: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    conn: Rc<ClientConn>,
    /// When a piece of one of the request's bodies last passed.
    moved_at: Cell<Tick>,
    /// How fast the client sends and takes.
    pub pace: Pace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Expired {
    No,
    /// The waiting task has been woken.
    Yes,
    /// The wake-up had no effect.
    Ignored,
}

#[derive(Clone, Copy, Debug)]
enum Due {
    None,
    At(Tick),
    /// This long after the request last moved a byte.
    Silence(Duration),
}

impl Deadline {
    /// Expires at a tick.
    pub fn until(&self, deadline: Tick) {
        self.set(Due::At(deadline));
    }

    /// Expires when nothing has moved in either direction for `span`. In HTTP/1.1 all bytes of the connection belong to
    /// the request; in HTTP/2 only the pieces of its own bodies count.
    pub fn silent_for(&self, span: Duration) {
        self.moved();
        self.set(Due::Silence(span));
    }

    /// Does not expire: the next step has a limit of its own.
    pub fn pause(&self) {
        self.set(Due::None);
    }

    /// A piece of one of the request's bodies has passed.
    pub fn moved(&self) {
        self.moved_at.set(self.conn.clock.get());
        // The client may have taken longer over the last piece, while the next piece was not asked for.
        if let Due::Silence(_) = self.set_to.get() {
            self.expired.set(Expired::No);
        }
    }

    /// From now on the task of the request's HTTP/2 stream watches the deadline too.
    pub fn watch(&self) {
        self.watched.set(true);
    }

    fn set(&self, deadline: Due) {
        self.expired.set(Expired::No);
        self.set_to.set(deadline);
    }

    /// The client is too slow. An upload's task answers; an answer's task may not be polled before the client takes more.
    fn end_slow(&self, behind: bool) {
        let is_stuck = behind || self.pace.waits_with_answer();
        self.set_to.set(Due::At(Tick(0)));
        match (is_stuck, self.watched.get()) {
            (false, _) => self.expired.set(Expired::Yes),
            (true, true) => self.expired.set(Expired::Ignored),
            (true, false) => self.conn.signal(ConnSignal::Kill),
        }
        wake(&self.waker);
    }

    fn due(&self) -> Option<Tick> {
        match self.set_to.get() {
            Due::None => None,
            Due::At(tick) => Some(tick),
            Due::Silence(span) if self.conn.http2.get() => Some(self.moved_at.get().after(span)),
            Due::Silence(span) => Some(self.conn.progress.get().after(span)),
        }
    }

    /// Ready once the deadline has passed.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.is(Expired::Yes, cx)
    }

    /// Ready once a wake-up had no effect: for the task of the HTTP/2 stream.
    pub fn poll_ignored(&self, cx: &Context<'_>) -> Poll<()> {
        self.is(Expired::Ignored, cx)
    }

    /// Ready once the expiry has come this far.
    fn is(&self, wanted: Expired, cx: &Context<'_>) -> Poll<()> {
        if self.expired.get() >= wanted {
            return Poll::Ready(());
        }
        match &mut *self.waker.borrow_mut() {
            Some(known) => known.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

fn wake(waker: &RefCell<Option<Waker>>) {
    if let Some(waker) = waker.borrow_mut().take() {
        waker.wake();
    }
}

/// All deadlines of one worker.
#[derive(Debug, Default)]
pub struct Deadlines(RefCell<Vec<Rc<Deadline>>>);

impl Deadlines {
    /// A deadline that is not set yet; dropped from the list when its last other owner is gone.
    pub fn keep(&self, conn: &Rc<ClientConn>) -> Rc<Deadline> {
        let deadline = Rc::new(Deadline {
            set_to: Cell::new(Due::None),
            expired: Cell::new(Expired::No),
            watched: Cell::new(false),
            waker: RefCell::new(None),
            conn: Rc::clone(conn),
            moved_at: Cell::new(Tick(0)),
            pace: Pace::default(),
        });
        self.0.borrow_mut().push(Rc::clone(&deadline));
        deadline
    }

    /// Expires all deadlines: the worker ends.
    pub fn expire_all(&self) {
        for deadline in self.0.borrow().iter() {
            deadline.until(Tick(0));
        }
        self.sweep(Tick(1));
    }

    /// Ends the requests whose clients are slower than `least` bytes per second; `ended` hears of each connection.
    pub fn judge_pace(&self, span: Duration, least: u64, ended: impl Fn(&ClientConn)) {
        for deadline in self.0.borrow().iter() {
            let conn = &deadline.conn;
            let behind = conn.behind.get() && !conn.http2.get();
            if deadline.pace.look(span, behind, least) {
                ended(conn);
                deadline.end_slow(behind);
            }
        }
    }

    /// Wakes the tasks whose deadline has passed, and forgets deadlines without another owner.
    pub fn sweep(&self, now: Tick) {
        self.0.borrow_mut().retain(|deadline| {
            if Rc::strong_count(deadline) == 1 {
                return false;
            }
            let Some(due) = deadline.due().filter(|due| *due <= now) else { return true };
            let still = now.since(due) > IGNORED && now.since(deadline.conn.progress.get()) > IGNORED;
            // Ignore deadlines left over from an earlier attempt: the next one may still be connecting.
            let still = still && matches!(deadline.set_to.get(), Due::Silence(_));
            match deadline.expired.get() {
                Expired::No => {
                    deadline.expired.set(Expired::Yes);
                    wake(&deadline.waker);
                }
                // The stream may wait for its client to take a piece; other streams of the connection do not.
                Expired::Yes if still && deadline.watched.get() => {
                    deadline.expired.set(Expired::Ignored);
                    wake(&deadline.waker);
                }
                Expired::Yes if still => deadline.conn.signal(ConnSignal::Kill),
                Expired::Yes | Expired::Ignored => {}
            }
            true
        });
    }
}
