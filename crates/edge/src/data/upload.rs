//! A request's body on its way to an endpoint: counted, bounded, and kept as far as a replay may need it. Never holds
//! more than the replay buffer and one piece; back-pressure reaches the client's socket.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use thalweg_core::Tick;
use thalweg_wire::{Fields, ProtocolError};

use crate::data::{
    client::{Client, ClientPiece},
    deadline::Deadline,
    headers::fields_of,
};

mod http2;
mod http3;

pub use http2::Http2Upload;
pub use http3::{Http3Upload, UploadStream, poll_data};

/// Most pieces that are kept for a replay: each piece costs more memory than its bytes, and may have only one byte.
const PIECES: usize = 1024;

/// Where an upload comes from.
#[derive(Debug)]
pub enum UploadSource {
    /// An HTTP/1.1 connection.
    Http1(Rc<Client>),
    /// An HTTP/2 stream.
    Http2(Http2Upload),
    /// An HTTP/3 stream.
    Http3(Box<Http3Upload>),
}

/// The upload of one request, over all its attempts.
#[derive(Debug)]
pub struct Upload {
    /// `None` once it was read to its end, or has broken off.
    source: RefCell<Option<UploadSource>>,
    /// Pieces sent so far, as long as the upload can be replayed.
    kept: RefCell<Vec<Bytes>>,
    kept_bytes: Cell<u64>,
    buffer: u64,
    limit: Option<u64>,
    /// Bytes read from the client.
    pub received: Cell<u64>,
    /// When the last byte was read from the client; `None` = not yet.
    pub ended: Cell<Option<Tick>>,
    /// Why it has broken off.
    pub broken: Cell<Option<UploadError>>,
    /// The client must send the next piece: the endpoint has taken the last one.
    pub client_is_due: Cell<bool>,
    trailers: RefCell<Option<Fields>>,
    replayable: Cell<bool>,
    /// Grows with each attempt: a body of an older attempt reads nothing more from the client.
    attempt: Cell<u32>,
    /// How long the answer may take after the end of the upload before the wait is checked.
    pub patience: Cell<Duration>,
    /// The head of the answer has come: the wait for it is over.
    pub answered: Cell<bool>,
    deadline: Rc<Deadline>,
    clock: Rc<Cell<Tick>>,
}

/// Bounds on an upload.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes kept for a replay.
    pub buffer: u64,
    /// Bytes allowed at all.
    pub limit: Option<u64>,
}

/// Why an upload broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// The client broke off.
    #[error("the client broke the upload off")]
    ClientGone,
    /// The client broke the framing, and may still read an answer.
    #[error("the upload is malformed: {0}")]
    Garbled(ProtocolError),
    /// More than `body_bytes` arrived.
    #[error("the upload is larger than allowed")]
    TooLarge,
    /// Another attempt has taken over.
    #[error("another attempt has taken over")]
    Superseded,
}

/// The next part of a body for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadStep {
    /// Content is there.
    Content,
    /// The body is over.
    End,
}

/// Content that was read and not sent yet.
#[derive(Debug, Default)]
enum UploadPiece {
    #[default]
    None,
    /// In memory of its own.
    Owned(Bytes),
    /// So many bytes at the front of what was read from the client.
    InClient(usize),
}

impl UploadPiece {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Owned(bytes) => bytes.len(),
            Self::InClient(length) => *length,
        }
    }
}

impl Upload {
    /// An upload that starts now; `None` if the request has no body.
    #[must_use]
    pub fn new(
        source: Option<UploadSource>,
        bounds: Bounds,
        deadline: Rc<Deadline>,
        clock: Rc<Cell<Tick>>,
    ) -> Rc<Self> {
        Rc::new(Self {
            ended: Cell::new(source.is_none().then(|| clock.get())),
            source: RefCell::new(source),
            kept: RefCell::default(),
            kept_bytes: Cell::new(0),
            buffer: bounds.buffer,
            limit: bounds.limit,
            received: Cell::new(0),
            broken: Cell::new(None),
            client_is_due: Cell::new(false),
            trailers: RefCell::default(),
            replayable: Cell::new(true),
            attempt: Cell::new(0),
            patience: Cell::new(Duration::ZERO),
            answered: Cell::new(false),
            deadline,
            clock,
        })
    }

