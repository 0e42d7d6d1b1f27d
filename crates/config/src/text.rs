//! Strings with a grammar of their own: names, addresses, hosts, paths, codes. Parses each into what the
//! rest of the program wants. Never resolves a name nor opens a file.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::{
    tree::Value,
    units::{Trouble, quoted, shown},
};

/// Which grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// 1–63 of [A-Za-z0-9._-].
    Label,
    /// A label that starts with a letter, digit or underscore.
    Name,
    /// `ip:port`, to listen on.
    Socket,
    /// `ip` or `ip:port`.
    Nameserver,
    /// `host:port` of an endpoint.
    Address,
    /// A host of a route, `*.` allowed.
    HostPattern,
    /// A path without query, made of whole segments.
    Prefix,
    /// A path with an optional query.
    Target,
    /// A Host header.
    Authority,
    /// A TLS server name.
    Server,
    /// "204", "2xx", "200-299".
    Codes,
    /// A path of a file.
    File,
    /// A path with `*` and `?` in its last part.
    Include,
    /// An HTTP token.
    HeaderName,
    /// Visible ASCII, spaces and tabs inside.
    HeaderValue,
    /// A member of a JSON object.
    Member,
}

const LONGEST: usize = 4_096;

impl Text {
    /// Reads one string.
    pub(crate) fn read(self, text: &str) -> Result<Value, Trouble> {
        if text.trim().is_empty() {
            return Err(Trouble::new("is blank").hint(format!("{}, or leave the key out", self.grammar())));
        }
        if text.len() > LONGEST {
            return Err(Trouble::new(format!("is longer than {LONGEST} bytes")));
        }
        if text.contains('\0') {
            return Err(Trouble::new("holds a NUL character"));
        }
        match self {
            Self::Label | Self::Name => label(text, self == Self::Name),
            Self::Socket => socket(text).map(Value::Socket),
            Self::Nameserver => nameserver(text).map(Value::Socket),
            Self::Address => address(text),
            Self::HostPattern => host_pattern(text).map(Value::Text),
            Self::Prefix => prefix(text),
            Self::Target => target(text),
            Self::Authority => authority(text),
            Self::Server => host(text).map(Value::Text),
            Self::Codes => codes(text),
            Self::Include => include(text),
            Self::HeaderName => header_name(text),
            Self::HeaderValue => header_value(text),
            Self::File | Self::Member => Ok(Value::Text(text.to_owned())),
        }
    }

    /// The grammar in a few words, for hints and the reference.
    pub(crate) fn grammar(self) -> &'static str {
        match self {
            Self::Label => "1–63 of [A-Za-z0-9._-]",
            Self::Name => "1–63 of [A-Za-z0-9._-], first a letter, digit or _",
            Self::Socket => "an IP address and a port: \"127.0.0.1:8080\", \"[::]:80\"",
            Self::Nameserver => "an IP address, with or without a port",
            Self::Address => "\"10.0.0.1:8000\", \"[2001:db8::1]:8000\" or \"name.example.com:443\"",
            Self::HostPattern => "a host name, or \"*.\" and a host name",
            Self::Prefix => "a path that starts with /",
            Self::Target => "a path that starts with /, and an optional ?query",
            Self::Authority => "a host name, with or without a port",
            Self::Server => "a host name or IP address",
            Self::Codes => "\"204\", \"2xx\" or \"200-299\"",
            Self::File => "a path, relative to the file that names it",
            Self::Include => "a path; * and ? in its last part",
            Self::HeaderName => "letters, digits and !#$%&'*+-.^_`|~",
            Self::HeaderValue => "visible ASCII, spaces inside",
            Self::Member => "any string",
        }
    }

    /// A regular expression that every accepted string matches (it may match more).
    pub(crate) fn pattern(self) -> &'static str {
        match self {
            Self::Label => "^[A-Za-z0-9._-]{1,63}$",
            Self::Name => "^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$",
            Self::Socket => r"^([0-9.]+|\[[0-9A-Fa-f:.%]+\]):[0-9]{1,5}$",
            Self::Nameserver => r"^[0-9A-Fa-f:.%\[\]]+$",
            Self::Address => r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$",
            Self::HostPattern => r"^(\[[0-9A-Fa-f:.]+\]|(\*\.)?[A-Za-z0-9._-]+)$",
            Self::Prefix => r"^/[^?#\s]*$",
            Self::Target => r"^/[^#\s]*$",
            Self::Authority => r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?$",
            Self::Server => r"^[A-Za-z0-9._:-]+$",
            Self::Codes => r"^([1-5](xx|[0-9][0-9])|[1-5][0-9][0-9]-[1-5][0-9][0-9])$",
            Self::HeaderName => "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}$",
            Self::HeaderValue => r"^[\t\x20-\x7e]+$",
            Self::File | Self::Include | Self::Member => r"\S",
        }
    }
}

