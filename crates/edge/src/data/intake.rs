//! Room 2, INTAKE: the trust boundary. A request becomes facts for steering and a clean head for the endpoint. This
//! room refuses whatever is ambiguous; no later room looks at the client's claims.

use std::rc::Rc;

use http::{HeaderMap, HeaderValue, Method, Uri, Version, header, request::Parts, uri::PathAndQuery};

use crate::{
    data::{
        conn::ClientConn,
        failure::Failure,
        headers::{
            FieldsPresent, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REAL_IP, X_REQUEST_ID,
            length_once, members, strip_hop_by_hop,
        },
        local::Local,
    },
    shared::{host, path},
};

/// A request that may be steered.
#[derive(Debug)]
pub struct Intake {
    /// The host for steering: lower case, without port and final dot.
    pub host: Box<str>,
    /// The path for steering: normalised.
    pub path: Box<str>,
    /// The client asks to leave HTTP after a 101.
    pub upgrade: bool,
    /// The declared length of the upload.
    pub declared_length: Option<u64>,
}

/// Our pseudonym in `Via` and `Proxy-Status`.
const NAME: &str = "thalweg";

/// This many entries of our own name in `Via` are a loop.
const LOOP: usize = 3;

/// The request id to use: the client's if it is short and harmless, else a new one.
#[must_use]
pub fn request_id(headers: &HeaderMap, local: &Local) -> HeaderValue {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match headers.get(X_REQUEST_ID) {
        Some(id) if (1..=128).contains(&id.len()) && id.as_bytes().iter().all(|byte| harmless(*byte)) => {
            id.clone()
        }
        _ => local.fresh_id(),
    }
}

/// Checks a request and cleans its head in place: origin-form target, end-to-end fields, the edge's own fields added.
/// Returns the facts for steering.
///
/// # Errors
/// The [`Failure`] to answer with.
pub fn intake(
    head: &mut Parts,
    id: &HeaderValue,
    conn: &Rc<ClientConn>,
    edge_name: &str,
    header_count: usize,
) -> Result<Intake, Failure> {
    if head.headers.len() > header_count && fields(head) > header_count {
        return Err(Failure::HeadersTooLarge);
    }
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        return Err(Failure::MethodNotAllowed);
    }
    let authority = authority(head)?;
    let host = host::steering_host(authority.to_str().map_err(|_| Failure::BadRequest)?)
        .ok_or(Failure::BadRequest)?;
    let present = FieldsPresent::of(&head.headers);
    if present.transfer_coding && !is_only_chunked(&head.headers) {
        return Err(Failure::BadRequest);
    }
    let declared_length = if present.length { declared_length(&head.headers)? } else { None };
    if present.via && via_count(&head.headers, edge_name) >= LOOP {
        return Err(Failure::Loop);
    }
    let named_by_target = head.uri.authority().is_some();
    // The last check, and the first change: a refused request is logged as it came.
    let path = clean_target(head)?;
    let upgrade = present.hop && head.version == Version::HTTP_11 && asks_upgrade(&head.headers);
    if present.hop {
        strip_hop_by_hop(&mut head.headers, upgrade);
    }
    if present.length
        && let Some(once) = length_once(&head.headers)
    {
        head.headers.insert(header::CONTENT_LENGTH, once);
    }
    if present.claims {
        head.headers.remove(header::FORWARDED);
        head.headers.remove(X_REAL_IP);
    }
    head.headers.insert(X_FORWARDED_FOR, conn.client_field.clone());
    let scheme = if conn.tls.get().is_some() { "https" } else { "http" };
    head.headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    if authority.is_empty() {
        head.headers.remove(X_FORWARDED_HOST);
    } else {
        head.headers.insert(X_FORWARDED_HOST, authority.clone());
    }
    let via = match head.version {
        Version::HTTP_2 => "2 thalweg",
        Version::HTTP_10 => "1.0 thalweg",
        _ => "1.1 thalweg",
    };
    head.headers.append(header::VIA, HeaderValue::from_static(via));
    head.headers.insert(X_REQUEST_ID, id.clone());
    if head.version == Version::HTTP_2 && present.repeated {
        join_cookies(&mut head.headers);
    }
    if !present.host || named_by_target {
        head.headers.insert(header::HOST, authority);
    }
    head.version = Version::HTTP_11;
    Ok(Intake { host, path, upgrade, declared_length })
}

/// Host and path of a refused head for its log line: without user, password and query, and at most `TOLD` bytes each.
#[must_use]
pub fn refused(head: &Parts) -> (Box<str>, Box<str>) {
    let field = head
        .headers
        .get(header::HOST)
        .map_or_else(Default::default, |host| String::from_utf8_lossy(host.as_bytes()));
    let authority = head.uri.authority().map_or(&*field, |authority| authority.as_str());
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (host::steering_host(host).unwrap_or_else(|| brief(host)), brief(head.uri.path()))
}

/// Longest host and longest path that a refused head's log line has.
const TOLD: usize = 1024;

