//! The fleet: bundles that reach every edge, bundles that are refused, and an engine that is dead, wiped or lying.

mod common;

use std::{fs, time::Duration};

use common::{
    fleet::{Fleet, serves, until_serves},
    to,
};
use serde_json::{Value, json};
use thalweg_testkit::{Behaviour, Edge, Endpoint, Scratch, eventually, get, stays, thalweg};

const SOON: Duration = Duration::from_secs(20);
/// For a rollout over three rings on a busy machine.
const SLOW: Duration = Duration::from_secs(60);

fn refusals(edge: &Edge, reason: &str) -> f64 {
    edge.metric("thalweg_fleet_bundles_refused_total", &[("reason", reason)])
}

#[test]
fn a_published_config_reaches_every_edge_and_a_reload_keeps_it() {
    let Some(fleet) = Fleet::start("fleet: publish") else { return };
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let states = [Scratch::new(), Scratch::new()];
    let edges =
        [fleet.edge(&first, &states[0], "name = \"one\""), fleet.edge(&first, &states[1], "name = \"two\"")];
    assert_eq!(edges.each_ref().map(serves), ["a", "a"], "without a bundle, the files count");
    let number = fleet.publish(&to(&second));
    for edge in &edges {
        until_serves(edge, "b");
        let shown = edge.status()["fleet"].clone();
        assert_eq!(
            (&shown["bundle"]["number"], &shown["connected"]),
            (&json!(number), &json!(true)),
            "{shown}"
        );
        assert_eq!(edge.metric("thalweg_fleet_bundle", &[]), number as f64);
        assert_eq!(edge.metric("thalweg_fleet_connected", &[]), 1.0);
        assert!(edge.metric("thalweg_fleet_config_age_seconds", &[]) < 20.0);
        eventually("the event", SOON, || edge.events_of("fleet_bundle_adopted").len() == 1);
        assert_eq!(edge.reload().status, 200);
        assert_eq!(serves(edge), "b", "the files alone do not count");
    }
    let next = fleet.publish(&to(&first));
    assert!(next > number, "numbers grow also within a second");
    edges.iter().for_each(|edge| until_serves(edge, "a"));
}

#[test]
fn forged_replayed_truncated_and_huge_bundles_change_nothing() {
    let Some(fleet) = Fleet::start("fleet: bad bundles") else { return };
    let (first, second, third) = (Endpoint::start("a"), Endpoint::start("b"), Endpoint::start("c"));
    let state = Scratch::new();
    let edge = fleet.edge(&first, &state, "");
    fleet.publish(&to(&second));
    until_serves(&edge, "b");
    let kept = || fs::read(state.join("bundle")).expect("the last good bundle is kept");
    eventually("the bundle on disk", SOON, || state.join("bundle").exists());
    let old = kept();
    fleet.publish(&to(&third));
    until_serves(&edge, "c");
    eventually("the newer bundle on disk", SOON, || kept() != old);
    let good = kept();
    let line = good.iter().position(|byte| *byte == b'\n').expect("a first line");
    let forged = [&good[..=line], &good[line + 1..].to_ascii_uppercase()].concat();
    for (reason, bytes) in [
        ("forged", forged),
        ("malformed", good[..line - 9].to_vec()),
        ("forged", good[..good.len() / 2].to_vec()),
        ("replayed", old),
        ("too_large", vec![b'x'; 1_200_000]),
        ("malformed", b"hello".to_vec()),
        ("malformed", Vec::new()),
    ] {
        let before = refusals(&edge, reason);
        fleet.server.put("thalweg", "bundle.all", &bytes);
        eventually(&format!("one that is {reason} is refused"), SOON, || refusals(&edge, reason) > before);
        let told = edge.events_of("fleet_bundle_refused");
        assert_eq!(told.last().map(|event| &event["reason"]), Some(&json!(reason)));
        assert_eq!((serves(&edge), edge.generation()), ("c".to_owned(), 3));
    }
    let other = fleet.path("other.pem");
    let config = fleet.path("fleet.toml");
    let done = thalweg(&["publish", "--config", &config, "--key", &other]);
    assert!(done.code == 1 && done.stderr.contains("not the other half"), "{}", done.stderr);
    fleet.publish(&to(&first));
    until_serves(&edge, "a");
}

