//! The client's end of an HTTP/2 connection: the socket, the batch of frames that go out together, and the budget of the
//! frames that come in. The connection and its streams share it; each borrows it for one call only.
//!
//! Why a batch: the library flushes behind each frame of content, one record and one system call each. Answers that are
//! ready at the same time leave in one, in full TLS records.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::FrameBudget;
use crate::data::{
    conn::{ClientConn, ClientIo},
    frame_batch::FrameBatch,
    inbox::Buffers,
};

/// Length of the client's preface (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// The client's end; its owners share it.
#[derive(Clone, Debug)]
pub(super) struct Http2End(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    io: ClientIo,
    batch: FrameBatch,
    budget: FrameBudget,
    conn: Rc<ClientConn>,
}

impl Http2End {
    pub(super) fn new(io: ClientIo, conn: &Rc<ClientConn>, buffers: &Rc<Buffers>, resets: u32) -> Self {
        let budget = FrameBudget::new(conn.clock.get(), PREFACE, resets);
        Self(Rc::new(RefCell::new(Inner {
            io,
            batch: FrameBatch::new(buffers),
            budget,
            conn: Rc::clone(conn),
        })))
    }

    /// Whether the client has sent more frames than it has earned. From then on nothing more is read.
    pub(super) fn is_over_budget(&self) -> bool {
        self.0.borrow().budget.is_over()
    }

    /// A piece of an answer goes out.
    pub(super) fn sent(&self, bytes: usize) {
        self.0.borrow_mut().budget.sent(bytes);
    }

    /// An answer goes out to its end.
    pub(super) fn answered(&self) {
        self.0.borrow_mut().budget.answered();
    }

    /// Writes the batch.
    ///
    /// # Errors
    /// Those of the connection.
    pub(super) fn poll_batch(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        inner.batch.poll_leave(&mut inner.io, cx)
    }
}

impl AsyncRead for Http2End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        if inner.budget.is_over() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut inner.io).poll_read(cx, buf))?;
        inner.budget.read(buf.filled().get(before..).unwrap_or_default(), inner.conn.clock.get());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Http2End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let inner = &mut *self.0.borrow_mut();
        inner.batch.poll_take(&mut inner.io, slices, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing: the connection writes the batch itself, once all its streams have said what they have to say.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        ready!(inner.batch.poll_write(&mut inner.io, cx))?;
        Pin::new(&mut inner.io).poll_shutdown(cx)
    }
}
