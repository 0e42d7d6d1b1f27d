//! Why a message is refused: one closed list. Each entry names its rule, its status and its spelling for logs and
//! metrics. Refusing is all this crate does with a bad message; no variant is ever repaired.

/// Declares the enum and its columns together, so that an entry cannot lack one of them.
macro_rules! protocol_errors {
    ($($(#[doc = $doc:literal])+ $name:ident = $status:literal, $spelling:literal, $section:literal;)+) => {
        /// A message that breaks the protocol, or that two readers could understand differently.
        ///
        /// The connection closes after every one of them: where the next message begins is not certain. For a request,
        /// [`status`](Self::status) is the answer. A bad answer of an endpoint is a 502, whatever the variant.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProtocolError {
            $($(#[doc = $doc])+ #[doc = ""] #[doc = $section] $name,)+
        }

        impl ProtocolError {
            /// Every variant, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The status that answers such a request.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// The spelling in logs and metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $spelling,)+ }
            }

            /// The section that states the rule.
            #[must_use]
            pub const fn section(self) -> &'static str {
                match self { $(Self::$name => $section,)+ }
            }
        }
    };
}

protocol_errors! {
    /// The method is empty, or is no token.
    BadMethod = 400, "bad_method", "RFC 9110 section 9.1";
    /// The method is longer than any registered one.
    MethodTooLong = 501, "method_too_long", "RFC 9112 section 3";
    /// The target is empty, or holds a control character, a fragment or a byte outside ASCII.
    BadTarget = 400, "bad_target", "RFC 9112 section 3.2";
    /// A space stands where the version must begin: the target holds a space, or two spaces follow each other.
    SpaceInTarget = 400, "space_in_target", "RFC 9112 section 3.2";
    /// The target's form does not fit the method, or its scheme is neither `http` nor `https`.
    TargetForm = 400, "target_form", "RFC 9112 section 3.2";
    /// The authority in the target has user information, no host, or a bad port.
    BadAuthority = 400, "bad_authority", "RFC 9110 section 4.2";
    /// The head reached its limit before the request line ended.
    TargetTooLong = 414, "target_too_long", "RFC 9110 section 15.5.15";
    /// The version is missing, or is not written as `HTTP/`, digit, `.`, digit.
    BadVersion = 400, "bad_version", "RFC 9112 section 2.3";
    /// A version other than HTTP/1.0 and HTTP/1.1.
    UnsupportedVersion = 505, "unsupported_version", "RFC 9110 section 15.6.6";
    /// A CR without its LF.
    BareCr = 400, "bare_cr", "RFC 9112 section 2.2";
    /// An LF without its CR.
    BareLf = 400, "bare_lf", "RFC 9112 section 2.2";
    /// White space between the start line and the first field.
    LeadingWhitespace = 400, "leading_whitespace", "RFC 9112 section 2.2";
    /// A field line that begins with white space, and so continues the line before.
    ObsFold = 400, "obs_fold", "RFC 9112 section 5.2";
    /// White space between a field's name and its colon.
    SpaceBeforeColon = 400, "space_before_colon", "RFC 9112 section 5.1";
    /// A field line without a colon.
    MissingColon = 400, "missing_colon", "RFC 9112 section 5";
    /// A field name that is empty, or is no token.
    BadFieldName = 400, "bad_field_name", "RFC 9110 section 5.1";
    /// A control character in a field's value.
    BadFieldValue = 400, "bad_field_value", "RFC 9110 section 5.5";
    /// The head reached its limit before it ended.
    HeadTooLarge = 431, "head_too_large", "RFC 6585 section 5";
    /// More fields than the limit.
    TooManyFields = 431, "too_many_fields", "RFC 6585 section 5";
    /// An HTTP/1.1 request without `Host`.
    MissingHost = 400, "missing_host", "RFC 9112 section 3.2";
    /// More than one `Host`.
    RepeatedHost = 400, "repeated_host", "RFC 9112 section 3.2";
    /// A `Host` that is no host with an optional port; an empty one, too.
    BadHost = 400, "bad_host", "RFC 9112 section 3.2";
    /// A `Content-Length` that is not digits alone.
    BadContentLength = 400, "bad_content_length", "RFC 9110 section 8.6";
    /// More than one `Content-Length`, equal or not.
    RepeatedContentLength = 400, "repeated_content_length", "RFC 9112 section 6.3";
    /// A length, or a chunk size, that no body can have.
    LengthTooLarge = 413, "length_too_large", "RFC 9110 section 8.6";
    /// `Content-Length` together with `Transfer-Encoding`.
    LengthWithCoding = 400, "length_with_coding", "RFC 9112 section 6.1";
    /// A `Transfer-Encoding` that does not end in `chunked`, repeats it, or is malformed.
    BadTransferCoding = 400, "bad_transfer_coding", "RFC 9112 section 6.3";
    /// More than one `Transfer-Encoding`.
    RepeatedTransferCoding = 400, "repeated_transfer_coding", "RFC 9112 section 6.1";
    /// A transfer coding in front of `chunked`: this engine knows none.
    UnknownTransferCoding = 501, "unknown_transfer_coding", "RFC 9112 section 6.1";
    /// A transfer coding in an HTTP/1.0 message.
    CodingInHttp10 = 400, "coding_in_http10", "RFC 9112 section 6.1";
    /// A chunk size that is not hexadecimal digits alone.
    BadChunkSize = 400, "bad_chunk_size", "RFC 9112 section 7.1";
    /// A chunk extension that is malformed or longer than the limit.
    BadChunkExtension = 400, "bad_chunk_extension", "RFC 9112 section 7.1.1";
    /// A chunk's data that CR LF does not follow.
    BadChunkEnd = 400, "bad_chunk_end", "RFC 9112 section 7.1";
    /// A trailer field that would change framing or routing.
    ForbiddenTrailer = 400, "forbidden_trailer", "RFC 9110 section 6.5.1";
    /// The connection ended within a message.
    Truncated = 400, "truncated", "RFC 9112 section 8";
    /// A head is asked for while a body is unread, or a body before its head: a remainder would be taken for a message.
    OutOfStep = 400, "out_of_step", "RFC 9112 section 9.3";
    /// A status line that does not have the form of one.
    BadStatusLine = 400, "bad_status_line", "RFC 9112 section 4";
    /// A 1xx or 204 that announces a body.
    BodyForbidden = 400, "body_forbidden", "RFC 9110 section 8.6";
    /// A 101 to a request that did not ask for an upgrade.
    UnsolicitedSwitch = 400, "unsolicited_switch", "RFC 9110 section 15.2.2";
    /// More interim answers than any server sends.
    TooManyInterim = 400, "too_many_interim", "RFC 9110 section 15.2";
    /// A field of HTTP/1.1 connections in an HTTP/2 message.
    ConnectionField = 400, "connection_field", "RFC 9113 section 8.2.2";
    /// An HTTP/2 or HTTP/3 frame, or an order of frames, that breaks the protocol.
    BadFrame = 400, "bad_frame", "RFC 9113 section 5.4";
    /// An extended CONNECT for a protocol other than WebSocket.
    UnknownProtocol = 501, "unknown_protocol", "RFC 9220 section 3";
    /// A 101 to a WebSocket's handshake whose `Sec-WebSocket-Accept` does not follow from the key.
    BadWebSocketAccept = 400, "bad_websocket_accept", "RFC 6455 section 4.1";
}

impl std::fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.as_str(), self.section())
    }
}

impl std::error::Error for ProtocolError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_error_has_its_own_spelling_and_a_status_that_refuses() {
        let spellings: BTreeSet<&str> = ProtocolError::ALL.iter().map(|error| error.as_str()).collect();
        assert_eq!(spellings.len(), ProtocolError::ALL.len());
        for error in ProtocolError::ALL {
            assert!([400, 413, 414, 431, 501, 505].contains(&error.status()), "{error}");
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            assert!(error.as_str().bytes().all(plain), "{error}");
        }
    }
}
