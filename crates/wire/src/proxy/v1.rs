//! Version 1: one line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    error::ProxyError,
    parts::{PROXY_V1_MAX, ProxyHeader, V1_START, Wanted},
};

/// Up to the first LF, which must come within [`PROXY_V1_MAX`] bytes.
pub(super) fn wanted(bytes: &[u8], input: &[u8]) -> Result<Wanted, ProxyError> {
    let room = PROXY_V1_MAX - bytes.len().min(PROXY_V1_MAX);
    let window = input.get(..room).unwrap_or(input);
    match memchr::memchr(b'\n', window) {
        Some(end) => Ok(Wanted { bytes: end + 1, is_last: true }),
        None if input.len() >= room => Err(ProxyError::LineTooLong),
        None => Ok(Wanted { bytes: input.len() + 1, is_last: false }),
    }
}

pub(super) fn header(line: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let line = line.strip_suffix(b"\r\n").ok_or(ProxyError::LineEnd)?;
    if line.contains(&b'\r') {
        return Err(ProxyError::LineEnd);
    }
    let text = line.strip_prefix(V1_START).ok_or(ProxyError::Missing)?;
    let text = std::str::from_utf8(text).map_err(|_| ProxyError::LineWords)?;
    let mut words = text.split(' ');
    match words.next().unwrap_or_default() {
        // What follows is to be ignored.
        "UNKNOWN" => Ok(ProxyHeader::default()),
        "TCP4" => addresses(words, |word| word.parse::<Ipv4Addr>().ok().map(IpAddr::V4)),
        "TCP6" => addresses(words, |word| word.parse::<Ipv6Addr>().ok().map(IpAddr::V6)),
        _ => Err(ProxyError::LineProtocol),
    }
}

fn addresses<'w>(
    mut words: impl Iterator<Item = &'w str>,
    address: impl Fn(&str) -> Option<IpAddr>,
) -> Result<ProxyHeader, ProxyError> {
    let mut word = || words.next().filter(|word| !word.is_empty()).ok_or(ProxyError::LineWords);
    let (source, destination, source_port, destination_port) = (word()?, word()?, word()?, word()?);
    if words.next().is_some() {
        return Err(ProxyError::LineWords);
    }
    let address = |word| address(word).ok_or(ProxyError::LineAddress);
    let source = SocketAddr::new(address(source)?, port(source_port)?);
    let destination = SocketAddr::new(address(destination)?, port(destination_port)?);
    Ok(ProxyHeader { source: Some(source), destination: Some(destination), ..ProxyHeader::default() })
}

/// Digits alone, without needless zeros: `u16` by itself reads `+80`, too.
fn port(word: &str) -> Result<u16, ProxyError> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    word.parse().ok().filter(|_| plain).ok_or(ProxyError::LinePort)
}
