//! HTTP/2 towards endpoints: what arrives there, what comes back, streams that share connections, and how a connection ends.

mod common;
#[path = "http2_endpoints/ends.rs"]
mod ends;

use std::time::Duration;

use bytes::Bytes;
use common::assert_ours;
use h2::Reason;
use http::Request;
use http_body_util::Full;
use thalweg_testkit::{Authority, Client, Conf, Edge, H2, H2Endpoint, RawH2, eventually, server_config_with};

const SOON: Duration = Duration::from_secs(8);

/// A config with the listeners `web` and `clear`, and one unprobed pool per address that speaks HTTP/2.
fn conf(endpoints: &[std::net::SocketAddr], lines: &str) -> Conf {
    let mut conf = Conf::new().listener("web", "").listener("clear", "protocols = [\"h2c\"]");
    let names: Vec<String> = (0..endpoints.len()).map(|nth| format!("p{nth}")).collect();
    for (name, addr) in names.iter().zip(endpoints) {
        conf = conf.pool(name, &[*addr], &format!("# no probe\nprotocol = \"h2\"\n{lines}"));
    }
    conf.route("all", "failover", &names.iter().map(String::as_str).collect::<Vec<_>>(), "")
}

fn over(endpoint: &H2Endpoint) -> Edge {
    Edge::start(&conf(&[endpoint.addr()], ""))
}

fn h2(edge: &Edge) -> H2 {
    H2::connect_clear(edge.addr("clear")).expect("h2c")
}

#[test]
fn a_get_goes_through_from_either_protocol() {
    let endpoint = H2Endpoint::start("a");
    let edge = over(&endpoint);
    let reply = Client::connect(edge.web()).ask(
        "GET",
        "/x?y=1",
        "te: trailers\r\nconnection: te\r\ncookie: a=1\r\n",
        b"",
    );
    let reply = reply.expect("an answer");
    assert_eq!((reply.status, reply.text().as_str(), reply.endpoint()), (200, "hello", "a"));
    assert_eq!(h2(&edge).get("http://a.test/z").expect("an answer").body.as_ref(), b"hello");
    let seen = endpoint.seen();
    assert_eq!(seen[0].pseudo[0], "GET");
    assert_eq!(seen[0].pseudo[1], "http");
    assert_eq!(seen[0].pseudo[3], "/x?y=1");
    assert_eq!(seen[1].pseudo, ["GET", "http", "a.test", "/z"]);
    let header =
        |nth: usize, name: &str| seen[nth].headers.get(name).map(|value| value.to_str().expect("text"));
    assert_eq!(header(0, "te"), Some("trailers"));
    assert_eq!(header(1, "te"), None);
    assert_eq!(header(0, "cookie"), Some("a=1"));
    assert_eq!((header(0, "via"), header(1, "via")), (Some("1.1 thalweg"), Some("2 thalweg")));
    assert_eq!(header(1, "x-forwarded-host"), Some("a.test"));
    for absent in ["host", "connection", "transfer-encoding", "upgrade"] {
        assert_eq!(header(0, absent), None, "{absent}");
    }
}

#[test]
fn bodies_and_trailers_pass_both_ways() {
    let endpoint = H2Endpoint::start("a");
    let edge = over(&endpoint);
    let h2 = h2(&edge);
    let body: Vec<u8> = (0..500_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    assert!(h2.post("http://a.test/echo", body.clone()).expect("an answer").body == body);
    let mut client = Client::connect(edge.web());
    assert!(client.ask("POST", "/echo", "", &body).expect("an answer").body == body);
    assert_eq!(client.get("/bytes/1000000").body.len(), 1_000_000);
    assert_eq!(h2.get("http://a.test/bytes/1000000").expect("an answer").body.len(), 1_000_000);
    let reply = h2.get("http://a.test/trailers").expect("an answer");
    assert_eq!(reply.trailers.expect("trailers")["x-sum"], "42");
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-up: 7\r\n\r\n");
    let answer = String::from_utf8(client.until(b"x-up: 7\r\n\r\n")).expect("text");
    assert!(answer.contains("3\r\nabc\r\n"), "{answer}");
    let last = endpoint.seen().pop().expect("a request");
    assert_eq!(last.trailers.expect("trailers")["x-up"], "7");
    assert!(endpoint.accepted() <= 2, "one connection per worker at most");
    let undeclared = Request::post("http://a.test/echo").body(Full::new(Bytes::from(body.clone())));
    let reply = h2.ask_undeclared(undeclared.expect("a request")).expect("an answer");
    assert!(reply.body == body, "without a length, and with an empty frame at the end");
}

#[test]
fn answers_without_content_keep_their_framing() {
    let endpoint = H2Endpoint::start("a");
    let edge = over(&endpoint);
    let mut client = Client::connect(edge.web());
    for status in [200, 204, 304, 404] {
        assert_eq!(client.get(&format!("/status/{status}")).status, status);
    }
    let head = client.ask("HEAD", "/bytes/77", "", b"").expect("an answer");
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("77"), 0));
    client.send("GET /hints HTTP/1.1\r\nhost: a\r\n\r\n");
    let answer = String::from_utf8(client.until(b"Content-Length: 0\r\n")).expect("text").to_lowercase();
    assert!(answer.starts_with("http/1.1 103 ") && answer.contains("link: </a>"), "{answer}");
    let mut client = Client::connect(edge.web());
    assert_eq!(client.get("/x").status, 200, "the connection is in step");
}

