//! Strings with a grammar of their own: names and codes here, hosts and ports in `address`, paths in `path`, networks and
//! the places of clients in `place`, URLs in `url`.
//! Parses each into what the rest of the program wants. Never resolves a name nor opens a file.

mod address;
mod path;
mod place;
mod url;

use address::{address, authority, dns_name, host, host_pattern, ip, mail, nameserver, socket};
use path::{prefix, target};
use place::{CIDR, PLACE, cidr, place};

use crate::{
    diagnostic::{Diagnostic, quoted, shown},
    tree::{Url, Value},
};

/// The grammars of strings.
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
    /// `http://` or `https://`, a host, perhaps a port, perhaps a path.
    Url,
    /// `nats://` or `tls://`, a host, perhaps a port.
    Nats,
    /// "204", "2xx", "200-299".
    Codes,
    /// A path of a file.
    File,
    /// A path of a folder, or nothing.
    Folder,
    /// A path with `*` and `?` in its last part.
    Include,
    /// An HTTP token.
    HeaderName,
    /// Visible ASCII, spaces and tabs inside.
    HeaderValue,
    /// A member of a JSON object.
    Member,
    /// `192.0.2.0/24`, or an address.
    Cidr,
    /// Where clients come from: `country:DE`.
    GeoPlace,
    /// Names of BIRD's protocols, a space between two.
    Symbols,
    /// A DNS name: a host name that is no IP address.
    DnsName,
    /// An IP address.
    Ip,
    /// A mail address.
    Mail,
}

const LONGEST: usize = 4_096;

impl Text {
    /// Reads one string.
    pub(crate) fn read(self, text: &str) -> Result<Value, Diagnostic> {
        // A byte order mark is blank too, as it is to the regular expressions of the schema.
        if self == Self::Folder && text.is_empty() {
            return Ok(Value::Text(String::new()));
        }
        if text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}').is_empty() {
            return Err(Diagnostic::new("is blank").hint(format!("{}, or leave the key out", self.grammar())));
        }
        if text.len() > LONGEST {
            return Err(Diagnostic::new(format!("is longer than {LONGEST} bytes")));
        }
        if text.contains('\0') {
            return Err(Diagnostic::new("holds a NUL character"));
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
            Self::Url => url(text),
            Self::Nats => nats(text),
            Self::Codes => codes(text),
            Self::Include => include(text),
            Self::HeaderName => header_name(text),
            Self::HeaderValue => header_value(text),
            Self::Cidr => cidr(text),
            Self::GeoPlace => place(text),
            Self::Symbols => symbols(text),
            Self::DnsName => dns_name(text).map(Value::Text),
            Self::Ip => ip(text).map(Value::Ip),
            Self::Mail => mail(text).map(Value::Text),
            Self::File | Self::Folder | Self::Member => Ok(Value::Text(text.to_owned())),
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
            Self::Url => url::GRAMMAR,
            Self::Nats => url::NATS,
            Self::Codes => "\"204\", \"2xx\" or \"200-299\"",
            Self::File => "a path, relative to the file that names it",
            Self::Folder => "a folder, relative to the file that names it, or \"\"",
            Self::Include => "a path; * and ? in its last part",
            Self::HeaderName => "letters, digits and !#$%&'*+-.^_`|~",
            Self::HeaderValue => "visible ASCII, spaces inside",
            Self::Member => "any string",
            Self::Cidr => CIDR,
            Self::GeoPlace => PLACE,
            Self::DnsName => "a whole host name: \"www.example.com\"",
            Self::Ip => "an IP address: \"192.0.2.1\", \"2001:db8::1\"",
            Self::Mail => "a mail address: \"hostmaster@example.com\"",
            Self::Symbols => {
                "up to 8 names of letters, digits and _, no digit first, at most 63 long, one space between"
            }
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
            Self::Url => r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s#@]+$",
            Self::Nats => r"^([Nn][Aa][Tt][Ss]|[Tt][Ll][Ss])://[^\s/?#@]+$",
            Self::Codes => r"^([1-5](xx|[0-9][0-9])|[1-5][0-9][0-9]-[1-5][0-9][0-9])$",
            Self::HeaderName => "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}$",
            Self::HeaderValue => r"^[\t\x20-\x7e]+$",
            Self::File | Self::Include | Self::Member => r"\S",
            Self::Cidr => r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
            Self::GeoPlace => {
                r"^(\*|country:[A-Z]{2}|continent:[A-Z]{2}|network:[A-Za-z0-9_][A-Za-z0-9._-]{0,62})$"
            }
            Self::Folder => r"^$|\S",
            Self::DnsName => r"^[A-Za-z0-9._-]{1,254}$",
            Self::Ip => r"^[0-9A-Fa-f:.]+$",
            Self::Mail => r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,63}@[A-Za-z0-9._-]+$",
            Self::Symbols => "^[A-Za-z_][A-Za-z0-9_]{0,62}( [A-Za-z_][A-Za-z0-9_]{0,62}){0,7}$",
        }
    }
}

