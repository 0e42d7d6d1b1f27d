//! What real traffic does to an endpoint's freedom: when it is ejected and when not, how long, and how it comes back.

mod common;

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use common::{hammer, on_one_port, sentences, until_ejected, until_known};
use serde_json::Value;
use thalweg_testkit::{
    Authority, Behaviour, Client, Conf, Dns, Edge, Endpoint, Health, Load, Records, Relay, Weather,
    eventually, get, server_config, stays,
};

const SOON: Duration = Duration::from_secs(10);
/// Nothing that is ejected comes back within a scenario.
const FOR_GOOD: &str = "[eject]\nbase = \"60s\"";
/// Returns within a scenario; held pools would hide it.
const AT_ONCE: &str = "failback = { mode = \"immediate\" }";

/// Endpoints named `a`, `b`, `c`… in one pool each, `p0`, `p1`, `p2`…
fn regions(count: usize, policy: &str, route: &str, eject: &str) -> (Edge, Vec<Endpoint>) {
    let endpoints: Vec<Endpoint> =
        ["a", "b", "c", "d"].iter().take(count).map(|name| Endpoint::start(name)).collect();
    let addrs: Vec<SocketAddr> = endpoints.iter().map(Endpoint::addr).collect();
    let edge = Edge::start(&Conf::simple_with(policy, &addrs, route).raw(eject));
    edge.until_up(count);
    (edge, endpoints)
}

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
fn three_errors_in_a_row_eject_and_no_good_health_check_brings_it_back() {
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
    assert_eq!(
        report.failed().len(),
        posts(&endpoints[1]).len(),
        "each POST there failed, and none elsewhere"
    );
    assert_once(&endpoints);
    let out = |endpoint: &&Endpoint| edge.ejection(endpoint.addr()) != "clear";
    assert_eq!(endpoints.iter().filter(out).count(), 1);
}

