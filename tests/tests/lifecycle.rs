//! Start and stop: a stop loses no request, and a start takes no port that another process holds.

mod common;

use std::{thread, time::Duration};

use common::one;
use thalweg_testkit::{
    Behaviour, Client, Conf, Edge, Endpoint, Scratch, Signal, binary, eventually, get, stays,
};

const SOON: Duration = Duration::from_secs(8);

fn with(edge: &str) -> (Edge, Endpoint) {
    let endpoint = Endpoint::start("a");
    let edge = Edge::start(&Conf::simple("failover", &[endpoint.addr()]).edge(edge));
    edge.until_up(1);
    (edge, endpoint)
}

#[test]
fn an_idle_edge_ends_at_once_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let (edge, _endpoint) = one();
        let mut idle = Client::connect(edge.web());
        idle.get("/");
        edge.signal(signal);
        assert_eq!(edge.exit_code(Duration::from_secs(5)), 0);
        assert!(idle.ends(SOON), "idle connections are closed");
    }
}

#[test]
fn a_draining_edge_is_not_ready_but_serves_until_its_delay_is_over() {
    let (edge, _endpoint) = with("drain_delay = \"2s\"");
    let mut kept = Client::connect(edge.web());
    kept.get("/");
    edge.signal(Signal::TERM);
    eventually("not ready", Duration::from_secs(1), || edge.ready() == 503);
    assert_eq!(edge.admin_get("/livez").status, 200);
    assert_eq!(get(edge.web(), "/").status, 200, "new connections are still taken");
    let last = kept.get("/");
    assert_eq!(last.status, 200);
    assert_eq!(edge.exit_code(SOON), 0);
    assert!(edge.started.elapsed() > Duration::from_secs(2));
}

#[test]
fn answers_of_a_draining_edge_close_their_connection() {
    let (edge, endpoint) = with("drain_timeout = \"10s\"");
    endpoint.behave(Behaviour::Slow(Duration::from_secs(1)));
    let mut client = Client::connect(edge.web());
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    eventually("the request is under way", SOON, || endpoint.hits() == 1);
    edge.signal(Signal::TERM);
    let reply = client.reply("GET").expect("the request in flight is answered");
    assert_eq!((reply.status, reply.endpoint()), (200, "a"));
    assert!(
        reply.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
        "{:?}",
        reply.head
    );
    assert!(client.ends(SOON));
    assert_eq!(edge.exit_code(SOON), 0);
}

#[test]
fn many_requests_in_flight_all_end_before_the_process_does() {
    let (edge, endpoint) = with("drain_timeout = \"10s\"");
    endpoint.behave(Behaviour::SlowLoris(Duration::from_millis(100)));
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let addr = edge.web();
            thread::spawn(move || get(addr, "/").body.len())
        })
        .collect();
    eventually("all requests are under way", SOON, || endpoint.hits() == 20);
    edge.signal(Signal::TERM);
    for thread in asked {
        assert_eq!(thread.join().expect("a whole answer"), 10);
    }
    assert_eq!(edge.exit_code(SOON), 0);
    assert_eq!(edge.access_log().len(), 20, "the log is written to its end");
}

