//! The data plane, one room at a time, over real sockets and without a control plane.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test says what it expects by failing"
)]

mod framing;
mod h2c;
mod messages;
mod races;
mod slow_clients;
mod slow_connects;
mod support;
mod uploads;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, mpsc},
    time::Duration,
};

use http::Request;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use support::{BOTH, DataPlane, GET, OK, ask, endpoint, free_port, in_order, one_pool, soon};
use thalweg_core::Fault;
use thalweg_edge::shared::telemetry::{
    CONNECTIONS, DECISIONS, ENDPOINT_REQUESTS, HEDGES, IN_FLIGHT, REQUESTS,
};
use thalweg_testkit::{Authority, Behaviour, Blackhole, Client, Endpoint, H2, Leaf, Scratch, server_config};

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn a_request_goes_through_all_rooms_and_its_head_is_clean_both_ways() {
    let (port, seen) = endpoint(OK);
    let plane = DataPlane::start(&one_pool(&[port], ""));
    let request = "GET /a/../b?q=1 HTTP/1.1\r\nHost: Example.com:80\r\nConnection: x-hop\r\nX-Hop: 1\r\n\
                   X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Request-Id: abc\r\n\r\n";
    let answer = ask(&plane, request);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("x-own: 1\r\n") && answer.contains("X-Request-Id: abc\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    let seen = seen.recv().unwrap();
    assert!(seen.starts_with("GET /b?q=1 HTTP/1.1\r\n"), "{seen}");
    for (field, there) in [
        ("Host: Example.com:80\r\n", true),
        ("X-Forwarded-For: 127.0.0.1\r\n", true),
        ("X-Forwarded-Proto: http\r\n", true),
        ("X-Forwarded-Host: Example.com:80\r\n", true),
        ("Via: 1.1 thalweg\r\n", true),
        ("6.6.6.6", false),
        ("X-Hop", false),
    ] {
        assert_eq!(seen.contains(field), there, "{field}: {seen}");
    }
    plane.drain();
}

#[test]
fn a_refused_connection_is_tried_elsewhere_and_reported() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (port, _seen) = endpoint(OK);
    let mut plane = DataPlane::start(&one_pool(&[dead, port], ""));
    for _ in 0..20 {
        assert!(
            ask(&plane, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
                .starts_with("HTTP/1.1 200")
        );
    }
    assert_eq!(plane.suspects.try_recv().unwrap().fault, thalweg_core::Fault::Refused);
    plane.drain();
}

#[test]
fn answers_made_by_the_edge_say_why() {
    let (port, _seen) = endpoint(OK);
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let plane = DataPlane::start(&one_pool(&[port], "hosts = [\"a\"]\nbody_bytes = \"10B\""));
    let check = |plane: &DataPlane, request: &str, status: &str, ours: &str| {
        let answer = ask(plane, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request} -> {answer}");
        assert!(answer.contains(&format!("details=\"{ours}\"")), "{request} -> {answer}");
        assert!(
            answer.contains(&format!("{{\"error\":\"{ours}\",\"request_id\":\"")),
            "{request} -> {answer}"
        );
    };
    check(&plane, "GET / HTTP/1.1\r\nHost: b\r\n\r\n", "404", "no_route");
    check(&plane, "GET /%2f HTTP/1.1\r\nHost: a\r\n\r\n", "400", "bad_request");
    check(&plane, "GET / HTTP/1.1\r\n\r\n", "400", "bad_request");
    check(&plane, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400", "bad_request");
    check(&plane, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "405", "method_not_allowed");
    check(
        &plane,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n01234567890",
        "413",
        "body_too_large",
    );
    let via = "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 thalweg, 1.1 thalweg, 1.1 thalweg\r\n\r\n";
    check(&plane, via, "508", "loop");
    plane.drain();
    let plane = DataPlane::start(&one_pool(&[dead], ""));
    check(&plane, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "502", "connect_failed");
    plane.drain();
}

#[test]
fn an_upgraded_stream_is_passed_through_both_ways() {
    let (port, _seen) =
        endpoint("HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\nhello");
    let plane = DataPlane::start(&one_pool(&[port], ""));
    let mut stream = TcpStream::connect(plane.address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    stream.write_all(b"ping").unwrap();
    let mut back = [0; 8];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"HTTP/1.1", "the endpoint answers what it reads, on the upgraded stream");
    drop(stream);
    plane.drain();
}

#[test]
fn a_request_that_failed_for_its_client_is_counted_once() {
    let check = |answer: &'static str, given_up: u64| {
        let (port, _seen) = endpoint(answer);
        let plane = DataPlane::start(&one_pool(&[port], "timeouts = { idle = \"1s\" }"));
        let heard = ask(&plane, GET);
        assert_eq!(heard[..12], answer[..12]);
        soon("the request has ended", || plane.counted(&REQUESTS, &[]) == 1);
        assert_eq!(plane.accounts(|account| account.given_up.get()), given_up, "{answer}");
        plane.drain();
    };
    check(OK, 0);
    check("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut", 1);
    check("HTTP/1.1 503 No\r\ncontent-length: 3\r\n\r\nall", 1);
    check("HTTP/1.1 503 No\r\ncontent-length: 9\r\n\r\ncut", 1);
}

#[test]
fn a_stalled_upload_is_the_fault_of_the_side_that_is_due() {
    let check = |reads: bool, length: usize, outcome: &str, fault: Option<Fault>| {
        let (reader, _seen) = endpoint("");
        let stuck = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = if reads { reader } else { stuck.local_addr().unwrap().port() };
        let route = "body_bytes = \"0\"\ntimeouts = { idle = \"1s\" }";
        let mut plane = DataPlane::start(&one_pool(&[port], route));
        let mut client = TcpStream::connect(plane.address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.set_write_timeout(Some(Duration::from_millis(800))).unwrap();
        write!(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").unwrap();
        let mut sent = 0;
        while sent + 65536 < length && client.write(&[7; 65536]).inspect(|n| sent += n).is_ok() {}
        let mut heard = [0; 1024];
        let length = client.read(&mut heard).unwrap();
        let head = String::from_utf8_lossy(&heard[..length]);
        assert!(head.starts_with("HTTP/1.1 504 "), "{outcome}: {head}");
        assert!(head.contains("error=connection_write_timeout; details=\"timeout\""), "{outcome}: {head}");
        assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &[outcome]), 1, "{outcome} after {sent} bytes");
        assert_eq!(plane.suspects.try_recv().ok().map(|hint| hint.fault), fault, "{outcome}");
        drop(client);
        plane.drain();
    };
    check(true, 10, "client_gone", None);
    check(true, 200_000, "client_gone", None);
    check(false, 1 << 28, "timeout", Some(Fault::Timeout));
}

/// Answers one request, and closes the connection after the next, when told.
fn fails_when_told() -> (SocketAddr, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ((saw, seen), (tell, told)) = (mpsc::channel(), mpsc::channel());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        stream.write_all(OK.as_bytes()).unwrap();
        let _ = stream.read(&mut request).unwrap();
        saw.send(()).unwrap();
        let _ = told.recv();
    });
    (address, seen, tell)
}

