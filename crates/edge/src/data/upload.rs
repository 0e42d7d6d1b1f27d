//! A request's body on its way to an endpoint: counted, bounded, and kept as far as a replay may need it. Never holds
//! more than the replay buffer; back-pressure reaches the client's socket.

use std::{
    cell::{Cell, RefCell},
    error::Error,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use thalweg_core::Tick;

use crate::data::{deadline::Deadline, headers::clean_trailers};

/// Most pieces that are kept for a replay: each piece costs more memory than its bytes, and may have only one byte.
const PIECES: usize = 1024;

/// The upload of one request, over all its attempts.
#[derive(Debug)]
pub struct Upload {
    body: RefCell<Option<Incoming>>,
    /// Pieces sent so far, as long as the upload can be replayed.
    kept: RefCell<Vec<Bytes>>,
    kept_bytes: Cell<u64>,
    buffer: u64,
    limit: Option<u64>,
    /// Bytes read from the client.
    pub received: Cell<u64>,
    /// When the last byte was read from the client; `None` = not yet.
    pub ended: Cell<Option<Tick>>,
    /// More than the limit has arrived.
    pub too_large: Cell<bool>,
    /// The client broke off.
    pub client_failed: Cell<bool>,
    /// The client must send the next piece: the endpoint has taken the last one.
    pub client_is_due: Cell<bool>,
    /// The client broke the framing, and may still read an answer.
    pub garbled: Cell<bool>,
    replayable: Cell<bool>,
    touched: Cell<bool>,
    /// Grows with each attempt: a body of an older attempt reads nothing more from the client.
    attempt: Cell<u32>,
    /// How long the answer may take after the end of the upload before the wait is checked.
    pub patience: Cell<Duration>,
    /// The head of the answer has come: the wait for it is over.
    pub answered: Cell<bool>,
    deadline: Rc<Deadline>,
    clock: Rc<Cell<Tick>>,
    /// The request's number on its connection.
    request: u32,
}

/// Bounds on an upload.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes kept for a replay.
    pub buffer: u64,
    /// Bytes allowed at all.
    pub limit: Option<u64>,
}

impl Upload {
    /// An upload that starts now.
    #[must_use]
    pub fn new(body: Incoming, bounds: Bounds, deadline: Rc<Deadline>, clock: Rc<Cell<Tick>>) -> Rc<Self> {
        let none = nothing_follows(&body);
        let request = if none { 0 } else { deadline.conn().upload_begins() };
        Rc::new(Self {
            ended: Cell::new(none.then(|| clock.get())),
            body: RefCell::new((!none).then_some(body)),
            kept: RefCell::default(),
            kept_bytes: Cell::new(0),
            buffer: bounds.buffer,
            limit: bounds.limit,
            received: Cell::new(0),
            too_large: Cell::new(false),
            client_failed: Cell::new(false),
            client_is_due: Cell::new(false),
            garbled: Cell::new(false),
            replayable: Cell::new(true),
            touched: Cell::new(false),
            attempt: Cell::new(0),
            patience: Cell::new(Duration::ZERO),
            answered: Cell::new(false),
            deadline,
            clock,
            request,
        })
    }

