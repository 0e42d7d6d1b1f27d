//! `/health` answers that a probe must not believe, and that must not harm the edge.

mod common;

use std::time::Duration;

use bytes::Bytes;
use thalweg_testkit::{Behaviour, Conf, Edge, Endpoint, Health, eventually, get, stays};

const SOON: Duration = Duration::from_secs(5);

/// Two endpoints in failover order, with a probe that expects `{"status": "ok"}` (or `degraded`); nothing is damped.
fn choosy() -> (Edge, Endpoint, Endpoint) {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let probe = "[probe.choosy]\npath = \"/health\"\ninterval = \"100ms\"\ntimeout = \"200ms\"\nconfirm = \"50ms\"\nexpect_status = [\"200\"]\nexpect_json = { status = [\"ok\", \"degraded\"] }\n";
    let conf = Conf::new()
        .raw(probe)
        .listener("web", "")
        .pool("pa", &[first.addr()], "probe = \"choosy\"")
        .pool("pb", &[second.addr()], "probe = \"choosy\"")
        .route(
            "all",
            "failover",
            &["pa", "pb"],
            "failback = { mode = \"immediate\" }\ndamping = { suppress = 0 }",
        );
    let edge = Edge::start(&conf);
    edge.until_up(2);
    (edge, first, second)
}

#[test]
fn wrong_answers_take_the_endpoint_out_and_right_ones_bring_it_back() {
    let (edge, first, _second) = choosy();
    assert_eq!(get(edge.web(), "/").endpoint(), "a");
    let bad: Vec<(&str, Health)> = vec![
        ("another word", Health::body(r#"{"status":"down"}"#)),
        ("no such key", Health::body(r#"{"state":"ok"}"#)),
        ("another type", Health::body(r#"{"status":1}"#)),
        ("no object", Health::body(r#"["ok"]"#)),
        ("no JSON", Health::body("ok")),
        ("nothing", Health::body("")),
        ("cut JSON", Health::body(r#"{"status":"ok""#)),
        ("another status", Health::status(503)),
        ("a redirect", Health { status: 302, ..Health::ok() }),
        ("too late", Health::slow(Duration::from_millis(400))),
        ("silence", Health::hang()),
        ("a trickle", Health { trickle: Some(Duration::from_millis(100)), ..Health::ok() }),
    ];
    for (what, health) in bad {
        first.health(health);
        eventually(&format!("{what}: taken out"), SOON, || !edge.is_up(first.addr()));
        assert_eq!(get(edge.web(), "/").endpoint(), "b", "{what}");
        first.health(Health::body(r#"{"status":"degraded","more":{"x":[1,2]}}"#));
        eventually(&format!("{what}: back"), SOON, || edge.is_up(first.addr()));
        eventually(&format!("{what}: serves again"), SOON, || get(edge.web(), "/").endpoint() == "a");
    }
}

#[test]
fn a_huge_body_costs_no_memory() {
    let (edge, first, second) = choosy();
    let huge = Bytes::from(vec![b' '; 64 * 1024 * 1024]);
    let before = edge.rss();
    first.health(Health::body(huge));
    eventually("taken out", Duration::from_secs(10), || !edge.is_up(first.addr()));
    stays("the other endpoint serves", Duration::from_secs(1), || get(edge.web(), "/").endpoint() == "b");
    let grown = edge.rss().saturating_sub(before);
    assert!(grown < 32 * 1024 * 1024, "{} KiB", grown / 1024);
    assert!(edge.is_up(second.addr()));
}

#[test]
fn probes_go_to_the_port_host_and_headers_they_name() {
    let (traffic, health) = (Endpoint::start("traffic"), Endpoint::start("health"));
    let probe = format!(
        "[probe.side]\npath = \"/health\"\ninterval = \"100ms\"\nport = {}\nhost = \"probe.test\"\nheaders = {{ x-probe = \"yes\" }}\n",
        health.addr().port()
    );
    let conf = Conf::new()
        .raw(&probe)
        .listener("web", "")
        .pool("p", &[traffic.addr()], "probe = \"side\"")
        .route("all", "failover", &["p"], "");
    let edge = Edge::start(&conf);
    edge.until_up(1);
    assert_eq!((traffic.probes(), health.probes() > 0), (0, true));
    assert_eq!(get(edge.web(), "/").endpoint(), "traffic");
}

#[test]
fn a_probe_with_a_good_status_class_or_range_is_enough() {
    for expect in ["\"2xx\"", "\"200-204\"", "\"204\""] {
        let endpoint = Endpoint::start("a");
        endpoint.health(Health { status: 204, body: Bytes::new(), ..Health::ok() });
        let probe =
            format!("[probe.wide]\npath = \"/health\"\ninterval = \"100ms\"\nexpect_status = [{expect}]\n");
        let conf = Conf::new()
            .raw(&probe)
            .listener("web", "")
            .pool("p", &[endpoint.addr()], "probe = \"wide\"")
            .route("all", "failover", &["p"], "");
        Edge::start(&conf).until_up(1);
    }
}

#[test]
fn probes_are_counted_by_result_and_keep_their_pace() {
    let (edge, first, _second) = choosy();
    let labels = [("pool", "pa")];
    let before = (first.probes(), edge.metric("thalweg_probes_total", &labels));
    eventually("ten more probes", SOON, || first.probes() >= before.0 + 10);
    let counted = edge.metric("thalweg_probes_total", &labels) - before.1;
    assert!((8.0..=13.0).contains(&counted), "{counted} counted for 10 seen");
    let connections = first.connections();
    assert!(connections < first.probes(), "every probe opens a connection of its own");
    first.health(Health::status(500));
    eventually("failures are counted apart", SOON, || {
        edge.metrics().samples.iter().any(|sample| {
            sample.name == "thalweg_probes_total"
                && sample.labels.get("pool").is_some_and(|pool| pool == "pa")
                && sample
                    .labels
                    .get("result")
                    .is_some_and(|result| !["ok", "success"].contains(&result.as_str()))
                && sample.value > 0.0
        })
    });
}

#[test]
fn an_unhealthy_endpoint_whose_traffic_is_fine_still_loses_it() {
    let (edge, first, _second) = choosy();
    first.behave(Behaviour::Serve);
    first.health(Health::status(503));
    eventually("the endpoint lost its traffic", Duration::from_secs(2), || {
        get(edge.web(), "/").endpoint() == "b"
    });
}