#[test]
fn streams_share_connections_up_to_the_endpoints_limit() {
    for (limit, most) in [(1000, 2), (5, 12)] {
        let endpoint = H2Endpoint::start_with("a", limit, None);
        let edge = over(&endpoint);
        let h2 = h2(&edge);
        let asked: Vec<_> = (0..20)
            .map(|_| {
                let h2 = h2.clone();
                std::thread::spawn(move || {
                    h2.get("http://a.test/bytes/200000").expect("an answer").body.len()
                })
            })
            .collect();
        assert!(asked.into_iter().all(|asked| asked.join().expect("an answer") == 200_000));
        assert!(endpoint.accepted() <= most, "{} connections at a limit of {limit}", endpoint.accepted());
    }
}

#[test]
fn a_crowd_waits_for_one_connect() {
    let endpoint = H2Endpoint::start_with("a", 4, None);
    let edge = over(&endpoint);
    let h2 = h2(&edge);
    let hanging: Vec<_> = (0..8)
        .map(|_| {
            let h2 = h2.clone();
            std::thread::spawn(move || drop(h2.get("http://a.test/hang")))
        })
        .collect();
    eventually("two connections of four streams", SOON, || endpoint.accepted() == 2);
    eventually("eight in flight", SOON, || edge.metric("thalweg_endpoint_in_flight", &[]) >= 8.0);
    endpoint.cut();
    hanging.into_iter().for_each(|asked| asked.join().expect("an end"));
}

#[test]
fn over_tls_the_endpoint_must_choose_h2() {
    let authority = Authority::new("root");
    let leaf = authority.leaf(&["api.test"]);
    let with = |alpn: &[&str]| {
        let endpoint = H2Endpoint::start_with("a", 100, Some(server_config_with(&leaf, alpn)));
        let tls = "{ sni = \"api.test\", verify = false }";
        let pool = format!(
            "[pool.p0]\nprotocol = \"h2\"\nendpoints = [{{ address = \"{}\", tls = {tls} }}]",
            endpoint.addr()
        );
        let edge = Edge::start(&Conf::new().listener("web", "").raw(&pool).route(
            "all",
            "failover",
            &["p0"],
            "timeouts = { connect = \"5s\" }",
        ));
        (edge, endpoint)
    };
    let (edge, endpoint) = with(&["h2", "http/1.1"]);
    assert_eq!(Client::connect(edge.web()).get("/").status, 200);
    assert_eq!(endpoint.seen()[0].pseudo[1], "https");
    for alpn in [&[][..], &["http/1.1"]] {
        let (edge, endpoint) = with(alpn);
        assert_ours(&Client::connect(edge.web()).get("/"), 502, "connect_failed");
        assert!(endpoint.seen().is_empty());
    }
}

#[test]
fn an_endpoint_that_does_not_speak_http_2_cannot_be_connected_to() {
    let http1: fn(&mut RawH2) -> std::io::Result<()> = |conn| conn.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let other: fn(&mut RawH2) -> std::io::Result<()> = |conn| conn.raw(b"220 mail ready\r\n");
    let silent: fn(&mut RawH2) -> std::io::Result<()> = |conn| conn.next(true).map(drop);
    let early: fn(&mut RawH2) -> std::io::Result<()> = |_| Ok(());
    for (script, what) in [(http1, "HTTP/1.1"), (other, "SETTINGS"), (silent, ""), (early, "ended")] {
        let bad = RawH2::listen(move |conn, _| script(conn));
        let good = H2Endpoint::start("good");
        let edge = Edge::start(&conf(&[bad, good.addr()], ""));
        let reply = Client::connect(edge.web()).ask("POST", "/echo", "", b"x").expect("an answer");
        assert_eq!(
            (reply.status, reply.endpoint()),
            (200, "good"),
            "no byte of the request was sent: {what}"
        );
        eventually(&format!("the reason is told: {what}"), SOON, || {
            serde_json::json!(edge.events()).to_string().contains(what)
        });
    }
}