/// Sends the end of its first answer when told, then answers at once.
fn a_long_download() -> (SocketAddr, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab").unwrap();
        told.recv().unwrap();
        stream.write_all(b"cd").unwrap();
        while stream.read(&mut request).is_ok_and(|n| n > 0) {
            stream.write_all(OK.as_bytes()).unwrap();
        }
    });
    (address, tell)
}

#[test]
fn a_download_from_before_a_probation_is_good_and_proves_nothing() {
    let (first, end) = a_long_download();
    let second = Endpoint::start("b");
    let text = in_order(&[first, second.addr()], "", "");
    let mut plane = DataPlane::start(&format!("{text}\n[eject]\nbase = \"1ms\"\n"));
    let mut client = TcpStream::connect(plane.address).unwrap();
    client.write_all(GET.as_bytes()).unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\nab") {
        let mut byte = [0; 1];
        client.read_exact(&mut byte).unwrap();
        heard.push(byte[0]);
    }
    plane.try_again(first);
    let told = |plane: &DataPlane| (plane.accounts(|at| at.good.get()), plane.accounts(|at| at.proof.get()));
    end.send(()).unwrap();
    soon("the download counts as good", || told(&plane) == (1, 0));
    assert!(ask(&plane, GET).ends_with("ok"));
    assert_eq!(told(&plane), (2, 1), "a request of the probation is proof");
    assert_eq!(plane.counted(&DECISIONS, &["probation"]), 1);
    plane.drain();
}

