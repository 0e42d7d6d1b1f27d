//! Framing, length and trailers of a message in one protocol become those of the other protocol, and nothing is added.

use std::{io::Write, net::SocketAddr};

use thalweg_edge::shared::telemetry::{ENDPOINT_REQUESTS, IN_FLIGHT, REQUESTS};

use crate::{
    h2c::H2c,
    support::{BOTH, DataPlane, OK, in_order, one_pool, soon},
    uploads::{answers_each, answers_heads, connect, head},
};

#[test]
fn an_upload_that_its_client_resets_without_a_complaint_is_not_whole() {
    let (port, seen) = answers_heads("");
    let plane = DataPlane::start(&format!("{BOTH}{}", one_pool(&[port], "")));
    let head = [(":method", "PUT"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    for (nth, length) in [None, Some(("content-length", "100")), None].into_iter().enumerate() {
        let mut client = H2c::connect(&plane);
        let fields: Vec<_> = head.into_iter().chain(length).collect();
        client.head(1, false, &fields);
        soon("the head has arrived", || seen.try_iter().any(|(_, text)| text.contains("PUT / ")));
        // DATA, and RST_STREAM with NO_ERROR.
        client.send_all(&[(0, 0, 1, b"abc"), (3, 0, 1, &[0; 4])]);
        soon("the request is over", || plane.counted(&IN_FLIGHT, &[]) == 0);
        soon("the request is counted", || plane.counted(&REQUESTS, &["client_gone"]) == nth as u64 + 1);
    }
    assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["reset"]), 0);
    assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["client_gone"]), 3);
    plane.drain();
    let rest: String = seen.try_iter().map(|(_, text)| text).collect();
    assert!(!rest.contains("\r\n0\r\n"), "{rest}");
}

#[test]
fn http_2_requests_become_equivalent_http_1_requests() {
    let (port, seen) = answers_heads(OK);
    let plane = DataPlane::start(&format!("{BOTH}{}", one_pool(&[port], "")));
    let mut client = H2c::connect(&plane);
    let star = [(":method", "OPTIONS"), (":scheme", "http"), (":authority", "a"), (":path", "*")];
    client.head(1, true, &star);
    assert_eq!(client.status(1), "200");
    let twice = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    let length = ("content-length", "5");
    client.head(3, false, &[&twice[..], &[length]].concat());
    client.send(0, 1, 3, b"hello");
    assert_eq!(client.status(3), "200");
    client.head(5, false, &[&twice[..], &[length, length]].concat());
    assert_eq!(client.status(5), "400", "a length is said once");
    drop(client);
    plane.drain();
    let all: String = seen.try_iter().map(|(_, text)| text).collect();
    assert!(all.starts_with("OPTIONS * HTTP/1.1\r\n"), "{all}");
    assert_eq!(all.matches("Content-Length: 5\r\n").count(), 1, "{all}");
}

#[test]
fn trailers_say_no_more_than_a_head_may() {
    let claims = "x-forwarded-for, forwarded, x-real-ip, keep-alive, x-sum";
    let trailers = "x-forwarded-for: 6.6.6.6\r\nforwarded: for=6.6.6.6\r\nx-real-ip: 6.6.6.6\r\nkeep-alive: 6\r\nx-sum: 42\r\n";
    let (port, seen) = answers_each(
        "x-sum: 42",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: connection, x-sum\r\n\r\n2\r\nok\r\n0\r\nconnection: x-secret\r\nx-sum: 43\r\n\r\n",
    );
    let plane = DataPlane::start(&format!("{BOTH}{}", one_pool(&[port], "")));
    let mut client = connect(&plane);
    let upload =
        format!("Transfer-Encoding: chunked\r\nTrailer: {claims}\r\n\r\n3\r\nabc\r\n0\r\n{trailers}\r\n");
    write!(client, "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n{upload}").unwrap();
    let answer = head(&mut client) + &head(&mut client);
    assert!(answer.contains("x-sum: 43") && !answer.contains("x-secret"), "{answer}");
    let all: String = seen.try_iter().map(|(_, text)| text).collect();
    assert!(all.contains("x-sum: 42") && !all.contains("6.6.6.6") && !all.contains("keep-alive: "), "{all}");
    plane.drain();
}

#[test]
fn an_upload_of_too_many_pieces_is_not_kept_for_a_replay() {
    let fails = "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n";
    let chunks = |count: usize| "1\r\nx\r\n".repeat(count) + "0\r\n\r\n";
    for (pieces, status) in [(1000, "200"), (1030, "500")] {
        // They answer when they have it all.
        let (first, _seen) = answers_each("0\r\n\r\n", fails);
        let (second, _seen_too) = answers_each("0\r\n\r\n", OK);
        let addresses = [first, second].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let plane = DataPlane::start(&in_order(&addresses, "", ""));
        let mut client = connect(&plane);
        let upload = format!("Transfer-Encoding: chunked\r\n\r\n{}", chunks(pieces));
        write!(client, "PUT / HTTP/1.1\r\nHost: a\r\n{upload}").unwrap();
        let answer = head(&mut client);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{pieces}: {answer}");
        plane.drain();
    }
}

#[test]
fn a_body_in_an_unknown_transfer_coding_is_refused() {
    let (port, seen) = answers_heads(OK);
    let plane = DataPlane::start(&one_pool(&[port], ""));
    for (coding, status) in [("gzip, chunked", 501), ("chunked, chunked", 400), ("Chunked", 200)] {
        let mut client = connect(&plane);
        let body = "3\r\nabc\r\n0\r\n\r\n";
        write!(client, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n{body}").unwrap();
        let answer = head(&mut client);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{coding}: {answer}");
    }
    plane.drain();
    assert_eq!(seen.try_iter().filter(|(_, text)| text.contains("POST / ")).count(), 1);
}
