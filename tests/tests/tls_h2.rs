//! TLS and HTTP/2 towards clients (certificate, version, protocol), and TLS towards endpoints (trust).

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::assert_ours;
use http_body_util::Full;
use rustls::version::{TLS12, TLS13};
use thalweg_testkit::{
    Authority, Behaviour, Client, Conf, Edge, Endpoint, H2, Leaf, client_config, eventually, get,
    server_config, stays,
};

const SOON: Duration = Duration::from_secs(8);

/// An edge with TLS on `secure` for the names of these leaves, and plain on `web`.
fn secured(leaves: &[Leaf], lines: &str) -> (Edge, Endpoint) {
    speaking("\"h2\", \"http/1.1\"", leaves, lines)
}

/// As above, with these ALPN protocols.
fn speaking(protocols: &str, leaves: &[Leaf], lines: &str) -> (Edge, Endpoint) {
    let endpoint = Endpoint::start("a");
    let mut pairs = Vec::new();
    let mut conf = Conf::simple("failover", &[endpoint.addr()]);
    for (nth, leaf) in leaves.iter().enumerate() {
        pairs.push(format!("{{ cert = \"tls/{nth}.crt\", key = \"tls/{nth}.key\" }}"));
        conf = conf
            .file(&format!("tls/{nth}.crt"), &leaf.cert_pem)
            .file(&format!("tls/{nth}.key"), &leaf.key_pem);
    }
    let tls =
        format!("protocols = [{protocols}]\n[listener.tls]\ncertificates = [{}]\n{lines}", pairs.join(", "));
    let edge = Edge::start(&conf.listener("secure", &tls));
    edge.until_up(1);
    (edge, endpoint)
}

#[test]
fn alpn_chooses_the_protocol() {
    let authority = Authority::new("root");
    let (edge, endpoint) = secured(&[authority.leaf(&["a.test"])], "");
    let chosen = |offer: &[&str]| {
        let config = client_config(&authority, offer, &[]);
        Client::connect_tls(edge.addr("secure"), "a.test", &config).map(|(_, alpn, _)| alpn)
    };
    assert_eq!(chosen(&["h2", "http/1.1"]).expect("a handshake").as_deref(), Some("h2"));
    assert_eq!(chosen(&["http/1.1"]).expect("a handshake").as_deref(), Some("http/1.1"));
    assert_eq!(chosen(&[]).expect("a handshake"), None);
    let config = client_config(&authority, &["http/1.1"], &[]);
    let (mut client, ..) = Client::connect_tls(edge.addr("secure"), "a.test", &config).expect("a handshake");
    assert_eq!(client.get("/").status, 200);
    assert_eq!(endpoint.only().header("x-forwarded-proto"), Some("https"));
}

#[test]
fn a_protocol_that_a_listener_does_not_name_is_not_spoken_there() {
    let authority = Authority::new("root");
    let leaves = [authority.leaf(&["a.test"])];
    for (protocols, offer, status) in [
        ("\"h2\"", &[][..], None),
        ("\"h2\"", &["http/1.1"], None),
        ("\"http/1.1\"", &[], Some(200)),
        ("\"http/1.1\"", &["h2"], None),
        ("\"h2\", \"http/1.1\"", &[], Some(200)),
    ] {
        let (edge, endpoint) = speaking(protocols, &leaves, "");
        let config = client_config(&authority, offer, &[]);
        let answer =
            Client::connect_tls(edge.addr("secure"), "a.test", &config).ok().and_then(|(mut client, ..)| {
                let _closed_already_is_fine = client.try_send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
                client.reply("GET").map(|reply| reply.status).ok()
            });
        assert_eq!(answer, status, "{protocols} for {offer:?}");
        assert_eq!(endpoint.hits(), usize::from(status.is_some()), "{protocols} for {offer:?}");
    }
}

#[test]
fn the_name_chooses_the_certificate_and_the_first_is_the_default() {
    let authority = Authority::new("root");
    let leaves = [authority.leaf(&["a.test"]), authority.leaf(&["b.test", "*.wild.test"])];
    let (edge, _endpoint) = secured(&leaves, "");
    let config = client_config(&authority, &["http/1.1"], &[]);
    let leaf_for =
        |name: &str| Client::connect_tls(edge.addr("secure"), name, &config).map(|(_, _, leaf)| leaf);
    let (a, b) = (leaf_for("a.test").expect("a.test"), leaf_for("b.test").expect("b.test"));
    assert_ne!(a, b);
    assert_eq!(leaf_for("x.wild.test").expect("a wildcard"), b);
    leaf_for("unknown.test").expect_err("the default does not prove another name");
}

