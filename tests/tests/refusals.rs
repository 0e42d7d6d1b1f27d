//! Requests that the edge refuses: its answer to each, and the proof that no byte of them reaches an endpoint.

mod common;

use std::time::Duration;

use common::{assert_ours, assert_refused, one, one_with, why};
use thalweg_testkit::{Client, Conf, Edge, Endpoint, eventually_some, get};

const SOON: Duration = Duration::from_secs(5);

/// Sends these bytes on a connection of their own: refused with one of these statuses, closed, and nothing forwarded.
fn refused_and_closed(edge: &Edge, endpoint: &Endpoint, bytes: &[u8], allowed: &[u16]) {
    let what = String::from_utf8_lossy(bytes).into_owned();
    let before = endpoint.hits();
    let mut client = Client::connect(edge.web());
    client.send(bytes);
    let answer = client.reply("GET");
    assert_refused(answer, allowed, &what);
    assert!(client.ends(SOON), "still open after {what:?}");
    assert_eq!(endpoint.hits(), before, "forwarded: {what:?}");
}

#[test]
fn a_bad_host_is_400_and_closes() {
    let (edge, endpoint) = one();
    for bad in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: user@a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a:port\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a:99999\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a, b\r\n\r\n",
    ] {
        refused_and_closed(&edge, &endpoint, bad.as_bytes(), &[400]);
    }
}

#[test]
fn a_bad_request_is_answered_and_logged_under_one_id() {
    let (edge, _endpoint) = one();
    let mut client = Client::connect(edge.web());
    client.send("GET / HTTP/1.1\r\nhost: a b\r\nx-request-id: bad-host\r\n\r\n");
    let reply = client.reply("GET").expect("an answer");
    assert_ours(&reply, 400, "bad_request");
    let line = edge.logged(reply.header("x-request-id").expect("an id"));
    assert_eq!((line["status"].as_u64(), why(&line)), (Some(400), "bad_request"), "{line}");
}

#[test]
fn ambiguous_framing_is_never_forwarded_as_it_came() {
    let (edge, endpoint) = one();
    for bad in [
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcd",
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4, 5\r\n\r\nabcd",
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4, 4\r\n\r\nabcd",
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ncontent-length: 4\r\n\r\nabcd",
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 04\r\n\r\nabcd",
        "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: +4\r\n\r\nabcd",
        "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\nhost: x\n\n",
        "GET / HTTP/1.1\r\nhost: x\r\nx-a: 1\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\n x-folded: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nx-nul: a\0b\r\n\r\n",
    ] {
        let before = endpoint.hits();
        let mut client = Client::connect(edge.web());
        client.patience(Duration::from_secs(3));
        client.send(bad);
        client.half_close();
        let _any_answer = client.reply("POST");
        for seen in &endpoint.requests()[before..] {
            let raw = String::from_utf8_lossy(&seen.head.raw).into_owned();
            let both = seen.header("content-length").is_some() && seen.header("transfer-encoding").is_some();
            assert!(!both, "{bad:?} was forwarded with both:\n{raw}");
            assert!(seen.head.all("content-length").len() <= 1, "{bad:?}:\n{raw}");
            assert!(
                !raw.replace("\r\n", "").contains(['\n', '\r', '\0']),
                "{bad:?} was forwarded raw:\n{raw}"
            );
            assert!(
                seen.header("content-length").is_none_or(|n| n.bytes().all(|b| b.is_ascii_digit())),
                "{raw}"
            );
            let coding = seen.header("transfer-encoding");
            assert!(coding.is_none_or(|coding| coding == "chunked"), "{bad:?}:\n{raw}");
        }
    }
}

#[test]
fn encoded_slashes_backslashes_and_nul_are_400() {
    let (edge, endpoint) = one();
    for path in ["/a%2Fb", "/a%2fb", "/a%5Cb", "/a%5cb", "/a%00b", "/%2e%2e%2fetc"] {
        let mut client = Client::connect(edge.web());
        let reply = client.ask("GET", path, "", b"").expect("an answer");
        assert_ours(&reply, 400, "bad_request");
    }
    assert_eq!(endpoint.hits(), 0);
    assert_eq!(get(edge.web(), "/a?q=%2F%5C").status, 200, "the query is not checked");
}

#[test]
fn connect_and_trace_are_405() {
    let (edge, endpoint) = one();
    for (method, target) in [("CONNECT", "api.test:443"), ("TRACE", "/")] {
        let mut client = Client::connect(edge.web());
        let reply = client.ask(method, target, "host: api.test\r\n", b"").expect("an answer");
        assert_eq!(reply.status, 405, "{method}");
        assert!(reply.header("proxy-status").is_some() && reply.json()["error"].is_string(), "{method}");
    }
    assert_eq!(endpoint.hits(), 0);
}

#[test]
fn a_body_over_the_limit_is_413_declared_or_streamed() {
    let (edge, endpoint) = one_with("body_bytes = \"10KiB\"");
    let mut client = Client::connect(edge.web());
    client.send("POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 10241\r\n\r\n");
    assert_ours(&client.reply("POST").expect("an answer"), 413, "body_too_large");
    assert_eq!(endpoint.hits(), 0, "a declared length needs no endpoint");
    let mut client = Client::connect(edge.web());
    client.send("POST /upload HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
    for _ in 0..12 {
        client.send(format!("400\r\n{}\r\n", "x".repeat(1024)));
    }
    assert_ours(&client.reply("POST").expect("an answer"), 413, "body_too_large");
    assert!(endpoint.requests().iter().all(|seen| !seen.complete), "the endpoint must not take it for whole");
    let mut client = Client::connect(edge.web());
    assert_eq!(client.ask("POST", "/upload", "", &[7; 10_240]).expect("an answer").json()["bytes"], 10_240);
}

#[test]
fn heads_over_the_limit_are_431_and_414() {
    let (edge, endpoint) = one();
    let big = format!("GET / HTTP/1.1\r\nhost: x\r\nx-big: {}\r\n\r\n", "a".repeat(20_000));
    refused_and_closed(&edge, &endpoint, big.as_bytes(), &[431]);
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    refused_and_closed(
        &edge,
        &endpoint,
        format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes(),
        &[431],
    );
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(70_000));
    refused_and_closed(&edge, &endpoint, long.as_bytes(), &[414]);
    let fits = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(6_000));
    let mut client = Client::connect(edge.web());
    client.send(fits);
    assert_eq!(client.reply("GET").expect("an answer").status, 200);
}

