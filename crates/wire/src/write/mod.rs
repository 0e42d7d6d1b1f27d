//! Writers: `head` makes a head from slices in one outgoing buffer, `body` the framing around content.

mod head;
mod body;

pub use body::{BodyWriter, Frame};
pub use head::HeadWriter;

/// Why a message cannot be written: it would not be read as what it is. A mistake of the caller, or input that it has
/// not checked; nothing of the message is left in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritable {
    /// The method is no token.
    Method,
    /// The target is none for this method.
    Target,
    /// The host is none.
    Host,
    /// The status is not 100 to 999, or the reason holds a control character.
    Status,
    /// A field's name is no token, or a field that this writer makes itself: `Host`, `Content-Length`,
    /// `Transfer-Encoding`.
    FieldName,
    /// A field's value holds a control character, or white space at an end.
    FieldValue,
    /// A request cannot end with its connection; a 1xx, 204 or 304 has no body.
    Framing,
    /// The body is longer or shorter than its `Content-Length`.
    Length,
}

impl std::fmt::Display for Unwritable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Method => "the method is no token",
            Self::Target => "the target is none for this method",
            Self::Host => "the host is none",
            Self::Status => "the status line is none",
            Self::FieldName => "the field's name is none, or is the writer's own",
            Self::FieldValue => "the field's value holds a control character or ends in white space",
            Self::Framing => "the message cannot have this framing",
            Self::Length => "the body does not have the length that its head says",
        })
    }
}

impl std::error::Error for Unwritable {}
