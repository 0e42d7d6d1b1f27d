//! The head of a request, whichever protocol it came by: start line, fields, and what they mean. Owns its bytes, so that
//! it can outlive the read buffer, be sent to a second endpoint, and be used again for the next request.

use crate::{
    ProtocolError, Version,
    fields::{Fields, Span},
    framing::{Framing, declared},
    grammar::{TARGET, is_token, run},
    head::Head,
    name::FieldName,
    request::{
        line::RequestLine,
        target::{self, Target, TargetForm},
    },
    scan::Limits,
};

/// The methods that this engine or the edge treats differently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other token; methods are case-sensitive.
    #[default]
    Other,
}

impl Method {
    fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// The method's name; `None` for [`Other`](Self::Other).
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Other => return None,
        })
    }

    /// Whether a request may be sent twice (RFC 9110 section 9.2.2).
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Put | Self::Delete | Self::Trace)
    }
}

/// A request's head.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    fields: Fields,
    method: Method,
    method_name: Span,
    raw_target: Span,
    target: Target,
    version: Version,
    framing: Framing,
    keep_alive: bool,
    websocket: bool,
}

/// The parts of a request that came by another protocol. The fields come with [`Fields::push`].
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    /// The pseudo-field `:method`.
    pub method: &'a [u8],
    /// The pseudo-field `:protocol` of an extended CONNECT (RFC 8441).
    pub protocol: Option<&'a [u8]>,
    /// The pseudo-field `:scheme` is `https`.
    pub https: bool,
    /// The pseudo-field `:authority`.
    pub authority: Option<&'a [u8]>,
    /// The pseudo-field `:path`; empty for `CONNECT`.
    pub path: &'a [u8],
    /// The stream goes on behind the head.
    pub has_body: bool,
}

impl RequestHead {
    /// The method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The method as it came.
    #[must_use]
    pub fn method_name(&self) -> &str {
        self.method_name.text(&self.fields.bytes)
    }

    pub(crate) fn method_bytes(&self) -> &[u8] {
        self.method_name.of(&self.fields.bytes)
    }

    pub(crate) fn target_bytes(&self) -> &[u8] {
        self.raw_target.of(&self.fields.bytes)
    }

    /// As [`authority`](Self::authority).
    #[must_use]
    pub fn authority_bytes(&self) -> Option<&[u8]> {
        match self.target.authority {
            Some(span) => Some(span.of(&self.fields.bytes)),
            None => self.fields.get(FieldName::Host),
        }
    }

    /// The target as it came.
    #[must_use]
    pub fn target(&self) -> &str {
        self.raw_target.text(&self.fields.bytes)
    }

    /// The target's form.
    #[must_use]
    pub const fn target_form(&self) -> TargetForm {
        self.target.form
    }

