//! Reads a body: data is found in place, never copied. One machine for requests and answers.
//!
//! ```text
//! chunked-body   = *chunk last-chunk trailer-section CRLF
//! chunk          = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
//! chunk-size     = 1*HEXDIG                   ; at most 16 here
//! last-chunk     = 1*"0" [ chunk-ext ] CRLF
//! chunk-ext      = *( ";" chunk-ext-name [ "=" chunk-ext-val ] )
//! chunk-ext-val  = token / quoted-string
//! ```
//!
//! RFC 9112 section 7.1.1 lets a recipient remove "bad" white space around the `;` and the `=` of an extension. This
//! reader refuses it: no current sender makes it, and servers differ about `5 ;`. Extensions are read, bounded and
//! dropped: their meaning is one of a single connection.

use std::ops::Range;

use crate::{
    Framing, ProtocolError,
    chunk::{ChunkLine, ChunkStep},
    fields::Fields,
    grammar::{CR, LF},
    scan::{Cursor, FieldScan, Limits},
};

/// What a read of a body came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyStep {
    /// Bytes of this read that are done with, `Data` included.
    pub consumed: usize,
    /// What they were.
    pub event: BodyEvent,
}

/// A part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyEvent {
    /// Content, at this place of the read. Ask again with what is behind `consumed`.
    Data(Range<usize>),
    /// All bytes were taken; the body goes on.
    More,
    /// The body is over. What is behind `consumed` belongs to the next message.
    End,
}

/// The reader of one body.
#[derive(Debug)]
pub struct BodyReader {
    limits: Limits,
    state: State,
    trailers: Option<Box<Fields>>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// So many bytes are to come.
    Length(u64),
    UntilClose,
    /// In the line of a chunk's size.
    Size(ChunkLine),
    /// So many bytes of this chunk are to come.
    Chunk(u64),
    ChunkCr,
    ChunkLf,
    Trailers(FieldScan),
    Done,
}

impl BodyReader {
    /// Reads a body of this framing. The limits hold for its trailer section.
    #[must_use]
    pub fn new(framing: Framing, limits: Limits) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size(ChunkLine::default()),
            Framing::UntilClose => State::UntilClose,
        };
        Self { limits, state, trailers: None }
    }

    /// Reads on: at most one piece of data, the end, or the wish for more.
    ///
    /// # Errors
    /// The rule that the chunked coding breaks.
    pub fn read(&mut self, input: &[u8]) -> Result<BodyStep, ProtocolError> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            match self.state {
                State::Done => return Ok(BodyStep { consumed: at, event: BodyEvent::End }),
                _ if rest.is_empty() => return Ok(BodyStep { consumed: at, event: BodyEvent::More }),
                State::UntilClose => return Ok(data(at, rest.len())),
                State::Length(left) => {
                    let taken = smaller(rest.len(), left);
                    let left = left - taken as u64;
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                    return Ok(data(at, taken));
                }
                State::Chunk(left) => {
                    let taken = smaller(rest.len(), left);
                    let left = left - taken as u64;
                    self.state = if left == 0 { State::ChunkCr } else { State::Chunk(left) };
                    return Ok(data(at, taken));
                }
                State::Size(mut line) => {
                    let (taken, step) = line.run(rest)?;
                    at += taken;
                    self.state = match step {
                        ChunkStep::More => State::Size(line),
                        ChunkStep::Size(0) => State::Trailers(FieldScan::default()),
                        ChunkStep::Size(size) => State::Chunk(size),
                    };
                }
                State::ChunkCr => {
                    at += one(rest, CR)?;
                    self.state = State::ChunkLf;
                }
                State::ChunkLf => {
                    at += one(rest, LF)?;
                    self.state = State::Size(ChunkLine::default());
                }
                State::Trailers(scan) => at += self.trailer_section(scan, rest)?,
            }
        }
    }

    fn trailer_section(&mut self, mut scan: FieldScan, rest: &[u8]) -> Result<usize, ProtocolError> {
        // Nearly every body ends here, without a trailer field and without memory for one.
        if self.trailers.is_none() && rest.starts_with(b"\r\n") {
            self.state = State::Done;
            return Ok(2);
        }
        let fields = self.trailers.get_or_insert_default();
        let mut cursor = Cursor::new(rest, fields.bytes.len(), self.limits.head_bytes);
        let complete = scan.run(&mut cursor, &mut fields.table, self.limits.fields)?;
        if !complete && cursor.is_at_limit() {
            return Err(ProtocolError::HeadTooLarge);
        }
        let consumed = cursor.at;
        fields.bytes.extend_from_slice(rest.get(..consumed).unwrap_or_default());
        if complete {
            fields.classify()?;
            if fields.iter().any(|field| field.kind.is_forbidden_in_trailers()) {
                return Err(ProtocolError::ForbiddenTrailer);
            }
            if fields.is_empty() {
                self.trailers = None;
            }
        }
        self.state = if complete { State::Done } else { State::Trailers(scan) };
        Ok(consumed)
    }

    /// The trailer fields, once the body is over, if it has any.
    #[must_use]
    pub fn trailers(&self) -> Option<&Fields> {
        if self.is_done() { self.trailers.as_deref() } else { None }
    }

    /// Whether the body was read to its end.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Bytes that the body is known to have yet, where its framing says so.
    #[must_use]
    pub const fn left(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// Counts content of known length that passed without being read here.
    ///
    /// # Errors
    /// [`ProtocolError::OutOfStep`] if the body is not known to have so many bytes yet.
    pub fn skip(&mut self, bytes: u64) -> Result<(), ProtocolError> {
        let left = match self.state {
            State::Length(left) => left.checked_sub(bytes).ok_or(ProtocolError::OutOfStep)?,
            _ => return Err(ProtocolError::OutOfStep),
        };
        self.state = if left == 0 { State::Done } else { State::Length(left) };
        Ok(())
    }

    /// The sender closed its side. This ends a body that is read until then.
    ///
    /// # Errors
    /// [`ProtocolError::Truncated`] for any other body that is not over.
    pub fn end_of_input(&mut self) -> Result<(), ProtocolError> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(ProtocolError::Truncated),
        }
    }

    /// Bytes of memory that this reader holds beside itself.
    pub(crate) fn memory(&self) -> usize {
        self.trailers.as_ref().map_or(0, |fields| size_of::<Fields>() + fields.memory())
    }
}

fn data(at: usize, length: usize) -> BodyStep {
    BodyStep { consumed: at + length, event: BodyEvent::Data(at..at + length) }
}

fn smaller(here: usize, left: u64) -> usize {
    usize::try_from(left).map_or(here, |left| here.min(left))
}

fn one(rest: &[u8], byte: u8) -> Result<usize, ProtocolError> {
    if rest.first() == Some(&byte) { Ok(1) } else { Err(ProtocolError::BadChunkEnd) }
}
