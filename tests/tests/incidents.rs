//! Incident records: one failure is one record, and its figures equal what the clients and the endpoints saw.

mod common;

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use thalweg_testkit::{
    Behaviour, Blackhole, Conf, Edge, Endpoint, Load, Report, eventually, eventually_some,
};

const SOON: Duration = Duration::from_secs(10);

/// Pools as `(name, region, endpoints)`, one route over them in that order.
fn world(pools: &[(&str, &str, &[SocketAddr])]) -> Conf {
    let mut conf = Conf::new().listener("web", "").raw("[eject]\nbase = \"60s\"");
    for (name, region, addrs) in pools {
        conf = conf.pool(name, addrs, &format!("region = \"{region}\""));
    }
    let names: Vec<&str> = pools.iter().map(|(name, ..)| *name).collect();
    conf.route("all", "failover", &names, "")
}

/// Kills this endpoint under load, waits for the record, and returns it with the load's ledger.
fn killed(edge: &Edge, load: Load, victim: &Endpoint) -> (Value, Report) {
    let load = load.start();
    eventually("traffic flows", SOON, || load.done() > 50 && victim.hits() > 20);
    victim.die();
    eventually("the record is complete", SOON, || !edge.events_of("incident").is_empty());
    let done = load.done();
    eventually("some more traffic", SOON, || load.done() > done + 50);
    let report = load.stop();
    let mut told = edge.events_of("incident");
    assert_eq!(told.len(), 1, "{told:?}");
    (told.remove(0), report)
}

/// Checks that the record's counts of affected requests equal the log, the counters and the ledger.
fn assert_true(edge: &Edge, told: &Value, report: &Report) {
    let number = |key: &str| told[key].as_u64().unwrap_or_else(|| panic!("no {key}: {told}"));
    let failed = report.failed().len() + report.cut();
    assert_eq!(number("requests_failed") as usize, failed, "{told} {:?}", report.outcomes());
    let tries = |line: &Value| line["attempts"].as_u64().unwrap_or(1) - 1;
    let (races, retries) =
        (edge.metric("thalweg_hedges_total", &[]), edge.metric("thalweg_retries_total", &[]));
    eventually("the log is written", SOON, || edge.access_log().len() >= report.shots.len());
    let again: u64 = edge.access_log().iter().map(tries).sum();
    assert_eq!((races, again as f64), (0.0, retries));
    assert_eq!(number("requests_retried") as f64, retries, "{told}");
    assert_eq!(number("requests_hedged"), 0, "{told}");
    assert_eq!(number("requests_retried") > 0, !told["added_p99_us"].is_null(), "{told}");
    let (detected, last) = (number("detected_after_us"), number("last_bad_after_us"));
    assert!(detected < 2_000_000 && last < 2_000_000, "{told}");
    let (first_bad, time) = (told["first_bad"].as_str(), told["time"].as_str());
    assert!(first_bad.is_some() && first_bad < time, "{told}");
    let labels = [
        ("pool", told["pool"].as_str().unwrap_or_default()),
        ("scope", told["scope"].as_str().unwrap_or_default()),
    ];
    assert_eq!(edge.metric("thalweg_incidents_total", &labels), 1.0);
    for name in ["thalweg_incident_detection_seconds_count", "thalweg_incident_last_bad_seconds_count"] {
        assert_eq!(edge.metric(name, &labels[..1]), 1.0, "{name}");
    }
}

#[test]
fn a_killed_region_is_one_incident_and_its_counts_are_true() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = Edge::start(&world(&[("p0", "r0", &[first.addr()]), ("p1", "r1", &[second.addr()])]));
    edge.until_up(2);
    let before = SystemTime::now();
    let (told, report) = killed(&edge, Load::to(edge.web()).rate(300.0), &first);
    report.assert_none_failed("GETs beside a killed region");
    assert_true(&edge, &told, &report);
    assert_eq!(
        (&told["scope"], &told["pool"], &told["region"]),
        (&"region".into(), &"p0".into(), &"r0".into())
    );
    assert_eq!(told["endpoints"], Value::from(vec![first.addr().to_string()]));
    assert!(["refused", "reset"].contains(&told["cause"].as_str().unwrap_or_default()), "{told}");
    assert!(told["requests_retried"].as_u64() > Some(0), "{told}");
    // Each request reached b after a failure at a, or after traffic had moved.
    let moved: Vec<Value> = edge.access_log().into_iter().filter(|line| line["attempts"] == 2).collect();
    assert!(moved.iter().all(|line| line["pool"] == "p1"), "{moved:?}");
    assert!(before.elapsed().expect("time goes on") < Duration::from_secs(60));
}

