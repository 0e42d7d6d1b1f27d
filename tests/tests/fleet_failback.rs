//! `failback --fleet`: a latched failover ends on every edge that can, once, and on no edge that cannot.

mod common;

use std::time::Duration;

use common::fleet::{Fleet, connected, serves, until_serves};
use serde_json::json;
use thalweg_testkit::{Conf, Edge, Endpoint, Health, Scratch, eventually, stays, thalweg};

const SOON: Duration = Duration::from_secs(15);

/// An edge with two pools in failover order, latched.
fn edge(fleet: &Fleet, name: &str, pools: [&Endpoint; 2], state: &Scratch) -> Edge {
    fleet.edge_of_two(name, pools, state, "failback = { mode = \"latched\" }")
}

fn is_latched(edge: &Edge) -> bool {
    edge.status()["routes"][0]["pools"][0]["held"] == true
}

/// Loses the first endpoint and gets it back: the edges stay with the second.
fn latch(edges: &[&Edge], first: &Endpoint) {
    first.health(Health::status(503));
    edges.iter().for_each(|edge| until_serves(edge, "b"));
    first.health(Health::ok());
    for edge in edges {
        eventually("latched", SOON, || is_latched(edge));
    }
}

#[test]
fn a_failback_for_the_fleet_ends_latches_once_and_each_edge_judges() {
    let Some(fleet) = Fleet::start("fleet failback") else { return };
    fleet.make_bucket();
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let states = [Scratch::new(), Scratch::new(), Scratch::new()];
    let [one, mut two, frozen] = [("one", 0), ("two", 1), ("frozen", 2)]
        .map(|(name, nth)| edge(&fleet, name, [&first, &second], &states[nth]));
    latch(&[&one, &two, &frozen], &first);
    assert_eq!(frozen.admin_post("/api/v1/orders", "{\"kind\":\"freeze\"}").status, 201);
    let failback =
        |route: &str| thalweg(&["failback", "--fleet", "--admin", &one.admin_url(), "--route", route]);
    let wrong = failback("nowhere");
    assert!(wrong.code == 1 && wrong.stderr.contains("no route"), "{}", wrong.stderr);
    let done = failback("all");
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stdout.contains("\"p0\""), "what it did on the edge that was asked: {}", done.stdout);
    until_serves(&one, "a");
    until_serves(&two, "a");
    eventually("the frozen edge has heard it", SOON, || frozen.events_of("fleet_failback").len() == 1);
    assert_eq!(frozen.events_of("fleet_failback")[0]["result"], "frozen");
    assert!(is_latched(&frozen) && serves(&frozen) == "b");
    let told = two.events_of("fleet_failback");
    assert_eq!((told.len(), &told[0]["returned"]), (1, &json!(["p0"])), "{told:?}");
    // A later latch is another one, also for a process that reads the list for the first time.
    latch(&[&two], &first);
    two.restart();
    connected(&two);
    stays("the old order ends no new latch", Duration::from_secs(6), || {
        is_latched(&two) && serves(&two) == "b"
    });
}

#[test]
fn without_an_engine_nothing_is_ordered_and_without_a_fleet_it_is_refused() {
    let Some(mut fleet) = Fleet::start("fleet failback: away") else { return };
    fleet.make_bucket();
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let state = Scratch::new();
    let edge = edge(&fleet, "one", [&first, &second], &state);
    fleet.server.kill();
    eventually("the edge knows", SOON, || edge.status()["fleet"]["connected"] == false);
    let asked = "{\"route\":\"all\",\"fleet\":true}";
    let away = edge.admin_post("/api/v1/failback", asked);
    assert!(away.status == 503 && away.text().contains("fleet_away"), "{}", away.text());
    assert_eq!(edge.admin_post("/api/v1/failback", "{\"route\":\"all\",\"fleet\":1}").status, 422);
    assert_eq!(edge.admin_post("/api/v1/failback", "{\"route\":\"all\"}").status, 200, "this edge alone");
    let alone = Edge::start(&Conf::simple("failover", &[first.addr()]));
    let none = alone.admin_post("/api/v1/failback", asked);
    assert!(none.status == 409 && none.text().contains("no_fleet"), "{}", none.text());
}
