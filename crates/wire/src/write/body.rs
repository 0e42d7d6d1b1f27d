//! The framing around a body's data. The data itself is not touched: a [`Frame`] says what goes before and behind it,
//! so that a vectored write sends it from the buffer that it was read into.

use crate::{FieldRef, Fields, Framing, write::Unwritable};

/// The writer of one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyWriter {
    framing: Framing,
}

/// What goes around one piece of data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    before: [u8; 18],
    length: u8,
    after: &'static [u8],
}

impl Frame {
    /// The bytes before the data: the chunk's size, or none.
    #[must_use]
    pub fn before(&self) -> &[u8] {
        self.before.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// The bytes behind the data: the chunk's end, or none.
    #[must_use]
    pub const fn after(&self) -> &'static [u8] {
        self.after
    }

    /// `chunk-size CRLF`, in as few digits as it takes.
    fn chunk(size: u64) -> Self {
        let mut frame = Self { after: b"\r\n", ..Self::default() };
        let digits = 16 - size.leading_zeros() / 4;
        let digit = |nth: u32| match (size >> (4 * nth) & 0xf) as u8 {
            small @ 0..=9 => b'0' + small,
            large => b'a' + large - 10,
        };
        let line = (0..digits).rev().map(digit).chain(*b"\r\n");
        for (to, byte) in frame.before.iter_mut().zip(line) {
            *to = byte;
            frame.length += 1;
        }
        frame
    }
}

impl BodyWriter {
    /// Writes a body of this framing.
    #[must_use]
    pub const fn new(framing: Framing) -> Self {
        Self { framing }
    }

    /// The frame for the next `length` bytes of data. No data has no frame: a chunk of size 0 would end the body.
    ///
    /// # Errors
    /// The body would be longer than its head says.
    pub fn frame(&mut self, length: usize) -> Result<Frame, Unwritable> {
        if length == 0 {
            return Ok(Frame::default());
        }
        let length = length as u64;
        match self.framing {
            Framing::None => Err(Unwritable::Length),
            Framing::Length(left) => {
                self.framing = Framing::Length(left.checked_sub(length).ok_or(Unwritable::Length)?);
                Ok(Frame::default())
            }
            Framing::Chunked => Ok(Frame::chunk(length)),
            Framing::UntilClose => Ok(Frame::default()),
        }
    }

    /// Appends data with its frame.
    ///
    /// # Errors
    /// As [`frame`](Self::frame); nothing is appended then.
    pub fn data(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Unwritable> {
        let frame = self.frame(data.len())?;
        for part in [frame.before(), data, frame.after()] {
            out.extend_from_slice(part);
        }
        Ok(())
    }

    /// Appends the end of the body: the last chunk and the trailer fields that are kept, or nothing. Fields of one
    /// connection, and those that would change framing or routing, are never kept. A framing without chunks has no
    /// trailers: they are dropped (RFC 9110 section 6.5).
    ///
    /// # Errors
    /// The body is shorter than its head says: the connection must be reset, not reused.
    pub fn end(
        self,
        trailers: Option<&Fields>,
        mut keep: impl FnMut(&FieldRef<'_>) -> bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Unwritable> {
        match self.framing {
            Framing::None | Framing::Length(0) | Framing::UntilClose => return Ok(()),
            Framing::Length(_) => return Err(Unwritable::Length),
            Framing::Chunked => out.extend_from_slice(b"0\r\n"),
        }
        for field in trailers.into_iter().flat_map(Fields::iter) {
            if !field.kind.is_forbidden_in_trailers() && !field.is_hop_by_hop() && keep(&field) {
                for part in [field.name, b": ", field.value, b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Whether the connection must close behind this body, because nothing else ends it.
    #[must_use]
    pub const fn ends_with_close(&self) -> bool {
        matches!(self.framing, Framing::UntilClose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_has_its_size_in_front_and_a_line_end_behind() {
        for (size, line) in [
            (1, "1\r\n"),
            (15, "f\r\n"),
            (16, "10\r\n"),
            (4096, "1000\r\n"),
            (0xabcd, "abcd\r\n"),
            (u64::MAX, "ffffffffffffffff\r\n"),
        ] {
            let frame = Frame::chunk(size);
            assert_eq!((frame.before(), frame.after()), (line.as_bytes(), &b"\r\n"[..]), "{size}");
        }
    }

    #[test]
    fn a_body_has_the_length_that_its_head_says() {
        let mut body = BodyWriter::new(Framing::Length(3));
        assert_eq!(body.frame(4), Err(Unwritable::Length));
        assert_eq!(body.frame(2), Ok(Frame::default()));
        assert_eq!(body.end(None, |_| true, &mut Vec::new()), Err(Unwritable::Length));
        assert_eq!(body.frame(1), Ok(Frame::default()));
        assert_eq!(body.end(None, |_| true, &mut Vec::new()), Ok(()));
        assert_eq!(BodyWriter::new(Framing::None).frame(1), Err(Unwritable::Length));
    }

    #[test]
    fn no_data_is_no_chunk() {
        let mut out = Vec::new();
        let mut body = BodyWriter::new(Framing::Chunked);
        for data in ["", "ab", "", "c"] {
            body.data(data.as_bytes(), &mut out).expect("a chunk");
        }
        let mut trailers = Fields::default();
        for (name, value) in [("X-Sum", "1"), ("Content-Length", "9"), ("Connection", "x"), ("X-Not", "2")] {
            trailers.push(name.as_bytes(), value.as_bytes()).expect("a field");
        }
        body.end(Some(&trailers), |field| field.name != b"X-Not", &mut out).expect("an end");
        assert_eq!(String::from_utf8_lossy(&out), "2\r\nab\r\n1\r\nc\r\n0\r\nX-Sum: 1\r\n\r\n");
    }
}