    /// Whether the whole upload can be sent from its start, also again.
    #[must_use]
    pub fn replayable(&self) -> bool {
        self.replayable.get() && self.broken.get().is_none()
    }

    /// The body for the next attempt. Only the body that was handed out last gets bytes that are still to come from the
    /// client.
    #[must_use]
    pub fn attempt(self: &Rc<Self>) -> UploadBody {
        self.attempt.set(self.attempt.get() + 1);
        // Kept pieces come first: the endpoint takes the next piece.
        self.client_is_due.set(false);
        self.deadline.pace.upload_is_due(false);
        UploadBody {
            upload: Rc::clone(self),
            attempt: self.attempt.get(),
            replayed: 0,
            piece: UploadPiece::None,
        }
    }

    /// The trailer fields, after the end.
    pub fn with_trailers<R>(&self, read: impl FnOnce(Option<&Fields>) -> R) -> R {
        read(self.trailers.borrow().as_ref())
    }

    /// Keeps a piece for a replay if it fits. `piece` is called only then.
    fn remember(&self, length: usize, piece: impl FnOnce() -> Bytes) -> Option<Bytes> {
        let bytes = self.kept_bytes.get() + length as u64;
        self.kept_bytes.set(bytes);
        let mut kept = self.kept.borrow_mut();
        if bytes > self.buffer || kept.len() >= PIECES {
            self.replayable.set(false);
            *kept = Vec::new();
        }
        self.replayable.get().then(|| {
            let piece = piece();
            kept.push(piece.clone());
            piece
        })
    }

    /// The upload has ended: from here on the endpoint is waited for.
    fn end(&self, trailers: Option<Fields>) {
        *self.source.borrow_mut() = None;
        *self.trailers.borrow_mut() = trailers;
        self.ended.set(Some(self.clock.get()));
        if !self.answered.get() {
            self.deadline.until(self.clock.get().after(self.patience.get()));
        }
    }

    fn break_off(&self, error: UploadError) -> UploadError {
        *self.source.borrow_mut() = None;
        self.broken.set(Some(error));
        error
    }

    /// Reads the next piece from the client; `None` = the end.
    fn poll_client(&self, cx: &mut Context<'_>) -> Poll<Result<Option<UploadPiece>, UploadError>> {
        if let Some(error) = self.broken.get() {
            return Poll::Ready(Err(error));
        }
        let read = match &mut *self.source.borrow_mut() {
            None => return Poll::Ready(Ok(None)),
            Some(UploadSource::Http1(client)) => self.poll_http1(client, cx),
            Some(UploadSource::Http2(body)) => self.poll_http2(body, cx),
            Some(UploadSource::Http3(body)) => self.poll_http3(body, cx),
        };
        self.client_is_due.set(read.is_pending());
        self.deadline.pace.upload_is_due(read.is_pending());
        match ready!(read) {
            Err(error) => Poll::Ready(Err(self.break_off(error))),
            Ok(ClientRead::End(trailers)) => {
                self.end(trailers);
                Poll::Ready(Ok(None))
            }
            Ok(ClientRead::Piece(piece)) => {
                self.deadline.moved();
                self.deadline.pace.passed(piece.len());
                if self.limit.is_some_and(|limit| self.received.get() > limit) {
                    return Poll::Ready(Err(self.break_off(UploadError::TooLarge)));
                }
                Poll::Ready(Ok(Some(piece)))
            }
        }
    }

    fn poll_http1(&self, client: &Rc<Client>, cx: &mut Context<'_>) -> Poll<Result<ClientRead, UploadError>> {
        Poll::Ready(Ok(match ready!(client.poll_upload(cx))? {
            ClientPiece::End => ClientRead::End(client.trailers()),
            ClientPiece::Content(length) => {
                self.received.set(self.received.get() + length as u64);
                let mut end = client.borrow();
                let content = end.unread().get(..length).unwrap_or_default();
                let kept = self.remember(length, || Bytes::copy_from_slice(content));
                ClientRead::Piece(match kept {
                    Some(kept) => {
                        end.consume(length);
                        UploadPiece::Owned(kept)
                    }
                    None => UploadPiece::InClient(length),
                })
            }
        }))
    }

