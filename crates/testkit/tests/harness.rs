//! Tests of the harness itself: fakes behave as configured, and the generator's ledger is true. No edge is involved.

use std::{io::ErrorKind, time::Duration};

use thalweg_testkit::{
    Authority, Behaviour, Blackhole, Client, Endpoint, H2, Health, Load, Outcome, client_config, get,
    server_config,
};

#[test]
fn an_endpoint_answers_by_path_and_remembers() {
    let endpoint = Endpoint::start("a");
    let mut client = Client::connect(endpoint.addr());
    assert_eq!(client.get("/bytes/100000").body.len(), 100_000);
    assert_eq!(client.get("/chunked/300000").body.len(), 300_000);
    let trailers = client.get("/trailers");
    assert_eq!((trailers.body.as_slice(), trailers.trailers.len()), (&b"hello"[..], 1));
    assert_eq!(client.get("/status/418").status, 418);
    assert_eq!(client.ask("POST", "/echo", "", b"abc").expect("an echo").body, b"abc");
    let chunked = b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
    let echoed = client.ask("POST", "/echo", "transfer-encoding: chunked\r\n", chunked).expect("an echo");
    assert_eq!(echoed.body, b"hello!");
    let upload = client.ask("POST", "/upload", "", b"abc").expect("an answer").json();
    assert_eq!(upload["hash"].as_u64(), Some(Endpoint::hash(b"abc")));
    assert_eq!(client.ask("HEAD", "/", "", b"").expect("a head").body.len(), 0);
    assert_eq!(client.get("/until-close/7").body.len(), 7);
    let seen = endpoint.requests();
    assert_eq!(seen.len(), 9);
    assert_eq!((seen[4].method(), seen[4].target(), seen[4].body_len), ("POST", "/echo", 3));
    assert!(seen.iter().all(|seen| seen.complete && seen.connection == 1));
    assert_eq!(endpoint.probes(), 0);
}

#[test]
fn an_endpoint_misbehaves_as_told() {
    let endpoint = Endpoint::start("a");
    let ask = |behaviour| {
        endpoint.behave(behaviour);
        // A reset may arrive before the client's connect returns.
        let mut client = Client::try_connect(endpoint.addr())?;
        client.patience(Duration::from_secs(1));
        client.ask("GET", "/", "", b"")
    };
    assert_eq!(ask(Behaviour::ResetBeforeHead).expect_err("reset").kind, ErrorKind::ConnectionReset);
    assert_eq!(ask(Behaviour::CloseBeforeHead).expect_err("closed").kind, ErrorKind::UnexpectedEof);
    assert_eq!(ask(Behaviour::Hang).expect_err("silent").kind, ErrorKind::TimedOut);
    let cut = ask(Behaviour::ResetAfterHead).expect_err("cut");
    assert_eq!((cut.head.is_some(), cut.body.len()), (true, 10));
    assert_eq!(ask(Behaviour::Status(503)).expect("an answer").status, 503);
    assert_eq!(ask(Behaviour::HintsFirst).expect("an answer").informational.len(), 1);
    assert_eq!(ask(Behaviour::SlowLoris(Duration::from_millis(10))).expect("an answer").body.len(), 10);
    assert!(ask(Behaviour::ResetOnAccept).is_err());
    assert_eq!(ask(Behaviour::Serve).expect("an answer").status, 200);
    thalweg_testkit::eventually("the abandoned one is counted", Duration::from_secs(5), || {
        endpoint.abandoned() == 1
    });
}

#[test]
fn an_endpoint_refuses_dies_and_returns_on_its_address() {
    let endpoint = Endpoint::start("a");
    let mut kept = Client::connect(endpoint.addr());
    kept.get("/");
    endpoint.refuse();
    assert_eq!(
        Client::try_connect(endpoint.addr()).map(drop).expect_err("refused").kind,
        ErrorKind::ConnectionRefused
    );
    kept.get("/");
    endpoint.revive();
    get(endpoint.addr(), "/");
    endpoint.die();
    assert!(kept.ends(Duration::from_secs(5)));
    thalweg_testkit::eventually("all are gone", Duration::from_secs(5), || endpoint.open_connections() == 0);
}

