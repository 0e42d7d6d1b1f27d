//! Damping: a pool that flaps gets no traffic for a while, as status, events, metrics and `explain` show. The
//! damping ends when the pool was quiet.

mod common;

use std::time::Duration;

use common::two_with;
use thalweg_testkit::{Edge, Endpoint, Health, eventually, get, stays, thalweg};

const SOON: Duration = Duration::from_secs(10);

/// The pool `p0` is lost and is Up again.
fn flap(edge: &Edge, first: &Endpoint) {
    first.health(Health::status(503));
    eventually("the first is down", SOON, || !edge.is_up(first.addr()));
    first.health(Health::ok());
    eventually("the first is up", SOON, || edge.is_up(first.addr()));
}

#[test]
fn a_pool_that_flaps_is_damped_and_returns_when_it_was_quiet() {
    let (edge, first, _second) = two_with(
        "failback = { mode = \"immediate\" }\n\
         damping = { suppress = 3.0, reuse = 1.0, half_life = \"10s\", max = \"6s\" }",
    );
    let damped = || edge.metric("thalweg_damped", &[("route", "all"), ("pool", "p0")]);
    assert_eq!(damped(), 0.0);
    let lost = || edge.metric("thalweg_failovers_total", &[("route", "all"), ("from", "p0"), ("to", "p1")]);
    for _ in 0..12 {
        flap(&edge, &first);
    }
    eventually("damped", SOON, || damped() == 1.0);
    let failovers = lost();
    assert!((3.0..=4.0).contains(&failovers), "{failovers} failovers of twelve losses");
    let pool = edge.status()["routes"][0]["pools"][0].clone();
    assert!(pool["damped"]["until"].is_string(), "{pool}");
    let said = thalweg(&["explain", "--admin", &edge.admin_url(), "--host", "x", "--path", "/"]).stdout;
    assert!(said.contains("damped until"), "{said}");
    stays("the second serves", Duration::from_secs(2), || get(edge.web(), "/").endpoint() == "b");
    eventually("the pool was quiet and serves again", Duration::from_secs(20), || {
        get(edge.web(), "/").endpoint() == "a"
    });
    assert_eq!((damped(), lost()), (0.0, failovers));
    let events = edge.events_of("damped");
    let of_pool =
        |on: bool| events.iter().filter(|event| event["on"] == on && event["route"] == "all").count();
    assert_eq!((of_pool(true), of_pool(false)), (1, 1), "{events:?}");
}

#[test]
fn the_operator_may_end_a_damping() {
    let (edge, first, _second) = two_with("failback = { mode = \"immediate\" }");
    for _ in 0..6 {
        flap(&edge, &first);
    }
    eventually("damped", SOON, || edge.status()["routes"][0]["pools"][0]["damped"].is_object());
    stays("the second serves", Duration::from_secs(1), || get(edge.web(), "/").endpoint() == "b");
    let done = thalweg(&["failback", "--admin", &edge.admin_url(), "--route", "all"]);
    assert!(done.code == 0 && done.stdout.contains("p0"), "{}{}", done.stdout, done.stderr);
    eventually("the first serves again", SOON, || get(edge.web(), "/").endpoint() == "a");
}
