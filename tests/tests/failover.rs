//! Failing endpoints: which requests are retried, which never are, and how soon traffic moves.
//! Where traffic goes while all is well: `steering`.

mod common;
#[path = "failover/overload.rs"]
mod overload;
#[path = "failover/pooled.rs"]
mod pooled;

use std::time::Duration;

use common::{AT_ONCE, PATIENT, alone, assert_ours, one_with, two_with};
use thalweg_testkit::{Behaviour, Blackhole, Client, Conf, Edge, Endpoint, Health, Load, eventually, get};

const SOON: Duration = Duration::from_secs(5);

/// Pools without a probe, one endpoint each, in failover order.
fn unprobed(endpoints: &[&Endpoint], route: &str) -> Edge {
    unprobed_first(endpoints, "", route)
}

/// The same, with these lines in the first pool.
fn unprobed_first(endpoints: &[&Endpoint], first: &str, route: &str) -> Edge {
    let names: Vec<String> = (0..endpoints.len()).map(|nth| format!("p{nth}")).collect();
    let mut conf = Conf::new().listener("web", "").raw(PATIENT);
    let lines = [first].into_iter().chain(std::iter::repeat(""));
    for ((name, endpoint), lines) in names.iter().zip(endpoints).zip(lines) {
        conf = conf.pool(name, &[endpoint.addr()], &format!("# no probe\n{lines}"));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Edge::start(&conf.route("all", "failover", &names, route))
}

fn post(edge: &Edge) -> thalweg_testkit::Reply {
    Client::connect(edge.web()).ask("POST", "/upload", "", b"body").expect("an answer")
}

#[test]
fn a_refused_connect_goes_to_the_other_endpoint_of_the_pool() {
    let (good, bad) = (Endpoint::start("good"), Endpoint::start("bad"));
    bad.refuse();
    let conf = Conf::new().listener("web", "").pool("p", &[bad.addr(), good.addr()], "# no probe").route(
        "all",
        "failover",
        &["p"],
        "",
    );
    let edge = Edge::start(&conf);
    for _ in 0..50 {
        assert_eq!(get(edge.web(), "/").endpoint(), "good");
        assert_eq!(post(&edge).endpoint(), "good", "no byte was sent: a POST may go on");
    }
    assert!(edge.metric("thalweg_retries_total", &[("route", "all"), ("cause", "connect")]) >= 1.0);
}

#[test]
fn a_refused_connect_goes_to_the_next_pool_and_is_logged_there() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = unprobed(&[&first, &second], "");
    assert_eq!(get(edge.web(), "/").endpoint(), "a");
    first.die();
    let mut client = Client::connect(edge.web());
    let reply = client.ask("GET", "/", "x-request-id: moved\r\n", b"").expect("an answer");
    assert_eq!((reply.status, reply.endpoint()), (200, "b"));
    let line = edge.logged("moved");
    assert_eq!((line["pool"].as_str(), line["attempts"].as_u64()), (Some("p1"), Some(2)), "{line}");
    assert_eq!(line["endpoint"], second.addr().to_string());
    assert_eq!(post(&edge).endpoint(), "b");
}

#[test]
fn a_reset_before_the_answer_is_retried_for_safe_methods_only() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = unprobed(&[&first, &second], "");
    for behaviour in [Behaviour::ResetBeforeHead, Behaviour::CloseBeforeHead] {
        first.behave(behaviour);
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
            let reply = Client::connect(edge.web()).ask(method, "/upload", "", b"").expect("an answer");
            assert_eq!((reply.status, reply.endpoint()), (200, "b"), "{method}");
        }
        second.forget();
        for method in ["POST", "PATCH"] {
            let reply = Client::connect(edge.web()).ask(method, "/upload", "", b"x").expect("an answer");
            assert_ours(&reply, 502, "reset");
        }
        assert_eq!(second.hits(), 0, "a POST was sent twice");
    }
    assert!(edge.metric("thalweg_retries_total", &[("cause", "reset")]) >= 10.0);
}

#[test]
fn a_5xx_is_retried_for_safe_methods_only_and_passes_when_all_have_it() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = unprobed(&[&first, &second], "");
    first.behave(Behaviour::Status(503));
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        let reply = Client::connect(edge.web()).ask(method, "/", "", b"").expect("an answer");
        assert_eq!((reply.status, reply.endpoint()), (200, "b"), "{method}");
    }
    second.forget();
    let reply = post(&edge);
    assert_eq!((reply.status, reply.endpoint()), (503, "a"), "the endpoint's own answer");
    assert!(reply.header("proxy-status").is_none());
    assert_eq!(second.hits(), 0);
    second.behave(Behaviour::Status(500));
    let reply = get(edge.web(), "/");
    assert!(
        reply.status >= 500 && reply.endpoint() != "-",
        "an answer of an endpoint, not of ours: {}",
        reply.head.line
    );
}

