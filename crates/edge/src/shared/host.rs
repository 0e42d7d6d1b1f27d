//! The host of a request in the form in which routes are matched: an authority (RFC 3986 section 3.2) in lower case and
//! without its port.

/// The authority in lower case, without port and final dot; an IPv6 address in its canonical form. `None` if the
/// authority is no host. The empty authority of HTTP/1.0 passes.
#[must_use]
pub fn steering_host(authority: &str) -> Option<Box<str>> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        let address: std::net::Ipv6Addr = address.parse().ok()?;
        let is_end = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        return is_end.then(|| format!("[{address}]").into());
    }
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let has_host = !host.is_empty() || authority.is_empty();
    (host.bytes().all(good) && is_port(port) && has_host)
        .then(|| host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase().into())
}

/// The authority of an endpoint: `host` (a name or an address without brackets) with its port, unless that is the
/// scheme's default.
#[must_use]
pub fn endpoint_authority(host: &str, port: u16, tls: bool) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    match (port, tls) {
        (443, true) | (80, false) => host,
        _ => format!("{host}:{port}"),
    }
}

/// Whether this is a port, or the empty port that stands for the scheme's default (RFC 3986 section 3.2.3).
fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && (text.is_empty() || text.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoints_authority_has_its_port_unless_that_is_the_default() {
        for (host, port, tls, expected) in [
            ("a.test", 80, false, "a.test"),
            ("a.test", 443, true, "a.test"),
            ("a.test", 443, false, "a.test:443"),
            ("::1", 8000, false, "[::1]:8000"),
            ("::1", 443, true, "[::1]"),
        ] {
            assert_eq!(endpoint_authority(host, port, tls), expected);
        }
    }

    #[test]
    fn a_host_is_compared_without_case_port_and_final_dot() {
        for (authority, expected) in [
            ("Example.COM", Some("example.com")),
            ("example.com.:8080", Some("example.com")),
            ("[::1]:80", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("[2001:DB8:0::1]:443", Some("[2001:db8::1]")),
            ("[::ffff:7f00:1]:", Some("[::ffff:127.0.0.1]")),
            ("[::1]:99999", None),
            ("10.0.0.1:1", Some("10.0.0.1")),
            ("", Some("")),
            (":80", None),
            ("a b", None),
            ("a:b", None),
            ("a:99999", None),
            ("user@host", None),
            ("a/b", None),
            ("[::1", None),
            ("[zz]", None),
            ("[::1]x", None),
        ] {
            assert_eq!(steering_host(authority).as_deref(), expected, "{authority}");
        }
    }
}
