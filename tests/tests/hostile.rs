//! Endpoints and clients that lie about their messages: nothing ambiguous passes, and one exchange never reaches into the next.

mod common;

use std::time::Duration;

use common::{one, one_with};
use thalweg_testkit::{Behaviour, Client, Endpoint, eventually, get};

const SOON: Duration = Duration::from_secs(5);

#[test]
fn an_unrequested_answer_never_reaches_another_client() {
    let (edge, endpoint) = one();
    let twice = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirstHTTP/1.1 200 OK\r\nx-evil: 1\r\ncontent-length: 4\r\n\r\nevil";
    for _ in 0..10 {
        endpoint.behave(Behaviour::Raw(twice.into()));
        let mut attacker = Client::connect(edge.web());
        let _first = attacker.ask("GET", "/", "", b"");
        endpoint.behave(Behaviour::Serve);
        for _ in 0..3 {
            let reply = get(edge.web(), "/victim");
            assert_eq!((reply.endpoint(), reply.header("x-evil")), ("a", None), "{}", reply.text());
        }
    }
}

#[test]
fn bytes_after_an_answer_without_a_body_are_not_the_next_answer() {
    let (edge, endpoint) = one();
    for (method, head) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 60\r\n\r\n"),
    ] {
        let evil = format!("{head}HTTP/1.1 200 OK\r\nx-evil: 1\r\ncontent-length: 4\r\n\r\nevil");
        endpoint.behave(Behaviour::Raw(evil.into()));
        let _bare = Client::connect(edge.web()).ask(method, "/", "", b"");
        endpoint.behave(Behaviour::Serve);
        for _ in 0..3 {
            let reply = get(edge.web(), "/victim");
            assert_eq!((reply.endpoint(), reply.header("x-evil")), ("a", None), "after {method} {head:?}");
        }
    }
}

#[test]
fn an_answer_with_two_framings_is_not_passed_on_with_two() {
    let (edge, endpoint) = one();
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 3, 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\ncontent-length: 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-a: 1\n2: 3\r\ncontent-length: 3\r\n\r\nabc",
    ] {
        endpoint.behave(Behaviour::RawAndClose(head.into()));
        let mut client = Client::connect(edge.web());
        client.patience(Duration::from_secs(3));
        let shown = match client.ask("GET", "/", "", b"") {
            Ok(reply) if reply.status == 502 => continue,
            Ok(reply) => reply.head,
            Err(gone) => gone.head.unwrap_or_default(),
        };
        assert!(shown.all("content-length").len() <= 1, "{head:?}: {shown:?}");
        let both = shown.header("content-length").is_some() && shown.header("transfer-encoding").is_some();
        assert!(!both, "{head:?}: {shown:?}");
        assert!(
            shown.header("content-length").is_none_or(|n| n.bytes().all(|b| b.is_ascii_digit())),
            "{shown:?}"
        );
        endpoint.behave(Behaviour::Serve);
        assert_eq!(get(edge.web(), "/next").endpoint(), "a");
    }
}

#[test]
fn an_unrequested_upgrade_opens_no_tunnel() {
    let (edge, endpoint) = one();
    let evil =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nraw bytes";
    endpoint.behave(Behaviour::Raw(evil.into()));
    let mut client = Client::connect(edge.web());
    let reply = client.ask("GET", "/", "", b"").expect("an answer of ours");
    assert_eq!(reply.status, 502, "{}", reply.head.line);
    endpoint.behave(Behaviour::Serve);
    assert_eq!(get(edge.web(), "/next").endpoint(), "a");
}

#[test]
fn an_answer_shorter_than_it_said_is_cut_and_its_connection_is_not_reused() {
    let (edge, endpoint) = one();
    endpoint.behave(Behaviour::RawAndClose("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this".into()));
    let cut =
        Client::connect(edge.web()).ask("GET", "/", "", b"").expect_err("a cut answer must not look whole");
    assert!(cut.closed() && cut.body.len() <= 9, "{cut}");
    endpoint.behave(Behaviour::RawAndClose(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n".into(),
    ));
    let cut =
        Client::connect(edge.web()).ask("GET", "/", "", b"").expect_err("nor must chunks without their end");
    assert!(cut.closed(), "{cut}");
    endpoint.behave(Behaviour::Serve);
    assert_eq!(get(edge.web(), "/next").endpoint(), "a");
}

