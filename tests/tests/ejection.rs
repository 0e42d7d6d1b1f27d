//! Ejection by real traffic: when an endpoint is ejected and when not, for how long, and how it returns.

mod common;

use std::{net::IpAddr, time::Duration};

use bytes::Bytes;
use common::{AT_ONCE, FOR_GOOD, hammer, on_one_port, regions, sentences, until_ejected, until_known};
use serde_json::Value;
use thalweg_testkit::{
    Behaviour, Client, Conf, Dns, Edge, Endpoint, Health, Load, Records, eventually, stays,
};

const SOON: Duration = Duration::from_secs(10);

fn post(client: &mut Client) -> (u16, String) {
    let reply = client.ask("POST", "/upload", "", b"x").expect("an answer");
    (reply.status, reply.endpoint().to_owned())
}

fn assert_once(endpoints: &[Endpoint]) {
    let mut ids: Vec<String> = endpoints.iter().flat_map(posts).collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "{} POSTs arrived twice", all - ids.len());
}

fn posts(endpoint: &Endpoint) -> Vec<String> {
    let requests = endpoint.requests();
    let posts = requests.iter().filter(|seen| seen.method() == "POST");
    posts.filter_map(|seen| seen.header("x-request-id")).map(str::to_owned).collect()
}

#[test]
fn three_errors_in_a_row_eject_and_no_good_health_check_ends_the_ejection() {
    let (edge, endpoints) = regions(2, "failover", "", FOR_GOOD);
    let mut client = Client::connect(edge.web());
    for _ in 0..2 {
        endpoints[0].behave(Behaviour::Status(500));
        assert_eq!((post(&mut client), post(&mut client)), ((500, "a".into()), (500, "a".into())));
        endpoints[0].behave(Behaviour::Serve);
        assert_eq!(post(&mut client), (200, "a".into()), "a good answer in between starts the count anew");
    }
    assert_eq!(edge.ejection(endpoints[0].addr()), "clear");
    endpoints[0].behave(Behaviour::Status(500));
    for _ in 0..3 {
        assert_eq!(post(&mut client), (500, "a".into()));
    }
    let told = until_ejected(&edge, &endpoints[0]);
    assert_eq!(
        (&told["cause"], &told["fault"]),
        (&"consecutive_failures".into(), &"status".into()),
        "{told}"
    );
    assert_eq!((&told["detail"], &told["count"]), (&"3 failures in a row".into(), &1.into()), "{told}");
    let labels =
        [("pool", "p0"), ("endpoint", &*endpoints[0].addr().to_string()), ("cause", "consecutive_failures")];
    assert_eq!(edge.metric("thalweg_ejections_total", &labels), 1.0);
    let status = edge.endpoint(endpoints[0].addr());
    assert_eq!((&status["ejection"], &status["ejection_count"]), (&"ejected".into(), &1.into()), "{status}");
    assert!(status["ejected_until"].is_string(), "{status}");
    let probes = endpoints[0].probes();
    eventually("ten good health checks", SOON, || endpoints[0].probes() >= probes + 10);
    let status = edge.endpoint(endpoints[0].addr());
    assert_eq!((&status["probe"], &status["ejection"]), (&"healthy".into(), &"ejected".into()), "{status}");
    assert_eq!(post(&mut client), (200, "b".into()));
}

#[test]
fn an_endpoint_that_fails_every_other_request_is_caught_by_the_ratio() {
    let (edge, endpoints) = regions(2, "weighted", "", FOR_GOOD);
    endpoints[0].behave(Behaviour::EveryNth(2, 500));
    let load = Load::to(edge.web()).rate(100.0).start();
    let told = until_ejected(&edge, &endpoints[0]);
    assert_eq!(told["cause"], "failure_ratio", "{told}");
    let done = load.done();
    eventually("some more traffic", SOON, || load.done() > done + 100);
    assert!(load.last(50).iter().all(|shot| shot.by == "b"), "nothing is left at a");
    load.stop().assert_none_failed("GETs beside a flapper");
}

