//! Reads requests from one connection, one after another: a head, its body, the next head. Holds a byte only while a
//! head is incomplete; between requests it is a few words.

use crate::{
    ProtocolError,
    body::{BodyReader, BodyStep},
    fields::Fields,
    head::HeadScan,
    request::head::RequestHead,
    scan::Limits,
};

/// What a read of a head came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestStep {
    /// All bytes were taken; the head goes on.
    More,
    /// The head is complete and so many bytes of this read belong to it. The rest is body, or the next request.
    Head {
        /// Bytes of this read.
        consumed: usize,
    },
}

/// The request side of one connection.
#[derive(Debug)]
pub struct RequestReader {
    limits: Limits,
    phase: RequestPhase,
}

#[derive(Debug)]
enum RequestPhase {
    Head(HeadScan<RequestHead>),
    Body(BodyReader),
    Refused(ProtocolError),
}

impl RequestReader {
    /// Reads a connection from its first byte.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, phase: RequestPhase::Head(HeadScan::default()) }
    }

    /// Reads on in a head. `head` may be any old one: its memory is used again. Its content is valid after
    /// [`RequestStep::Head`] only; after an error it holds what was understood, which is enough for a log line.
    ///
    /// # Errors
    /// The rule that the request breaks; [`ProtocolError::OutOfStep`] while the body of the request before is not
    /// read to its end: its bytes would be taken for a request. The reader repeats its error from then on.
    pub fn head(&mut self, input: &[u8], head: &mut RequestHead) -> Result<RequestStep, ProtocolError> {
        if matches!(&self.phase, RequestPhase::Body(body) if body.is_done()) {
            self.phase = RequestPhase::Head(HeadScan::default());
        }
        let read = match &mut self.phase {
            RequestPhase::Head(scan) => scan.read(input, head, self.limits),
            RequestPhase::Body(_) => Err(ProtocolError::OutOfStep),
            RequestPhase::Refused(error) => Err(*error),
        };
        match read {
            Ok(None) => Ok(RequestStep::More),
            Ok(Some(consumed)) => {
                self.phase = RequestPhase::Body(BodyReader::new(head.framing(), self.limits));
                Ok(RequestStep::Head { consumed })
            }
            Err(error) => {
                self.phase = RequestPhase::Refused(error);
                Err(error)
            }
        }
    }

    /// Reads on in the body of the request whose head was read last. A request without a body ends at once.
    ///
    /// # Errors
    /// The rule that the body breaks; [`ProtocolError::OutOfStep`] before the head.
    pub fn body(&mut self, input: &[u8]) -> Result<BodyStep, ProtocolError> {
        let result = match &mut self.phase {
            RequestPhase::Head(_) => Err(ProtocolError::OutOfStep),
            RequestPhase::Body(body) => body.read(input),
            RequestPhase::Refused(error) => Err(*error),
        };
        if let Err(error) = result {
            self.phase = RequestPhase::Refused(error);
        }
        result
    }

    /// The trailer fields of the body that was just read to its end.
    #[must_use]
    pub fn trailers(&self) -> Option<&Fields> {
        if let RequestPhase::Body(body) = &self.phase { body.trailers() } else { None }
    }

    /// The client closed its side.
    ///
    /// # Errors
    /// [`ProtocolError::Truncated`] within a request; what refused it, if it was refused.
    pub fn end_of_input(&mut self) -> Result<(), ProtocolError> {
        let result = match &mut self.phase {
            RequestPhase::Head(scan) if scan.is_fresh() => Ok(()),
            RequestPhase::Head(_) => Err(ProtocolError::Truncated),
            RequestPhase::Body(body) => body.end_of_input(),
            RequestPhase::Refused(error) => Err(*error),
        };
        if let Err(error) = result {
            self.phase = RequestPhase::Refused(error);
        }
        result
    }

    /// Whether no byte of a request is held and none is due: the connection may be parked or closed.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        match &self.phase {
            RequestPhase::Head(scan) => scan.is_fresh(),
            RequestPhase::Body(body) => body.is_done(),
            RequestPhase::Refused(_) => false,
        }
    }

    /// Bytes of memory that this reader holds beside itself.
    #[must_use]
    pub fn memory(&self) -> usize {
        match &self.phase {
            RequestPhase::Head(scan) => scan.memory(),
            RequestPhase::Body(body) => body.memory(),
            RequestPhase::Refused(_) => 0,
        }
    }
}
