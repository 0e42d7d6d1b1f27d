//! The client's end of one HTTP/1.1 connection: the socket, the strict reader of its requests, and what waits to be
//! written. The session and the upload of the current request share it; each borrows it for one poll only.

use std::{
    cell::{RefCell, RefMut},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use thalweg_core::Tick;
use thalweg_wire::{
    AnswerHead, BodyEvent, Fields, HeadWriter, Limits, ProtocolError, RequestHead, RequestReader,
    RequestStep, Version,
};
use tokio::io::AsyncWrite;

use crate::data::{
    conn::{ClientConn, ClientIo, ConnPhase},
    headers::write_answer_fields,
    inbox::{Buffers, Inbox},
    outbox::Outbox,
    splice::Pipe,
    tunnel::TunnelIo as _,
    upload::UploadError,
};

/// Asks a client for the body that it holds back. Also tells a client that has closed both directions from one that
/// has only sent its last byte: the kernel of the first answers with a reset.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How long a client that has closed its sending side may wait before it is asked.
const ASK_AFTER: Duration = Duration::from_millis(500);

/// The client's end of one HTTP/1.1 connection.
#[derive(Debug)]
pub struct Client {
    end: RefCell<ClientEnd>,
    conn: Rc<ClientConn>,
}

/// What the session and the upload share.
#[derive(Debug)]
pub struct ClientEnd {
    io: ClientIo,
    inbox: Inbox,
    /// What waits to be written.
    pub outbox: Outbox,
    reader: RequestReader,
    version: Version,
    /// The client has closed its sending side.
    ended: bool,
    /// When that was seen while a request was served.
    ended_at: Option<Tick>,
    /// The client waits for a 100 before it sends its body.
    waits: bool,
    /// The edge has asked a client that had ended whether it still listens.
    asked: bool,
}

/// What comes next on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHead {
    /// A head was read.
    Head,
    /// The client has closed the connection, perhaps in the middle of a head.
    End,
    /// The head breaks this rule.
    Refused(ProtocolError),
}

/// What a poll of an upload came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPiece {
    /// Content: so many bytes, at the front of what was read.
    Content(usize),
    /// The upload is over.
    End,
}

impl Client {
    /// A connection whose first byte has arrived or will.
    #[must_use]
    pub fn new(io: ClientIo, conn: &Rc<ClientConn>, buffers: &Rc<Buffers>, limits: Limits) -> Rc<Self> {
        let end = ClientEnd {
            io,
            inbox: Inbox::new(buffers),
            outbox: Outbox::default(),
            reader: RequestReader::new(limits),
            version: Version::default(),
            ended: false,
            ended_at: None,
            waits: false,
            asked: false,
        };
        Rc::new(Self { end: RefCell::new(end), conn: Rc::clone(conn) })
    }

    /// The socket and the bytes that were read behind the last request, if this end has no other owner.
    ///
    /// # Errors
    /// This end, unchanged.
    pub fn into_parts(self: Rc<Self>) -> Result<(ClientIo, Inbox), Rc<Self>> {
        Rc::try_unwrap(self).map(|client| {
            let end = client.end.into_inner();
            (end.io, end.inbox)
        })
    }

