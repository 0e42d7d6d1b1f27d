//! HTTP/1.1 through the edge, byte by byte: what the edge forwards and what it answers. Refusals: see `refusals`.

mod common;
#[path = "http1/bodies.rs"]
mod bodies;

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use common::{assert_ours, one};
use thalweg_testkit::{Behaviour, Client, Conf, Edge, Endpoint, eventually, eventually_some, get};

const SOON: Duration = Duration::from_secs(5);

#[test]
fn a_get_passes_and_its_answer_comes_back_unchanged() {
    let (edge, endpoint) = one();
    let reply = get(edge.web(), "/hello?x=1&y=%20z");
    assert_eq!((reply.status, reply.endpoint()), (200, "a"));
    assert_eq!(endpoint.only().target(), "/hello?x=1&y=%20z");
    let body = get(edge.web(), "/bytes/300000").body;
    assert!(body.len() == 300_000 && body.iter().all(|&byte| byte == 0));
}

#[test]
fn every_status_of_the_endpoint_passes() {
    let (edge, _endpoint) = one();
    let mut client = Client::connect(edge.web());
    for status in
        [200, 201, 202, 204, 206, 301, 302, 304, 307, 400, 401, 403, 404, 409, 410, 418, 422, 429, 451]
    {
        let reply = client.get(&format!("/status/{status}"));
        assert_eq!(reply.status, status);
        assert_eq!(reply.endpoint(), "a", "{status} was made by the endpoint");
        assert!(reply.header("proxy-status").is_none(), "{status}");
    }
}

#[test]
fn an_ipv6_listener_and_an_ipv6_endpoint_work() {
    let endpoint = Endpoint::start_on("six", IpAddr::V6(Ipv6Addr::LOCALHOST));
    let conf = Conf::new().listener_on("web", "[::1]", "").pool("p", &[endpoint.addr()], "").route(
        "all",
        "failover",
        &["p"],
        "",
    );
    let edge = Edge::start(&conf);
    let addr = (Ipv6Addr::LOCALHOST, edge.port("web")).into();
    assert_eq!(get(addr, "/").endpoint(), "six");
    assert_eq!(endpoint.only().header("x-forwarded-for"), Some("::1"));
}

#[test]
fn connections_are_reused_on_both_sides() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    for _ in 0..50 {
        assert_eq!(client.get("/bytes/10").status, 200);
    }
    let used: std::collections::BTreeSet<u64> =
        endpoint.requests().iter().map(|seen| seen.connection).collect();
    assert!(used.len() <= 2, "{} connections for 50 requests in a row", used.len());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (edge, _endpoint) = one();
    let mut client = Client::connect(edge.web());
    let sizes = [10, 1, 30_000, 0, 7];
    let burst: String = sizes.iter().map(|n| format!("GET /bytes/{n} HTTP/1.1\r\nhost: x\r\n\r\n")).collect();
    client.send(burst);
    for size in sizes {
        assert_eq!(client.reply("GET").expect("an answer").body.len(), size);
    }
}

#[test]
fn http_1_0_connections_close_unless_the_client_asks_to_keep_them() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    client.send("GET /chunked/1000 HTTP/1.0\r\nhost: x\r\n\r\n");
    let reply = client.reply("GET").expect("an answer");
    assert_eq!((reply.status, reply.body.len()), (200, 1000));
    assert_eq!(reply.header("transfer-encoding"), None, "HTTP/1.0 knows no chunks");
    assert!(client.ends(SOON));
    assert_eq!(endpoint.only().head.word(2), "HTTP/1.1");
}

#[test]
fn a_request_without_host_gets_that_of_the_endpoint() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.reply("GET").expect("an answer").status, 200);
    let seen = endpoint.only();
    assert_eq!(seen.head.all("host"), [endpoint.addr().to_string()]);
    assert_eq!(seen.header("x-forwarded-host"), None, "the client sent no Host");
}

