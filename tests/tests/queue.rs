//! Requests that find every endpoint at `max_in_flight` wait in the queue of their pool: bounded, in order, not for ever.

mod common;

use std::{
    thread,
    time::{Duration, Instant},
};

use common::{alone, assert_ours};
use thalweg_testkit::{Behaviour, Client, Conf, Edge, Endpoint, Reply, eventually, stays};

const SOON: Duration = Duration::from_secs(10);

/// One endpoint that takes one request at a time, behind a queue. One worker: the order holds within a worker.
fn queued(queue: &str) -> (Edge, Endpoint) {
    let endpoint = Endpoint::start("a");
    let lines = format!("max_in_flight = 1\nqueue = {queue}");
    let conf = Conf::new()
        .edge("workers = 1")
        .listener("web", "")
        .pool("p0", &[endpoint.addr()], &lines)
        .route("all", "failover", &["p0"], "retry = { attempts = 0, on = [] }");
    let edge = Edge::start(&conf);
    edge.until_up(1);
    (edge, endpoint)
}

/// A client whose request is on its way.
fn asking(edge: &Edge, target: &str) -> Client {
    let mut client = Client::connect(edge.web());
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client
}

fn answer(client: &mut Client) -> Reply {
    client.reply("GET").expect("an answer")
}

fn waiting(edge: &Edge) -> u64 {
    edge.status()["pools"][0]["queue"]["waiting"].as_u64().expect("a number")
}

fn waits(edge: &Edge, result: &str) -> f64 {
    edge.metric("thalweg_queue_waits_total", &[("pool", "p0"), ("result", result)])
}

#[test]
fn requests_wait_for_their_turn_in_the_order_in_which_they_came() {
    let _alone = alone();
    let (edge, endpoint) = queued("{ size = 10, timeout = \"10s\" }");
    endpoint.behave(Behaviour::Slow(Duration::from_millis(60)));
    let mut clients = vec![asking(&edge, "/0")];
    eventually("the first is at the endpoint", SOON, || endpoint.hits() == 1);
    for nth in 1..5_u64 {
        clients.push(asking(&edge, &format!("/{nth}")));
        // Some of them may be served before the next one comes.
        eventually("the request waits or is served", SOON, || waiting(&edge) + endpoint.hits() as u64 > nth);
    }
    for client in &mut clients {
        let reply = answer(client);
        assert_eq!((reply.status, reply.endpoint()), (200, "a"));
    }
    let seen: Vec<String> = endpoint.requests().iter().map(|seen| seen.target().to_owned()).collect();
    assert_eq!(seen, ["/0", "/1", "/2", "/3", "/4"]);
    assert_eq!((waiting(&edge), edge.metric("thalweg_queue_length", &[("pool", "p0")])), (0, 0.0));
    assert!(waits(&edge, "served") >= 1.0);
    assert_eq!(edge.metric("thalweg_queue_wait_seconds_count", &[("pool", "p0")]), waits(&edge, "served"));
}