fn label(text: &str, named: bool) -> Result<Value, Diagnostic> {
    let grammar = if named { Text::Name } else { Text::Label }.grammar();
    if text.len() > 63 {
        return Err(Diagnostic::new(format!("{} is longer than 63 characters", quoted(text))).hint(grammar));
    }
    let odd = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')));
    if let Some(odd) = odd {
        let odd = odd.escape_debug();
        return Err(Diagnostic::new(format!("{} holds the character '{odd}'", quoted(text))).hint(grammar));
    }
    if named && text.starts_with(['.', '-']) {
        return Err(Diagnostic::new(format!("{} starts with a dot or dash", quoted(text))).hint(grammar));
    }
    Ok(Value::Text(text.to_owned()))
}

/// Names as BIRD's configuration has them without quotes: they go into commands to it.
fn symbols(text: &str) -> Result<Value, Diagnostic> {
    let is_symbol = |name: &str| {
        let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        letters && (1..=63).contains(&name.len()) && !name.starts_with(|first: char| first.is_ascii_digit())
    };
    if text.split(' ').count() > 8 || !text.split(' ').all(is_symbol) {
        let diagnostic = Diagnostic::new(format!("{} is no name of a protocol of BIRD", quoted(text)));
        return Err(diagnostic.hint(Text::Symbols.grammar()));
    }
    Ok(Value::Text(text.to_owned()))
}

/// A URL whose host, port and path are checked like those of endpoints and probes.
fn url(text: &str) -> Result<Value, Diagnostic> {
    let url::UrlParts { tls, address: authority, path } = url::split(text)?;
    target(&path)?;
    match address(&authority)? {
        Value::HostPort(host, port) => Ok(Value::Url(Url { tls, host, port, path })),
        other => Ok(other),
    }
}

/// The address of a NATS server, whole, with its port.
fn nats(text: &str) -> Result<Value, Diagnostic> {
    let (scheme, authority) = url::nats(text)?;
    match address(&authority)? {
        Value::HostPort(..) => Ok(Value::Text(format!("{scheme}://{authority}"))),
        other => Ok(other),
    }
}

fn codes(text: &str) -> Result<Value, Diagnostic> {
    let diagnostic = || {
        Diagnostic::new(format!("{} is not a status code, class or range", quoted(text)))
            .hint(Text::Codes.grammar())
    };
    let code = |t: &str| {
        let plain = t.len() == 3 && t.bytes().all(|b| b.is_ascii_digit());
        t.parse::<u16>().ok().filter(|c| plain && (100..=599).contains(c))
    };
    if let Some(class) = text.strip_suffix("xx") {
        let hundreds = code(&format!("{class}00")).ok_or_else(diagnostic)?;
        return Ok(Value::Codes(hundreds, hundreds + 99));
    }
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (code(low), code(high)) {
        (Some(low), Some(high)) if low <= high => Ok(Value::Codes(low, high)),
        (Some(_), Some(_)) => {
            Err(Diagnostic::new(format!("{} is an empty range", quoted(text)))
                .hint(format!("\"{high}-{low}\"")))
        }
        _ => Err(diagnostic()),
    }
}

fn include(text: &str) -> Result<Value, Diagnostic> {
    let folder = text.rsplit_once('/').map(|(folder, _)| folder).unwrap_or_default();
    if folder.contains(['*', '?']) {
        return Err(Diagnostic::new("has a wildcard in a folder's name").hint(Text::Include.grammar()));
    }
    if text.ends_with('/') {
        return Err(Diagnostic::new("names a folder").hint(format!("\"{}*.toml\"", shown(text))));
    }
    Ok(Value::Text(text.to_owned()))
}

fn header_name(text: &str) -> Result<Value, Diagnostic> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.len() > 256 || !text.bytes().all(token) {
        return Err(Diagnostic::new(format!("{} is not a header or cookie name", quoted(text)))
            .hint(Text::HeaderName.grammar()));
    }
    Ok(Value::Text(text.to_owned()))
}

fn header_value(text: &str) -> Result<Value, Diagnostic> {
    if !text.bytes().all(|b| b == b'\t' || (0x20..0x7f).contains(&b)) || text.trim() != text {
        return Err(Diagnostic::new("is not a header value").hint(Text::HeaderValue.grammar()));
    }
    Ok(Value::Text(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let read = match Text::Url.read(text) {
            Ok(Value::Url(Url { tls, host, port, path })) => format!("{tls} {host} {port} {path}"),
            Ok(other) => format!("{other:?}"),
            Err(wrong) => wrong.problem,
        };
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn a_url_is_scheme_host_port_and_path() {
        check("https://hooks.example.com/a/b?c=d", "true hooks.example.com 443 /a/b?c=d");
        check("HTTP://Hooks.Example.com", "false hooks.example.com 80 /");
        check("http://127.0.0.1:4318", "false 127.0.0.1 4318 /");
        check("https://[2001:db8::1]:8443/x", "true 2001:db8::1 8443 /x");
        check("http://[::1]?x", "false ::1 80 /?x");
        check("hooks.example.com", "\"hooks.example.com\" is no URL");
        check("ftp://a/", "\"ftp\" is neither http nor https");
        check("https://user:secret@a/", "holds credentials");
        check("https://a:0/", "\"0\" is not a port");
        check("https://a/#part", "holds a fragment");
        check("https:///x", "\"\" is not a host name: each part between dots has 1 to 63 characters");
    }
}
