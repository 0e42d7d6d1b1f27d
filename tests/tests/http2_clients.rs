//! HTTP/2 towards clients, frame by frame: abuse ends its own connection with ENHANCE_YOUR_CALM and nobody else's, heads
//! that are too large are refused by the edge itself, interim answers pass.

mod common;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use http::Request;
use http_body_util::Full;
use serde_json::json;
use thalweg_testkit::{Behaviour, Conf, Edge, Endpoint, H2, eventually, eventually_some};

const SOON: Duration = Duration::from_secs(20);
const ENHANCE_YOUR_CALM: u32 = 0xb;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// `METHOD http://x/bytes/100000`, without indexing (RFC 7541, appendix A).
fn head(method: u8) -> Vec<u8> {
    let mut block = vec![0x80 | method, 0x86, 4, 13];
    block.extend(b"/bytes/100000");
    block.extend([1, 1, b'x']);
    block
}

const GET: u8 = 2;
const POST: u8 = 3;

/// A connection that speaks frames.
struct Frames(TcpStream);

impl Frames {
    /// A connection with these settings of the client.
    fn connect(addr: SocketAddr, settings: &[u8]) -> Self {
        let stream = TcpStream::connect(addr).expect("the edge accepts");
        stream.set_read_timeout(Some(SOON)).expect("a socket");
        let mut frames = Self(stream);
        frames
            .send(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, settings)].concat());
        frames
    }

    /// Sends; a connection that the edge has closed takes nothing more.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// The next frame: kind, stream and payload; `None` = the connection is closed.
    fn next(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let [a, b, c, kind, _, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some((kind, u32::from_be_bytes(stream), payload))
    }

    /// The code of the GOAWAY with which the edge ends the connection.
    fn goaway(&mut self) -> Option<u32> {
        while let Some((kind, _, payload)) = self.next() {
            if kind == GOAWAY {
                return payload
                    .get(4..8)
                    .map(|code| u32::from_be_bytes(code.try_into().expect("four bytes")));
            }
        }
        None
    }
}

/// An edge that speaks HTTP/2 in clear, in front of one endpoint.
fn edge(lines: &str) -> (Edge, Endpoint) {
    let endpoint = Endpoint::start("a");
    let conf =
        Conf::new().listener("clear", "protocols = [\"h2c\"]").pool("p", &[endpoint.addr()], "# no probe");
    (Edge::start(&conf.route("all", "failover", &["p"], lines)), endpoint)
}

/// Floods the edge with what `flood` makes from a stream's number, until it ends the connection; meanwhile another client
/// is served.
fn check(name: &str, settings: &[u8], opening: &[u8], flood: impl Fn(u32) -> Vec<u8>) {
    let (edge, _endpoint) = edge("");
    let other = H2::connect_clear(edge.addr("clear")).expect("another client");
    let mut abuser = Frames::connect(edge.addr("clear"), settings);
    abuser.send(opening);
    let mut reader = Frames(abuser.0.try_clone().expect("a socket"));
    let code = std::thread::scope(|scope| {
        let told = scope.spawn(move || reader.goaway());
        for nth in 0..5_000 {
            if told.is_finished() || !abuser.send(&flood(1 + 2 * nth)) {
                break;
            }
            if nth % 500 == 0 {
                let reply = other.get("http://x/bytes/10").expect("other clients are served");
                assert_eq!(reply.status, 200, "{name}");
            }
        }
        told.join().expect("no panic")
    });
    assert_eq!(code, Some(ENHANCE_YOUR_CALM), "{name}");
    let reply = other.get("http://x/bytes/10").expect("other clients are served");
    assert_eq!(reply.status, 200, "{name}");
}