#[test]
fn an_answer_under_way_is_never_retried() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = unprobed(&[&first, &second], "");
    first.behave(Behaviour::ResetAfterHead);
    let mut client = Client::connect(edge.web());
    let cut = client.ask("GET", "/", "x-request-id: cut\r\n", b"").expect_err("a cut answer");
    assert_eq!(cut.head.expect("the head came").header("x-endpoint"), Some("a"));
    assert!(cut.body.len() <= 10);
    assert_eq!(second.hits(), 0);
    assert!(edge.logged("cut")["error"].is_string());
}

#[test]
fn a_request_body_within_the_buffer_is_sent_again_whole() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = unprobed(&[&first, &second], "retry = { buffer = \"64KiB\" }");
    first.behave(Behaviour::ResetBeforeHead);
    let body: Vec<u8> = (0..60_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let reply = Client::connect(edge.web()).ask("PUT", "/upload", "", &body).expect("an answer");
    assert_eq!((reply.status, reply.endpoint()), (200, "b"));
    assert_eq!(second.only().body_hash, Endpoint::hash(&body));
    second.forget();
    let reply = Client::connect(edge.web()).ask("PUT", "/upload", "", &vec![1; 500_000]).expect("an answer");
    assert_ours(&reply, 502, "reset");
    assert_eq!(second.hits(), 0, "an upload that was not kept cannot be sent again");
}

#[test]
fn no_endpoint_is_tried_twice_for_one_request() {
    let endpoints: Vec<Endpoint> = ["a", "b", "c", "d"].iter().map(|name| Endpoint::start(name)).collect();
    let all: Vec<&Endpoint> = endpoints.iter().collect();
    let edge = unprobed(&all, "retry = { attempts = 2 }");
    endpoints.iter().for_each(|endpoint| endpoint.behave(Behaviour::Status(500)));
    let mut client = Client::connect(edge.web());
    client.ask("GET", "/", "x-request-id: once\r\n", b"").expect("an answer");
    let hits: Vec<usize> = endpoints.iter().map(Endpoint::hits).collect();
    assert_eq!((hits.iter().sum::<usize>(), hits.iter().max()), (3, Some(&1)), "{hits:?}");
    assert_eq!(edge.logged("once")["attempts"], 3);
}

#[test]
fn each_timeout_answers_in_time_and_is_named() {
    let (hang, hole) = (Endpoint::start("a"), Blackhole::start());
    hang.behave(Behaviour::Hang);
    let edge = unprobed(&[&hang], "timeouts = { first_byte = \"300ms\", total = \"10s\" }");
    let took = eventually("an answer", SOON, || {
        assert_ours(&get(edge.web(), "/"), 504, "timeout");
        true
    });
    assert!(took >= Duration::from_millis(290) && took < Duration::from_secs(2), "first_byte after {took:?}");
    assert_eq!(edge.metric("thalweg_requests_total", &[("code_class", "5xx")]), 1.0);
    let edge = unprobed(&[&hang], "timeouts = { first_byte = \"10s\", total = \"400ms\" }");
    let took = eventually("an answer", SOON, || {
        assert_ours(&get(edge.web(), "/"), 504, "timeout");
        true
    });
    assert!(took >= Duration::from_millis(390) && took < Duration::from_secs(2), "total after {took:?}");
    let conf = Conf::new().listener("web", "").pool("p", &[hole.addr()], "# no probe").route(
        "all",
        "failover",
        &["p"],
        "timeouts = { connect = \"300ms\" }",
    );
    let edge = Edge::start(&conf);
    let took = eventually("an answer", SOON, || {
        let reply = get(edge.web(), "/");
        assert!([502, 504].contains(&reply.status), "{}", reply.head.line);
        assert!(["connect_failed", "timeout"].contains(&reply.json()["error"].as_str().unwrap_or_default()));
        true
    });
    assert!(took >= Duration::from_millis(290) && took < Duration::from_secs(3), "connect after {took:?}");
}

#[test]
fn a_blackholed_endpoint_costs_the_connect_timeout_and_no_failure() {
    let (hole, good) = (Blackhole::start(), Endpoint::start("b"));
    let conf = Conf::new()
        .listener("web", "")
        .pool("p0", &[hole.addr()], "# no probe")
        .pool("p1", &[good.addr()], "# no probe")
        .route("all", "failover", &["p0", "p1"], "timeouts = { connect = \"300ms\" }");
    let edge = Edge::start(&conf);
    for _ in 0..5 {
        assert_eq!(get(edge.web(), "/").endpoint(), "b");
    }
}