#[test]
fn one_bad_region_of_three_is_ejected_while_gets_never_fail_and_posts_go_once() {
    let (edge, endpoints) = regions(3, "weighted", "", FOR_GOOD);
    endpoints[1].behave(Behaviour::Status(503));
    let load = Load::to(edge.web()).rate(150.0).posts(0.3).start();
    until_ejected(&edge, &endpoints[1]);
    let done = load.done();
    eventually("some more traffic", SOON, || load.done() > done + 150);
    let report = load.stop();
    assert!(report.failed_gets().is_empty(), "{:?}", report.outcomes());
    let late: Vec<_> = report.shots.iter().rev().take(100).filter(|shot| shot.failed()).collect();
    assert!(late.is_empty(), "{late:?}");
    assert_eq!(report.failed().len(), posts(&endpoints[1]).len(), "each POST to b failed, and no other");
    assert_once(&endpoints);
    let out = |endpoint: &&Endpoint| edge.ejection(endpoint.addr()) != "clear";
    assert_eq!(endpoints.iter().filter(out).count(), 1);
}

#[test]
fn a_lone_endpoint_is_never_ejected() {
    let (edge, endpoints) = regions(1, "failover", "", FOR_GOOD);
    endpoints[0].behave(Behaviour::Status(500));
    let report = Load::to(edge.web()).rate(200.0).count(200).run();
    assert_eq!(report.by().get("a"), Some(&200), "the lone endpoint serves all of it");
    assert_eq!(edge.ejection(endpoints[0].addr()), "clear");
    assert!(edge.events_of("ejected").is_empty());
}

#[test]
fn of_three_lone_endpoints_only_one_is_ever_out() {
    let (edge, endpoints) = regions(3, "weighted", "", FOR_GOOD);
    endpoints[0].behave(Behaviour::Status(500));
    endpoints[1].behave(Behaviour::Status(500));
    let load = Load::to(edge.web()).rate(200.0).posts(0.5).start();
    eventually("one is out", SOON, || edge.metric("thalweg_ejections_total", &[]) >= 1.0);
    // Longer than the second over which the rate of ejections is counted: from here on, `max_share` alone limits them.
    stays("one out", Duration::from_millis(2500), || edge.metric("thalweg_ejections_total", &[]) == 1.0);
    load.stop();
    assert_eq!(edge.ejection(endpoints[2].addr()), "clear");
}

