//! An answer on its way out over HTTP/1.1: the frame around its content, writes of what is there, and its end.

use std::{
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll, ready},
};

use thalweg_wire::{BodyWriter, Unwritable};

use crate::data::{
    client::Client,
    conn::{ClientConn, ConnSignal},
    headers::passes_in_trailers,
    relay::AnswerBody,
    splice::{Pipe, Pipes},
};

/// Content goes behind other bytes up to here; then they are written.
const FULL: usize = 16 * 1024;

/// An answer on its way out.
pub(super) struct Delivery<'a> {
    client: &'a Client,
    writer: BodyWriter,
    pub(super) body: AnswerBody,
    /// The frame of the current content is in the outbox; this goes behind it.
    after: Option<&'static [u8]>,
    /// The end of the answer is in the outbox.
    ended: bool,
    /// Long content passes through this, from socket to socket.
    pipe: Option<Pipe>,
    pipes: &'a Rc<Pipes>,
}

/// How a delivery ended.
pub(super) enum Delivered {
    Whole,
    /// The endpoint has broken its answer off.
    Cut,
    /// The client takes no more.
    Gone,
}

impl<'a> Delivery<'a> {
    pub(super) const fn new(
        client: &'a Client,
        writer: BodyWriter,
        body: AnswerBody,
        pipes: &'a Rc<Pipes>,
    ) -> Self {
        Self { client, writer, body, after: None, ended: false, pipe: None, pipes }
    }

    pub(super) async fn run(&mut self, conn: &ClientConn, leaves: &mut bool) -> Delivered {
        poll_fn(|cx| {
            match conn.take_signal(cx) {
                ConnSignal::Kill => return Poll::Ready(Delivered::Gone),
                ConnSignal::Graceful => *leaves = true,
                ConnSignal::None | ConnSignal::Park | ConnSignal::HeaderTimeout => {}
            }
            self.poll(cx)
        })
        .await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Delivered> {
        loop {
            match ready!(self.poll_splice(cx)) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(_) => return Poll::Ready(Delivered::Gone),
            }
            if !self.ended && self.client.borrow().outbox.len() < FULL {
                match self.body.poll_content(cx) {
                    Poll::Ready(Ok(true)) => match self.frame() {
                        Ok(true) => continue,
                        Ok(false) => {}
                        Err(_) => return Poll::Ready(Delivered::Cut),
                    },
                    Poll::Ready(Ok(false)) => {
                        self.ended = true;
                        let end = &mut *self.client.borrow();
                        let outbox = &mut end.outbox.bytes;
                        if self.writer.end(self.body.trailers(), passes_in_trailers, outbox).is_err() {
                            return Poll::Ready(Delivered::Cut);
                        }
                    }
                    Poll::Ready(Err(_)) => {
                        // What has arrived goes on; the client sees that it is not all.
                        let _ = self.client.borrow().poll_flush(cx);
                        return Poll::Ready(Delivered::Cut);
                    }
                    Poll::Pending => {
                        return match ready!(self.client.borrow().poll_flush(cx)) {
                            Ok(()) => Poll::Pending,
                            Err(_) => Poll::Ready(Delivered::Gone),
                        };
                    }
                }
            }
            if ready!(self.poll_write(cx)).is_err() {
                return Poll::Ready(Delivered::Gone);
            }
            if self.ended {
                return self.client.borrow().poll_flush(cx).map(|flushed| match flushed {
                    Ok(()) => Delivered::Whole,
                    Err(_) => Delivered::Gone,
                });
            }
        }
    }

    /// Lets long content pass from socket to socket. `false`: the next content is to be read.
    fn poll_splice(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if let Some(pipe) = &mut self.pipe
            && !pipe.is_empty()
        {
            ready!(self.client.borrow().poll_give(pipe, cx))?;
            return Poll::Ready(Ok(true));
        }
        if !self.body.is_long() || !self.client.borrow().takes_pipes() {
            self.pipe = None;
            return Poll::Ready(Ok(false));
        }
        if self.pipe.is_none() {
            self.pipe = self.pipes.lend();
        }
        let Some(pipe) = &mut self.pipe else { return Poll::Ready(Ok(false)) };
        let taken = self.body.splice(pipe, cx);
        // Content of known length has no frame, but is counted.
        self.writer.frame(taken).map_err(io::Error::other)?;
        Poll::Ready(Ok(taken > 0))
    }

    /// Puts the frame around new content. Short content goes into the outbox as well; `true` = all of it did.
    fn frame(&mut self) -> Result<bool, Unwritable> {
        let outbox = &mut self.client.borrow().outbox;
        let content = self.body.content();
        if self.after.is_none() {
            let frame = self.writer.frame(content.len())?;
            outbox.bytes.extend_from_slice(frame.before());
            self.after = Some(frame.after());
        }
        if !outbox.takes(content) {
            return Ok(false);
        }
        let length = content.len();
        outbox.bytes.extend_from_slice(self.after.take().unwrap_or_default());
        self.body.consume(length);
        Ok(true)
    }

    /// Writes what is there.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let end = &mut *self.client.borrow();
        let content = if self.after.is_some() { self.body.content() } else { &[] };
        let written = ready!(end.poll_write(content, cx))?;
        self.body.consume(written);
        if self.body.content().is_empty() {
            end.outbox.bytes.extend_from_slice(self.after.take().unwrap_or_default());
        }
        Poll::Ready(Ok(()))
    }
}