#[test]
fn a_body_that_stalls_is_cut_by_idle_and_a_slow_steady_one_is_not() {
    let (edge, endpoint) = one_with("timeouts = { idle = \"400ms\", total = \"1s\" }");
    endpoint.behave(Behaviour::SlowLoris(Duration::from_millis(200)));
    assert_eq!(get(edge.web(), "/").body.len(), 10, "2 s of steady body: total bounds only the head");
    endpoint.behave(Behaviour::SlowLoris(Duration::from_millis(1500)));
    let cut = Client::connect(edge.web()).ask("GET", "/", "", b"").expect_err("cut");
    assert!(cut.head.is_some() && cut.closed(), "{cut}");
}

#[test]
fn the_retry_budget_bounds_retries() {
    let _alone = alone();
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = unprobed(&[&first, &second], "retry = { budget = 0.10 }");
    first.behave(Behaviour::EveryNth(2, 500));
    let report = Load::to(edge.web()).rate(400.0).count(1600).run();
    let retries = edge.metric("thalweg_retries_total", &[("route", "all")]);
    // 10 % of 1600, and 10 per second: over ten seconds that is at most 260.
    assert!((50.0..=265.0).contains(&retries), "{retries} retries");
    assert!(edge.metric("thalweg_retry_budget_exhausted_total", &[("route", "all")]) > 0.0);
    assert_eq!(retries as usize, second.hits(), "every retry was counted");
    assert_eq!(report.class(5) + second.hits(), 800, "{:?}", report.outcomes());
}

#[test]
fn a_retry_that_has_nowhere_to_go_costs_no_budget() {
    let endpoint = Endpoint::start("a");
    let edge = Edge::start(
        &Conf::simple("failover", &[endpoint.addr()])
            .raw("[eject]\nconsecutive_failures = 10000\nfailure_ratio = 1.0\nmin_requests = 100000\n"),
    );
    edge.until_up(1);
    endpoint.behave(Behaviour::Status(500));
    let mut client = Client::connect(edge.web());
    for _ in 0..150 {
        assert_eq!(client.get("/").status, 500);
    }
    assert_eq!(edge.metric("thalweg_retry_budget_exhausted_total", &[]), 0.0);
    assert_eq!(endpoint.hits(), 150);
}

#[test]
fn aborted_uploads_eject_no_endpoint() {
    let endpoint = Endpoint::start("a");
    let edge = Edge::start(&Conf::simple("failover", &[endpoint.addr()]));
    edge.until_up(1);
    for nth in 0..8 {
        let mut client = Client::connect(edge.web());
        client
            .send("POST /echo HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
        assert!(client.head().expect("a head").line.contains("200"));
        if nth % 2 == 0 {
            client.reset();
        } else {
            client.send("no chunk\r\n");
            assert!(client.ends(SOON));
        }
    }
    let addr = endpoint.addr().to_string();
    let ended = |outcome| {
        let labels = [("endpoint", &*addr), ("outcome", outcome)];
        edge.metric("thalweg_endpoint_requests_total", &labels)
    };
    eventually("all requests are settled", SOON, || ended("client_gone") == 8.0);
    assert_eq!(ended("reset"), 0.0);
    assert_eq!(edge.metric("thalweg_ejections_total", &[]), 0.0);
    assert_eq!(get(edge.web(), "/").status, 200);
}

#[test]
fn when_every_health_check_is_broken_no_request_fails() {
    let (edge, first, second) = two_with("");
    for endpoint in [&first, &second] {
        endpoint.health(Health::status(500));
    }
    let load = Load::to(edge.web()).rate(200.0).posts(0.3).start();
    eventually("panic", SOON, || edge.metric("thalweg_panic", &[("route", "all")]) == 1.0);
    let done = load.done();
    eventually("some more traffic", SOON, || load.done() > done + 200);
    load.stop().assert_none_failed("panic mode");
    assert!(edge.metric("thalweg_decisions_total", &[("reason", "panic")]) > 0.0);
    assert_eq!(edge.ready(), 200);
    for endpoint in [&first, &second] {
        endpoint.health(Health::ok());
    }
    eventually("the panic is over", SOON, || edge.metric("thalweg_panic", &[("route", "all")]) == 0.0);
}

#[test]
fn in_panic_an_endpoint_that_refuses_comes_last() {
    let (edge, first, second) = two_with("");
    first.health(Health::status(500));
    second.health(Health::status(500));
    eventually("panic", SOON, || edge.metric("thalweg_panic", &[("route", "all")]) == 1.0);
    first.die();
    let report = Load::to(edge.web()).rate(200.0).count(200).posts(0.5).run();
    report.assert_none_failed("panic with one gone");
    assert_eq!(report.by().get("b"), Some(&200));
}

#[test]
fn an_endpoint_whose_health_fails_loses_its_traffic_within_two_seconds() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf = Conf::new()
        .raw("[probe.default]\npath = \"/health\"\n")
        .listener("web", "")
        .pool("p0", &[first.addr()], "probe = \"default\"")
        .pool("p1", &[second.addr()], "probe = \"default\"")
        .route("all", "failover", &["p0", "p1"], "");
    let _alone = alone();
    let edge = Edge::start(&conf);
    edge.until_up(2);
    let load = Load::to(edge.web()).rate(200.0).posts(0.2).start();
    eventually("traffic at the first", SOON, || {
        load.last(20).iter().all(|shot| shot.by == "a") && load.done() > 20
    });
    first.health(Health::status(503));
    let took = eventually("traffic at the second", Duration::from_secs(2), || {
        load.last(20).iter().all(|shot| shot.by == "b")
    });
    println!("moved after {took:?}");
    assert_eq!(
        edge.metric("thalweg_failovers_total", &[("route", "all"), ("from", "p0"), ("to", "p1")]),
        1.0
    );
    assert!(edge.metric("thalweg_decisions_total", &[("pool", "p1"), ("reason", "failover")]) >= 20.0);
    load.stop().assert_none_failed("a failing health check");
}