#[test]
fn requests_refused_at_the_head_are_answered_counted_and_logged_alike() {
    let endpoint = Endpoint::start("a");
    let long = |length: usize| format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(length));
    let fields = format!("GET / HTTP/1.1\r\nhost: x\r\nx-big: {}\r\n\r\n", "a".repeat(20_000));
    let (odd, fine) = ("GE T / HTTP/1.1\r\nhost: x\r\n\r\n", "GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    let upload = |host: &str, declared: u64| {
        let rest = "a".repeat(100_000);
        format!("POST / HTTP/1.1\r\nhost: {host}\r\ncontent-length: {declared}\r\n\r\n{rest}")
    };
    // The pieces to send; how many answers of the endpoint come first; the status of the last answer, and its reason.
    for (limit, pieces, before, status, word) in [
        ("16KiB", vec![long(17_000)], 0, 414, "uri_too_long"),
        ("16KiB", vec![long(70_000)], 0, 414, "uri_too_long"),
        ("16KiB", vec![fine.to_owned(), long(17_000)], 1, 414, "uri_too_long"),
        ("200KiB", vec![long(300_000)], 0, 414, "uri_too_long"),
        ("16KiB", vec![fields.clone()], 0, 431, "headers_too_large"),
        ("16KiB", vec![fine.to_owned(), fields], 1, 431, "headers_too_large"),
        ("16KiB", vec![odd.to_owned()], 0, 400, "bad_request"),
        ("16KiB", vec![fine.to_owned(), odd.to_owned()], 1, 400, "bad_request"),
        ("16KiB", vec![format!("{fine}{odd}")], 1, 400, "bad_request"),
        ("16KiB", vec![format!("{fine}{fine}{odd}")], 2, 400, "bad_request"),
        ("16KiB", vec![upload("a b", 100_000)], 0, 400, "bad_request"),
        ("16KiB", vec![fine.to_owned(), upload("x", 99_999_999)], 1, 413, "body_too_large"),
    ] {
        let conf = Conf::simple("failover", &[endpoint.addr()]);
        let edge = Edge::start(&conf.raw(&format!("[limits]\nheader_bytes = \"{limit}\"")));
        let what = format!("{limit} {word} after {before} in {} pieces", pieces.len());
        let mut client = Client::connect(edge.web());
        let (mut answers, mut last) = (Vec::new(), 0);
        let count = pieces.len();
        for (nth, piece) in pieces.into_iter().enumerate() {
            // The edge may answer before the whole request is sent.
            let _ = client.try_send(piece);
            if nth + 1 < count {
                answers.push(client.reply("GET").expect("an answer").status);
            }
        }
        while answers.len() <= before {
            let reply = client.reply("GET").unwrap_or_else(|gone| panic!("{what}: {gone}"));
            (answers, last) = ([answers, vec![reply.status]].concat(), reply.text().len());
        }
        assert_eq!(answers, [vec![200; before], vec![status]].concat(), "{what}");
        assert!(client.ends(SOON), "{what}: still open");
        let line = eventually_some(&what, SOON, || {
            edge.access_log().into_iter().find(|line| line["refusal"].is_string())
        });
        assert_eq!((why(&line), line["status"].as_u64()), (word, Some(u64::from(status))), "{what}: {line}");
        assert_eq!(line["bytes_out"], last, "{what}: {line}");
        assert_eq!(edge.access_log().len(), before + 1, "{what}");
        assert_eq!(edge.metric("thalweg_refusals_total", &[("refusal", word)]), 1.0, "{what}");
        assert_eq!(edge.metric("thalweg_requests_total", &[("code_class", "4xx")]), 1.0, "{what}");
    }
}

#[test]
fn a_head_that_does_not_end_is_408_and_an_idle_connection_just_closes() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::simple("failover", &[endpoint.addr()])
        .raw("[limits]\nheader_timeout = \"400ms\"\nidle_timeout = \"600ms\"");
    let edge = Edge::start(&conf);
    let mut slow = Client::connect(edge.web());
    slow.send("GET / HTTP/1.1\r\nhost: x\r\n");
    match slow.reply("GET") {
        Ok(reply) => {
            assert_eq!(reply.status, 408);
            let line = eventually_some("the 408 is logged", SOON, || edge.access_log().pop());
            assert_eq!(line["bytes_out"], reply.text().len(), "{line}");
        }
        Err(gone) => panic!("no 408: {gone}"),
    }
    assert!(slow.ends(SOON));
    let mut idle = Client::connect(edge.web());
    idle.get("/");
    let began = std::time::Instant::now();
    assert!(idle.ends(SOON), "an idle connection stays");
    assert!(began.elapsed() > Duration::from_millis(300), "closed too soon: {:?}", began.elapsed());
    let mut silent = Client::connect(edge.web());
    assert!(silent.ends(SOON), "a silent connection stays");
    assert_eq!(endpoint.hits(), 1);
}
