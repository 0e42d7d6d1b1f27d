//! Races: for a late first byte on routes that hedge, for a late connect on all routes. Which requests race,
//! which endpoint wins, and what a race costs.

mod common;
#[path = "hedging/connects.rs"]
mod connects;

use std::time::{Duration, Instant};

use common::{FOR_GOOD, PATIENT, alone, hammer, until_ejected, until_known};
use thalweg_testkit::{Behaviour, Client, Conf, Edge, Endpoint, Load, Reply, eventually};

const SOON: Duration = Duration::from_secs(10);
const HEDGE: &str = "retry = { hedge = true }";

/// Region `a`, then region `b`; the edge has a latency baseline for `a`.
fn two(route: &str, eject: &str) -> (Edge, Endpoint, Endpoint) {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf = Conf::simple_with("failover", &[first.addr(), second.addr()], route).raw(eject);
    let edge = Edge::start(&conf);
    edge.until_up(2);
    until_known(&edge, std::slice::from_ref(&first));
    first.forget();
    (edge, first, second)
}

fn hedges(edge: &Edge, result: &str) -> f64 {
    edge.metric("thalweg_hedges_total", &[("route", "all"), ("result", result)])
}

fn ask(client: &mut Client, method: &str, target: &str, body: &[u8]) -> (Reply, Duration) {
    let began = Instant::now();
    let reply = client.ask(method, target, "", body).expect("an answer");
    (reply, began.elapsed())
}

fn idle(edge: &Edge, endpoint: &Endpoint) {
    let addr = endpoint.addr().to_string();
    eventually("no request is under way there", SOON, || {
        edge.metric("thalweg_endpoint_in_flight", &[("endpoint", &addr)]) == 0.0
    });
}

#[test]
fn a_hung_endpoint_costs_a_get_little_more_than_its_late_limit() {
    let _alone = alone();
    let (edge, first, second) = two(HEDGE, PATIENT);
    first.behave(Behaviour::Hang);
    let mut client = Client::connect(edge.web());
    let mut took = Vec::new();
    for _ in 0..8 {
        let (reply, span) = ask(&mut client, "GET", "/", b"");
        assert_eq!((reply.status, reply.endpoint()), (200, "b"));
        took.push(span);
    }
    took.sort();
    let usual = edge.endpoint(first.addr())["p95_us"].as_u64().map(Duration::from_micros).expect("is known");
    let late = (usual * 2).max(usual + Duration::from_millis(50));
    println!("late after {late:?}, answered after {took:?}");
    assert!(took[0] >= late, "no endpoint is raced before it is late");
    assert!(took[4] < late * 4, "late after {late:?}, answered after {took:?}");
    assert_eq!((hedges(&edge, "won"), edge.metric("thalweg_retries_total", &[])), (8.0, 0.0));
    assert_eq!((first.hits(), second.hits()), (8, 8));
    idle(&edge, &first);
    eventually("the attempts that lost were cancelled", SOON, || first.abandoned() == 8);
}

#[test]
fn lost_races_are_evidence_although_no_client_saw_a_failure() {
    let (edge, first, second) = two(HEDGE, FOR_GOOD);
    first.behave(Behaviour::Hang);
    let load = Load::to(edge.web()).rate(50.0).start();
    let told = until_ejected(&edge, &first);
    assert_eq!(told["fault"], "late", "{told}");
    let done = load.done();
    eventually("some more traffic", SOON, || load.done() > done + 50);
    let report = load.stop();
    report.assert_none_failed("GETs beside a wedged endpoint");
    assert!(report.shots.iter().rev().take(30).all(|shot| shot.by == "b"), "{:?}", report.by());
    assert_eq!(second.hits(), report.shots.len(), "each was answered once, and by b");
    assert!(hedges(&edge, "won") >= 3.0);
}

/// As [`two`], but without a baseline, and with a `first_byte` of two seconds.
fn two_unknown() -> (Edge, Endpoint, Endpoint) {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let route = "retry = { hedge = true }\ntimeouts = { first_byte = \"2s\" }";
    let conf = Conf::simple_with("failover", &[first.addr(), second.addr()], route);
    let edge = Edge::start(&conf.raw(FOR_GOOD));
    edge.until_up(2);
    (edge, first, second)
}

#[test]
fn a_slow_report_beside_a_fast_region_keeps_its_place_although_it_loses_every_race() {
    let (edge, first, second) = two_unknown();
    first.behave(Behaviour::Slow(Duration::from_millis(800)));
    let report = Load::to(edge.web()).rate(20.0).count(20).run();
    report.assert_none_failed("a slow report");
    assert_eq!((first.hits(), second.hits()), (20, 20), "each request was raced");
    let good = |edge: &Edge| {
        let addr = first.addr().to_string();
        edge.metric("thalweg_endpoint_requests_total", &[("endpoint", &addr), ("outcome", "ok")])
    };
    eventually("the endpoint has enough answers for a baseline", SOON, || good(&edge) >= 16.0);
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
}

