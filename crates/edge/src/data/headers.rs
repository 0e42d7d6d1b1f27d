//! Which header fields pass this hop, in both directions: names, hop-by-hop fields, trailers, repeated lengths.
//! Knows no request and no connection.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The client's address.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `http` or `https`, as the client spoke it.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The client's Host, whatever a pool makes of it.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// A claim that another proxy's clients may make; always dropped.
pub const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// Kept if sane, else made; sent both ways.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Which fields that need care are there: one look over the names instead of a search for each.
#[derive(Clone, Copy, Debug, Default)]
pub struct FieldsPresent {
    /// Some field that concerns only this hop.
    pub hop: bool,
    /// Some claim about who is asking that is not ours.
    pub claims: bool,
    /// `Host`.
    pub host: bool,
    /// `Via`.
    pub via: bool,
    /// `Content-Length`.
    pub length: bool,
    /// `Transfer-Encoding`.
    pub transfer_coding: bool,
    /// Some name has more than one value.
    pub repeated: bool,
}

impl FieldsPresent {
    /// Looks over the names once.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut present = Self { repeated: headers.len() != headers.keys_len(), ..Self::default() };
        for name in headers.keys() {
            match *name {
                header::HOST => present.host = true,
                header::VIA => present.via = true,
                header::CONTENT_LENGTH => present.length = true,
                header::FORWARDED => present.claims = true,
                header::TRANSFER_ENCODING => (present.hop, present.transfer_coding) = (true, true),
                header::CONNECTION
                | header::UPGRADE
                | header::TE
                | header::EXPECT
                | header::PROXY_AUTHORIZATION => present.hop = true,
                ref other => match other.as_str() {
                    "keep-alive" | "proxy-connection" | "http2-settings" => present.hop = true,
                    "x-real-ip" => present.claims = true,
                    _ => {}
                },
            }
        }
        present
    }
}

/// The members of a field that is a list.
pub fn members(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Cleans an endpoint's answer: what concerns only its hop goes, and its length is said once or not at all
/// (RFC 9112 §6.3: with a transfer coding, a length means nothing).
pub fn clean_answer(headers: &mut HeaderMap) {
    let present = FieldsPresent::of(headers);
    if present.length && present.transfer_coding {
        headers.remove(header::CONTENT_LENGTH);
    } else if present.length
        && let Some(once) = length_once(headers)
    {
        headers.insert(header::CONTENT_LENGTH, once);
    }
    if present.hop {
        strip_hop_by_hop(headers, false);
    }
}

/// The length as one number, if it was said several times (hyper has checked that they agree).
#[must_use]
pub fn length_once(headers: &HeaderMap) -> Option<HeaderValue> {
    let first = headers.get(header::CONTENT_LENGTH)?;
    let number = first.to_str().ok()?.split(',').next()?.trim();
    let repeated = headers.len() != headers.keys_len();
    (repeated || number.len() < first.len()).then(|| HeaderValue::from_str(number).ok())?
}

/// Removes what concerns only this hop (RFC 9110 §7.6.1), both ways. A `Connection` field cannot talk away the
/// fields that give the message its meaning.
pub fn strip_hop_by_hop(headers: &mut HeaderMap, keep_upgrade: bool) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> =
            members(headers, header::CONNECTION).filter_map(|option| option.parse().ok()).collect();
        for name in named {
            let essential = matches!(
                name,
                header::HOST
                    | header::CONTENT_LENGTH
                    | header::CONTENT_TYPE
                    | header::AUTHORIZATION
                    | header::COOKIE
            );
            if !essential && name != header::UPGRADE {
                headers.remove(name);
            }
        }
        headers.remove(header::CONNECTION);
    }
    for name in [
        KEEP_ALIVE,
        PROXY_CONNECTION,
        HTTP2_SETTINGS,
        header::TE,
        header::TRANSFER_ENCODING,
        header::PROXY_AUTHORIZATION,
    ] {
        headers.remove(name);
    }
    headers.remove(header::EXPECT);
    if keep_upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(header::UPGRADE);
    }
}

/// Cleans the fields behind a body, either way: no more may be said there than in front of it.
pub fn clean_trailers(fields: &mut HeaderMap) {
    strip_hop_by_hop(fields, false);
    for name in [
        X_FORWARDED_FOR,
        X_FORWARDED_PROTO,
        X_FORWARDED_HOST,
        X_REAL_IP,
        X_REQUEST_ID,
        header::FORWARDED,
        header::VIA,
    ] {
        fields.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_named_by_connection_go_no_further_but_the_essential_ones_stay() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret, Host"),
            ("x-secret", "1"),
            ("host", "a"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("accept", "*/*"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers, false);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "host"]);
    }
}
