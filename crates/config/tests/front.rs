//! The trust boundary of a config: whose word about clients counts, and how much each client may ask for.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use support::{MINIMAL, complaints, minimal, read, warnings};
use thalweg_config::{Config, ForwardingField, Front, RequestRate};

/// The least config with these lines in its listener.
fn listener(lines: &str) -> String {
    MINIMAL.replacen("[[listener]]\n", &format!("[[listener]]\n{lines}\n"), 1)
}

fn accepted(text: &str) -> Config {
    read(text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

#[test]
fn no_word_counts_and_no_client_has_a_bound_by_default() {
    let config = accepted(MINIMAL);
    assert_eq!(config.listeners[0].front, Front::default());
    assert_eq!((config.limits.request_rate, config.limits.body_min_rate), (RequestRate::default(), 0));
    assert!(!config.pools[0].send_proxy);
}

#[test]
fn a_listener_names_the_networks_whose_word_counts() {
    let config = accepted(&listener(
        "proxy_protocol = { from = [\"10.0.0.0/8\", \"2001:db8::1\"] }\ntrusted = [\"10.1.0.0/16\"]\nforwarded = \"forwarded\"",
    ));
    let front = &config.listeners[0].front;
    let proxy = front.proxy_protocol.as_ref().unwrap();
    assert!(proxy.required);
    for (address, expected) in [
        ("10.255.0.1", true),
        ("::ffff:10.0.0.1", true),
        ("11.0.0.1", false),
        ("2001:db8::1", true),
        ("2001:db8::2", false),
    ] {
        assert_eq!(proxy.from.contain(address.parse().unwrap()), expected, "{address}");
    }
    let forwarders = front.forwarders.as_ref().unwrap();
    assert_eq!(forwarders.field, ForwardingField::Forwarded);
    let contain = |address: &str| forwarders.trusted.contain(address.parse().unwrap());
    assert!(contain("10.1.2.3") && !contain("10.2.2.3"));
}

#[test]
fn a_burst_of_zero_is_that_of_one_second() {
    for (lines, per_second, burst) in [
        ("request_rate = 50", 50, 50),
        ("request_rate = 50\nrequest_burst = 7", 50, 7),
        ("request_burst = 7", 0, 7),
    ] {
        let config = accepted(&minimal(&format!("[limits]\n{lines}\nbody_min_rate = \"1KiB\"\n")));
        assert_eq!(config.limits.request_rate, RequestRate { per_second, burst });
        assert_eq!(config.limits.body_min_rate, 1_024);
    }
}

#[test]
fn mistakes_have_their_place_and_careless_trust_is_warned_of() {
    for (lines, expected) in [
        ("proxy_protocol = {}", "`from` is missing"),
        ("proxy_protocol = { from = [] }", "listener.web.proxy_protocol.from"),
        ("proxy_protocol = { from = [\"10.0.0.1/8\"] }", "the network is \"10.0.0.0/8\""),
        ("trusted = [\"everyone\"]", "\"everyone\" is not a network"),
        ("forwarded = \"x-real-ip\"", "listener.web.forwarded"),
        ("protocols = [\"h3\"]", "\"h3\" needs TLS, on a listener without (add [listener.tls])"),
        (
            "protocols = [\"h3\"]\nproxy_protocol = { from = [\"10.0.0.0/8\"] }\ntls = { certificates = [] }",
            "datagrams bring no PROXY header",
        ),
    ] {
        let said = complaints(&listener(lines)).join("\n");
        assert!(said.contains(expected), "{lines}: {said}");
    }
    for (lines, expected) in [
        ("trusted = [\"0.0.0.0/0\"]", "listener.web.trusted[0]: every address is in it"),
        (
            "proxy_protocol = { from = [\"::/0\"] }",
            "listener.web.proxy_protocol.from[0]: every address is in it",
        ),
        ("forwarded = \"forwarded\"", "no proxy is trusted"),
    ] {
        let said = warnings(&listener(lines)).join("\n");
        assert!(said.contains(expected), "{lines}: {said}");
    }
}
