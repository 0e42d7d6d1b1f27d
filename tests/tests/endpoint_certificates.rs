//! Certificates of endpoints, as operators make them: which are accepted, and how the edge reports a refused one.

mod common;

use std::time::Duration;

use common::assert_ours;
use thalweg_testkit::{
    Authority, Client, Conf, Edge, Endpoint, Leaf, eventually, get, server_config_of, thalweg,
};

/// What an endpoint presents, and what the edge reports.
struct Case {
    what: &'static str,
    /// The certificate, and its key.
    leaf: Leaf,
    versions: &'static [&'static rustls::SupportedProtocolVersion],
    /// The content of the `ca` file.
    ca: String,
    /// The endpoint's `tls`; `ca.pem` is its own.
    tls: &'static str,
    /// The error token of the refusal; none = accepted.
    token: Option<&'static str>,
}

const BOTH: &[&rustls::SupportedProtocolVersion] = &[];
const OLD: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
/// A busy machine is no fault of an endpoint.
const UNHURRIED: &str = "timeouts = { connect = \"20s\" }";

const REFUSED: Option<&str> = Some("tls_certificate_error");

fn case(what: &'static str, leaf: &Leaf, ca: &str, tls: &'static str, token: Option<&'static str>) -> Case {
    Case { what, leaf: leaf.clone(), versions: BOTH, ca: ca.to_owned(), tls, token }
}

/// One edge with a pool and a route for each case, reached by the hosts `c0`, `c1`, …
fn check(cases: &[Case]) {
    let mut conf = Conf::new().listener("web", "").raw(common::PATIENT);
    let mut endpoints = Vec::new();
    for (nth, case) in cases.iter().enumerate() {
        let endpoint = Endpoint::start_tls("a", server_config_of(&case.leaf, &[], case.versions));
        let tls = case.tls.replace("ca.pem", &format!("{nth}.pem"));
        let address = endpoint.addr();
        conf = conf
            .file(&format!("{nth}.pem"), &case.ca)
            .raw(&format!("[pool.p{nth}]\nendpoints = [{{ address = \"{address}\", tls = {{ {tls} }} }}]"))
            .route(
                &format!("r{nth}"),
                "failover",
                &[&format!("p{nth}")],
                &format!("hosts = [\"c{nth}\"]\nretry = {{ attempts = 0 }}\n{UNHURRIED}"),
            );
        endpoints.push(endpoint);
    }
    let edge = Edge::start(&conf);
    for (nth, Case { what, token, versions, .. }) in cases.iter().enumerate() {
        let mut client = Client::connect(edge.web());
        client.send(format!("GET / HTTP/1.1\r\nhost: c{nth}\r\n\r\n"));
        let reply = client.reply("GET").expect("an answer");
        let said = reply.header("proxy-status").unwrap_or_default().to_owned();
        match token {
            None => assert_eq!(reply.status, 200, "{what} {versions:?}: {said}"),
            Some(token) => {
                assert_eq!(reply.status, 502, "{what}");
                assert_ours(&reply, 502, "connect_failed");
                assert!(said.starts_with(&format!("thalweg; error={token};")), "{what}: {said}");
                assert_eq!(endpoints[nth].hits(), 0, "{what}");
            }
        }
    }
}

