//! The webhook: state changes of pools and routes as JSON, at a real server that receives them.

mod common;

use std::time::Duration;

use serde_json::Value;
use thalweg_testkit::{
    Authority, Conf, Edge, Endpoint, Health, Load, Posted, Receiver, eventually, server_config,
};

const SOON: Duration = Duration::from_secs(15);

/// Two regions in failover order, and this in the config.
fn edge_with(more: &str) -> (Edge, Endpoint, Endpoint) {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf = Conf::simple("failover", &[first.addr(), second.addr()]).edge("region = \"here\"").raw(more);
    let edge = Edge::start(&conf);
    edge.until_up(2);
    (edge, first, second)
}

fn webhook(receiver: &Receiver) -> String {
    format!("[notify]\nwebhook = \"http://{}/hook?token=secret\"\n", receiver.addr())
}

/// The events of all posts, oldest first.
fn events(posted: &[Posted]) -> Vec<Value> {
    let of = |posted: &Posted| posted.json()["events"].as_array().cloned().expect("events");
    posted.iter().flat_map(of).collect()
}

fn has(posted: &[Posted], event: &str) -> bool {
    events(posted).iter().any(|one| one["event"] == event)
}

fn counted(edge: &Edge, result: &str) -> f64 {
    edge.metric("thalweg_notifications_total", &[("result", result)])
}

#[test]
fn a_failing_region_is_reported_once_with_its_edge() {
    let receiver = Receiver::start();
    let (edge, first, _second) = edge_with(&webhook(&receiver));
    first.health(Health::status(503));
    eventually("the failover is told", SOON, || has(&receiver.posted(), "failover"));
    let posted = receiver.posted();
    assert_eq!(
        (posted[0].target.as_str(), posted[0].header("content-type")),
        ("/hook?token=secret", "application/json")
    );
    assert_eq!(posted[0].json()["edge"]["region"], "here");
    let told = events(&posted);
    let failover = told.iter().find(|one| one["event"] == "failover").expect("told");
    assert_eq!(
        (&failover["route"], &failover["from"], &failover["to"]),
        (&"all".into(), &"p0".into(), &"p1".into())
    );
    assert!(failover["time"].is_string());
    assert!(
        told.iter().any(|one| one["event"] == "pool" && one["pool"] == "p0" && one["short"] == true),
        "{told:?}"
    );
    assert!(told.iter().all(|one| one["event"] != "endpoint"), "endpoints are not told: {told:?}");
    eventually("all events are counted", SOON, || {
        counted(&edge, "sent") as usize == events(&receiver.posted()).len()
    });
    assert_eq!((counted(&edge, "dropped"), counted(&edge, "failed")), (0.0, 0.0));
    let in_ring = edge.events_of("failover").len();
    assert_eq!(events(&receiver.posted()).iter().filter(|one| one["event"] == "failover").count(), in_ring);
    assert!(!edge.stderr().contains("secret"), "{}", edge.stderr());
}

#[test]
fn a_webhook_that_fails_is_asked_again_with_the_same_key() {
    let receiver = Receiver::start();
    let (edge, first, _second) = edge_with(&webhook(&receiver));
    receiver.answer(&[503, 429]);
    first.die();
    eventually("three calls", SOON, || receiver.posted().len() >= 3 && counted(&edge, "sent") > 0.0);
    let posted = receiver.posted();
    let keys: Vec<&str> = posted[..3].iter().map(|one| one.header("idempotency-key")).collect();
    assert!(!keys[0].is_empty() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert!(posted[..3].iter().all(|one| one.body == posted[0].body));
    assert_eq!((counted(&edge, "failed"), counted(&edge, "dropped")), (2.0, 0.0));
}

#[test]
fn a_webhook_that_refuses_is_not_asked_again() {
    let receiver = Receiver::start();
    let (edge, first, _second) = edge_with(&webhook(&receiver));
    receiver.answer(&[410; 100]);
    first.die();
    eventually("the event is dropped", SOON, || counted(&edge, "dropped") > 0.0);
    assert_eq!(counted(&edge, "sent"), 0.0);
    assert!(edge.stderr().contains("its events are dropped"), "{}", edge.stderr());
}

#[test]
fn a_webhook_that_is_gone_delays_no_request_and_gets_the_events_it_missed() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = gone.local_addr().expect("bound");
    drop(gone);
    let (edge, first, _second) = edge_with(&format!("[notify]\nwebhook = \"http://{addr}/\"\n"));
    let load = Load::to(edge.web()).rate(200.0).start();
    first.die();
    eventually("calls fail", SOON, || counted(&edge, "failed") > 0.0);
    load.stop().assert_none_failed("a webhook that is gone");
    // The config moves to a server that lives: what still waits goes there.
    let receiver = Receiver::start();
    let text = std::fs::read_to_string(edge.config()).expect("the config");
    edge.replace(&text.replace(&addr.to_string(), &receiver.addr().to_string()));
    assert_eq!(edge.reload().status, 200);
    eventually("the event that waited arrives", Duration::from_secs(30), || {
        has(&receiver.posted(), "failover")
    });
}

#[test]
fn a_webhook_is_reached_by_tls_and_its_certificate_is_verified() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let receiver = Receiver::start_tls(server_config(&ours.leaf(&["127.0.0.1"])));
    for (authority, expected) in [(&ours, true), (&others, false)] {
        let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
        let conf = Conf::simple("failover", &[first.addr(), second.addr()])
            .file("ca.pem", &authority.pem)
            .raw(&format!("[notify]\nwebhook = \"https://{}/tls\"\nca = \"ca.pem\"\n", receiver.addr()));
        let edge = Edge::start(&conf);
        edge.until_up(2);
        let before = receiver.posted().len();
        first.die();
        let counter = if expected { "sent" } else { "failed" };
        eventually(counter, SOON, || counted(&edge, counter) > 0.0);
        assert_eq!(receiver.posted().len() > before, expected);
    }
}

#[test]
fn errors_in_a_webhooks_config_have_a_place() {
    let endpoint = Endpoint::start("a");
    let edge = Edge::start(&Conf::simple("failover", &[endpoint.addr()]));
    let text = std::fs::read_to_string(edge.config()).expect("the config");
    for (lines, problem) in [
        ("webhook = \"hooks.example.com\"", "is no URL"),
        ("webhook = \"https://user:word@a/\"", "holds credentials"),
        ("webhook = \"https://a/\"\nca = \"missing.pem\"", "missing.pem"),
    ] {
        edge.replace(&format!("{text}\n[notify]\n{lines}\n"));
        let answer = edge.reload();
        assert_eq!(answer.status, 422, "{lines}");
        let errors = answer.json()["errors"].to_string();
        assert!(errors.contains(problem) && errors.contains("notify."), "{errors}");
    }
}
