//! Writes a head once, from slices, into the buffer that goes out. The writer makes the framing fields and `Host`
//! itself, so that a forwarded head cannot bring its own.

use crate::{
    FieldName, FieldRef, Fields, Framing, RequestHead,
    fields::{Field, Span, is_value},
    framing::content_length,
    grammar::{TARGET, VALUE, is_token, run},
    request::target,
    write::{BodyWriter, Unwritable},
};

/// The writer of one head. The first problem is kept and told by [`finish`](Self::finish).
#[derive(Debug)]
#[must_use = "a head ends with `finish`"]
pub struct HeadWriter<'o> {
    out: &'o mut Vec<u8>,
    /// Where this head begins in `out`.
    start: usize,
    framing: Framing,
    /// The framing field is written, or the message has none.
    is_framed: bool,
    /// The message may tell the length of a body that does not come: an answer to HEAD, a 304.
    may_tell_length: bool,
    is_request: bool,
    problem: Option<Unwritable>,
}

impl<'o> HeadWriter<'o> {
    /// Begins a request: its line, and `Host` as the first field.
    pub fn request(out: &'o mut Vec<u8>, method: &str, target: &str, host: &str, framing: Framing) -> Self {
        let mut writer = Self::begin(out, framing);
        writer.is_request = true;
        writer.note(is_token(method.as_bytes()), Unwritable::Method);
        writer.note(is_target(target.as_bytes(), method.as_bytes()), Unwritable::Target);
        writer.note(target::is_authority(host.as_bytes()), Unwritable::Host);
        writer.note(framing != Framing::UntilClose, Unwritable::Framing);
        let line = [method, " ", target, " HTTP/1.1\r\nHost: ", host, "\r\n"];
        line.iter().for_each(|part| writer.out.extend_from_slice(part.as_bytes()));
        writer
    }

    /// Begins a request that is passed on: its line, and `Host` as the first field. What comes from `head` was read by
    /// the same rules and is not checked again; `None` = the head's own target, and its own authority.
    ///
    /// A head without an authority needs a host.
    pub fn forward(
        out: &'o mut Vec<u8>,
        head: &RequestHead,
        target: Option<&str>,
        host: Option<&str>,
    ) -> Self {
        let mut writer = Self::begin(out, head.framing());
        writer.is_request = true;
        if let Some(target) = target {
            writer.note(is_target(target.as_bytes(), head.method_bytes()), Unwritable::Target);
        }
        if let Some(host) = host {
            writer.note(target::is_authority(host.as_bytes()), Unwritable::Host);
        }
        let host = host.map_or_else(|| head.authority_bytes(), |host| Some(host.as_bytes()));
        writer.note(host.is_some(), Unwritable::Host);
        let target = target.map_or_else(|| head.target_bytes(), str::as_bytes);
        let line =
            [head.method_bytes(), b" ", target, b" HTTP/1.1\r\nHost: ", host.unwrap_or_default(), b"\r\n"];
        line.iter().for_each(|part| writer.out.extend_from_slice(part));
        writer
    }

    /// Begins an answer. The framing is that of the body that is sent: none for an answer to HEAD.
    pub fn answer(out: &'o mut Vec<u8>, status: u16, reason: &[u8], framing: Framing) -> Self {
        let mut writer = Self::begin(out, framing);
        let bodiless = matches!(status, 100..=199 | 204 | 304);
        writer.may_tell_length = framing == Framing::None && !matches!(status, 100..=199 | 204);
        writer.note((100..1000).contains(&status), Unwritable::Status);
        writer.note(run(reason, VALUE) == reason.len(), Unwritable::Status);
        writer.note(!bodiless || framing == Framing::None, Unwritable::Framing);
        writer.out.extend_from_slice(b"HTTP/1.1 ");
        decimal(u64::from(status), writer.out);
        writer.out.push(b' ');
        writer.out.extend_from_slice(reason);
        writer.out.extend_from_slice(b"\r\n");
        writer
    }

    fn begin(out: &'o mut Vec<u8>, framing: Framing) -> Self {
        let start = out.len();
        let is_framed = matches!(framing, Framing::None | Framing::UntilClose);
        Self { out, start, framing, is_framed, may_tell_length: false, is_request: false, problem: None }
    }

    /// Adds a field.
    pub fn field(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        let value = value.as_ref();
        let own = matches!(
            FieldName::of(name.as_bytes()),
            FieldName::Host | FieldName::ContentLength | FieldName::TransferEncoding
        );
        self.note(is_token(name.as_bytes()) && !own, Unwritable::FieldName);
        self.note(is_value(value), Unwritable::FieldValue);
        self.line(name.as_bytes(), value);
        self
    }

