//! The request line (RFC 9112 section 3), scanned byte by byte. What the target means is decided in `target.rs`.
//!
//! ```text
//! request-line = method SP request-target SP HTTP-version CRLF
//! ```

use crate::{
    ProtocolError, Version,
    fields::Span,
    grammar::{CR, LF, SP, TARGET, TOKEN, is, run},
    head::StartLine,
    scan::Cursor,
    version::VersionScan,
};

/// The longest registered method, `UPDATEREDIRECTREF`, has 17 letters.
const MAX_METHOD: u32 = 32;

/// The scanner of one request line, and what it has found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestLine {
    step: RequestLineStep,
    pub(crate) method: Span,
    pub(crate) target: Span,
    pub(crate) version: Version,
}

#[derive(Clone, Copy, Debug, Default)]
enum RequestLineStep {
    #[default]
    Start,
    /// One empty line may come before a request: old clients end a body with it (RFC 9112 section 2.2).
    EmptyLineLf,
    Method,
    Target,
    Version(VersionScan),
    Cr,
    Lf,
    Done,
}

impl StartLine for RequestLine {
    const TOO_LONG: ProtocolError = ProtocolError::TargetTooLong;

    fn run(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, ProtocolError> {
        loop {
            let went_on = match self.step {
                RequestLineStep::Start => self.start(cursor),
                RequestLineStep::EmptyLineLf => {
                    let ended = cursor.expect(LF, ProtocolError::BareCr)?.is_some();
                    if ended {
                        self.method.start = cursor.here();
                        self.step = RequestLineStep::Method;
                    }
                    ended
                }
                RequestLineStep::Method => self.method(cursor)?,
                RequestLineStep::Target => self.target(cursor)?,
                RequestLineStep::Version(scan) => self.version(cursor, scan)?,
                RequestLineStep::Cr => {
                    self.end(cursor, CR, RequestLineStep::Lf, ProtocolError::BadVersion)?
                }
                RequestLineStep::Lf => self.end(cursor, LF, RequestLineStep::Done, ProtocolError::BareCr)?,
                RequestLineStep::Done => return Ok(true),
            };
            if !went_on {
                return Ok(false);
            }
        }
    }

    /// The empty line before a request does not count.
    fn is_fresh(&self) -> bool {
        match self.step {
            RequestLineStep::Start | RequestLineStep::EmptyLineLf => true,
            RequestLineStep::Method => self.method.end <= self.method.start,
            _ => false,
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.step, RequestLineStep::Done)
    }
}

impl RequestLine {
    fn start(&mut self, cursor: &mut Cursor<'_>) -> bool {
        match cursor.peek() {
            None => return false,
            Some(CR) => {
                cursor.bump();
                self.step = RequestLineStep::EmptyLineLf;
            }
            Some(_) => {
                self.method.start = cursor.here();
                self.step = RequestLineStep::Method;
            }
        }
        true
    }

    fn method(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, ProtocolError> {
        let room = (self.method.start + MAX_METHOD).saturating_sub(cursor.here()) as usize;
        let rest = cursor.rest();
        cursor.at += run(rest.get(..room).unwrap_or(rest), TOKEN);
        self.method.end = cursor.here();
        match cursor.peek() {
            None => return Ok(false),
            Some(SP) if !self.method.is_empty() => cursor.bump(),
            Some(byte) if is(byte, TOKEN) => return Err(ProtocolError::MethodTooLong),
            Some(_) => return Err(ProtocolError::BadMethod),
        }
        self.target.start = cursor.here();
        self.step = RequestLineStep::Target;
        Ok(true)
    }

    fn target(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, ProtocolError> {
        cursor.at += run(cursor.rest(), TARGET);
        self.target.end = cursor.here();
        match cursor.peek() {
            None => return Ok(false),
            Some(SP) if !self.target.is_empty() => cursor.bump(),
            // The simple request of HTTP/0.9 has no version.
            Some(CR | LF) if !self.target.is_empty() => return Err(ProtocolError::BadVersion),
            Some(_) => return Err(ProtocolError::BadTarget),
        }
        self.step = RequestLineStep::Version(VersionScan::default());
        Ok(true)
    }

    fn version(&mut self, cursor: &mut Cursor<'_>, mut scan: VersionScan) -> Result<bool, ProtocolError> {
        if scan.is_fresh() && cursor.rest().starts_with(b"HTTP/1.1\r\n") {
            cursor.at += 10;
            self.step = RequestLineStep::Done;
            return Ok(true);
        }
        let Some(byte) = cursor.peek() else { return Ok(false) };
        if scan.is_fresh() && !matches!(byte, b'H' | CR | LF) {
            return Err(ProtocolError::SpaceInTarget);
        }
        let version = scan.byte(byte)?;
        cursor.bump();
        self.step = match version {
            Some(version) => {
                self.version = version;
                RequestLineStep::Cr
            }
            None => RequestLineStep::Version(scan),
        };
        Ok(true)
    }

    fn end(
        &mut self,
        cursor: &mut Cursor<'_>,
        byte: u8,
        next: RequestLineStep,
        or: ProtocolError,
    ) -> Result<bool, ProtocolError> {
        let came = cursor.expect(byte, or)?.is_some();
        if came {
            self.step = next;
        }
        Ok(came)
    }
}