fn label(text: &str, named: bool) -> Result<Value, Trouble> {
    let grammar = if named { Text::Name } else { Text::Label }.grammar();
    if text.len() > 63 {
        return Err(Trouble::new(format!("{} is longer than 63 characters", quoted(text))).hint(grammar));
    }
    let odd = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')));
    if let Some(odd) = odd {
        let odd = odd.escape_debug();
        return Err(Trouble::new(format!("{} holds the character '{odd}'", quoted(text))).hint(grammar));
    }
    if named && text.starts_with(['.', '-']) {
        return Err(Trouble::new(format!("{} starts with a dot or dash", quoted(text))).hint(grammar));
    }
    Ok(Value::Text(text.to_owned()))
}

fn socket(text: &str) -> Result<SocketAddr, Trouble> {
    if let Ok(socket) = text.parse() {
        return Ok(socket);
    }
    let trouble = Trouble::new(format!("{} is not an IP address and a port", quoted(text)));
    if text.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
        return Err(
            trouble.hint(format!("an IPv6 address in brackets and a port: \"[{}]:8080\"", shown(text)))
        );
    }
    if text.parse::<IpAddr>().is_ok() {
        return Err(trouble.hint(format!("the port is missing: \"{}:8080\"", shown(text))));
    }
    let port = text.rsplit(':').next().unwrap_or_default();
    let has_port = port.parse::<u16>().is_ok();
    match text.strip_suffix(port).unwrap_or_default() {
        "" | ":" | "*:" if has_port => {
            Err(trouble
                .hint(format!("\"[::]:{port}\" for all addresses, \"127.0.0.1:{port}\" for this machine")))
        }
        "localhost:" if has_port => Err(trouble.hint(format!("\"127.0.0.1:{port}\""))),
        _ => Err(trouble.hint(Text::Socket.grammar())),
    }
}

fn nameserver(text: &str) -> Result<SocketAddr, Trouble> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let found = bare.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53)).or_else(|_| text.parse());
    match found {
        Ok(socket) if socket.port() != 0 => Ok(socket),
        Ok(_) => Err(Trouble::new("has port 0").hint(Text::Nameserver.grammar())),
        Err(_) => Err(Trouble::new(format!("{} is not an IP address", quoted(text)))
            .hint("\"9.9.9.9\", \"9.9.9.9:53\", \"[2620:fe::fe]:53\"")),
    }
}

fn address(text: &str) -> Result<Value, Trouble> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let tls = if scheme.eq_ignore_ascii_case("https") { ", and `tls = {}`" } else { "" };
        let rest = rest.split('/').next().unwrap_or_default();
        return Err(Trouble::new("is a URL").hint(format!("host and port only: {}{tls}", quoted(rest))));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(Trouble::new(format!("{} has no port", quoted(text)))
            .hint(format!("an IPv6 address in brackets and a port: \"[{text}]:8000\"")));
    }
    let Some((host, port)) = text.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) else {
        return Err(Trouble::new(format!("{} has no port", quoted(text)))
            .hint(format!("the port is mandatory: \"{}:8000\"", shown(text))));
    };
    let port = port_number(port)?;
    let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(inner) => match inner.parse::<Ipv6Addr>() {
            Ok(ip) => ip.to_string(),
            Err(_) => return Err(Trouble::new(format!("{} is not an IPv6 address", quoted(inner)))),
        },
        None => self::host(host)?,
    };
    Ok(Value::HostPort(host, port))
}

fn port_number(port: &str) -> Result<u16, Trouble> {
    let plain = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(port) if plain && port != 0 => Ok(port),
        _ => Err(Trouble::new(format!("{} is not a port", quoted(port))).hint("1 to 65535")),
    }
}

/// A DNS name (lower case, no final dot) or an IP address (no brackets).
fn host(text: &str) -> Result<String, Trouble> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    let bad = |why: &str| Trouble::new(format!("{} is not a host name: {why}", quoted(text)));
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