#[test]
fn a_lone_endpoint_is_never_ejected() {
    let (edge, endpoints) = regions(1, "failover", "", FOR_GOOD);
    endpoints[0].behave(Behaviour::Status(500));
    let report = Load::to(edge.web()).rate(200.0).count(200).run();
    assert_eq!(report.by().get("a"), Some(&200), "all of it is served by whom there is");
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
    // Longer than the second in which velocity is counted: then the share alone must hold.
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
    eventually("its requests have ended", SOON, || {
        edge.metric("thalweg_endpoint_in_flight", &[("endpoint", &endpoints[0].addr().to_string())]) == 0.0
    });
    endpoints[0].forget();
    eventually("clear again", SOON, || edge.ejection(endpoints[0].addr()) == "clear");
    eventually("and back at work", SOON, || load.last(20).iter().all(|shot| shot.by == "a"));
    load.stop().assert_none_failed("an ejection and a probation");
    // The first second since the first request of the trickle; two workers may each begin at once.
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
fn a_failed_probation_makes_the_next_sentence_longer() {
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
fn when_everyone_became_slow_nobody_is_ejected() {
    let (edge, endpoints) = regions(3, "weighted", "", FOR_GOOD);
    until_known(&edge, &endpoints);
    // At once for all: the requests that are under way when it happens are asked at a standstill.
    edge.freeze();
    endpoints.iter().for_each(|endpoint| endpoint.behave(Behaviour::Slow(Duration::from_millis(300))));
    edge.thaw();
    let report = Load::to(edge.web()).rate(60.0).count(300).run();
    report.assert_none_failed("a slow world");
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
}

#[test]
fn distance_alone_is_never_late() {
    let (edge, endpoints) = regions(3, "weighted", "", FOR_GOOD);
    endpoints[2].behave(Behaviour::Slow(Duration::from_millis(200)));
    until_known(&edge, &endpoints);
    let report = Load::to(edge.web()).rate(100.0).count(300).run();
    report.assert_none_failed("a far region");
    assert_eq!(report.by().len(), 3, "{:?}", report.by());
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
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
        assert_eq!(post(&mut client), (500, "b".into()), "the other pool is patient");
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
    assert_eq!(second_of(&status["ejected_until"]), second_of(&until), "the same sentence, to ten seconds");
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
    // Were it not for that, the draw inside the pool would hardly ask the flapper again.
    good.behave(Behaviour::Slow(Duration::from_millis(800)));
    bad.behave(Behaviour::EveryNth(2, 500));
    let load = Load::to(edge.web()).rate(60.0).start();
    assert_eq!(until_ejected(&edge, &bad)["cause"], "failure_ratio");
    load.stop().assert_none_failed("GETs beside a flapper");
    // Now that one is out, the other must stay, whatever it does.
    good.behave(Behaviour::Status(500));
    Load::to(edge.web()).rate(200.0).count(100).posts(1.0).run();
    assert_eq!(edge.ejection(good.addr()), "clear");
}

#[test]
fn clients_that_go_away_convict_nobody() {
    let (edge, endpoints) = regions(2, "failover", "", "[eject]\nconsecutive_failures = 1\nbase = \"60s\"");
    endpoints[0].behave(Behaviour::Slow(Duration::from_millis(150)));
    for nth in 1..=20 {
        let mut client = Client::connect(edge.web());
        client.send("GET / HTTP/1.1\r\nhost: api.test\r\n\r\n");
        eventually("it has arrived", SOON, || endpoints[0].hits() >= nth);
        client.reset();
    }
    eventually("all have left", SOON, || {
        edge.metric("thalweg_endpoint_requests_total", &[("pool", "p0"), ("outcome", "client_gone")]) == 20.0
    });
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
    assert_eq!(get(edge.web(), "/").endpoint(), "a");
}

#[test]
fn a_client_that_is_slow_to_upload_makes_nobody_late() {
    let (edge, endpoints) = regions(2, "failover", "", "[eject]\nconsecutive_failures = 1\nbase = \"60s\"");
    until_known(&edge, &endpoints[..1]);
    endpoints[0].forget();
    let mut client = Client::connect(edge.web());
    for _ in 0..5 {
        client.send("POST /upload HTTP/1.1\r\nhost: api.test\r\ncontent-length: 1\r\n\r\n");
        let hits = endpoints[0].hits();
        stays("the endpoint waits for the body", Duration::from_millis(250), || endpoints[0].hits() == hits);
        client.send("x");
        assert_eq!(client.reply("POST").expect("an answer").endpoint(), "a");
    }
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
    eventually("what is usual has been told again", SOON, || {
        edge.endpoint(endpoints[0].addr())["p95_us"].as_u64().is_some_and(|usual| usual < 200_000)
    });
}

#[test]
fn an_edge_that_stood_still_blames_itself() {
    let (edge, endpoints) = regions(2, "failover", "", FOR_GOOD);
    endpoints.iter().for_each(|endpoint| endpoint.behave(Behaviour::Slow(Duration::from_millis(30))));
    until_known(&edge, &endpoints[..1]);
    let load = Load::to(edge.web()).rate(200.0).start();
    for _ in 0..3 {
        let done = load.done();
        eventually("some traffic", SOON, || load.done() > done + 100);
        edge.freeze();
        stays("a pause", Duration::from_millis(200), || edge.ended().is_none());
        edge.thaw();
    }
    let done = load.done();
    eventually("some more traffic", SOON, || load.done() > done + 100);
    let report = load.stop();
    report.assert_none_failed("an edge that stood still");
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
    assert_eq!(report.by().get("a"), Some(&report.shots.len()), "{:?}", report.by());
}

#[test]
fn connects_that_ran_out_of_time_while_the_edge_stood_still_convict_nobody() {
    let ours = Authority::new("ours");
    let far = Endpoint::start_tls("far", server_config(&ours.leaf(&["api.test"])));
    far.behave(Behaviour::CloseAfterEach);
    let way = Relay::to(far.addr());
    way.weather(Weather { connect: Duration::from_millis(100), ..Weather::default() });
    let (addr, near) = (way.open(), Endpoint::start("near"));
    let conf = Conf::new()
        .listener("web", "")
        .raw(&format!(
            "[pool.p0]\nendpoints = [{{ address = \"{addr}\", tls = {{ sni = \"api.test\", verify = false }} }}]"
        ))
        .pool("p1", &[near.addr()], "# no probe")
        .route("all", "failover", &["p0", "p1"], "timeouts = { connect = \"400ms\" }")
        .raw("[eject]\nconsecutive_failures = 3\nbase = \"60s\"");
    let edge = Edge::start(&conf);
    let load = Load::to(edge.web()).rate(100.0).start();
    eventually("some traffic", SOON, || load.done() > 50);
    edge.freeze();
    stays("a pause longer than the limit", Duration::from_millis(600), || edge.ended().is_none());
    edge.thaw();
    let done = load.done();
    eventually("some more traffic", SOON, || load.done() > done + 100);
    load.stop().assert_none_failed("an edge that stood still");
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
    let failed = [("pool", "p0"), ("outcome", "connect_failed")];
    println!("{} connects ran out of time", edge.metric("thalweg_endpoint_requests_total", &failed));
}

#[test]
fn clients_that_stall_their_uploads_under_an_early_answer_convict_nobody() {
    let idle = "timeouts = { idle = \"1s\" }";
    let (edge, endpoints) = regions(2, "failover", idle, "[eject]\nconsecutive_failures = 1\nbase = \"60s\"");
    let stalled: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = Client::connect(edge.web());
            client.send("POST /echo HTTP/1.1\r\nhost: api.test\r\ncontent-length: 10\r\n\r\nabc");
            assert_eq!(client.head().expect("an early head").header("x-endpoint"), Some("a"));
            client
        })
        .collect();
    eventually("all are cut", SOON, || edge.metric("thalweg_endpoint_in_flight", &[("pool", "p0")]) == 0.0);
    let ended =
        |outcome| edge.metric("thalweg_endpoint_requests_total", &[("pool", "p0"), ("outcome", outcome)]);
    assert_eq!((ended("client_gone"), ended("timeout")), (3.0, 0.0));
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
    drop(stalled);
    // Silence in the middle of an answer whose request is complete is the endpoint's.
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";
    endpoints[0].behave(Behaviour::Raw(Bytes::from(half)));
    Client::connect(edge.web()).ask("POST", "/echo", "", b"x").expect_err("a cut answer");
    assert_eq!(until_ejected(&edge, &endpoints[0])["fault"], "timeout");
}

