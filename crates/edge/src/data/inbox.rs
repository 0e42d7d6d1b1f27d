//! Buffers that a worker lends: a connection holds one only while it holds bytes that are still to be taken. An idle
//! connection, and one that waits for its peer, hold none.
//!
//! Why this and not a buffer per connection: ten thousand clients that wait cost no buffer, and the few buffers in use
//! stay warm in the processor's cache.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, ReadBuf};

/// The most buffers that a worker keeps for later.
const KEPT: usize = 64;

/// So few bytes get memory of their own while their connection waits for more, or for its peer to take them.
const FEW: usize = 2048;

/// The buffers of one worker.
#[derive(Debug)]
pub struct Buffers {
    free: RefCell<Vec<Box<[u8]>>>,
    /// Bytes in each buffer.
    size: Cell<usize>,
}

impl Buffers {
    /// Lends buffers of `size` bytes.
    #[must_use]
    pub fn new(size: usize) -> Rc<Self> {
        Rc::new(Self { free: RefCell::default(), size: Cell::new(size) })
    }

    /// Bytes in each buffer.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size.get()
    }

    /// Changes the size of the buffers that are lent from now on.
    pub fn resize(&self, size: usize) {
        if self.size.replace(size) != size {
            self.free.borrow_mut().clear();
        }
    }

    fn lend(&self) -> Box<[u8]> {
        let free = self.free.borrow_mut().pop();
        free.unwrap_or_else(|| vec![0; self.size.get()].into_boxed_slice())
    }

    /// Whether a buffer of this length is too small to read into.
    const fn is_small(&self, length: usize) -> bool {
        length <= FEW && length < self.size.get()
    }

    fn take_back(&self, buffer: Box<[u8]>) {
        let mut free = self.free.borrow_mut();
        if free.len() < KEPT && buffer.len() == self.size.get() {
            free.push(buffer);
        }
    }
}

/// Bytes that were read from a connection, or collected for one, and not taken yet.
#[derive(Debug)]
pub struct Inbox {
    buffers: Rc<Buffers>,
    buffer: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl Inbox {
    /// An empty inbox, which holds no buffer.
    #[must_use]
    pub fn new(buffers: &Rc<Buffers>) -> Self {
        Self { buffers: Rc::clone(buffers), buffer: None, start: 0, end: 0 }
    }

    /// The bytes that were not taken yet.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        self.buffer.as_deref().and_then(|buffer| buffer.get(self.start..self.end)).unwrap_or_default()
    }