#[test]
fn a_black_hole_without_a_baseline_is_ejected_although_its_probes_pass() {
    let (edge, first, second) = two_unknown();
    first.behave(Behaviour::Hang);
    let report = Load::to(edge.web()).rate(20.0).count(10).run();
    report.assert_none_failed("a hole");
    assert_eq!(second.hits(), 10);
    let told = until_ejected(&edge, &first);
    assert_eq!(told["fault"], "late", "{told}");
}

#[test]
fn a_post_is_never_raced() {
    let (edge, first, second) =
        two("retry = { hedge = true }\ntimeouts = { first_byte = \"500ms\" }", PATIENT);
    first.behave(Behaviour::Hang);
    let mut client = Client::connect(edge.web());
    for method in ["POST", "PATCH"] {
        assert_eq!(ask(&mut client, method, "/upload", b"x").0.status, 504, "{method}");
    }
    assert_eq!((first.hits(), second.hits()), (2, 0));
    assert_eq!(edge.metric("thalweg_hedges_total", &[]), 0.0);
}

#[test]
fn a_route_that_does_not_hedge_waits() {
    // Longer than the wait for a dead connection. This one is alive: the endpoint's kernel has acknowledged all data.
    let (edge, first, second) = two("timeouts = { first_byte = \"1500ms\" }", PATIENT);
    first.behave(Behaviour::Hang);
    assert_eq!(ask(&mut Client::connect(edge.web()), "GET", "/", b"").0.status, 504);
    assert_eq!((first.hits(), second.hits()), (1, 0));
    assert_eq!(edge.metric("thalweg_hedges_total", &[]), 0.0);
}

#[test]
fn hedges_keep_to_their_budget() {
    let (edge, first, second) =
        two("retry = { hedge = true }\ntimeouts = { first_byte = \"500ms\" }", PATIENT);
    let before = edge.metric("thalweg_requests_total", &[]);
    first.behave(Behaviour::Hang);
    let report = Load::to(edge.web()).rate(200.0).count(600).run();
    let raced = hedges(&edge, "won") + hedges(&edge, "lost") + hedges(&edge, "failed");
    assert_eq!(raced as usize, second.hits(), "every race was counted");
    assert_eq!(report.class(2), second.hits());
    // 5 % of all requests, and a burst of 20.
    let most = 20.0 + 0.05 * (before + 600.0) + 2.0;
    assert!((20.0..=most).contains(&raced), "{raced} races, {most} at most");
    // A request that the budget refused may race a little later.
    assert!(raced + hedges(&edge, "over_budget") >= 600.0, "each request was late");
    assert_eq!(edge.metric("thalweg_retry_budget_exhausted_total", &[]), 0.0, "not the budget of retries");
}

#[test]
fn a_rivals_error_does_not_win() {
    let (edge, first, second) = two(HEDGE, PATIENT);
    first.behave(Behaviour::Slow(Duration::from_millis(600)));
    second.behave(Behaviour::Status(500));
    let (reply, _) = ask(&mut Client::connect(edge.web()), "GET", "/", b"");
    assert_eq!((reply.status, reply.endpoint()), (200, "a"));
    assert_eq!((first.hits(), second.hits()), (1, 1));
    assert_eq!((hedges(&edge, "failed"), hedges(&edge, "won"), hedges(&edge, "lost")), (1.0, 0.0, 0.0));
}

#[test]
fn a_leader_that_answers_after_all_wins_and_its_rival_is_cancelled() {
    let (edge, first, second) = two(HEDGE, PATIENT);
    first.behave(Behaviour::Slow(Duration::from_millis(600)));
    second.behave(Behaviour::Hang);
    let mut client = Client::connect(edge.web());
    let (reply, _) = ask(&mut client, "GET", "/", b"");
    assert_eq!((reply.status, reply.endpoint()), (200, "a"));
    assert_eq!(hedges(&edge, "lost"), 1.0);
    eventually("the rival was cancelled", SOON, || second.abandoned() == 1);
    idle(&edge, &second);
    first.behave(Behaviour::Serve);
    assert_eq!(
        ask(&mut client, "GET", "/", b"").0.endpoint(),
        "a",
        "the connection to the client is in step"
    );
}

#[test]
fn a_rival_that_was_not_needed_keeps_its_share_of_the_pool() {
    let endpoints = [Endpoint::start("x"), Endpoint::start("y")];
    let conf = Conf::new()
        .edge("workers = 1")
        .listener("web", "")
        .pool("p", &[endpoints[0].addr(), endpoints[1].addr()], "")
        .route("all", "failover", &["p"], HEDGE)
        .raw(PATIENT);
    let edge = Edge::start(&conf);
    edge.until_up(2);
    until_known(&edge, &endpoints);
    // Both answer after 300 ms: the leader began earlier, so it wins.
    endpoints.iter().for_each(|endpoint| endpoint.behave(Behaviour::Slow(Duration::from_millis(300))));
    let (reply, _) = ask(&mut Client::connect(edge.web()), "GET", "/", b"");
    assert_eq!((reply.status, hedges(&edge, "lost")), (200, 1.0));
    endpoints.iter().for_each(|endpoint| endpoint.behave(Behaviour::Serve));
    let rival = endpoints.iter().find(|endpoint| endpoint.name() != reply.endpoint()).expect("one of two");
    eventually("the rival was cancelled", SOON, || rival.abandoned() == 1);
    let served = hammer(edge.web(), 1, 200);
    assert!(served.get(rival.name()) > Some(&60), "{} lost its share for nothing: {served:?}", rival.name());
}

