//! Deadlines of requests and connections, swept every [`SWEEP`] instead of kept in a timer wheel: setting one is a
//! plain store. One list per worker. Never fires early; at most one sweep late.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use thalweg_core::Tick;

use crate::data::conn::{ClientConn, ConnSignal};

/// How often a worker looks at its deadlines.
pub const SWEEP: Duration = Duration::from_millis(20);

/// How long an expired request may ignore its waker (its client takes no bytes, so nobody polls its body) before
/// its connection is closed under it, or its stream reset.
const DEAF: Duration = Duration::from_secs(1);

/// One request's current deadline.
#[derive(Debug)]
pub struct Deadline {
    set_to: Cell<Due>,
    expired: Cell<Expired>,
    /// The task of its HTTP/2 stream watches it, too.
    watched: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// Of the endpoint's connection, while that waits for the next piece of an HTTP/2 upload.
    upload: RefCell<Option<Waker>>,
    conn: Rc<ClientConn>,
    /// When a piece of one of its bodies last passed.
    stirred: Cell<Tick>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Expired {
    No,
    /// And whoever waits for it has been woken.
    Yes,
    /// It was of no use.
    Deaf,
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

    /// Expires when nothing has moved either way for `span`. In HTTP/1.1 everything that its connection moves is the
    /// request's; in HTTP/2, where it is one of many, the pieces of its bodies are.
    pub fn silent_for(&self, span: Duration) {
        self.stir();
        self.set(Due::Silence(span));
    }

    /// Does not expire: what comes next has a limit of its own and does not look here.
    pub fn pause(&self) {
        self.set(Due::None);
    }

    /// A piece of one of its bodies has passed.
    pub fn stir(&self) {
        self.stirred.set(self.conn.clock.get());
        // Its client may have taken longer over the last piece: nobody asked for the next one.
        if let Due::Silence(_) = self.set_to.get() {
            self.expired.set(Expired::No);
        }
    }

    fn set(&self, deadline: Due) {
        self.expired.set(Expired::No);
        self.set_to.set(deadline);
    }

    fn due(&self) -> Option<Tick> {
        match self.set_to.get() {
            Due::None => None,
            Due::At(tick) => Some(tick),
            Due::Silence(span) if self.conn.http2.get() => Some(self.stirred.get().after(span)),
            Due::Silence(span) => Some(self.conn.progress.get().after(span)),
        }
    }

    /// Whose connection it watches.
    #[must_use]
    pub fn conn(&self) -> &ClientConn {
        &self.conn
    }

    /// Ready once the deadline has passed.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.is(Expired::Yes, &self.waker, cx)
    }

    /// Ready once that has been of no use: for the task of the stream.
    pub fn poll_deaf(&self, cx: &Context<'_>) -> Poll<()> {
        self.is(Expired::Deaf, &self.waker, cx)
    }

    /// The same, for the endpoint's connection, which may outlive that.
    pub fn poll_deaf_upload(&self, cx: &Context<'_>) -> Poll<()> {
        self.is(Expired::Deaf, &self.upload, cx)
    }

    /// Ready once it has come so far.
    fn is(&self, wanted: Expired, waker: &RefCell<Option<Waker>>, cx: &Context<'_>) -> Poll<()> {
        if self.expired.get() >= wanted {
            return Poll::Ready(());
        }
        match &mut *waker.borrow_mut() {
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

/// All deadlines of a worker.
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
            upload: RefCell::new(None),
            conn: Rc::clone(conn),
            stirred: Cell::new(Tick(0)),
        });
        self.0.borrow_mut().push(Rc::clone(&deadline));
        deadline
    }

    /// The deadline of the request that this connection has just begun, if it has one and nobody watches it.
    #[must_use]
    pub fn newest(&self, conn: &Rc<ClientConn>) -> Option<Weak<Deadline>> {
        let all = self.0.borrow();
        let newest = all.last().filter(|deadline| Rc::ptr_eq(&deadline.conn, conn))?;
        (!newest.watched.replace(true)).then(|| Rc::downgrade(newest))
    }

    /// Everybody's time is up: the worker ends.
    pub fn expire_all(&self) {
        for deadline in self.0.borrow().iter() {
            deadline.until(Tick(0));
        }
        self.sweep(Tick(1));
    }

    /// Wakes those whose deadline has passed and forgets those nobody waits for.
    pub fn sweep(&self, now: Tick) {
        self.0.borrow_mut().retain(|deadline| {
            if Rc::strong_count(deadline) == 1 {
                return false;
            }
            let Some(due) = deadline.due().filter(|due| *due <= now) else { return true };
            let still = now.since(due) > DEAF && now.since(deadline.conn.progress.get()) > DEAF;
            // Ignore deadlines left over from an earlier attempt: the next one may still be connecting.
            let still = still && matches!(deadline.set_to.get(), Due::Silence(_));
            match deadline.expired.get() {
                Expired::No => {
                    deadline.expired.set(Expired::Yes);
                    wake(&deadline.waker);
                }
                // Its stream may wait for its client to take a piece. The others on its connection do not.
                Expired::Yes if still && deadline.watched.get() => {
                    deadline.expired.set(Expired::Deaf);
                    wake(&deadline.waker);
                    wake(&deadline.upload);
                }
                Expired::Yes if still => deadline.conn.signal(ConnSignal::Kill),
                Expired::Yes | Expired::Deaf => {}
            }
            true
        });
    }
}