#[test]
fn posts_that_failed_are_in_the_record_too() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = Edge::start(&world(&[("p0", "r0", &[first.addr()]), ("p1", "r1", &[second.addr()])]));
    edge.until_up(2);
    // Errors instead of a kill: a POST that was read and failed is not retried, a GET is.
    let load = Load::to(edge.web()).rate(200.0).posts(0.5).start();
    eventually("traffic flows", SOON, || load.done() > 50);
    first.behave(Behaviour::ResetBeforeHead);
    eventually("the record is complete", SOON, || !edge.events_of("incident").is_empty());
    let report = load.stop();
    let mut told = edge.events_of("incident");
    assert_eq!(told.len(), 1, "{told:?}");
    let told = told.remove(0);
    assert_true(&edge, &told, &report);
    assert!(!report.failed().is_empty() && report.failed_gets().is_empty(), "{:?}", report.outcomes());
    assert_eq!(told["cause"], "reset");
}

#[test]
fn answers_that_were_cut_are_requests_that_failed() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = Edge::start(&world(&[("p0", "r0", &[first.addr()]), ("p1", "r1", &[second.addr()])]));
    edge.until_up(2);
    first.behave(Behaviour::ResetAfterHead);
    let report = Load::to(edge.web()).rate(20.0).count(20).run();
    let told = eventually_some("the record is complete", SOON, || edge.events_of("incident").pop());
    assert_eq!((report.cut() > 2, &told["cause"]), (true, &"reset".into()), "{told}");
    assert_true(&edge, &told, &report);
}

#[test]
fn requests_whose_connects_lost_a_race_are_in_the_record() {
    let (hole, second) = (Blackhole::start(), Endpoint::start("b"));
    let conf = Conf::new()
        .listener("web", "")
        .raw("[eject]\nbase = \"60s\"")
        .pool("p0", &[hole.addr()], "# no probe")
        .pool("p1", &[second.addr()], "# no probe")
        .route("all", "failover", &["p0", "p1"], "timeouts = { connect = \"1s\" }");
    let edge = Edge::start(&conf);
    // More requests at once than connects that may run.
    let report = Load::to(edge.web()).rate(100.0).count(200).run();
    report.assert_none_failed("a hole");
    let told = eventually_some("the record is complete", SOON, || edge.events_of("incident").pop());
    let raced = edge.metric("thalweg_hedges_total", &[("result", "connect_won")]);
    assert!(raced > 40.0, "{raced}");
    assert_eq!(
        (told["requests_hedged"].as_f64(), &told["requests_failed"]),
        (Some(raced), &0.into()),
        "{told}"
    );
    assert!(told["added_p99_us"].as_u64() >= Some(50_000), "{told}");
}

#[test]
fn one_endpoint_of_two_is_an_incident_of_that_endpoint() {
    let endpoints: Vec<Endpoint> = ["a0", "a1", "b"].iter().map(|name| Endpoint::start(name)).collect();
    let addrs: Vec<SocketAddr> = endpoints.iter().map(Endpoint::addr).collect();
    let edge = Edge::start(&world(&[("p0", "r0", &addrs[..2]), ("p1", "r1", &addrs[2..])]));
    edge.until_up(3);
    let (told, report) = killed(&edge, Load::to(edge.web()).rate(300.0), &endpoints[1]);
    report.assert_none_failed("GETs beside a killed endpoint");
    assert_true(&edge, &told, &report);
    assert_eq!((&told["scope"], &told["region"]), (&"endpoint".into(), &"r0".into()), "{told}");
    assert_eq!(told["endpoints"], Value::from(vec![addrs[1].to_string()]));
}

#[test]
fn a_lost_pool_whose_region_has_another_is_an_incident_of_the_pool() {
    let endpoints: Vec<Endpoint> = ["a", "b"].iter().map(|name| Endpoint::start(name)).collect();
    let addrs: Vec<SocketAddr> = endpoints.iter().map(Endpoint::addr).collect();
    let edge = Edge::start(&world(&[("p0", "r0", &addrs[..1]), ("p1", "r0", &addrs[1..])]));
    edge.until_up(2);
    let (told, report) = killed(&edge, Load::to(edge.web()).rate(300.0), &endpoints[0]);
    report.assert_none_failed("GETs beside a killed pool");
    assert_true(&edge, &told, &report);
    assert_eq!((&told["scope"], &told["pool"]), (&"pool".into(), &"p0".into()), "{told}");
}

#[test]
fn failures_that_take_no_endpoint_out_are_no_incident() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = Edge::start(&world(&[("p0", "r0", &[first.addr()]), ("p1", "r1", &[second.addr()])]));
    edge.until_up(2);
    first.behave(Behaviour::EveryNth(20, 500));
    let load = Load::to(edge.web()).rate(200.0).start();
    eventually("failures", SOON, || edge.metric("thalweg_retries_total", &[("cause", "5xx")]) >= 10.0);
    first.behave(Behaviour::Serve);
    // Longer than the time without failures that completes a record.
    let done = load.done();
    eventually("three calm seconds", SOON, || load.done() > done + 600);
    load.stop().assert_none_failed("one error in twenty");
    assert!(edge.events_of("incident").is_empty(), "{:?}", edge.events_of("incident"));
    assert_eq!(edge.metric("thalweg_incidents_total", &[]), 0.0);
}