#[test]
fn the_minimum_version_is_kept() {
    let authority = Authority::new("root");
    let (edge, _endpoint) = secured(&[authority.leaf(&["a.test"])], "min_version = \"1.3\"");
    let with = |versions: &[&'static rustls::SupportedProtocolVersion]| {
        let config = client_config(&authority, &["http/1.1"], versions);
        Client::connect_tls(edge.addr("secure"), "a.test", &config).map(drop)
    };
    with(&[&TLS13]).expect("1.3 is spoken");
    with(&[&TLS12]).expect_err("1.2 is refused");
    let (edge, _endpoint) = secured(&[authority.leaf(&["a.test"])], "");
    for version in [&TLS12, &TLS13] {
        let config = client_config(&authority, &["http/1.1"], &[version]);
        let (mut client, ..) =
            Client::connect_tls(edge.addr("secure"), "a.test", &config).expect("by default both");
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn h2_requests_pass_with_bodies_both_ways() {
    let authority = Authority::new("root");
    let (edge, endpoint) = secured(&[authority.leaf(&["a.test"])], "");
    let config = client_config(&authority, &["h2"], &[]);
    let h2 = H2::connect_tls(edge.addr("secure"), "a.test", &config).expect("h2");
    assert_eq!(h2.get("https://a.test/bytes/1000000").expect("an answer").body.len(), 1_000_000);
    assert_eq!(h2.get("https://a.test/chunked/1000000").expect("an answer").body.len(), 1_000_000);
    let body: Vec<u8> = (0..500_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let echoed = h2.post("https://a.test/echo", body.clone()).expect("an answer");
    assert!(echoed.body == body, "the body came back changed");
    assert_eq!(h2.get("https://a.test/status/204").expect("an answer").status, 204);
    let trailers = h2.get("https://a.test/trailers").expect("an answer");
    assert_eq!(trailers.body.as_ref(), b"hello");
    let hop = h2.get("https://a.test/hop").expect("an answer");
    assert!(
        !hop.headers.contains_key("connection") && !hop.headers.contains_key("x-secret"),
        "{:?}",
        hop.headers
    );
    let seen = &endpoint.requests()[0];
    assert_eq!((seen.header("host"), seen.header("x-forwarded-proto")), (Some("a.test"), Some("https")));
    assert_eq!(seen.head.word(2), "HTTP/1.1");
}

#[test]
fn h2_answers_made_by_the_edge_say_why() {
    let authority = Authority::new("root");
    let (edge, endpoint) = secured(&[authority.leaf(&["a.test"])], "");
    let config = client_config(&authority, &["h2"], &[]);
    let h2 = H2::connect_tls(edge.addr("secure"), "a.test", &config).expect("h2");
    endpoint.behave(Behaviour::ResetBeforeHead);
    let reply = h2.post("https://a.test/", "x").expect("an answer");
    assert_eq!(reply.status, 502);
    assert!(reply.headers.contains_key("proxy-status") && reply.headers.contains_key("x-request-id"));
    endpoint.behave(Behaviour::Serve);
    assert_eq!(h2.get("https://a.test/a%2Fb").expect("an answer").status, 400);
    eventually("the stream harmed no other stream", SOON, || {
        h2.get("https://a.test/").is_ok_and(|r| r.status == 200)
    });
}

#[test]
fn many_h2_streams_share_one_connection() {
    let authority = Authority::new("root");
    let (edge, _endpoint) = secured(&[authority.leaf(&["a.test"])], "");
    let config = client_config(&authority, &["h2"], &[]);
    let report = thalweg_testkit::Load::to(edge.addr("secure"))
        .host("a.test")
        .tls(config)
        .h2()
        .rate(500.0)
        .count(500)
        .run();
    report.assert_none_failed("h2 load");
    assert!(edge.metric("thalweg_connections", &[("listener", "secure")]) <= 20.0);
}

#[test]
fn h2c_is_spoken_only_when_named() {
    let endpoint = Endpoint::start("a");
    let conf =
        Conf::simple("failover", &[endpoint.addr()]).listener("clear", "protocols = [\"http/1.1\", \"h2c\"]");
    let edge = Edge::start(&conf);
    let uri = "http://a.test/bytes/5";
    let h2 = H2::connect_clear(edge.addr("clear")).expect("h2c");
    assert_eq!(h2.get(uri).expect("an answer").body.len(), 5);
    assert_eq!(get(edge.addr("clear"), "/bytes/5").body.len(), 5, "and HTTP/1.1 beside it");
    let refused = H2::connect_clear(edge.web()).and_then(|h2| h2.get(uri));
    assert!(refused.is_err(), "h2c without being named: {refused:?}");
}

#[test]
fn cookies_that_http_2_splits_count_as_the_one_field_that_they_become() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::simple("failover", &[endpoint.addr()]).listener("clear", "protocols = [\"h2c\"]");
    let edge = Edge::start(&conf);
    let h2 = H2::connect_clear(edge.addr("clear")).expect("h2c");
    let with = |name: &str, count: usize| {
        let fields = (0..count).fold(http::Request::get("http://a.test/"), |request, nth| {
            request.header(
                if name == "cookie" { name.to_owned() } else { format!("{name}{nth}") },
                format!("c{nth}=1"),
            )
        });
        h2.ask(fields.body(Full::new(Bytes::new())).expect("a request")).expect("an answer").status
    };
    assert_eq!(with("cookie", 101), 200);
    let joined = endpoint.only().header("cookie").expect("one field").to_owned();
    assert_eq!(joined.split("; ").count(), 101, "{joined}");
    assert_eq!(with("x-field-", 101), 431, "the limit holds for other fields");
}

#[test]
fn an_idle_connection_lives_as_long_as_idle_and_h2_gets_a_goaway() {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let endpoint = Endpoint::start("a");
    let conf = Conf::simple("failover", &[endpoint.addr()])
        .listener("clear", "protocols = [\"http/1.1\", \"h2c\"]")
        .raw("[limits]\nheader_timeout = \"500ms\"\nidle_timeout = \"3s\"");
    let edge = Edge::start(&conf);
    let (mut mute, mut idle) = (Client::connect(edge.addr("clear")), Client::connect(edge.addr("clear")));
    // A preface that arrives in two segments is still one preface.
    idle.send("PR");
    std::thread::sleep(Duration::from_millis(30));
    idle.send("I * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    idle.send(SETTINGS);
    idle.until(&[0, 0, 0, 4, 1]);
    assert!(!mute.ends(Duration::from_secs(1)), "a silent client is idle, not slow");
    idle.patience(SOON);
    // GOAWAY on stream 0 (RFC 9113 section 6.8).
    idle.until(&[7, 0, 0, 0, 0, 0]);
    assert!(idle.ends(SOON) && mute.ends(SOON));
}

/// A plain listener in front of one TLS endpoint, with these lines in the endpoint's `tls`.
fn towards(endpoint: &Endpoint, tls: &str, conf: Conf) -> Edge {
    let pool = format!(
        "[pool.p]\nendpoints = [{{ address = \"localhost:{}\", tls = {{ {tls} }} }}]",
        endpoint.addr().port()
    );
    let pool = pool.replace("localhost", "127.0.0.1");
    Edge::start(&conf.listener("web", "").raw(&pool).route("all", "failover", &["p"], ""))
}

#[test]
fn an_endpoint_behind_tls_must_prove_its_name_to_a_private_authority() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let endpoint = Endpoint::start_tls("a", server_config(&ours.leaf(&["api.test"])));
    let conf = || Conf::new().file("ca.pem", &ours.pem).file("other.pem", &theirs.pem);
    let good = towards(&endpoint, "sni = \"api.test\", ca = \"ca.pem\"", conf());
    assert_eq!(get(good.web(), "/bytes/100000").body.len(), 100_000);
    for (bad, why) in [
        ("sni = \"api.test\", ca = \"other.pem\"", "another authority"),
        ("sni = \"other.test\", ca = \"ca.pem\"", "another name"),
        ("sni = \"api.test\"", "the system's roots do not know it"),
    ] {
        let edge = towards(&endpoint, bad, conf());
        let reply = get(edge.web(), "/");
        assert_ours(&reply, 502, "connect_failed");
        assert_eq!(endpoint.hits(), 1, "{why}");
    }
    let blind = towards(&endpoint, "sni = \"other.test\", verify = false", conf());
    assert_eq!(get(blind.web(), "/").status, 200);
}

#[test]
fn an_authority_that_is_added_to_the_systems_is_trusted_after_a_reload() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let endpoint = Endpoint::start_tls("a", server_config(&ours.leaf(&["api.test"])));
    let conf = Conf::new().file("system/roots.pem", &theirs.pem).env("SSL_CERT_FILE", "system/roots.pem");
    let edge = towards(&endpoint, "sni = \"api.test\"", conf);
    assert_ours(&get(edge.web(), "/"), 502, "connect_failed");
    let reloads = |result| edge.metric("thalweg_config_reloads_total", &[("result", result)]);
    let before = reloads("applied");
    edge.scratch().write("system/roots.pem", format!("{}{}", theirs.pem, ours.pem));
    assert_eq!(edge.reload().status, 200);
    assert_eq!((reloads("applied"), reloads("unchanged")), (before + 1.0, 0.0));
    edge.until_up(1);
    assert_eq!(get(edge.web(), "/").status, 200);
    assert_eq!(edge.reload().status, 200);
    assert_eq!((reloads("applied"), reloads("unchanged")), (before + 1.0, 1.0), "equal roots");
}

#[test]
fn a_plain_endpoint_where_tls_is_meant_is_a_connect_failure() {
    let ours = Authority::new("ours");
    let endpoint = Endpoint::start("plain");
    let edge =
        towards(&endpoint, "sni = \"api.test\", ca = \"ca.pem\"", Conf::new().file("ca.pem", &ours.pem));
    assert_ours(&get(edge.web(), "/"), 502, "connect_failed");
}

#[test]
fn a_certificate_that_changes_on_disk_is_served_without_a_reload() {
    let authority = Authority::new("root");
    let (edge, _endpoint) = secured(&[authority.leaf(&["a.test"])], "");
    let config = client_config(&authority, &["http/1.1"], &[]);
    let served = || Client::connect_tls(edge.addr("secure"), "a.test", &config).map(|(_, _, leaf)| leaf).ok();
    let old = served().expect("the old certificate");
    let fresh = authority.leaf(&["a.test"]);
    edge.scratch().write("tls/0.key", &fresh.key_pem);
    edge.scratch().write("tls/0.crt", &fresh.cert_pem);
    eventually("the new certificate is served", Duration::from_secs(15), || {
        served().is_some_and(|leaf| leaf != old)
    });
    let new = served().expect("the new certificate");
    edge.scratch().write("tls/0.crt", "-----BEGIN CERTIFICATE-----\nbroken\n");
    let rejected = edge.reload();
    assert_eq!(rejected.status, 422, "{}", rejected.text());
    stays("the good pair is served", Duration::from_millis(500), || served().as_ref() == Some(&new));
    assert_eq!(edge.ready(), 200);
}

#[test]
fn the_expiry_of_a_certificate_is_a_metric() {
    let authority = Authority::new("root");
    let (edge, _endpoint) = secured(&[authority.leaf(&["a.test"])], "");
    let expiry = edge.metric("thalweg_certificate_expiry_timestamp_seconds", &[("listener", "secure")]);
    assert!(expiry > 1_700_000_000.0, "{expiry}");
}

#[test]
fn plain_bytes_on_a_tls_port_harm_no_other_client() {
    let authority = Authority::new("root");
    let (edge, _endpoint) = secured(&[authority.leaf(&["a.test"])], "");
    for junk in [&b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", b"\0\0\0\0\0\0\0\0"] {
        let mut client = Client::connect(edge.addr("secure"));
        client.send(junk);
        client.half_close();
        assert!(client.ends(Duration::from_secs(15)));
    }
    let config = client_config(&authority, &["h2"], &[]);
    assert_eq!(
        H2::connect_tls(edge.addr("secure"), "a.test", &config)
            .expect("h2")
            .get("https://a.test/")
            .expect("an answer")
            .status,
        200
    );
}
