//! Which pool a request goes to, with all pools up and as they lose and regain endpoints: weight, dial, tier, latency.

mod common;

use std::time::Duration;

use common::{alone, hammer, two_with};
use thalweg_testkit::{Client, Conf, Edge, Endpoint, Health, eventually, get, stays};

const SOON: Duration = Duration::from_secs(5);

#[test]
fn weights_hold_within_a_percentage_point() {
    let _alone = alone();
    let endpoints: Vec<Endpoint> = ["a", "b", "c"].iter().map(|name| Endpoint::start(name)).collect();
    let mut conf = Conf::new().listener("web", "");
    for endpoint in &endpoints {
        conf = conf.pool(endpoint.name(), &[endpoint.addr()], "");
    }
    let edge = Edge::start(&conf.route(
        "all",
        "weighted",
        &["a, weight = 70", "b, weight = 20", "c, weight = 10"],
        "",
    ));
    edge.until_up(3);
    let counts = hammer(edge.web(), 4, 5000);
    for (name, share) in [("a", 0.70), ("b", 0.20), ("c", 0.10)] {
        let got = counts.get(name).copied().unwrap_or(0) as f64 / 20_000.0;
        assert!((got - share).abs() < 0.01, "{name}: {got:.4} instead of {share} ({counts:?})");
    }
}

#[test]
fn weight_zero_serves_only_when_nothing_else_is_left() {
    let (main, spare) = (Endpoint::start("main"), Endpoint::start("spare"));
    let conf = Conf::new()
        .listener("web", "")
        .pool("main", &[main.addr()], "")
        .pool("spare", &[spare.addr()], "")
        .route("all", "weighted", &["main, weight = 1", "spare, weight = 0"], "");
    let edge = Edge::start(&conf);
    edge.until_up(2);
    assert_eq!(hammer(edge.web(), 2, 100).get("main"), Some(&200));
    main.health(Health::status(503));
    eventually("the spare serves", SOON, || get(edge.web(), "/").endpoint() == "spare");
}

#[test]
fn a_dial_sends_the_rest_to_the_next_tier() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf = Conf::new()
        .listener("web", "")
        .pool("p0", &[first.addr()], "")
        .pool("p1", &[second.addr()], "")
        .route("all", "failover", &["p0, dial = 30", "p1"], "");
    let edge = Edge::start(&conf);
    edge.until_up(2);
    let counts = hammer(edge.web(), 2, 1000);
    let got = counts.get("a").copied().unwrap_or(0) as f64 / 2000.0;
    assert!((got - 0.30).abs() < 0.03, "{counts:?}");
    second.health(Health::status(503));
    eventually("the dial is ignored when no other pool is available", SOON, || {
        hammer(edge.web(), 1, 20).get("a") == Some(&20)
    });
}

#[test]
fn a_pool_that_is_half_down_spills_what_its_rest_cannot_take() {
    let endpoints: Vec<Endpoint> =
        ["a0", "a1", "a2", "a3", "b"].iter().map(|name| Endpoint::start(name)).collect();
    let addrs: Vec<_> = endpoints.iter().map(Endpoint::addr).collect();
    let conf = Conf::new().listener("web", "").pool("p0", &addrs[..4], "").pool("p1", &addrs[4..], "").route(
        "all",
        "failover",
        &["p0", "p1"],
        "",
    );
    let edge = Edge::start(&conf);
    edge.until_up(5);
    assert_eq!(hammer(edge.web(), 1, 100).get("b"), None);
    endpoints[0].health(Health::status(503));
    endpoints[1].health(Health::status(503));
    edge.until_up(3);
    // Half of its endpoints times 1.4.
    let spilled = hammer(edge.web(), 2, 500).get("b").copied().unwrap_or(0);
    assert!((270..=330).contains(&spilled), "{spilled} of 1000 instead of 300");
    assert!(edge.metric("thalweg_decisions_total", &[("reason", "spill"), ("pool", "p1")]) >= 270.0);
    endpoints[2].health(Health::status(503));
    edge.until_up(2);
    assert_eq!(hammer(edge.web(), 1, 100).get("b"), Some(&100), "a pool below its threshold is skipped");
}

#[test]
fn latency_picks_the_nearest_leaves_it_when_it_fails_and_returns() {
    let _alone = alone();
    let (near, far) = (Endpoint::start("near"), Endpoint::start("far"));
    far.health(Health::slow(Duration::from_millis(80)));
    let edge = Edge::start(&Conf::simple_with(
        "latency",
        &[far.addr(), near.addr()],
        "failback = { mode = \"immediate\" }\nlatency = { dwell = \"500ms\" }",
    ));
    edge.until_up(2);
    eventually("the nearest serves", SOON, || hammer(edge.web(), 1, 20).get("near") == Some(&20));
    let mut client = Client::connect(edge.web());
    client.ask("GET", "/", "x-request-id: close\r\n", b"").expect("an answer");
    assert_eq!(edge.logged("close")["reason"], "nearest");
    near.health(Health::status(503));
    eventually("the far one serves", SOON, || hammer(edge.web(), 1, 20).get("far") == Some(&20));
    near.health(Health::ok());
    eventually("the nearest serves again", SOON, || hammer(edge.web(), 1, 20).get("near") == Some(&20));
    near.health(Health::slow(Duration::from_millis(200)));
    eventually("the far endpoint serves, because near is slow now", Duration::from_secs(30), || {
        hammer(edge.web(), 1, 20).get("far") == Some(&20)
    });
}

#[test]
fn a_pool_that_returns_waits_for_its_hold() {
    let (edge, first, _second) = two_with("failback = { mode = \"hold\", hold = \"2s\" }");
    assert_eq!(get(edge.web(), "/").endpoint(), "a", "the first Up is no return");
    first.health(Health::status(503));
    eventually("the second serves", SOON, || get(edge.web(), "/").endpoint() == "b");
    first.health(Health::ok());
    eventually("the first is up", SOON, || edge.is_up(first.addr()));
    stays("held", Duration::from_millis(1200), || get(edge.web(), "/").endpoint() == "b");
    eventually("back", SOON, || get(edge.web(), "/").endpoint() == "a");
}
