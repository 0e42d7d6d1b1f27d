//! Bytes in both directions, and the endpoints that take connections.

use std::{fs, sync::mpsc, time::Instant};

use thalweg_testkit::{Client, Endpoint};

use super::*;

#[test]
fn bytes_pass_both_ways_and_are_counted() {
    let edge = edge_to(&[echo("a")], "");
    let mut client = connect(&edge);
    assert_eq!(said(&mut client, 1), "a", "a server may speak first: no route asks for a name");
    let long: Vec<u8> = (0..3_000_000_u32).map(|nth| (nth % 251) as u8).collect();
    let sent = long.clone();
    let mut writer = client.try_clone().expect("a socket can be shared");
    let writing = thread::spawn(move || {
        writer.write_all(&sent).expect("all is taken");
        writer.shutdown(Shutdown::Write).expect("the side can be closed");
    });
    assert!(rest(&mut client) == long, "what comes back is what was sent");
    writing.join().expect("written");
    let line = line(&edge);
    for (key, expected) in [
        ("protocol", "tcp"),
        ("method", "-"),
        ("path", "/"),
        ("route", "all"),
        ("pool", "p"),
        ("client", "127.0.0.1"),
        ("reason", "balanced"),
    ] {
        assert_eq!(line[key], expected, "{key}: {line}");
    }
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&3_000_000.into(), &3_000_001.into()), "{line}");
    assert_eq!((&line["status"], &line["attempts"], &line["error"]), (&200.into(), &1.into(), &Value::Null));
    let labels = [("listener", "web"), ("route", "all"), ("pool", "p"), ("code_class", "2xx")];
    assert_eq!(edge.metric("thalweg_requests_total", &labels), 1.0);
    assert_eq!(edge.metric("thalweg_endpoint_requests_total", &[("outcome", "ok")]), 1.0);
}

/// Pipes that the edge has open, two descriptors each.
fn pipes(edge: &Edge) -> usize {
    let links = fs::read_dir(format!("/proc/{}/fd", edge.pid())).expect("its descriptors").flatten();
    let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("pipe:")).count() / 2
}

/// An endpoint that sends the same bytes without end, and hears nothing.
fn pouring() -> SocketAddr {
    server(|mut client| while client.write_all(&[7; 65_536]).is_ok() {})
}

#[test]
fn long_streams_pass_through_pipes_in_both_directions_byte_for_byte() {
    let conf = Conf::new().edge("workers = 1").listener("web", TCP).pool("p", &[echo("a")], "# no probe");
    let edge = Edge::start(&conf.route("all", "failover", &["p"], ""));
    let before = pipes(&edge);
    // No power of two: a block that is shifted or doubled shows.
    let long: Vec<u8> = (0..40_000_003_u32).map(|nth| (nth % 251) as u8).collect();
    let (sent, mut client) = (long.clone(), connect(&edge));
    let mut writer = client.try_clone().expect("a socket can be shared");
    let writing = thread::spawn(move || {
        writer.write_all(&sent).expect("all is taken");
        writer.shutdown(Shutdown::Write).expect("the side can be closed");
    });
    let mut seen = vec![0; 1_000_001];
    client.read_exact(&mut seen).expect("the echo begins");
    eventually("pipes are in use", SOON, || pipes(&edge) > before);
    seen.extend(rest(&mut client));
    assert!(seen[1..] == long, "what comes back is what was sent");
    writing.join().expect("written");
    let line = line(&edge);
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&40_000_003.into(), &40_000_004.into()), "{line}");
    assert_eq!(line["error"], Value::Null, "{line}");
}

