//! Requests that come by a trusted proxy: who the client is, by the proxy's `X-Forwarded-For` or `Forwarded`
//! (RFC 7239). Never looks at the fields of any other peer.
//!
//! # Why the right-most address that is not trusted
//!
//! Each proxy writes the address of its own peer at the end, so only what stands behind the first untrusted address was
//! written by somebody who is trusted; what stands before it is the client's own claim. HAProxy's, nginx's
//! (`real_ip_recursive`) and Envoy's readers walk the same way. An entry that is no address ends the walk, because what
//! stands before it cannot be told from a claim.

use std::{
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use thalweg_config::{Forwarders, ForwardingField};
use thalweg_wire::{FieldName, Fields};

use crate::{
    data::source::{Forwarded, RequestSource},
    shared::host,
};

/// One hop as a proxy tells it.
#[derive(Debug, Default, PartialEq)]
struct Hop<'a> {
    /// `None`: what stands there is no address.
    address: Option<IpAddr>,
    https: Option<bool>,
    host: Option<&'a str>,
}

/// The source of a request whose connection comes from a trusted proxy, `peer`.
#[must_use]
pub fn source_of(peer: &RequestSource, forwarders: &Forwarders, fields: &Fields) -> Rc<RequestSource> {
    let mut hops = match forwarders.field {
        ForwardingField::XForwardedFor => x_forwarded_for(fields),
        ForwardingField::Forwarded => forwarded(fields),
    };
    let mut source = RequestSource { addr: peer.addr, ..peer.clone() };
    let mut chain = vec![peer.ip()];
    let mut told = None;
    while let Some(hop) = hops.pop() {
        let Some(address) = hop.address else { break };
        chain.push(address);
        told = Some(hop);
        if !forwarders.trusted.contain(address) {
            break;
        }
    }
    let client = chain.last().copied().unwrap_or(peer.ip());
    if told.is_some() {
        source.addr = SocketAddr::new(client, 0);
        source.text = client.to_string().into();
    }
    let (https, host) = match forwarders.field {
        ForwardingField::XForwardedFor => (x_forwarded_proto(fields), x_forwarded_host(fields)),
        ForwardingField::Forwarded => told.map_or((None, None), |hop| (hop.https, hop.host)),
    };
    source.https = https.unwrap_or(peer.https);
    let chain: Vec<String> = chain.iter().rev().map(IpAddr::to_string).collect();
    let host = host.filter(|host| !host.is_empty() && host::steering_host(host).is_some()).map(Box::from);
    source.forwarded = Some(Box::new(Forwarded { chain: chain.join(", ").into(), host }));
    Rc::new(source)
}

/// The values of a field, in order. Only the usual spelling counts: a proxy takes `X_Forwarded_For` for another field,
/// and passes a client's claim in it on.
fn values(fields: &Fields, kind: FieldName) -> impl Iterator<Item = &[u8]> {
    fields
        .iter()
        .filter(move |field| field.kind == kind && field.name.eq_ignore_ascii_case(kind.as_str().as_bytes()))
        .map(|field| field.value)
}

/// The hops, the nearest last.
fn x_forwarded_for(fields: &Fields) -> Vec<Hop<'_>> {
    let entries =
        values(fields, FieldName::XForwardedFor).flat_map(|value| value.split(|byte| *byte == b','));
    entries
        .map(|entry| {
            std::str::from_utf8(entry).ok().and_then(|entry| address(entry.trim_matches([' ', '\t'])))
        })
        .map(|address| Hop { address, ..Hop::default() })
        .collect()
}

/// The word of the nearest proxy.
fn x_forwarded_proto(fields: &Fields) -> Option<bool> {
    let last = values(fields, FieldName::XForwardedProto).last()?;
    protocol(std::str::from_utf8(last).ok()?.rsplit(',').next()?.trim_matches([' ', '\t']))
}

fn x_forwarded_host(fields: &Fields) -> Option<&str> {
    let last = values(fields, FieldName::XForwardedHost).last()?;
    Some(std::str::from_utf8(last).ok()?.rsplit(',').next()?.trim_matches([' ', '\t']))
}

fn protocol(word: &str) -> Option<bool> {
    if word.eq_ignore_ascii_case("https") {
        Some(true)
    } else {
        word.eq_ignore_ascii_case("http").then_some(false)
    }
}

