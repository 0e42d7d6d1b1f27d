//! The status line (RFC 9112 section 4), scanned byte by byte.
//!
//! ```text
//! status-line = HTTP-version SP status-code SP [ reason-phrase ] CRLF
//! ```
//!
//! The second SP may be missing where no reason follows: servers are known for it, and no reader can take it for
//! anything else. The writer makes a new line in any case.

use crate::{
    ProtocolError, Version,
    fields::Span,
    grammar::{CR, LF, SP, value_run},
    head::StartLine,
    scan::Cursor,
    version::VersionScan,
};

/// The scanner of one status line, and what it has found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StatusLine {
    step: StatusLineStep,
    pub(crate) version: Version,
    pub(crate) status: u16,
    pub(crate) reason: Span,
}

#[derive(Clone, Copy, Debug)]
enum StatusLineStep {
    Version(VersionScan),
    Space,
    /// So many digits were read.
    Status(u8),
    BeforeReason,
    Reason,
    Lf,
    Done,
}

impl Default for StatusLineStep {
    fn default() -> Self {
        Self::Version(VersionScan::default())
    }
}

impl StartLine for StatusLine {
    const TOO_LONG: ProtocolError = ProtocolError::HeadTooLarge;

    fn run(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, ProtocolError> {
        self.usual_line(cursor);
        while !self.is_done() {
            if let StatusLineStep::Reason = self.step {
                cursor.at += value_run(cursor.rest());
                self.reason.end = cursor.here();
            }
            let Some(byte) = cursor.peek() else { return Ok(false) };
            self.step = self.byte(byte, cursor.here())?;
            cursor.bump();
        }
        Ok(true)
    }

    fn is_fresh(&self) -> bool {
        matches!(self.step, StatusLineStep::Version(scan) if scan.is_fresh())
    }

    fn is_done(&self) -> bool {
        matches!(self.step, StatusLineStep::Done)
    }
}

impl StatusLine {
    /// Takes `HTTP/1.1 200 ` at once: nearly every answer begins like this.
    fn usual_line(&mut self, cursor: &mut Cursor<'_>) {
        if self.is_fresh()
            && let Some((b"HTTP/1.1 ", [a @ b'1'..=b'9', b, c, SP, ..])) = cursor.rest().split_at_checked(9)
            && b.is_ascii_digit()
            && c.is_ascii_digit()
        {
            let digit = |byte: &u8| u16::from(byte - b'0');
            self.status = digit(a) * 100 + digit(b) * 10 + digit(c);
            self.version = Version::Http11;
            cursor.at += b"HTTP/1.1 200 ".len();
            self.reason = Span { start: cursor.here(), end: cursor.here() };
            self.step = StatusLineStep::Reason;
        }
    }

    fn byte(&mut self, byte: u8, here: u32) -> Result<StatusLineStep, ProtocolError> {
        match (self.step, byte) {
            (StatusLineStep::Version(mut scan), _) => {
                let fresh = scan.is_fresh();
                match scan.byte(byte) {
                    Ok(Some(version)) => {
                        self.version = version;
                        Ok(StatusLineStep::Space)
                    }
                    Ok(None) => Ok(StatusLineStep::Version(scan)),
                    // Not even the beginning of an answer.
                    Err(_) if fresh => Err(ProtocolError::BadStatusLine),
                    Err(error) => Err(error),
                }
            }
            (StatusLineStep::Space, SP) => Ok(StatusLineStep::Status(0)),
            (StatusLineStep::Status(read @ 0), b'1'..=b'9')
            | (StatusLineStep::Status(read @ (1 | 2)), b'0'..=b'9') => {
                self.status = self.status * 10 + u16::from(byte - b'0');
                Ok(if read == 2 { StatusLineStep::BeforeReason } else { StatusLineStep::Status(read + 1) })
            }
            (StatusLineStep::BeforeReason, SP) => {
                self.reason = Span { start: here + 1, end: here + 1 };
                Ok(StatusLineStep::Reason)
            }
            (StatusLineStep::BeforeReason | StatusLineStep::Reason, CR) => Ok(StatusLineStep::Lf),
            (StatusLineStep::BeforeReason | StatusLineStep::Reason, LF) => Err(ProtocolError::BareLf),
            (StatusLineStep::Lf, LF) => Ok(StatusLineStep::Done),
            (StatusLineStep::Lf, _) => Err(ProtocolError::BareCr),
            _ => Err(ProtocolError::BadStatusLine),
        }
    }
}