    /// Adds a field of a known name; not one that this writer makes itself.
    pub fn known(&mut self, name: FieldName, value: impl AsRef<[u8]>) -> &mut Self {
        let value = value.as_ref();
        let own = matches!(
            name,
            FieldName::Host
                | FieldName::ContentLength
                | FieldName::TransferEncoding
                | FieldName::LookAlike
                | FieldName::Other
        );
        self.note(!own, Unwritable::FieldName);
        self.note(is_value(value), Unwritable::FieldValue);
        for part in [name.line_start().as_bytes(), value, b"\r\n"] {
            self.out.extend_from_slice(part);
        }
        self
    }

    /// Copies the fields that are kept, in order and as they were spelled. Neighbours are one copy. Framing fields are
    /// made anew in their place, and `Host` is left out of requests, whatever `keep` says.
    pub fn fields(&mut self, fields: &Fields, mut keep: impl FnMut(&FieldRef<'_>) -> bool) -> &mut Self {
        let mut pending = Span::default();
        for place in &fields.table {
            let field = fields.resolve(place);
            if !keep(&field) || (self.is_request && field.kind == FieldName::Host) {
                continue;
            }
            if let FieldName::ContentLength | FieldName::TransferEncoding = field.kind {
                self.copy(fields, &mut pending);
                self.frame(&field);
                continue;
            }
            match line_of(place, &fields.bytes) {
                Some(line) if line.start == pending.end => pending.end = line.end,
                Some(line) => {
                    self.copy(fields, &mut pending);
                    pending = line;
                }
                None => {
                    self.copy(fields, &mut pending);
                    self.line(field.name, field.value);
                }
            }
        }
        self.copy(fields, &mut pending);
        self
    }

    /// Ends the head; the body comes next.
    ///
    /// # Errors
    /// The first problem. The buffer is then as it was before this head.
    pub fn finish(mut self) -> Result<BodyWriter, Unwritable> {
        if let Some(problem) = self.problem {
            self.out.truncate(self.start);
            return Err(problem);
        }
        self.write_framing();
        self.out.extend_from_slice(b"\r\n");
        Ok(BodyWriter::new(self.framing))
    }

    fn note(&mut self, is_good: bool, problem: Unwritable) {
        if !is_good {
            self.problem.get_or_insert(problem);
        }
    }

    fn line(&mut self, name: &[u8], value: &[u8]) {
        for part in [name, b": ", value, b"\r\n"] {
            self.out.extend_from_slice(part);
        }
    }

    fn copy(&mut self, fields: &Fields, pending: &mut Span) {
        self.out.extend_from_slice(pending.of(&fields.bytes));
        *pending = Span::default();
    }

    /// The framing field in the place of an old one.
    fn frame(&mut self, old: &FieldRef<'_>) {
        self.write_framing();
        if self.may_tell_length
            && old.kind == FieldName::ContentLength
            && let Ok(length) = content_length(old.value)
        {
            self.may_tell_length = false;
            self.content_length(length);
        }
    }

    fn write_framing(&mut self) {
        if std::mem::replace(&mut self.is_framed, true) {
            return;
        }
        match self.framing {
            Framing::Length(length) => self.content_length(length),
            Framing::Chunked => self.out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Framing::None | Framing::UntilClose => {}
        }
    }

    fn content_length(&mut self, length: u64) {
        self.out.extend_from_slice(b"Content-Length: ");
        decimal(length, self.out);
        self.out.extend_from_slice(b"\r\n");
    }
}

/// The whole line of a field, if it is already what this writer would make of it.
fn line_of(field: &Field, bytes: &[u8]) -> Option<Span> {
    let line = Span { start: field.name.start, end: field.value.end + 2 };
    let between = Span { start: field.name.end, end: field.value.start };
    let behind = Span { start: field.value.end, end: line.end };
    (between.of(bytes) == b": " && behind.of(bytes) == b"\r\n").then_some(line)
}

fn is_target(target: &[u8], method: &[u8]) -> bool {
    let end = u32::try_from(target.len());
    run(target, TARGET) == target.len()
        && end.is_ok_and(|end| target::read(target, Span { start: 0, end }, method).is_ok())
}

fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut from = digits.len();
    for digit in digits.iter_mut().rev() {
        from -= 1;
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(from..).unwrap_or_default());
}
