//! What speaks against an endpoint and what does not: errors that every region gives, answers about the request, and
//! endpoints that are sick in part.

mod common;

use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use bytes::Bytes;
use common::{assert_ours, regions};
use thalweg_testkit::{Behaviour, Client, Conf, Edge, Endpoint, eventually};

const SOON: Duration = Duration::from_secs(20);

/// The first failure ejects, for good.
const STRICT: &str = "[eject]\nconsecutive_failures = 1\nbase = \"60s\"";

/// Asks `count` times; one request in five, in no order, asks for an error. Says who answered how often.
fn ask(client: &mut Client, count: u32, turn: &mut u32) -> [u32; 2] {
    let mut by = [0, 0];
    for _ in 0..count {
        *turn = turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let path = if (*turn >> 16) % 5 == 0 { "/status/500" } else { "/" };
        let reply = client.ask("POST", path, "", b"x").expect("an answer");
        by[usize::from(reply.endpoint() == "b")] += 1;
    }
    by
}

#[test]
fn errors_that_both_regions_answer_keep_neither_out() {
    let endpoints = [Endpoint::start("a"), Endpoint::start("b")];
    endpoints[1].refuse();
    let edge = Edge::start(&Conf::simple_with("weighted", &endpoints.each_ref().map(Endpoint::addr), ""));
    edge.until_up(1);
    let (mut client, mut turn) = (Client::connect(edge.web()), 1);
    assert_eq!(ask(&mut client, 64, &mut turn), [64, 0]);
    endpoints[1].revive();
    edge.until_up(2);
    let by = ask(&mut client, 600, &mut turn);
    assert!(by.iter().all(|by| *by >= 250), "both serve: {by:?} {:?}", edge.events_of("ejected"));
    eventually("it is told", SOON, || {
        ask(&mut client, 20, &mut turn);
        !edge.events_of("spared").is_empty()
    });
    let told = edge.events_of("spared").remove(0);
    assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("others fail as ")), "{told}");
}

#[test]
fn answers_about_the_request_eject_no_endpoint() {
    let (edge, endpoints) = regions(2, "failover", "", STRICT);
    let mut client = Client::connect(edge.web());
    for status in [501, 505, 506, 508, 510, 511] {
        endpoints[0].behave(Behaviour::Status(status));
        let reply = client.ask("POST", "/", "", b"x").expect("an answer");
        assert_eq!((reply.status, reply.endpoint()), (status, "a"));
    }
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
    endpoints[0].behave(Behaviour::Status(500));
    client.ask("POST", "/", "", b"x").expect("an answer");
    eventually("an error of its own does", SOON, || !edge.events_of("ejected").is_empty());
}

#[test]
fn an_answer_with_too_many_fields_has_its_own_name_and_ejects_no_endpoint() {
    let (edge, endpoints) = regions(2, "failover", "", STRICT);
    let mut head = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n".to_owned();
    for nth in 0..1000 {
        let _ = write!(head, "link: </{nth}>\r\n");
    }
    endpoints[0].behave(Behaviour::Raw(Bytes::from(head + "\r\n")));
    for nth in 1..=5 {
        let mut client = Client::connect(edge.web());
        assert_ours(&client.get("/"), 502, "answer_fields");
        assert_eq!((endpoints[0].hits(), endpoints[1].hits()), (nth, 0), "not tried again");
    }
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
}

/// An endpoint that answers a POST with 413 as soon as it has read the head, and closes with the upload unread: the kernel
/// resets the connection. GETs are fine.
fn slamming() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    let serve = |mut client: TcpStream| {
        let mut seen = Vec::new();
        let mut piece = [0; 4096];
        while !seen.windows(4).any(|end| end == b"\r\n\r\n") {
            match client.read(&mut piece) {
                Ok(count @ 1..) => seen.extend_from_slice(&piece[..count]),
                _ => return,
            }
        }
        let status = if seen.starts_with(b"POST") { "413 Too Large" } else { "200 OK" };
        let answer =
            format!("HTTP/1.1 {status}\r\nx-endpoint: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        let _ = client.write_all(answer.as_bytes());
    };
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || serve(client));
        }
    });
    addr
}

#[test]
fn refused_uploads_eject_no_endpoint() {
    let (slamming, other) = (slamming(), Endpoint::start("b"));
    let route = "body_bytes = \"64MiB\"";
    let conf = Conf::simple_with("failover", &[slamming, other.addr()], route).raw(STRICT);
    let edge = Edge::start(&conf);
    edge.until_up(2);
    let body = vec![b'x'; 5 << 20];
    let outcome = |outcome| {
        let labels = [("pool", "p0"), ("outcome", outcome)];
        edge.metric("thalweg_endpoint_requests_total", &labels)
    };
    for _ in 0..20 {
        // What becomes of the answer is the sockets' affair: it may be lost with the connection.
        let _ = Client::connect(edge.web()).ask("POST", "/upload", "", &body);
    }
    eventually("all have ended", SOON, || outcome("ok") + outcome("reset") + outcome("client_gone") >= 20.0);
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
    assert_eq!(Client::connect(edge.web()).get("/").endpoint(), "a");
}
