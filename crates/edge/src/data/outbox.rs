//! Bytes on their way out of this edge: heads and the framing around content. Content itself is written from where it
//! was read, unless it is short: then one copy costs less than the kernel's handling of a second slice.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

/// Content up to this length is copied behind the head that goes before it.
const SHORT: usize = 2048;

/// An outbox larger than this gives its memory back when it is empty.
const KEPT: usize = 4096;

/// Bytes that wait to be written.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// The bytes; append to them.
    pub bytes: Vec<u8>,
    written: usize,
}

impl Outbox {
    /// An empty outbox with room for so many bytes.
    #[must_use]
    pub fn with_room(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), written: 0 }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Takes `content` in if it is short enough to be copied. Returns whether it did.
    pub fn takes(&mut self, content: &[u8]) -> bool {
        let is_short = content.len() <= SHORT && self.len() <= 4 * SHORT;
        if is_short {
            self.bytes.extend_from_slice(content);
        }
        is_short
    }

    /// Writes what waits, and then as much of `content` as goes. Returns how much of `content` was written; 0 with
    /// nothing left in the outbox if `content` is empty.
    ///
    /// # Errors
    /// Those of the connection; `WriteZero` if it takes nothing.
    pub fn poll_write(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        content: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let waiting = self.bytes.get(self.written..).unwrap_or_default();
            let written = match (waiting, content) {
                ([], []) => return Poll::Ready(Ok(0)),
                ([], content) => return Pin::new(&mut *io).poll_write(cx, content).map(not_zero),
                (waiting, []) => ready!(Pin::new(&mut *io).poll_write(cx, waiting).map(not_zero))?,
                (waiting, content) => {
                    let slices = [IoSlice::new(waiting), IoSlice::new(content)];
                    ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices).map(not_zero))?
                }
            };
            let of_content = written.saturating_sub(waiting.len());
            self.written += written - of_content;
            if self.is_empty() {
                self.clear();
            }
            if of_content > 0 {
                return Poll::Ready(Ok(of_content));
            }
        }
    }

    /// Gives the memory back of an outbox that is empty.
    pub fn rest(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.written = 0;
        if self.bytes.capacity() > KEPT { self.bytes = Vec::new() } else { self.bytes.clear() }
    }
}

fn not_zero(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        other => other,
    }
}
