//! Hosts, ports and what is made of them. Never resolves a name.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::Text;
use crate::{
    diagnostic::{Diagnostic, quoted, shown},
    tree::Value,
};

pub(super) fn socket(text: &str) -> Result<SocketAddr, Diagnostic> {
    if let Ok(socket) = text.parse() {
        return Ok(socket);
    }
    let diagnostic = Diagnostic::new(format!("{} is not an IP address and a port", quoted(text)));
    if text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
        return Err(
            diagnostic.hint(format!("an IPv6 address in brackets and a port: \"[{}]:8080\"", shown(text)))
        );
    }
    if text.parse::<IpAddr>().is_ok() {
        return Err(diagnostic.hint(format!("the port is missing: \"{}:8080\"", shown(text))));
    }
    let port = text.rsplit(':').next().unwrap_or_default();
    let has_port = port.parse::<u16>().is_ok();
    match text.strip_suffix(port).unwrap_or_default() {
        "" | ":" | "*:" if has_port => Err(diagnostic
            .hint(format!("\"[::]:{port}\" for all addresses, \"127.0.0.1:{port}\" for this machine"))),
        "localhost:" if has_port => Err(diagnostic.hint(format!("\"127.0.0.1:{port}\""))),
        _ => Err(diagnostic.hint(Text::Socket.grammar())),
    }
}

pub(super) fn nameserver(text: &str) -> Result<SocketAddr, Diagnostic> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let found = bare.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)).or_else(|_| text.parse());
    match found {
        Ok(socket) if socket.port() != 0 => Ok(socket),
        Ok(_) => Err(Diagnostic::new("has port 0").hint(Text::Nameserver.grammar())),
        Err(_) => Err(Diagnostic::new(format!("{} is not an IP address", quoted(text)))
            .hint("\"9.9.9.9\", \"9.9.9.9:53\", \"[2620:fe::fe]:53\"")),
    }
}

pub(super) fn address(text: &str) -> Result<Value, Diagnostic> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let tls = if scheme.eq_ignore_ascii_case("https") { ", and `tls = {}`" } else { "" };
        let rest = rest.split('/').next().unwrap_or_default();
        return Err(Diagnostic::new("is a URL").hint(format!("host and port only: {}{tls}", quoted(rest))));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(Diagnostic::new(format!("{} has no port", quoted(text)))
            .hint(format!("an IPv6 address in brackets and a port: \"[{text}]:8000\"")));
    }
    let Some((host, port)) = text.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) else {
        return Err(Diagnostic::new(format!("{} has no port", quoted(text)))
            .hint(format!("the port is mandatory: \"{}:8000\"", shown(text))));
    };
    let port = port_number(port)?;
    let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(inner) => match inner.parse::<Ipv6Addr>() {
            Ok(ip) => ip.to_string(),
            Err(_) => return Err(Diagnostic::new(format!("{} is not an IPv6 address", quoted(inner)))),
        },
        None if host.contains(':') => {
            return Err(Diagnostic::new(format!("{} is not a host and a port", quoted(text)))
                .hint("an IPv6 address stands in brackets: \"[2001:db8::1]:8000\""));
        }
        None => self::host(host)?,
    };
    Ok(Value::HostPort(host, port))
}

fn port_number(port: &str) -> Result<u16, Diagnostic> {
    let plain = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(port) if plain && port != 0 => Ok(port),
        _ => Err(Diagnostic::new(format!("{} is not a port", quoted(port))).hint("1 to 65535")),
    }
}

/// A DNS name (lower case, no final dot) or an IP address (no brackets).
pub(super) fn host(text: &str) -> Result<String, Diagnostic> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    let bad = |why: &str| Diagnostic::new(format!("{} is not a host name: {why}", quoted(text)));
    if !text.is_ascii() {
        return Err(bad("it is not ASCII").hint("write an internationalised name as xn--…"));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.len() > 253 {
        return Err(bad("it is longer than 253 characters"));
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err(bad("each part between dots has 1 to 63 characters"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(bad("no part starts or ends with a dash"));
        }
        if let Some(odd) = label.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
            return Err(bad(&format!("it holds the character '{}'", odd.escape_debug())));
        }
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad("its last part is a number, and it is no IP address"));
    }
    Ok(name)
}

