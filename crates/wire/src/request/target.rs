//! What a request's target means (RFC 9112 section 3.2): its form, and where authority, path and query are in it.
//! Does not normalise a path: what is matched and forwarded is the edge's business.
//!
//! ```text
//! origin-form    = absolute-path [ "?" query ]
//! absolute-form  = ( "http" / "https" ) "://" authority [ absolute-path ] [ "?" query ]
//! authority-form = uri-host ":" port          ; CONNECT alone
//! asterisk-form  = "*"                        ; OPTIONS alone
//! ```

use memchr::{memchr, memchr3};

use crate::{
    ProtocolError,
    fields::Span,
    grammar::{HOST, run},
};

/// The four forms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetForm {
    /// A path, and a query.
    #[default]
    Origin,
    /// With scheme and authority, as to a forward proxy. The authority wins over `Host`.
    Absolute,
    /// Host and port of a `CONNECT`.
    Authority,
    /// `*`: an `OPTIONS` about the server itself.
    Asterisk,
}

/// A target, taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) form: TargetForm,
    pub(crate) authority: Option<Span>,
    /// Empty in asterisk-form, in authority-form, and where an absolute target has none.
    pub(crate) path: Span,
    /// Without its `?`.
    pub(crate) query: Option<Span>,
    pub(crate) https: bool,
}

/// Takes the target at `place` of `bytes` apart.
pub(crate) fn read(bytes: &[u8], place: Span, method: &[u8]) -> Result<Target, ProtocolError> {
    let target = place.of(bytes);
    if method == b"CONNECT" {
        return authority_form(target, place);
    }
    match target {
        [b'/', ..] => Ok(split(target, place, Target::default())),
        b"*" if method == b"OPTIONS" => Ok(Target { form: TargetForm::Asterisk, ..Target::default() }),
        _ => absolute(target, place),
    }
}

fn authority_form(target: &[u8], place: Span) -> Result<Target, ProtocolError> {
    let has_port = target.last().is_some_and(u8::is_ascii_digit) && memchr(b':', target).is_some();
    if !has_port || !is_authority(target) {
        return Err(ProtocolError::TargetForm);
    }
    Ok(Target { form: TargetForm::Authority, authority: Some(place), ..Target::default() })
}

fn absolute(target: &[u8], place: Span) -> Result<Target, ProtocolError> {
    let colon = memchr(b':', target).ok_or(ProtocolError::TargetForm)?;
    let (scheme, rest) = target.split_at(colon);
    let https = scheme.eq_ignore_ascii_case(b"https");
    if !https && !scheme.eq_ignore_ascii_case(b"http") {
        return Err(ProtocolError::TargetForm);
    }
    let rest = rest.strip_prefix(b"://").ok_or(ProtocolError::TargetForm)?;
    // A backslash ends an authority for some readers of URLs and for others not: `is_authority` refuses it.
    let end = memchr3(b'/', b'?', b'#', rest).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !is_authority(authority) {
        return Err(ProtocolError::BadAuthority);
    }
    let start = place.start + offset(colon + 3);
    let path_start = start + offset(end);
    let target = Target {
        form: TargetForm::Absolute,
        authority: Some(Span { start, end: path_start }),
        https,
        ..Target::default()
    };
    Ok(split(path, Span { start: path_start, end: place.end }, target))
}

/// Splits path and query.
fn split(text: &[u8], place: Span, target: Target) -> Target {
    match memchr(b'?', text) {
        Some(mark) => {
            let mark = place.start + offset(mark);
            let query = Some(Span { start: mark + 1, end: place.end });
            Target { path: Span { start: place.start, end: mark }, query, ..target }
        }
        None => Target { path: place, ..target },
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a head is shorter than its limit of 32 bits")]
const fn offset(at: usize) -> u32 {
    at as u32
}

/// `uri-host [ ":" port ]` (RFC 3986 section 3.2) without user information, with names as DNS and operators use them:
/// letters, digits, `.`, `-` and `_`; or an IPv6 address in brackets. An empty host is none.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    let (host_is_good, rest) = match text.strip_prefix(b"[") {
        Some(inner) => match memchr(b']', inner) {
            Some(end) => {
                let (address, rest) = inner.split_at(end);
                (is_ipv6(address), rest.get(1..).unwrap_or_default())
            }
            None => return false,
        },
        None => {
            let end = run(text, HOST);
            (end > 0, text.get(end..).unwrap_or_default())
        }
    };
    host_is_good && (rest.is_empty() || rest.strip_prefix(b":").is_some_and(is_port))
}