#[test]
fn broken_chunks_of_a_client_end_its_request_at_the_endpoint_too() {
    let (edge, endpoint) = one();
    for bad in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nx",
        "5\r\nhelloXX0\r\n\r\n",
    ] {
        let before = endpoint.hits();
        let mut client = Client::connect(edge.web());
        client.patience(SOON);
        client.send(format!("POST /upload HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{bad}"));
        match client.reply("POST") {
            Ok(reply) => assert!(reply.status >= 400, "{bad:?}: {}", reply.head.line),
            Err(gone) => assert!(gone.closed(), "{bad:?}: {gone}"),
        }
        assert!(endpoint.requests()[before..].iter().all(|seen| !seen.complete), "{bad:?} looked whole");
        assert_eq!(get(edge.web(), "/next").endpoint(), "a");
    }
}

#[test]
fn a_declared_body_that_never_comes_whole_is_never_whole_at_the_endpoint() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    client.send("POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf");
    client.half_close();
    let _any_answer = client.reply("POST");
    eventually("the endpoint's connection ends", SOON, || {
        endpoint.requests().iter().all(|seen| !seen.complete)
    });
    for _ in 0..5 {
        assert_eq!(get(edge.web(), "/next").endpoint(), "a");
    }
}

#[test]
fn fields_of_the_edge_cannot_be_forged_with_other_spellings() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    let fields = "X_Forwarded_For: 6.6.6.6\r\nx-forwarded-for : 6.6.6.6\r\n";
    if let Ok(reply) = client.ask("GET", "/", fields, b"")
        && reply.status == 200
    {
        let seen = endpoint.only();
        assert_eq!(seen.head.all("x-forwarded-for"), ["127.0.0.1"]);
    }
}

#[test]
fn invalid_methods_and_targets_are_refused() {
    let (edge, endpoint) = one();
    for line in [
        "GE T / HTTP/1.1",
        "G\x01T / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\x01 HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/3.0",
        "GET / http/1.1",
        "GET a HTTP/1.1",
        "GET * HTTP/1.1",
        "GET http:// HTTP/1.1",
        "GET",
    ] {
        let before = endpoint.hits();
        let mut client = Client::connect(edge.web());
        client.patience(SOON);
        client.send(format!("{line}\r\nhost: x\r\n\r\n"));
        client.half_close();
        match client.reply("GET") {
            Ok(reply) => assert!((400..=505).contains(&reply.status), "{line:?}: {}", reply.head.line),
            Err(gone) => assert!(gone.closed(), "{line:?}: {gone}"),
        }
        assert_eq!(endpoint.hits(), before, "forwarded: {line:?}");
    }
}

#[test]
fn options_star_and_odd_methods_pass_or_are_refused_but_never_break() {
    let (edge, endpoint) = one();
    for line in [
        "OPTIONS * HTTP/1.1",
        "PROPFIND / HTTP/1.1",
        "X-CUSTOM / HTTP/1.1",
        "GET /ä HTTP/1.1",
        "GET /?q=ä HTTP/1.1",
    ] {
        let mut client = Client::connect(edge.web());
        client.patience(SOON);
        client.send(format!("{line}\r\nhost: x\r\n\r\n"));
        let reply = client.reply("GET").unwrap_or_else(|gone| panic!("{line}: {gone}"));
        assert!(reply.status == 200 || (400..=405).contains(&reply.status), "{line}: {}", reply.head.line);
    }
    assert!(endpoint.requests().iter().all(|seen| seen.head.line.split(' ').count() == 3));
}

#[test]
fn a_thousand_malformed_openings_leave_the_edge_healthy() {
    let (edge, endpoint) = one_with("timeouts = { idle = \"2s\" }");
    let good = "POST /upload HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    // A fixed seed: the same thousand inputs on every run.
    let mut state = 0x5eed_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap_or(0)
    };
    for _ in 0..1000 {
        let mut bytes = good.as_bytes().to_vec();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            match next(3) {
                0 => bytes[at] = u8::try_from(next(256)).unwrap_or(0),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, [b'\r', b'\n', b' ', b':', 0, b'0'][next(6)]),
            }
        }
        let mut client = Client::connect(edge.web());
        client.send(&bytes);
        client.half_close();
        drop(client);
    }
    assert_eq!(get(edge.web(), "/well").endpoint(), "a");
    for seen in endpoint.requests() {
        let raw = String::from_utf8_lossy(&seen.head.raw).into_owned();
        assert_eq!(seen.head.all("host").len(), 1, "{raw}");
        assert!(
            !(seen.header("content-length").is_some() && seen.header("transfer-encoding").is_some()),
            "{raw}"
        );
        assert!(seen.header("via").is_some(), "{raw}");
    }
    assert_eq!(edge.metric("thalweg_task_restarts_total", &[]), 0.0);
    eventually("every connection ends", Duration::from_secs(15), || {
        edge.metric("thalweg_connections", &[]) <= 1.0
    });
    let _kept: &Endpoint = &endpoint;
}
