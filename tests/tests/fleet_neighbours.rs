//! What edges tell each other: a word brings a probe forward, and decides nothing.

mod common;

use std::time::{Duration, Instant};

use common::fleet::{Fleet, serves};
use serde_json::{Value, json};
use thalweg_testkit::{Conf, Edge, Endpoint, eventually, stays, thalweg};

const SOON: Duration = Duration::from_secs(15);
const SUBJECT: &str = "thalweg.thalweg.seen";

/// An edge with two pools in failover order, probed this often.
fn edge(fleet: &Fleet, name: &str, pools: [&Endpoint; 2], interval: &str) -> Edge {
    let probe = format!(
        "[probe.own]\npath = \"/health\"\ninterval = \"{interval}\"\ntimeout = \"300ms\"\nconfirm = \"100ms\"\n"
    );
    let pool = "probe = \"own\"";
    let conf = Conf::new()
        .listener("web", "")
        .raw(&probe)
        .pool("p0", &[pools[0].addr()], pool)
        .pool("p1", &[pools[1].addr()], pool)
        .route("all", "failover", &["p0", "p1"], "");
    let edge = Edge::start(&fleet.of(conf, &format!("name = \"{name}\"")));
    eventually("the edge is connected", SOON, || edge.status()["fleet"]["connected"] == true);
    edge
}

fn shown(edge: &Edge, field: &str) -> Vec<Value> {
    edge.status()["fleet"][field].as_array().cloned().expect("a list")
}

fn words(edge: &Edge, result: &str) -> f64 {
    edge.metric("thalweg_fleet_words_total", &[("result", result)])
}

fn extra_probes(edge: &Edge) -> f64 {
    edge.metric("thalweg_fleet_extra_probes_total", &[])
}

/// A word of an edge that does not exist.
fn word(number: u64, out: &[&Endpoint]) -> Vec<u8> {
    let out: Vec<Value> =
        out.iter().map(|one| json!([format!("p{}", one.name()), one.addr().to_string()])).collect();
    json!({ "edge": "liar", "process": 1, "number": number, "ttl_ms": 900_000_000, "pools": [["p0", 0, 1]], "out": out })
        .to_string()
        .into_bytes()
}

#[test]
fn what_one_edge_finds_another_one_looks_at_long_before_its_next_probe() {
    let Some(fleet) = Fleet::start("fleet neighbours: suspicion") else { return };
    let (first, second) = (Endpoint::start("0"), Endpoint::start("1"));
    let one = edge(&fleet, "edge.one", [&first, &second], "200ms");
    let two = edge(&fleet, "edge.two", [&first, &second], "60s");
    for edge in [&one, &two] {
        eventually("the edges know of each other", SOON, || shown(edge, "edges").len() == 2);
    }
    assert_eq!([serves(&one), serves(&two)], ["0", "0"]);
    first.die();
    eventually("the edge that probes often", SOON, || !one.is_up(first.addr()));
    // This edge gets no request, and its own next probe is up to a minute away.
    eventually("the edge that probes seldom", SOON, || !two.is_up(first.addr()));
    assert!(extra_probes(&two) >= 1.0);
    assert_eq!(serves(&two), "1");
    let names: Vec<Value> = shown(&two, "edges").iter().map(|row| row["edge"].clone()).collect();
    assert_eq!(names, [json!("edge.two"), json!("edge.one")]);
    assert_eq!(two.metric("thalweg_fleet_neighbours", &[]), 1.0);
}

#[test]
fn an_edge_that_lies_changes_no_decision_and_its_cost_is_bounded() {
    let Some(fleet) = Fleet::start("fleet neighbours: lies") else { return };
    let (first, second) = (Endpoint::start("0"), Endpoint::start("1"));
    let edge = edge(&fleet, "one", [&first, &second], "1s");
    edge.until_up(2);
    eventually("the edge listens", SOON, || words(&edge, "own") >= 1.0);
    let (began, before) = (Instant::now(), extra_probes(&edge));
    fleet.server.publish(SUBJECT, &[&word(1, &[&first, &second])]);
    eventually("the lie is heard and shown", SOON, || shown(&edge, "disagreements").len() == 2);
    assert_eq!(shown(&edge, "disagreements")[0]["out_at"], json!(["liar"]));
    let asked = ["explain", "--admin", &edge.admin_url(), "--host", "x", "--path", "/"];
    let told = thalweg(&asked).stdout;
    let line = format!("fleet     disagrees about p0/{}: in service here, out at liar", first.addr());
    assert!(told.contains(&line), "{told}");
    let said: Value =
        serde_json::from_str(&thalweg(&[&asked[..], &["--format", "json"]].concat()).stdout).expect("JSON");
    assert_eq!(said["disagreements"].as_array().map(Vec::len), Some(2), "{said}");
    // All is down, all is up, again and again; the same again; and nonsense.
    let mut number = 1;
    let unharmed = || edge.is_up(first.addr()) && edge.is_up(second.addr()) && serves(&edge) == "0";
    stays("both pools serve", Duration::from_secs(4), || {
        let mut flood: Vec<Vec<u8>> = Vec::new();
        for _ in 0..20 {
            number += 2;
            flood.push(word(number, &[]));
            flood.push(word(number + 1, &[&first, &second]));
            flood.push(word(1, &[&first, &second]));
            flood.push(b"{}".to_vec());
        }
        let flood: Vec<&[u8]> = flood.iter().map(Vec::as_slice).collect();
        fleet.server.publish(SUBJECT, &flood);
        unharmed()
    });
    let most = 2.0 * (began.elapsed().as_secs_f64() + 2.0);
    let extra = extra_probes(&edge) - before;
    assert!(extra >= 1.0 && extra <= most, "{extra} extra probes, at most {most}");
    assert!(words(&edge, "flood") > 0.0 && words(&edge, "malformed") > 0.0);
    assert!(edge.events_of("failover").is_empty());
    first.die();
    eventually("the edge sees for itself", SOON, || !edge.is_up(first.addr()));
    stays("a neighbour that says all is well brings nothing back", Duration::from_secs(2), || {
        number += 2;
        fleet.server.publish(SUBJECT, &[&word(number, &[])]);
        !edge.is_up(first.addr()) && serves(&edge) == "1"
    });
}

#[test]
fn two_edges_of_one_name_both_say_so() {
    let Some(fleet) = Fleet::start("fleet neighbours: one name") else { return };
    let (first, second) = (Endpoint::start("0"), Endpoint::start("1"));
    let edges = [(); 2].map(|()| edge(&fleet, "twin", [&first, &second], "200ms"));
    for edge in &edges {
        eventually("told", SOON, || edge.events_of("fleet_name_taken").len() == 1);
        assert_eq!(serves(edge), "0");
    }
}
