//! Which requests the admin listener accepts, and what it answers to all others.

mod common;

use std::net::{SocketAddr, UdpSocket};

use common::one;
use thalweg_testkit::{Client, Conf, Edge, Endpoint, skip};

/// An address of this machine that is not loopback, if it has one.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

#[test]
fn orders_from_elsewhere_are_refused_without_a_token() {
    let Some(ip) = own_address() else {
        skip("orders from elsewhere", "this machine has only loopback addresses");
        return;
    };
    let endpoint = Endpoint::start("a");
    let edge = Edge::start(&Conf::simple("failover", &[endpoint.addr()]).admin_on("0.0.0.0"));
    let addr = SocketAddr::new(ip, edge.port("admin"));
    let post = |host: &str| {
        let mut client = Client::connect(addr);
        client.ask("POST", "/api/v1/reload", &format!("host: {host}\r\n"), b"").expect("an answer").status
    };
    assert!([401, 403].contains(&post(&addr.to_string())));
    assert!([401, 403].contains(&post("127.0.0.1")), "a Host does not make it loopback");
    assert_eq!(edge.reload().status, 200, "loopback is fine");
    let mut client = Client::connect(addr);
    assert_eq!(client.get("/livez").status, 200, "reading is fine");
}

#[test]
fn a_foreign_origin_is_refused_whatever_it_asks() {
    let (edge, _endpoint) = one();
    for origin in ["http://evil.test", "null", "http://127.0.0.1:1"] {
        let reply = edge.admin_post_with("/api/v1/reload", "", &format!("origin: {origin}\r\n"));
        assert!([401, 403].contains(&reply.status), "{origin}: {}", reply.head.line);
        let mut client = Client::connect(edge.addr("admin"));
        let reply =
            client.ask("GET", "/api/v1/status", &format!("origin: {origin}\r\n"), b"").expect("an answer");
        assert!([401, 403].contains(&reply.status), "{origin}: {}", reply.head.line);
    }
    let own = format!("origin: {}\r\n", edge.admin_url());
    assert_eq!(edge.admin_post_with("/api/v1/reload", "", &own).status, 200);
}

#[test]
fn dns_rebinding_does_not_make_a_page_same_origin() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::simple("failover", &[endpoint.addr()]);
    let bare = Edge::start(&conf.clone());
    let wide = Edge::start(&conf.clone().admin_on("0.0.0.0"));
    let guarded = Edge::start(&conf.admin("token_file = \"admin.token\"").file("admin.token", "t0ken\n"));
    let token = "authorization: Bearer t0ken\r\n";
    let ask = |edge: &Edge, call: &str, host: &str, more: &str| {
        let (host, more) =
            [host, more].map(|text| text.replace("PORT", &edge.port("admin").to_string())).into();
        let request = format!("{call} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n{more}\r\n");
        let mut client = Client::connect(SocketAddr::from(([127, 0, 0, 1], edge.port("admin"))));
        client.send(request);
        client.reply("GET").expect("an answer").status
    };
    let (order, look) = ("POST /api/v1/reload", "GET /api/v1/status");
    for (edge, call, host, more, expected) in [
        (&bare, order, "evil.test:PORT", "origin: http://evil.test:PORT\r\n", 403),
        (&bare, order, "evil.test:PORT", "", 403),
        (&bare, look, "evil.test:PORT", "origin: http://evil.test:PORT\r\n", 403),
        (&bare, look, "evil.test:PORT", "", 403),
        (&bare, order, "localhost:PORT", "origin: http://localhost:PORT\r\n", 200),
        (&bare, order, "127.0.0.1:PORT", "origin: http://127.0.0.1:PORT\r\n", 200),
        (&bare, look, "10.9.9.9:PORT", "", 200),
        (&bare, look, "10.9.9.9:PORT", "origin: http://10.9.9.9:PORT\r\n", 403),
        (&wide, order, "evil.test:PORT", "origin: http://evil.test:PORT\r\n", 403),
        (&wide, order, "evil.test:PORT", "", 403),
        (&wide, look, "edge.test:PORT", "", 200),
        (&wide, look, "edge.test:PORT", "origin: http://edge.test:PORT\r\n", 403),
        (&guarded, order, "edge.test:PORT", token, 200),
        (&guarded, look, "edge.test:PORT", token, 200),
        (&guarded, order, "edge.test:PORT", "authorization: Bearer wrong\r\n", 403),
    ] {
        assert_eq!(ask(edge, call, host, more), expected, "{call} {host} {more}");
    }
}

#[test]
fn a_configured_token_is_required() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::simple("failover", &[endpoint.addr()])
        .admin("token_file = \"admin.token\"")
        .file("admin.token", "t0ken\n");
    let edge = Edge::start(&conf);
    assert!([401, 403].contains(&edge.reload().status));
    let with = |token: &str| {
        edge.admin_post_with("/api/v1/reload", "", &format!("authorization: Bearer {token}\r\n")).status
    };
    assert!([401, 403].contains(&with("wrong")));
    assert_eq!(with("t0ken"), 200);
}

#[test]
fn unknown_admin_paths_are_404_and_wrong_methods_405() {
    let (edge, _endpoint) = one();
    assert_eq!(edge.admin_get("/nowhere").status, 404);
    assert_eq!(edge.admin_post("/metrics", "").status, 405);
    assert_eq!(edge.admin_get("/api/v1/reload").status, 405);
    assert_eq!(edge.admin_get("/livez").status, 200);
    assert_eq!(edge.admin_get("/readyz").status, 200);
}
