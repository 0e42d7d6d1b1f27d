//! Bodies over HTTP/1.1: how they end, what happens when a client leaves in the middle, and upgraded streams.

use std::time::Duration;

use thalweg_testkit::{Behaviour, Client, Endpoint, eventually, eventually_some, get};

use crate::{
    SOON,
    common::{assert_ours, one, one_with},
};

const UPGRADE: &str = "host: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n";

#[test]
fn head_204_and_304_have_no_body_and_the_connection_goes_on() {
    let (edge, _endpoint) = one();
    let mut client = Client::connect(edge.web());
    let head = client.ask("HEAD", "/bytes/1000", "", b"").expect("an answer");
    assert_eq!((head.status, head.header("content-length")), (200, Some("1000")));
    for status in [204, 304] {
        let reply = client.get(&format!("/status/{status}"));
        assert_eq!((reply.status, reply.header("etag")), (status, Some("\"e\"")));
        assert_eq!(reply.header("transfer-encoding"), None);
    }
    assert_eq!(client.get("/bytes/10").body.len(), 10);
}

#[test]
fn chunked_bodies_pass_both_ways() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    assert_eq!(client.get("/chunked/500000").body.len(), 500_000);
    let body = b"5\r\nhello\r\n7;ext=1\r\n, world\r\n0\r\n\r\n";
    let reply = client.ask("POST", "/echo", "transfer-encoding: chunked\r\n", body).expect("an answer");
    assert_eq!(reply.text(), "hello, world");
    let seen = endpoint.requests().pop().expect("a request");
    assert_eq!((seen.body_len, seen.body_hash), (12, Endpoint::hash(b"hello, world")));
    assert!(seen.header("content-length").is_none(), "never both");
}

#[test]
fn trailers_of_the_endpoint_reach_the_client() {
    let (edge, _endpoint) = one();
    let mut client = Client::connect(edge.web());
    let reply = client.ask("GET", "/trailers", "te: trailers\r\n", b"").expect("an answer");
    assert_eq!(reply.text(), "hello");
    assert!(reply.trailers.contains(&("x-sum".to_owned(), "42".to_owned())), "{:?}", reply.trailers);
}

#[test]
fn a_body_that_ends_with_the_connection_passes_whole() {
    let (edge, _endpoint) = one();
    let mut client = Client::connect(edge.web());
    assert_eq!(client.get("/until-close/200000").body.len(), 200_000);
    assert_eq!(client.get("/bytes/5").body.len(), 5);
}

#[test]
fn an_expectation_is_answered_here_and_not_forwarded() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    client.send("POST /upload HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n");
    let interim = client.head().expect("an interim answer");
    assert_eq!(interim.word(1), "100");
    client.send("abc");
    assert_eq!(client.reply("POST").expect("an answer").json()["bytes"], 3);
    assert_eq!(endpoint.only().header("expect"), None);
}

#[test]
fn an_early_answer_reaches_the_client_before_its_upload_ends() {
    let (edge, endpoint) = one();
    endpoint.behave(Behaviour::EarlyAnswer(403));
    let mut client = Client::connect(edge.web());
    client.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000\r\n\r\n");
    client.send(vec![0; 10_000]);
    let reply = client.reply("POST").expect("the answer, before the upload is over");
    assert_eq!((reply.status, reply.endpoint()), (403, "a"));
}

#[test]
fn a_client_that_leaves_ends_the_request_at_the_endpoint() {
    let (edge, endpoint) = one();
    endpoint.behave(Behaviour::Hang);
    let mut client = Client::connect(edge.web());
    client.send("GET / HTTP/1.1\r\nhost: x\r\nx-request-id: leaver\r\n\r\n");
    eventually("the endpoint has the request", SOON, || endpoint.hits() == 1);
    client.reset();
    eventually("the endpoint sees the end", SOON, || endpoint.abandoned() == 1);
    eventually("the request is counted", SOON, || {
        edge.metric("thalweg_requests_total", &[("code_class", "client_gone")]) == 1.0
    });
    edge.logged("leaver");
}

#[test]
fn a_client_that_leaves_during_its_upload_is_not_counted_as_refused() {
    let (edge, _endpoint) = one();
    for (nth, framing) in
        ["content-length: 1000\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"]
            .iter()
            .enumerate()
    {
        let id = format!("upload-{nth}");
        let mut client = Client::connect(edge.web());
        client.send(format!("POST / HTTP/1.1\r\nhost: x\r\nx-request-id: {id}\r\n{framing}"));
        eventually("the upload is under way", SOON, || edge.metric("thalweg_endpoint_in_flight", &[]) == 1.0);
        client.reset();
        let line = edge.logged(&id);
        assert_eq!((line["status"].as_u64(), &line["client_gone"]), (Some(0), &true.into()), "{line}");
        assert!(line["refusal"].is_null() && line["error"].is_null(), "{line}");
    }
    let page = edge.metrics();
    let gone = page.sum("thalweg_requests_total", &[("code_class", "client_gone")]);
    let refused = page.sum("thalweg_refusals_total", &[]);
    assert_eq!((gone, refused, page.sum("thalweg_requests_total", &[])), (2.0, 0.0, 2.0));
    let outcome = |what| page.sum("thalweg_endpoint_requests_total", &[("outcome", what)]);
    assert_eq!((outcome("client_gone"), outcome("reset")), (2.0, 0.0));
    let mut client = Client::connect(edge.web());
    client.send("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n");
    assert_ours(&client.reply("POST").expect("an answer"), 400, "bad_request");
}

