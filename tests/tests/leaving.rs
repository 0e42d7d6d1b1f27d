//! How streams and connections end when an endpoint, or the edge itself, is drained: told properly, one after the other.

mod common;

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use thalweg_testkit::{Behaviour, Client, Conf, Edge, Endpoint, H2, Signal, eventually, eventually_some};

const SOON: Duration = Duration::from_secs(15);
const UPGRADE: &str = "host: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n";
/// A Close frame of a server: 1012, service restart.
const RESTART: [u8; 4] = [0x88, 0x02, 0x03, 0xf4];
/// A text frame of a client, masked with zeros.
const HELLO: [u8; 11] = [0x81, 0x85, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o'];

fn two(edge: &str) -> (Edge, Endpoint, Endpoint) {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = Edge::start(&Conf::simple("failover", &[first.addr(), second.addr()]).edge(edge));
    edge.until_up(2);
    (edge, first, second)
}

/// An open WebSocket, through which a frame has passed both ways.
fn websocket(edge: &Edge) -> Client {
    let mut client = Client::connect(edge.web());
    client.patience(SOON);
    client.send(format!("GET /ws HTTP/1.1\r\n{UPGRADE}\r\n"));
    assert_eq!(client.head().expect("a head").word(1), "101");
    client.send(HELLO);
    client.until(&HELLO);
    client
}

fn order(edge: &Edge, body: &str) -> serde_json::Value {
    let reply = edge.admin_post("/api/v1/drain", body);
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()
}

#[test]
fn a_drain_closes_websockets_by_its_deadline_spread_over_it_and_tells_them() {
    let (edge, _first, _second) = two("");
    let clients: Vec<Client> = (0..40).map(|_| websocket(&edge)).collect();
    let began = Instant::now();
    let drained = order(&edge, r#"{"pool":"p0","deadline":"3s"}"#);
    assert_eq!(drained["left"], json!({ "requests": 0, "streams": 40 }), "{drained}");
    let waiting: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            thread::spawn(move || {
                client.until(&RESTART);
                let at = began.elapsed();
                client.send([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf4]);
                assert!(client.ends(SOON), "the edge closes after the client's own Close frame");
                at
            })
        })
        .collect();
    let mut at: Vec<Duration> = waiting.into_iter().map(|thread| thread.join().expect("told")).collect();
    at.sort_unstable();
    // The times are spread; how late a loaded machine notes each is another matter.
    assert!(at[39] - at[0] > Duration::from_millis(1500), "{at:?}");
    assert!(at[20] < at[39] && at[0] < at[20], "{at:?}");
    eventually("no stream is left", SOON, || edge.status()["orders"][0]["state"] == "drained");
    assert_eq!(edge.metric("thalweg_endpoint_streams", &[("pool", "p0")]), 0.0);
}