    /// Whether every byte was taken.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether there is no room for another byte.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.start == 0
            && self
                .buffer
                .as_ref()
                .is_some_and(|buffer| buffer.len() == self.end && !self.buffers.is_small(buffer.len()))
    }

    /// Takes the first bytes. The buffer goes back when the last byte is taken.
    pub fn consume(&mut self, bytes: usize) {
        self.start = self.start.saturating_add(bytes).min(self.end);
        if self.is_empty()
            && let Some(buffer) = self.buffer.take()
        {
            self.buffers.take_back(buffer);
        }
    }

    /// Moves the bytes out, into an inbox of the same worker.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let empty = Self::new(&self.buffers);
        std::mem::replace(self, empty)
    }

    /// Puts bytes behind the ones that are there; `false` = they do not fit, and nothing has changed.
    pub fn push(&mut self, parts: &[io::IoSlice<'_>]) -> bool {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
        let size = self.buffer.as_ref().map_or(self.buffers.size.get(), |buffer| buffer.len());
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > size - self.end {
            return false;
        }
        let buffer = self.buffer.get_or_insert_with(|| self.buffers.lend());
        for part in parts {
            let end = self.end + part.len();
            if let Some(room) = buffer.get_mut(self.end..end) {
                room.copy_from_slice(part);
            }
            self.end = end;
        }
        true
    }

    /// Reads more bytes behind the ones that are there; 0 = the other side has ended, or the buffer is full.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn poll_fill(
        &mut self,
        io: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
        let mut buffer = self.room();
        if self.start > 0 && self.end == buffer.len() {
            buffer.copy_within(self.start.., 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let mut room = ReadBuf::new(buffer.get_mut(self.end..).unwrap_or_default());
        let polled = Pin::new(io).poll_read(cx, &mut room).map_ok(|()| room.filled().len());
        if let Poll::Ready(Ok(bytes)) = polled {
            self.end += bytes;
        }
        self.buffer = Some(buffer);
        self.consume(0);
        if polled.is_pending() {
            self.shrink();
        }
        polled
    }

    /// A buffer to read into, with the bytes that are there.
    fn room(&mut self) -> Box<[u8]> {
        match self.buffer.take() {
            None => self.buffers.lend(),
            Some(few) if self.buffers.is_small(few.len()) => {
                let mut buffer = self.buffers.lend();
                let bytes = few.get(self.start..self.end).unwrap_or_default();
                if let Some(front) = buffer.get_mut(..bytes.len()) {
                    front.copy_from_slice(bytes);
                }
                (self.start, self.end) = (0, bytes.len());
                buffer
            }
            Some(buffer) => buffer,
        }
    }

    /// Moves few bytes out of a buffer that was lent.
    fn shrink(&mut self) {
        let bytes = self.unread();
        if bytes.is_empty() || !self.buffers.is_small(bytes.len()) {
            return;
        }
        let few: Box<[u8]> = bytes.into();
        (self.start, self.end) = (0, few.len());
        if let Some(buffer) = self.buffer.replace(few) {
            self.buffers.take_back(buffer);
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.consume(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn bytes_are_collected_until_the_buffer_is_full() {
        let buffers = Buffers::new(4);
        let mut batch = Inbox::new(&buffers);
        let push = |batch: &mut Inbox, parts: &[&[u8]]| {
            batch.push(&parts.iter().map(|part| io::IoSlice::new(part)).collect::<Vec<_>>())
        };
        assert!(push(&mut batch, &[b"a", b"bc"]) && !push(&mut batch, &[b"de"]));
        batch.consume(1);
        assert_eq!(batch.unread(), b"bc");
        assert!(push(&mut batch, &[b"d"]) && !push(&mut batch, &[b"e"]));
        batch.consume(3);
        assert!(buffers.free.borrow().len() == 1 && !push(&mut batch, &[b"abcde"]));
    }

    #[test]
    fn a_buffer_is_held_only_while_it_holds_bytes() {
        let buffers = Buffers::new(4);
        let mut inbox = Inbox::new(&buffers);
        let mut cx = Context::from_waker(Waker::noop());
        let mut input = &b"abcdef"[..];
        assert!(matches!(inbox.poll_fill(&mut input, &mut cx), Poll::Ready(Ok(4))));
        assert!(inbox.is_full() && buffers.free.borrow().is_empty());
        inbox.consume(3);
        assert!(matches!(inbox.poll_fill(&mut input, &mut cx), Poll::Ready(Ok(2))), "room is made");
        assert_eq!(inbox.unread(), b"def");
        inbox.consume(3);
        assert_eq!(buffers.free.borrow().len(), 1);
        assert!(matches!(inbox.poll_fill(&mut input, &mut cx), Poll::Ready(Ok(0))), "the end");
        assert_eq!(buffers.free.borrow().len(), 1);
    }

    #[tokio::test]
    async fn few_bytes_that_wait_hold_no_buffer_and_are_read_behind() {
        let buffers = Buffers::new(8);
        let mut inbox = Inbox::new(&buffers);
        let mut cx = Context::from_waker(Waker::noop());
        let (mut here, mut there) = tokio::io::duplex(64);
        for (sent, unread) in [(&b"abc"[..], &b"abc"[..]), (b"defgh", b"bcdefgh"), (b"i", b"bcdefghi")] {
            there.write_all(sent).await.expect("room");
            assert!(inbox.poll_fill(&mut here, &mut cx).is_ready());
            assert_eq!(inbox.unread(), unread);
            if unread.len() < 8 {
                assert!(inbox.poll_fill(&mut here, &mut cx).is_pending() && !inbox.is_full());
                assert_eq!((inbox.unread(), buffers.free.borrow().len()), (unread, 1));
            }
            inbox.consume(usize::from(unread.len() == 3));
        }
        assert!(inbox.is_full());
        inbox.consume(8);
        assert_eq!(buffers.free.borrow().len(), 1);
    }
}