fn brief(text: &str) -> Box<str> {
    text.get(..text.floor_char_boundary(TOLD)).unwrap_or_default().into()
}

/// The one host of this request (RFC 9112 section 3.2): the target's authority if it has one, else the Host field.
fn authority(head: &Parts) -> Result<HeaderValue, Failure> {
    // Only CONNECT may use the authority-form.
    if head.uri.authority().is_some() && head.uri.scheme().is_none() {
        return Err(Failure::BadRequest);
    }
    let first = head.headers.get(header::HOST);
    let repeated = head.headers.len() != head.headers.keys_len();
    if repeated && head.headers.get_all(header::HOST).iter().nth(1).is_some() {
        return Err(Failure::BadRequest);
    }
    let value = match (head.uri.authority(), first) {
        (Some(authority), _) => HeaderValue::from_str(authority.as_str()).map_err(|_| Failure::BadRequest)?,
        (None, Some(host)) => host.clone(),
        (None, None) if head.version == Version::HTTP_10 => HeaderValue::from_static(""),
        (None, None) => return Err(Failure::BadRequest),
    };
    if head.version == Version::HTTP_11 && first.is_none() {
        return Err(Failure::BadRequest);
    }
    Ok(value)
}

/// Brings the target into origin-form with a normalised path; returns the path.
fn clean_target(head: &mut Parts) -> Result<Box<str>, Failure> {
    let given = head.uri.path();
    if head.method == Method::OPTIONS && given == "*" {
        head.uri = Uri::from_static("*");
        return Ok("/".into());
    }
    if !(given.is_empty() || given.starts_with('/')) {
        return Err(Failure::BadRequest);
    }
    let given = if given.is_empty() { "/" } else { given };
    let clean = path::normalise(given).map_err(|_| Failure::BadRequest)?;
    let path: Box<str> = Box::from(&*clean);
    if *path != *head.uri.path() || head.uri.authority().is_some() {
        let target = match head.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_string(),
        };
        let target = PathAndQuery::try_from(target).map_err(|_| Failure::BadRequest)?;
        head.uri = Uri::from(target);
    }
    Ok(path)
}

/// Whether the only transfer coding is `chunked`, which this edge decodes. Any other coding would be forwarded as
/// content that the endpoint does not know to be coded.
fn is_only_chunked(headers: &HeaderMap) -> bool {
    let mut codings = members(headers, header::TRANSFER_ENCODING);
    codings.next().is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) && codings.next().is_none()
}

/// The declared length. Hyper has checked the framing; several equal lengths may remain.
fn declared_length(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let once = length_once(headers);
    let Some(value) = once.as_ref().or_else(|| headers.get(header::CONTENT_LENGTH)) else { return Ok(None) };
    value.to_str().ok().and_then(|text| text.parse().ok()).map(Some).ok_or(Failure::BadRequest)
}

/// How often `Via` names this product or this edge as a received-by.
fn via_count(headers: &HeaderMap, edge_name: &str) -> usize {
    let entries = headers.get_all(header::VIA).iter().filter_map(|value| value.to_str().ok());
    let received_by =
        entries.flat_map(|value| value.split(',')).filter_map(|entry| entry.split_whitespace().nth(1));
    received_by.filter(|name| name.eq_ignore_ascii_case(NAME) || name.eq_ignore_ascii_case(edge_name)).count()
}

/// Whether the client asks for an upgrade that this edge forwards. An upgrade to HTTP/2 is ignored (RFC 9110 section
/// 7.8), because the requests of its stream would pass this room unchecked.
fn asks_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
        && members(headers, header::CONNECTION).any(|option| option.eq_ignore_ascii_case("upgrade"))
        && !headers.get_all(header::UPGRADE).iter().any(may_be_http2)
}

/// Parses as loosely as the most lenient endpoint may.
fn may_be_http2(protocols: &HeaderValue) -> bool {
    let is_http2 = |word: &str| ["h2c", "h2"].iter().any(|name| word.eq_ignore_ascii_case(name));
    protocols.to_str().map_or(true, |protocols| protocols.split([',', '/', ' ', '\t']).any(is_http2))
}

/// The number of fields as HTTP/1.1 would have them: HTTP/2 may split the one cookie field (RFC 9113 section 8.2.3).
fn fields(head: &Parts) -> usize {
    let crumbs = match head.version {
        Version::HTTP_2 => head.headers.get_all(header::COOKIE).iter().count().saturating_sub(1),
        _ => 0,
    };
    head.headers.len() - crumbs
}

/// Joins cookies into one field: HTTP/2 may split them, HTTP/1.1 may not (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let joined: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&joined.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_told_by_our_name_in_via() {
        let mut headers = HeaderMap::new();
        headers.append(header::VIA, HeaderValue::from_static("1.1 thalweg, 1.1 varnish"));
        headers.append(header::VIA, HeaderValue::from_static("2 Thalweg (x), 1.1 edge-1"));
        assert_eq!(via_count(&headers, "edge-1"), 3);
        assert_eq!(via_count(&headers, "edge-2"), 2);
    }
}
