//! Content that passes from socket to socket inside the kernel, through a pipe (splice(2)): the edge neither reads nor
//! copies it. Used for long content of known length between plaintext connections.
//!
//! Why this and not a read and a write: both copy every byte, and of a long answer the copies are nearly the whole
//! cost. Why not always: a pipe costs two descriptors, and a short answer has arrived with its head.

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::{AsFd, OwnedFd},
    rc::Rc,
    task::{Context, Poll, ready},
};

use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest},
    net::TcpStream,
};

/// Content of which less than this is left is read and written.
pub const WORTHWHILE: u64 = 128 * 1024;

/// The most bytes in one pipe: what a client that reads slowly makes the kernel hold, as it does with a read buffer.
const MOST: usize = 64 * 1024;

/// The most pipes of one worker: they bound its descriptors, and the kernel bounds the memory of one user's pipes.
const PIPES: usize = 64;

/// One end of a tunnel, whose bytes may pass through pipes.
pub trait TunnelIo: AsyncRead + AsyncWrite + Unpin {
    /// Whether bytes may pass between its socket and a pipe.
    fn takes_pipes(&self) -> bool {
        false
    }

    /// Whether what was written was the last that it may take: its direction ends.
    fn takes_no_more(&self) -> bool {
        false
    }

    /// Moves what has arrived into an empty pipe; returns how much. 0 = a read tells why.
    fn take(&self, _: &mut Pipe, _: &mut Context<'_>) -> usize {
        0
    }

    /// Sends bytes that wait in a pipe.
    ///
    /// # Errors
    /// Those of the connection; `Unsupported` where no pipe is taken.
    fn poll_give(&self, _: &mut Pipe, _: &mut Context<'_>) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

/// The pipes of one worker.
#[derive(Debug, Default)]
pub struct Pipes {
    free: RefCell<Vec<(OwnedFd, OwnedFd)>>,
    made: Cell<usize>,
}

/// A pipe that is lent to one answer.
#[derive(Debug)]
pub struct Pipe {
    ends: Option<(OwnedFd, OwnedFd)>,
    /// Bytes that are in the pipe.
    held: usize,
    pipes: Rc<Pipes>,
}

impl Pipes {
    /// Lends an empty pipe; `None` if all are lent, or the system gives no more.
    #[must_use]
    pub fn lend(self: &Rc<Self>) -> Option<Pipe> {
        let free = self.free.borrow_mut().pop();
        let ends = free.or_else(|| {
            let has_room = self.made.get() < PIPES;
            let made =
                has_room.then(|| pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()).flatten()?;
            self.made.set(self.made.get() + 1);
            Some(made)
        })?;
        Some(Pipe { ends: Some(ends), held: 0, pipes: Rc::clone(self) })
    }
}

impl Pipe {
    /// Whether everything that went in has come out.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Moves up to `left` bytes that have arrived on a socket into this empty pipe. 0 = nothing has arrived, or the
    /// connection has ended or failed: a read tells which.
    pub fn take(&mut self, from: &TcpStream, left: u64, cx: &mut Context<'_>) -> usize {
        let Some((_, into)) = &self.ends else { return 0 };
        let most = usize::try_from(left).map_or(MOST, |left| left.min(MOST));
        if !matches!(from.poll_read_ready(cx), Poll::Ready(Ok(()))) {
            return 0;
        }
        self.held = from.try_io(Interest::READABLE, || moved(from, into, most)).unwrap_or(0);
        self.held
    }

    /// Moves bytes from the pipe to a socket; returns how many.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn poll_give(&mut self, to: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some((from, _)) = &self.ends else { return Poll::Ready(Ok(0)) };
        loop {
            ready!(to.poll_write_ready(cx))?;
            match to.try_io(Interest::WRITABLE, || moved(from, to, self.held)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(bytes) => {
                    self.held -= bytes;
                    return Poll::Ready(Ok(bytes));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        match self.ends.take() {
            Some(ends) if self.held == 0 => self.pipes.free.borrow_mut().push(ends),
            // Closed with what is in it: no other answer may get these bytes.
            _ => self.pipes.made.set(self.pipes.made.get() - 1),
        }
    }
}

fn moved(from: &impl AsFd, to: &impl AsFd, most: usize) -> io::Result<usize> {
    Ok(splice(from, None, to, None, most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?)
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, io::Write as _};

    use tokio::{io::AsyncReadExt as _, net::TcpListener};

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (near.expect("a connection"), far.expect("a connection").0)
    }

    #[tokio::test]
    async fn bytes_pass_from_socket_to_socket_and_not_one_more_than_asked_for() {
        let (endpoint, mut upstream) = pair().await;
        let (client, mut reader) = pair().await;
        tokio::io::AsyncWriteExt::write_all(&mut upstream, b"0123456789").await.expect("written");
        let pipes = Rc::new(Pipes::default());
        let mut pipe = pipes.lend().expect("a pipe");
        let taken = poll_fn(|cx| match pipe.take(&endpoint, 6, cx) {
            0 => Poll::Pending,
            bytes => Poll::Ready(bytes),
        })
        .await;
        assert_eq!(taken, 6);
        while !pipe.is_empty() {
            poll_fn(|cx| pipe.poll_give(&client, cx)).await.expect("given");
        }
        let mut seen = [0; 6];
        reader.read_exact(&mut seen).await.expect("read");
        assert_eq!(&seen, b"012345");
    }

    #[test]
    fn pipes_are_bounded_and_a_pipe_with_bytes_in_it_is_not_lent_again() {
        let pipes = Rc::new(Pipes::default());
        let mut lent: Vec<Pipe> = std::iter::from_fn(|| pipes.lend()).collect();
        assert_eq!(lent.len(), PIPES);
        let (_, into) = lent[0].ends.as_ref().expect("a pipe");
        std::fs::File::from(into.try_clone().expect("a copy")).write_all(b"left over").expect("written");
        lent[0].held = 9;
        drop(lent);
        assert_eq!((pipes.free.borrow().len(), pipes.made.get()), (PIPES - 1, PIPES - 1));
        assert!(pipes.lend().is_some_and(|pipe| pipe.is_empty()));
    }
}