#[test]
fn a_certificate_listed_in_its_own_ca_is_trusted_for_its_name_and_its_time() {
    let ours = Authority::new("ours");
    let (own, other) = (Leaf::self_signed("Api", &["api.test"]), Leaf::self_signed("Api", &["api.test"]));
    let nameless = Leaf::self_signed("api.test", &[]);
    let address = Leaf::self_signed("Api", &["127.0.0.1"]);
    let signed = ours.leaf(&["api.test"]);
    let (past, future) = ((2000, 2001), (2098, 2099));
    let expired = Leaf::self_signed_for_years("api.test", &["api.test"], past);
    let coming = Leaf::self_signed_for_years("api.test", &["api.test"], future);
    let named = "sni = \"api.test\", ca = \"ca.pem\"";
    let elsewhere = "sni = \"other.test\", ca = \"ca.pem\"";
    let among = format!("{}{}{}", ours.pem, other.cert_pem, own.cert_pem);
    let mut cases = vec![
        case("self-signed and listed", &own, &own.cert_pem, named, None),
        case("one of several that are listed", &own, &among, named, None),
        case("an address as its name", &address, &address.cert_pem, "ca = \"ca.pem\"", None),
        case("a common name alone", &nameless, &nameless.cert_pem, named, None),
        case("issued, and listed itself", &signed, &signed.cert_pem, named, None),
        case("issued by what is listed", &signed, &ours.pem, named, None),
        case("another name", &own, &own.cert_pem, elsewhere, REFUSED),
        case("another common name", &nameless, &nameless.cert_pem, elsewhere, REFUSED),
        case(
            "a common name beside other names",
            &own,
            &own.cert_pem,
            "sni = \"Api\", ca = \"ca.pem\"",
            REFUSED,
        ),
        case("self-signed and not listed", &own, &other.cert_pem, named, REFUSED),
        case("self-signed, no roots of its kind", &own, &other.cert_pem, "sni = \"api.test\"", REFUSED),
        case("expired", &expired, &expired.cert_pem, named, REFUSED),
        case("not yet in force", &coming, &coming.cert_pem, named, REFUSED),
        case("an expired one without an issuer", &expired, &own.cert_pem, named, REFUSED),
    ];
    cases.push(Case {
        versions: OLD,
        ..case("self-signed, listed, TLS 1.2", &own, &own.cert_pem, named, None)
    });
    // The certificate is public: only its key proves anything.
    let stolen = Leaf { key_pem: other.key_pem.clone(), ..own.clone() };
    cases.push(case("listed, shown by another", &stolen, &own.cert_pem, named, REFUSED));
    check(&cases);
}

#[test]
fn without_verification_any_certificate_will_do_but_its_key_must_be_shown() {
    let (first, other) = (Leaf::version_1("api.test"), Leaf::version_1("api.test"));
    let own = Leaf::self_signed_for_years("api.test", &[], (2000, 2001));
    let stolen = Leaf { key_pem: other.key_pem.clone(), ..first.clone() };
    let blind = "sni = \"other.test\", verify = false";
    let named = "sni = \"api.test\", ca = \"ca.pem\"";
    let mut cases = Vec::new();
    for versions in [BOTH, OLD] {
        let many = [
            case("version 1", &first, &first.cert_pem, blind, None),
            case("version 1, shown by another", &stolen, &first.cert_pem, blind, REFUSED),
            case("version 3, expired, another name", &own, &first.cert_pem, blind, None),
            case("version 1, listed in its own ca", &first, &first.cert_pem, named, None),
            case("version 1, not listed", &first, &other.cert_pem, named, REFUSED),
        ];
        cases.extend(many.map(|case| Case { versions, ..case }));
    }
    check(&cases);
}

#[test]
fn the_cause_of_a_failed_handshake_is_told_also_without_a_probe() {
    let ours = Authority::new("ours");
    let expired = Leaf::self_signed_for_years("api.test", &["api.test"], (2000, 2001));
    for (leaf, words) in [
        (ours.leaf(&["other.test"]), "not valid for name"),
        (Leaf::self_signed("unknown", &["api.test"]), "UnknownIssuer"),
        (expired.clone(), "expired"),
    ] {
        let endpoint = Endpoint::start_tls("a", server_config_of(&leaf, &[], BOTH));
        let ca = format!("{}{}", ours.pem, expired.cert_pem);
        let tls = "tls = { sni = \"api.test\", ca = \"ca.pem\" }";
        let conf = Conf::new()
            .listener("web", "")
            .file("ca.pem", ca)
            .raw(&format!("[pool.p]\nendpoints = [{{ address = \"{}\", {tls} }}]", endpoint.addr()))
            .route("all", "failover", &["p"], UNHURRIED);
        let edge = Edge::start(&conf);
        for _ in 0..20 {
            assert_ours(&get(edge.web(), "/"), 502, "connect_failed");
        }
        let unreached = || edge.endpoint(endpoint.addr())["last_unreached"].clone();
        eventually("status tells it", Duration::from_secs(5), || !unreached().is_null());
        let told = unreached();
        assert_eq!(told["result"], "tls_certificate", "{told}");
        assert!(told["error"].as_str().is_some_and(|error| error.contains(words)), "{words}: {told}");
        let events = edge.events_of("unreached");
        assert_eq!((events.len(), &events[0]["pool"]), (1, &"p".into()), "{events:?}");
        assert!(events[0]["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{events:?}");
        let log = edge.stderr();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("endpoint not reached")).collect();
        assert_eq!(lines.len(), 1, "once, not for each request: {log}");
        assert!(lines[0].contains(words), "{}", lines[0]);
        let human = thalweg(&["status", "--admin", &edge.admin_url()]).stdout;
        assert!(human.contains("no connect at") && human.contains(words), "{human}");
    }
}