#[test]
fn forwarded_fields_are_set_by_the_edge_and_client_values_are_dropped() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    let claims = "host: api.test\r\nx-forwarded-for: 6.6.6.6\r\nx-forwarded-proto: gopher\r\nx-forwarded-host: evil\r\nforwarded: for=6.6.6.6\r\nx-real-ip: 6.6.6.6\r\nX-FORWARDED-FOR: 7.7.7.7\r\n";
    client.ask("GET", "/", claims, b"").expect("an answer");
    let seen = endpoint.only();
    assert_eq!(seen.head.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.head.all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.head.all("x-forwarded-host"), ["api.test"]);
    assert_eq!(seen.head.all("host"), ["api.test"]);
    assert_eq!((seen.header("forwarded"), seen.header("x-real-ip")), (None, None));
}

#[test]
fn via_is_appended_and_a_loop_is_508() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    client.ask("GET", "/", "via: 1.0 fred\r\n", b"").expect("an answer");
    let via = endpoint.only().head.all("via").join(", ");
    assert!(via.starts_with("1.0 fred") && via.len() > "1.0 fred".len(), "{via}");
    let ours = via.split(',').next_back().unwrap_or_default().trim().to_owned();
    let thrice = format!("via: {ours}, {ours}\r\nvia: {ours}\r\n");
    let reply = client.ask("GET", "/", &thrice, b"").expect("an answer");
    assert_eq!(reply.status, 508, "{}", reply.text());
    assert!(reply.header("proxy-status").is_some());
    assert_eq!(endpoint.hits(), 1);
}

#[test]
fn an_edge_that_points_at_itself_ends_in_508() {
    let reserved = thalweg_testkit::free_port();
    let addr = ([127, 0, 0, 1], reserved).into();
    let conf = Conf::new()
        .raw(&format!("[[listener]]\nname = \"web\"\nbind = \"{addr}\""))
        .pool("self", &[addr], "# no probe")
        .route("all", "failover", &["self"], "");
    let edge = Edge::start(&conf);
    let reply = get(addr, "/");
    assert_eq!(reply.status, 508, "{}", reply.text());
    assert!(edge.metric("thalweg_requests_total", &[]) <= 4.0);
}

#[test]
fn a_request_id_is_kept_when_it_is_good_and_made_when_it_is_not() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    let long = "a".repeat(128);
    for good in ["abc", "A.b_c-9", long.as_str()] {
        let reply = client.ask("GET", "/", &format!("x-request-id: {good}\r\n"), b"").expect("an answer");
        assert_eq!(reply.header("x-request-id"), Some(good));
        assert_eq!(endpoint.requests().pop().expect("a request").head.all("x-request-id"), [good]);
    }
    let too_long = "a".repeat(129);
    for bad in ["", "a b", "a/b", "ä", "<x>", too_long.as_str()] {
        let reply = client.ask("GET", "/", &format!("x-request-id: {bad}\r\n"), b"").expect("an answer");
        let made = reply.header("x-request-id").expect("an id").to_owned();
        assert_ne!(made, bad);
        assert_eq!(endpoint.requests().pop().expect("a request").head.all("x-request-id"), [made.as_str()]);
    }
    let (one, other) = (client.get("/"), client.get("/"));
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
}

#[test]
fn hop_by_hop_fields_are_stripped_both_ways() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    let fields = "connection: x-hop, keep-alive\r\nx-hop: 1\r\nkeep-alive: timeout=9\r\nproxy-connection: keep-alive\r\nte: trailers, deflate\r\nproxy-authorization: Basic x\r\nx-end: 2\r\nupgrade: h2c\r\n";
    let reply = client.ask("GET", "/hop", fields, b"").expect("an answer");
    let seen = endpoint.only();
    for name in ["x-hop", "keep-alive", "proxy-connection", "proxy-authorization", "upgrade"] {
        assert_eq!(seen.header(name), None, "{name} was forwarded");
    }
    assert!(seen.header("te").is_none_or(|te| te == "trailers"));
    assert_eq!(seen.header("x-end"), Some("2"));
    for name in ["x-secret", "keep-alive"] {
        assert_eq!(reply.header(name), None, "{name} came back");
    }
    assert_eq!((reply.header("x-open"), reply.text().as_str()), (Some("1"), "ok"));
}