#[test]
fn a_far_endpoint_is_not_late_for_connecting_anew() {
    let (ours, round_trip) = (Authority::new("ours"), Duration::from_millis(80));
    let far = Endpoint::start_tls("far", server_config(&ours.leaf(&["api.test"])));
    let near = Endpoint::start("near");
    let way = Relay::to(far.addr());
    way.weather(Weather { delay: round_trip / 2, connect: round_trip, ..Weather::default() });
    let addr = way.open();
    let conf = Conf::new()
        .listener("web", "")
        .raw("[probe.calm]\npath = \"/health\"\ninterval = \"500ms\"\ntimeout = \"3s\"")
        .raw(&format!(
            "[pool.p0]\nprobe = \"calm\"\nendpoints = [{{ address = \"{addr}\", tls = {{ sni = \"api.test\", verify = false }} }}]"
        ))
        .pool("p1", &[near.addr()], "")
        .route("all", "failover", &["p0", "p1"], AT_ONCE)
        .raw("[eject]\nbase = \"300ms\"");
    let edge = Edge::start(&conf);
    edge.until_up(2);
    eventually("its usual time is known", SOON * 2, || {
        hammer(edge.web(), 2, 20);
        !edge.endpoint(addr)["p95_us"].is_null()
    });
    // Going down closes its idle connections: the requests of its probation have to connect.
    far.behave(Behaviour::Status(500));
    hammer(edge.web(), 1, 5);
    eventually("it is ejected", SOON, || !edge.events_of("ejected").is_empty());
    far.behave(Behaviour::Serve);
    let load = Load::to(edge.web()).rate(40.0).start();
    eventually("clear again", SOON, || edge.ejection(addr) == "clear");
    eventually("and back at work", SOON, || load.last(20).iter().all(|shot| shot.by == "far"));
    load.stop().assert_none_failed("a far region's return");
    assert_eq!(edge.events_of("ejected").len(), 1, "{:?}", edge.events_of("ejected"));
}

#[test]
fn an_edge_without_descriptors_blames_itself() {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let (edge, endpoints) = regions(2, "failover", "", "[eject]\nconsecutive_failures = 1\nbase = \"60s\"");
    endpoints.iter().for_each(|endpoint| endpoint.behave(Behaviour::CloseAfterEach));
    let mut client = Client::connect(edge.web());
    assert_eq!(client.get("/").status, 200);
    let pid = Pid::from_raw(edge.pid()).expect("a process id");
    // The child has our own hard limit.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = |current| prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum });
    let before = limit(Some(3)).expect("the limit of our own child can be set");
    let refused = (0..20).map(|_| client.get("/").status).filter(|status| *status == 502).count();
    limit(before.current).expect("the limit can be raised again");
    assert!(refused >= 15, "only {refused} of 20 felt it: a connection was still open");
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
    assert_eq!(edge.ejection(endpoints[0].addr()), "clear");
    eventually("served again", SOON, || get(edge.web(), "/").endpoint() == "a");
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
    // The same pool without that word may be asked twice, so the scenario can tell the difference.
    endpoints.iter().for_each(Endpoint::forget);
    endpoints[..2].iter().for_each(|endpoint| endpoint.behave(Behaviour::Status(503)));
    hammer(edge.web(), 2, 20);
    assert!(endpoints[0].hits() + endpoints[1].hits() > 40);
}

#[test]
fn a_health_check_that_fails_and_comes_back_ends_no_sentence() {
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
