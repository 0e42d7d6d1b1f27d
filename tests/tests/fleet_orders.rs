//! Orders for the fleet: given once and in force on every edge, refused by each edge for itself, and obeyed while the engine
//! is dead, wiped or lying.

mod common;

use std::time::Duration;

use common::fleet::{Fleet, connected, serves, until_serves};
use serde_json::{Value, json};
use thalweg_testkit::{Edge, Endpoint, Health, Reply, Scratch, eventually, stays, thalweg};

const SOON: Duration = Duration::from_secs(15);

/// A fleet with a bucket and without a bundle for these edges: each has its own files.
fn fleet(scenario: &str) -> Option<Fleet> {
    let fleet = Fleet::start(scenario)?;
    fleet.make_bucket();
    Some(fleet)
}

/// An edge with two pools in failover order, connected to the fleet.
fn edge(fleet: &Fleet, name: &str, pools: [&Endpoint; 2], state: &Scratch) -> Edge {
    fleet.edge_of_two(name, pools, state, "")
}

fn order(edge: &Edge, body: &Value) -> Reply {
    edge.admin_post("/api/v1/orders", &body.to_string())
}

fn give(edge: &Edge, body: &Value) -> Value {
    let reply = order(edge, body);
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()
}

fn standing(edge: &Edge) -> Vec<Value> {
    edge.admin_get("/api/v1/orders").json().as_array().cloned().expect("a list")
}

fn refused(edge: &Edge) -> Vec<Value> {
    edge.status()["fleet"]["orders"]["refused"].as_array().cloned().expect("a list")
}

