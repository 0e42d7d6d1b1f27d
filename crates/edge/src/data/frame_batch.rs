//! Frames of an HTTP/2 connection that leave in one write, in a buffer that the worker lends. Both sides of the edge use
//! it, because the `h2` crate flushes behind each frame of content: one system call, and with TLS one record, each.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

use crate::data::inbox::{Buffers, Inbox};

/// The frames of one connection that wait to be written.
#[derive(Debug)]
pub struct FrameBatch {
    waiting: Inbox,
    written: u64,
}

impl FrameBatch {
    /// An empty batch, which holds no buffer.
    #[must_use]
    pub fn new(buffers: &Rc<Buffers>) -> Self {
        Self { waiting: Inbox::new(buffers), written: 0 }
    }

    /// Bytes that the connection has taken so far.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Writes what waits, and flushes the connection if anything did.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn poll_leave(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.waiting.is_empty() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_write(io, cx))?;
        Pin::new(io).poll_flush(cx)
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// Those of the connection; `WriteZero` if it takes nothing.
    pub fn poll_write(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            match ready!(Pin::new(&mut *io).poll_write(cx, self.waiting.unread()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => {
                    self.written += written as u64;
                    self.waiting.consume(written);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes frames in; what waits goes out first if they do not fit. Frames that are longer than any batch go to the
    /// connection itself. Returns how many of their bytes were taken.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn poll_take(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        frames: &[IoSlice<'_>],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut fits = self.waiting.push(frames);
        if !fits {
            ready!(self.poll_write(io, cx))?;
            fits = self.waiting.push(frames);
        }
        if fits {
            return Poll::Ready(Ok(frames.iter().map(|frame| frame.len()).sum()));
        }
        let written = ready!(Pin::new(io).poll_write_vectored(cx, frames))?;
        self.written += written as u64;
        Poll::Ready(Ok(written))
    }
}
