//! The fields of one head or trailer section, in order and as they were spelled: one buffer of bytes, and a table of
//! places in it.
//!
//! Why a table of places and not a map from name to values: a proxy looks at few fields and forwards nearly all. A map
//! is built once and taken apart once per message, with an allocation per field, and forgets how names were spelled.
//! Here a field costs twenty bytes in a table that is used again, and a run of fields that are forwarded is one copy.
//! HAProxy's HTX keeps messages in the same way.

use crate::{
    ProtocolError, Version,
    grammar::{HTAB, SP, VALUE, is_token, list, run},
    name::FieldName,
};

/// Options of `Connection` in one head. Each is compared with every field, so their number is bounded.
const MAX_CONNECTION_OPTIONS: usize = 64;

/// A place in a buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    #[inline]
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Grammar has admitted ASCII alone here.
    pub(crate) fn text(self, bytes: &[u8]) -> &str {
        std::str::from_utf8(self.of(bytes)).unwrap_or_default()
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// The place of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: Span,
    pub(crate) value: Span,
    pub(crate) kind: FieldName,
    /// A `Connection` field names this field.
    pub(crate) named_by_connection: bool,
}

/// Fields in order, with their spelling and repetition kept. Reusable: [`clear`](Self::clear) keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// The head as it came, with its start line; or what was pushed.
    pub(crate) bytes: Vec<u8>,
    pub(crate) table: Vec<Field>,
    /// The kinds that occur, as bits.
    present: u32,
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldRef<'a> {
    /// The name as it was spelled.
    pub name: &'a [u8],
    /// The value without white space around it.
    pub value: &'a [u8],
    /// Which field the name means.
    pub kind: FieldName,
    named_by_connection: bool,
}

impl FieldRef<'_> {
    /// Whether the field concerns only the connection that it came by (RFC 9110 section 7.6.1): by its name, or
    /// because a `Connection` field of the same head names it.
    #[must_use]
    pub const fn is_hop_by_hop(&self) -> bool {
        self.named_by_connection || self.kind.is_hop_by_hop()
    }
}

