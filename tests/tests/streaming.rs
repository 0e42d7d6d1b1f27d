//! Bodies of any size in a bounded amount of memory.

mod common;

use std::{
    thread,
    time::{Duration, Instant},
};

use common::alone;
use thalweg_testkit::{Client, Conf, Edge, Endpoint, eventually, release_binary};

const MIB: u64 = 1024 * 1024;

/// An edge without a limit on bodies: the release build if there is one. Returns which build it is, too.
fn unlimited(endpoint: &Endpoint) -> (Edge, &'static str) {
    let conf = Conf::simple_with(
        "failover",
        &[endpoint.addr()],
        "body_bytes = \"0\"\ntimeouts = { idle = \"30s\" }",
    );
    match release_binary() {
        Some(path) if std::env::var_os(thalweg_testkit::BINARY_VARIABLE).is_none() => {
            (Edge::start_binary(&conf, &path), "release")
        }
        _ => (Edge::start(&conf), "default"),
    }
}

fn down_and_up(bytes: u64, bound: u64) {
    let _alone = alone();
    let endpoint = Endpoint::start("a");
    let (edge, build) = unlimited(&endpoint);
    let mut client = Client::connect(edge.web());
    client.patience(Duration::from_secs(60));
    client.send(format!("GET /bytes/{bytes} HTTP/1.1\r\nhost: x\r\n\r\n"));
    let head = client.head().expect("a head");
    assert_eq!(head.header("content-length"), Some(bytes.to_string().as_str()));
    assert_eq!(client.discard(bytes), bytes, "down");
    client.send(format!("POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: {bytes}\r\n\r\n"));
    let block = vec![7_u8; 1024 * 1024];
    for _ in 0..bytes / MIB {
        client.try_send(&block).expect("the upload goes on");
    }
    let reply = client.reply("POST").expect("an answer");
    assert_eq!(reply.json()["bytes"], bytes, "up");
    let peak = edge.peak_rss();
    println!("peak {} MiB for {} MiB each way ({build} build)", peak / MIB, bytes / MIB);
    assert!(peak < bound, "peak {} MiB ({build} build)", peak / MIB);
}

#[test]
fn a_hundred_mebibytes_pass_both_ways_in_little_memory() {
    down_and_up(128 * MIB, 64 * MIB);
}

#[test]
#[ignore = "moves 2 GiB: part of test-long"]
fn a_gibibyte_passes_both_ways_in_little_memory() {
    down_and_up(1024 * MIB, 64 * MIB);
}

#[test]
fn a_slow_reader_holds_the_endpoint_back_and_not_in_our_memory() {
    let _alone = alone();
    let endpoint = Endpoint::start("a");
    let (edge, _) = unlimited(&endpoint);
    let before = edge.rss();
    let mut clients: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = Client::connect(edge.web());
            client.send(format!("GET /bytes/{} HTTP/1.1\r\nhost: x\r\n\r\n", 256 * MIB));
            client.head().expect("a head");
            client
        })
        .collect();
    // The client does not read: what the kernel cannot hold must stay at the endpoint.
    let mut last = 0;
    eventually("memory settles", Duration::from_secs(10), || {
        thread::yield_now();
        let now = edge.rss();
        let settled = now == last;
        last = now;
        settled
    });
    let grown = edge.rss().saturating_sub(before);
    assert!(grown < 64 * MIB, "{} MiB for 20 slow readers", grown / MIB);
    assert_eq!(clients[0].discard(10 * MIB), 10 * MIB, "the answer goes on when the client reads");
}

#[test]
fn an_endpoint_that_reads_nothing_for_twelve_seconds_gets_its_upload_all_the_same() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    let endpoint = thread::spawn(move || {
        let (mut conn, _) = listener.accept().expect("a connection");
        conn.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
        // Longer than `TCP_USER_TIMEOUT`: the kernel applies that limit to a full receive buffer, too.
        let began = Instant::now();
        eventually("twelve seconds", Duration::from_secs(30), || began.elapsed() > Duration::from_secs(12));
        let (mut got, mut block) = (0, vec![0; 256 * 1024]);
        while got < 8 * MIB {
            let read = conn.read(&mut block)?;
            assert!(read > 0, "ended after {got} bytes");
            got += read as u64;
        }
        conn.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
    });
    let conf = Conf::new().listener("web", "").pool("p", &[addr], "# no probe").route(
        "all",
        "failover",
        &["p"],
        "body_bytes = \"0\"\ntimeouts = { idle = \"30s\" }",
    );
    let edge = Edge::start(&conf);
    let mut client = Client::connect(edge.web());
    client.patience(Duration::from_secs(40));
    let reply = client.ask("POST", "/", "", &vec![7; 8 * MIB as usize]).expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    endpoint.join().expect("the endpoint ends").expect("its connection lives");
}

#[test]
fn a_stuck_endpoint_holds_the_upload_back_and_not_in_our_memory() {
    let _alone = alone();
    // The kernel accepts and fills its buffers; no process reads.
    let stuck = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = stuck.local_addr().expect("an address");
    let conf = Conf::new().listener("web", "").pool("p", &[addr], "# no probe").route(
        "all",
        "failover",
        &["p"],
        "body_bytes = \"0\"",
    );
    let edge = Edge::start(&conf);
    let before = edge.rss();
    let upload = |edge: &Edge| {
        let addr = edge.web();
        thread::spawn(move || {
            let mut client = Client::connect(addr);
            client.patience(Duration::from_secs(3));
            client.send(format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", 512 * MIB));
            let block = vec![0_u8; 256 * 1024];
            let mut sent = 0;
            while sent < 64 * MIB && client.try_send(&block).is_ok() {
                sent += block.len() as u64;
            }
            sent
        })
    };
    let uploads: Vec<_> = (0..8).map(|_| upload(&edge)).collect();
    for upload in uploads {
        let sent = upload.join().expect("a thread ends");
        assert!(sent < 64 * MIB, "the upload was swallowed: {sent}");
    }
    let grown = edge.peak_rss().saturating_sub(before);
    assert!(grown < 64 * MIB, "{} MiB for 8 stuck uploads", grown / MIB);
}
