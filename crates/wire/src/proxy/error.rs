//! Why a PROXY header is refused: one closed list, each entry with its spelling in logs. Nothing is repaired.

/// Declares the enum and its spellings together.
macro_rules! proxy_errors {
    ($($(#[doc = $doc:literal])+ $name:ident = $spelling:literal;)+) => {
        /// A PROXY header that breaks the protocol, or that is missing or not allowed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ProxyError {
            $($(#[doc = $doc])+ $name,)+
        }

        impl ProxyError {
            /// Every variant, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The spelling in logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $spelling,)+ }
            }
        }
    };
}

proxy_errors! {
    /// A header must come, and something else does.
    Missing = "proxy_header_missing";
    /// The sender of the header is not among those that may send one.
    Untrusted = "proxy_header_untrusted";
    /// The header breaks off.
    Broken = "proxy_header_broken";
    /// Version 1: longer than 107 bytes, or without an end.
    LineTooLong = "proxy_line_too_long";
    /// Version 1: the line does not end with CR and LF, or holds a CR before them.
    LineEnd = "proxy_line_end";
    /// Version 1: neither `TCP4`, `TCP6` nor `UNKNOWN`.
    LineProtocol = "proxy_line_protocol";
    /// Version 1: too few or too many words, or more than one space between two of them.
    LineWords = "proxy_line_words";
    /// Version 1: an address that is none, or of another family.
    LineAddress = "proxy_line_address";
    /// Version 1: a port that is not 0 to 65535 in plain digits.
    LinePort = "proxy_line_port";
    /// Version 2: the version is another.
    Version = "proxy_version";
    /// Version 2: neither LOCAL nor PROXY.
    Command = "proxy_command";
    /// Version 2: an unknown address family, or addresses of datagrams.
    Family = "proxy_family";
    /// Version 2: longer than this reader takes.
    TooLong = "proxy_too_long";
    /// Version 2: too short for its addresses.
    TooShort = "proxy_too_short";
    /// Version 2: a field reaches past the header, or its value has a wrong length or form.
    Field = "proxy_field";
    /// Version 2: a field that may stand once stands twice.
    FieldRepeated = "proxy_field_repeated";
    /// Version 2: the checksum is another.
    Checksum = "proxy_checksum";
}

impl std::error::Error for ProxyError {}

impl std::fmt::Display for ProxyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