#[test]
fn probation_is_a_trickle_and_ends_after_a_second_and_five_answers() {
    let (edge, endpoints) = regions(2, "failover", AT_ONCE, "[eject]\nbase = \"500ms\"");
    endpoints[0].behave(Behaviour::Status(500));
    let load = Load::to(edge.web()).rate(300.0).start();
    until_ejected(&edge, &endpoints[0]);
    endpoints[0].behave(Behaviour::Serve);
    eventually("the endpoint's requests have ended", SOON, || {
        edge.metric("thalweg_endpoint_in_flight", &[("endpoint", &endpoints[0].addr().to_string())]) == 0.0
    });
    endpoints[0].forget();
    eventually("clear again", SOON, || edge.ejection(endpoints[0].addr()) == "clear");
    eventually("the endpoint serves again", SOON, || load.last(20).iter().all(|shot| shot.by == "a"));
    load.stop().assert_none_failed("an ejection and a probation");
    // The first second after the first request of the probation; two workers may both begin at once.
    let seen = endpoints[0].requests();
    let first = seen[0].at;
    let trickle = seen.iter().filter(|seen| seen.at - first < Duration::from_millis(950)).count();
    assert!((5..=13).contains(&trickle), "{trickle} requests in the first 950 ms of a probation");
    let transitions: Vec<String> = edge
        .events_of("endpoint")
        .iter()
        .filter(|event| event["endpoint"] == endpoints[0].addr().to_string())
        .map(|event| event["to"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert!(transitions.ends_with(&["down".into(), "trickle".into(), "up".into()]), "{transitions:?}");
}

#[test]
fn a_failed_probation_makes_the_next_ejection_longer() {
    let (edge, endpoints) = regions(2, "failover", AT_ONCE, "[eject]\nbase = \"300ms\"");
    endpoints[0].behave(Behaviour::Status(500));
    let load = Load::to(edge.web()).rate(100.0).start();
    eventually("two failed probations", SOON, || sentences(&edge, &endpoints[0]).len() >= 3);
    load.stop().assert_none_failed("GETs of a trickle");
    for (nth, told) in (1u64..=3).zip(sentences(&edge, &endpoints[0])) {
        let cause = if nth == 1 { "consecutive_failures" } else { "probation" };
        assert_eq!((&told["cause"], &told["count"]), (&cause.into(), &nth.into()), "{told}");
        let lasts = told["lasts_ms"].as_u64().unwrap_or_default();
        assert!((300 * nth..=330 * nth).contains(&lasts), "{told}");
    }
}

#[test]
fn an_endpoint_that_became_slow_is_ejected_though_every_answer_is_good() {
    let (edge, endpoints) = regions(3, "weighted", "", FOR_GOOD);
    until_known(&edge, &endpoints);
    endpoints[0].behave(Behaviour::Slow(Duration::from_millis(300)));
    let load = Load::to(edge.web()).rate(100.0).posts(0.3).start();
    let told = until_ejected(&edge, &endpoints[0]);
    assert_eq!(told["fault"], "late", "{told}");
    let done = load.done();
    eventually("some more traffic", SOON, || load.done() > done + 100);
    load.stop().assert_none_failed("a brownout");
    assert_once(&endpoints);
}

#[test]
fn a_pool_may_have_its_own_rules() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf = Conf::simple("failover", &[first.addr(), second.addr()])
        .raw("[eject]\nconsecutive_failures = 100\nmin_requests = 1000\nbase = \"60s\"")
        .raw("[pool.p0.eject]\nconsecutive_failures = 1");
    let edge = Edge::start(&conf);
    edge.until_up(2);
    first.behave(Behaviour::Status(500));
    second.behave(Behaviour::Status(500));
    let mut client = Client::connect(edge.web());
    assert_eq!(post(&mut client), (500, "a".into()));
    let told = until_ejected(&edge, &first);
    assert_eq!(told["detail"], "1 failures in a row", "{told}");
    for _ in 0..20 {
        assert_eq!(post(&mut client), (500, "b".into()), "the other pool allows more failures");
    }
    assert_eq!(edge.ejection(second.addr()), "clear");
}

#[test]
fn an_ejection_survives_a_reload() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf =
        |route: &str| Conf::simple_with("failover", &[first.addr(), second.addr()], route).raw(FOR_GOOD);
    let mut edge = Edge::start(&conf(""));
    edge.until_up(2);
    first.behave(Behaviour::Status(500));
    hammer(edge.web(), 1, 5);
    until_ejected(&edge, &first);
    first.behave(Behaviour::Serve);
    let (until, generation) = (edge.endpoint(first.addr())["ejected_until"].clone(), edge.generation());
    let text = edge.render(&conf("timeouts = { first_byte = \"14s\" }"));
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    eventually("the changed config is in force", SOON, || edge.generation() > generation);
    let status = edge.endpoint(first.addr());
    assert_eq!(status["ejection"], "ejected", "{status}");
    let second_of = |time: &Value| time.as_str().map(|time| time[..18].to_owned());
    assert_eq!(second_of(&status["ejected_until"]), second_of(&until), "the same ejection, to ten seconds");
    assert_eq!(hammer(edge.web(), 1, 20).get("b"), Some(&20));
}

#[test]
fn an_ejection_survives_a_change_of_addresses() {
    let ips = [[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 3]].map(IpAddr::from);
    let (endpoints, port) = on_one_port(&ips);
    let dns = Dns::start();
    dns.set("api.test", Records::Addresses(ips[..2].to_vec(), 1));
    let conf = Conf::new()
        .listener("web", "")
        .raw(&format!("[resolver]\nnameservers = [\"{}\"]\nttl_min = \"1s\"", dns.addr()))
        .raw(&format!("[pool.p]\nprobe = \"fast\"\nendpoints = [{{ address = \"api.test:{port}\" }}]\n"))
        .route("all", "failover", &["p"], "")
        .raw("[eject]\nconsecutive_failures = 1\nbase = \"60s\"");
    let edge = Edge::start(&conf);
    edge.until_up(2);
    endpoints[1].behave(Behaviour::Status(500));
    let load = Load::to(edge.web()).rate(100.0).start();
    until_ejected(&edge, &endpoints[1]);
    load.stop().assert_none_failed("one bad endpoint of two");
    endpoints[1].behave(Behaviour::Serve);
    dns.set("api.test", Records::Addresses(ips.to_vec(), 1));
    edge.until_up(2);
    eventually("the new one serves", SOON, || edge.is_up(endpoints[2].addr()));
    assert_eq!(edge.ejection(endpoints[1].addr()), "ejected");
    endpoints[1].forget();
    hammer(edge.web(), 2, 50);
    assert_eq!(endpoints[1].hits(), 0);
}

