//! Reads the answer to one request: interim heads, the head, the body. One reader per request; the edge asks
//! [`AnswerReader::may_reuse`] afterwards.

use crate::{
    ProtocolError,
    answer::head::{AnswerHead, AnswerTo},
    body::{BodyReader, BodyStep},
    fields::Fields,
    head::HeadScan,
    scan::Limits,
};

/// Interim answers to one request. Servers send one or two.
const MAX_INTERIM: u8 = 32;

/// What a read of a head came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerStep {
    /// All bytes were taken; the head goes on.
    More,
    /// An interim head is complete (100, 103); another head follows.
    Interim {
        /// Bytes of this read that belong to it.
        consumed: usize,
    },
    /// The head is complete. The rest of this read is body.
    Head {
        /// Bytes of this read that belong to it.
        consumed: usize,
    },
    /// A 101: HTTP ends here. The rest of this read, and all that follows, is of the other protocol.
    Switched {
        /// Bytes of this read that belong to the head.
        consumed: usize,
    },
}

/// The reader of the answer to one request.
#[derive(Debug)]
pub struct AnswerReader {
    limits: Limits,
    to: AnswerTo,
    interim: u8,
    persistent: bool,
    phase: AnswerPhase,
}

#[derive(Debug)]
enum AnswerPhase {
    Head(HeadScan<AnswerHead>),
    Body(BodyReader),
    Refused(ProtocolError),
}

impl AnswerReader {
    /// Reads the answer to a request.
    #[must_use]
    pub fn new(to: AnswerTo, limits: Limits) -> Self {
        Self { limits, to, interim: 0, persistent: false, phase: AnswerPhase::Head(HeadScan::default()) }
    }

    /// Reads on in a head. `head` may be any old one: its memory is used again. Its content is valid after any step
    /// but [`AnswerStep::More`].
    ///
    /// # Errors
    /// The rule that the answer breaks; [`ProtocolError::OutOfStep`] after the final head. The reader repeats its
    /// error from then on.
    pub fn head(&mut self, input: &[u8], head: &mut AnswerHead) -> Result<AnswerStep, ProtocolError> {
        let step = self.read_head(input, head);
        if let Err(error) = step {
            self.phase = AnswerPhase::Refused(error);
        }
        step
    }

    fn read_head(&mut self, input: &[u8], head: &mut AnswerHead) -> Result<AnswerStep, ProtocolError> {
        let consumed = match &mut self.phase {
            AnswerPhase::Head(scan) => scan.read(input, head, self.limits)?,
            AnswerPhase::Body(_) => return Err(ProtocolError::OutOfStep),
            AnswerPhase::Refused(error) => return Err(*error),
        };
        let Some(consumed) = consumed else { return Ok(AnswerStep::More) };
        head.frame(self.to)?;
        if head.is_interim() {
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                return Err(ProtocolError::TooManyInterim);
            }
            self.phase = AnswerPhase::Head(HeadScan::default());
            return Ok(AnswerStep::Interim { consumed });
        }
        self.persistent = head.keep_alive();
        self.phase = AnswerPhase::Body(BodyReader::new(head.framing(), self.limits));
        Ok(if head.status() == 101 {
            AnswerStep::Switched { consumed }
        } else {
            AnswerStep::Head { consumed }
        })
    }

    /// Reads on in the body. An answer without a body ends at once.
    ///
    /// # Errors
    /// The rule that the body breaks; [`ProtocolError::OutOfStep`] before the head.
    pub fn body(&mut self, input: &[u8]) -> Result<BodyStep, ProtocolError> {
        let result = match &mut self.phase {
            AnswerPhase::Head(_) => Err(ProtocolError::OutOfStep),
            AnswerPhase::Body(body) => body.read(input),
            AnswerPhase::Refused(error) => Err(*error),
        };
        if let Err(error) = result {
            self.phase = AnswerPhase::Refused(error);
        }
        result
    }

    /// Bytes that the body is known to have yet, where its framing says so.
    #[must_use]
    pub const fn left(&self) -> Option<u64> {
        if let AnswerPhase::Body(body) = &self.phase { body.left() } else { None }
    }

    /// Counts content that passed without being read here.
    ///
    /// # Errors
    /// As [`BodyReader::skip`]; nothing has changed then.
    pub fn skip(&mut self, bytes: u64) -> Result<(), ProtocolError> {
        match &mut self.phase {
            AnswerPhase::Body(body) => body.skip(bytes),
            _ => Err(ProtocolError::OutOfStep),
        }
    }

    /// The trailer fields, once the body was read to its end, if it has any.
    #[must_use]
    pub fn trailers(&self) -> Option<&Fields> {
        if let AnswerPhase::Body(body) = &self.phase { body.trailers() } else { None }
    }

    /// The endpoint closed its side. This ends a body of [`Framing::UntilClose`](crate::Framing::UntilClose).
    ///
    /// # Errors
    /// [`ProtocolError::Truncated`] if the answer is not over; what refused it, if it was refused.
    pub fn end_of_input(&mut self) -> Result<(), ProtocolError> {
        self.persistent = false;
        let result = match &mut self.phase {
            AnswerPhase::Head(_) => Err(ProtocolError::Truncated),
            AnswerPhase::Body(body) => body.end_of_input(),
            AnswerPhase::Refused(error) => Err(*error),
        };
        if let Err(error) = result {
            self.phase = AnswerPhase::Refused(error);
        }
        result
    }

    /// Whether no byte of an answer was read.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        matches!(&self.phase, AnswerPhase::Head(scan) if self.interim == 0 && scan.is_fresh())
    }

    /// Whether the answer was read to its end.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(&self.phase, AnswerPhase::Body(body) if body.is_done())
    }

    /// Whether the connection may carry another request. `unread` is what came behind the answer's end: a server that
    /// sends more than its answer has lost step, and the next request would be given the wrong answer.
    #[must_use]
    pub const fn may_reuse(&self, unread: &[u8]) -> bool {
        self.is_done() && self.persistent && unread.is_empty()
    }

    /// Bytes of memory that this reader holds beside itself.
    #[must_use]
    pub fn memory(&self) -> usize {
        match &self.phase {
            AnswerPhase::Head(scan) => scan.memory(),
            AnswerPhase::Body(body) => body.memory(),
            AnswerPhase::Refused(_) => 0,
        }
    }
}
