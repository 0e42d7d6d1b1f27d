//! The upload of an HTTP/2 request: its stream, and how much is still to come.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use thalweg_wire::Framing;

/// The content of an HTTP/2 request.
#[derive(Debug)]
pub struct Http2Upload {
    stream: RecvStream,
    /// Bytes still to come, if the head announced a length. The library enforces it.
    left: Option<u64>,
}

impl Http2Upload {
    /// The content behind a head with this framing.
    #[must_use]
    pub const fn new(stream: RecvStream, framing: Framing) -> Self {
        let left = if let Framing::Length(length) = framing { Some(length) } else { None };
        Self { stream, left }
    }

    /// Whether the last byte was read. The stream may end later.
    pub(super) fn is_over(&self) -> bool {
        self.left == Some(0) || self.stream.is_end_stream()
    }

    /// The next piece; `None` = the end.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, h2::Error>> {
        let Some(piece) = ready!(self.stream.poll_data(cx)).transpose()? else {
            return Poll::Ready(Ok(None));
        };
        self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        self.stream.flow_control().release_capacity(piece.len())?;
        Poll::Ready(Ok(Some(piece)))
    }

    /// The trailer fields, behind the last piece.
    pub(super) fn poll_trailers(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, h2::Error>> {
        self.stream.poll_trailers(cx)
    }
}