#[test]
fn a_full_queue_refuses_at_once_and_a_wait_ends() {
    let _alone = alone();
    let (edge, endpoint) = queued("{ size = 2, timeout = \"2s\" }");
    endpoint.behave(Behaviour::Hang);
    let _first = asking(&edge, "/first");
    eventually("the first is at the endpoint", SOON, || endpoint.hits() == 1);
    let mut places = [asking(&edge, "/1"), asking(&edge, "/2")];
    let began = Instant::now();
    eventually("two wait", SOON, || waiting(&edge) == 2);
    let refused = answer(&mut asking(&edge, "/3"));
    assert_ours(&refused, 503, "overloaded");
    for client in &mut places {
        let late = answer(client);
        assert_ours(&late, 503, "overloaded");
        assert_eq!(late.header("retry-after"), Some("1"));
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!((waits(&edge, "full"), waits(&edge, "timeout"), waiting(&edge)), (1.0, 2.0, 0));
    assert_eq!(endpoint.hits(), 1);
}

#[test]
fn a_client_that_hangs_up_leaves_the_queue() {
    let _alone = alone();
    let (edge, endpoint) = queued("{ size = 9, timeout = \"60s\" }");
    endpoint.behave(Behaviour::Hang);
    let first = asking(&edge, "/first");
    eventually("the first is at the endpoint", SOON, || endpoint.hits() == 1);
    let (gone, mut last) = (asking(&edge, "/gone"), asking(&edge, "/last"));
    eventually("two wait", SOON, || waiting(&edge) == 2);
    drop(gone);
    eventually("the first client has left the queue", SOON, || waiting(&edge) == 1);
    stays("the other waits on", Duration::from_millis(200), || waiting(&edge) == 1);
    endpoint.behave(Behaviour::Serve);
    drop(first);
    assert_eq!(answer(&mut last).status, 200);
    let seen: Vec<String> = endpoint.requests().iter().map(|seen| seen.target().to_owned()).collect();
    assert_eq!(seen, ["/first", "/last"]);
    assert_eq!(waits(&edge, "left"), 1.0);
}

#[test]
fn a_request_waits_only_when_no_other_pool_has_room() {
    let _alone = alone();
    let (near, far) = (Endpoint::start("near"), Endpoint::start("far"));
    let lines = "max_in_flight = 1\nqueue = { size = 9, timeout = \"10s\" }";
    let conf = Conf::new()
        .listener("web", "")
        .pool("p0", &[near.addr()], lines)
        .pool("p1", &[far.addr()], "")
        .route("all", "failover", &["p0", "p1"], "");
    let edge = Edge::start(&conf);
    edge.until_up(2);
    near.behave(Behaviour::Hang);
    let _first = asking(&edge, "/first");
    eventually("the first is at the endpoint", SOON, || near.hits() == 1);
    assert_eq!(answer(&mut asking(&edge, "/second")).endpoint(), "far");
    assert_eq!(waits(&edge, "served"), 0.0);
}

#[test]
fn a_slot_that_one_worker_frees_serves_a_request_that_waits_in_another() {
    let _alone = alone();
    let endpoint = Endpoint::start("a");
    let lines = "max_in_flight = 2\nqueue = { size = 200, timeout = \"30s\" }";
    let conf = Conf::new().listener("web", "").pool("p0", &[endpoint.addr()], lines).route(
        "all",
        "failover",
        &["p0"],
        "",
    );
    let edge = Edge::start(&conf);
    edge.until_up(1);
    endpoint.behave(Behaviour::Slow(Duration::from_millis(5)));
    let asking: Vec<_> = (0..16)
        .map(|_| {
            let addr = edge.web();
            thread::spawn(move || {
                let mut client = Client::connect(addr);
                (0..10).filter(|_| client.get("/").status == 200).count()
            })
        })
        .collect();
    let served: usize =
        asking.into_iter().map(|thread| thread.join().expect("every request is answered")).sum();
    assert_eq!(served, 160);
    assert!(waits(&edge, "served") > 0.0);
    eventually("no request waits", SOON, || waiting(&edge) == 0);
}

#[test]
fn requests_that_wait_outlive_a_reload() {
    let _alone = alone();
    let (mut edge, endpoint) = queued("{ size = 9, timeout = \"60s\" }");
    endpoint.behave(Behaviour::Hang);
    let first = asking(&edge, "/first");
    eventually("the first is at the endpoint", SOON, || endpoint.hits() == 1);
    let mut waiter = asking(&edge, "/waiter");
    eventually("one waits", SOON, || waiting(&edge) == 1);
    let lines = "max_in_flight = 1\nqueue = { size = 5, timeout = \"50s\" }";
    let conf = Conf::new()
        .edge("workers = 1")
        .listener("web", "")
        .pool("p0", &[endpoint.addr()], lines)
        .route("all", "failover", &["p0"], "");
    let text = edge.render(&conf);
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    assert_eq!((waiting(&edge), edge.status()["pools"][0]["queue"]["size"].as_u64()), (1, Some(5)));
    endpoint.behave(Behaviour::Serve);
    drop(first);
    assert_eq!(answer(&mut waiter).status, 200);
}
