//! DNS that replaces every address of a name: no endpoint is down, so no traffic fails over.

mod common;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use common::{AT_ONCE, hammer, on_one_port};
use thalweg_testkit::{Conf, Dns, Edge, Endpoint, Records, eventually, get};

const SOON: Duration = Duration::from_secs(20);

fn four(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// The pool `near` of the name, with the pool `far` behind it. A new address takes more than a second to prove itself.
fn edge_for(dns: &Dns, port: u16, far: &Endpoint) -> Edge {
    let conf = Conf::new()
        .listener("web", "")
        .raw(&format!("[resolver]\nnameservers = [\"{}\"]\nttl_min = \"1s\"\n", dns.addr()))
        .raw("[probe.slow]\ninterval = \"400ms\"\nconfirm = \"400ms\"\nrise = 4\n")
        .raw(&format!("[pool.near]\nprobe = \"slow\"\nendpoints = [{{ address = \"api.test:{port}\" }}]\n"))
        .pool("far", &[far.addr()], "")
        .route("all", "failover", &["near", "far"], AT_ONCE);
    Edge::start(&conf)
}

#[test]
fn a_rotation_sends_no_request_to_the_next_region() {
    let (endpoints, port) = on_one_port(&[four(1), four(2), four(3), four(4)]);
    let far = Endpoint::start("far");
    let dns = Dns::start();
    dns.set("api.test", Records::Addresses(vec![four(1), four(2)], 1));
    let edge = edge_for(&dns, port, &far);
    edge.until_up(3);
    let before = far.hits();
    let mut serves_on = false;
    for (now, then) in [([3, 4], [1, 2]), ([1, 2], [3, 4])] {
        dns.set("api.test", Records::Addresses(now.map(four).to_vec(), 1));
        eventually("the new ones serve alone", SOON, || {
            let by = hammer(edge.web(), 2, 20);
            assert_eq!(by.get("far"), None, "{by:?}");
            let status = edge.status();
            let pools = status["pools"].as_array().expect("pools");
            let rows = pools.iter().flat_map(|pool| pool["endpoints"].as_array().expect("endpoints"));
            serves_on |=
                rows.filter(|row| row["left_dns"] == true && row["availability"] == "up").count() == 2;
            now.iter().all(|last| by.contains_key(&four(*last).to_string()))
                && then.iter().all(|last| !by.contains_key(&four(*last).to_string()))
        });
    }
    assert!(serves_on, "the status never showed the old ones");
    assert_eq!(far.hits() - before, 0);
    assert_eq!(edge.metric("thalweg_failovers_total", &[("from", "near"), ("to", "far")]), 0.0);
    drop(endpoints);
}

#[test]
fn an_old_address_serves_on_while_the_new_one_is_down_and_leaves_when_it_fails() {
    let (mut endpoints, port) = on_one_port(&[four(1), four(2)]);
    let far = Endpoint::start("far");
    let dns = Dns::start();
    dns.set("api.test", Records::Addresses(vec![four(1)], 1));
    let edge = edge_for(&dns, port, &far);
    edge.until_up(2);
    let (old, new) = (endpoints[0].addr(), endpoints[1].addr());
    drop(endpoints.pop());
    dns.set("api.test", Records::Addresses(vec![four(2)], 1));
    eventually("the new address is down", SOON, || {
        edge.stderr().lines().any(|line| line.contains(&new.to_string()) && line.contains("to=\"down\""))
    });
    // The new address is down and counts: a part goes to the next region, and the old address takes the rest.
    let by = hammer(edge.web(), 2, 50);
    assert!(by.get("127.0.0.1") > Some(&50), "{by:?}");
    assert_eq!(edge.endpoint(old)["left_dns"], true);
    drop(endpoints);
    eventually("the next region serves", SOON, || get(edge.web(), "/").endpoint() == "far");
    eventually("the old address is removed", SOON, || edge.stderr().contains("old addresses let go"));
}