    fn poll_http2(
        &self,
        body: &mut Http2Upload,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ClientRead, UploadError>> {
        if body.is_over() {
            return Poll::Ready(Ok(ClientRead::End(None)));
        }
        let gone = |_: h2::Error| UploadError::ClientGone;
        Poll::Ready(match ready!(body.poll_piece(cx)).map_err(gone)? {
            Some(data) => {
                self.received.set(self.received.get() + data.len() as u64);
                self.remember(data.len(), || data.clone());
                Ok(ClientRead::Piece(UploadPiece::Owned(data)))
            }
            None => {
                let trailers = ready!(body.poll_trailers(cx)).map_err(gone)?;
                let trailers = trailers.map(|map| fields_of(&map)).transpose();
                trailers.map(ClientRead::End).map_err(UploadError::Garbled)
            }
        })
    }

    fn client(&self) -> Option<Rc<Client>> {
        let source = self.source.borrow();
        if let Some(UploadSource::Http1(client)) = &*source { Some(Rc::clone(client)) } else { None }
    }
}

enum ClientRead {
    Piece(UploadPiece),
    End(Option<Fields>),
}

/// The body of one attempt.
#[derive(Debug)]
pub struct UploadBody {
    upload: Rc<Upload>,
    attempt: u32,
    replayed: usize,
    piece: UploadPiece,
}

impl UploadBody {
    /// The upload.
    #[must_use]
    pub fn upload(&self) -> &Rc<Upload> {
        &self.upload
    }

    /// Finds the next content, if the last was taken.
    ///
    /// # Errors
    /// The upload has broken off, or another attempt has taken over.
    pub fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<UploadStep, UploadError>> {
        if !self.is_empty() {
            return Poll::Ready(Ok(UploadStep::Content));
        }
        let kept = self.upload.kept.borrow().get(self.replayed).cloned();
        if let Some(kept) = kept {
            self.replayed += 1;
            self.piece = UploadPiece::Owned(kept);
            return Poll::Ready(Ok(UploadStep::Content));
        }
        let is_over = self.upload.source.borrow().is_none();
        if self.attempt != self.upload.attempt.get() && !is_over {
            return Poll::Ready(Err(UploadError::Superseded));
        }
        let read = ready!(self.upload.poll_client(cx))?;
        self.replayed = self.upload.kept.borrow().len();
        Poll::Ready(Ok(match read {
            Some(piece) => {
                self.piece = piece;
                UploadStep::Content
            }
            None => UploadStep::End,
        }))
    }

    /// Whether no content waits to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.piece.len() == 0
    }

    /// Shows the content to `read`.
    pub fn with_content<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        match &self.piece {
            UploadPiece::None => read(&[]),
            UploadPiece::Owned(bytes) => read(bytes),
            UploadPiece::InClient(length) => match self.upload.client() {
                Some(client) => read(client.borrow().unread().get(..*length).unwrap_or_default()),
                None => read(&[]),
            },
        }
    }

    /// Takes the first bytes of the content out, in memory of their own.
    pub fn take(&mut self, bytes: usize) -> Bytes {
        if let UploadPiece::Owned(content) = &mut self.piece {
            return content.split_to(bytes.min(content.len()));
        }
        let taken = self.with_content(|all| Bytes::copy_from_slice(all.get(..bytes).unwrap_or(all)));
        self.consume(taken.len());
        taken
    }

    /// Takes the first bytes of the content.
    pub fn consume(&mut self, bytes: usize) {
        match &mut self.piece {
            UploadPiece::None => {}
            UploadPiece::Owned(content) => _ = content.split_to(bytes.min(content.len())),
            UploadPiece::InClient(length) => {
                *length = length.saturating_sub(bytes);
                if let Some(client) = self.upload.client() {
                    client.borrow().consume(bytes);
                }
            }
        }
    }
}
