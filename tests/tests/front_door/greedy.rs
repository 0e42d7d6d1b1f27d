//! Greedy and slow clients: requests per second and bytes per second have bounds, each with its own refusal.

use std::{net::IpAddr, time::Instant};

use thalweg_testkit::{Behaviour, H2};

use super::*;

#[test]
fn a_client_over_its_rate_is_refused_and_others_are_served() {
    let (edge, endpoint) =
        edge_with("protocols = [\"http/1.1\", \"h2c\"]", "[limits]\nrequest_rate = 1\nrequest_burst = 5\n");
    let began = Instant::now();
    // New connections reach every worker.
    let replies: Vec<Reply> = (0..30).map(|_| thalweg_testkit::get(edge.web(), "/")).collect();
    let served = replies.iter().filter(|reply| reply.status == 200).count();
    let most = 5 + 1 + usize::try_from(began.elapsed().as_secs()).expect("a short time");
    assert!((5..=most).contains(&served), "{served} of {most}");
    for refused in replies.iter().filter(|reply| reply.status != 200) {
        assert_ours(refused, 429, "rate_limited");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    let h2 = H2::connect_clear(edge.web()).expect("h2c");
    let refused = h2.get("http://a.test/").expect("an answer");
    assert!([200, 429].contains(&refused.status), "{}", refused.status);
    let mut other = Client::connect_from(IpAddr::from([127, 0, 0, 2]), edge.web());
    assert_eq!(other.get("/").status, 200, "another client");
    let refusals = edge.metric("thalweg_refusals_total", &[("refusal", "rate_limited")]);
    assert_eq!(refusals as usize, 31 + 1 - endpoint.hits(), "{refusals}");
    eventually("it may ask again", SOON, || thalweg_testkit::get(edge.web(), "/").status == 200);
}

#[test]
fn the_rate_is_that_of_the_client_behind_a_proxy() {
    let (edge, _endpoint) =
        edge_with("trusted = [\"127.0.0.1\"]", "[limits]\nrequest_rate = 1\nrequest_burst = 2\n");
    let mut proxy = Client::connect(edge.web());
    let mut ask = |client: &str| {
        let headers = format!("x-forwarded-for: {client}\r\n");
        proxy.ask("GET", "/", &headers, b"").expect("an answer").status
    };
    for nth in 1..=50 {
        assert_eq!(ask(&format!("192.0.2.{nth}")), 200);
    }
    let greedy: Vec<u16> = (0..20).map(|_| ask("203.0.113.1")).collect();
    assert!(
        greedy[..2] == [200, 200] && greedy.iter().filter(|status| **status == 429).count() >= 10,
        "{greedy:?}"
    );
    let one_network: Vec<u16> = (0..20).map(|nth| ask(&format!("2001:db8::{nth}"))).collect();
    assert!(one_network.contains(&429), "one /64: {one_network:?}");
    assert_eq!(ask("2001:db8:0:1::1"), 200, "another /64");
}

/// Bytes per second that a client must send or take.
const PACE: &str = "[limits]\nbody_min_rate = \"16KiB\"\n";

/// Waits for the only line of the access log and checks how the request ended.
fn assert_too_slow(edge: &Edge, word: &str) {
    let line = lines(edge, 1).pop().expect("a line");
    assert_eq!(line[word], "body_too_slow", "{line}");
    assert_eq!(edge.metric("thalweg_connections_shed_total", &[("cause", "body_min_rate")]), 1.0);
}

#[test]
fn a_slow_upload_is_408_and_one_that_keeps_its_pace_is_served() {
    let (edge, endpoint) = edge_with("", PACE);
    let head = "POST /upload HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1000000\r\n\r\n";
    let mut slow = Client::connect(edge.web());
    slow.send(head);
    slow.patience(Duration::from_millis(200));
    let began = Instant::now();
    let reply = loop {
        // 500 bytes per second, never silent.
        slow.send([b'x'; 100]);
        match slow.reply("POST") {
            Ok(reply) => break reply,
            Err(gone) if !gone.closed() && began.elapsed() < Duration::from_secs(20) => {}
            Err(gone) => panic!("{gone}"),
        }
    };
    assert_ours(&reply, 408, "body_too_slow");
    assert_too_slow(&edge, "refusal");
    let mut quick = Client::connect(edge.web());
    let paced = quick.ask("POST", "/upload", "", &vec![b'x'; 100_000]).expect("an answer");
    assert_eq!(paced.status, 200);
    endpoint.behave(Behaviour::Slow(Duration::from_secs(6)));
    let patient = quick.ask("POST", "/upload", "", b"x").expect("an answer");
    assert_eq!(patient.status, 200, "the wait for the endpoint does not count");
}

#[test]
fn a_slow_reader_is_cut_over_http1() {
    // What fits into the kernel's buffers counts for the client, so the pace is high.
    let (edge, _endpoint) = edge_with("", "[limits]\nbody_min_rate = \"1MiB\"\n");
    let mut slow = Client::connect(edge.web());
    slow.send("GET /bytes/200000000 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    slow.head().expect("a head");
    eventually("it is cut", Duration::from_secs(45), || !edge.access_log().is_empty());
    assert_too_slow(&edge, "error");
    assert_eq!(lines(&edge, 1)[0]["status"], 200);
}

/// The preface, SETTINGS with this initial window, and one request with this method (an index of HPACK's static table).
fn h2_request(window: u32, method: u8, ends: bool) -> Vec<u8> {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).expect("a short frame");
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
    let path = b"\x04\x0e/bytes/1000000";
    let block = [&[method, 0x86][..], path, b"\x41\x06a.test"].concat();
    let headers = frame(1, 4 | u8::from(ends), 1, &block);
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(4, 0, 0, &settings)[..], &frame(4, 1, 0, b""), &headers]
        .concat()
}

#[test]
fn streams_of_http2_that_stand_still_end_with_the_same_word() {
    for (method, ends, word) in [(0x82, true, "error"), (0x83, false, "refusal")] {
        let (edge, _endpoint) = edge_with("protocols = [\"h2c\"]", PACE);
        let mut slow = Client::connect(edge.web());
        // Takes 16 KiB of its answer, or sends nothing of its upload.
        slow.send(h2_request(16 * 1024, method, ends));
        eventually("it ends", Duration::from_secs(20), || !edge.access_log().is_empty());
        assert_too_slow(&edge, word);
    }
}