#[test]
fn a_dead_or_wiped_engine_costs_nothing_and_a_restart_begins_with_the_last_good_bundle() {
    let Some(mut fleet) = Fleet::start("fleet: dead engine") else { return };
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let state = Scratch::new();
    let mut edge = fleet.edge(&first, &state, "");
    fleet.publish(&to(&second));
    until_serves(&edge, "b");
    eventually("the bundle on disk", SOON, || state.join("bundle").exists());
    fleet.server.kill();
    eventually("a lost connection", SOON, || edge.metric("thalweg_fleet_connected", &[]) == 0.0);
    assert_eq!(serves(&edge), "b");
    edge.restart();
    assert_eq!(serves(&edge), "b", "the last good bundle, and not the files");
    assert_eq!(edge.status()["fleet"]["connected"], json!(false));
    assert_eq!(
        thalweg(&["publish", "--config", &fleet.path("fleet.toml"), "--key", &fleet.path("key.pem")]).code,
        1
    );
    fleet.server.wipe();
    fleet.server.revive();
    eventually("a connection", SOON, || edge.metric("thalweg_fleet_connected", &[]) == 1.0);
    stays("the edge sends to b", Duration::from_secs(2), || serves(&edge) == "b");
    fleet.publish(&to(&first));
    until_serves(&edge, "a");
}

#[test]
fn a_bundle_that_no_endpoint_stands_behind_is_not_taken() {
    let Some(fleet) = Fleet::start("fleet: taste") else { return };
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let state = Scratch::new();
    let edge = fleet.edge(&first, &state, "");
    second.refuse();
    fleet.publish(&to(&second));
    eventually("the taste", SOON, || refusals(&edge, "taste") > 0.0);
    let refused = edge.status()["fleet"]["refused"].clone();
    assert_eq!(refused["detail"], "route all: no endpoint answers", "{refused}");
    assert_eq!((serves(&edge), edge.generation()), ("a".to_owned(), 1));
    second.revive();
    until_serves(&edge, "b");
}

