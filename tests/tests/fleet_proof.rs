//! The proof of the fleet as one report: `make fleet` runs it and prints the figures. One NATS server and three edges on
//! loopback; BIRD and the routers are in the scenarios of `anycast`, which `make fleet` runs before.

mod common;

use std::{fs, thread, time::Duration};

use common::{
    fleet::{Fleet, serves, until_serves},
    to,
};
use serde_json::{Value, json};
use thalweg_testkit::{Behaviour, Client, Conf, Edge, Endpoint, Scratch, eventually, get};

const SOON: Duration = Duration::from_secs(30);
const RINGS: [&str; 3] = ["canary", "region", "all"];
const ORDERS: usize = 30;

/// Three edges, one in each ring.
fn edges(fleet: &Fleet, conf: &Conf, states: &[Scratch; 3]) -> [Edge; 3] {
    [0, 1, 2].map(|nth| {
        let conf = conf.clone().edge(&format!("state_dir = \"{}\"", states[nth].path().display()));
        let edge = Edge::start(&fleet.of(conf, &format!("name = \"edge-{nth}\"\nring = \"{}\"", RINGS[nth])));
        eventually("the edge is connected", SOON, || edge.status()["fleet"]["connected"] == true);
        edge
    })
}

fn figure(what: &str, figure: &str) {
    println!("| {what} | {figure} |");
}

/// Median, 99th percentile and maximum, in milliseconds.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1000.0;
    format!("p50 {:.0} ms, p99 {:.0} ms, most {:.0} ms ({} times)", at(50), at(99), at(100), times.len())
}

/// Processor time of an edge so far, in clock ticks of 10 ms.
fn cpu(edge: &Edge) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", edge.pid())).expect("the edge runs");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    [11, 12].iter().filter_map(|nth| fields[*nth].parse::<u64>().ok()).sum()
}

/// Sends requests one after the other to every edge for a while; returns how many were sent and how many failed.
fn load(edges: &[&Edge], span: Duration) -> (usize, usize) {
    let began = std::time::Instant::now();
    let (mut sent, mut failed) = (0, 0);
    while began.elapsed() < span {
        for edge in edges {
            sent += 1;
            let answer =
                Client::try_connect(edge.web()).and_then(|mut client| client.ask("GET", "/", "", b""));
            failed += usize::from(!answer.is_ok_and(|answer| answer.status == 200));
        }
        thread::sleep(Duration::from_millis(2));
    }
    (sent, failed)
}

fn standing(edge: &Edge) -> usize {
    edge.admin_get("/api/v1/orders").json().as_array().map_or(0, Vec::len)
}

#[test]
#[ignore = "a report of a minute: make fleet"]
fn the_figures_of_a_fleet_of_three() {
    let Some(mut fleet) = Fleet::start("fleet: the proof") else { return };
    let (first, second, third) = (Endpoint::start("a"), Endpoint::start("b"), Endpoint::start("c"));
    let states = [Scratch::new(), Scratch::new(), Scratch::new()];
    let two_pools = Conf::simple("failover", &[first.addr(), second.addr()]);
    let edges = edges(&fleet, &two_pools, &states);
    println!("| what | figure |\n|---|---|");

    rollout(&fleet, &edges, &two_pools, &third);
    orders(&edges);
    eviction(&edges, &first);

    edges[0]
        .admin_post("/api/v1/orders", &json!({ "kind": "drain", "target": "p0", "fleet": true }).to_string());
    edges.iter().for_each(|edge| until_serves(edge, "b"));
    fleet.server.kill();
    edges.iter().for_each(|edge| {
        eventually("known", SOON, || edge.status()["fleet"]["connected"] == false);
    });
    let before: u64 = edges.iter().map(cpu).sum();
    thread::sleep(Duration::from_secs(5));
    let idle = edges.iter().map(cpu).sum::<u64>() - before;
    #[expect(clippy::cast_precision_loss, reason = "a few ticks")]
    let share = idle as f64 / 500.0 / 3.0 * 100.0;
    figure("engine dead: processor time of one edge without requests", &format!("{share:.1} % of one core"));
    let (sent, failed) = load(&edges.each_ref(), Duration::from_secs(3));
    figure("engine dead: failed requests", &format!("{failed} of {sent}"));
    assert_eq!(failed, 0);
    fleet.server.wipe();
    fleet.server.revive();
    let (sent, failed) = load(&edges.each_ref(), Duration::from_secs(3));
    let obey = edges.iter().filter(|edge| serves(edge) == "b" && standing(edge) == 1).count();
    figure(
        "engine wiped: failed requests; edges that obey the order still",
        &format!("{failed} of {sent}; {obey} of 3"),
    );
    assert_eq!((failed, obey), (0, 3));

    let [killed, rest @ ..] = edges;
    drop(killed);
    let (sent, failed) = load(&rest.each_ref(), Duration::from_secs(2));
    figure("an edge killed: failed requests at the others", &format!("{failed} of {sent}"));
    assert_eq!(failed, 0);
}