#[test]
fn an_endpoint_that_answers_only_errors_is_ejected_and_returns_after_probation() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf = Conf::simple_with("failover", &[first.addr(), second.addr()], AT_ONCE)
        .raw("[eject]\nbase = \"500ms\"");
    let edge = Edge::start(&conf);
    edge.until_up(2);
    first.behave(Behaviour::Status(500));
    let load = Load::to(edge.web()).rate(100.0).posts(1.0).start();
    eventually("the endpoint is ejected", SOON, || {
        edge.metric("thalweg_ejections_total", &[("pool", "p0")]) >= 1.0
    });
    eventually("the other serves", SOON, || load.last(20).iter().filter(|shot| shot.by == "b").count() >= 18);
    let events = edge.events();
    assert!(events.iter().any(|event| event.to_string().contains(&first.addr().to_string())), "{events:?}");
    first.behave(Behaviour::Serve);
    eventually("the endpoint is up again", Duration::from_secs(20), || edge.is_up(first.addr()));
    eventually("the endpoint serves", SOON, || load.last(20).iter().all(|shot| shot.by == "a"));
    let report = load.stop();
    assert!(report.failed().len() < 60, "{} failed before the ejection", report.failed().len());
}

#[test]
fn no_more_than_max_share_of_a_pool_is_ever_ejected() {
    let endpoints: Vec<Endpoint> = ["a", "b", "c", "d"].iter().map(|name| Endpoint::start(name)).collect();
    let addrs: Vec<_> = endpoints.iter().map(Endpoint::addr).collect();
    let conf = Conf::new().listener("web", "").pool("p", &addrs, "").route("all", "failover", &["p"], "");
    let edge = Edge::start(&conf);
    edge.until_up(4);
    endpoints.iter().for_each(|endpoint| endpoint.behave(Behaviour::Status(500)));
    let report = Load::to(edge.web()).rate(200.0).count(600).posts(1.0).run();
    assert_eq!(report.class(5), 600, "{:?}", report.outcomes());
    assert!(report.by().keys().filter(|by| !by.is_empty()).count() >= 2, "{:?}", report.by());
    assert!(edge.metric("thalweg_endpoint_available", &[]) >= 2.0, "more than max_share is out");
}

#[test]
fn a_cold_start_serves_once_the_first_round_has_ended() {
    let endpoint = Endpoint::start("a");
    endpoint.health(Health::hang());
    let probe = "[probe.slow]\npath = \"/health\"\ninterval = \"5s\"\ntimeout = \"1s\"\n";
    let conf = Conf::new()
        .raw(probe)
        .listener("web", "")
        .pool("p", &[endpoint.addr()], "probe = \"slow\"")
        .route("all", "failover", &["p"], "");
    let edge = Edge::launch(&conf);
    assert_eq!(edge.ready(), 503, "before the first round");
    assert_eq!(get(edge.web(), "/").status, 200, "unproven endpoints serve when no endpoint is up");
    eventually("ready after the first round", SOON, || edge.ready() == 200);
}