    /// Whether the request has no body.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.body.borrow().is_none() && !self.touched.get()
    }

    /// Whether the whole upload can be sent from its start, also again.
    #[must_use]
    pub fn replayable(&self) -> bool {
        self.replayable.get() && !self.too_large.get() && !self.client_failed.get()
    }

    /// The body for the next attempt. Only the body that was handed out last gets bytes that are still to come from the
    /// client.
    #[must_use]
    pub fn attempt(self: &Rc<Self>) -> UploadBody {
        self.attempt.set(self.attempt.get() + 1);
        // Kept pieces come first: the endpoint takes the next piece.
        self.client_is_due.set(false);
        if self.is_empty() {
            return UploadBody(None);
        }
        UploadBody(Some(Sending { upload: Rc::clone(self), attempt: self.attempt.get(), replayed: 0 }))
    }

    fn remember(&self, data: &Bytes) {
        let bytes = self.kept_bytes.get() + data.len() as u64;
        self.kept_bytes.set(bytes);
        let mut kept = self.kept.borrow_mut();
        if bytes > self.buffer || kept.len() >= PIECES {
            self.replayable.set(false);
            *kept = Vec::new();
        } else if self.replayable.get() {
            kept.push(data.clone());
        }
    }

    /// The upload has ended: from here on the endpoint is waited for.
    fn end(&self) {
        self.deadline.conn().upload_ends(self.request, true);
        self.ended.set(Some(self.clock.get()));
        if !self.answered.get() {
            self.deadline.until(self.clock.get().after(self.patience.get()));
        }
    }

    fn break_off(&self, body: &mut Option<Incoming>) -> Option<Result<Frame<Bytes>, UploadError>> {
        *body = None;
        self.client_failed.set(true);
        Some(Err(UploadError::ClientGone))
    }

    fn poll_client(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let mut slot = self.body.borrow_mut();
        let Some(body) = slot.as_mut() else { return Poll::Ready(None) };
        self.touched.set(true);
        let polled = Pin::new(&mut *body).poll_frame(cx);
        self.client_is_due.set(polled.is_pending());
        self.deadline.conn().due.set(polled.is_pending());
        match polled {
            // Over HTTP/1.1 the connection ends instead.
            Poll::Pending if self.deadline.conn().http2.get() => {
                self.deadline.poll_ignored_upload(cx).map(|()| self.break_off(&mut slot))
            }
            Poll::Pending => Poll::Pending,
            // For hyper, a stream that was reset without an error code (RFC 9113 section 8.1) is at its end; its upload
            // is not.
            Poll::Ready(None) if self.deadline.conn().http2.get() && !body.is_end_stream() => {
                Poll::Ready(self.break_off(&mut slot))
            }
            Poll::Ready(None) => {
                *slot = None;
                self.end();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.garbled.set(is_garbled(&error));
                Poll::Ready(self.break_off(&mut slot))
            }
            Poll::Ready(Some(Ok(mut frame))) => {
                self.deadline.moved();
                if let Some(fields) = frame.trailers_mut() {
                    clean_trailers(fields);
                }
                match frame.data_ref() {
                    Some(data) => {
                        self.received.set(self.received.get() + data.len() as u64);
                        if self.limit.is_some_and(|limit| self.received.get() > limit) {
                            self.too_large.set(true);
                            return Poll::Ready(Some(Err(UploadError::TooLarge)));
                        }
                        self.remember(data);
                    }
                    // Trailers are not kept, so an upload with trailers is sent once.
                    None => self.replayable.set(false),
                }
                // No bytes follow trailers, whatever a body of unknown length says.
                if frame.is_trailers() || nothing_follows(body) {
                    *slot = None;
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }
}

/// Whether the last byte has been read. The body is not polled for more: an HTTP/2 stream may end later with an empty
/// frame of its own, and h2 enforces the announced length.
#[must_use]
pub fn nothing_follows(body: &Incoming) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.ended.get().is_none() {
            self.deadline.conn().upload_ends(self.request, false);
        }
    }
}

/// Whether the client broke the framing. Hyper calls malformed chunks invalid; every other error is the end of the
/// connection or of the stream.
fn is_garbled(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause
        .is_some_and(|cause| matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData))
}

/// Why an upload broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// The client broke off.
    #[error("the client broke the upload off")]
    ClientGone,
    /// More than `body_bytes` arrived.
    #[error("the upload is larger than allowed")]
    TooLarge,
    /// Another attempt has taken over.
    #[error("another attempt has taken over")]
    Superseded,
}

/// The body of one attempt.
#[derive(Debug)]
pub struct UploadBody(Option<Sending>);

#[derive(Debug)]
struct Sending {
    upload: Rc<Upload>,
    attempt: u32,
    replayed: usize,
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Some(sending) = &mut self.get_mut().0 else { return Poll::Ready(None) };
        let arrived = sending.upload.body.borrow().is_none();
        if sending.attempt != sending.upload.attempt.get() && !arrived {
            return Poll::Ready(Some(Err(UploadError::Superseded)));
        }
        let kept = sending.upload.kept.borrow().get(sending.replayed).cloned();
        if let Some(data) = kept {
            sending.replayed += 1;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let upload = Rc::clone(&sending.upload);
        let polled = upload.poll_client(cx);
        if upload.replayable.get() {
            sending.replayed = upload.kept.borrow().len();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|sending| {
            sending.upload.body.borrow().is_none() && sending.replayed >= sending.upload.kept.borrow().len()
        })
    }

    fn size_hint(&self) -> SizeHint {
        let Some(sending) = &self.0 else { return SizeHint::with_exact(0) };
        let kept: u64 =
            sending.upload.kept.borrow().iter().skip(sending.replayed).map(|data| data.len() as u64).sum();
        match sending.upload.body.borrow().as_ref() {
            None => SizeHint::with_exact(kept),
            Some(body) => {
                body.size_hint().exact().map_or_else(SizeHint::new, |rest| SizeHint::with_exact(rest + kept))
            }
        }
    }
}