    /// The target's path, neither decoded nor normalised. Empty in asterisk-form, in authority-form, and where an
    /// absolute target has none: a GET of it goes on as `/`, an OPTIONS as `*` (RFC 9112 section 3.2.4).
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.path.text(&self.fields.bytes)
    }

    /// The target's query without its `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target.query.map(|span| span.text(&self.fields.bytes))
    }

    /// Whom the request is for: the target's authority, else `Host`. The first wins where they differ
    /// (RFC 9112 section 3.2.2). `None` for an HTTP/1.0 request without either.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.authority_bytes().and_then(|authority| std::str::from_utf8(authority).ok())
    }

    /// Whether an absolute target, or an HTTP/2 request, said `https`.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.target.https
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

    /// The fields in order, as they were spelled.
    #[must_use]
    pub const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Whether the client leaves the connection open for another request (RFC 9112 section 9.3).
    #[must_use]
    pub const fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Whether the client asks to leave HTTP after a 101 (RFC 9110 section 7.8), or opens a WebSocket over HTTP/2.
    #[must_use]
    pub fn asks_upgrade(&self) -> bool {
        self.websocket
            || (self.version == Version::Http11
                && self.fields.has(FieldName::Upgrade)
                && self.fields.has_option("upgrade"))
    }

    /// Whether the request came as an extended CONNECT that opens a WebSocket (RFC 8441). The head has the form of its
    /// HTTP/1.1 handshake: a GET with `Upgrade`, without content.
    #[must_use]
    pub const fn opens_websocket(&self) -> bool {
        self.websocket
    }

    /// Whether the client waits for a 100 before it sends the body (RFC 9110 section 10.1.1).
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        let is_continue = |value: &[u8]| value.eq_ignore_ascii_case(b"100-continue");
        self.version != Version::Http10 && self.fields.all(FieldName::Expect).any(is_continue)
    }

    /// Whether a field's name looks like framing ([`FieldName::LookAlike`]).
    #[must_use]
    pub const fn has_look_alike(&self) -> bool {
        self.fields.has(FieldName::LookAlike)
    }

    /// Whether a GET or HEAD has content. Its framing is certain, but some servers ignore such content and read it as
    /// the next request (RFC 9110 section 9.3.1), so a connection to an endpoint is better not used again after it.
    #[must_use]
    pub const fn has_unexpected_content(&self) -> bool {
        let has_content = !matches!(self.framing, Framing::None | Framing::Length(0));
        has_content && matches!(self.method, Method::Get | Method::Head)
    }

    /// Makes a head from the parts that another protocol's engine has read. The same rules hold as for HTTP/1.1: no
    /// value can end a line, the authority is one, a length is digits. Cookies become one field
    /// (RFC 9113 section 8.2.3) before they are counted.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn from_parts(
        parts: &RequestParts<'_>,
        mut fields: Fields,
        limits: Limits,
    ) -> Result<Self, ProtocolError> {
        if !is_token(parts.method) {
            return Err(ProtocolError::BadMethod);
        }
        if run(parts.path, TARGET) < parts.path.len() {
            return Err(ProtocolError::BadTarget);
        }
        fields.refuse_connection_fields()?;
        fields.join_cookies()?;
        let websocket = opens_websocket(parts)?;
        let method = if websocket { b"GET" } else { parts.method };
        if websocket {
            fields.push(b"Upgrade", b"websocket")?;
        }
        let method_name = fields.append(method)?;
        let raw_target = fields.append(parts.path)?;
        let mut target = match (method, parts.path) {
            (b"CONNECT", b"") => Target { form: TargetForm::Authority, ..Target::default() },
            (b"CONNECT", _) | (_, b"") => return Err(ProtocolError::TargetForm),
            (method, _) => target::read(&fields.bytes, raw_target, method)?,
        };
        if target.form == TargetForm::Absolute {
            return Err(ProtocolError::TargetForm);
        }
        target.https = parts.https;
        if let Some(authority) = parts.authority {
            if !target::is_authority(authority) {
                return Err(ProtocolError::BadAuthority);
            }
            if fields.all(FieldName::Host).any(|host| !host.eq_ignore_ascii_case(authority)) {
                return Err(ProtocolError::BadHost);
            }
            target.authority = Some(fields.append(authority)?);
        }
        let version = Version::Http2;
        let mut head =
            Self { fields, method_name, raw_target, target, version, websocket, ..Self::default() };
        if head.fields.wire_len() + parts.method.len() + parts.path.len() > limits.head_bytes as usize {
            return Err(ProtocolError::HeadTooLarge);
        }
        if head.fields.len() > limits.fields as usize {
            return Err(ProtocolError::TooManyFields);
        }
        head.conclude()?;
        head.framing = match head.framing {
            // What follows is the WebSocket, and no content.
            Framing::None | Framing::Length(0) if websocket => Framing::None,
            _ if websocket => return Err(ProtocolError::BadContentLength),
            Framing::None if parts.has_body => Framing::Chunked,
            // The stream has ended already (RFC 9113 section 8.1.1).
            Framing::Length(1..) if !parts.has_body => return Err(ProtocolError::BadContentLength),
            framing => framing,
        };
        Ok(head)
    }

    /// Gives the memory back for another head.
    #[must_use]
    pub fn into_fields(mut self) -> Fields {
        self.fields.clear();
        self.fields
    }

    /// What holds for a head from any protocol.
    fn conclude(&mut self) -> Result<(), ProtocolError> {
        self.method = Method::of(self.method_name.of(&self.fields.bytes));
        self.check_host()?;
        self.framing = declared(&self.fields, self.version)?.unwrap_or_default();
        self.keep_alive = self.fields.is_persistent(self.version);
        Ok(())
    }

    fn check_host(&self) -> Result<(), ProtocolError> {
        let mut hosts = self.fields.all(FieldName::Host);
        let optional = match self.version {
            Version::Http10 => true,
            Version::Http11 => false,
            Version::Http2 => self.target.authority.is_some(),
        };
        match (hosts.next(), hosts.next()) {
            (None, _) if optional => Ok(()),
            (None, _) => Err(ProtocolError::MissingHost),
            (Some(_), Some(_)) => Err(ProtocolError::RepeatedHost),
            (Some(host), None) if target::is_authority(host) => Ok(()),
            (Some(_), None) => Err(ProtocolError::BadHost),
        }
    }
}

/// Whether the parts are those of an extended CONNECT for a WebSocket.
fn opens_websocket(parts: &RequestParts<'_>) -> Result<bool, ProtocolError> {
    match parts.protocol {
        None => Ok(false),
        Some(protocol) if parts.method == b"CONNECT" && protocol.eq_ignore_ascii_case(b"websocket") => {
            Ok(true)
        }
        Some(_) => Err(ProtocolError::UnknownProtocol),
    }
}

impl Head for RequestHead {
    type Line = RequestLine;

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

    fn understand(&mut self, line: &RequestLine) -> Result<(), ProtocolError> {
        self.method_name = line.method;
        self.raw_target = line.target;
        self.version = line.version;
        self.fields.classify()?;
        let bytes = &self.fields.bytes;
        self.target = target::read(bytes, line.target, line.method.of(bytes))?;
        self.conclude()
    }
}
