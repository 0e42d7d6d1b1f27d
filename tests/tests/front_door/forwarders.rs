//! Trusted proxies in front: each request has the client that its forwarding fields name.

use thalweg_testkit::H2;

use super::*;

/// A listener that trusts loopback and one more network.
const TRUSTING: &str = "protocols = [\"http/1.1\", \"h2c\"]\ntrusted = [\"127.0.0.0/8\", \"10.0.0.0/8\"]";

fn ask(edge: &Edge, headers: &str) -> Reply {
    Client::connect(edge.web())
        .ask("GET", "/", &format!("host: own.test\r\n{headers}"), b"")
        .expect("an answer")
}

/// The client in the access log, and what the endpoint is told: for, protocol, host.
fn told(edge: &Edge, endpoint: &Endpoint, headers: &str) -> (String, String, String, String) {
    endpoint.forget();
    let reply = ask(edge, headers);
    assert_eq!(reply.status, 200);
    let id = reply.header("x-request-id").expect("an id").to_owned();
    eventually("it is logged", SOON, || edge.access_log().iter().any(|line| line["request_id"] == *id));
    let seen = endpoint.only();
    let field = |name: &str| seen.header(name).unwrap_or_default().to_owned();
    let client = edge.logged(&id)["client"].as_str().unwrap_or_default().to_owned();
    assert_eq!(seen.header("forwarded"), None, "only the edge's own word goes on");
    assert_eq!(seen.header("x-real-ip"), None);
    (client, field("x-forwarded-for"), field("x-forwarded-proto"), field("x-forwarded-host"))
}

#[test]
fn the_client_is_the_one_that_trusted_proxies_name() {
    let (edge, endpoint) = edge_with(TRUSTING, "");
    let text =
        |(a, b, c, d): (&str, &str, &str, &str)| (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned());
    for (headers, expected) in [
        ("", ("127.0.0.1", "127.0.0.1", "http", "own.test")),
        (
            "X-Forwarded-For: 203.0.113.9, 192.0.2.1, 10.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.test\r\nX-Real-IP: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\n",
            ("192.0.2.1", "192.0.2.1, 10.1.1.1, 127.0.0.1", "https", "a.test"),
        ),
        (
            "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.1.1.1\r\n",
            ("192.0.2.1", "192.0.2.1, 10.1.1.1, 127.0.0.1", "http", "own.test"),
        ),
        ("X-Forwarded-For: 192.0.2.1, nonsense\r\n", ("127.0.0.1", "127.0.0.1", "http", "own.test")),
    ] {
        assert_eq!(told(&edge, &endpoint, headers), text(expected), "{headers}");
    }
}

#[test]
fn forwarded_counts_where_it_is_asked_for() {
    let (edge, endpoint) = edge_with(&format!("{TRUSTING}\nforwarded = \"forwarded\""), "");
    let headers = "Forwarded: for=203.0.113.9, for=\"[2001:db8::1]:99\";proto=https;host=a.test, for=10.1.1.1\r\nX-Forwarded-For: 203.0.113.7\r\n";
    let (client, chain, protocol, host) = told(&edge, &endpoint, headers);
    assert_eq!((&*client, &*chain), ("2001:db8::1", "2001:db8::1, 10.1.1.1, 127.0.0.1"));
    assert_eq!((&*protocol, &*host), ("https", "a.test"));
}

#[test]
fn the_fields_of_anyone_else_count_for_nothing() {
    let (edge, endpoint) = edge_with("trusted = [\"10.0.0.0/8\"]", "");
    let headers = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b.test\r\nForwarded: for=192.0.2.1\r\n";
    let (client, chain, protocol, host) = told(&edge, &endpoint, headers);
    assert_eq!((&*client, &*chain, &*protocol), ("127.0.0.1", "127.0.0.1", "http"));
    assert_ne!(host, "b.test");
}

#[test]
fn each_request_of_a_connection_has_its_own_client() {
    let (edge, endpoint) = edge_with(TRUSTING, "");
    let mut http1 = Client::connect(edge.web());
    let http2 = H2::connect_clear(edge.web()).expect("h2c");
    for nth in 1..=3 {
        let client = format!("192.0.2.{nth}");
        assert_eq!(
            http1.ask("GET", "/", &format!("x-forwarded-for: {client}\r\n"), b"").expect("an answer").status,
            200
        );
        let request = http::Request::get("http://a.test/").header("x-forwarded-for", &client);
        let request = request.body(http_body_util::Full::default()).expect("a request");
        assert_eq!(http2.ask(request).expect("an answer").status, 200);
    }
    let mut chains: Vec<String> = endpoint
        .requests()
        .iter()
        .map(|seen| seen.header("x-forwarded-for").unwrap_or_default().to_owned())
        .collect();
    chains.sort_unstable();
    chains.dedup();
    assert_eq!(chains, ["192.0.2.1, 127.0.0.1", "192.0.2.2, 127.0.0.1", "192.0.2.3, 127.0.0.1"]);
    assert_eq!(endpoint.hits(), 6);
}

#[test]
fn geo_and_affinity_use_the_forwarded_client_as_explain_does() {
    let endpoints = ["a", "b", "c", "d"].map(Endpoint::start);
    let addrs = endpoints.each_ref().map(Endpoint::addr);
    let geo = "[geo.networks]\noffice = [\"192.0.2.0/24\"]\n";
    let conf = Conf::new()
        .listener("web", TRUSTING)
        .pool("near", &addrs[..1], "# no probe")
        .pool("far", &addrs[1..2], "# no probe")
        .pool("many", &addrs[1..], "# no probe")
        .route(
            "bound",
            "weighted",
            &["many"],
            "path_prefix = \"/bound\"\naffinity = { mode = \"client-ip\" }",
        )
        .route("all", "geo", &["far"], "geo = [{ from = [\"network:office\"], pools = [\"near\"] }]")
        .raw(geo);
    let edge = Edge::start(&conf);
    assert_eq!(ask(&edge, "x-forwarded-for: 192.0.2.7\r\n").endpoint(), "a");
    assert_eq!(ask(&edge, "x-forwarded-for: 203.0.113.7\r\n").endpoint(), "b");
    for nth in 1..=20 {
        let client = format!("198.51.100.{nth}");
        let headers = format!("x-forwarded-for: {client}\r\n");
        let reply = Client::connect(edge.web()).ask("GET", "/bound", &headers, b"").expect("an answer");
        let explained = edge.explain(&format!("host=a.test&path=/bound&client={client}")).to_string();
        let served =
            endpoints.iter().find(|endpoint| endpoint.name() == reply.endpoint()).expect("one of ours");
        assert!(explained.contains(&served.addr().to_string()), "{client}: {} {explained}", reply.endpoint());
    }
}

#[test]
fn a_balancers_header_and_a_forwarding_field_work_together() {
    let (edge, endpoint) = edge_with(&format!("{BEHIND}\ntrusted = [\"192.0.2.0/24\"]"), "");
    for (client, expected) in
        [([192, 0, 2, 1], "203.0.113.5, 192.0.2.1"), ([198, 51, 100, 7], "198.51.100.7")]
    {
        endpoint.forget();
        let mut connection = Client::connect(edge.web());
        connection.send(v2(client, b""));
        let reply = connection.ask("GET", "/", "x-forwarded-for: 203.0.113.5\r\n", b"").expect("an answer");
        assert_eq!(reply.status, 200);
        assert_eq!(endpoint.only().header("x-forwarded-for"), Some(expected));
    }
}
