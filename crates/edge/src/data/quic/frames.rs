//! Where HTTP/3 frames begin and end in what a client sends, before the `h3` crate sees it: a guard against two things
//! that the crate lets pass. Reads types and lengths only; the crate checks what frames mean.
//!
//! - The crate gathers every frame but DATA as a whole, whatever length it announces. Here a frame may have so many bytes
//!   and no more.
//! - The crate takes the end of a stream within a DATA frame for the end of the body. Here it is an error (RFC 9114
//!   section 7.1).

/// The frame that carries content, which is not gathered (RFC 9114 section 7.2.1).
const DATA: u64 = 0;

/// The type of a unidirectional stream whose content is frames (RFC 9114 section 6.2.1).
const CONTROL: u64 = 0;

/// What breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameError {
    /// A frame announces more bytes than it may have.
    TooLong,
    /// The stream ends within a frame.
    Truncated,
}

/// The place in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The type of a unidirectional stream.
    StreamType,
    Kind,
    Length(u64),
    Payload(u64),
    /// A stream without frames.
    Opaque,
}

/// The guard of one stream.
#[derive(Clone, Debug)]
pub(super) struct FrameGuard {
    part: Part,
    /// The integer under way, and how many of its bytes are to come (RFC 9000 section 16).
    number: u64,
    missing: u32,
    most: u64,
}

impl FrameGuard {
    /// For a request stream; frames other than DATA may have `most` bytes.
    pub(super) const fn request(most: u64) -> Self {
        Self { part: Part::Kind, number: 0, missing: 0, most }
    }

    /// For a unidirectional stream.
    pub(super) const fn unidirectional(most: u64) -> Self {
        Self { part: Part::StreamType, number: 0, missing: 0, most }
    }

    /// Takes in what was read.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), FrameError> {
        while let Some((first, rest)) = bytes.split_first() {
            match self.part {
                Part::Opaque => return Ok(()),
                Part::Payload(left) => {
                    let passed = left.min(bytes.len() as u64);
                    bytes = bytes.get(usize::try_from(passed).unwrap_or(usize::MAX)..).unwrap_or_default();
                    self.part = if left > passed { Part::Payload(left - passed) } else { Part::Kind };
                }
                _ => {
                    bytes = rest;
                    if let Some(number) = self.byte(*first) {
                        self.take(number)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The stream has ended.
    pub(super) fn end(&self) -> Result<(), FrameError> {
        match self.part {
            Part::Kind if self.missing == 0 => Ok(()),
            Part::StreamType | Part::Opaque => Ok(()),
            _ => Err(FrameError::Truncated),
        }
    }

    /// Takes one byte of an integer; the integer comes with its last byte.
    fn byte(&mut self, byte: u8) -> Option<u64> {
        if self.missing == 0 {
            self.missing = (1 << (byte >> 6)) - 1;
            self.number = u64::from(byte & 0x3f);
        } else {
            self.missing -= 1;
            self.number = self.number << 8 | u64::from(byte);
        }
        (self.missing == 0).then_some(self.number)
    }

    fn take(&mut self, number: u64) -> Result<(), FrameError> {
        self.part = match self.part {
            Part::StreamType if number == CONTROL => Part::Kind,
            Part::StreamType => Part::Opaque,
            Part::Kind => Part::Length(number),
            Part::Length(kind) if kind != DATA && number > self.most => return Err(FrameError::TooLong),
            Part::Length(_) if number == 0 => Part::Kind,
            Part::Length(_) => Part::Payload(number),
            part => part,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 100;

    /// Reads these bytes in pieces of every size, then the end.
    fn check(guard: FrameGuard, bytes: &[u8], expected: Result<(), FrameError>) {
        for size in 1..=bytes.len().max(1) {
            let mut guard = guard.clone();
            let read = bytes.chunks(size).try_for_each(|piece| guard.read(piece));
            assert_eq!(read.and_then(|()| guard.end()), expected, "{bytes:?} in pieces of {size}");
        }
    }

    fn frame(kind: u8, length: u16, payload: usize) -> Vec<u8> {
        let length = (length | 0x4000).to_be_bytes();
        [&[kind][..], &length, &vec![0; payload]].concat()
    }

    #[test]
    fn only_content_may_be_long_and_no_frame_may_be_cut() {
        let request = || FrameGuard::request(MOST);
        check(request(), &[], Ok(()));
        check(request(), &[frame(1, 20, 20), frame(0, 300, 300)].concat(), Ok(()));
        check(
            request(),
            &[frame(1, 20, 20), frame(0, 0, 0), frame(0, 3, 3), frame(1, 5, 5)].concat(),
            Ok(()),
        );
        check(request(), &frame(1, 100, 100), Ok(()));
        check(request(), &frame(1, 101, 0), Err(FrameError::TooLong));
        check(request(), &frame(33, 101, 0), Err(FrameError::TooLong));
        check(request(), &frame(0, 300, 299), Err(FrameError::Truncated));
        check(request(), &frame(1, 20, 19), Err(FrameError::Truncated));
        check(request(), &[1], Err(FrameError::Truncated));
        check(request(), &[1, 0x40], Err(FrameError::Truncated));
        check(request(), &[0x40], Err(FrameError::Truncated));
        // An integer of eight bytes.
        check(request(), &[1, 0xff, 255, 255, 255, 255, 255, 255, 255], Err(FrameError::TooLong));
    }

    #[test]
    fn a_control_stream_has_frames_and_others_have_not() {
        let stream = |kind: &[u8], rest: Vec<u8>| [kind, &rest].concat();
        let guard = || FrameGuard::unidirectional(MOST);
        check(guard(), &stream(&[0], frame(4, 10, 10)), Ok(()));
        check(guard(), &stream(&[0], frame(4, 101, 0)), Err(FrameError::TooLong));
        check(guard(), &stream(&[2], frame(4, 101, 0)), Ok(()));
        check(guard(), &[], Ok(()));
    }
}
