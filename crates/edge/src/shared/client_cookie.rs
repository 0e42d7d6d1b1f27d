//! The cookies that name a client's endpoint: made and checked here, kept by the client. Knows no request and no health.
//!
//! # Why a signed cookie and not a table
//!
//! A table of sessions at the edge is lost with the edge and differs between edges. A cookie that holds the endpoint in
//! plain text lets anyone choose an endpoint, and tells its address. This one holds the endpoint's hash, a number for the
//! client and the time of issue, under an HMAC-SHA256 (RFC 2104) of the operator's key: every edge with the key reads it,
//! and no one else can make one. The first key of the file signs and all verify, so that a key can be replaced while the
//! cookies of the old one still count.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use thalweg_config::CookieSettings;
use thalweg_core::{Binding, EndpointHash, OnFailure};

/// The first byte of every cookie: the version of its layout.
const VERSION: u8 = 1;
/// Version, client, endpoint, time of issue.
const CONTENT: usize = 1 + 8 + 8 + 8;
/// What is signed in front of the content, so that no signature made for another purpose with the same key counts here.
const PURPOSE: &[u8] = b"thalweg affinity cookie";

/// Makes and checks the cookies of one route.
#[derive(Debug)]
pub struct CookieSigner {
    /// The cookie's name.
    pub name: Box<str>,
    /// What a client gets whose endpoint may not serve.
    pub on_failure: OnFailure,
    ttl: Duration,
    path: Box<str>,
    keys: Vec<hmac::Key>,
}

/// What a genuine cookie says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Genuine {
    /// The client and its endpoint.
    pub binding: Binding,
    /// More than half of the cookie's time is over.
    pub half_over: bool,
}

impl CookieSigner {
    /// The signer of a route whose paths begin with `prefix`.
    #[must_use]
    pub fn new(settings: &CookieSettings, on_failure: OnFailure, prefix: &str) -> Self {
        let plain = prefix.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
        let keys = settings.keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, &key.0));
        Self {
            name: settings.name.as_str().into(),
            on_failure,
            ttl: settings.ttl,
            path: if plain { prefix.into() } else { "/".into() },
            keys: keys.collect(),
        }
    }

    /// What a value says, if this edge or another with the same key made it and its time is not over.
    #[must_use]
    pub fn open(&self, value: &[u8], now: SystemTime) -> Option<Genuine> {
        let mut bytes = [0; CONTENT + 32];
        let length = URL_SAFE_NO_PAD.decode_slice(value, &mut bytes).ok()?;
        let (content, tag) = bytes.split_at(CONTENT);
        if length != bytes.len() || content.first() != Some(&VERSION) {
            return None;
        }
        let signed = signed(content);
        if !self.keys.iter().any(|key| hmac::verify(key, &signed, tag).is_ok()) {
            return None;
        }
        let [client, endpoint, issued] = [1, 9, 17].map(|from| number(content, from));
        let age = Duration::from_secs(unix(now).saturating_sub(issued));
        let binding = Binding { client, endpoint: EndpointHash(endpoint) };
        (age < self.ttl).then_some(Genuine { binding, half_over: age >= self.ttl / 2 })
    }

    /// The value of a `Set-Cookie` field. `secure`: the client speaks TLS.
    #[must_use]
    pub fn field(&self, binding: Binding, secure: bool, now: SystemTime) -> String {
        let Self { name, path, ttl, .. } = self;
        let (value, age) = (self.value(binding, now), ttl.as_secs());
        let secure = if secure { "; Secure" } else { "" };
        format!("{name}={value}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Lax{secure}")
    }

    fn value(&self, binding: Binding, now: SystemTime) -> String {
        let mut bytes = vec![VERSION];
        for part in [binding.client, binding.endpoint.0, unix(now)] {
            bytes.extend_from_slice(&part.to_be_bytes());
        }
        if let Some(key) = self.keys.first() {
            let tag = hmac::sign(key, &signed(&bytes));
            bytes.extend_from_slice(tag.as_ref());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// The values of a cookie in a `Cookie` field (RFC 6265 section 5.4): a client sends several where their paths differ.
pub fn values<'a>(field: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    pairs(field).filter_map(move |pair| value_of(pair, name))
}

/// A `Cookie` field without one cookie; `None` = the field does not have it.
#[must_use]
pub fn without(field: &[u8], name: &str) -> Option<Vec<u8>> {
    values(field, name).next()?;
    let kept: Vec<&[u8]> = pairs(field).filter(|pair| value_of(pair, name).is_none()).collect();
    Some(kept.join(&b"; "[..]))
}

fn pairs(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty())
}

fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

fn signed(content: &[u8]) -> Vec<u8> {
    [PURPOSE, content].concat()
}

fn number(bytes: &[u8], from: usize) -> u64 {
    bytes.get(from..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use thalweg_config::CookieKey;

    use super::*;

    fn signer(keys: &[u8]) -> CookieSigner {
        let keys = keys.iter().map(|key| CookieKey(vec![*key; 32].into())).collect();
        let settings = CookieSettings { name: "t".into(), ttl: Duration::from_secs(100), keys };
        CookieSigner::new(&settings, OnFailure::Return, "/api")
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    const BINDING: Binding = Binding { client: 7, endpoint: EndpointHash(9) };

    #[test]
    fn a_cookie_counts_until_its_time_is_over() {
        let value = signer(&[1]).value(BINDING, at(0));
        let open = |seconds| signer(&[1]).open(value.as_bytes(), at(seconds));
        assert_eq!(open(0), Some(Genuine { binding: BINDING, half_over: false }));
        assert_eq!(open(50), Some(Genuine { binding: BINDING, half_over: true }));
        assert_eq!(open(100), None);
        let behind = UNIX_EPOCH;
        assert!(signer(&[1]).open(value.as_bytes(), behind).is_some(), "another edge's clock runs ahead");
    }

    #[test]
    fn keys_are_replaced_without_losing_a_cookie() {
        let old = signer(&[1]).value(BINDING, at(0));
        for (keys, genuine) in [(&[1][..], true), (&[2, 1], true), (&[1, 2], true), (&[2], false)] {
            assert_eq!(signer(keys).open(old.as_bytes(), at(1)).is_some(), genuine, "{keys:?}");
        }
        let new = signer(&[2, 1]).value(BINDING, at(0));
        assert!(signer(&[2]).open(new.as_bytes(), at(1)).is_some(), "the first key signs");
    }

    #[test]
    fn no_change_of_a_cookie_goes_unseen() {
        let value = signer(&[1]).value(BINDING, at(0));
        let bytes = URL_SAFE_NO_PAD.decode(&value).unwrap();
        for nth in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[nth] ^= 1;
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert_eq!(signer(&[1]).open(changed.as_bytes(), at(1)), None, "byte {nth}");
        }
        for bad in ["", "x", "!!!!", &value[1..], &value[..40], &format!("{value}AAAA"), &"A".repeat(9000)] {
            assert_eq!(signer(&[1]).open(bad.as_bytes(), at(1)), None, "{bad}");
        }
    }

    #[test]
    fn the_field_has_its_attributes() {
        let field = signer(&[1]).field(BINDING, true, at(0));
        assert!(field.starts_with("t="), "{field}");
        assert!(field.ends_with("; Path=/api; Max-Age=100; HttpOnly; SameSite=Lax; Secure"), "{field}");
        assert!(!signer(&[1]).field(BINDING, false, at(0)).contains("Secure"));
    }

    #[test]
    fn a_cookie_is_found_among_others_and_taken_out() {
        let check = |field: &str, found: &[&str], rest: Option<&str>| {
            let values: Vec<&[u8]> = values(field.as_bytes(), "t").collect();
            assert_eq!(values, found.iter().map(|value| value.as_bytes()).collect::<Vec<_>>(), "{field}");
            assert_eq!(without(field.as_bytes(), "t").as_deref(), rest.map(str::as_bytes), "{field}");
        };
        check("a=1; b=2", &[], None);
        check("tt=1; T=2; t2=3; t", &[], None);
        check("t=1", &["1"], Some(""));
        check("a=1; t=x; b=2", &["x"], Some("a=1; b=2"));
        check("t=x;a=1;;t=y; ", &["x", "y"], Some("a=1"));
    }
}
