//! Races between connects: on every route and for every method, because no request was sent yet.

use std::time::Duration;

use thalweg_testkit::{Blackhole, Client, Conf, Edge, Endpoint, Load, Weather, eventually};

use crate::{
    SOON, ask,
    common::{FOR_GOOD, Far, PATIENT, alone},
    hedges,
};

/// A region where no connect completes, then region `b`; the connect timeout is five seconds.
fn beside_a_hole(eject: &str) -> (Edge, Blackhole, Endpoint) {
    beside_a_hole_with("", eject)
}

fn beside_a_hole_with(route: &str, eject: &str) -> (Edge, Blackhole, Endpoint) {
    let (hole, second) = (Blackhole::start(), Endpoint::start("b"));
    let conf = Conf::new()
        .listener("web", "")
        .pool("p0", &[hole.addr()], "# no probe")
        .pool("p1", &[second.addr()], "# no probe")
        .route("all", "failover", &["p0", "p1"], &format!("timeouts = {{ connect = \"5s\" }}\n{route}"))
        .raw(eject);
    (Edge::start(&conf), hole, second)
}

#[test]
fn a_hung_connect_is_raced_on_a_route_without_retries_too() {
    let _alone = alone();
    let (edge, _hole, second) = beside_a_hole_with("retry = { attempts = 0, on = [] }", PATIENT);
    let mut client = Client::connect(edge.web());
    for method in ["GET", "POST"] {
        let (reply, span) = ask(&mut client, method, "/upload", b"x");
        assert_eq!((reply.status, reply.endpoint()), (200, "b"), "{method}");
        assert!(span < Duration::from_secs(4), "{method} waited for the connect timeout: {span:?}");
        let id = reply.header("x-request-id").expect("an id").to_owned();
        assert_eq!(edge.logged(&id)["attempts"], 2, "{method}");
    }
    assert_eq!(second.hits(), 2, "each request arrived once");
    assert_eq!(hedges(&edge, "connect_won"), 2.0);
    assert_eq!(edge.metric("thalweg_retries_total", &[]), 0.0);
}

#[test]
fn a_hung_connect_is_raced_for_every_method_and_counts_in_no_budget() {
    let _alone = alone();
    let (edge, _hole, second) = beside_a_hole(PATIENT);
    let mut client = Client::connect(edge.web());
    let mut took = Vec::new();
    for nth in 0..40 {
        let method = ["GET", "POST"][nth % 2];
        let (reply, span) = ask(&mut client, method, "/upload", b"x");
        assert_eq!((reply.status, reply.endpoint()), (200, "b"), "{method}");
        took.push(span);
    }
    took.sort();
    println!("answered after {:?} to {:?}, median {:?}", took[0], took[39], took[20]);
    assert!(took[20] < Duration::from_millis(1000), "{took:?}");
    assert!(took[39] < Duration::from_secs(4), "one waited for the connect timeout: {took:?}");
    assert_eq!(hedges(&edge, "connect_won"), 40.0);
    assert_eq!(second.hits(), 40, "each request arrived once");
    for name in ["thalweg_retries_total", "thalweg_retry_budget_exhausted_total"] {
        assert_eq!(edge.metric(name, &[]), 0.0, "{name}");
    }
    assert_eq!(hedges(&edge, "over_budget"), 0.0);
}

#[test]
fn hung_connects_eject_an_endpoint_without_a_probe() {
    let (edge, hole, second) = beside_a_hole(FOR_GOOD);
    let report = Load::to(edge.web()).rate(50.0).count(100).posts(0.5).run();
    report.assert_none_failed("a hole");
    eventually("ejected", SOON, || edge.ejection(hole.addr()) == "ejected");
    assert_eq!(second.hits(), 100);
    assert!(hedges(&edge, "connect_won") >= 3.0);
}

#[test]
fn an_endpoint_with_a_slow_handshake_serves_and_is_not_ejected() {
    let far = Far::behind(Weather { connect: Duration::from_millis(300), ..Weather::default() });
    let near = Endpoint::start("near");
    let conf = Conf::new()
        .listener("web", "")
        .raw(&far.pool("# no probe"))
        .pool("p1", &[near.addr()], "# no probe")
        .route("all", "weighted", &["p0", "p1"], "timeouts = { connect = \"5s\" }")
        .raw(FOR_GOOD);
    let edge = Edge::start(&conf);
    let load = Load::to(edge.web()).rate(50.0).start();
    eventually("both serve", SOON, || {
        let by = |name: &str| load.last(50).iter().filter(|shot| shot.by == name).count();
        by("far") >= 15 && by("near") >= 15
    });
    load.stop().assert_none_failed("a slow handshake");
    assert!(hedges(&edge, "connect_won") >= 1.0, "the first connect lost its race");
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
    assert_eq!(edge.ejection(far.addr), "clear");
}

#[test]
fn a_deadline_that_passes_while_connecting_is_a_timeout() {
    let (first, second) = (Blackhole::start(), Blackhole::start());
    let route = "timeouts = { connect = \"2s\", total = \"1s\" }";
    let conf = Conf::new()
        .listener("web", "")
        .pool("p0", &[first.addr()], "# no probe")
        .pool("p1", &[second.addr()], "# no probe")
        .route("all", "failover", &["p0", "p1"], route)
        .raw(PATIENT);
    let edge = Edge::start(&conf);
    let mut client = Client::connect(edge.web());
    let (reply, took) = ask(&mut client, "GET", "/", b"");
    assert_eq!(reply.status, 504, "after {took:?}");
}