/// An address, perhaps in brackets, perhaps with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = |text: &str| text.parse::<IpAddr>().ok();
    let bracketed = || bare(text.strip_prefix('[')?.strip_suffix(']')?).filter(IpAddr::is_ipv6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare(text).or_else(bracketed).or_else(with_port).map(|address| address.to_canonical())
}

/// The hops, the nearest last. A value that breaks the grammar is one hop without an address.
fn forwarded(fields: &Fields) -> Vec<Hop<'_>> {
    let mut hops = Vec::new();
    for value in values(fields, FieldName::Forwarded) {
        match std::str::from_utf8(value).ok().and_then(elements) {
            Some(mut more) => hops.append(&mut more),
            None => hops.push(Hop::default()),
        }
    }
    hops
}

/// `forwarded-element`s, separated by commas.
fn elements(mut text: &str) -> Option<Vec<Hop<'_>>> {
    let mut hops = vec![Hop::default()];
    loop {
        text = text.trim_start_matches([' ', '\t']);
        let (name, rest) = text.split_once('=')?;
        let (value, rest) = value(rest)?;
        let hop = hops.last_mut()?;
        match name.to_ascii_lowercase().as_str() {
            "for" => hop.address = address(value),
            "proto" => hop.https = protocol(value),
            "host" => hop.host = Some(value),
            _ => {}
        }
        let rest = rest.trim_start_matches([' ', '\t']);
        match rest.as_bytes().first() {
            None => return Some(hops),
            Some(b';') => {}
            Some(b',') => hops.push(Hop::default()),
            Some(_) => return None,
        }
        text = rest.get(1..)?;
    }
}