#[test]
fn a_client_that_half_closes_still_gets_its_answer() {
    let (edge, endpoint) = one();
    endpoint.behave(Behaviour::Slow(Duration::from_millis(200)));
    let mut client = Client::connect(edge.web());
    client.send("GET /bytes/9 HTTP/1.1\r\nhost: x\r\n\r\n");
    client.half_close();
    assert_eq!(client.reply("GET").expect("an answer").body.len(), 9);
}

#[test]
fn a_client_that_closes_its_websocket_closes_it_at_the_endpoint_too() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    client.send(format!("GET /ws HTTP/1.1\r\n{UPGRADE}\r\n"));
    assert_eq!(client.head().expect("a head").word(1), "101");
    client.send(b"hello");
    client.until(b"hello");
    let before = endpoint.open_connections();
    drop(client);
    eventually("the endpoint sees the close", SOON, || endpoint.open_connections() < before);
    let line = eventually_some("the line of the log", SOON, || {
        edge.access_log().into_iter().find(|line| line["status"] == 101)
    });
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&5.into(), &5.into()), "{line}");
    assert!(line["error"].is_null(), "{line}");
}

#[test]
fn a_websocket_passes_after_the_101() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    client.send(format!("GET /ws HTTP/1.1\r\n{UPGRADE}\r\n"));
    let head = client.head().expect("a head");
    assert_eq!(
        (head.word(1), head.header("sec-websocket-accept")),
        ("101", Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
    );
    for word in ["ping", "\x00\x01\r\n\r\nnot http", "bye"] {
        client.send(word);
        assert_eq!(client.until(word.as_bytes()), word.as_bytes());
    }
    drop(client);
    eventually("the endpoint's side ends too", SOON, || endpoint.requests().len() == 1);
}

#[test]
fn bytes_sent_before_the_101_are_not_passed_through_when_it_is_denied() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 6.6.6.6\r\n\r\n";
    client.send(format!("GET /no-ws HTTP/1.1\r\n{UPGRADE}\r\n{smuggled}"));
    assert_eq!(client.reply("GET").expect("the denial").status, 200);
    // At most one more request, with the edge's fields, follows; never raw bytes on the endpoint's connection.
    let _either_way = client.reply("GET");
    for seen in endpoint.requests().iter().filter(|seen| seen.target() == "/smuggled") {
        assert!(seen.header("via").is_some(), "passed through unread");
        assert!(!seen.head.all("x-forwarded-for").contains(&"6.6.6.6"), "passed through unread");
    }
}

#[test]
fn server_sent_events_are_not_held_back() {
    let (edge, _endpoint) = one();
    let mut client = Client::connect(edge.web());
    client.send("GET /sse HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n");
    client.until(b"data: 0");
    client.until(b"data: 1");
    client.until(b"data: 4");
}

#[test]
fn a_slow_upload_is_bounded_by_idle_and_a_steady_one_is_not() {
    let (edge, _endpoint) = one_with("timeouts = { idle = \"500ms\" }");
    let mut steady = Client::connect(edge.web());
    steady.send("POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\n");
    for _ in 0..8 {
        let _pace = steady.ends(Duration::from_millis(150));
        steady.send("x");
    }
    steady.patience(SOON);
    assert_eq!(steady.reply("POST").expect("an answer").status, 200);
    let mut stalled = Client::connect(edge.web());
    stalled.send("POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nx");
    match stalled.reply("POST") {
        Ok(reply) => assert!([408, 504].contains(&reply.status), "{}", reply.head.line),
        Err(gone) => assert!(gone.closed(), "{gone}"),
    }
}

#[test]
fn an_unread_upload_never_leaks_into_the_next_request() {
    let (edge, endpoint) = one();
    endpoint.behave(Behaviour::EarlyAnswer(400));
    let inner = "GET /leaked HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut client = Client::connect(edge.web());
    client
        .send(format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{inner}", inner.len() + 5000));
    let _early = client.reply("POST");
    endpoint.behave(Behaviour::Serve);
    // After this time an idle connection would be parked.
    std::thread::sleep(Duration::from_millis(300));
    let _closed_already_is_fine = client.try_send(inner);
    for _ in 0..10 {
        assert_eq!(get(edge.web(), "/next").status, 200);
    }
    assert!(endpoint.requests().iter().all(|seen| seen.target() != "/leaked"));
}
