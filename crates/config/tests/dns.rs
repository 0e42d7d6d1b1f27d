//! The zone that an edge answers for: what it means, and the exact lines that mistakes print.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::net::IpAddr;

use support::{complaints, minimal, read, warnings};
use thalweg_config::DnsName;
use thalweg_core::RouteSlot;

/// A config whose pool `a` has an address, with this zone.
fn zone(dns: &str, names: &str) -> String {
    let text = minimal(&format!(
        "[dns]\nlisten = [\"127.0.0.1:53\"]\nzone = \"glb.test\"\nnameservers = [\"ns.other.test\"]\n\
         contact = \"a.b@glb.test\"\n{dns}\n{names}\n"
    ));
    text.replace(
        "endpoints = [{ address = \"10.0.0.1:8000\" }]",
        "endpoints = [{ address = \"10.0.0.1:8000\" }]\ndns = [\"192.0.2.1\"]",
    )
}

const WWW: &str = "[dns.name.\"www.glb.test\"]\nroute = \"r\"";

fn check(text: &str, expected: &[&str]) {
    // The places move with the text above them.
    let found: Vec<String> =
        complaints(text).iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    assert_eq!(found, expected, "\n{text}");
}

#[test]
fn a_zone_has_names_in_lower_case_without_the_final_dot() {
    let names = format!(
        "{WWW}\n[dns.name.\"Fixed.GLB.test.\"]\naddresses = [\"192.0.2.9\", \"::ffff:192.0.2.9\", \"2001:db8::9\"]"
    );
    let dns = read(&zone("ttl = \"1500ms\"", &names)).unwrap().dns.unwrap();
    assert_eq!((dns.ttl, dns.rate, dns.names.len()), (1, 200, 2));
    assert_eq!(dns.names["www.glb.test"], DnsName::Route(RouteSlot(0)));
    let fixed: Vec<IpAddr> = ["192.0.2.9", "2001:db8::9"].map(|ip| ip.parse().unwrap()).to_vec();
    assert_eq!(dns.names["fixed.glb.test"], DnsName::Addresses(fixed));
}

#[test]
fn mistakes_are_told() {
    check(&zone("", WWW), &[]);
    check(
        &zone("", "[dns.name.\"www.example.com\"]\nroute = \"r\""),
        &[
            "dns.name.\"www.example.com\": is not in the zone \"glb.test\" (names are whole: \"www.glb.test\")",
        ],
    );
    check(
        &zone("", "[dns.name.\"xglb.test\"]\naddresses = [\"192.0.2.1\"]"),
        &["dns.name.\"xglb.test\": is not in the zone \"glb.test\" (names are whole: \"www.glb.test\")"],
    );
    check(
        &zone("", "[dns.name.\"www.glb.test\"]\nroute = \"rr\""),
        &["dns.name.\"www.glb.test\".route: there is no route \"rr\" (did you mean `r`?)"],
    );
    check(
        &zone("", WWW).replace("dns = [\"192.0.2.1\"]", ""),
        &[
            "dns.name.\"www.glb.test\".route: its pool \"a\" has no address (write `dns = [\"…\"]` in [pool.a])",
        ],
    );
    check(
        &zone("", "[dns.name.\"www.glb.test\"]"),
        &["dns.name.\"www.glb.test\": has nothing to answer (either `route` or `addresses`)"],
    );
    check(
        &zone("", &format!("{WWW}\naddresses = [\"192.0.2.1\"]")),
        &["dns.name.\"www.glb.test\": has `route` and `addresses` (either `route` or `addresses`)"],
    );
    check(
        &zone("", &format!("{WWW}\n[dns.name.\"WWW.glb.test.\"]\nroute = \"r\"")),
        &["dns.name.\"WWW.glb.test.\": is written twice: case and a final dot do not count"],
    );
    check(
        &zone("", WWW).replace("ns.other.test", "ns.glb.test"),
        &[
            "dns.nameservers[0]: \"ns.glb.test\" is in the zone and has no address (write [dns.name.\"ns.glb.test\"] with `addresses`)",
        ],
    );
    check(
        &zone("", WWW)
            .replace("listen = [\"127.0.0.1:53\"]", "listen = [\"127.0.0.1:8080\", \"127.0.0.1:9900\"]"),
        &[
            "dns.listen[0]: 127.0.0.1:8080 is taken by listener web",
            "dns.listen[1]: 127.0.0.1:9900 is taken by the admin API",
        ],
    );
    check(&zone("ttl = \"0s\"", WWW), &["dns.ttl: is less than 1s (1s to 24h)"]);
    check(&zone("ttl = \"25h\"", WWW), &["dns.ttl: is more than 24h (1s to 24h)"]);
    check(
        &zone("", WWW).replace("contact = \"a.b@glb.test\"", ""),
        &["dns: `contact` is missing (a mail address: \"hostmaster@example.com\")"],
    );
    check(
        &zone("", WWW).replace("192.0.2.1", "0.0.0.0"),
        &[
            "pool.a.dns[0]: \"0.0.0.0\" is the address of no machine",
            "dns.name.\"www.glb.test\".route: its pool \"a\" has no address (write `dns = [\"…\"]` in [pool.a])",
        ],
    );
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    let unused = minimal("").replace("[route.r]", "dns = [\"192.0.2.1\"]\n[route.r]");
    assert_eq!(warnings(&unused), ["t.toml:7:7 pool.a.dns: is not used: there is no [dns]"]);
    let families = zone("", WWW)
        .replace("pools = [{ pool = \"a\" }]", "pools = [{ pool = \"a\" }, { pool = \"b\" }]")
        .replace(
            "[route.r]",
            "[pool.b]\nendpoints = [{ address = \"10.0.0.2:8000\" }]\ndns = [\"2001:db8::1\"]\n[route.r]",
        );
    assert!(
        warnings(&families)[0].contains("have addresses of different families"),
        "{:?}",
        warnings(&families)
    );
}