#[test]
fn a_rapid_reset_ends_its_connection_only() {
    check("rapid reset", &[], &[], |stream| {
        let ask = frame(HEADERS, END_STREAM | END_HEADERS, stream, &head(GET));
        [ask, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    });
}

#[test]
fn floods_of_control_frames_end_their_connection_only() {
    let update = |stream| frame(WINDOW_UPDATE, 0, stream, &1_u32.to_be_bytes());
    check("pings", &[], &[], |_| frame(PING, 0, 0, &[7; 8]));
    check("settings", &[], &[], |_| frame(SETTINGS, 0, 0, &[]));
    check("window updates of one byte", &[], &[], |_| update(0));
    check("priorities", &[], &[], |stream| frame(PRIORITY, 0, stream, &[0, 0, 0, 0, 1]));
    let upload = frame(HEADERS, END_HEADERS, 1, &head(POST));
    check("empty content", &[], &upload, |_| frame(DATA, 0, 1, &[]));
    // SETTINGS_INITIAL_WINDOW_SIZE = 1: an answer that leaves byte by byte.
    let ask = frame(HEADERS, END_STREAM | END_HEADERS, 1, &head(GET));
    check("a window of one byte", &[0, 4, 0, 0, 0, 1], &ask, |_| [update(1), update(1)].concat());
}

#[test]
fn a_flood_of_continuations_ends_its_connection_only() {
    let opening = frame(HEADERS, END_STREAM, 1, &head(GET));
    // A field without indexing, `a: b`, in each frame.
    check("continuations", &[], &opening, |_| frame(CONTINUATION, 0, 1, &[0, 1, b'a', 1, b'b']));
}

#[test]
fn a_client_whose_window_stays_shut_loses_its_stream_only() {
    let (edge, _endpoint) = edge("timeouts = { idle = \"500ms\" }");
    let mut client = Frames::connect(edge.addr("clear"), &[0, 4, 0, 0, 0, 0]);
    client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &head(GET)));
    let reset = std::iter::from_fn(|| client.next()).find(|(kind, _, _)| *kind == RST_STREAM);
    assert_eq!(reset.map(|(_, stream, _)| stream), Some(1), "the stream is reset");
    client.send(&frame(PING, 0, 0, &[7; 8]));
    let pong = std::iter::from_fn(|| client.next()).find(|(kind, _, _)| *kind == PING);
    assert!(pong.is_some(), "the connection goes on");
    let logged = || edge.access_log().into_iter().find(|line| line["path"] == "/bytes/100000");
    let line = eventually_some("it is logged", SOON, logged);
    assert_eq!(line["client_gone"], true, "{line}");
}

#[test]
fn a_head_that_is_too_large_is_refused_counted_and_logged_by_the_edge() {
    let (edge, endpoint) = edge("");
    let client = H2::connect_clear(edge.addr("clear")).expect("a connection");
    let refused = || edge.metric("thalweg_refusals_total", &[("refusal", "headers_too_large")]);
    for (nth, size) in [17_000, 60_000, 200_000].into_iter().enumerate() {
        let request = Request::get(format!("http://x/large/{size}"))
            .header("x-large", "v".repeat(size))
            .body(Full::default())
            .expect("a request");
        let reply = client.ask(request).expect("an answer");
        assert_eq!(reply.status, 431, "{size}: {reply:?}");
        let details = reply.headers.get("proxy-status").expect("the edge's own answer");
        assert!(details.to_str().is_ok_and(|text| text.contains("headers_too_large")), "{reply:?}");
        eventually("it is counted", SOON, || refused() == (nth + 1) as f64);
        let path = format!("/large/{size}");
        let logged = || edge.access_log().into_iter().find(|line| line["path"] == *path);
        let line = eventually_some("it is logged", SOON, logged);
        assert_eq!((&line["status"], &line["rule"]), (&json!(431), &json!("head_too_large")), "{line}");
    }
    assert_eq!(client.get("http://x/").expect("the connection goes on").status, 200);
    assert_eq!(endpoint.hits(), 1);
}

#[test]
fn early_hints_pass_before_the_answer() {
    let (edge, endpoint) = edge("");
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </b.js>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    endpoint.behave(Behaviour::Raw(hints.into()));
    let mut client = Frames::connect(edge.addr("clear"), &[]);
    client.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &head(GET)));
    let mut heads = 0;
    let body = loop {
        match client.next().expect("the connection stays open") {
            (HEADERS, 1, _) => heads += 1,
            (DATA, 1, body) => break body,
            _ => {}
        }
    };
    assert_eq!((heads, &*body), (3, &b"ok"[..]), "two interim answers and the final one");
}
