//! How a pool that was left returns: latched until the operator says so, or with a share that grows.

mod common;

use std::time::{Duration, Instant};

use common::{alone, hammer, two_with};
use serde_json::Value;
use thalweg_testkit::{Conf, Edge, Endpoint, Health, eventually, get, stays, thalweg};

const SOON: Duration = Duration::from_secs(10);

/// What `status` says of a route's first pool under this key.
fn first_pool(edge: &Edge, key: &str) -> Value {
    edge.status()["routes"][0]["pools"][0][key].clone()
}

/// The pool `p0` is down, and up again.
fn lose_and_regain(edge: &Edge, first: &Endpoint) {
    first.health(Health::status(503));
    eventually("the second serves", SOON, || get(edge.web(), "/").endpoint() == "b");
    first.health(Health::ok());
    eventually("the first is up", SOON, || edge.is_up(first.addr()));
}

#[test]
fn a_latched_failover_lasts_until_the_operator_ends_it() {
    let (edge, first, _second) = two_with("failback = { mode = \"latched\" }");
    let failback = |route: &str| thalweg(&["failback", "--admin", &edge.admin_url(), "--route", route]);
    assert_eq!(failback("nowhere").code, 1, "there is no such route");
    assert_eq!(failback("all").code, 0, "nothing to end is no failure");
    first.health(Health::status(503));
    eventually("the second serves", SOON, || get(edge.web(), "/").endpoint() == "b");
    let early = failback("all");
    assert!(early.code == 1 && early.stderr.contains("still down: p0"), "{}", early.stderr);
    first.health(Health::ok());
    eventually("latched", SOON, || first_pool(&edge, "hold") == serde_json::json!({ "until": null }));
    assert_eq!(first_pool(&edge, "held"), true);
    let said = thalweg(&["status", "--admin", &edge.admin_url()]).stdout;
    assert!(said.contains("latched"), "{said}");
    let said = thalweg(&["explain", "--admin", &edge.admin_url(), "--host", "x", "--path", "/"]).stdout;
    assert!(said.contains("held") && said.contains("latched"), "{said}");
    let text = std::fs::read_to_string(edge.config()).expect("the config");
    edge.replace(&text.replace("mode = \"latched\"", "mode = \"latched\", ramp = \"1s\""));
    eventually("reloaded", SOON, || edge.generation() == 2);
    stays("latched", Duration::from_millis(1500), || get(edge.web(), "/").endpoint() == "b");
    let done = failback("all");
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stdout.contains("p0"), "{}", done.stdout);
    eventually("the first serves again", SOON, || get(edge.web(), "/").endpoint() == "a");
    assert_eq!((edge.events_of("held").len(), edge.events_of("failback").len()), (1, 1));
}

#[test]
fn an_order_to_fail_back_that_makes_no_sense_is_refused_with_a_reason() {
    let (edge, _first, _second) = two_with("failback = { mode = \"latched\" }");
    for (body, status, part) in [
        ("", 400, "no JSON"),
        ("{}", 422, "`route` is missing"),
        ("{\"route\":7}", 422, "`route` is missing"),
        ("{\"route\":\"x\"}", 404, "no route"),
        ("{\"route\":\"all\"}", 200, "returned"),
    ] {
        let answer = edge.admin_post("/api/v1/failback", body);
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.text().contains(part), "{body}: {}", answer.text());
    }
}

#[test]
fn a_share_that_ramps_follows_its_line() {
    let _alone = alone();
    let (edge, first, _second) = two_with("failback = { mode = \"ramp\", hold = \"500ms\", ramp = \"8s\" }");
    lose_and_regain(&edge, &first);
    eventually("the ramp begins", SOON, || first_pool(&edge, "ramp")["part"].is_number());
    let until = first_pool(&edge, "ramp")["until"].clone();
    let began = Instant::now();
    let mut last = 0.0;
    while first_pool(&edge, "ramp")["part"].is_number() {
        let before = first_pool(&edge, "ramp")["part"].as_f64().unwrap_or(1.0);
        let counts = hammer(edge.web(), 1, 200);
        let after = first_pool(&edge, "ramp")["part"].as_f64().unwrap_or(1.0);
        let got = counts.get("a").copied().unwrap_or(0) as f64 / 200.0;
        assert!(got >= before - 0.03 && got <= after + 0.03, "{got} between {before} and {after}");
        assert!(before >= last, "the ramp only rises: {before} after {last}");
        last = before;
        assert!(began.elapsed() < Duration::from_secs(30), "the ramp ends: {until}");
    }
    assert_eq!(hammer(edge.web(), 1, 100).get("a"), Some(&100));
}

#[test]
fn an_endpoint_that_returns_under_weighted_starts_slowly() {
    let _alone = alone();
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf = Conf::new().listener("web", "").pool("p0", &[first.addr(), second.addr()], "").route(
        "all",
        "weighted",
        &["p0"],
        "failback = { mode = \"ramp\", ramp = \"20s\" }",
    );
    let edge = Edge::start(&conf);
    edge.until_up(2);
    let slow = || edge.status()["pools"][0]["endpoints"][0]["slow_start"].clone();
    assert!(slow().is_null(), "the first Up is no return: {}", slow());
    first.health(Health::status(503));
    eventually("the first is down", SOON, || !edge.is_up(first.addr()));
    eventually("the second serves alone", SOON, || hammer(edge.web(), 1, 20).get("b") == Some(&20));
    first.health(Health::ok());
    eventually("the first is up", SOON, || edge.is_up(first.addr()));
    let counts = hammer(edge.web(), 1, 200);
    assert!(counts.get("a").copied().unwrap_or(0) < 60, "{counts:?}");
    assert!(slow()["part"].is_number(), "{}", slow());
    eventually("the share is whole", Duration::from_secs(40), || slow().is_null());
}
