//! A WebSocket as far as the edge must know it: where a frame ends (RFC 6455 section 5.2), so that a Close frame can be
//! put between two frames of the endpoint, and never inside one; and the key of a handshake that the edge makes itself, for
//! a WebSocket over HTTP/2, which has none (RFC 8441 section 5). Reads no payload.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use thalweg_wire::{AnswerHead, FieldName, Fields, RequestHead};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::data::{splice::Pipe, tunnel::TunnelIo};

/// A Close frame that says "service restart" (1012): the client may come back at once, and meets another endpoint.
pub const SERVICE_RESTART: [u8; 4] = [0x88, 0x02, 0x03, 0xf4];

/// The field with the key of a handshake.
pub const KEY: &[u8] = b"sec-websocket-key";

/// What a server appends to the key before it hashes it (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key from two random numbers.
#[must_use]
pub fn key(random: (u64, u64)) -> String {
    STANDARD.encode([random.0.to_be_bytes(), random.1.to_be_bytes()].concat())
}

/// Whether a 101 opens the WebSocket that the request asks for: `Sec-WebSocket-Accept` follows from its key, and
/// `Upgrade` names the protocol (RFC 6455 section 4.1).
#[must_use]
pub fn is_accepted(request: &RequestHead, answer: &AnswerHead) -> bool {
    let Some(key) = find(request.fields(), KEY) else { return false };
    let expected = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat()));
    find(answer.fields(), b"sec-websocket-accept") == Some(expected.as_bytes()) && names_websocket(answer)
}

/// Whether a 101 switches to a WebSocket.
#[must_use]
pub fn names_websocket(answer: &AnswerHead) -> bool {
    answer.fields().all(FieldName::Upgrade).any(|name| name.eq_ignore_ascii_case(b"websocket"))
}

fn find<'a>(fields: &'a Fields, name: &[u8]) -> Option<&'a [u8]> {
    fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

/// Longest head of a frame: two bytes, eight for the length, four for the mask.
const MAX_HEAD: usize = 14;

/// Follows frames through a stream of bytes.
#[derive(Debug, Default)]
pub struct FrameTracker {
    head: [u8; MAX_HEAD],
    /// Bytes of the present frame's head so far.
    have: usize,
    /// Bytes of the present frame's payload that are still to come.
    left: u64,
}

impl FrameTracker {
    /// Takes in the next bytes.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            if self.left > 0 {
                let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= skipped as u64;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            if let Some(slot) = self.head.get_mut(self.have) {
                *slot = *first;
            }
            self.have += 1;
            bytes = bytes.get(1..).unwrap_or_default();
            if self.have == self.head_length() {
                self.left = self.payload();
                self.have = 0;
            }
        }
    }

    /// Whether the next byte begins a frame.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Length of the head, as far as its first bytes tell.
    fn head_length(&self) -> usize {
        let [_, second, ..] = self.head;
        let mask = if second & 0x80 != 0 { 4 } else { 0 };
        match (self.have, second & 0x7f) {
            (..2, _) => MAX_HEAD,
            (_, 126) => 4 + mask,
            (_, 127) => 10 + mask,
            _ => 2 + mask,
        }
    }

    fn payload(&self) -> u64 {
        let [_, second, a, b, c, d, e, f, g, h, ..] = self.head;
        match second & 0x7f {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            short => u64::from(short),
        }
    }
}

/// A client's side of a stream. Of a WebSocket it tells after each write whether that ended between two frames; of
/// another stream it reads nothing.
#[derive(Debug)]
pub struct Framed<'a, T> {
    io: &'a mut T,
    tracker: Option<FrameTracker>,
    between: &'a Cell<bool>,
}

impl<'a, T> Framed<'a, T> {
    /// Follows what is written to `io`, and keeps `between` true to it.
    pub fn new(io: &'a mut T, between: &'a Cell<bool>, websocket: bool) -> Self {
        between.set(true);
        Self { io, tracker: websocket.then(FrameTracker::default), between }
    }
}