#[test]
fn streams_whose_clients_take_nothing_hold_no_more_pipes_than_their_bound() {
    let conf = Conf::new().edge("workers = 1").listener("web", TCP).pool("p", &[pouring()], "# no probe");
    let edge = Edge::start(&conf.route("all", "failover", &["p"], ""));
    let before = pipes(&edge);
    let mut stuck: Vec<TcpStream> = (0..80).map(|_| connect(&edge)).collect();
    for client in &mut stuck {
        assert_eq!(said(client, 100_000).len(), 100_000, "with a pipe or without one");
    }
    eventually("all pipes are lent", SOON, || pipes(&edge) - before == 64);
    let mut late = connect(&edge);
    assert_eq!(said(&mut late, 3_000_000), "\u{7}".repeat(3_000_000), "others go on without one");
    drop(stuck);
    eventually("what held bytes is closed", SOON, || pipes(&edge) - before < 64);
    assert_eq!(said(&mut late, 3_000_000), "\u{7}".repeat(3_000_000));
}

#[test]
fn bytes_in_a_pipe_keep_a_stream_from_its_idle_limit() {
    let edge = edge_to(&[pouring()], "timeouts = { idle = \"300ms\" }");
    let mut client = connect(&edge);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        assert_eq!(said(&mut client, 100_000).len(), 100_000);
    }
    drop(client);
    assert_eq!(line(&edge)["error"], "reset", "the client ended it");
}

#[test]
fn a_client_that_closes_its_side_still_gets_the_answer() {
    let counting = server(|mut client| {
        let mut all = Vec::new();
        client.read_to_end(&mut all).expect("the client's end is seen");
        let _ = client.write_all(format!("{} bytes", all.len()).as_bytes());
    });
    let edge = edge_to(&[counting], "");
    let mut client = connect(&edge);
    client.write_all(&[7; 5000]).expect("written");
    client.shutdown(Shutdown::Write).expect("the side can be closed");
    assert_eq!(rest(&mut client), b"5000 bytes");
}

#[test]
fn an_endpoint_that_closes_its_side_still_hears_the_client() {
    let (tell, told) = mpsc::channel();
    let greeting = server(move |mut client| {
        let _ = client.write_all(b"bye");
        let _ = client.shutdown(Shutdown::Write);
        let _ = tell.send(rest(&mut client));
    });
    let edge = edge_to(&[greeting], "");
    let mut client = connect(&edge);
    assert_eq!(rest(&mut client), b"bye");
    client.write_all(b"and thanks").expect("the other direction is open");
    drop(client);
    assert_eq!(told.recv_timeout(SOON).expect("the endpoint hears it"), b"and thanks");
}

#[test]
fn an_endpoint_that_breaks_off_is_no_orderly_end() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Arc::new(std::sync::Mutex::new(gone));
    let breaking = server(move |mut client| {
        let _ = client.write_all(b"half");
        let _ = gone.lock().map(|gone| gone.recv());
        // Unread bytes make the close a reset.
        let mut byte = [0];
        let _ = client.peek(&mut byte);
    });
    let edge = edge_to(&[breaking], "");
    let mut client = connect(&edge);
    assert_eq!(said(&mut client, 4), "half");
    client.write_all(b"unread").expect("written");
    go.send(()).expect("the endpoint waits");
    let mut end = Vec::new();
    assert!(client.read_to_end(&mut end).is_err(), "a reset passes through");
    assert_eq!(line(&edge)["error"], "reset");
}

#[test]
fn an_endpoint_that_refuses_costs_no_connection() {
    let (dead, alive) = (nothing(), echo("b"));
    let conf =
        Conf::new().listener("web", TCP).pool("p", &[dead], "# no probe").pool("q", &[alive], "# no probe");
    let edge = Edge::start(&conf.route("all", "failover", &["p", "q"], ""));
    for _ in 0..5 {
        let mut client = connect(&edge);
        client.write_all(b"!").expect("written");
        assert_eq!(said(&mut client, 2), "b!");
    }
    let lines = lines(&edge, 5);
    assert!(lines.iter().all(|line| line["pool"] == "q"), "{lines:?}");
    assert!(lines.iter().any(|line| line["attempts"] == 2), "{lines:?}");
    assert!(edge.metric("thalweg_retries_total", &[("cause", "connect")]) >= 1.0);
    eventually("it is ejected", SOON, || edge.ejection(dead) != "Clear");
}

