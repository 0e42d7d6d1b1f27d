//! The line in front of a chunk: its size and extensions, byte by byte (RFC 9112 section 7.1).

use crate::{
    ProtocolError,
    grammar::{CR, LF, QUOTED, TOKEN, VALUE, is},
};

/// Digits of a chunk's size, leading zeros included: sixteen hold every size of 64 bits.
const MAX_DIGITS: u8 = 16;

/// Bytes of all extensions of one chunk. Without a bound a sender makes us read much for little content.
const MAX_EXTENSION: u16 = 256;

/// The scanner of one line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChunkLine {
    size: u64,
    digits: u8,
    extension: u16,
    step: ChunkPlace,
}

#[derive(Clone, Copy, Debug, Default)]
enum ChunkPlace {
    #[default]
    Size,
    /// Behind the `;`: a name must come.
    NameStart,
    Name,
    /// Behind the `=`: a token or a quoted string must come.
    ValueStart,
    Value,
    Quoted,
    QuotedPair,
    /// Behind a quoted string.
    Quote,
    Lf,
}

/// What a read of the line came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkStep {
    More,
    /// The line is complete; the chunk has this size.
    Size(u64),
}

impl ChunkLine {
    /// Scans on; says how many bytes it took.
    pub(crate) fn run(&mut self, input: &[u8]) -> Result<(usize, ChunkStep), ProtocolError> {
        for (at, byte) in input.iter().enumerate() {
            if let Some(size) = self.byte(*byte)? {
                return Ok((at + 1, ChunkStep::Size(size)));
            }
        }
        Ok((input.len(), ChunkStep::More))
    }

    fn byte(&mut self, byte: u8) -> Result<Option<u64>, ProtocolError> {
        use ProtocolError::{BadChunkExtension, BadChunkSize, BareCr, BareLf, LengthTooLarge};
        self.step = match (self.step, byte) {
            (ChunkPlace::Lf, LF) if self.size > i64::MAX as u64 => return Err(LengthTooLarge),
            (ChunkPlace::Lf, LF) => return Ok(Some(self.size)),
            (ChunkPlace::Lf, _) => return Err(BareCr),
            (ChunkPlace::Size, CR) if self.digits > 0 => ChunkPlace::Lf,
            (ChunkPlace::Size, b';') if self.digits > 0 => ChunkPlace::NameStart,
            (ChunkPlace::Size, LF) if self.digits > 0 => return Err(BareLf),
            (ChunkPlace::Size, _) => {
                self.digit(byte).ok_or(BadChunkSize)?;
                ChunkPlace::Size
            }
            (ChunkPlace::Name | ChunkPlace::Value | ChunkPlace::Quote, CR) => ChunkPlace::Lf,
            (ChunkPlace::Name | ChunkPlace::Value | ChunkPlace::Quote, b';') => ChunkPlace::NameStart,
            (ChunkPlace::Name, b'=') => ChunkPlace::ValueStart,
            (ChunkPlace::NameStart | ChunkPlace::Name, _) if is(byte, TOKEN) => ChunkPlace::Name,
            (ChunkPlace::ValueStart, b'"') => ChunkPlace::Quoted,
            (ChunkPlace::ValueStart | ChunkPlace::Value, _) if is(byte, TOKEN) => ChunkPlace::Value,
            (ChunkPlace::Quoted, b'"') => ChunkPlace::Quote,
            (ChunkPlace::Quoted, b'\\') => ChunkPlace::QuotedPair,
            (ChunkPlace::Quoted, _) if is(byte, QUOTED) => ChunkPlace::Quoted,
            (ChunkPlace::QuotedPair, _) if is(byte, VALUE) => ChunkPlace::Quoted,
            (_, LF) => return Err(BareLf),
            _ => return Err(BadChunkExtension),
        };
        if !matches!(self.step, ChunkPlace::Size | ChunkPlace::Lf) {
            self.extension += 1;
            if self.extension > MAX_EXTENSION {
                return Err(BadChunkExtension);
            }
        }
        Ok(None)
    }

    fn digit(&mut self, byte: u8) -> Option<()> {
        let value = (byte as char).to_digit(16)?;
        if self.digits >= MAX_DIGITS {
            return None;
        }
        self.digits += 1;
        self.size = self.size << 4 | u64::from(value);
        Some(())
    }
}
