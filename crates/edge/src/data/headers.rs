//! Which header fields pass this hop, in both directions: names, hop-by-hop fields, trailers, repeated lengths.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The client's address.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `http` or `https`, as the client spoke it.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The client's Host, also where a pool sets its own.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The client address as claimed by other proxies; always dropped.
pub const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// The request id: kept if it is harmless, else made; sent in both directions.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Which fields with special handling are present: one pass over the names instead of a lookup for each.
#[derive(Clone, Copy, Debug, Default)]
pub struct FieldsPresent {
    /// A hop-by-hop field.
    pub hop: bool,
    /// A claim about the client that is not the edge's own.
    pub claims: bool,
    /// `Host` is present.
    pub host: bool,
    /// `Via` is present.
    pub via: bool,
    /// `Content-Length` is present.
    pub length: bool,
    /// `Transfer-Encoding` is present.
    pub transfer_coding: bool,
    /// A name with more than one value.
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

/// The members of a list field.
pub fn members(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Cleans an endpoint's answer: hop-by-hop fields go, and the length is stated once or not at all (RFC 9112 section
/// 6.3: beside a transfer coding a length has no meaning).
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

/// The length as one number if the field repeats it. Hyper has checked that the repetitions agree.
#[must_use]
pub fn length_once(headers: &HeaderMap) -> Option<HeaderValue> {
    let first = headers.get(header::CONTENT_LENGTH)?;
    let number = first.to_str().ok()?.split(',').next()?.trim();
    let repeated = headers.len() != headers.keys_len();
    (repeated || number.len() < first.len()).then(|| HeaderValue::from_str(number).ok())?
}

/// Removes hop-by-hop fields (RFC 9110 section 7.6.1), in both directions. A `Connection` field cannot name the fields
/// that give the message its meaning.
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

/// Removes from trailers, in both directions, the fields that a head may not bring either.
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