fn host_pattern(text: &str) -> Result<String, Trouble> {
    if text == "*" {
        return Err(Trouble::new("\"*\" is not a host name").hint("leave `hosts` out to match any host"));
    }
    if text.contains("://") || text.contains('/') {
        return Err(Trouble::new("holds a slash").hint("the host only; the path goes into `path_prefix`"));
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        let ip = inner.parse::<Ipv6Addr>();
        return ip
            .map(|ip| format!("[{ip}]"))
            .map_err(|_| Trouble::new(format!("{} is not an IPv6 address", quoted(inner))));
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && port.parse::<u16>().is_ok()
        && !name.contains(':')
    {
        return Err(
            Trouble::new("holds a port").hint(format!("ports do not count in matching: {}", quoted(name)))
        );
    }
    if text.contains(':') {
        return Err(Trouble::new(format!("{} is not a host name", quoted(text)))
            .hint("an IPv6 address stands in brackets"));
    }
    let (star, name) = match text.strip_prefix("*.") {
        Some(name) => ("*.", name),
        None => ("", text),
    };
    if name.contains('*') {
        return Err(Trouble::new(format!("{} has a * inside", quoted(text)))
            .hint("\"*.\" stands once, in front: \"*.example.com\""));
    }
    let name = host(name)?;
    if !star.is_empty() && name.parse::<IpAddr>().is_ok() {
        return Err(Trouble::new("is a wildcard over an IP address"));
    }
    Ok(format!("{star}{name}"))
}

/// What is left of a path or target after the checks that both share.
fn path_bytes(text: &str, query: bool) -> Result<(), Trouble> {
    if !text.starts_with('/') {
        return Err(Trouble::new(format!("{} does not start with /", quoted(text)))
            .hint(format!("\"/{}\"", shown(text.split("://").last().unwrap_or_default()))));
    }
    if text.contains('#') || (!query && text.contains('?')) {
        let what = if query { "holds a fragment" } else { "holds a query or fragment" };
        return Err(Trouble::new(what).hint("the path only"));
    }
    let odd = text
        .chars()
        .find(|c| !c.is_ascii_graphic() || matches!(c, '\\' | '"' | '<' | '>' | '`' | '{' | '}' | '|' | '^'));
    if let Some(odd) = odd {
        return Err(
            Trouble::new(format!("holds the character '{}'", odd.escape_debug())).hint("percent-encode it")
        );
    }
    let mut rest = text;
    while let Some((_, tail)) = rest.split_once('%') {
        let code = tail.get(..2).filter(|c| c.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(code) = code else {
            return Err(
                Trouble::new("holds a % without two hex digits").hint("a literal percent sign is %25")
            );
        };
        if !query && ["2f", "5c", "00"].contains(&code.to_ascii_lowercase().as_str()) {
            return Err(Trouble::new(format!("holds %{code}"))
                .hint("requests with %2F, %5C or %00 in the path are refused, so it would never match"));
        }
        rest = tail;
    }
    Ok(())
}

fn prefix(text: &str) -> Result<Value, Trouble> {
    path_bytes(text, false)?;
    if text.split('/').any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    }) {
        return Err(Trouble::new("holds a dot segment")
            .hint("dot segments are resolved before matching, so it would never match"));
    }
    let trimmed = text.trim_end_matches('/');
    Ok(Value::Text(if trimmed.is_empty() { "/" } else { trimmed }.to_owned()))
}

fn target(text: &str) -> Result<Value, Trouble> {
    path_bytes(text, true)?;
    Ok(Value::Text(text.to_owned()))
}

fn authority(text: &str) -> Result<Value, Trouble> {
    if text.contains('/') {
        return Err(Trouble::new("holds a slash").hint("host and optional port only"));
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
            Err(Trouble::new("is a pattern").hint("one host name"))
        } else {
            Ok(Value::Text(name))
        }
    })
}

fn codes(text: &str) -> Result<Value, Trouble> {
    let trouble = || {
        Trouble::new(format!("{} is not a status code, class or range", quoted(text)))
            .hint(Text::Codes.grammar())
    };
    let code = |t: &str| {
        let plain = t.len() == 3 && t.bytes().all(|b| b.is_ascii_digit());
        t.parse::<u16>().ok().filter(|c| plain && (100..=599).contains(c))
    };
    if let Some(class) = text.strip_suffix("xx") {
        let hundreds = code(&format!("{class}00")).ok_or_else(trouble)?;
        return Ok(Value::Codes(hundreds, hundreds + 99));
    }
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (code(low), code(high)) {
        (Some(low), Some(high)) if low <= high => Ok(Value::Codes(low, high)),
        (Some(_), Some(_)) => {
            Err(Trouble::new(format!("{} is an empty range", quoted(text))).hint(format!("\"{high}-{low}\"")))
        }
        _ => Err(trouble()),
    }
}

fn include(text: &str) -> Result<Value, Trouble> {
    let folder = text.rsplit_once('/').map(|(folder, _)| folder).unwrap_or_default();
    if folder.contains(['*', '?']) {
        return Err(Trouble::new("has a wildcard in a folder's name").hint(Text::Include.grammar()));
    }
    if text.ends_with('/') {
        return Err(Trouble::new("names a folder").hint(format!("\"{}*.toml\"", shown(text))));
    }
    Ok(Value::Text(text.to_owned()))
}

fn header_name(text: &str) -> Result<Value, Trouble> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.len() > 256 || !text.bytes().all(token) {
        return Err(Trouble::new(format!("{} is not a header or cookie name", quoted(text)))
            .hint(Text::HeaderName.grammar()));
    }
    Ok(Value::Text(text.to_owned()))
}

fn header_value(text: &str) -> Result<Value, Trouble> {
    if !text.bytes().all(|b| b == b'\t' || (0x20..0x7f).contains(&b)) || text.trim() != text {
        return Err(Trouble::new("is not a header value").hint(Text::HeaderValue.grammar()));
    }
    Ok(Value::Text(text.to_owned()))
}
