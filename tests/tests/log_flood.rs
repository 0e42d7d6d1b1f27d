//! No client fills the event log: however many odd bytes arrive, none of them is a line.

mod common;

use common::assert_ours;
use thalweg_testkit::{Client, Conf, Edge, Endpoint, get};

/// Frames of each kind on one connection.
const FRAMES: usize = 5_000;

/// So many are no flood yet.
const CALM: usize = 900;

/// The HTTP/2 preface and empty SETTINGS (RFC 9113 section 3.4).
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// A frame on stream 0.
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short frame");
    let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

/// A PING frame (RFC 9113 section 6.7) with this content, as a question or as an answer.
fn ping(content: &[u8; 8], ack: bool) -> Vec<u8> {
    frame(6, u8::from(ack), content)
}

/// A frame on this stream.
fn frame_on(stream: u32, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame(kind, flags, payload);
    frame[5..9].copy_from_slice(&stream.to_be_bytes());
    frame
}

/// An edge at this level with a listener `web` for both versions in clear, its log at rest.
fn quiet_edge(level: &str) -> (Edge, Endpoint) {
    let endpoint = Endpoint::start("a");
    let conf = Conf::new()
        .listener("web", "protocols = [\"http/1.1\", \"h2c\"]")
        .pool("p", &[endpoint.addr()], "")
        .route("all", "failover", &["p"], "")
        .raw(&format!("[log]\nlevel = \"{level}\"\n"));
    let edge = Edge::start(&conf);
    edge.until_up(1);
    assert_eq!(get(edge.web(), "/").endpoint(), "a");
    (edge, endpoint)
}

#[test]
fn a_flood_of_http2_frames_is_told_to_calm_down_and_no_frame_is_a_line_of_the_log() {
    for level in ["info", "trace"] {
        let (edge, _endpoint) = quiet_edge(level);
        let before = edge.stderr();
        for (what, odd) in [
            ("a PING answer to no question", ping(b"unasked!", true)),
            ("a frame of an unknown kind", frame(0xbb, 0xff, b"anything")),
            ("a PRIORITY update that is ignored", frame(0x10, 0, b"\x00\x00\x00\x01u=1")),
            ("a window update", frame(8, 0, &[0, 0, 0, 1])),
            ("a PING", ping(b"thalweg?", false)),
            ("SETTINGS", frame(4, 0, &[])),
        ] {
            let mut client = Client::connect(edge.web());
            client.send(HELLO);
            client.send(odd.repeat(CALM));
            // Its answer says that everything before it has been read.
            client.send(ping(b"are you?", false));
            client.until(&ping(b"are you?", true));
            let _it_may_have_closed_already = client.try_send(odd.repeat(FRAMES));
            until_told_to_calm_down(&mut client, what);
            let after = edge.stderr();
            assert_eq!(after, before, "{what}, {FRAMES} times at level {level}");
        }
        assert_eq!(get(edge.web(), "/").endpoint(), "a");
    }
}

#[test]
fn no_broken_connection_is_a_line_of_the_event_log() {
    let (edge, _endpoint) = quiet_edge("info");
    let before = edge.stderr();
    let broken: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03garbage that is no TLS",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\0\0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nno frame at all, but enough bytes for one",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x01\x00\x00\x00\x00",
    ];
    for bytes in broken.iter().cycle().take(200) {
        let mut client = Client::connect(edge.web());
        let _it_may_have_closed_already = client.try_send(bytes);
        client.half_close();
        assert!(client.ends(std::time::Duration::from_secs(10)), "{bytes:?}");
    }
    let reply = Client::connect(edge.web()).ask("TRACE", "/", "", b"").expect("an answer of ours");
    assert_ours(&reply, 405, "method_not_allowed");
    assert_eq!(edge.stderr(), before);
}

/// `GET http://x/` in HPACK (RFC 7541): three entries of the static table and the authority as a literal.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x01, 0x01, b'x'];

/// GOAWAY with the code ENHANCE_YOUR_CALM, from its eight bytes after the frame's head on (RFC 9113 section 6.8).
fn is_told_to_calm_down(answer: &[u8]) -> bool {
    answer.windows(17).any(|bytes| bytes[3] == 7 && bytes[5..9] == [0; 4] && bytes[13..17] == [0, 0, 0, 11])
}

fn until_told_to_calm_down(client: &mut Client, what: &str) {
    let mut answer = Vec::new();
    while !is_told_to_calm_down(&answer) {
        match client.some() {
            Ok(more) => answer.extend(more),
            Err(error) => panic!("{what}: {error} after {answer:x?}"),
        }
    }
}

#[test]
fn a_client_that_resets_every_stream_is_told_to_calm_down() {
    let (edge, _endpoint) = quiet_edge("info");
    let before = edge.stderr();
    // The second breaks a rule of each stream's window, so that the library itself resets it.
    let overflow = [0x7f, 0xff, 0xff, 0xff];
    for (what, kind, payload) in [("reset", 3, [0, 0, 0, 8]), ("made to be reset", 8, overflow)] {
        let mut client = Client::connect(edge.web());
        let mut flood = HELLO.to_vec();
        for stream in (1..2_000).step_by(2) {
            flood.extend(frame_on(stream, 1, 5, GET));
            flood.extend(frame_on(stream, kind, 0, &payload));
        }
        let _it_may_have_closed_already = client.try_send(&flood);
        until_told_to_calm_down(&mut client, what);
    }
    assert_eq!(get(edge.web(), "/").endpoint(), "a");
    assert_eq!(edge.stderr(), before);
}