/// A token, or a quoted string without escapes; and what follows. Nothing that counts here needs an escape.
fn value(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').filter(|(value, _)| !value.contains('\\')),
        None => {
            let end = text.find([',', ';', ' ', '\t', '"']).unwrap_or(text.len());
            text.split_at_checked(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use thalweg_config::Networks;
    use thalweg_core::Cidr;

    use super::*;

    /// The source of a request from 10.0.0.1: client, chain, protocol and host.
    fn check(field: ForwardingField, lines: &[(&str, &str)], expected: (&str, &str, bool, Option<&str>)) {
        let networks = ["10.0.0.0/8", "2001:db8:1::/48"].map(|network| Cidr::read(network).unwrap());
        let forwarders = Forwarders { trusted: Networks(networks.to_vec()), field };
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push(name.as_bytes(), value.as_bytes()).unwrap();
        }
        let peer = RequestSource::new("10.0.0.1:5000".parse().unwrap());
        let source = source_of(&peer, &forwarders, &fields);
        let told = (&*source.text, source.forwarded_for(), source.https, source.forwarded_host());
        assert_eq!(told, expected, "{lines:?}");
    }

    #[test]
    fn the_client_is_the_right_most_address_that_is_not_trusted() {
        let xff = |value: &'static str| ("X-Forwarded-For", value);
        for (lines, client, chain) in [
            (vec![], "10.0.0.1", "10.0.0.1"),
            (vec![xff("192.0.2.1")], "192.0.2.1", "192.0.2.1, 10.0.0.1"),
            (vec![xff("198.51.100.1, 192.0.2.1")], "192.0.2.1", "192.0.2.1, 10.0.0.1"),
            (vec![xff("192.0.2.1, 10.9.9.9")], "192.0.2.1", "192.0.2.1, 10.9.9.9, 10.0.0.1"),
            (vec![xff("192.0.2.1"), xff("10.9.9.9")], "192.0.2.1", "192.0.2.1, 10.9.9.9, 10.0.0.1"),
            (vec![xff("10.9.9.8,10.9.9.9")], "10.9.9.8", "10.9.9.8, 10.9.9.9, 10.0.0.1"),
            (vec![xff("192.0.2.1:4711")], "192.0.2.1", "192.0.2.1, 10.0.0.1"),
            (vec![xff("::ffff:192.0.2.1")], "192.0.2.1", "192.0.2.1, 10.0.0.1"),
            (vec![xff("192.0.2.1, ::ffff:10.9.9.9")], "192.0.2.1", "192.0.2.1, 10.9.9.9, 10.0.0.1"),
            (vec![xff("2001:DB8::1")], "2001:db8::1", "2001:db8::1, 10.0.0.1"),
            (vec![xff("[2001:db8::1]")], "2001:db8::1", "2001:db8::1, 10.0.0.1"),
            (
                vec![xff("[2001:db8::1]:80,2001:db8:1::1")],
                "2001:db8::1",
                "2001:db8::1, 2001:db8:1::1, 10.0.0.1",
            ),
            // What is no address ends the walk.
            (vec![xff("unknown")], "10.0.0.1", "10.0.0.1"),
            (vec![xff("192.0.2.1, unknown, 10.9.9.9")], "10.9.9.9", "10.9.9.9, 10.0.0.1"),
            (vec![xff("192.0.2.1,")], "10.0.0.1", "10.0.0.1"),
            (vec![xff("192.0.2.1, , 10.9.9.9")], "10.9.9.9", "10.9.9.9, 10.0.0.1"),
            (vec![xff("192.0.2.256")], "10.0.0.1", "10.0.0.1"),
            (vec![xff("192.0.2.1:99999")], "10.0.0.1", "10.0.0.1"),
            (vec![xff("192.0.2.1"), xff("a.test")], "10.0.0.1", "10.0.0.1"),
            // A client's own spelling, which a proxy passes on.
            (vec![xff("192.0.2.1"), ("X_Forwarded_For", "198.51.100.1")], "192.0.2.1", "192.0.2.1, 10.0.0.1"),
            // The other field does not count.
            (vec![("Forwarded", "for=192.0.2.1")], "10.0.0.1", "10.0.0.1"),
        ] {
            check(ForwardingField::XForwardedFor, &lines, (client, chain, false, None));
        }
    }

    #[test]
    fn protocol_and_host_are_those_of_the_nearest_proxy() {
        for (lines, https, host) in [
            (vec![("X-Forwarded-Proto", "https")], true, None),
            (vec![("X-Forwarded-Proto", "http, HTTPS")], true, None),
            (vec![("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")], false, None),
            (vec![("X-Forwarded-Proto", "wss")], false, None),
            (vec![("X_Forwarded_Proto", "https")], false, None),
            (vec![("X-Forwarded-Host", "evil.test, a.test:8443")], false, Some("a.test:8443")),
            (vec![("X-Forwarded-Host", "a b")], false, None),
            (vec![("X-Forwarded-Host", "")], false, None),
        ] {
            check(ForwardingField::XForwardedFor, &lines, ("10.0.0.1", "10.0.0.1", https, host));
        }
    }

    #[test]
    fn forwarded_is_read_as_its_grammar_says() {
        for (value, client, chain, https, host) in [
            ("for=192.0.2.1", "192.0.2.1", "192.0.2.1, 10.0.0.1", false, None),
            (
                "For=192.0.2.1;Proto=https;by=10.0.0.1;host=a.test",
                "192.0.2.1",
                "192.0.2.1, 10.0.0.1",
                true,
                Some("a.test"),
            ),
            (
                "for=198.51.100.1;proto=http, for=\"[2001:db8::1]:80\";proto=https , for=10.9.9.9;host=x",
                "2001:db8::1",
                "2001:db8::1, 10.9.9.9, 10.0.0.1",
                true,
                None,
            ),
            ("for=\"192.0.2.1:80\"", "192.0.2.1", "192.0.2.1, 10.0.0.1", false, None),
            (
                "for=\"192.0.2.1, for=198.51.100.1\", for=10.9.9.9",
                "10.9.9.9",
                "10.9.9.9, 10.0.0.1",
                false,
                None,
            ),
            ("for=_hidden, for=10.9.9.9", "10.9.9.9", "10.9.9.9, 10.0.0.1", false, None),
            ("proto=https", "10.0.0.1", "10.0.0.1", false, None),
            ("for=unknown;proto=https", "10.0.0.1", "10.0.0.1", false, None),
            ("for=\"192.0.2.1, for=192.0.2.2", "10.0.0.1", "10.0.0.1", false, None),
            ("for=192.0.2.1 for=192.0.2.2", "10.0.0.1", "10.0.0.1", false, None),
            ("192.0.2.1", "10.0.0.1", "10.0.0.1", false, None),
            ("for=\"192.0.2.\\1\"", "10.0.0.1", "10.0.0.1", false, None),
        ] {
            let lines = [("X-Forwarded-For", "203.0.113.9"), ("Forwarded", value)];
            check(ForwardingField::Forwarded, &lines, (client, chain, https, host));
        }
    }
}
