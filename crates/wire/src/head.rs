//! Reads one head of either kind over any number of reads: scan, keep the bytes, understand what is complete.

use crate::{
    ProtocolError,
    fields::Fields,
    scan::{Cursor, FieldScan, Limits},
};

/// A head that can be read.
pub(crate) trait Head: Clone + Default {
    /// The scanner of its start line.
    type Line: StartLine;

    fn fields(&self) -> &Fields;

    fn fields_mut(&mut self) -> &mut Fields;

    /// Makes room for a new head.
    fn clear(&mut self);

    /// Says what the scanned head means.
    fn understand(&mut self, line: &Self::Line) -> Result<(), ProtocolError>;
}

/// The scanner of a start line.
pub(crate) trait StartLine: Default {
    /// The head reached its limit within this line.
    const TOO_LONG: ProtocolError;

    /// Scans on. True when the line has been read.
    fn run(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, ProtocolError>;

    /// Whether no byte of a message was read.
    fn is_fresh(&self) -> bool;

    /// Whether the line is complete.
    fn is_done(&self) -> bool;
}

/// The reader of one head.
#[derive(Debug)]
pub(crate) struct HeadScan<H: Head> {
    line: H::Line,
    fields: FieldScan,
    /// The head so far, once a read has ended within it.
    partial: Option<Box<H>>,
}

impl<H: Head> Default for HeadScan<H> {
    fn default() -> Self {
        Self { line: H::Line::default(), fields: FieldScan::default(), partial: None }
    }
}

impl<H: Head> HeadScan<H> {
    /// Reads on into `head`, whose memory is used again. Says how many bytes of this read belong to the head once it
    /// is complete; `None` if all do and it goes on.
    pub(crate) fn read(
        &mut self,
        input: &[u8],
        head: &mut H,
        limits: Limits,
    ) -> Result<Option<usize>, ProtocolError> {
        match &mut self.partial {
            Some(partial) => std::mem::swap(&mut **partial, head),
            None => head.clear(),
        }
        let read = self.scan(input, head, limits)?;
        if read.is_none() {
            match &mut self.partial {
                Some(partial) => std::mem::swap(&mut **partial, head),
                None if head.fields().bytes.is_empty() => {}
                // A copy of the right size: a slow head does not hold the memory of a large one.
                None => self.partial = Some(Box::new(head.clone())),
            }
        }
        Ok(read)
    }

    fn scan(&mut self, input: &[u8], head: &mut H, limits: Limits) -> Result<Option<usize>, ProtocolError> {
        let fields = head.fields_mut();
        let mut cursor = Cursor::new(input, fields.bytes.len(), limits.head_bytes);
        let complete =
            self.line.run(&mut cursor)? && self.fields.run(&mut cursor, &mut fields.table, limits.fields)?;
        if !complete && cursor.is_at_limit() {
            return Err(if self.line.is_done() { ProtocolError::HeadTooLarge } else { H::Line::TOO_LONG });
        }
        let consumed = cursor.at;
        fields.bytes.extend_from_slice(input.get(..consumed).unwrap_or_default());
        if !complete {
            return Ok(None);
        }
        head.understand(&self.line)?;
        Ok(Some(consumed))
    }

    /// Whether no byte of a message was read.
    pub(crate) fn is_fresh(&self) -> bool {
        self.line.is_fresh()
    }

    /// Bytes of memory that this scan holds beside itself.
    pub(crate) fn memory(&self) -> usize {
        self.partial.as_ref().map_or(0, |head| size_of::<H>() + head.fields().memory())
    }
}
