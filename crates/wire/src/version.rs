//! The version of a message, and how HTTP/1.1 spells it (RFC 9112 section 2.3).

use crate::ProtocolError;

/// The version of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0: no chunks, and a connection for each request unless both sides say otherwise.
    Http10,
    /// HTTP/1.1: the version of everything that the writers make.
    #[default]
    Http11,
    /// HTTP/2: the head was made from parts.
    Http2,
    /// HTTP/3: the head was made from parts.
    Http3,
}

/// Reads `HTTP-version` byte by byte (RFC 9112 section 2.3).
///
/// ```text
/// HTTP-version = %s"HTTP" "/" DIGIT "." DIGIT
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct VersionScan {
    read: u8,
}

impl VersionScan {
    const FORM: &[u8] = b"HTTP/1.";

    pub(crate) const fn is_fresh(self) -> bool {
        self.read == 0
    }

    /// Takes one byte. The version comes with the last.
    pub(crate) fn byte(&mut self, byte: u8) -> Result<Option<Version>, ProtocolError> {
        let version = match (self.read, byte) {
            (7, b'0') => Some(Version::Http10),
            (7, b'1') => Some(Version::Http11),
            (at, _) if Self::FORM.get(usize::from(at)) == Some(&byte) => None,
            (5 | 7, b'0'..=b'9') => return Err(ProtocolError::UnsupportedVersion),
            _ => return Err(ProtocolError::BadVersion),
        };
        self.read += 1;
        Ok(version)
    }
}