#[test]
fn connection_cannot_name_fields_that_the_edge_sets() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    let fields = "connection: x-forwarded-for, x-request-id, host, via\r\nhost: api.test\r\n";
    client.ask("GET", "/", fields, b"").expect("an answer");
    let seen = endpoint.only();
    for name in ["host", "x-forwarded-for", "x-request-id", "via"] {
        assert!(seen.header(name).is_some(), "{name} was stripped");
    }
}

#[test]
fn dot_segments_are_resolved_before_matching_and_forwarding() {
    let endpoint = Endpoint::start("a");
    let other = Endpoint::start("b");
    let conf = Conf::new()
        .listener("web", "")
        .pool("pa", &[endpoint.addr()], "")
        .pool("pb", &[other.addr()], "")
        .route("api", "failover", &["pa"], "path_prefix = \"/api\"")
        .route("rest", "failover", &["pb"], "path_prefix = \"/\"");
    let edge = Edge::start(&conf);
    for (sent, matched, by) in [
        ("/api", "/api", "a"),
        ("/api/x", "/api/x", "a"),
        ("/apix", "/apix", "b"),
        ("/api/../secret", "/secret", "b"),
        ("/x/../api/./y", "/api/y", "a"),
        ("/api/%2e%2e/secret", "/secret", "b"),
        ("/../../api/z", "/api/z", "a"),
        ("/api/..", "/", "b"),
    ] {
        let reply = get(edge.web(), sent);
        assert_eq!((reply.status, reply.endpoint()), (200, by), "{sent}");
        let seen = if by == "a" { endpoint.requests() } else { other.requests() };
        assert_eq!(seen.last().expect("a request").target(), matched, "{sent}");
    }
}

#[test]
fn hosts_match_exact_before_wildcard_before_any() {
    let names = ["exact", "wild", "any"];
    let endpoints: Vec<Endpoint> = names.iter().map(|name| Endpoint::start(name)).collect();
    let mut conf = Conf::new().listener("web", "");
    for (name, endpoint) in names.iter().zip(&endpoints) {
        conf = conf.pool(name, &[endpoint.addr()], "");
    }
    let conf = conf
        .route("exact", "failover", &["exact"], "hosts = [\"api.example.com\"]")
        .route("wild", "failover", &["wild"], "hosts = [\"*.example.com\"]")
        .route("any", "failover", &["any"], "path_prefix = \"/open\"");
    let edge = Edge::start(&conf);
    for (host, by) in [
        ("api.example.com", "exact"),
        ("API.Example.COM:8080", "exact"),
        ("api.example.com.", "exact"),
        ("www.example.com", "wild"),
        ("a.b.example.com", "wild"),
    ] {
        let mut client = Client::connect(edge.web());
        let reply = client.ask("GET", "/open/x", &format!("host: {host}\r\n"), b"").expect("an answer");
        assert_eq!(reply.endpoint(), by, "{host}");
    }
    let mut client = Client::connect(edge.web());
    for host in ["example.com", "other.org", "127.0.0.1", "[::1]:80"] {
        let reply = client.ask("GET", "/open", &format!("host: {host}\r\n"), b"").expect("an answer");
        assert_eq!(reply.endpoint(), "any", "{host}");
    }
    let reply = client.ask("GET", "/closed", "host: other.org\r\n", b"").expect("an answer");
    assert_ours(&reply, 404, "no_route");
    assert_eq!(edge.metric("thalweg_refusals_total", &[("route", "-"), ("refusal", "no_route")]), 1.0);
}