#[test]
fn what_the_endpoint_has_not_looked_at_goes_elsewhere_whatever_its_method() {
    let first = H2Endpoint::start("a");
    let second = H2Endpoint::start("b");
    let edge = Edge::start(&conf(&[first.addr(), second.addr()], ""));
    let h2 = h2(&edge);
    for _ in 0..10 {
        first.refuse(1);
        let reply = h2.post("http://a.test/refuse", "x").expect("an answer");
        assert_eq!((reply.status, reply.headers["x-endpoint"].to_str().expect("text")), (200, "b"));
        assert_eq!(h2.get("http://a.test/").expect("an answer").headers["x-endpoint"], "a");
    }
    assert!(edge.events_of("ejected").is_empty(), "a refusal now and then is no evidence");
    assert!(edge.metric("thalweg_endpoint_requests_total", &[("outcome", "refused_stream")]) >= 10.0);
    first.refuse(u64::MAX);
    eventually("an endpoint that refuses everything is ejected", SOON, || {
        let _any = h2.post("http://a.test/refuse", "x");
        !edge.events_of("ejected").is_empty()
    });
}

#[test]
fn frames_that_break_the_protocol_are_a_bad_answer() {
    let data: fn(&mut RawH2, u32) -> std::io::Result<()> = |conn, stream| conn.send(0, 1, stream, b"x");
    let status: fn(&mut RawH2, u32) -> std::io::Result<()> =
        |conn, stream| conn.send(1, 0b101, stream, &[0x84]);
    let size: fn(&mut RawH2, u32) -> std::io::Result<()> = |conn, _| conn.send(6, 0, 0, b"short");
    let window: fn(&mut RawH2, u32) -> std::io::Result<()> = |conn, stream| conn.send(8, 0, stream, &[0; 4]);
    let length: fn(&mut RawH2, u32) -> std::io::Result<()> = |conn, stream| {
        conn.send(1, 0b100, stream, &[0x88, 0x0f, 0x0d, 1, b'9'])?;
        conn.send(0, 1, stream, b"short")
    };
    for (script, what) in
        [(data, "data first"), (status, "no status"), (size, "frame size"), (window, "window 0")]
    {
        let addr = RawH2::listen(move |conn, _| {
            conn.greet()?;
            let stream = conn.request()?;
            script(conn, stream)?;
            loop {
                conn.next(true)?;
            }
        });
        let edge = Edge::start(&conf(&[addr], ""));
        assert_ours(
            &Client::connect(edge.web()).ask("POST", "/", "", b"").expect("an answer"),
            502,
            "bad_answer",
        );
        eventually(&format!("its log line says so: {what}"), SOON, || edge.stdout().contains("bad_frame"));
    }
    let addr = RawH2::listen(move |conn, _| {
        conn.greet()?;
        let stream = conn.request()?;
        length(conn, stream)?;
        conn.next(true).map(drop)
    });
    let edge = Edge::start(&conf(&[addr], ""));
    let cut = Client::connect(edge.web()).ask("GET", "/", "", b"");
    assert!(cut.is_err(), "an answer shorter than its length is cut: {cut:?}");
}

#[test]
fn a_client_that_leaves_resets_its_stream_alone() {
    let endpoint = H2Endpoint::start("a");
    let edge = over(&endpoint);
    let mut client = Client::connect(edge.web());
    client.send("GET /hang HTTP/1.1\r\nhost: a\r\n\r\n");
    eventually("it is there", SOON, || edge.metric("thalweg_endpoint_in_flight", &[]) >= 1.0);
    client.reset();
    eventually("the endpoint sees it leave", SOON, || {
        endpoint.seen().first().is_some_and(|seen| seen.reset == Some(Reason::CANCEL))
    });
    let before = endpoint.accepted();
    assert!(before <= 2 && Client::connect(edge.web()).get("/").status == 200);
}

#[test]
fn an_early_answer_ends_an_upload_that_it_does_not_want() {
    let endpoint = H2Endpoint::start("a");
    let edge = over(&endpoint);
    let mut client = Client::connect(edge.web());
    client.send("POST /early HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nbeginning");
    assert_eq!(client.reply("POST").expect("an answer").status, 413);
    assert_eq!(h2(&edge).post("http://a.test/early", vec![b'x'; 300_000]).expect("an answer").status, 413);
}

#[test]
fn an_upgrade_to_an_http_2_endpoint_is_refused_clearly() {
    let endpoint = H2Endpoint::start("a");
    let edge = over(&endpoint);
    let ask = |protocol: &str, key: &str| {
        let fields = format!("connection: upgrade\r\nupgrade: {protocol}\r\n{key}");
        Client::connect(edge.web()).ask("GET", "/ws", &fields, b"").expect("an answer")
    };
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_ours(&ask("other", key), 501, "not_implemented");
    assert_ours(&ask("websocket", ""), 501, "not_implemented");
    assert_ours(&ask("websocket", key), 502, "no_websocket");
}
