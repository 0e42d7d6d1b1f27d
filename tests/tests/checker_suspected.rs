//! When most endpoints fail their probes at once, the edge suspects its checker: it reports the suspicion, loses no
//! request because of it, and takes it back.

mod common;

use std::{net::SocketAddr, time::Duration};

use thalweg_testkit::{Behaviour, Conf, Edge, Endpoint, Health, Load, eventually, stays};

const SOON: Duration = Duration::from_secs(10);
/// Longer than a probe round (200 ms + 10 %, two timeouts, two confirmations): a start or reload is not the cause.
const A_ROUND: Duration = Duration::from_millis(900);

/// Three regions of two endpoints, probed at `path`.
fn world(endpoints: &[Endpoint], path: &str) -> Conf {
    let addrs: Vec<SocketAddr> = endpoints.iter().map(Endpoint::addr).collect();
    let probe = format!(
        "[probe.p]\npath = \"{path}\"\ninterval = \"200ms\"\ntimeout = \"200ms\"\nconfirm = \"50ms\"\n"
    );
    let mut conf = Conf::new().raw(&probe).listener("web", "");
    for (nth, pair) in addrs.chunks(2).enumerate() {
        conf = conf.pool(&format!("p{nth}"), pair, "probe = \"p\"");
    }
    conf.route("all", "weighted", &["p0", "p1", "p2"], "")
}

fn six() -> Vec<Endpoint> {
    ["a0", "a1", "b0", "b1", "c0", "c1"].iter().map(|name| Endpoint::start(name)).collect()
}

fn suspected(edge: &Edge) -> bool {
    edge.metric("thalweg_checker_suspected", &[]) == 1.0
}

fn detail(edge: &Edge) -> (u16, bool) {
    let reply = edge.admin_get("/readyz");
    let says = reply.json()["detail"].as_str().is_some_and(|detail| detail.contains("suspect the checker"));
    (reply.status, says)
}

#[test]
fn when_every_health_check_breaks_at_once_the_checker_is_suspected_and_no_request_fails() {
    let endpoints = six();
    let edge = Edge::start(&world(&endpoints, "/health"));
    edge.until_up(6);
    stays("no suspicion", A_ROUND, || !suspected(&edge));
    assert_eq!((suspected(&edge), detail(&edge)), (false, (200, false)));
    let load = Load::to(edge.web()).rate(150.0).posts(0.3).start();
    endpoints.iter().for_each(|endpoint| endpoint.health(Health::status(500)));
    eventually("the checker is suspected", SOON, || suspected(&edge));
    assert_eq!(detail(&edge), (200, true));
    eventually("no endpoint is up", SOON, || edge.metric("thalweg_endpoint_available", &[]) == 0.0);
    let done = load.done();
    eventually("some more traffic", SOON, || load.done() > done + 200);
    assert_eq!(detail(&edge), (200, true), "the suspicion stays while the checks fail");
    endpoints.iter().for_each(|endpoint| endpoint.health(Health::ok()));
    eventually("the suspicion is taken back", SOON, || !suspected(&edge));
    edge.until_up(6);
    assert_eq!(detail(&edge), (200, false));
    load.stop().assert_none_failed("a checker that is wrong about every endpoint");
    let told = edge.events_of("checker_suspected");
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!((&told[0]["on"], &told[1]["on"]), (&true.into(), &false.into()), "{told:?}");
    assert_eq!((&told[0]["of"], &told[0]["after_reload"]), (&6.into(), &false.into()), "{told:?}");
    assert!((4..=6).contains(&told[0]["fallen"].as_u64().unwrap_or(0)), "more than half: {told:?}");
}

#[test]
fn a_minority_that_fails_its_checks_is_simply_down() {
    let endpoints = six();
    let edge = Edge::start(&world(&endpoints, "/health"));
    edge.until_up(6);
    endpoints[..3].iter().for_each(|endpoint| endpoint.health(Health::status(500)));
    edge.until_up(3);
    stays("no suspicion", Duration::from_millis(500), || !suspected(&edge));
    assert!(edge.events_of("checker_suspected").is_empty());
}

#[test]
fn failures_spread_over_time_raise_no_suspicion() {
    let endpoints = six();
    let edge = Edge::start(&world(&endpoints, "/health"));
    edge.until_up(6);
    for (nth, endpoint) in endpoints.iter().enumerate().take(4) {
        endpoint.health(Health::status(500));
        edge.until_up(5 - nth);
        stays("no suspicion", A_ROUND, || !suspected(&edge));
    }
}

#[test]
fn a_reload_that_asks_for_the_wrong_path_is_named_as_the_likely_cause() {
    let endpoints = six();
    let mut edge = Edge::start(&world(&endpoints, "/health"));
    edge.until_up(6);
    let load = Load::to(edge.web()).rate(150.0).posts(0.3).start();
    let generation = edge.generation();
    let wrong = edge.render(&world(&endpoints, "/status/404"));
    edge.replace(&wrong);
    assert_eq!(edge.reload().status, 200);
    eventually("the checker is suspected", SOON, || suspected(&edge));
    let told = edge.events_of("checker_suspected").remove(0);
    assert_eq!((&told["on"], &told["after_reload"]), (&true.into(), &true.into()), "{told}");
    assert_eq!(detail(&edge), (200, true));
    let right = edge.render(&world(&endpoints, "/health"));
    edge.replace(&right);
    assert_eq!(edge.reload().status, 200);
    eventually("the suspicion is taken back", SOON, || !suspected(&edge));
    edge.until_up(6);
    load.stop().assert_none_failed("a wrong probe path");
    assert!(edge.generation() >= generation + 2);
}

#[test]
fn a_start_with_the_wrong_path_is_suspected_and_real_requests_still_find_the_failing_region() {
    let endpoints = six();
    let edge = Edge::start(&world(&endpoints, "/status/404"));
    eventually("the checker is suspected", SOON, || suspected(&edge));
    assert!(detail(&edge).1);
    endpoints[..2].iter().for_each(|endpoint| endpoint.behave(Behaviour::Status(500)));
    let load = Load::to(edge.web()).rate(150.0).posts(0.5).start();
    eventually("both are ejected", SOON, || edge.events_of("ejected").len() >= 2);
    drop(load.stop());
}