impl<T: TunnelIo> TunnelIo for Framed<'_, T> {
    /// The frames of a WebSocket must be seen.
    fn takes_pipes(&self) -> bool {
        self.tracker.is_none() && self.io.takes_pipes()
    }

    fn take(&self, pipe: &mut Pipe, cx: &mut Context<'_>) -> usize {
        self.io.take(pipe, cx)
    }

    fn poll_give(&self, pipe: &mut Pipe, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.io.poll_give(pipe, cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Framed<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Framed<'_, T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.io).poll_write(cx, bytes);
        let this = &mut *self;
        if let (Poll::Ready(Ok(count)), Some(tracker)) = (&written, &mut this.tracker) {
            tracker.pass(bytes.get(..*count).unwrap_or_default());
            this.between.set(tracker.is_between_frames());
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(payload: usize, masked: bool) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![0x82];
        match payload {
            ..126 => bytes.push(mask | payload as u8),
            126..65_536 => {
                bytes.push(mask | 126);
                bytes.extend((payload as u16).to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend((payload as u64).to_be_bytes());
            }
        }
        bytes.extend(if masked { &[1, 2, 3, 4][..] } else { &[] });
        bytes.extend(std::iter::repeat_n(0x88, payload));
        bytes
    }

    #[test]
    fn only_the_end_of_a_frame_is_between_frames_however_the_bytes_arrive() {
        for payload in [0, 1, 125, 126, 127, 65_535, 65_536] {
            for masked in [false, true] {
                let bytes = frame(payload, masked);
                for piece in [1, 2, 3, 7, 4096] {
                    let mut tracker = FrameTracker::default();
                    let mut passed = 0;
                    for bytes_now in bytes.chunks(piece) {
                        tracker.pass(bytes_now);
                        passed += bytes_now.len();
                        assert_eq!(tracker.is_between_frames(), passed == bytes.len(), "{payload} {passed}");
                    }
                }
                let mut tracker = FrameTracker::default();
                tracker.pass(&[bytes.clone(), SERVICE_RESTART.to_vec(), bytes].concat());
                assert!(tracker.is_between_frames());
            }
        }
    }

    #[test]
    fn a_101_opens_a_websocket_only_with_the_accept_of_the_key() {
        let mut fields = Fields::default();
        fields.push(KEY, b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
        let parts = thalweg_wire::RequestParts {
            version: thalweg_wire::Version::Http2,
            method: b"CONNECT",
            protocol: Some(b"websocket"),
            https: false,
            authority: Some(b"a"),
            path: b"/",
            has_body: true,
        };
        let request = RequestHead::from_parts(&parts, fields, thalweg_wire::Limits::default()).unwrap();
        let answers = |lines: &str| {
            let to = thalweg_wire::AnswerTo { head: false, upgrade: true };
            let mut reader = thalweg_wire::AnswerReader::new(to, thalweg_wire::Limits::default());
            let mut head = AnswerHead::default();
            let text = format!("HTTP/1.1 101 x\r\nconnection: upgrade\r\n{lines}\r\n");
            reader.head(text.as_bytes(), &mut head).unwrap();
            is_accepted(&request, &head)
        };
        // The example of RFC 6455 section 1.3.
        let (upgrade, accept) =
            ("upgrade: WebSocket\r\n", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
        assert!(answers(&format!("{upgrade}{accept}")));
        assert!(!answers(upgrade));
        assert!(!answers(&format!("upgrade: other\r\n{accept}")));
        assert!(!answers(&format!("{upgrade}{}", accept.replace("s3p", "S3p"))));
        assert_eq!(key((0, 1)).len(), 24);
    }

    #[test]
    fn a_length_beyond_all_bounds_is_no_overflow() {
        let mut tracker = FrameTracker::default();
        tracker.pass(&[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0]);
        assert!(!tracker.is_between_frames());
    }
}
