//! Where the lines of a head are: a scanner that sees each byte once, stops anywhere, and goes on with the next read.
//! It refuses the first byte that the grammar does not allow. What the fields mean is decided behind it, when the
//! head is complete.
//!
//! ```text
//! field-section = *( field-line CRLF ) CRLF
//! field-line    = field-name ":" OWS field-value OWS
//! ```
//!
//! Why not wait for the empty line and parse then: a head without one would be held until its limit or its timeout
//! although its third byte has refused it, and a head that comes in many reads would be searched from its first byte
//! in each.

use crate::{
    ProtocolError,
    fields::{Field, Span},
    grammar::{CR, HTAB, LF, SP, TOKEN, run, value_run},
    name::FieldName,
};

/// Bounds of one head, and of one trailer section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes from the first of the start line to the empty line's last.
    pub head_bytes: u32,
    /// How many fields it may have.
    pub fields: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes: 16 << 10, fields: 100 }
    }
}

/// The bytes of one read, and how many bytes of the same head came before them.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    input: &'a [u8],
    /// Position in `input`.
    pub(crate) at: usize,
    /// Position of `input`'s first byte in the head.
    base: u32,
    /// `input` was cut because the head reaches its limit.
    cut: bool,
}

impl<'a> Cursor<'a> {
    /// `before` bytes of the head came already; the head may have `limit` in all.
    pub(crate) fn new(input: &'a [u8], before: usize, limit: u32) -> Self {
        let room = (limit as usize).saturating_sub(before);
        let cut = input.len() >= room;
        let base = u32::try_from(before).unwrap_or(limit);
        Self { input: input.get(..room).unwrap_or(input), at: 0, base, cut }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn bump(&mut self) {
        self.at += 1;
    }

    /// Position in the head.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the cursor ends at a limit of 32 bits")]
    pub(crate) fn here(&self) -> u32 {
        self.base + self.at as u32
    }

    /// Whether everything was read and the head may have no more.
    pub(crate) fn is_at_limit(&self) -> bool {
        self.cut && self.at >= self.input.len()
    }

    /// Takes the byte that must come now. `None` if it has not come yet.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, or: ProtocolError) -> Result<Option<()>, ProtocolError> {
        match self.peek() {
            None => Ok(None),
            Some(found) if found == byte => {
                self.bump();
                Ok(Some(()))
            }
            Some(_) => Err(or),
        }
    }
}

/// The scanner of a field section.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FieldScan {
    step: FieldStep,
    name: Span,
    value_start: u32,
    value_end: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FieldStep {
    #[default]
    LineStart,
    Name,
    BeforeValue,
    Value,
    ValueLf,
    LastLf,
}

impl FieldScan {
    /// Scans on. True when the empty line has been read.
    pub(crate) fn run(
        &mut self,
        cursor: &mut Cursor<'_>,
        table: &mut Vec<Field>,
        limit: u32,
    ) -> Result<bool, ProtocolError> {
        loop {
            let went_on = match self.step {
                FieldStep::LineStart => self.line_start(cursor, table.is_empty())?,
                FieldStep::Name => self.name(cursor)?,
                FieldStep::BeforeValue => self.before_value(cursor),
                FieldStep::Value => self.value(cursor)?,
                FieldStep::ValueLf => {
                    let ended = cursor.expect(LF, ProtocolError::BareCr)?.is_some();
                    if ended {
                        self.keep(table, limit)?;
                    }
                    ended
                }
                FieldStep::LastLf => return Ok(cursor.expect(LF, ProtocolError::BareCr)?.is_some()),
            };
            if !went_on {
                return Ok(false);
            }
        }
    }

    #[inline]
    fn line_start(&mut self, cursor: &mut Cursor<'_>, first: bool) -> Result<bool, ProtocolError> {
        match cursor.peek() {
            None => return Ok(false),
            Some(CR) => {
                cursor.bump();
                self.step = FieldStep::LastLf;
            }
            Some(LF) => return Err(ProtocolError::BareLf),
            Some(SP | HTAB) if first => return Err(ProtocolError::LeadingWhitespace),
            Some(SP | HTAB) => return Err(ProtocolError::ObsFold),
            Some(_) => {
                self.name.start = cursor.here();
                self.step = FieldStep::Name;
            }
        }
        Ok(true)
    }

    #[inline]
    fn name(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, ProtocolError> {
        cursor.at += run(cursor.rest(), TOKEN);
        self.name.end = cursor.here();
        match cursor.peek() {
            None => return Ok(false),
            Some(b':') if !self.name.is_empty() => cursor.bump(),
            Some(SP | HTAB) => return Err(ProtocolError::SpaceBeforeColon),
            Some(CR | LF) => return Err(ProtocolError::MissingColon),
            Some(_) => return Err(ProtocolError::BadFieldName),
        }
        self.step = FieldStep::BeforeValue;
        Ok(true)
    }

    #[inline]
    fn before_value(&mut self, cursor: &mut Cursor<'_>) -> bool {
        while let Some(SP | HTAB) = cursor.peek() {
            cursor.bump();
        }
        self.value_start = cursor.here();
        self.step = if cursor.peek().is_some() { FieldStep::Value } else { FieldStep::BeforeValue };
        self.step == FieldStep::Value
    }

    #[inline]
    fn value(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, ProtocolError> {
        cursor.at += value_run(cursor.rest());
        self.value_end = cursor.here();
        match cursor.peek() {
            None => return Ok(false),
            Some(CR) => cursor.bump(),
            Some(LF) => return Err(ProtocolError::BareLf),
            Some(_) => return Err(ProtocolError::BadFieldValue),
        }
        self.step = FieldStep::ValueLf;
        Ok(true)
    }

    #[inline]
    fn keep(&mut self, table: &mut Vec<Field>, limit: u32) -> Result<(), ProtocolError> {
        if table.len() >= limit as usize {
            return Err(ProtocolError::TooManyFields);
        }
        let value = Span { start: self.value_start, end: self.value_end };
        table.push(Field { name: self.name, value, kind: FieldName::Other, named_by_connection: false });
        self.step = FieldStep::LineStart;
        Ok(())
    }
}
