//! Room 2, INTAKE: the trust boundary. A request becomes facts for steering. The wire engine has refused what two readers
//! could understand differently; this room refuses what this edge does not serve, and no later room looks at the
//! client's claims.

use thalweg_config::LookAlikes;
use thalweg_wire::{FieldName, Framing, Method, ProtocolError, RequestHead, TargetForm};

use crate::{
    data::failure::Failure,
    shared::{host, path},
};

/// A request that may be steered.
#[derive(Debug)]
pub struct Intake {
    /// The host for steering: lower case, without port and final dot.
    pub host: Box<str>,
    /// The path for steering: normalised.
    pub path: Box<str>,
    /// The target for endpoints, if it is not the client's.
    pub target: Option<Box<str>>,
    /// The client asks to leave HTTP after a 101.
    pub upgrade: bool,
}

/// Our pseudonym in `Via` and `Proxy-Status`.
const NAME: &str = "thalweg";

/// This many entries of our own name in `Via` are a loop.
const LOOP: usize = 3;

/// Checks a request. Returns the facts for steering.
///
/// # Errors
/// The [`Failure`] to answer with.
pub fn intake(head: &RequestHead, edge_name: &str, look_alikes: LookAlikes) -> Result<Intake, Failure> {
    if matches!(head.method(), Method::Connect | Method::Trace) {
        return Err(Failure::MethodNotAllowed);
    }
    if head.has_look_alike() && look_alikes == LookAlikes::Refuse {
        return Err(Failure::LookAlike);
    }
    let host = host::steering_host(head.authority().unwrap_or_default())
        .ok_or(Failure::BadMessage(ProtocolError::BadHost))?;
    if head.fields().has(FieldName::Via) && via_count(head, edge_name) >= LOOP {
        return Err(Failure::Loop);
    }
    let (path, target) = clean_target(head)?;
    // A stream can begin only behind the whole request (RFC 9110 section 7.8).
    let has_content = !matches!(head.framing(), Framing::None | Framing::Length(0));
    let upgrade =
        head.asks_upgrade() && !has_content && !head.fields().all(FieldName::Upgrade).any(may_be_http2);
    Ok(Intake { host, path, target, upgrade })
}

/// Host and path of a refused head for its log line: without user, password and query, and at most `TOLD` bytes each.
#[must_use]
pub fn refused(head: &RequestHead) -> (Box<str>, Box<str>) {
    let authority = head.authority().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (host::steering_host(authority).unwrap_or_else(|| brief(authority)), brief(head.path()))
}

/// Longest host and longest path that a refused head's log line has.
const TOLD: usize = 1024;

/// The beginning of a text from a client, for a log line.
#[must_use]
pub fn brief(text: &str) -> Box<str> {
    text.get(..text.floor_char_boundary(TOLD)).unwrap_or_default().into()
}

/// The normalised path, and the target with it if the client's target cannot go on as it is.
fn clean_target(head: &RequestHead) -> Result<(Box<str>, Option<Box<str>>), Failure> {
    let given = match (head.target_form(), head.path()) {
        (TargetForm::Asterisk, _) => return Ok(("/".into(), None)),
        // RFC 9112 section 3.2.4.
        (_, "") if head.method() == Method::Options && head.query().is_none() => {
            return Ok(("/".into(), Some("*".into())));
        }
        (_, "") => "/",
        (_, path) => path,
    };
    let clean = path::normalise(given).map_err(|_| Failure::AmbiguousPath)?;
    let goes_on = head.target_form() == TargetForm::Origin && *clean == *head.path();
    let target = (!goes_on).then(|| match head.query() {
        Some(query) => format!("{clean}?{query}").into(),
        None => Box::from(&*clean),
    });
    Ok((clean.into(), target))
}

/// How often `Via` names this product or this edge as a received-by.
fn via_count(head: &RequestHead, edge_name: &str) -> usize {
    let entries = head.fields().all(FieldName::Via).filter_map(|value| std::str::from_utf8(value).ok());
    let received_by =
        entries.flat_map(|value| value.split(',')).filter_map(|entry| entry.split_whitespace().nth(1));
    received_by.filter(|name| name.eq_ignore_ascii_case(NAME) || name.eq_ignore_ascii_case(edge_name)).count()
}

/// Whether an upgrade may be one to HTTP/2. It is ignored (RFC 9110 section 7.8), because the requests of its stream
/// would pass this room unchecked. Parses as loosely as the most lenient endpoint may.
fn may_be_http2(protocols: &[u8]) -> bool {
    let is_http2 = |word: &str| ["h2c", "h2"].iter().any(|name| word.eq_ignore_ascii_case(name));
    std::str::from_utf8(protocols)
        .map_or(true, |protocols| protocols.split([',', '/', ' ', '\t']).any(is_http2))
}

#[cfg(test)]
mod tests {
    use thalweg_wire::{Limits, RequestReader};

    use super::*;

    fn read(text: &str) -> RequestHead {
        let mut head = RequestHead::default();
        RequestReader::new(Limits::default()).head(text.as_bytes(), &mut head).unwrap();
        head
    }

    #[test]
    fn a_loop_is_told_by_our_name_in_via() {
        let head = read(
            "GET / HTTP/1.1\r\nhost: a\r\nvia: 1.1 thalweg, 1.1 varnish\r\nvia: 2 Thalweg (x), 1.1 edge-1\r\n\r\n",
        );
        assert_eq!(via_count(&head, "edge-1"), 3);
        assert_eq!(via_count(&head, "edge-2"), 2);
    }

    #[test]
    fn a_target_goes_on_as_it_came_or_in_origin_form() {
        for (line, path, target) in [
            ("GET /a?b HTTP/1.1", "/a", None),
            ("GET /a/../b?c=%2F HTTP/1.1", "/b", Some("/b?c=%2F")),
            ("GET http://a HTTP/1.1", "/", Some("/")),
            ("GET http://a?b HTTP/1.1", "/", Some("/?b")),
            ("GET http://a/%7Ex?b HTTP/1.1", "/~x", Some("/~x?b")),
            ("OPTIONS * HTTP/1.1", "/", None),
            ("OPTIONS http://a HTTP/1.1", "/", Some("*")),
        ] {
            let intake =
                intake(&read(&format!("{line}\r\nhost: a\r\n\r\n")), "e", LookAlikes::Refuse).unwrap();
            assert_eq!((&*intake.path, intake.target.as_deref()), (path, target), "{line}");
        }
    }
}
