//! What hostile and broken clients get: heads, lengths and frames that break the rules, floods, and streams that stand
//! still.

use std::time::Duration;

use serde_json::{Value, json};
use thalweg_testkit::{Behaviour, eventually};

use super::{
    SOON,
    site::{H3Client, H3Site},
};

const MESSAGE_ERROR: u64 = 0x10e;
const REJECTED: u64 = 0x107;

fn head(fields: &[(&str, &str)]) -> Value {
    json!(fields)
}

#[test]
fn malformed_heads_are_refused_and_only_their_stream_ends() {
    let Some(site) = H3Site::start("malformed heads over HTTP/3", "", "") else { return };
    let mut client = site.connected();
    let good = [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")];
    let with = |more: &[(&str, &str)]| head(&[&good[..], more].concat());
    let without =
        |name: &str| head(&good.iter().copied().filter(|(have, _)| *have != name).collect::<Vec<_>>());
    for raw in [
        with(&[("X-Upper", "1")]),
        with(&[("bad name", "1")]),
        with(&[("x", "a\r\nb: c")]),
        with(&[("x", "a\0b")]),
        with(&[(":unknown", "1")]),
        with(&[("connection", "close")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("te", "gzip")]),
        with(&[("content-length", "5")]),
        with(&[("content-length", "+0")]),
        with(&[("host", "b.test")]),
        without(":method"),
        without(":path"),
        without(":authority"),
        head(&[(":method", "G T"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")]),
        head(&[(":method", "GET"), (":scheme", "https"), (":authority", "a@b@c"), (":path", "/")]),
        head(&[(":method", "GET"), (":scheme", "https"), (":authority", ""), (":path", "/")]),
        head(&[
            (":method", "CONNECT"),
            (":scheme", "https"),
            (":authority", "a.test"),
            (":path", "/"),
            (":protocol", "websocket"),
        ]),
    ] {
        let answer = client.ask(json!({ "raw": raw }));
        let refused = answer["status"] == 400 || answer["reset"] == MESSAGE_ERROR;
        assert!(refused && answer["closed"].is_null(), "{raw}: {answer}");
    }
    assert_eq!(site.endpoint.hits(), 0, "none of them reached an endpoint");
    assert_eq!(client.ask(json!({}))["status"], json!(200), "the connection goes on");
    eventually("each of them has its line", SOON, || {
        let refused = |line: &&Value| line["protocol"] == "HTTP/3.0" && line["status"] == 400;
        site.edge.access_log().iter().filter(refused).count() == 18
    });
}

#[test]
fn a_body_must_be_as_long_as_it_says() {
    let Some(site) = H3Site::start("lengths over HTTP/3", "", "") else { return };
    let mut client = site.connected();
    for (size, length) in [(10, "20"), (20, "10")] {
        let ask = json!({
            "method": "POST", "path": "/upload", "size": size, "headers": [["content-length", length]],
        });
        let answer = client.ask(ask);
        assert_ne!(answer["status"], json!(200), "{size} for {length}: {answer}");
        assert!(answer["closed"].is_null(), "{answer}");
    }
    assert!(site.endpoint.requests().iter().all(|seen| !seen.complete), "{:?}", site.endpoint.requests());
    // A DATA frame of 100 bytes that the end of the stream cuts after five.
    let stream = client.begin(json!({ "method": "POST", "path": "/upload", "ends": false }));
    client.tell(json!({ "do": "bytes", "stream": stream, "hex": "0040640102030405", "ends": true }));
    let answer = client.tell(json!({ "do": "await", "stream": stream }));
    assert_ne!(answer["status"], json!(200), "{answer}");
    assert!(site.endpoint.requests().iter().all(|seen| !seen.complete));
    assert_eq!(client.ask(json!({}))["status"], json!(200), "the connection goes on");
}

#[test]
fn no_frame_but_content_may_be_long() {
    let Some(site) = H3Site::start("long frames over HTTP/3", "", "") else { return };
    let mut client = site.connected();
    // A HEADERS frame of a gigabyte, as trailers: the stream ends before any of it is kept.
    let stream = client.begin(json!({ "method": "POST", "path": "/upload", "size": 1, "ends": false }));
    client.tell(json!({ "do": "bytes", "stream": stream, "hex": format!("01c0000000{:08x}", 1_u32 << 30) }));
    let answer = client.tell(json!({ "do": "await", "stream": stream }));
    assert_ne!(answer["status"], json!(200), "{answer}");
    assert_eq!(client.ask(json!({}))["status"], json!(200), "the connection goes on");
}

#[test]
fn a_flood_of_resets_ends_the_connection() {
    let Some(site) =
        H3Site::start("rapid resets over HTTP/3", "[limits]\nh2 = { streams = 50, resets = 20 }", "")
    else {
        return;
    };
    site.endpoint.behave(Behaviour::Hang);
    let mut flooding = site.connected();
    let said = flooding.tell(json!({ "do": "flood", "count": 45 }));
    assert_eq!(said["closed"], json!(REJECTED), "{said}");
    let labels = [("listener", "secure"), ("cause", "http3_flood")];
    assert!(site.edge.metric("thalweg_connections_shed_total", &labels) > 0.5);
    site.endpoint.behave(Behaviour::Serve);
    assert_eq!(site.connected().ask(json!({}))["status"], json!(200), "others are served");
}

#[test]
fn uploads_that_stand_still_do_not_take_the_room_of_others() {
    let Some(site) = H3Site::start("stuck uploads over HTTP/3", "[limits]\nh2 = { streams = 20 }", "") else {
        return;
    };
    site.endpoint.behave(Behaviour::Hang);
    let mut client = site.connected();
    let before = site.edge.rss();
    for _ in 0..10 {
        client.begin(json!({ "method": "POST", "path": "/upload", "size": 1 << 20 }));
    }
    eventually("the requests are there", SOON, || {
        site.edge.metric("thalweg_endpoint_in_flight", &[("pool", "p0")]) > 9.5
    });
    site.endpoint.behave(Behaviour::Serve);
    let answer = client.ask(json!({ "method": "POST", "path": "/echo", "size": 1 << 20 }));
    assert_eq!((&answer["status"], &answer["same"]), (&json!(200), &json!(true)), "{answer}");
    let grown = site.edge.rss().saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes for ten stuck uploads of 1 MiB");
}

#[test]
fn a_head_that_never_ends_is_given_up() {
    let Some(site) = H3Site::start("slow heads over HTTP/3", "[limits]\nheader_timeout = \"1s\"", "") else {
        return;
    };
    let mut client = site.connected();
    client.ask(json!({}));
    // A stream whose HEADERS frame lacks its end.
    let stream = client.tell(json!({ "do": "open", "hex": "0140640000" }))["stream"].clone();
    let answer = client.tell(json!({ "do": "await", "stream": stream }));
    assert_eq!((&answer["status"], &answer["over"]), (&json!(0), &json!(false)), "{answer}");
    let timeouts = || site.edge.access_log().iter().filter(|line| line["status"] == 408).count();
    eventually("it is logged", SOON, || timeouts() == 1);
    assert_eq!(client.ask(json!({}))["status"], json!(200), "the connection goes on");
}

#[test]
fn datagrams_that_are_not_quic_change_nothing() {
    let Some(site) = H3Site::start("noise over UDP", "", "") else { return };
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for first in [0x00_u8, 0x40, 0x80, 0xc0, 0xff] {
        for length in [1, 3, 20, 1200, 1400] {
            let mut noise = vec![0xa5; length];
            noise[0] = first;
            for number in [[0, 0], [0, 1], [0xff, 0xff]] {
                if length > 3 {
                    noise[1..3].copy_from_slice(&number);
                }
                socket.send_to(&noise, site.edge.addr("secure")).expect("a datagram can be sent");
            }
        }
    }
    let mut client = site.connected();
    assert_eq!(client.ask(json!({}))["status"], json!(200));
    eventually("nothing of it counts as a connection", Duration::from_secs(15), || {
        site.edge.metric("thalweg_connections", &[("listener", "secure")]) < 1.5
    });
}

#[test]
fn an_answer_that_its_client_does_not_take_is_cut_and_kept_in_little_memory() {
    let idle = "timeouts = { idle = \"1s\" }";
    let Some(site) = H3Site::start("stuck answers over HTTP/3", "", idle) else { return };
    let mut client = H3Client::new(&site);
    let said = client.tell(json!({ "do": "connect", "stuck": true }));
    assert_eq!(said["connected"], json!(true), "{said}");
    let before = site.edge.rss();
    let streams: Vec<u64> = (0..20).map(|_| client.begin(json!({ "path": "/bytes/10000000" }))).collect();
    for stream in streams {
        let answer = client.tell(json!({ "do": "await", "stream": stream }));
        assert_eq!((&answer["over"], &answer["reset"]), (&json!(false), &json!(0x102)), "{answer}");
    }
    let grown = site.edge.peak_rss().saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes for twenty answers that stand still");
    let labels = [("listener", "secure"), ("code_class", "client_gone")];
    eventually("counted", SOON, || (site.edge.metric("thalweg_requests_total", &labels) - 20.0).abs() < 1e-9);
    assert_eq!(site.connected().ask(json!({}))["status"], json!(200), "others are served");
}

#[test]
fn many_handshakes_at_once_must_prove_their_addresses() {
    let limits = "[limits]\nheader_timeout = \"3s\"";
    let Some(site) = H3Site::start("handshakes over QUIC", limits, "") else { return };
    let said = H3Client::new(&site).tell(json!({ "do": "attempts", "count": 250 }));
    let retries = said["retries"].as_u64().expect("a count");
    // 64 for each of the two workers are answered without.
    assert!((250 - 128..=250 - 64).contains(&retries), "{said}");
    assert_eq!(site.connected().ask(json!({}))["status"], json!(200), "a client that proves it is served");
    let labels = [("listener", "secure"), ("reason", "timeout")];
    eventually("the others are given up", SOON, || {
        site.edge.metric("thalweg_tls_handshake_failures_total", &labels) > 63.5
    });
}