    /// Borrows this end for one step.
    pub fn borrow(&self) -> RefMut<'_, ClientEnd> {
        self.end.borrow_mut()
    }

    /// Reads the next head into `head`.
    pub fn poll_head(&self, head: &mut RequestHead, cx: &mut Context<'_>) -> Poll<NextHead> {
        let end = &mut *self.end.borrow_mut();
        loop {
            if !end.inbox.is_empty() {
                if self.conn.phase.get() == ConnPhase::Idle {
                    self.conn.head_begins();
                }
                match end.reader.head(end.inbox.unread(), head) {
                    Err(error) => return Poll::Ready(NextHead::Refused(error)),
                    Ok(RequestStep::More) => end.inbox.consume(usize::MAX),
                    Ok(RequestStep::Head { consumed }) => {
                        end.inbox.consume(consumed);
                        (end.version, end.waits) = (head.version(), head.expects_continue());
                        return Poll::Ready(NextHead::Head);
                    }
                }
            }
            match end.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(NextHead::End),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Reads on in the upload of the current request. Asks for the body if the client waits to be asked.
    ///
    /// # Errors
    /// The client has gone, or has broken the framing.
    pub fn poll_upload(&self, cx: &mut Context<'_>) -> Poll<Result<ClientPiece, UploadError>> {
        let end = &mut *self.end.borrow_mut();
        loop {
            let step = end.reader.body(end.inbox.unread()).map_err(UploadError::Garbled)?;
            match step.event {
                BodyEvent::Data(place) => {
                    end.inbox.consume(place.start);
                    return Poll::Ready(Ok(ClientPiece::Content(place.len())));
                }
                BodyEvent::End => {
                    end.inbox.consume(step.consumed);
                    return Poll::Ready(Ok(ClientPiece::End));
                }
                BodyEvent::More => end.inbox.consume(step.consumed),
            }
            match end.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(UploadError::ClientGone)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    end.ask_for_body(cx);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Ready when the client of a request that is being served has gone. A client that has closed only its sending side
    /// still gets its answer (RFC 9112 section 9.6). The two look the same until something is sent, so an interim 100,
    /// which every client must skip (RFC 9110 section 15.2), is sent once if the answer takes long.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let end = &mut *self.end.borrow_mut();
        while !end.ended {
            if end.inbox.is_full() {
                return Poll::Pending;
            }
            if ready!(end.poll_fill(cx)).is_err() {
                return Poll::Ready(());
            }
        }
        if !end.reader.is_idle() || end.version != Version::Http11 {
            return Poll::Pending;
        }
        self.conn.half_closed.set(true);
        let now = self.conn.clock.get();
        let is_due = now.since(*end.ended_at.get_or_insert(now)) >= ASK_AFTER;
        if is_due && end.outbox.is_empty() && !std::mem::replace(&mut end.asked, true) {
            end.outbox.bytes.extend_from_slice(CONTINUE);
            let _ = end.poll_flush(cx);
        }
        if end.io.take_error().is_some() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Passes an interim answer on; 100 is not among them, because `Expect` is answered here. The bytes leave with the
    /// next write.
    pub fn pass_interim(&self, head: &AnswerHead, cx: &mut Context<'_>) {
        let end = &mut *self.end.borrow_mut();
        if end.version == Version::Http11 {
            let mut writer = HeadWriter::answer(
                &mut end.outbox.bytes,
                head.status(),
                head.reason(),
                thalweg_wire::Framing::None,
            );
            write_answer_fields(&mut writer, head.fields());
            let _ = writer.finish();
            let _ = end.poll_flush(cx);
        }
    }

    /// Reads and forgets the rest of the upload; `false` = it breaks off.
    pub fn poll_rest(&self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            match ready!(self.poll_upload(cx)) {
                Ok(ClientPiece::Content(length)) => self.borrow().consume(length),
                Ok(ClientPiece::End) => return Poll::Ready(true),
                Err(_) => return Poll::Ready(false),
            }
        }
    }

    /// The trailer fields of the upload, once it was read to its end.
    #[must_use]
    pub fn trailers(&self) -> Option<Fields> {
        self.end.borrow().reader.trailers().cloned()
    }
}

impl ClientEnd {
    /// Bytes that were read and not taken.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        self.inbox.unread()
    }

    /// Takes bytes.
    pub fn consume(&mut self, bytes: usize) {
        self.inbox.consume(bytes);
    }

    /// Whether the request was read to its end.
    #[must_use]
    pub fn is_between_requests(&self) -> bool {
        self.reader.is_idle()
    }

    /// Whether nothing of a request has arrived and nothing waits to be written.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.inbox.is_empty() && self.outbox.is_empty() && self.reader.is_idle()
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        let polled = self.inbox.poll_fill(&mut self.io, cx);
        self.ended = matches!(polled, Poll::Ready(Ok(0)));
        polled
    }

    fn ask_for_body(&mut self, cx: &mut Context<'_>) {
        if std::mem::take(&mut self.waits) {
            self.outbox.bytes.extend_from_slice(CONTINUE);
        }
        // What does not go now goes with the next poll: the socket wakes this task.
        let _ = self.poll_flush(cx);
    }

    /// Writes what waits in the outbox, then as much of `content` as goes; returns how much that was.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn poll_write(&mut self, content: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.outbox.poll_write(&mut self.io, content, cx)
    }

    /// Whether content may pass from socket to socket: nothing waits to be written, and TLS is not between.
    #[must_use]
    pub fn takes_pipes(&self) -> bool {
        self.outbox.is_empty() && self.io.is_plain()
    }

    /// Sends bytes that wait in a pipe; returns how many.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn poll_give(&self, pipe: &mut Pipe, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.io.poll_give(pipe, cx)
    }

    /// Writes everything out.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            ready!(self.outbox.poll_write(&mut self.io, &[], cx))?;
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Closes the edge's side.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Makes the close a reset: a client that takes the end of the connection for the end of its answer must not take
    /// a broken answer for a whole one.
    pub fn reset_on_close(&self) {
        self.io.reset_on_close();
    }

    /// Reads and forgets what arrives; `false` = the client has ended.
    pub fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.inbox.consume(usize::MAX);
        self.poll_fill(cx).map(|read| matches!(read, Ok(1..)))
    }
}