#[test]
fn when_both_fail_the_leaders_failure_is_the_answer() {
    let (edge, first, second) = two("retry = { hedge = true }\ntimeouts = { first_byte = \"1s\" }", PATIENT);
    first.behave(Behaviour::Hang);
    second.behave(Behaviour::ResetBeforeHead);
    let mut client = Client::connect(edge.web());
    assert_eq!(ask(&mut client, "GET", "/", b"").0.status, 504);
    assert_eq!(hedges(&edge, "failed"), 1.0);
    first.behave(Behaviour::Serve);
    assert_eq!(
        ask(&mut client, "GET", "/", b"").0.endpoint(),
        "a",
        "the connection to the client is in step"
    );
}

#[test]
fn a_raced_upload_arrives_whole_and_each_answer_is_that_of_its_request() {
    let (edge, first, second) = two(HEDGE, PATIENT);
    first.behave(Behaviour::Hang);
    let mut client = Client::connect(edge.web());
    for nth in 0..8 {
        let body = format!("upload {nth} ").repeat(300);
        let (reply, _) = ask(&mut client, "PUT", &format!("/echo?n={nth}"), body.as_bytes());
        assert_eq!((reply.status, reply.endpoint()), (200, "b"));
        assert!(reply.body == body.as_bytes(), "the body of another request");
    }
    assert_eq!(hedges(&edge, "won"), 8.0);
    for (at_first, at_second) in first.requests().iter().zip(second.requests()) {
        assert_eq!(at_first.target(), at_second.target());
        assert_eq!(at_first.header("x-request-id"), at_second.header("x-request-id"));
        assert_eq!((at_first.body_len, at_first.body_hash), (at_second.body_len, at_second.body_hash));
    }
}

#[test]
fn an_upload_too_large_to_keep_is_not_raced() {
    let route = "retry = { hedge = true, buffer = \"1KiB\" }\ntimeouts = { first_byte = \"500ms\" }";
    let (edge, first, second) = two(route, PATIENT);
    first.behave(Behaviour::Hang);
    let (reply, _) = ask(&mut Client::connect(edge.web()), "PUT", "/echo", &[b'x'; 64 * 1024]);
    assert_eq!(reply.status, 504);
    assert_eq!((first.hits(), second.hits()), (1, 0));
}

#[test]
fn a_request_for_an_upgrade_is_not_raced() {
    let (edge, first, second) = two(HEDGE, PATIENT);
    first.behave(Behaviour::Slow(Duration::from_millis(400)));
    let mut client = Client::connect(edge.web());
    client.send("GET /ws HTTP/1.1\r\nhost: api.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    let head = client.head().expect("a head");
    assert_eq!(head.word(1), "101", "{}", head.line);
    assert_eq!(second.hits(), 0);
    assert_eq!(edge.metric("thalweg_hedges_total", &[]), 0.0);
}

#[test]
fn silence_is_not_tried_again_although_a_rival_was_silent_too() {
    let (edge, first, second) =
        two("retry = { hedge = true }\ntimeouts = { first_byte = \"700ms\" }", PATIENT);
    first.behave(Behaviour::Hang);
    second.behave(Behaviour::Hang);
    let mut client = Client::connect(edge.web());
    assert_eq!(ask(&mut client, "GET", "/", b"").0.status, 504);
    assert_eq!((first.hits(), second.hits()), (1, 1), "each endpoint was asked once");
    assert_eq!(edge.metric("thalweg_retries_total", &[]), 0.0);
}

#[test]
fn a_leader_that_fails_during_a_race_is_counted_by_its_own_outcome() {
    let (edge, first, second) = two(HEDGE, PATIENT);
    first.behave(Behaviour::Hang);
    second.behave(Behaviour::Slow(Duration::from_millis(600)));
    let addr = edge.web();
    let asked = std::thread::spawn(move || thalweg_testkit::get(addr, "/"));
    eventually("the rival is asked", SOON, || second.hits() == 1);
    first.cut();
    let reply = asked.join().expect("an answer");
    assert_eq!((reply.status, reply.endpoint()), (200, "b"));
    let ended = |outcome| {
        let labels = [("endpoint", &*first.addr().to_string()), ("outcome", outcome)];
        edge.metric("thalweg_endpoint_requests_total", &labels)
    };
    assert_eq!((ended("reset"), ended("cancelled")), (1.0, 0.0));
}