fn is_ipv6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
}

/// A port, or the empty one that stands for the scheme's (RFC 3986 section 3.2.3).
fn is_port(text: &[u8]) -> bool {
    let number = text.iter().try_fold(0_u16, |sum, byte| {
        byte.is_ascii_digit().then_some(())?;
        sum.checked_mul(10)?.checked_add(u16::from(byte - b'0'))
    });
    number.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts<'a> = (TargetForm, Option<&'a str>, &'a str, Option<&'a str>);

    fn check(method: &str, target: &str, expected: Result<Parts<'_>, ProtocolError>) {
        let bytes = format!("{method} {target}");
        let place = Span { start: method.len() as u32 + 1, end: bytes.len() as u32 };
        let bytes = bytes.as_bytes();
        let read = read(bytes, place, method.as_bytes());
        let shown = read.map(|read| {
            let text = |span: Span| span.text(bytes);
            (read.form, read.authority.map(text), read.path.text(bytes), read.query.map(text))
        });
        assert_eq!(shown, expected, "{method} {target}");
    }

    #[test]
    fn each_form_has_its_methods() {
        check("GET", "/", Ok((TargetForm::Origin, None, "/", None)));
        check("GET", "/a/b?c=d?e", Ok((TargetForm::Origin, None, "/a/b", Some("c=d?e"))));
        check("GET", "/?", Ok((TargetForm::Origin, None, "/", Some(""))));
        check("GET", "//a", Ok((TargetForm::Origin, None, "//a", None)));
        check("OPTIONS", "*", Ok((TargetForm::Asterisk, None, "", None)));
        check("CONNECT", "a.example:443", Ok((TargetForm::Authority, Some("a.example:443"), "", None)));
        for (method, target) in [
            ("GET", "*"),
            ("options", "*"),
            ("OPTIONS", "**"),
            ("GET", "a.example:443"),
            ("GET", "a"),
            ("GET", "?q"),
            ("CONNECT", "/"),
            ("CONNECT", "a.example"),
            ("CONNECT", "a.example:"),
            ("CONNECT", "a:99999"),
            ("CONNECT", "http://a/"),
            ("CONNECT", "*"),
        ] {
            check(method, target, Err(ProtocolError::TargetForm));
        }
    }

    #[test]
    fn an_absolute_target_names_its_authority() {
        let absolute = TargetForm::Absolute;
        check("GET", "http://a.example/p?q", Ok((absolute, Some("a.example"), "/p", Some("q"))));
        check("GET", "HTTPS://a:8443", Ok((absolute, Some("a:8443"), "", None)));
        check("GET", "http://a?q", Ok((absolute, Some("a"), "", Some("q"))));
        check("GET", "http://[::1]:80/", Ok((absolute, Some("[::1]:80"), "/", None)));
        for target in ["ftp://a/", "file:///x", "javascript:x", "http:/a", "http:a", "://a", "httpx://a/"] {
            check("GET", target, Err(ProtocolError::TargetForm));
        }
        for target in [
            "http:///p",
            "http://",
            "http://u@a/",
            "http://u:p@a/",
            "http://a:b/",
            "http://a:99999/",
            "http://[::1/",
            "http://a\\b/",
            "http://a%2eb/",
            "http://:80/",
        ] {
            check("GET", target, Err(ProtocolError::BadAuthority));
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for good in ["a", "A.example", "a.example.", "a_b", "10.0.0.1:80", "[::1]", "[2001:db8::1]:443", "a:"]
        {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":80", "a b", "a,b", "a:b", "a:65536", "a:80:80", "[::1", "[zz]", "[::1]x", "a/b", "a@b", "é",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }
}
