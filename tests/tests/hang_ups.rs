//! Clients and endpoints that leave before the other side is done: which side is told, how the end is counted, and that
//! no answer is lost because of it.

mod common;

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use bytes::Bytes;
use common::{one, one_with};
use thalweg_testkit::{Behaviour, Client, Conf, Edge, eventually, stays};

const SOON: Duration = Duration::from_secs(5);

/// A connection that waits at most ten seconds for anything.
fn connect(web: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(web).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream
}

fn gone(edge: &Edge) -> f64 {
    edge.metric("thalweg_requests_total", &[("code_class", "client_gone")])
}

#[test]
fn a_client_that_hangs_up_while_it_waits_ends_its_attempt() {
    let (edge, endpoint) = one();
    endpoint.behave(Behaviour::Hang);
    for nth in 1..=10 {
        let mut client = connect(edge.web());
        client.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        eventually("the request is under way", SOON, || endpoint.hits() >= nth);
        drop(client);
        eventually("the request is counted", SOON, || gone(&edge) == nth as f64);
    }
    assert_eq!(edge.metric("thalweg_endpoint_in_flight", &[("pool", "p0")]), 0.0);
    assert_eq!(edge.metric("thalweg_endpoint_requests_total", &[("outcome", "client_gone")]), 10.0);
    let line = edge.access_log().pop().expect("a line");
    assert_eq!((line["status"].as_u64(), line["client_gone"].as_bool()), (Some(0), Some(true)), "{line}");
}

#[test]
fn a_client_that_closes_its_sending_side_is_asked_once_and_gets_its_answer() {
    let (edge, endpoint) = one();
    endpoint.behave(Behaviour::Slow(Duration::from_millis(1500)));
    for (version, interim) in [("1.1", true), ("1.0", false)] {
        let mut client = connect(edge.web());
        write!(client, "GET / HTTP/{version}\r\nHost: a\r\n\r\n").expect("sent");
        client.shutdown(Shutdown::Write).expect("half closed");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer");
        let asked = answer.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(asked.is_some(), interim, "{answer}");
        assert!(asked.unwrap_or(&answer).starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert_eq!(gone(&edge), 0.0);
}

#[test]
fn a_delivered_answer_is_counted_as_delivered_however_the_client_closes() {
    let (edge, _endpoint) = one();
    for (nth, request) in [
        "GET /bytes/1000 HTTP/1.0\r\n\r\n",
        "GET /bytes/1000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /bytes/1000 HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS / HTTP/1.0\r\n\r\n",
    ]
    .iter()
    .cycle()
    .take(48)
    .enumerate()
    {
        let mut client = connect(edge.web());
        client.write_all(request.as_bytes()).expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        if request.starts_with("GET") {
            client.read_exact(&mut [0; 1000]).expect("the body");
        }
        drop(client);
        eventually("the request is logged", SOON, || edge.access_log().len() > nth);
    }
    let lines = edge.access_log();
    assert!(lines.iter().all(|line| line["status"].as_u64() > Some(0)), "{lines:#?}");
    assert_eq!(gone(&edge), 0.0);
}

#[test]
fn a_cut_answer_that_only_its_end_delimits_ends_with_a_reset() {
    let (edge, endpoint) = one_with("retry = { attempts = 0 }");
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (rest, whole) in
        [("5\r\nhello\r\n0\r\n\r\n", true), ("5\r\nhello\r\n", false), ("5\r\nhello\r\nx", false)]
    {
        endpoint.behave(Behaviour::RawAndClose(Bytes::from(format!("{head}{rest}"))));
        let mut client = connect(edge.web());
        client.write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").expect("sent");
        let mut answer = Vec::new();
        let ended = client.read_to_end(&mut answer).map_err(|error| error.kind());
        let expected = if whole { Ok(()) } else { Err(ErrorKind::ConnectionReset) };
        assert_eq!(ended.map(|_| ()), expected, "{rest:?}");
    }
}

/// Sends a whole upload before it reads, as Python's `http.client` does; the status of the answer.
fn write_then_read(web: SocketAddr, host: &str, length: usize) -> std::io::Result<String> {
    let mut client = connect(web);
    write!(client, "POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n")?;
    for piece in vec![b'x'; length].chunks(64 * 1024) {
        client.write_all(piece)?;
    }
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        match client.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => answer.extend_from_slice(&piece[..read]),
        }
    }
    Ok(String::from_utf8_lossy(answer.get(9..12).unwrap_or_default()).into_owned())
}

#[test]
fn a_refusal_of_the_edge_is_read_by_clients_that_write_before_they_read() {
    let endpoint = thalweg_testkit::Endpoint::start("a");
    let route = "hosts = [\"a\"]\nbody_bytes = \"1MiB\"";
    let edge = Edge::start(&Conf::simple_with("failover", &[endpoint.addr()], route));
    edge.until_up(1);
    for (host, status) in [("a", "413"), ("b", "404")].into_iter().cycle().take(20) {
        assert_eq!(write_then_read(edge.web(), host, 5_000_000).expect("an answer"), status);
    }
    assert_eq!(
        Client::connect(edge.web()).ask("GET", "/", "host: a\r\n", b"").expect("an answer").status,
        200
    );
}

/// Answers a POST with 413 as soon as it has read the head, and closes with the upload unread, which resets.
fn slamming() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = client.read(&mut [0; 4096]);
                let _ =
                    client.write_all(b"HTTP/1.1 413 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            });
        }
    });
    address
}

#[test]
fn the_answer_of_an_endpoint_that_refuses_an_upload_and_resets_is_passed_on() {
    let conf = Conf::new()
        .listener("web", "")
        .pool("p0", &[slamming()], "")
        .raw("[pool.p0.eject]\nmin_requests = 10\n");
    let conf = conf.route("all", "failover", &["p0"], "body_bytes = \"64MiB\"\nretry = { attempts = 0 }");
    let edge = Edge::start(&conf);
    let statuses: Vec<_> = (0..40).map(|_| write_then_read(edge.web(), "a", 5_000_000)).collect();
    let lost =
        statuses.iter().filter(|status| status.as_ref().ok().map(String::as_str) != Some("413")).count();
    assert_eq!(lost, 0, "{statuses:?}");
    stays("no endpoint is ejected", Duration::from_millis(200), || edge.events_of("ejected").is_empty());
}