#[test]
fn a_connection_that_nothing_takes_is_closed_and_told() {
    let edge = edge_to(&[nothing()], "");
    assert_eq!(rest(&mut connect(&edge)), b"");
    let line = line(&edge);
    assert_eq!((&line["error"], &line["status"]), (&"connect_failed".into(), &502.into()), "{line}");
}

#[test]
fn new_connections_go_on_after_an_endpoint_is_killed() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = edge_to(&[first.addr(), second.addr()], "");
    let served =
        |count: usize| (0..count).map(|_| Client::connect(edge.web()).get("/").endpoint().to_owned());
    assert_eq!(served(10).count(), 10);
    first.die();
    assert!(served(20).all(|name| name == "b"), "each client is served");
    assert_eq!(first.hits() + second.hits(), 30, "no endpoint hears anything but the clients");
    assert!(second.requests().iter().all(|seen| seen.header("via").is_none()));
}

#[test]
fn an_endpoint_hears_its_clients_bytes_and_no_other() {
    let (tell, heard) = mpsc::channel();
    let recording = server(move |mut client| {
        let _ = tell.send(rest(&mut client));
    });
    let edge = edge_to(&[recording], "");
    for _ in 0..20 {
        connect(&edge).write_all(b"x").expect("written");
        assert_eq!(heard.recv_timeout(SOON).expect("each connection arrives"), b"x");
    }
}

#[test]
fn a_connection_counts_for_its_whole_life() {
    let conf = Conf::new().listener("web", TCP).pool("p", &[echo("a")], "max_in_flight = 1\n# no probe");
    let edge = Edge::start(&conf.edge("workers = 1").route("all", "failover", &["p"], ""));
    let mut one = connect(&edge);
    assert_eq!(said(&mut one, 1), "a");
    assert_eq!(edge.metric("thalweg_endpoint_in_flight", &[("pool", "p")]), 1.0);
    assert_eq!(rest(&mut connect(&edge)), b"", "the second has no room");
    assert_eq!(line(&edge)["refusal"], "overloaded");
    drop(one);
    eventually("there is room again", SOON, || rest_of(&edge) == b"a");
}

/// What a connection is told that closes its side at once.
fn rest_of(edge: &Edge) -> Vec<u8> {
    let mut client = connect(edge);
    let _ = client.shutdown(Shutdown::Write);
    rest(&mut client)
}

#[test]
fn a_stream_on_which_nothing_passes_ends() {
    let edge = edge_to(&[echo("a")], "timeouts = { idle = \"300ms\" }");
    let mut client = connect(&edge);
    assert_eq!(rest(&mut client), b"a");
    assert_eq!(line(&edge)["error"], "timeout");
}

#[test]
fn a_redis_server_is_served() {
    let Some(redis) = common::server::program("redis-server") else {
        return thalweg_testkit::skip("redis behind a tcp listener", "redis-server is not installed");
    };
    let (scratch, port) = (thalweg_testkit::Scratch::new(), free_port());
    let mut command = std::process::Command::new(redis);
    command
        .args(["--port", &port.to_string(), "--save", "", "--bind", "127.0.0.1", "--dir"])
        .arg(scratch.path());
    let redis = common::server::Server::start(command, port, &scratch);
    let conf = Conf::new().listener("web", TCP).raw("[probe.open]\nkind = \"tcp\"\ninterval = \"100ms\"\n");
    let conf = conf.pool("p", &[redis.addr], "probe = \"open\"").route("all", "failover", &["p"], "");
    let edge = Edge::start(&conf);
    edge.until_up(1);
    let mut client = connect(&edge);
    client.write_all(b"SET key value\r\nGET key\r\n").expect("written");
    assert_eq!(said(&mut client, 16), "+OK\r\n$5\r\nvalue\r\n");
}
