//! Deadlines of requests and connections, swept every [`SWEEP`] instead of kept in a timer wheel: setting one is a
//! plain store. One list per worker. Never fires early; at most one sweep late.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use thalweg_core::Tick;

use crate::conn::ClientConn;

/// How often a worker looks at its deadlines.
pub const SWEEP: Duration = Duration::from_millis(20);

/// How long an expired request may ignore its waker (its client takes no bytes, so nobody polls its body) before
/// its connection is closed under it.
const DEAF: Duration = Duration::from_secs(1);

/// One request's current deadline.
#[derive(Debug)]
pub struct Vigil {
    deadline: Cell<Deadline>,
    expired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    conn: Rc<ClientConn>,
    /// When a piece of one of its bodies last passed.
    stirred: Cell<Tick>,
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

    /// A piece of one of its bodies has passed.
    pub fn stir(&self) {
        self.stirred.set(self.conn.clock.get());
        // Its client may have taken longer over the last piece: nobody asked for the next one.
        if let Deadline::Silence(_) = self.deadline.get() {
            self.expired.set(false);
        }
    }

    fn set(&self, deadline: Deadline) {
        self.expired.set(false);
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
        if self.expired.get() {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(known) => known.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
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
            expired: Cell::new(false),
            waker: RefCell::new(None),
            conn: Rc::clone(conn),
            stirred: Cell::new(Tick(0)),
        });
        self.0.borrow_mut().push(Rc::clone(&vigil));
        vigil
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
            if !vigil.expired.replace(true) {
                if let Some(waker) = vigil.waker.borrow_mut().take() {
                    waker.wake();
                }
            } else if now.since(deadline) > DEAF && now.since(vigil.conn.progress.get()) > DEAF {
                vigil.conn.order(crate::conn::Order::Kill);
            }
            true
        });
    }
}
