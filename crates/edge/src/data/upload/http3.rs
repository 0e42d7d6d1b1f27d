//! The upload of an HTTP/3 request: its stream, and how much is still to come. The `h3` crate does not compare the
//! announced length with what arrives (RFC 9114 section 4.1.2), so this file does.

use std::{
    fmt,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use h3::{error::StreamError, server::RequestStream};
use http::HeaderMap;
use thalweg_wire::{Framing, ProtocolError};

use super::{ClientRead, Upload, UploadError, UploadPiece};
use crate::data::{headers::fields_of, quic::In};

/// What a client sends on the stream of a request.
pub type UploadStream = RequestStream<In, Bytes>;

/// The content of an HTTP/3 request.
pub struct Http3Upload {
    stream: UploadStream,
    /// Content that has arrived with the head.
    first: Option<Bytes>,
    /// The content is over; trailers may follow.
    over: bool,
    /// Bytes still to come, if the head announced a length.
    left: Option<u64>,
}

impl fmt::Debug for Http3Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http3Upload")
            .field("over", &self.over)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Http3Upload {
    /// The content behind a head with this framing. `first` has arrived already; without it, `over` says whether there
    /// is none at all.
    #[must_use]
    pub fn new(stream: UploadStream, (first, over): (Option<Bytes>, bool), framing: Framing) -> Self {
        let left = if let Framing::Length(length) = framing { Some(length) } else { None };
        Self { stream, first, over, left }
    }

    /// The next piece; `None` = the end.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, UploadError>> {
        while !self.over && self.left != Some(0) {
            let piece = match self.first.take() {
                Some(first) => Some(first),
                None => ready!(poll_data(&mut self.stream, cx)).map_err(|error| broken(&error))?,
            };
            let Some(piece) = piece else {
                self.over = true;
                break;
            };
            if let Some(left) = self.left {
                let left = left.checked_sub(piece.len() as u64);
                self.left = Some(left.ok_or(UploadError::Garbled(ProtocolError::BadContentLength))?);
            }
            if !piece.is_empty() {
                return Poll::Ready(Ok(Some(piece)));
            }
        }
        Poll::Ready(match self.left {
            Some(1..) => Err(UploadError::Garbled(ProtocolError::Truncated)),
            _ => Ok(None),
        })
    }

    /// The trailer fields, behind the last piece. Behind content of a known length they are not waited for.
    pub(super) fn poll_trailers(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, UploadError>> {
        if !self.over {
            return Poll::Ready(Ok(None));
        }
        self.stream.poll_recv_trailers(cx).map_err(|error| broken(&error))
    }
}

/// The next content of a request; `None` = there is no more.
pub fn poll_data(
    stream: &mut UploadStream,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Bytes>, StreamError>> {
    let data = ready!(stream.poll_recv_data(cx))?;
    Poll::Ready(Ok(data.map(|mut data| data.copy_to_bytes(data.remaining()))))
}

fn broken(error: &StreamError) -> UploadError {
    match error {
        StreamError::HeaderTooBig { .. } => UploadError::Garbled(ProtocolError::HeadTooLarge),
        StreamError::StreamError { .. } => UploadError::Garbled(ProtocolError::BadFrame),
        _ => UploadError::ClientGone,
    }
}

impl Upload {
    pub(super) fn poll_http3(
        &self,
        body: &mut Http3Upload,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ClientRead, UploadError>> {
        Poll::Ready(match ready!(body.poll_piece(cx))? {
            Some(data) => {
                self.received.set(self.received.get() + data.len() as u64);
                self.remember(data.len(), || data.clone());
                Ok(ClientRead::Piece(UploadPiece::Owned(data)))
            }
            None => {
                let trailers = ready!(body.poll_trailers(cx))?;
                let trailers = trailers.map(|map| fields_of(&map)).transpose();
                trailers.map(ClientRead::End).map_err(UploadError::Garbled)
            }
        })
    }
}
