//! Clients that do not read, or send a head slowly: how long the worker keeps each connection.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use thalweg_edge::shared::telemetry::{CONNECTIONS, REQUESTS};
use thalweg_testkit::{Authority, Client, Scratch, client_config};

use crate::support::{DataPlane, OK, one_pool, soon};
use crate::uploads::{answers_at_length, answers_heads, head};

/// A client with a small receive buffer.
fn narrow(plane: &DataPlane) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&plane.address.into()).unwrap();
    let client = TcpStream::from(socket);
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client
}

/// Clients that asked for answers of these lengths and have taken nothing yet. One of them has all but the last bytes
/// in its socket; those wait here.
fn slow(plane: &DataPlane, method: &str, fields: &str) -> Vec<(usize, TcpStream)> {
    let ask = |length: usize| {
        let mut client = narrow(plane);
        write!(client, "{method} /{length} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").unwrap();
        (length, client)
    };
    let clients = (20..100).map(|nth| ask(nth * 50_000)).collect();
    std::thread::sleep(Duration::from_millis(1500));
    clients
}

#[test]
fn the_next_request_of_a_slow_client_does_not_end_the_answer_that_it_is_taking() {
    let limits = "[limits]\nheader_bytes = \"64KiB\"\nheader_timeout = \"500ms\"\n";
    let plane = DataPlane::start(&format!("{}{limits}", one_pool(&[answers_at_length(None)], "")));
    let mut clients = slow(&plane, "GET", "");
    for (_, client) in &mut clients {
        client.write_all(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    std::thread::sleep(Duration::from_millis(900));
    for (length, client) in &mut clients {
        for length in [*length, 1] {
            let answer = head(client);
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            let mut body = vec![0; length];
            client.read_exact(&mut body).unwrap();
            assert!(body.iter().all(|byte| *byte == 7), "{length}");
        }
    }
    drop(clients);
    plane.drain();
}

#[test]
fn a_client_that_asks_again_and_reads_nothing_is_not_kept() {
    let limits = "[limits]\nheader_bytes = \"64KiB\"\nheader_timeout = \"500ms\"\nidle_timeout = \"3s\"\n";
    let route = "timeouts = { idle = \"1s\" }";
    let plane = DataPlane::start(&format!("{}{limits}", one_pool(&[answers_at_length(None)], route)));
    let mut clients = slow(&plane, "POST", "Content-Length: 1\r\n");
    for (_, client) in &mut clients {
        client.write_all(b"xGET /1 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    soon("all are closed", || plane.counted(&CONNECTIONS, &[]) == 0);
    drop(clients);
    plane.drain();
}

#[test]
fn a_client_that_reads_nothing_of_a_cut_answer_is_not_kept() {
    let (authority, scratch) = (Authority::new("ours"), Scratch::new());
    authority.leaf(&["a.test"]).write(&scratch, "a");
    let tls = "[listener.tls]\ncertificates = [{ cert = \"a.crt\", key = \"a.key\" }]\n[limits]\nheader_bytes = \"64KiB\"\n";
    let route = one_pool(&[answers_at_length(Some(1))], "timeouts = { idle = \"1s\" }");
    let plane = DataPlane::start_with(scratch, &format!("{tls}{route}"));
    let config = client_config(&authority, &["http/1.1"], &[]);
    let ask = |length: usize| {
        let session =
            rustls::ClientConnection::new(Arc::clone(&config), "a.test".try_into().unwrap()).unwrap();
        let mut client = rustls::StreamOwned::new(session, narrow(&plane));
        write!(client, "GET /{length} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        client
    };
    let clients: Vec<_> = (20..100).map(|nth| ask(nth * 50_000)).collect();
    soon("all are closed", || plane.counted(&CONNECTIONS, &[]) == 0);
    assert_eq!(plane.counted(&REQUESTS, &[]), 80, "each was answered");
    drop(clients);
    plane.drain();
}

#[test]
fn a_head_that_began_in_the_segment_of_another_request_has_its_own_time() {
    let authority = Authority::new("ours");
    let (port, _seen) = answers_heads(OK);
    let tls = "[listener.tls]\ncertificates = [{ cert = \"a.crt\", key = \"a.key\" }]\n";
    let limits = "[limits]\nheader_timeout = \"500ms\"\n";
    for listener in [tls, ""] {
        let text = format!("{listener}{}{limits}", one_pool(&[port], ""));
        let scratch = Scratch::new();
        authority.leaf(&["a.test"]).write(&scratch, "a");
        let plane = DataPlane::start_with(scratch, &text);
        let config = client_config(&authority, &["http/1.1"], &[]);
        for (method, upload) in [
            ("GET", "\r\n"),
            ("POST", "Content-Length: 3\r\n\r\nabc"),
            ("POST", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        ] {
            let mut client = match listener {
                "" => Client::connect(plane.address),
                _ => Client::connect_tls(plane.address, "a.test", &config).unwrap().0,
            };
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n{upload}GET /next HT"));
            assert_eq!(client.reply(method).unwrap().status, 200, "{method}");
            assert_eq!(client.reply("GET").unwrap().status, 408, "{method} {upload}");
        }
        plane.drain();
    }
}