impl Fields {
    /// Appends a field.
    ///
    /// # Errors
    /// The name is no token, or the value holds a control character or white space at an end.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), ProtocolError> {
        if !is_token(name) {
            return Err(ProtocolError::BadFieldName);
        }
        if !is_value(value) {
            return Err(ProtocolError::BadFieldValue);
        }
        let name_span = self.append(name)?;
        let value_span = self.append(value)?;
        let kind = FieldName::of(name);
        self.present |= kind.bit();
        self.table.push(Field { name: name_span, value: value_span, kind, named_by_connection: false });
        Ok(())
    }

    /// The fields in order.
    pub fn iter(&self) -> impl Iterator<Item = FieldRef<'_>> {
        self.table.iter().map(|field| self.resolve(field))
    }

    /// The first field of this kind.
    #[must_use]
    pub fn get(&self, kind: FieldName) -> Option<&[u8]> {
        if self.has(kind) { self.all(kind).next() } else { None }
    }

    /// Every field of this kind.
    pub fn all(&self, kind: FieldName) -> impl Iterator<Item = &[u8]> {
        self.table.iter().filter(move |field| field.kind == kind).map(|field| field.value.of(&self.bytes))
    }

    /// Whether a field of this kind is present, in one comparison.
    #[inline]
    #[must_use]
    pub const fn has(&self, kind: FieldName) -> bool {
        self.present & kind.bit() != 0
    }

    /// How many fields.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no field is present.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes of memory that these fields hold.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.bytes.capacity() + self.table.capacity() * size_of::<Field>()
    }

    /// Bytes of the head that these fields came with: a bound for the size of a copy.
    #[must_use]
    pub const fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the fields and keeps the memory for the next ones.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.table.clear();
        self.present = 0;
    }

    #[inline]
    pub(crate) fn resolve(&self, field: &Field) -> FieldRef<'_> {
        FieldRef {
            name: field.name.of(&self.bytes),
            value: field.value.of(&self.bytes),
            kind: field.kind,
            named_by_connection: field.named_by_connection,
        }
    }

    /// Puts bytes behind the others and says where they are.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<Span, ProtocolError> {
        let place = |at: usize| u32::try_from(at).map_err(|_| ProtocolError::HeadTooLarge);
        let start = place(self.bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(Span { start, end: place(self.bytes.len())? })
    }

    /// Gives every field its kind, and its value without the white space behind it. A scan leaves both undone, because
    /// a field may have come in pieces.
    pub(crate) fn classify(&mut self) -> Result<(), ProtocolError> {
        self.present = 0;
        for field in &mut self.table {
            while let [.., SP | HTAB] = field.value.of(&self.bytes) {
                field.value.end -= 1;
            }
            field.kind = FieldName::of(field.name.of(&self.bytes));
            self.present |= field.kind.bit();
        }
        if self.has(FieldName::Connection) { self.mark_named_by_connection() } else { Ok(()) }
    }

    /// Marks the fields that `Connection` fields name. The essential ones stay: a client must not be able to take away
    /// what gives the message its meaning.
    fn mark_named_by_connection(&mut self) -> Result<(), ProtocolError> {
        let Self { bytes, table, .. } = self;
        let mut left = MAX_CONNECTION_OPTIONS;
        for nth in 0..table.len() {
            let Some(connection) = table.get(nth).filter(|field| field.kind == FieldName::Connection) else {
                continue;
            };
            for option in list(connection.value.of(bytes)) {
                left = left.checked_sub(1).ok_or(ProtocolError::TooManyFields)?;
                if FieldName::of(option).is_hop_by_hop() || option.eq_ignore_ascii_case(b"close") {
                    continue;
                }
                for field in table.iter_mut().filter(|field| !field.kind.is_essential()) {
                    if field.name.of(bytes).eq_ignore_ascii_case(option) {
                        field.named_by_connection = true;
                    }
                }
            }
        }
        Ok(())
    }

    /// HTTP/2 has no fields of connections (RFC 9113 section 8.2.2).
    pub(crate) fn refuse_connection_fields(&self) -> Result<(), ProtocolError> {
        use FieldName as N;
        let kinds = [N::Connection, N::KeepAlive, N::ProxyConnection, N::TransferEncoding, N::Upgrade];
        let bad_te = self.all(N::Te).any(|value| !value.eq_ignore_ascii_case(b"trailers"));
        let found = bad_te || kinds.iter().any(|kind| self.has(*kind));
        if found { Err(ProtocolError::ConnectionField) } else { Ok(()) }
    }

    /// Makes one `Cookie` of several, in the place of the first (RFC 9113 section 8.2.3).
    pub(crate) fn join_cookies(&mut self) -> Result<(), ProtocolError> {
        if self.all(FieldName::Cookie).nth(1).is_none() {
            return Ok(());
        }
        let crumbs: Vec<&[u8]> = self.all(FieldName::Cookie).collect();
        let joined = crumbs.join(&b"; "[..]);
        let joined = self.append(&joined)?;
        let mut seen = 0_usize;
        self.table.retain_mut(|field| {
            let is_cookie = field.kind == FieldName::Cookie;
            seen += usize::from(is_cookie);
            if is_cookie && seen == 1 {
                field.value = joined;
            }
            !is_cookie || seen == 1
        });
        Ok(())
    }

    /// Whether the sender keeps the connection open behind this message (RFC 9112 section 9.3).
    pub(crate) fn is_persistent(&self, version: Version) -> bool {
        match version {
            Version::Http10 => self.has_option("keep-alive") && !self.has_option("close"),
            Version::Http11 => !self.has_option("close"),
            Version::Http2 | Version::Http3 => true,
        }
    }

    /// Bytes of these fields as lines of HTTP/1.1.
    pub(crate) fn wire_len(&self) -> usize {
        self.iter().map(|field| field.name.len() + field.value.len() + ": \r\n".len()).sum()
    }

    /// Whether a `Connection` field has this option.
    pub(crate) fn has_option(&self, option: &str) -> bool {
        self.has(FieldName::Connection)
            && self
                .all(FieldName::Connection)
                .flat_map(list)
                .any(|member| member.eq_ignore_ascii_case(option.as_bytes()))
    }
}

/// `field-value`: no control character, no white space at an end.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    let edge = |byte: Option<&u8>| matches!(byte, Some(&(SP | HTAB)));
    run(bytes, VALUE) == bytes.len() && !edge(bytes.first()) && !edge(bytes.last())
}
