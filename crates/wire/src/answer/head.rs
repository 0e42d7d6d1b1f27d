//! The head of an answer: status line, fields, and what they mean for the request that it answers. Owns its bytes, as
//! a request's head does.

use crate::{
    ProtocolError, Version,
    answer::line::StatusLine,
    fields::{Fields, Span},
    framing::{Framing, declared},
    head::Head,
    name::FieldName,
    request::{Method, RequestHead},
    scan::Limits,
};

/// What an answer's meaning depends on: the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnswerTo {
    /// The request was a HEAD: its answer has no body, whatever the answer's fields say.
    pub head: bool,
    /// The request that was sent asks to leave HTTP.
    pub upgrade: bool,
}

impl AnswerTo {
    /// The answer to this request. `upgrade` says whether the request that is sent still asks for one.
    #[must_use]
    pub fn of(request: &RequestHead, upgrade: bool) -> Self {
        Self { head: request.method() == Method::Head, upgrade }
    }
}

/// The parts of an answer that came by another protocol. The fields come with [`Fields::push`].
#[derive(Clone, Copy, Debug)]
pub struct AnswerParts {
    /// The pseudo-field `:status`.
    pub status: u16,
    /// The stream goes on behind the head.
    pub has_body: bool,
}

/// An answer's head.
#[derive(Clone, Debug, Default)]
pub struct AnswerHead {
    fields: Fields,
    version: Version,
    status: u16,
    reason: Span,
    /// What the fields say, before request and status are looked at.
    declared: Option<Framing>,
    framing: Framing,
    keep_alive: bool,
}

impl AnswerHead {
    /// Makes a head from the parts that another protocol's engine has read. The same rules hold as for HTTP/1.1. A body of
    /// unknown length is [`Framing::Chunked`]: its end is marked, and trailers may follow.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn from_parts(
        parts: AnswerParts,
        fields: Fields,
        to: AnswerTo,
        limits: Limits,
    ) -> Result<Self, ProtocolError> {
        if fields.len() > limits.fields as usize {
            return Err(ProtocolError::TooManyFields);
        }
        if fields.wire_len() > limits.head_bytes as usize {
            return Err(ProtocolError::HeadTooLarge);
        }
        fields.refuse_connection_fields()?;
        let declared = declared(&fields, Version::Http2)?;
        let mut head =
            Self { fields, version: Version::Http2, status: parts.status, declared, ..Self::default() };
        head.frame(to)?;
        head.framing = match head.framing {
            Framing::UntilClose if parts.has_body => Framing::Chunked,
            Framing::UntilClose => Framing::Length(0),
            // The stream has ended already (RFC 9113 section 8.1.1).
            Framing::Length(1..) if !parts.has_body => return Err(ProtocolError::BadContentLength),
            framing => framing,
        };
        head.keep_alive = true;
        Ok(head)
    }

    /// The head of a WebSocket that an endpoint of HTTP/2 has opened by a 2xx, in the form of its HTTP/1.1 handshake (RFC 8441
    /// section 5): a 101 with this `Sec-WebSocket-Accept`.
    ///
    /// # Errors
    /// The value is none.
    pub fn opened(mut self, accept: &[u8]) -> Result<Self, ProtocolError> {
        (self.status, self.framing, self.keep_alive) = (101, Framing::None, false);
        self.fields.push(b"Upgrade", b"websocket")?;
        self.fields.push(b"Sec-WebSocket-Accept", accept)?;
        Ok(self)
    }

    /// The status: 100 to 999.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase as it came; often empty.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.reason.of(&self.fields.bytes)
    }

    /// The version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Where the body ends.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// The `Content-Length`. In an answer to HEAD, and in a 304, it is one of a body that does not come.
    #[must_use]
    pub const fn content_length(&self) -> Option<u64> {
        if let Some(Framing::Length(length)) = self.declared { Some(length) } else { None }
    }

    /// The fields in order, as they were spelled.
    #[must_use]
    pub const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Appends a field of the gateway's own.
    ///
    /// # Errors
    /// The name is no token, or the value is none.
    pub fn push_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), ProtocolError> {
        self.fields.push(name, value)
    }

    /// Whether the connection may carry another request once this answer is read to its end.
    #[must_use]
    pub const fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether a field's name looks like framing ([`FieldName::LookAlike`]).
    #[must_use]
    pub const fn has_look_alike(&self) -> bool {
        self.fields.has(FieldName::LookAlike)
    }

    /// Whether another answer follows this one: any 1xx but 101.
    #[must_use]
    pub const fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// Where the body ends, given the request (RFC 9112 section 6.3).
    pub(crate) fn frame(&mut self, to: AnswerTo) -> Result<(), ProtocolError> {
        let says_nothing = matches!(self.declared, None | Some(Framing::Length(0)));
        self.framing = match self.status {
            101 if !to.upgrade => return Err(ProtocolError::UnsolicitedSwitch),
            // The RFC has the body end at once whatever is announced; what comes then could be taken for an answer.
            100..=199 | 204 if !says_nothing => return Err(ProtocolError::BodyForbidden),
            100..=199 | 204 | 304 => Framing::None,
            _ if to.head => Framing::None,
            _ => self.declared.unwrap_or(Framing::UntilClose),
        };
        self.keep_alive = self.fields.is_persistent(self.version)
            && self.framing != Framing::UntilClose
            && self.status != 101;
        Ok(())
    }
}

impl Head for AnswerHead {
    type Line = StatusLine;

    fn fields(&self) -> &Fields {
        &self.fields
    }

    fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    fn understand(&mut self, line: &StatusLine) -> Result<(), ProtocolError> {
        self.version = line.version;
        self.status = line.status;
        self.reason = line.reason;
        self.fields.classify()?;
        self.declared = declared(&self.fields, self.version)?;
        Ok(())
    }
}