#[test]
fn the_drain_has_an_end() {
    let (edge, endpoint) = with("drain_timeout = \"1s\"");
    endpoint.behave(Behaviour::Hang);
    let mut stuck = Client::connect(edge.web());
    stuck.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    eventually("the request is under way", SOON, || endpoint.hits() == 1);
    edge.signal(Signal::TERM);
    let began = std::time::Instant::now();
    assert_eq!(edge.exit_code(SOON), 0);
    let took = began.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn an_answer_that_the_end_of_the_drain_cuts_has_its_line_in_the_log() {
    let (edge, _endpoint) = with("drain_timeout = \"200ms\"");
    let mut stuck = Client::connect(edge.web());
    stuck.send("GET /bytes/100000000 HTTP/1.1\r\nhost: x\r\nx-request-id: cut\r\n\r\n");
    stuck.head().expect("a head, and nothing after it is read");
    edge.signal(Signal::TERM);
    assert_eq!(edge.exit_code(SOON), 0);
    let log = edge.access_log();
    let lines: Vec<_> = log.iter().filter(|line| line["request_id"] == "cut").collect();
    assert_eq!(lines.len(), 1, "{log:?}");
}

#[test]
fn a_second_interrupt_ends_the_edge_now() {
    let (edge, endpoint) = with("drain_timeout = \"60s\"");
    endpoint.behave(Behaviour::Hang);
    let mut stuck = Client::connect(edge.web());
    stuck.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    eventually("the request is under way", SOON, || endpoint.hits() == 1);
    edge.signal(Signal::INT);
    eventually("the edge drains", SOON, || edge.ready() != 200);
    edge.signal(Signal::TERM);
    stays("a second SIGTERM is no hurry", Duration::from_millis(500), || edge.ended().is_none());
    edge.signal(Signal::INT);
    edge.exit_code(Duration::from_secs(3));
}

#[test]
fn new_connections_are_refused_once_the_delay_is_over() {
    let (edge, endpoint) = with("drain_timeout = \"20s\"");
    endpoint.behave(Behaviour::Hang);
    let mut stuck = Client::connect(edge.web());
    stuck.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    eventually("the request is under way", SOON, || endpoint.hits() == 1);
    edge.signal(Signal::TERM);
    // New connections do not prolong the drain.
    eventually("the listener is closed", SOON, || {
        (0..50).any(|_| {
            Client::try_connect(edge.web())
                .map(|mut client| client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n"))
                .is_err()
        })
    });
    assert_eq!(edge.ended(), None, "the edge still waits for the request in flight");
}

#[test]
fn a_request_that_comes_late_on_a_kept_connection_is_its_last_or_finds_it_closed() {
    let (edge, endpoint) = with("drain_timeout = \"20s\"");
    let mut kept = Client::connect(edge.web());
    kept.get("/");
    endpoint.behave(Behaviour::Hang);
    let mut stuck = Client::connect(edge.web());
    stuck.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    eventually("the request is under way", SOON, || endpoint.hits() == 2);
    edge.signal(Signal::TERM);
    eventually("the listener is closed", SOON, || Client::try_connect(edge.web()).is_err());
    endpoint.behave(Behaviour::Serve);
    let says_so = |value: &str| value.eq_ignore_ascii_case("close");
    // Each connection has its own moment within the drain; until then its answers are as before.
    eventually("the answer announces the close", SOON, || match kept.ask("GET", "/late", "", b"") {
        Ok(reply) => {
            assert_eq!(reply.status, 200);
            reply.header("connection").is_some_and(says_so)
        }
        Err(gone) => {
            assert!(gone.closed(), "{gone}");
            true
        }
    });
    assert!(kept.ends(SOON));
}

#[test]
fn a_rolling_restart_behind_readiness_loses_nothing() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::simple("failover", &[endpoint.addr()]).edge("drain_delay = \"500ms\"");
    let edge = Edge::start(&conf);
    edge.until_up(1);
    let load = thalweg_testkit::Load::to(edge.web()).rate(100.0).start();
    eventually("traffic flows", SOON, || load.done() > 30);
    edge.signal(Signal::TERM);
    eventually("not ready: the balancer takes it out", SOON, || edge.ready() == 503);
    let report = load.stop();
    report.assert_none_failed("the time until the balancer has noticed");
    assert_eq!(edge.exit_code(SOON), 0);
}

#[test]
fn a_log_without_a_reader_does_not_stop_traffic() {
    let (edge, _endpoint) = one();
    // A write to a file never blocks; the counter of dropped lines shows that the writer is separate from the workers.
    let report = thalweg_testkit::Load::to(edge.web()).rate(500.0).count(500).run();
    report.assert_none_failed("logging");
    assert_eq!(edge.metric("thalweg_log_dropped_total", &[]), 0.0);
}

#[test]
fn lines_that_cannot_be_written_are_counted_and_reported_once() {
    let endpoint = Endpoint::start("a");
    let scratch = Scratch::new();
    std::os::unix::fs::symlink("/dev/full", scratch.path().join("edge.out")).expect("a link");
    let conf = Conf::simple("failover", &[endpoint.addr()]);
    let edge = Edge::spawn(&conf, scratch, binary()).expect("the edge starts");
    edge.until_up(1);
    for lost in 1..=3 {
        assert_eq!(get(edge.web(), "/").status, 200);
        let count = || edge.metric("thalweg_log_dropped_total", &[]);
        eventually("the lost line is counted", SOON, || count() == f64::from(lost));
    }
    assert_eq!(edge.stderr().matches("access log cannot be written").count(), 1);
}

#[test]
fn signals_of_log_rotation_change_nothing_and_quit_drains() {
    let (edge, endpoint) = with("");
    endpoint.behave(Behaviour::Slow(Duration::from_millis(500)));
    for signal in [Signal::USR1, Signal::USR2] {
        thread::scope(|scope| {
            let waiting = scope.spawn(|| get(edge.web(), "/").status);
            eventually("the request is there", SOON, || endpoint.hits() > 0);
            edge.signal(signal);
            assert_eq!(waiting.join().expect("no panic"), 200);
        });
        endpoint.forget();
    }
    eventually("both are in the log", SOON, || {
        let log = edge.stderr();
        log.contains("SIGUSR1") && log.contains("SIGUSR2")
    });
    thread::scope(|scope| {
        let waiting = scope.spawn(|| get(edge.web(), "/").status);
        eventually("the request is there", SOON, || endpoint.hits() > 0);
        edge.signal(Signal::QUIT);
        assert_eq!(waiting.join().expect("no panic"), 200);
    });
    assert_eq!(edge.exit_code(SOON), 0);
}
