//! Long answers between plaintext connections, which pass through a pipe inside the kernel.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::LazyLock,
    thread,
    time::Duration,
};

use thalweg_testkit::{Client, Conf, Edge, eventually};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Every answer is this, again and again. Its length is no power of two, so that a shifted or doubled block shows.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| (0..65_521_u32).map(|nth| (nth % 251) as u8).collect());

/// An endpoint that answers `/N` with N bytes of the pattern, and `/N/cut` with half of them and a close.
fn endpoint() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || serve(client));
        }
    });
    addr
}

fn serve(mut client: TcpStream) -> Option<()> {
    loop {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            client.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1)?.trim_start_matches('/').to_owned();
        let length: usize = path.split('/').next()?.parse().ok()?;
        client.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes()).ok()?;
        let is_cut = path.ends_with("/cut");
        let mut left = if is_cut { length / 2 } else { length };
        while left > 0 {
            let block = &PATTERN[..left.min(PATTERN.len())];
            client.write_all(block).ok()?;
            left -= block.len();
        }
        if is_cut {
            return None;
        }
    }
}

fn edge() -> Edge {
    let conf = Conf::new().edge("workers = 1").listener("web", "").pool("p", &[endpoint()], "# no probe");
    Edge::start(&conf.route("all", "failover", &["p"], ""))
}

fn assert_whole(body: &[u8], length: usize) {
    assert_eq!(body.len(), length);
    let wrong = body.chunks(PATTERN.len()).position(|block| !PATTERN.starts_with(block));
    assert_eq!(wrong, None, "the first wrong block of {length} bytes");
}

/// Pipes that the edge has open.
fn pipes(edge: &Edge) -> usize {
    let links = fs::read_dir(format!("/proc/{}/fd", edge.pid())).expect("its descriptors").flatten();
    let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("pipe:")).count()
}

#[test]
fn answers_of_any_length_arrive_byte_for_byte() {
    let edge = edge();
    let mut client = Client::connect(edge.web());
    for length in [0, 1, 64 * KIB, 128 * KIB - 1, 128 * KIB, 192 * KIB + 1, 3, MIB, 5 * MIB + 3, 7] {
        let reply = client.ask("GET", &format!("/{length}"), "", b"").expect("an answer");
        assert_eq!(reply.status, 200);
        assert_whole(&reply.body, length);
    }
    client.send("GET /1000000 HTTP/1.1\r\nhost: x\r\n\r\nGET /700000 HTTP/1.1\r\nhost: x\r\n\r\n");
    for length in [1_000_000, 700_000] {
        assert_whole(&client.reply("GET").expect("an answer").body, length);
    }
}

#[test]
fn what_a_client_leaves_behind_reaches_no_other_client() {
    let edge = edge();
    let before = pipes(&edge);
    for _ in 0..3 {
        let leaving: Vec<Client> = (0..70)
            .map(|_| {
                let mut client = Client::connect(edge.web());
                client.send(format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", 32 * MIB));
                client.head().expect("a head");
                client
            })
            .collect();
        eventually("pipes are in use, and no more than their bound", Duration::from_secs(20), || {
            pipes(&edge).saturating_sub(before) == 2 * 64
        });
        leaving.into_iter().for_each(Client::reset);
        let reply = Client::connect(edge.web()).ask("GET", "/2000000", "", b"").expect("an answer");
        assert_whole(&reply.body, 2_000_000);
        eventually("what held bytes is closed", Duration::from_secs(20), || {
            pipes(&edge).saturating_sub(before) < 2 * 64
        });
    }
}

#[test]
fn a_long_answer_that_the_endpoint_cuts_is_cut_for_the_client() {
    let edge = edge();
    let mut client = Client::connect(edge.web());
    let gone = client.ask("GET", "/4000000/cut", "", b"").expect_err("half an answer");
    assert!(gone.body.len() <= 2_000_000, "{}", gone.body.len());
    assert_whole(&gone.body, gone.body.len());
    eventually("the access log says so", Duration::from_secs(5), || {
        edge.stdout().lines().any(|line| line.contains("/4000000/cut") && line.contains("\"reset\""))
    });
}
