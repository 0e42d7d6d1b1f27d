//! The message ClientHello without its head: every length is checked, and only the extension `server_name` is understood.

use super::{ClientHello, HelloError, MAJOR};

/// The extension `server_name` (RFC 6066 section 3).
const SERVER_NAME: u16 = 0;
/// The name type `host_name`.
const HOST_NAME: u8 = 0;
/// The longest name.
const NAME_MAX: usize = 255;
/// The longest `legacy_session_id`.
const SESSION_MAX: usize = 32;

/// Reads the message behind its head.
///
/// # Errors
/// The rule that it breaks.
pub(super) fn client_hello(body: &[u8]) -> Result<ClientHello, HelloError> {
    let mut body = Part(body);
    let [major, _] = body.array()?;
    if major != MAJOR {
        return Err(HelloError::Version);
    }
    let _random: [u8; 32] = body.array()?;
    if body.short_list()?.0.len() > SESSION_MAX {
        return Err(HelloError::Length);
    }
    let suites = body.list()?.0.len();
    let methods = body.short_list()?.0.len();
    if suites == 0 || suites % 2 != 0 || methods == 0 {
        return Err(HelloError::Suites);
    }
    // Clients before TLS 1.2 may leave the extensions out.
    let mut extensions = if body.0.is_empty() { Part(&[]) } else { body.list()? };
    if !body.0.is_empty() {
        return Err(HelloError::Length);
    }
    let mut hello = ClientHello::default();
    while !extensions.0.is_empty() {
        let kind = u16::from_be_bytes(extensions.array()?);
        let content = extensions.list()?;
        if kind == SERVER_NAME && hello.server_name.replace(server_name(content)?).is_some() {
            return Err(HelloError::Repeated);
        }
    }
    Ok(hello)
}

/// The one host name of the extension `server_name`.
fn server_name(mut extension: Part<'_>) -> Result<Box<str>, HelloError> {
    let mut names = extension.list()?;
    if !extension.0.is_empty() {
        return Err(HelloError::Length);
    }
    let Some((&HOST_NAME, rest)) = names.0.split_first() else { return Err(HelloError::NameList) };
    names.0 = rest;
    let name = names.list()?;
    if !names.0.is_empty() {
        return Err(HelloError::NameList);
    }
    let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let text = std::str::from_utf8(name.0).map_err(|_| HelloError::Name)?;
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() || text.len() > NAME_MAX || !name.0.iter().all(is_good) {
        return Err(HelloError::Name);
    }
    Ok(text.to_ascii_lowercase().into())
}

/// What is left of a part of the message.
struct Part<'a>(&'a [u8]);

impl<'a> Part<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], HelloError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(HelloError::Length)?;
        self.0 = rest;
        Ok(*taken)
    }

    /// A part with a length of one byte in front.
    fn short_list(&mut self) -> Result<Self, HelloError> {
        let [length] = self.array()?;
        self.take(usize::from(length))
    }

    /// A part with a length of two bytes in front.
    fn list(&mut self) -> Result<Self, HelloError> {
        let length = u16::from_be_bytes(self.array()?);
        self.take(usize::from(length))
    }

    fn take(&mut self, length: usize) -> Result<Part<'a>, HelloError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(HelloError::Length)?;
        self.0 = rest;
        Ok(Part(taken))
    }
}