#[test]
fn a_retry_that_crosses_a_reload_counts_for_the_pool_that_it_went_to() {
    let (first, seen, tell) = fails_when_told();
    let (port, _seen) = endpoint(OK);
    let second = format!("[pool.b]\nendpoints = [{{ address = \"127.0.0.1:{port}\" }}]\n");
    let both = format!("[pool.a]\nendpoints = [{{ address = \"{first}\" }}]\n{second}");
    let route = |pools: &str| format!("[route.r]\npolicy = \"failover\"\npools = [{pools}]\n");
    let mut plane = DataPlane::start(&format!("{both}{}", route("{ pool = \"a\" }, { pool = \"b\" }")));
    assert!(ask(&plane, GET).starts_with("HTTP/1.1 200"));
    assert_eq!((plane.counted(&REQUESTS, &["a"]), plane.counted(&REQUESTS, &["b"])), (1, 0));
    let mut client = TcpStream::connect(plane.address).unwrap();
    client.write_all(GET.as_bytes()).unwrap();
    seen.recv().unwrap();
    // The slot of the one is now that of the other.
    plane.adopt(&format!("{second}{}", route("{ pool = \"b\" }")));
    tell.send(()).unwrap();
    let mut head = [0; 15];
    client.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    soon("the request counts for pool b", || plane.counted(&REQUESTS, &["b", "2xx"]) == 1);
    assert_eq!(plane.counted(&DECISIONS, &["b"]), 1);
    drop(client);
    plane.drain();
}

#[test]
fn a_timeout_cut_short_by_earlier_attempts_is_no_evidence() {
    let (hangs, hole) = (Endpoint::start("hangs"), Blackhole::start());
    hangs.behave(Behaviour::Hang);
    let route = "timeouts = { total = \"1s\" }";
    for second in [hangs.addr(), hole.addr()] {
        let (first, seen, tell) = fails_when_told();
        let mut plane = DataPlane::start(&in_order(&[first, second], "", route));
        assert!(ask(&plane, GET).starts_with("HTTP/1.1 200"));
        let mut client = TcpStream::connect(plane.address).unwrap();
        client.write_all(GET.as_bytes()).unwrap();
        seen.recv().unwrap();
        std::thread::sleep(Duration::from_millis(700));
        tell.send(()).unwrap();
        let mut head = [0; 12];
        client.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 504");
        assert_eq!(plane.suspects.try_recv().unwrap().fault, Fault::Reset, "the first");
        assert_eq!(plane.suspects.try_recv().ok().map(|hint| hint.fault), None, "the second: {second}");
        assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["p1", "cancelled"]), 1, "{second}");
        drop(client);
        plane.drain();
        // With all of the time, it does.
        let mut plane = DataPlane::start(&in_order(&[second], "", route));
        assert!(ask(&plane, GET).starts_with("HTTP/1.1 504"));
        assert_eq!(plane.suspects.try_recv().unwrap().fault, Fault::Timeout, "{second}");
        plane.drain();
    }
}

/// Answers one request with more bytes than the client reads, and reports when no more can be sent.
fn more_than_is_read() -> (u16, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stuck, is_stuck) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        while stream.write(&[7; 65536]).is_ok() {}
        stuck.send(()).unwrap();
        let _ = stream.read(&mut [0; 1]);
    });
    (port, is_stuck)
}

#[test]
fn a_request_that_ends_with_its_worker_has_its_line_in_the_log() {
    let (port, stuck) = more_than_is_read();
    let plane = DataPlane::start(&one_pool(&[port], ""));
    let mut client = Client::connect(plane.address);
    client.send("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: cut\r\n\r\n");
    stuck.recv().unwrap();
    let log = plane.abort();
    assert_eq!(log.matches("\"request_id\":\"cut\"").count(), 1, "{log}");
}

#[test]
fn a_connection_accepted_while_closing_is_answered_once_and_told_to_close() {
    let far = Endpoint::start("far");
    far.behave(Behaviour::Slow(Duration::from_millis(300)));
    let plane = DataPlane::start(&one_pool(&[far.addr().port()], ""));
    for asks_first in [true, false] {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = Client::connect(socket.local_addr().unwrap());
        let mut silent = Client::connect(socket.local_addr().unwrap());
        if asks_first {
            client.send(GET);
        }
        plane.close_behind(socket);
        if !asks_first {
            soon("the connection is accepted", || plane.counted(&CONNECTIONS, &["web"]) == 2);
            client.send(GET);
        }
        let reply = client.reply("GET").unwrap();
        assert_eq!((reply.status, reply.header("connection")), (200, Some("close")), "{asks_first}");
        assert!(client.ends(Duration::from_secs(10)), "{asks_first}");
        assert!(silent.ends(Duration::from_secs(10)), "the worker does not wait for a silent client");
    }
    plane.drain();
}