#[test]
fn an_order_for_the_fleet_is_in_force_on_every_edge_and_one_cancel_ends_it() {
    let Some(fleet) = fleet("fleet orders: every edge") else { return };
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let states = [Scratch::new(), Scratch::new()];
    let [one, two] =
        ["one", "two"].map(|name| edge(&fleet, name, [&first, &second], &states[usize::from(name == "two")]));
    let own = give(&one, &json!({ "kind": "freeze" }));
    assert_eq!((&own["id"], &own["origin"]), (&json!(1), &json!("edge")));
    let admin = one.admin_url();
    let args = ["drain", "--pool", "p0", "--fleet", "--reason", "disk", "--owner", "ada", "--admin", &admin];
    let done = thalweg(&[&args[..], &["--format", "json"]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    let given: Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!((&given["origin"], &given["reason"]), (&json!("fleet"), &json!("disk")));
    assert_eq!(serves(&one), "b", "in force on the edge that was asked when the answer comes");
    until_serves(&two, "b");
    let there = standing(&two);
    assert_eq!(there.len(), 1);
    for field in ["id", "kind", "target", "owner", "reason", "origin", "until"] {
        assert_eq!(there[0][field], given[field], "{field}");
    }
    assert_eq!(two.metric("thalweg_fleet_orders", &[("state", "obeyed")]), 1.0);
    let undrained = order(&two, &json!({ "kind": "undrain", "target": "p0" })).json();
    assert_eq!(undrained["ended"], json!([]), "an undrain of one edge ends no order of the fleet");
    assert_eq!(undrained["still"][0]["id"], given["id"]);
    let id = given["id"].to_string();
    let done = thalweg(&["cancel", &id, "--fleet", "--admin", &two.admin_url()]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    [&one, &two].iter().for_each(|edge| until_serves(edge, "a"));
    assert_eq!(standing(&one).len(), 1, "the order of the edge stands");
    let again = thalweg(&["cancel", &id, "--fleet", "--admin", &admin]);
    assert!(again.code == 1 && again.stderr.contains("no order with this number"), "{}", again.stderr);
    assert_eq!(thalweg(&["cancel", "1", "--fleet", "--admin", &admin]).code, 2);
    give(&two, &json!({ "kind": "drain", "target": "p0", "fleet": true }));
    until_serves(&one, "b");
    let ended = order(&one, &json!({ "kind": "undrain", "target": "p0", "fleet": true })).json();
    assert_eq!(ended["ended"].as_array().map(Vec::len), Some(1), "{ended}");
    [&one, &two].iter().for_each(|edge| until_serves(edge, "a"));
    for body in [
        json!({ "kind": "drain", "target": "nowhere", "fleet": true }),
        json!({ "kind": "freeze", "fleet": 1 }),
    ] {
        assert!([404, 422].contains(&order(&one, &body).status), "{body}");
    }
}

#[test]
fn an_order_ends_everywhere_when_its_time_is_over_and_does_not_come_again() {
    let Some(fleet) = fleet("fleet orders: expiry") else { return };
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let states = [Scratch::new(), Scratch::new()];
    let [one, two] =
        ["one", "two"].map(|name| edge(&fleet, name, [&first, &second], &states[usize::from(name == "two")]));
    give(&one, &json!({ "kind": "dial", "target": "p0", "value": 0, "for": "3s", "fleet": true }));
    until_serves(&two, "b");
    let over = |edge: &Edge| edge.events_of("order_ended").iter().any(|event| event["cause"] == "expired");
    for edge in [&one, &two] {
        eventually("the order expires", SOON, || over(edge));
        until_serves(edge, "a");
    }
    stays("an order that is over stays over", Duration::from_secs(6), || {
        [&one, &two].iter().all(|edge| edge.events_of("order_given").len() == 1 && standing(edge).is_empty())
    });
}

#[test]
fn an_edge_that_must_refuse_says_so_stops_no_other_and_obeys_once_it_can() {
    let Some(fleet) = fleet("fleet orders: refusals") else { return };
    let (first, second, dead) = (Endpoint::start("a"), Endpoint::start("b"), Endpoint::start("c"));
    dead.health(Health::status(503));
    let states = [Scratch::new(), Scratch::new()];
    let one = edge(&fleet, "one", [&first, &second], &states[0]);
    let two = edge(&fleet, "two", [&first, &dead], &states[1]);
    let given = give(&one, &json!({ "kind": "drain", "target": "p0", "fleet": true, "force": true }));
    until_serves(&one, "b");
    eventually("the other edge refuses", SOON, || refused(&two).len() == 1);
    let why = refused(&two)[0].clone();
    assert_eq!((&why["id"], &why["problem"]), (&given["id"], &json!("last_to_serve")));
    assert_eq!(two.events_of("fleet_order_refused").len(), 1);
    assert_eq!(two.metric("thalweg_fleet_orders", &[("state", "refused")]), 1.0);
    assert_eq!((serves(&two), standing(&two).len()), ("a".to_owned(), 0), "not even a forced one");
    dead.health(Health::default());
    until_serves(&two, "c");
    assert!(refused(&two).is_empty());
    assert_eq!(two.events_of("fleet_order_refused").len(), 1, "told once");
}

#[test]
fn orders_stand_while_the_engine_is_dead_and_wiped() {
    let Some(mut fleet) = fleet("fleet orders: dead engine") else { return };
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let states = [Scratch::new(), Scratch::new()];
    let mut one = edge(&fleet, "one", [&first, &second], &states[0]);
    let two = edge(&fleet, "two", [&first, &second], &states[1]);
    let given = give(&one, &json!({ "kind": "drain", "target": "p0", "fleet": true }));
    until_serves(&two, "b");
    fleet.server.kill();
    eventually("the edge knows", SOON, || one.status()["fleet"]["connected"] == false);
    let away = order(&one, &json!({ "kind": "freeze", "fleet": true }));
    assert_eq!((away.status, &away.json()["error"]), (503, &json!("fleet_away")));
    let id = given["id"].to_string();
    let done = thalweg(&["cancel", &id, "--admin", &one.admin_url()]);
    assert!(done.code == 1 && done.stderr.contains("nothing was written"), "{} {}", done.code, done.stderr);
    one.restart();
    eventually("obeyed from disk", SOON, || serves(&one) == "b");
    assert_eq!(standing(&one)[0]["id"], given["id"]);
    fleet.server.wipe();
    fleet.server.revive();
    fleet.make_bucket();
    [&one, &two].iter().for_each(|edge| connected(edge));
    assert_eq!([serves(&one), serves(&two)], ["b", "b"], "an order that is missing is not cancelled");
    eventually("the cancel arrives", SOON, || {
        thalweg(&["cancel", &id, "--admin", &one.admin_url()]).code == 0
    });
    [&one, &two].iter().for_each(|edge| until_serves(edge, "a"));
}

#[test]
fn a_lying_list_takes_no_edge_out_of_service() {
    let Some(fleet) = fleet("fleet orders: lies") else { return };
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let state = Scratch::new();
    let one = edge(&fleet, "one", [&first, &second], &state);
    give(&one, &json!({ "kind": "dial", "target": "p1", "value": 50 }));
    let entry = |id: u64, fields: Value| {
        let mut entry = json!({ "id": id, "since_ms": id, "force": true, "owner": "x", "reason": "" });
        entry.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        entry
    };
    let drain = |id, pool: &str| entry(id, json!({ "kind": "drain", "target": { "pool": pool } }));
    let base = 1_900_000_000_000_u64;
    let orders = json!([
        drain(base, "p0"),
        drain(base + 1, "p1"),
        drain(1, "p0"),
        drain(base + 2, "nowhere"),
        entry(base + 3, json!({ "kind": "explode" })),
        entry(base + 4, json!({ "kind": "dial", "target": "p0", "value": 300 })),
        "nonsense",
        null,
    ]);
    let list = json!({ "format": "thalweg-fleet-orders", "version": 1, "orders": orders });
    fleet.server.put("thalweg", "orders", list.to_string().as_bytes());
    eventually("what can be obeyed is obeyed, the rest is refused", SOON, || refused(&one).len() == 4);
    let stand: Vec<u64> = standing(&one).iter().filter_map(|order| order["id"].as_u64()).collect();
    assert_eq!(stand, [base, 1], "the number of an edge's order cannot be taken");
    assert_eq!(serves(&one), "b");
    let mut ended = list.clone();
    ended["orders"][0]["cancelled"] = json!({ "by": "ada", "at_ms": base });
    fleet.server.put("thalweg", "orders", ended.to_string().as_bytes());
    eventually("the cancelled one ends, and another one can be obeyed", SOON, || {
        standing(&one).iter().all(|order| order["id"] != base) && serves(&one) == "a"
    });
    fleet.server.put("thalweg", "orders", list.to_string().as_bytes());
    stays("an old list brings nothing back", Duration::from_secs(2), || {
        standing(&one).iter().all(|order| order["id"] != base) && serves(&one) == "a"
    });
    for bytes in [&b"hello"[..], b"", b"{}", &[b'x'; 900_000]] {
        fleet.server.put("thalweg", "orders", bytes);
    }
    eventually("told", SOON, || !one.events_of("fleet_orders_rejected").is_empty());
    assert_eq!((serves(&one), standing(&one).len()), ("a".to_owned(), 2));
}
