//! How long a body is (RFC 9112 section 6): the one place where `Content-Length` and `Transfer-Encoding` are read.
//! Whatever two readers could read differently is refused, even where the RFC lets a recipient choose.

use crate::{ProtocolError, Version, fields::Fields, grammar::list, name::FieldName};

/// Where a message's body ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// The message has no body, and says nothing about one.
    #[default]
    None,
    /// After this many bytes; `Length(0)` is a body that is said to be empty.
    Length(u64),
    /// After the last chunk and the trailer section.
    Chunked,
    /// When the connection closes. Answers only.
    UntilClose,
}

impl Framing {
    /// The framing for a receiver of this version: HTTP/1.0 knows no chunks.
    #[must_use]
    pub const fn towards(self, version: Version) -> Self {
        match (self, version) {
            (Self::Chunked, Version::Http10) => Self::UntilClose,
            // A body that ends with the sender's connection need not end with the receiver's.
            (Self::UntilClose, Version::Http11) => Self::Chunked,
            (framing, _) => framing,
        }
    }
}

/// The largest length: more than any file has, and safe to add to.
const MAX_LENGTH: u64 = i64::MAX as u64;

/// What the fields say about the body. `None` if they say nothing.
pub(crate) fn declared(fields: &Fields, version: Version) -> Result<Option<Framing>, ProtocolError> {
    let coded = fields.has(FieldName::TransferEncoding);
    let sized = fields.has(FieldName::ContentLength);
    if !coded && !sized {
        return Ok(None);
    }
    if coded {
        check_coding(fields, version)?;
        return if sized { Err(ProtocolError::LengthWithCoding) } else { Ok(Some(Framing::Chunked)) };
    }
    let value = sole(fields, FieldName::ContentLength, ProtocolError::RepeatedContentLength)?;
    content_length(value).map(Framing::Length).map(Some)
}

/// `Content-Length = 1*DIGIT`: no sign, no space, no list, no other base.
pub(crate) fn content_length(value: &[u8]) -> Result<u64, ProtocolError> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(ProtocolError::BadContentLength);
    }
    let digit = |sum: u64, byte: &u8| sum.checked_mul(10)?.checked_add(u64::from(byte - b'0'));
    let length = value.iter().try_fold(0, digit).filter(|length| *length <= MAX_LENGTH);
    length.ok_or(ProtocolError::LengthTooLarge)
}

/// `Transfer-Encoding` must be `chunked`, once, in HTTP/1.1.
fn check_coding(fields: &Fields, version: Version) -> Result<(), ProtocolError> {
    match version {
        Version::Http10 => return Err(ProtocolError::CodingInHttp10),
        Version::Http2 | Version::Http3 => return Err(ProtocolError::ConnectionField),
        Version::Http11 => {}
    }
    let value = sole(fields, FieldName::TransferEncoding, ProtocolError::RepeatedTransferCoding)?;
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let is_coding = |coding: &[u8]| {
        [&b"gzip"[..], b"x-gzip", b"deflate", b"compress", b"x-compress"]
            .iter()
            .any(|known| coding.eq_ignore_ascii_case(known))
    };
    // A list that another server could decode is not malformed: it asks for what this engine does not have.
    let mut codings: Vec<&[u8]> = list(value).collect();
    let decodable = codings.pop().is_some_and(is_chunked) && codings.iter().all(|coding| is_coding(coding));
    let unknown = decodable && !codings.is_empty();
    Err(if unknown { ProtocolError::UnknownTransferCoding } else { ProtocolError::BadTransferCoding })
}

fn sole(fields: &Fields, kind: FieldName, repeated: ProtocolError) -> Result<&[u8], ProtocolError> {
    let mut values = fields.all(kind);
    let first = values.next().unwrap_or_default();
    if values.next().is_some() { Err(repeated) } else { Ok(first) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: Version, fields: &[(&str, &str)], expected: Result<Option<Framing>, ProtocolError>) {
        let mut made = Fields::default();
        for (name, value) in fields {
            made.push(name.as_bytes(), value.as_bytes()).expect("a field");
        }
        assert_eq!(declared(&made, version), expected, "{fields:?}");
    }

    #[test]
    fn a_length_is_digits_alone_and_said_once() {
        let one = |value, expected: Result<u64, ProtocolError>| {
            check(Version::Http11, &[("content-length", value)], expected.map(Framing::Length).map(Some));
        };
        one("0", Ok(0));
        one("005", Ok(5));
        one("9223372036854775807", Ok(i64::MAX as u64));
        one("00000000000000000000000000000000000007", Ok(7));
        for value in
            ["", "+5", "-5", "5 5", "5,5", "5, 5", "0x5", "5.0", "5;", "1_0", "five", "٥", "5\t5", "\"5\""]
        {
            one(value, Err(ProtocolError::BadContentLength));
        }
        for value in ["9223372036854775808", "18446744073709551616", "99999999999999999999999"] {
            one(value, Err(ProtocolError::LengthTooLarge));
        }
        for second in ["5", "6", "x"] {
            let fields = [("Content-Length", "5"), ("content-length", second)];
            check(Version::Http11, &fields, Err(ProtocolError::RepeatedContentLength));
        }
    }

    #[test]
    fn a_coding_is_chunked_alone_and_said_once() {
        let one = |value, expected| check(Version::Http11, &[("Transfer-Encoding", value)], expected);
        one("chunked", Ok(Some(Framing::Chunked)));
        one("CHUNKED", Ok(Some(Framing::Chunked)));
        for value in ["gzip, chunked", "x-gzip ,\tchunked", "deflate, gzip,chunked"] {
            one(value, Err(ProtocolError::UnknownTransferCoding));
        }
        for value in [
            "",
            "identity",
            "gzip",
            "chunked, gzip",
            "chunked, chunked",
            "identity, chunked",
            "chunked,",
            ", chunked",
            "xchunked",
            "chunked;q=1",
            "\"chunked\"",
            "chunked chunked",
            "chunked\u{a0}",
            "cow, chunked",
        ] {
            one(value, Err(ProtocolError::BadTransferCoding));
        }
        let twice = [("Transfer-Encoding", "chunked"), ("transfer-encoding", "chunked")];
        check(Version::Http11, &twice, Err(ProtocolError::RepeatedTransferCoding));
        let cow = [("Transfer-Encoding", "chunked"), ("transfer-encoding", "cow")];
        check(Version::Http11, &cow, Err(ProtocolError::RepeatedTransferCoding));
    }

    #[test]
    fn length_and_coding_exclude_each_other() {
        let both = [("Content-Length", "5"), ("Transfer-Encoding", "chunked")];
        check(Version::Http11, &both, Err(ProtocolError::LengthWithCoding));
        check(Version::Http10, &both, Err(ProtocolError::CodingInHttp10));
        let coded = [("Transfer-Encoding", "chunked")];
        check(Version::Http10, &coded, Err(ProtocolError::CodingInHttp10));
        check(Version::Http2, &coded, Err(ProtocolError::ConnectionField));
        check(Version::Http10, &[("Content-Length", "5")], Ok(Some(Framing::Length(5))));
        check(Version::Http11, &[("Accept", "*/*")], Ok(None));
    }
}
