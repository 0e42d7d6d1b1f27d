//! Cases in which no endpoint may be ejected: the faults of clients, distance, a slow-down of all endpoints at once,
//! and faults of the edge itself.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{AT_ONCE, FOR_GOOD, Far, hammer, regions, until_ejected, until_known};
use thalweg_testkit::{Behaviour, Client, Conf, Edge, Endpoint, Load, Weather, eventually, get, stays};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_slowdown_of_all_endpoints_ejects_none() {
    let (edge, endpoints) = regions(3, "weighted", "", FOR_GOOD);
    until_known(&edge, &endpoints);
    // All endpoints become slow at the same moment, while no request is in flight.
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
fn clients_that_disconnect_eject_no_endpoint() {
    let (edge, endpoints) = regions(2, "failover", "", "[eject]\nconsecutive_failures = 1\nbase = \"60s\"");
    endpoints[0].behave(Behaviour::Slow(Duration::from_millis(150)));
    for nth in 1..=20 {
        let mut client = Client::connect(edge.web());
        client.send("GET / HTTP/1.1\r\nhost: api.test\r\n\r\n");
        eventually("the request has arrived", SOON, || endpoints[0].hits() >= nth);
        client.reset();
    }
    eventually("all requests have ended", SOON, || {
        edge.metric("thalweg_endpoint_requests_total", &[("pool", "p0"), ("outcome", "client_gone")]) == 20.0
    });
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
    assert_eq!(get(edge.web(), "/").endpoint(), "a");
}

#[test]
fn a_slow_upload_makes_no_endpoint_late() {
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
    eventually("the baseline is that of fast answers again", SOON, || {
        edge.endpoint(endpoints[0].addr())["p95_us"].as_u64().is_some_and(|usual| usual < 200_000)
    });
}

#[test]
fn an_edge_that_was_stopped_ejects_no_endpoint() {
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
fn connect_timeouts_while_the_edge_was_stopped_eject_no_endpoint() {
    let far = Far::behind(Weather { connect: Duration::from_millis(100), ..Weather::default() });
    far.endpoint.behave(Behaviour::CloseAfterEach);
    let near = Endpoint::start("near");
    let conf = Conf::new()
        .listener("web", "")
        .raw(&far.pool("# no probe"))
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
fn stalled_uploads_after_an_early_answer_eject_no_endpoint() {
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
    eventually("all answers are cut", SOON, || {
        edge.metric("thalweg_endpoint_in_flight", &[("pool", "p0")]) == 0.0
    });
    let ended =
        |outcome| edge.metric("thalweg_endpoint_requests_total", &[("pool", "p0"), ("outcome", outcome)]);
    assert_eq!((ended("client_gone"), ended("timeout")), (3.0, 0.0));
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
    drop(stalled);
    // Control: silence in the middle of an answer whose request is complete counts against the endpoint.
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";
    endpoints[0].behave(Behaviour::Raw(Bytes::from(half)));
    Client::connect(edge.web()).ask("POST", "/echo", "", b"x").expect_err("a cut answer");
    assert_eq!(until_ejected(&edge, &endpoints[0])["fault"], "timeout");
}

#[test]
fn a_far_endpoint_is_not_late_for_connecting_anew() {
    let round_trip = Duration::from_millis(80);
    let far = Far::behind(Weather { delay: round_trip / 2, connect: round_trip, ..Weather::default() });
    let (addr, near) = (far.addr, Endpoint::start("near"));
    let conf = Conf::new()
        .listener("web", "")
        .raw("[probe.calm]\npath = \"/health\"\ninterval = \"500ms\"\ntimeout = \"3s\"")
        .raw(&far.pool("probe = \"calm\""))
        .pool("p1", &[near.addr()], "")
        .route("all", "failover", &["p0", "p1"], AT_ONCE)
        .raw("[eject]\nbase = \"300ms\"");
    let edge = Edge::start(&conf);
    edge.until_up(2);
    eventually("the endpoint's baseline is known", SOON * 2, || {
        hammer(edge.web(), 2, 20);
        !edge.endpoint(addr)["p95_us"].is_null()
    });
    // A killed endpoint loses its idle connections, so the requests of its probation must connect.
    far.endpoint.behave(Behaviour::Status(500));
    hammer(edge.web(), 1, 5);
    eventually("the endpoint is ejected", SOON, || !edge.events_of("ejected").is_empty());
    far.endpoint.behave(Behaviour::Serve);
    let load = Load::to(edge.web()).rate(40.0).start();
    eventually("clear again", SOON, || edge.ejection(addr) == "clear");
    eventually("the endpoint serves again", SOON, || load.last(20).iter().all(|shot| shot.by == "far"));
    load.stop().assert_none_failed("a far region's return");
    assert_eq!(edge.events_of("ejected").len(), 1, "{:?}", edge.events_of("ejected"));
}

#[test]
fn an_edge_without_descriptors_ejects_no_endpoint() {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    // One failure may be real: an endpoint may close its connection just when the second request is on it.
    let (edge, endpoints) = regions(2, "failover", "", "[eject]\nconsecutive_failures = 2\nbase = \"60s\"");
    endpoints.iter().for_each(|endpoint| endpoint.behave(Behaviour::CloseAfterEach));
    let mut client = Client::connect(edge.web());
    assert_eq!(client.get("/").status, 200);
    let pid = Pid::from_raw(edge.pid()).expect("a process id");
    // The child inherits the hard limit of this process.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = |current| prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum });
    let before = limit(Some(3)).expect("the limit of our own child can be set");
    let refused = (0..20).map(|_| client.get("/").status).filter(|status| *status == 502).count();
    limit(before.current).expect("the limit can be raised again");
    assert!(refused >= 15, "only {refused} of 20 requests failed: a connection was still open");
    assert!(edge.events_of("ejected").is_empty(), "{:?}", edge.events_of("ejected"));
    assert_eq!(edge.ejection(endpoints[0].addr()), "clear");
    eventually("served again", SOON, || get(edge.web(), "/").endpoint() == "a");
}