#[test]
fn a_bundle_that_makes_requests_fail_is_taken_back_and_does_not_come_again() {
    let Some(fleet) = Fleet::start("fleet: bake") else { return };
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let state = Scratch::new();
    let edge = fleet.edge(&first, &state, "");
    second.behave(Behaviour::Status(500));
    let done = fleet.publish_with(&to(&second), &["--bake", "120s"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    eventually("the bundle is tried", SOON, || edge.events_of("fleet_bundle_adopted").len() == 1);
    eventually("the guard", SOON, || {
        let _ = get(edge.web(), "/");
        refusals(&edge, "reverted") > 0.0
    });
    assert_eq!(serves(&edge), "a");
    stays("the edge sends to a", Duration::from_secs(2), || serves(&edge) == "a");
    assert_eq!(edge.reload().status, 200);
    assert_eq!(serves(&edge), "a", "a reload does not bring it back");
    second.behave(Behaviour::Serve);
    let done = fleet.publish_with(&to(&second), &["--bake", "1s"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    until_serves(&edge, "b");
    eventually("the bundle is good", SOON, || edge.events_of("fleet_bundle_good").len() == 1);
    assert_eq!(edge.status()["trial"], Value::Null);
}

/// An edge of each ring, named by it.
fn rings(fleet: &Fleet, endpoint: &Endpoint, states: &[Scratch; 3]) -> Vec<Edge> {
    let of = |(state, ring)| fleet.edge(endpoint, state, &format!("ring = \"{ring}\"\nname = \"{ring}.1\""));
    states.iter().zip(["canary", "region", "all"]).map(of).collect()
}

fn served(edges: &[Edge]) -> Vec<String> {
    edges.iter().map(serves).collect()
}

fn rollout(fleet: &Fleet, args: &[&str]) -> Value {
    let file = fleet.path("fleet.toml");
    let done = thalweg(&[&["rollout"], args, &["--config", &file, "--format", "json"]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    serde_json::from_str(&done.stdout).expect("JSON")
}

#[test]
fn a_rollout_goes_from_ring_to_ring_and_a_bad_bundle_hurts_the_canary_alone() {
    let Some(fleet) = Fleet::start("fleet: rollout") else { return };
    let (first, second, third) = (Endpoint::start("a"), Endpoint::start("b"), Endpoint::start("c"));
    let states = Default::default();
    let edges = rings(&fleet, &first, &states);
    let done = fleet.publish_with(&to(&second), &["--bake", "1s"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    eventually("all send to b", SLOW, || served(&edges) == ["b", "b", "b"]);
    eventually("the events", SOON, || {
        edges.iter().all(|edge| edge.events_of("fleet_bundle_adopted").len() == 1)
    });
    let when = |edge: &Edge, kind: &str| {
        let events = edge.events_of(kind);
        events.first().and_then(|event| Some(event["time"].as_str()?.to_owned()))
    };
    for (earlier, later) in edges.iter().zip(edges.iter().skip(1)) {
        let good = when(earlier, "fleet_bundle_good").expect("the earlier ring is good");
        let adopted = when(later, "fleet_bundle_adopted").expect("the later ring has it");
        assert!(good < adopted, "good at {good}, and the next ring took it at {adopted}");
        assert!(when(later, "fleet_bundle_waits").is_some());
    }
    third.behave(Behaviour::Status(500));
    let done = fleet.publish_with(&to(&third), &["--bake", "120s"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    eventually("the canary takes it back", SOON, || {
        let _ = get(edges[0].web(), "/");
        refusals(&edges[0], "reverted") > 0.0
    });
    let reported = || {
        let shown = rollout(&fleet, &[]);
        let edges = shown["edges"].as_array().cloned().unwrap_or_default();
        edges.iter().any(|edge| edge["edge"] == "canary.1" && edge["state"] == "reverted")
    };
    eventually("the canary's report", SOON, reported);
    stays("all send to b", Duration::from_secs(2), || served(&edges) == ["b", "b", "b"]);
    assert_eq!(edges[2].events_of("fleet_bundle_adopted").len(), 1, "the bad one never came here");
}

#[test]
fn a_bundle_stops_at_its_ring_and_an_operator_pauses_resumes_and_aborts_a_rollout() {
    let Some(fleet) = Fleet::start("fleet: rings and rollout by hand") else { return };
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let states = Default::default();
    let edges = rings(&fleet, &first, &states);
    for (ring, expected) in
        [("canary", ["b", "a", "a"]), ("region", ["b", "b", "a"]), ("all", ["b", "b", "b"])]
    {
        let done = fleet.publish_with(&to(&second), &["--bake", "0s", "--ring", ring]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        eventually(&format!("{expected:?}"), SOON, || served(&edges) == expected);
    }
    fleet.publish(&to(&first));
    eventually("a good bundle everywhere", SOON, || served(&edges) == ["a", "a", "a"]);
    let shown = rollout(&fleet, &["pause", "--reason", "holidays", "--owner", "ada"]);
    assert_eq!(
        (&shown["order"]["paused"], &shown["order"]["owner"]),
        (&json!(true), &json!("ada")),
        "{shown}"
    );
    let number = fleet.publish(&to(&second));
    eventually("they wait", SOON, || {
        edges.iter().all(|edge| edge.status()["fleet"]["waits"]["bundle"] == number)
    });
    assert_eq!(edges[0].status()["fleet"]["waits"]["why"], "paused by ada: holidays");
    assert_eq!(served(&edges), ["a", "a", "a"]);
    rollout(&fleet, &["resume"]);
    eventually("all send to b", SOON, || served(&edges) == ["b", "b", "b"]);
    let shown = rollout(&fleet, &["abort", "--reason", "wrong price"]);
    assert_eq!(shown["order"]["aborted"], number, "{shown}");
    eventually("all are back at a", SOON, || served(&edges) == ["a", "a", "a"]);
    stays("all send to a", Duration::from_secs(2), || served(&edges) == ["a", "a", "a"]);
    let file = fleet.path("fleet.toml");
    let human = thalweg(&["rollout", "--config", &file]);
    assert!(human.stdout.contains(&format!("aborted: bundle {number}")), "{}", human.stdout);
    assert!(human.stdout.contains("region.1 (region): "), "{}", human.stdout);
    fleet.publish(&to(&second));
    eventually("a newer bundle comes", SOON, || served(&edges) == ["b", "b", "b"]);
}
