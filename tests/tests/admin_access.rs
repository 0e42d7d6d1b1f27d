//! Which requests the admin listener accepts, and what it answers to all others.

mod common;

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use common::one;
use serde_json::Value;
use thalweg_testkit::{Client, Conf, Edge, Endpoint, Reply, Signal, eventually, skip, thalweg};

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
        (&bare, "GET /", "evil.test:PORT", "", 200),
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

/// Two bearers: `ada` may write, `bob` may read.
const TOKENS: &str = "# on call\nada write wr1te\nbob read re4d\n";

/// An edge with both tokens and these lines in `[admin]`.
fn with_roles(lines: &str) -> (Edge, Endpoint) {
    let endpoint = Endpoint::start("a");
    let conf = Conf::simple("failover", &[endpoint.addr()])
        .admin("token_file = \"admin.token\"")
        .admin(lines)
        .file("admin.token", TOKENS);
    (Edge::start(&conf), endpoint)
}

/// Calls the edge with this token (empty = none).
fn call(edge: &Edge, method: &str, path: &str, token: &str, body: &str) -> Reply {
    let bearer = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    let mut client = Client::connect(edge.addr("admin"));
    let host = edge.addr("admin");
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n{bearer}\r\n{body}",
        body.len()
    ));
    client.reply(method).expect("an answer")
}

#[test]
fn a_role_that_is_too_small_is_named_in_the_refusal() {
    let (edge, _endpoint) = with_roles("");
    for (method, path) in [
        ("POST", "/api/v1/reload"),
        ("POST", "/api/v1/orders"),
        ("POST", "/api/v1/drain"),
        ("POST", "/api/v1/undrain"),
        ("POST", "/api/v1/failback"),
        ("DELETE", "/api/v1/orders/1"),
    ] {
        let refused = call(&edge, method, path, "re4d", "{}");
        let said = refused.json();
        assert_eq!(
            (refused.status, &said["error"], &said["needs"]),
            (403, &"wrong_role".into(), &"write".into())
        );
        assert!(said["detail"].as_str().is_some_and(|why| why.contains("bob has read")), "{said}");
        let unknown = call(&edge, method, path, "", "{}");
        assert_eq!((unknown.status, unknown.header("www-authenticate")), (401, Some("Bearer")), "{path}");
    }
    assert_eq!(call(&edge, "POST", "/api/v1/reload", "wr1te", "").status, 200);
    let who = |token: &str| {
        let reply = call(&edge, "GET", "/api/v1/whoami", token, "");
        (reply.status, reply.json()["name"].clone(), reply.json()["role"].clone())
    };
    assert_eq!(who("wr1te"), (200, "ada".into(), "write".into()));
    assert_eq!(who("re4d"), (200, "bob".into(), "read".into()));
    assert_eq!(who(""), (200, Value::Null, Value::Null));
    assert_eq!(who("other").0, 401);
}

#[test]
fn reading_can_require_a_token() {
    let (edge, _endpoint) = with_roles("anonymous_read = false");
    for path in ["status", "events", "orders", "stream", "explain?host=a.test&path=/"] {
        let path = format!("/api/v1/{path}");
        let refused = call(&edge, "GET", &path, "", "");
        assert_eq!((refused.status, &refused.json()["needs"]), (401, &"read".into()), "{path}");
    }
    for token in ["re4d", "wr1te"] {
        assert_eq!(call(&edge, "GET", "/api/v1/status", token, "").status, 200);
    }
    for path in ["/", "/metrics", "/livez", "/readyz"] {
        assert_eq!(call(&edge, "GET", path, "", "").status, 200, "{path}");
    }
    let file = edge.scratch().write("mine", "bob read re4d\n");
    let status = ["status", "--admin", &edge.admin_url()];
    assert_eq!(thalweg(&status).code, 1);
    let done = thalweg(&[&status[..], &["--token-file", &file.display().to_string()]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
}

#[test]
fn every_requested_change_is_an_event_with_caller_content_and_reason() {
    let (edge, _endpoint) = with_roles("");
    let order = r#"{"kind":"freeze","reason":"disk"}"#;
    for (method, path, body, name, result) in [
        ("POST", "/api/v1/orders", order, "order", "given"),
        ("POST", "/api/v1/drain", r#"{"pool":"p0","reason":"upgrade"}"#, "order", "last_to_serve"),
        ("POST", "/api/v1/undrain", r#"{"pool":"p0"}"#, "order", "ended"),
        ("DELETE", "/api/v1/orders/1", "", "cancel", "ended"),
        ("DELETE", "/api/v1/orders/7", "", "cancel", "not_found"),
        ("POST", "/api/v1/failback", r#"{"route":"all"}"#, "failback", "done"),
        ("POST", "/api/v1/reload", r#"{"reason":"new limits"}"#, "reload", "unchanged"),
    ] {
        call(&edge, method, path, "wr1te", body);
        let last = edge.events_of("audit").pop().expect("an event");
        assert_eq!((&last["who"], &last["client"]), (&"ada".into(), &"127.0.0.1".into()), "{last}");
        assert_eq!((&last["call"], &last["result"]), (&name.into(), &result.into()), "{last}");
        let why = serde_json::from_str::<Value>(body).unwrap_or_default()["reason"].clone();
        assert_eq!(last["why"].as_str().unwrap_or_default(), why.as_str().unwrap_or_default(), "{last}");
        assert!(last["what"].is_object(), "{last}");
    }
    assert!(!edge.events().iter().any(|event| event.to_string().contains("wr1te")), "no token is shown");
    edge.signal(Signal::HUP);
    eventually("the signal is recorded", Duration::from_secs(5), || {
        edge.events_of("audit").last().is_some_and(|event| event["who"] == "signal")
    });
    let (bare, _endpoint) = one();
    bare.reload();
    assert_eq!(bare.events_of("audit")[0]["who"], "127.0.0.1", "without a token, the address");
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
