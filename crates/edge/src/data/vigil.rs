//! Deadlines of requests and connections, swept every [`SWEEP`] instead of kept in a timer wheel: setting one is a
//! plain store. One list per worker. Never fires early; at most one sweep late.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use thalweg_core::Tick;

use crate::data::conn::{ClientConn, Order};

/// How often a worker looks at its deadlines.
pub const SWEEP: Duration = Duration::from_millis(20);

/// How long an expired request may ignore its waker (its client takes no bytes, so nobody polls its body) before
/// its connection is closed under it, or its stream reset.
const DEAF: Duration = Duration::from_secs(1);

/// One request's current deadline.
#[derive(Debug)]
pub struct Vigil {
    deadline: Cell<Deadline>,
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
enum Deadline {
    None,
    At(Tick),
    /// This long after the request last moved a byte.
    Silence(Duration),
}

impl Vigil {
    /// Expires at a tick.
    pub fn until(&self, deadline: Tick) {
        self.set(Deadline::At(deadline));
    }

    /// Expires when nothing has moved either way for `span`. In HTTP/1.1 everything that its connection moves is the
    /// request's; in HTTP/2, where it is one of many, the pieces of its bodies are.
    pub fn silent_for(&self, span: Duration) {
        self.stir();
        self.set(Deadline::Silence(span));
    }

    /// Does not expire: what comes next has a limit of its own and does not look here.
    pub fn pause(&self) {
        self.set(Deadline::None);
    }

    /// A piece of one of its bodies has passed.
    pub fn stir(&self) {
        self.stirred.set(self.conn.clock.get());
        // Its client may have taken longer over the last piece: nobody asked for the next one.
        if let Deadline::Silence(_) = self.deadline.get() {
            self.expired.set(Expired::No);
        }
    }

    fn set(&self, deadline: Deadline) {
        self.expired.set(Expired::No);
        self.deadline.set(deadline);
    }

    fn due(&self) -> Option<Tick> {
        match self.deadline.get() {
            Deadline::None => None,
            Deadline::At(tick) => Some(tick),
            Deadline::Silence(span) if self.conn.http2.get() => Some(self.stirred.get().after(span)),
            Deadline::Silence(span) => Some(self.conn.progress.get().after(span)),
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

/// All vigils of a worker.
#[derive(Debug, Default)]
pub struct Vigils(RefCell<Vec<Rc<Vigil>>>);

impl Vigils {
    /// A vigil without a deadline; dropped from the list when its last other owner is gone.
    pub fn keep(&self, conn: &Rc<ClientConn>) -> Rc<Vigil> {
        let vigil = Rc::new(Vigil {
            deadline: Cell::new(Deadline::None),
            expired: Cell::new(Expired::No),
            watched: Cell::new(false),
            waker: RefCell::new(None),
            upload: RefCell::new(None),
            conn: Rc::clone(conn),
            stirred: Cell::new(Tick(0)),
        });
        self.0.borrow_mut().push(Rc::clone(&vigil));
        vigil
    }

    /// The vigil of the request that this connection has just begun, if it has one and nobody watches it.
    #[must_use]
    pub fn newest(&self, conn: &Rc<ClientConn>) -> Option<Weak<Vigil>> {
        let all = self.0.borrow();
        let newest = all.last().filter(|vigil| Rc::ptr_eq(&vigil.conn, conn))?;
        (!newest.watched.replace(true)).then(|| Rc::downgrade(newest))
    }

    /// Everybody's time is up: the worker ends.
    pub fn expire_all(&self) {
        for vigil in self.0.borrow().iter() {
            vigil.until(Tick(0));
        }
        self.sweep(Tick(1));
    }

    /// Wakes those whose deadline has passed and forgets those nobody waits for.
    pub fn sweep(&self, now: Tick) {
        self.0.borrow_mut().retain(|vigil| {
            if Rc::strong_count(vigil) == 1 {
                return false;
            }
            let Some(deadline) = vigil.due().filter(|deadline| *deadline <= now) else { return true };
            let still = now.since(deadline) > DEAF && now.since(vigil.conn.progress.get()) > DEAF;
            // A moment is always heard, unless it was an earlier attempt's: the next one may still be connecting.
            let still = still && matches!(vigil.deadline.get(), Deadline::Silence(_));
            match vigil.expired.get() {
                Expired::No => {
                    vigil.expired.set(Expired::Yes);
                    wake(&vigil.waker);
                }
                // Its stream may wait for its client to take a piece. The others on its connection do not.
                Expired::Yes if still && vigil.watched.get() => {
                    vigil.expired.set(Expired::Deaf);
                    wake(&vigil.waker);
                    wake(&vigil.upload);
                }
                Expired::Yes if still => vigil.conn.order(Order::Kill),
                Expired::Yes | Expired::Deaf => {}
            }
            true
        });
    }
}
