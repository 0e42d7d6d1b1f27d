//! Too many connections: those without a request head make room for those with one, and each client has a cap.

mod common;

use std::{thread, time::Duration};

use common::alone;
use thalweg_testkit::{
    Authority, Client, Conf, Edge, Endpoint, Gone, Reply, client_config, eventually, stays,
};

const SOON: Duration = Duration::from_secs(10);

/// An edge with room for so many connections, and no other reason to close one.
fn edge_with(limits: &str, listener: &str) -> (Edge, Endpoint) {
    let endpoint = Endpoint::start("a");
    let conf = Conf::new()
        .listener("web", listener)
        .pool("p", &[endpoint.addr()], "")
        .route("all", "failover", &["p"], "")
        .raw(&format!("[limits]\nheader_timeout = \"60s\"\n{limits}\n"));
    let edge = Edge::start(&conf);
    edge.until_up(1);
    (edge, endpoint)
}

fn ask(edge: &Edge) -> Result<Reply, Gone> {
    Client::try_connect(edge.web())?.ask("GET", "/", "", b"")
}

#[test]
fn slow_heads_make_room_for_connections_that_ask() {
    let _alone = alone();
    let (edge, _endpoint) = edge_with("max_connections = 100", "protocols = [\"http/1.1\", \"h2c\"]");
    let mut served = Client::connect(edge.web());
    assert_eq!(served.get("/").status, 200);
    let beginnings: [&[u8]; 4] = [b"", b"GET / HT", b"PRI * HTTP/2", b"GET / HTTP/1.1\r\nhost: x\r\nslow: "];
    let mut crowd = Vec::new();
    // Three times as many connections as fit, each within the time limit of a head.
    for beginning in beginnings.iter().cycle().take(300) {
        let mut slow = Client::connect(edge.web());
        let _it_may_have_gone_already = slow.try_send(beginning);
        crowd.push(slow);
        if crowd.len() % 6 == 0 {
            let reply = ask(&edge).unwrap_or_else(|gone| panic!("after {}: {gone}", crowd.len()));
            assert_eq!(reply.status, 200, "after {}", crowd.len());
        }
    }
    let shed = edge.metric("thalweg_connections_shed_total", &[("cause", "headless")]);
    assert!(shed >= 200.0, "{shed}");
    assert_eq!(served.get("/").status, 200, "a connection that has asked before is kept");
    assert!(crowd[0].ends(SOON) && crowd[1].ends(SOON), "the oldest have gone");
}

#[test]
fn idle_connections_make_room_when_nothing_else_does() {
    let _alone = alone();
    let (edge, _endpoint) = edge_with("max_connections = 40", "");
    let shed = |cause: &str| edge.metric("thalweg_connections_shed_total", &[("cause", cause)]);
    let open = |count: usize| -> Vec<Client> {
        let mut clients: Vec<Client> = (0..count).map(|_| Client::connect(edge.web())).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
        clients
    };
    let mut kept = open(30);
    stays("below nine tenths nothing goes", Duration::from_millis(1_500), || {
        ask(&edge).is_ok_and(|reply| reply.status == 200) && shed("idle") + shed("headless") == 0.0
    });
    kept.append(&mut open(10));
    eventually("a new client is served", SOON, || ask(&edge).is_ok_and(|reply| reply.status == 200));
    assert!(shed("idle") >= 1.0 && shed("headless") == 0.0, "{} {}", shed("idle"), shed("headless"));
    let gone: usize = kept.iter_mut().map(|client| usize::from(client.ends(Duration::from_millis(20)))).sum();
    assert!((1..=20).contains(&gone), "{gone} of 40");
}

#[test]
fn half_a_handshake_makes_room_too() {
    let _alone = alone();
    let ours = Authority::new("ours");
    let leaf = ours.leaf(&["a.test"]);
    let endpoint = Endpoint::start("a");
    let conf = Conf::new()
        .file("a.crt", &leaf.cert_pem)
        .file("a.key", &leaf.key_pem)
        .listener("web", "tls = { certificates = [{ cert = \"a.crt\", key = \"a.key\" }] }")
        .pool("p", &[endpoint.addr()], "")
        .route("all", "failover", &["p"], "")
        .raw("[limits]\nmax_connections = 50\nheader_timeout = \"60s\"\n");
    let edge = Edge::start(&conf);
    edge.until_up(1);
    let config = client_config(&ours, &["http/1.1"], &[]);
    let mut crowd = Vec::new();
    for _ in 0..150 {
        let mut slow = Client::connect(edge.web());
        let _it_may_have_gone_already = slow.try_send(b"\x16\x03\x01\x02\x00\x01");
        crowd.push(slow);
        if crowd.len() % 5 == 0 {
            let (mut client, ..) = Client::connect_tls(edge.web(), "a.test", &config).expect("a handshake");
            assert_eq!(client.get("/").status, 200, "after {}", crowd.len());
        }
    }
}

#[test]
fn a_client_has_no_more_connections_than_its_cap() {
    let (edge, _endpoint) = edge_with("per_client = 8", "");
    let mut own: Vec<Client> = (0..8).map(|_| Client::connect(edge.web())).collect();
    own.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    let refused: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn({
                let addr = edge.web();
                move || Client::try_connect(addr).and_then(|mut client| client.ask("GET", "/", "", b""))
            })
        })
        .collect();
    for answer in refused {
        let gone = answer.join().expect("no panic").expect_err("over the cap");
        assert!(gone.closed(), "{gone}");
    }
    assert_eq!(edge.metric("thalweg_connections_shed_total", &[("cause", "per_client")]), 4.0);
    own.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    drop(own.pop());
    eventually("a connection is free again", SOON, || ask(&edge).is_ok_and(|reply| reply.status == 200));
}
