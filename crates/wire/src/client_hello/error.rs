//! Why a ClientHello is refused: one closed list, each entry with its spelling in logs. Nothing is repaired.

/// Declares the enum and its spellings together.
macro_rules! hello_errors {
    ($($(#[doc = $doc:literal])+ $name:ident = $spelling:literal;)+) => {
        /// A connection that begins as TLS does, and whose ClientHello breaks the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum HelloError {
            $($(#[doc = $doc])+ $name,)+
        }

        impl HelloError {
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

hello_errors! {
    /// The client ends before its ClientHello does.
    Broken = "hello_broken";
    /// More than 16 KiB.
    TooLong = "hello_too_long";
    /// A record without content.
    EmptyRecord = "hello_empty_record";
    /// A record of more than 16 KiB.
    RecordLength = "hello_record_length";
    /// Another kind of record comes before the end.
    Interleaved = "hello_interleaved";
    /// A length inside reaches past its end, or bytes are left over.
    Length = "hello_length";
    /// The version in the message is none of TLS.
    Version = "hello_version";
    /// No cipher suite, or half of one; no compression method.
    Suites = "hello_suites";
    /// An extension that steering reads stands twice.
    Repeated = "hello_repeated";
    /// The list of names is not exactly one host name.
    NameList = "hello_name_list";
    /// The name holds bytes that no host name has, or is empty or longer than 255.
    Name = "hello_name";
}

impl std::error::Error for HelloError {}

impl std::fmt::Display for HelloError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
