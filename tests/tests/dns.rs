//! Names as endpoints: many addresses, both families, changes within their time to live, failures that change nothing.

mod common;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use common::{assert_ours, hammer, on_one_port};
use thalweg_testkit::{Behaviour, Conf, Dns, Edge, Records, eventually, get, stays};

const SOON: Duration = Duration::from_secs(10);

fn four(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// An edge with one pool, `api.test:PORT`, which it resolves at this server.
fn edge_for(dns: &Dns, port: u16, lines: &str) -> Edge {
    let conf = Conf::new()
        .listener("web", "")
        .raw(&format!("[resolver]\nnameservers = [\"{}\"]\nttl_min = \"1s\"\n{lines}", dns.addr()))
        .raw(&format!("[pool.p]\nprobe = \"fast\"\nendpoints = [{{ address = \"api.test:{port}\" }}]\n"))
        .route("all", "failover", &["p"], "");
    Edge::start(&conf)
}

#[test]
fn a_name_with_both_families_is_many_endpoints() {
    let ips = [four(1), four(2), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let (endpoints, port) = on_one_port(&ips);
    let dns = Dns::start();
    dns.set("api.test", Records::Addresses(ips.to_vec(), 60));
    let edge = edge_for(&dns, port, "");
    edge.until_up(3);
    let by = hammer(edge.web(), 2, 150);
    assert_eq!(by.len(), 3, "{by:?}");
    for endpoint in &endpoints {
        assert!(edge.is_up(endpoint.addr()), "{} is a label of its own", endpoint.addr());
    }
}

#[test]
fn a_changed_answer_is_in_force_after_its_time_to_live() {
    let (endpoints, port) = on_one_port(&[four(1), four(2)]);
    let dns = Dns::start();
    dns.set("api.test", Records::Addresses(vec![four(1)], 1));
    let edge = edge_for(&dns, port, "");
    edge.until_up(1);
    assert_eq!(get(edge.web(), "/").endpoint(), "127.0.0.1");
    dns.set("api.test", Records::Addresses(vec![four(1), four(2)], 1));
    edge.until_up(2);
    dns.set("api.test", Records::Addresses(vec![four(2)], 1));
    eventually("the old one is gone", SOON, || hammer(edge.web(), 1, 20).get("127.0.0.2") == Some(&20));
    drop(endpoints);
}

#[test]
fn a_family_that_is_never_answered_delays_no_other() {
    // Well below the time after which the lookup of the silent family fails.
    const AT_ONCE: Duration = Duration::from_secs(4);
    let (endpoints, port) = on_one_port(&[four(1), four(2)]);
    let dns = Dns::start();
    let only = |last: u8| {
        Records::Split(Box::new(Records::Addresses(vec![four(last)], 1)), Box::new(Records::Silence))
    };
    dns.set("api.test", only(1));
    let edge = edge_for(&dns, port, "");
    eventually("the first family serves", AT_ONCE, || edge.is_up(endpoints[0].addr()));
    assert_eq!(get(edge.web(), "/").endpoint(), "127.0.0.1");
    dns.set("api.test", only(2));
    eventually("the changed address is in force", AT_ONCE, || get(edge.web(), "/").endpoint() == "127.0.0.2");
}

#[test]
fn a_failing_server_keeps_the_last_good_answer() {
    let (_endpoints, port) = on_one_port(&[four(1)]);
    let dns = Dns::start();
    dns.set("api.test", Records::Addresses(vec![four(1)], 1));
    let edge = edge_for(&dns, port, "");
    edge.until_up(1);
    for failure in [Records::ServFail, Records::Silence, Records::NxDomain] {
        let asked = dns.queries();
        dns.set("api.test", failure.clone());
        eventually("the edge asks again", Duration::from_secs(15), || dns.queries() > asked + 1);
        stays("the edge serves", Duration::from_millis(1500), || get(edge.web(), "/").status == 200);
    }
    assert_eq!(edge.ready(), 200);
}

#[test]
fn a_family_that_cannot_be_asked_keeps_its_addresses() {
    let ips = [four(1), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let good = |ips: &[IpAddr]| Box::new(Records::Addresses(ips.to_vec(), 1));
    let (endpoints, port) = on_one_port(&ips);
    let dns = Dns::start();
    dns.set("api.test", *good(&ips));
    let edge = edge_for(&dns, port, "");
    edge.until_up(2);
    for (records, what) in [
        (Records::Split(Box::new(Records::ServFail), good(&ips)), "A fails"),
        (Records::Split(good(&ips), Box::new(Records::ServFail)), "AAAA fails"),
        (Records::Split(Box::new(Records::NxDomain), good(&ips)), "A denies the name"),
        (Records::Split(Box::new(Records::Silence), good(&ips)), "A is silent"),
    ] {
        let told = || edge.stderr().matches("name not resolved").count();
        let before = told();
        dns.set("api.test", records);
        eventually(what, Duration::from_secs(20), || told() > before);
        // An address whose last sample was slow is asked less often, but an address that is gone never.
        eventually(&format!("{what}, and both are asked"), Duration::from_secs(20), || {
            hammer(edge.web(), 1, 40).len() == 2
        });
    }
    dns.set("api.test", Records::Split(good(&[]), good(&ips)));
    eventually("without records, a family is empty", Duration::from_secs(40), || {
        hammer(edge.web(), 1, 20).get("::1") == Some(&20)
    });
    drop(endpoints);
}

#[test]
fn an_address_that_vanishes_ends_its_requests_first() {
    let (endpoints, port) = on_one_port(&[four(1), four(2)]);
    let dns = Dns::start();
    dns.set("api.test", Records::Addresses(vec![four(1)], 1));
    let edge = edge_for(&dns, port, "");
    edge.until_up(1);
    endpoints[0].behave(Behaviour::Slow(Duration::from_secs(4)));
    let addr = edge.web();
    let asked = std::thread::spawn(move || get(addr, "/"));
    eventually("the request is under way", SOON, || endpoints[0].hits() == 1);
    dns.set("api.test", Records::Addresses(vec![four(2)], 1));
    eventually("the new one is up", Duration::from_secs(3), || edge.is_up(endpoints[1].addr()));
    eventually("the old one is gone", SOON, || !edge.is_up(endpoints[0].addr()));
    assert_eq!(hammer(edge.web(), 1, 20).get("127.0.0.2"), Some(&20));
    assert!(!asked.is_finished(), "too slow to prove anything");
    let reply = asked.join().expect("an answer");
    assert_eq!((reply.status, reply.endpoint()), (200, "127.0.0.1"));
}

#[test]
fn an_unknown_name_is_no_endpoint_until_it_resolves() {
    let (_endpoints, port) = on_one_port(&[four(1)]);
    let dns = Dns::start();
    let conf = Conf::new()
        .listener("web", "")
        .raw(&format!("[resolver]\nnameservers = [\"{}\"]\nttl_min = \"1s\"\n", dns.addr()))
        .raw(&format!("[pool.p]\nprobe = \"fast\"\nendpoints = [{{ address = \"api.test:{port}\" }}]\n"))
        .route("all", "failover", &["p"], "");
    let edge = Edge::launch(&conf);
    eventually("the edge asks", SOON, || dns.queries() > 0);
    let reply = get(edge.web(), "/");
    assert_ours(&reply, 503, "no_endpoint");
    assert!(reply.header("retry-after").is_some());
    assert_eq!(edge.ready(), 503);
    dns.set("api.test", Records::Addresses(vec![four(1)], 1));
    eventually("the edge serves", Duration::from_secs(20), || get(edge.web(), "/").status == 200);
    eventually("ready", SOON, || edge.ready() == 200);
}

#[test]
fn a_name_that_has_no_answer_yet_is_a_row_of_the_status() {
    let dns = Dns::start();
    dns.set("api.test", Records::Silence);
    let conf = Conf::new()
        .listener("web", "")
        .raw(&format!("[resolver]\nnameservers = [\"{}\"]\n", dns.addr()))
        .raw("[pool.p]\nprobe = \"fast\"\nendpoints = [{ address = \"api.test:80\" }]\n")
        .route("all", "failover", &["p"], "");
    let edge = Edge::launch(&conf);
    // Its own start may come after that of the admin page.
    eventually("the pool is there", SOON, || !edge.status()["pools"][0].is_null());
    let row = edge.status()["pools"][0]["endpoints"][0].clone();
    assert_eq!((&row["address"], &row["availability"]), (&"api.test:80".into(), &"down".into()), "{row}");
    assert_eq!(row["last_probe"]["result"], "unresolved", "{row}");
    assert!(row["last_probe"]["error"].as_str().is_some_and(|why| !why.is_empty()), "{row}");
}

#[test]
fn no_more_addresses_are_kept_than_allowed() {
    let (_endpoints, port) = on_one_port(&[four(1)]);
    let dns = Dns::start();
    dns.set("api.test", Records::Addresses((1..=20).map(four).collect(), 60));
    let edge = edge_for(&dns, port, "max_addresses = 4\n");
    let count = || {
        let page = edge.metrics();
        page.samples.iter().filter(|sample| sample.name == "thalweg_endpoint_available").count()
    };
    eventually("four are kept", SOON, || count() == 4);
}