#[test]
fn an_absolute_target_decides_the_host() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    let reply = client.ask("GET", "http://other.test/x?y=1", "host: api.test\r\n", b"").expect("an answer");
    // RFC 9112 section 3.2.2 gives the target precedence; a refusal of the contradiction is safe, too. `Host` must not win.
    if reply.status != 400 {
        let seen = endpoint.only();
        assert_eq!((seen.target(), seen.header("host")), ("/x?y=1", Some("other.test")));
    }
}

#[test]
fn interim_answers_of_the_endpoint_do_not_disturb_the_final_one() {
    let (edge, endpoint) = one();
    endpoint.behave(Behaviour::HintsFirst);
    let mut client = Client::connect(edge.web());
    assert_eq!(client.get("/bytes/12").body.len(), 12);
    assert_eq!(client.get("/bytes/13").body.len(), 13);
}

#[test]
fn a_garbage_answer_becomes_a_502() {
    let (edge, endpoint) = one();
    for garbage in ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 abc\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        endpoint.behave(Behaviour::RawAndClose(garbage.into()));
        let reply = get(edge.web(), "/");
        assert_eq!(reply.status, 502, "{garbage:?}");
        assert!(reply.header("proxy-status").is_some());
        endpoint.behave(Behaviour::Serve);
        eventually("the endpoint serves again", SOON, || get(edge.web(), "/").status == 200);
    }
}

#[test]
fn an_answer_with_a_huge_head_becomes_a_502() {
    let (edge, endpoint) = one();
    let huge = format!("HTTP/1.1 200 OK\r\nx-big: {}\r\ncontent-length: 0\r\n\r\n", "a".repeat(2_000_000));
    endpoint.behave(Behaviour::RawAndClose(huge.into()));
    let reply = get(edge.web(), "/");
    assert_eq!(reply.status, 502);
    assert!(reply.header("proxy-status").is_some());
}

#[test]
fn a_pool_may_set_the_host() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::new().listener("web", "").pool("p", &[endpoint.addr()], "host = \"inner.test\"").route(
        "all",
        "failover",
        &["p"],
        "",
    );
    let edge = Edge::start(&conf);
    get(edge.web(), "/");
    let seen = endpoint.only();
    assert_eq!(seen.head.all("host"), ["inner.test"]);
    assert_eq!(seen.head.all("x-forwarded-host"), [edge.web().to_string()]);
}

#[test]
fn an_endpoint_that_closes_after_each_answer_costs_no_request() {
    let (edge, endpoint) = one();
    endpoint.behave(Behaviour::CloseAfterEach);
    let mut client = Client::connect(edge.web());
    for nth in 0..50 {
        assert_eq!(client.get("/bytes/3").status, 200, "request {nth}");
        eventually_some("the endpoint saw it", SOON, || (endpoint.hits() > nth).then_some(()));
    }
}

#[test]
fn an_address_as_host_is_found_however_it_is_written() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::new().listener("web", "").pool("p", &[endpoint.addr()], "").route(
        "six",
        "failover",
        &["p"],
        "hosts = [\"[2001:DB8:0::1]\"]",
    );
    let edge = Edge::start(&conf);
    edge.until_up(1);
    for (host, status) in [
        ("[2001:DB8:0::1]", 200),
        ("[2001:db8::1]:8080", 200),
        ("[2001:0db8:0:0:0:0:0:1]:", 200),
        ("[2001:db8::2]", 404),
    ] {
        let mut client = Client::connect(edge.web());
        let reply = client.ask("GET", "/", &format!("host: {host}\r\n"), b"").expect("an answer");
        assert_eq!(reply.status, status, "{host}: {}", reply.text());
        let route = edge.explain(&format!("host={host}&path=/"))["route"].clone();
        assert_eq!(route == "six", status == 200, "{host}: {route}");
    }
}
