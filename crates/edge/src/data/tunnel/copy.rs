//! Bytes of a tunnel in both directions, until both have ended or one breaks. Each direction reads into a buffer that the
//! worker lends; while much arrives at a time between plaintext sockets, it passes through a pipe inside the kernel.
//!
//! Why not `tokio::io::copy_bidirectional`: two buffers of its own per tunnel, also while nothing passes, and no pipe.
//! Why not a pipe for all bytes: a pipe is two system calls per piece as reading and writing are, and costs more than the
//! copy of a short piece.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::data::{
    inbox::Inbox,
    splice::{Pipe, Pipes},
};

/// A piece of this many bytes makes the next one pass through a pipe.
const LONG: usize = 16 * 1024;

/// One end of a tunnel.
pub trait TunnelIo: AsyncRead + AsyncWrite + Unpin {
    /// Whether bytes may pass between its socket and a pipe.
    fn takes_pipes(&self) -> bool {
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

/// Both directions of a tunnel. Holds no buffer and no pipe while nothing waits in it.
#[derive(Debug)]
pub(super) struct BothWays {
    up: Direction,
    down: Direction,
}

impl BothWays {
    /// A tunnel in which these bytes go first: of the client, and of the endpoint.
    #[must_use]
    pub(super) fn new(of_client: Inbox, of_endpoint: Inbox, pipes: &Rc<Pipes>) -> Self {
        Self { up: Direction::new(of_client, pipes), down: Direction::new(of_endpoint, pipes) }
    }

    /// Ready when both sides have ended.
    ///
    /// # Errors
    /// Those of either connection.
    pub(super) fn poll(
        &mut self,
        client: &mut impl TunnelIo,
        endpoint: &mut impl TunnelIo,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let up = self.up.poll(client, endpoint, cx)?;
        let down = self.down.poll(endpoint, client, cx)?;
        if up.is_ready() && down.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

#[derive(Debug)]
struct Direction {
    held: Inbox,
    pipe: Option<Pipe>,
    pipes: Rc<Pipes>,
    /// The last piece was long.
    is_long: bool,
    /// What was written may still wait for a flush.
    unflushed: bool,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// One side has ended; the other has yet to be told.
    Ending,
    Ended,
}

impl Direction {
    fn new(first: Inbox, pipes: &Rc<Pipes>) -> Self {
        let unflushed = !first.is_empty();
        Self {
            held: first,
            pipe: None,
            pipes: Rc::clone(pipes),
            is_long: false,
            unflushed,
            phase: Phase::Open,
        }
    }

    fn poll(
        &mut self,
        from: &mut impl TunnelIo,
        to: &mut impl TunnelIo,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_send(to, cx))?;
            match self.phase {
                Phase::Open => {}
                Phase::Ending => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                    self.phase = Phase::Ended;
                }
                Phase::Ended => return Poll::Ready(Ok(())),
            }
            if self.phase == Phase::Ended || self.splice(from, to, cx) {
                continue;
            }
            match self.held.poll_fill(from, cx)? {
                Poll::Ready(0) => self.phase = Phase::Ending,
                Poll::Ready(bytes) => (self.is_long, self.unflushed) = (bytes >= LONG, true),
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *to).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// Sends what is held.
    fn poll_send(&mut self, to: &mut impl TunnelIo, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(pipe) = &mut self.pipe {
            if pipe.is_empty() {
                self.pipe = None;
            } else {
                ready!(to.poll_give(pipe, cx))?;
            }
        }
        while !self.held.is_empty() {
            match ready!(Pin::new(&mut *to).poll_write(cx, self.held.unread()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.held.consume(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the next piece into a pipe, if it may be long. `false`: it is to be read.
    fn splice(&mut self, from: &impl TunnelIo, to: &impl TunnelIo, cx: &mut Context<'_>) -> bool {
        if !self.is_long || !from.takes_pipes() || !to.takes_pipes() {
            return false;
        }
        let Some(mut pipe) = self.pipes.lend() else { return false };
        let taken = from.take(&mut pipe, cx);
        if taken > 0 {
            self.is_long = taken >= LONG;
            self.pipe = Some(pipe);
        }
        taken > 0
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::data::inbox::Buffers;

    impl TunnelIo for DuplexStream {}

    fn both_ways(early: &[u8]) -> (BothWays, Rc<Buffers>) {
        let buffers = Buffers::new(64);
        let mut first = Inbox::new(&buffers);
        assert!(first.push(&[io::IoSlice::new(early)]));
        (BothWays::new(first, Inbox::new(&buffers), &Rc::default()), buffers)
    }

    #[tokio::test]
    async fn what_was_read_before_goes_first_and_each_side_ends_by_itself() {
        let ((mut near, mut client), (mut far, mut endpoint)) = (duplex(8), duplex(8));
        let (mut tunnel, _) = both_ways(b"early ");
        let passing = poll_fn(|cx| tunnel.poll(&mut near, &mut far, cx));
        let client = async {
            client.write_all(b"and late").await.expect("written");
            client.shutdown().await.expect("one side ends");
            let mut seen = String::new();
            client.read_to_string(&mut seen).await.expect("the other goes on");
            seen
        };
        let endpoint = async {
            let mut seen = String::new();
            endpoint.read_to_string(&mut seen).await.expect("read");
            endpoint.write_all(b"an answer, after the end").await.expect("written");
            drop(endpoint);
            seen
        };
        let (passed, answer, asked) = tokio::join!(passing, client, endpoint);
        passed.expect("an orderly end");
        assert_eq!((asked.as_str(), answer.as_str()), ("early and late", "an answer, after the end"));
    }

    #[tokio::test]
    async fn a_side_that_is_gone_breaks_the_tunnel() {
        let ((mut near, mut client), (mut far, endpoint)) = (duplex(8), duplex(8));
        let (mut tunnel, _) = both_ways(b"");
        drop(endpoint);
        client.write_all(b"lost").await.expect("there is room");
        assert!(poll_fn(|cx| tunnel.poll(&mut near, &mut far, cx)).await.is_err());
    }
}