#[test]
fn health_is_switched_apart_from_the_rest() {
    let endpoint = Endpoint::start("a");
    assert_eq!(get(endpoint.addr(), "/health").json()["status"], "ok");
    endpoint.health(Health::status(503));
    assert_eq!(get(endpoint.addr(), "/health").status, 503);
    assert_eq!(get(endpoint.addr(), "/").status, 200);
    assert_eq!((endpoint.probes(), endpoint.hits()), (2, 1));
}

#[test]
fn a_blackhole_swallows_connects() {
    let hole = Blackhole::start();
    let tried = std::net::TcpStream::connect_timeout(&hole.addr(), Duration::from_millis(300));
    assert_eq!(tried.expect_err("no answer").kind(), ErrorKind::TimedOut);
}

#[test]
fn a_tls_endpoint_proves_its_name() {
    let authority = Authority::new("test root");
    let endpoint = Endpoint::start_tls("a", server_config(&authority.leaf(&["a.test"])));
    let config = client_config(&authority, &["http/1.1"], &[]);
    let (mut client, _, _) = Client::connect_tls(endpoint.addr(), "a.test", &config).expect("a handshake");
    assert_eq!(client.get("/").status, 200);
    Client::connect_tls(endpoint.addr(), "b.test", &config).map(drop).expect_err("another name");
    H2::connect_tls(endpoint.addr(), "a.test", &config).map(drop).expect_err("no h2 there");
}

#[test]
fn the_ledger_has_every_request() {
    let endpoint = Endpoint::start("a");
    let report = Load::to(endpoint.addr()).rate(1000.0).count(1000).posts(0.25).fresh(0.1).run();
    assert_eq!(report.outcomes().get(&Outcome::Status(200)), Some(&1000), "{:?}", report.outcomes());
    assert_eq!(report.shots.iter().filter(|shot| shot.post).count(), 250);
    assert_eq!(report.by().get("a"), Some(&1000));
    assert_eq!(report.closed, 0);
    let ids = endpoint.ids();
    assert_eq!(ids.len(), 1000);
    assert!(ids.values().all(|&count| count == 1));
    assert!(endpoint.connections() >= 100);
}

#[test]
fn the_generator_measures_from_the_moment_a_request_was_due() {
    let endpoint = Endpoint::start("a");
    endpoint.behave(Behaviour::Slow(Duration::from_millis(100)));
    let report = Load::to(endpoint.addr()).rate(100.0).count(50).run();
    let (p50, p99) = (report.latency.value_at_quantile(0.5), report.latency.value_at_quantile(0.99));
    assert!((100_000..2_000_000).contains(&p50) && p99 >= p50, "p50 {p50} µs, p99 {p99} µs");
}

#[test]
fn the_generator_tells_failures_apart() {
    let endpoint = Endpoint::start("a");
    let outcome = |behaviour| {
        endpoint.behave(behaviour);
        let report = Load::to(endpoint.addr()).rate(500.0).count(5).timeout(Duration::from_millis(500)).run();
        report.outcomes().into_keys().next().expect("an outcome")
    };
    assert_eq!(outcome(Behaviour::Status(503)), Outcome::Status(503));
    assert_eq!(outcome(Behaviour::ResetBeforeHead), Outcome::Failed("reset".to_owned()));
    assert_eq!(outcome(Behaviour::CloseBeforeHead), Outcome::Failed("closed".to_owned()));
    assert_eq!(outcome(Behaviour::Hang), Outcome::Failed("timeout".to_owned()));
    assert_eq!(outcome(Behaviour::ResetAfterHead), Outcome::CutAfterHead(200));
    endpoint.refuse();
    assert_eq!(outcome(Behaviour::Serve), Outcome::Failed("refused".to_owned()));
}