#[test]
fn a_flapper_whose_errors_are_quicker_than_the_others_answers_is_ejected() {
    let (good, bad) = (Endpoint::start("good"), Endpoint::start("bad"));
    let conf = Conf::new()
        .listener("web", "")
        .pool("p", &[good.addr(), bad.addr()], "")
        .route("all", "failover", &["p"], "")
        .raw(FOR_GOOD);
    let edge = Edge::start(&conf);
    edge.until_up(2);
    // Without the slow answers of the others, the draw inside the pool would rarely choose the flapper again.
    good.behave(Behaviour::Slow(Duration::from_millis(800)));
    bad.behave(Behaviour::EveryNth(2, 500));
    let load = Load::to(edge.web()).rate(60.0).start();
    assert_eq!(until_ejected(&edge, &bad)["cause"], "failure_ratio");
    load.stop().assert_none_failed("GETs beside a flapper");
    // One endpoint is ejected now, so the other must stay, whatever it answers.
    good.behave(Behaviour::Status(500));
    Load::to(edge.web()).rate(200.0).count(100).posts(1.0).run();
    assert_eq!(edge.ejection(good.addr()), "clear");
}

#[test]
fn a_503_that_says_when_to_come_back_is_not_tried_again_in_its_pool() {
    let endpoints: Vec<Endpoint> = ["a0", "a1", "b"].iter().map(|name| Endpoint::start(name)).collect();
    let addrs: Vec<_> = endpoints.iter().map(Endpoint::addr).collect();
    let patient = "[eject]\nconsecutive_failures = 10000\nmin_requests = 10000";
    let conf = Conf::new()
        .listener("web", "")
        .pool("p0", &addrs[..2], "")
        .pool("p1", &addrs[2..], "")
        .route("all", "failover", &["p0", "p1"], "")
        .raw(patient);
    let edge = Edge::start(&conf);
    edge.until_up(3);
    let busy = "HTTP/1.1 503 Busy\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
    endpoints[..2].iter().for_each(|endpoint| endpoint.behave(Behaviour::Raw(Bytes::from(busy))));
    assert_eq!(hammer(edge.web(), 2, 20).get("b"), Some(&40));
    assert_eq!(endpoints[0].hits() + endpoints[1].hits(), 40, "one try each in the pool that asked for time");
    assert_eq!(edge.metric("thalweg_retries_total", &[("cause", "5xx")]), 40.0);
    // Control: without `Retry-After`, the same pool is tried a second time.
    endpoints.iter().for_each(Endpoint::forget);
    endpoints[..2].iter().for_each(|endpoint| endpoint.behave(Behaviour::Status(503)));
    hammer(edge.web(), 2, 20);
    assert!(endpoints[0].hits() + endpoints[1].hits() > 40);
}

#[test]
fn a_probe_that_fails_and_recovers_ends_no_ejection() {
    let (edge, endpoints) = regions(2, "failover", AT_ONCE, FOR_GOOD);
    endpoints[0].behave(Behaviour::Status(500));
    hammer(edge.web(), 1, 5);
    until_ejected(&edge, &endpoints[0]);
    endpoints[0].behave(Behaviour::Serve);
    endpoints[0].health(Health::status(503));
    eventually("unhealthy too", SOON, || edge.endpoint(endpoints[0].addr())["probe"] == "unhealthy");
    endpoints[0].health(Health::ok());
    eventually("healthy", SOON, || edge.endpoint(endpoints[0].addr())["probe"] == "healthy");
    assert_eq!(edge.ejection(endpoints[0].addr()), "ejected");
    assert_eq!(hammer(edge.web(), 1, 20).get("b"), Some(&20));
}