/// A DNS name, lower case, without the final dot.
pub(super) fn dns_name(text: &str) -> Result<String, Diagnostic> {
    if text.parse::<IpAddr>().is_ok() {
        return Err(Diagnostic::new(format!("{} is an IP address", quoted(text))).hint("a name"));
    }
    if text.starts_with("*.") {
        return Err(Diagnostic::new("is a wildcard").hint("write each name that is to be answered"));
    }
    host(text)
}

/// An address that a client can connect to.
pub(super) fn ip(text: &str) -> Result<IpAddr, Diagnostic> {
    match text.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(ip) if ip.is_unspecified() || ip.is_multicast() => {
            Err(Diagnostic::new(format!("{} is the address of no machine", quoted(text))))
        }
        Ok(ip) => Ok(ip),
        Err(_) => {
            Err(Diagnostic::new(format!("{} is not an IP address", quoted(text))).hint(Text::Ip.grammar()))
        }
    }
}

/// A mail address whose first part fits a DNS label.
pub(super) fn mail(text: &str) -> Result<String, Diagnostic> {
    let bad = || Diagnostic::new(format!("{} is no mail address", quoted(text))).hint(Text::Mail.grammar());
    let (local, domain) = text.rsplit_once('@').ok_or_else(bad)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~.-".contains(&byte);
    if local.is_empty() || local.len() > 63 || !local.bytes().all(plain) {
        return Err(bad());
    }
    Ok(format!("{local}@{}", dns_name(domain)?))
}

pub(super) fn host_pattern(text: &str) -> Result<String, Diagnostic> {
    if text == "*" {
        return Err(Diagnostic::new("\"*\" is not a host name").hint("leave `hosts` out to match any host"));
    }
    if text.contains("://") || text.contains('/') {
        return Err(Diagnostic::new("holds a slash").hint("the host only; the path goes into `path_prefix`"));
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        let ip = inner.parse::<Ipv6Addr>();
        return ip
            .map(|ip| format!("[{ip}]"))
            .map_err(|_| Diagnostic::new(format!("{} is not an IPv6 address", quoted(inner))));
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && port.parse::<u16>().is_ok()
        && !name.contains(':')
    {
        return Err(
            Diagnostic::new("holds a port").hint(format!("ports do not count in matching: {}", quoted(name)))
        );
    }
    if text.contains(':') {
        return Err(Diagnostic::new(format!("{} is not a host name", quoted(text)))
            .hint("an IPv6 address stands in brackets"));
    }
    let (star, name) = match text.strip_prefix("*.") {
        Some(name) => ("*.", name),
        None => ("", text),
    };
    if name.contains('*') {
        return Err(Diagnostic::new(format!("{} has a * inside", quoted(text)))
            .hint("\"*.\" stands once, in front: \"*.example.com\""));
    }
    let name = host(name)?;
    if !star.is_empty() && name.parse::<IpAddr>().is_ok() {
        return Err(Diagnostic::new("is a wildcard over an IP address"));
    }
    Ok(format!("{star}{name}"))
}

pub(super) fn authority(text: &str) -> Result<Value, Diagnostic> {
    if text.contains('/') {
        return Err(Diagnostic::new("holds a slash").hint("host and optional port only"));
    }
    if text.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']')) {
        return match address(text)? {
            Value::HostPort(host, port) if host.contains(':') => Ok(Value::Text(format!("[{host}]:{port}"))),
            Value::HostPort(host, port) => Ok(Value::Text(format!("{host}:{port}"))),
            other => Ok(other),
        };
    }
    host_pattern(text).and_then(|name| {
        if name.starts_with('*') {
            Err(Diagnostic::new("is a pattern").hint("one host name"))
        } else {
            Ok(Value::Text(name))
        }
    })
}