#[test]
fn without_a_deadline_a_stream_stays_and_a_new_one_goes_elsewhere() {
    let (edge, first, second) = two("");
    let mut kept = websocket(&edge);
    order(&edge, r#"{"pool":"p0"}"#);
    let _new = websocket(&edge);
    kept.send(HELLO);
    kept.until(&HELLO);
    let streams = |endpoint: &Endpoint| {
        edge.metric("thalweg_endpoint_streams", &[("endpoint", &endpoint.addr().to_string())])
    };
    assert_eq!((streams(&first), streams(&second)), (1.0, 1.0));
    order(&edge, r#"{"pool":"p0","deadline":"100ms"}"#);
    kept.until(&RESTART);
}

#[test]
fn a_close_frame_is_never_put_inside_another_frame() {
    let (edge, _first, _second) = two("");
    let mut client = websocket(&edge);
    // The head of a frame of 5 bytes and 2 of them come back at once, the rest later.
    client.send(&HELLO[..8]);
    client.until(&HELLO[..8]);
    order(&edge, r#"{"pool":"p0","deadline":"50ms"}"#);
    thread::sleep(Duration::from_millis(300));
    client.send(&HELLO[8..]);
    let rest = client.until(&RESTART);
    assert_eq!(rest[..3], HELLO[8..], "{rest:?}");
}

/// As `two`, with a listener `clear` that speaks HTTP/2 with prior knowledge.
fn two_over_http2(edge: &str) -> (Edge, Endpoint, Endpoint) {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf = Conf::simple("failover", &[first.addr(), second.addr()]).edge(edge);
    let edge = Edge::start(&conf.listener("clear", "protocols = [\"h2c\"]"));
    edge.until_up(2);
    (edge, first, second)
}

fn streams(edge: &Edge) -> f64 {
    edge.metric("thalweg_endpoint_streams", &[("pool", "p0")])
}

#[test]
fn a_drain_ends_an_event_stream_by_the_end_of_its_chunked_body_and_its_connection_goes_on() {
    let (edge, first, second) = two("");
    let mut client = Client::connect(edge.web());
    client.patience(SOON);
    client.send("GET /sse HTTP/1.1\r\nhost: x\r\n\r\n");
    client.until(b"data: 4\n\n\r\n");
    let drained = order(&edge, r#"{"pool":"p0","deadline":"500ms"}"#);
    assert_eq!(drained["left"], json!({ "requests": 0, "streams": 1 }), "{drained}");
    client.until(b"0\r\n\r\n");
    assert_eq!(client.get("/").endpoint(), "b");
    eventually("nothing is left", SOON, || edge.status()["orders"][0]["state"] == "drained");
    assert_eq!((streams(&edge), first.hits(), second.hits()), (0.0, 1, 1));
    let logged = || edge.access_log().into_iter().find(|line| line["path"] == "/sse");
    let line = eventually_some("it is logged", SOON, logged);
    assert_eq!((&line["status"], &line["error"]), (&json!(200), &json!(null)), "{line}");
}

#[test]
fn an_event_is_not_cut_in_the_middle_if_it_ends_soon_and_a_download_is_never_cut() {
    let (edge, first, _second) = two("");
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type:";
    first.behave(Behaviour::Raw(format!("{head} text/event-stream\r\n\r\n8\r\ndata: ha\r\n").into()));
    let mut events = Client::connect(edge.web());
    events.patience(SOON);
    events.send("GET /half HTTP/1.1\r\nhost: x\r\n\r\n");
    events.until(b"data: ha");
    first.behave(Behaviour::Raw(format!("{head} video/mp4\r\n\r\n8\r\ndata: ha\r\n").into()));
    let mut download = Client::connect(edge.web());
    download.send("GET /video HTTP/1.1\r\nhost: x\r\n\r\n");
    download.until(b"data: ha");
    order(&edge, r#"{"pool":"p0","deadline":"50ms"}"#);
    assert!(!events.ends(Duration::from_millis(500)), "the event may still end");
    // It does not: the stream ends all the same.
    events.patience(SOON);
    events.until(b"0\r\n\r\n");
    assert!(!download.ends(Duration::from_millis(300)), "a download is not an event stream");
    assert_eq!(edge.status()["orders"][0]["left"], json!({ "requests": 1, "streams": 0 }));
}

#[test]
fn over_http2_an_event_stream_ends_with_its_stream_when_its_endpoint_is_drained() {
    let (edge, _first, _second) = two_over_http2("");
    let client = H2::connect_clear(edge.addr("clear")).expect("a connection");
    let asking = client.clone();
    let waiting = thread::spawn(move || asking.get("http://x/sse"));
    eventually("the stream is open", SOON, || streams(&edge) == 1.0);
    order(&edge, r#"{"pool":"p0","deadline":"1s"}"#);
    let reply = waiting.join().expect("no panic").expect("the stream ends, it is not reset");
    assert!(reply.status == 200 && reply.body.starts_with(b"data: 0"), "{reply:?}");
    let next = client.get("http://x/").expect("the connection goes on");
    assert_eq!(next.headers.get("x-endpoint").map(|name| name.as_bytes()), Some(b"b".as_slice()));
}

#[test]
fn an_ending_edge_sends_goaway_and_ends_event_streams_over_http2() {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    /// HEADERS with END_STREAM and END_HEADERS on stream 1: `GET http://x/sse` (RFC 7541, appendix A).
    const ASK: [u8; 20] = [0, 0, 11, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 4, 4, b'/', b's', b's', b'e', 1, 1, b'x'];
    /// An empty DATA with END_STREAM on stream 1.
    const ENDED: [u8; 9] = [0, 0, 0, 0, 1, 0, 0, 0, 1];
    /// The type of GOAWAY, its flags, and stream 0.
    const GOAWAY: [u8; 6] = [7, 0, 0, 0, 0, 0];
    let (edge, _first, _second) = two_over_http2("drain_timeout = \"5s\"");
    let mut client = Client::connect(edge.addr("clear"));
    client.patience(SOON);
    client.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &SETTINGS, &ASK].concat());
    client.until(b"data: 4\n\n");
    edge.signal(Signal::TERM);
    let mut seen = Vec::new();
    while let Ok(some) = client.some() {
        seen.extend(some);
    }
    let has = |wanted: &[u8]| seen.windows(wanted.len()).any(|part| part == wanted);
    assert!(has(&GOAWAY) && has(&ENDED), "{seen:?}");
    assert_eq!(edge.exit_code(SOON), 0);
}

#[test]
fn an_ending_edge_closes_idle_connections_one_after_the_other_and_fails_no_busy_one() {
    let (edge, _first, _second) = two("drain_timeout = \"12s\"");
    let mut idle: Vec<TcpStream> = (0..300).map(|_| kept(&edge)).collect();
    let busy: Vec<_> = (0..10)
        .map(|_| {
            let mut client = Client::connect(edge.web());
            thread::spawn(move || {
                loop {
                    let reply = client.get("/");
                    assert_eq!(reply.status, 200);
                    let last = reply.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
                    if last {
                        return;
                    }
                }
            })
        })
        .collect();
    edge.signal(Signal::TERM);
    let began = Instant::now();
    let mut closed: Vec<u128> = Vec::new();
    while !idle.is_empty() {
        assert!(began.elapsed() < SOON, "{} are still open", idle.len());
        idle.retain_mut(|stream| match stream.read(&mut [0; 64]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => true,
            _ => {
                closed.push(began.elapsed().as_millis() / 100);
                false
            }
        });
        thread::sleep(Duration::from_millis(5));
    }
    for thread in busy {
        thread.join().expect("no request fails");
    }
    let most = closed.iter().map(|slot| closed.iter().filter(|other| *other == slot).count()).max();
    assert!(closed[299] - closed[0] >= 10, "spread over a second at least: {closed:?}");
    assert!(most < Some(100), "never a third at once: {closed:?}");
    assert_eq!(edge.exit_code(SOON), 0);
}

#[test]
fn an_ending_edge_tells_its_websockets() {
    let (edge, _first, _second) = two("drain_timeout = \"4s\"");
    let mut clients: Vec<Client> = (0..6).map(|_| websocket(&edge)).collect();
    edge.signal(Signal::TERM);
    for client in &mut clients {
        client.until(&RESTART);
    }
    drop(clients);
    assert_eq!(edge.exit_code(SOON), 0);
}

/// A kept connection with one request behind it.
fn kept(edge: &Edge) -> TcpStream {
    let mut stream = TcpStream::connect(edge.web()).expect("the edge accepts");
    stream.write_all(b"GET /bytes/1 HTTP/1.1\r\nhost: x\r\n\r\n").expect("the request can be sent");
    let mut seen = Vec::new();
    // The head, its empty line, and the one byte of the body.
    while seen.windows(4).position(|four| four == b"\r\n\r\n").is_none_or(|at| seen.len() < at + 5) {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).expect("an answer");
        assert!(count > 0, "closed");
        seen.extend_from_slice(&some[..count]);
    }
    stream.set_nonblocking(true).expect("a socket");
    stream
}
