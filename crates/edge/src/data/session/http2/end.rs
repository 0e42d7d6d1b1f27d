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
    inbox::{Buffers, Inbox},
};

/// Length of the client's preface (RFC 9113 section 3.4).
const PREFACE: usize = 24;

/// The client's end; its owners share it.
#[derive(Clone, Debug)]
pub(super) struct Http2End(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    io: ClientIo,
    /// Frames that go out with the next flush, in a buffer that the worker lends.
    batch: Inbox,
    budget: FrameBudget,
    conn: Rc<ClientConn>,
}

impl Http2End {
    pub(super) fn new(io: ClientIo, conn: &Rc<ClientConn>, buffers: &Rc<Buffers>, resets: u32) -> Self {
        let budget = FrameBudget::new(conn.clock.get(), PREFACE, resets);
        Self(Rc::new(RefCell::new(Inner { io, batch: Inbox::new(buffers), budget, conn: Rc::clone(conn) })))
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
        if inner.batch.is_empty() {
            return Poll::Ready(Ok(()));
        }
        ready!(inner.poll_batch(cx))?;
        Pin::new(&mut inner.io).poll_flush(cx)
    }
}

impl Inner {
    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.batch.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, self.batch.unread()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.batch.consume(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Puts frames into the batch, which goes out first if they do not fit. `false`: they are longer than any batch.
    fn poll_push(&mut self, slices: &[IoSlice<'_>], cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.batch.push(slices) {
            return Poll::Ready(Ok(true));
        }
        ready!(self.poll_batch(cx))?;
        Poll::Ready(Ok(self.batch.push(slices)))
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
        if ready!(inner.poll_push(slices, cx))? {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        Pin::new(&mut inner.io).poll_write_vectored(cx, slices)
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
        ready!(inner.poll_batch(cx))?;
        Pin::new(&mut inner.io).poll_shutdown(cx)
    }
}