/// A good bundle goes from ring to ring, and a bad one comes back.
fn rollout(fleet: &Fleet, edges: &[Edge; 3], good: &Conf, bad: &Endpoint) {
    let done = fleet.publish_with(good, &["--bake", "5s"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let has = |edge: &Edge| edge.status()["fleet"]["bundle"]["on_trial"] == Value::Bool(false);
    let took = eventually("every ring has it", Duration::from_secs(90), || edges.iter().all(has));
    figure("rollout over three rings, each baked for 5 s", &format!("{:.1} s", took.as_secs_f64()));
    bad.behave(Behaviour::Status(500));
    let done = fleet.publish_with(&to(bad), &["--bake", "60s"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let on_trial = || edges[0].status()["fleet"]["bundle"]["on_trial"] == Value::Bool(true);
    eventually("the canary tries it", SOON, on_trial);
    let took = eventually("its guard takes it back", SOON, || {
        let _ = get(edges[0].web(), "/");
        edges[0].status()["fleet"]["refused"]["reason"] == "reverted"
    });
    let hurt = edges.iter().filter(|edge| edge.events_of("fleet_bundle_adopted").len() > 1).count();
    figure(
        "a bundle that answers 500: taken back after; edges that had it",
        &format!("{:.1} s; {hurt} of 3", took.as_secs_f64()),
    );
    assert_eq!(hurt, 1);
}

/// How long an order and its end take to the last edge.
fn orders(edges: &[Edge; 3]) {
    let (mut given, mut ended) = (Vec::new(), Vec::new());
    for nth in 0..ORDERS {
        let body = json!({ "kind": "dial", "target": "p1", "value": 50, "fleet": true }).to_string();
        let reply = edges[nth % 3].admin_post("/api/v1/orders", &body);
        assert_eq!(reply.status, 201, "{}", reply.text());
        given.push(eventually("on every edge", SOON, || edges.iter().all(|edge| standing(edge) == 1)));
        let id = reply.json()["id"].to_string();
        let done = thalweg_testkit::thalweg(&["cancel", &id, "--admin", &edges[(nth + 1) % 3].admin_url()]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        ended.push(eventually("ended on every edge", SOON, || edges.iter().all(|edge| standing(edge) == 0)));
    }
    figure("an order, from the answer to the last edge", &spread(given));
    figure("a cancel, from the answer to the last edge", &spread(ended));
}

/// How long after the first edge the last one has taken a dead endpoint out.
fn eviction(edges: &[Edge; 3], endpoint: &Endpoint) {
    let mut lags = Vec::new();
    for _ in 0..5 {
        edges.iter().for_each(|edge| {
            eventually("up", SOON, || edge.is_up(endpoint.addr()));
        });
        // The word may ask once in a probe interval.
        thread::sleep(Duration::from_secs(1));
        endpoint.die();
        eventually("the first edge", SOON, || edges.iter().any(|edge| !edge.is_up(endpoint.addr())));
        lags.push(eventually("the last edge", SOON, || {
            edges.iter().all(|edge| !edge.is_up(endpoint.addr()))
        }));
        endpoint.revive();
    }
    figure("a dead endpoint: out at the last edge, after the first one", &spread(lags));
    edges.iter().for_each(|edge| {
        eventually("up", SOON, || edge.is_up(endpoint.addr()));
    });
}
