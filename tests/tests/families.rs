//! Names with two address families: one that never worked costs nothing, one that worked counts, and a key chooses.

mod common;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use common::{AT_ONCE, hammer, on_one_port};
use serde_json::Value;
use thalweg_testkit::{Conf, Dns, Edge, Endpoint, Records, eventually, thalweg};

const SOON: Duration = Duration::from_secs(15);
const FOUR: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// An IPv6 address that no machine listens on or has a route to, or that is refused at once.
fn dead(last: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, last))
}

/// An edge with the pool `near` of this endpoint and the pool `far` behind it, asked from this server.
fn edge_for(dns: &Dns, near: &str, far: &Endpoint, probe: &str) -> Edge {
    let conf = Conf::new()
        .listener("web", "")
        .raw(&format!("[resolver]\nnameservers = [\"{}\"]\n", dns.addr()))
        .raw(&format!("[pool.near]\nendpoints = [{near}]\n{probe}\n"))
        .pool("far", &[far.addr()], "")
        .route("all", "failover", &["near", "far"], AT_ONCE);
    Edge::start(&conf)
}

fn pool(edge: &Edge, name: &str) -> Value {
    let status = edge.status();
    let pools = status["pools"].as_array().expect("pools");
    pools.iter().find(|pool| pool["name"] == name).expect("the pool").clone()
}

fn row(edge: &Edge, of: &str, ip: IpAddr) -> Value {
    let pool = pool(edge, of);
    let rows = pool["endpoints"].as_array().expect("endpoints");
    let is_of = |row: &&Value| row["address"].as_str().is_some_and(|text| text.contains(&ip.to_string()));
    rows.iter().find(is_of).cloned().unwrap_or(Value::Null)
}

/// `near` by a name that has the dead addresses, too.
fn named(dns: &Dns, near: &Endpoint, gone: &[IpAddr]) -> String {
    let all = std::iter::once(FOUR).chain(gone.iter().copied()).collect();
    dns.set("api.test", Records::Addresses(all, 60));
    format!("{{ address = \"api.test:{}\" }}", near.addr().port())
}

#[test]
fn a_family_that_never_worked_costs_no_traffic_and_is_told() {
    for gone in [vec![dead(1)], vec![dead(1), dead(2)]] {
        let (near, far, dns) = (Endpoint::start("near"), Endpoint::start("far"), Dns::start());
        let spec = named(&dns, &near, &gone);
        let edge = edge_for(&dns, &spec, &far, "probe = \"fast\"");
        eventually("the living one serves", SOON, || row(&edge, "near", FOUR)["availability"] == "up");
        eventually("the dead ones do not count", SOON, || {
            assert_eq!(hammer(edge.web(), 1, 10).get("far"), None, "{gone:?}");
            gone.iter().all(|ip| row(&edge, "near", *ip)["availability"] == "down")
                && pool(&edge, "near")["left_out"] == gone.len()
        });
        assert_eq!(hammer(edge.web(), 2, 100).get("near"), Some(&200), "{gone:?}");
        assert_eq!(pool(&edge, "near")["available"], 1.0);
        let row = row(&edge, "near", dead(1));
        assert_eq!(row["left_out"], true, "{row}");
        let admin = edge.admin_url();
        let said = thalweg(&["explain", "--admin", &admin, "--host", "x", "--path", "/"]).stdout;
        assert!(said.contains("in near do not count: their address family never worked"), "{said}");
        let said = thalweg(&["status", "--admin", &admin]).stdout;
        assert!(said.contains("[not counted: its address family never worked]"), "{said}");
    }
}

#[test]
fn a_dead_family_costs_no_traffic_without_a_probe_either() {
    for gone in [vec![dead(1)], vec![dead(1), dead(2)]] {
        let (near, far, dns) = (Endpoint::start("near"), Endpoint::start("far"), Dns::start());
        let spec = named(&dns, &near, &gone);
        let edge = edge_for(&dns, &spec, &far, "[pool.near.eject]\nconsecutive_failures = 1\n");
        eventually("the edge knows which family works", SOON, || {
            hammer(edge.web(), 1, 50).get("near") == Some(&50)
        });
        assert_eq!(hammer(edge.web(), 2, 300).get("near"), Some(&600), "{gone:?}");
    }
}

#[test]
fn localhost_with_one_family_listening_gets_its_full_share() {
    let (near, far) = (Endpoint::start("near"), Endpoint::start("far"));
    let conf = Conf::new()
        .listener("web", "")
        .raw(&format!(
            "[pool.near]\nprobe = \"fast\"\nendpoints = [{{ address = \"localhost:{}\" }}]\n",
            near.addr().port()
        ))
        .pool("far", &[far.addr()], "")
        .route("all", "failover", &["near", "far"], AT_ONCE);
    let edge = Edge::start(&conf);
    eventually("the pool serves", SOON, || hammer(edge.web(), 1, 10).get("near") == Some(&10));
    assert_eq!(hammer(edge.web(), 2, 200).get("near"), Some(&400));
}

#[test]
fn a_family_that_has_worked_counts_when_it_fails() {
    let (mut endpoints, port) = on_one_port(&[FOUR, SIX]);
    let far = Endpoint::start("far");
    let dns = Dns::start();
    dns.set("api.test", Records::Addresses(vec![FOUR, SIX], 60));
    let edge = edge_for(&dns, &format!("{{ address = \"api.test:{port}\" }}"), &far, "probe = \"fast\"");
    edge.until_up(3);
    drop(endpoints.pop());
    eventually("half of the pool is gone", SOON, || pool(&edge, "near")["available"] == 0.5);
    assert_eq!(pool(&edge, "near")["left_out"], 0);
    let by = hammer(edge.web(), 2, 150);
    assert!(by.contains_key("far") && by.contains_key("127.0.0.1"), "{by:?}");
}

#[test]
fn a_key_chooses_the_family_for_all_names_and_for_one() {
    let (_endpoints, port) = on_one_port(&[FOUR, SIX]);
    let far = Endpoint::start("far");
    let dns = Dns::start();
    dns.set("api.test", Records::Addresses(vec![FOUR, SIX], 60));
    dns.set("four.test", Records::Addresses(vec![FOUR], 60));
    let conf = |family: &str, own: &str| {
        Conf::new()
            .listener("web", "")
            .raw(&format!("[resolver]\nnameservers = [\"{}\"]\nfamily = \"{family}\"\n", dns.addr()))
            .raw(&format!(
                "[pool.near]\nprobe = \"fast\"\nendpoints = [{{ address = \"api.test:{port}\"{own} }}]\n\
                 [pool.none]\nprobe = \"fast\"\nendpoints = [{{ address = \"four.test:{port}\", family = \"ipv6\" }}]\n"
            ))
            .pool("far", &[far.addr()], "")
            .route("all", "failover", &["near", "none", "far"], AT_ONCE)
    };
    let mut edge = Edge::start(&conf("ipv4", ""));
    let only = |edge: &Edge, ip: IpAddr, other: IpAddr| {
        !row(edge, "near", ip).is_null()
            && row(edge, "near", other).is_null()
            && edge.ready() == 200
            && hammer(edge.web(), 1, 20).get(&ip.to_string()) == Some(&20)
    };
    eventually("IPv4 alone", SOON, || only(&edge, FOUR, SIX));
    let none = pool(&edge, "none")["endpoints"][0].clone();
    assert_eq!(none["last_probe"]["result"], "unresolved", "{none}");
    assert!(!none["last_probe"]["error"].as_str().unwrap_or_default().is_empty(), "{none}");
    for (family, own, ip, other) in [
        ("ipv6", "", SIX, FOUR),
        ("ipv6", ", family = \"ipv4\"", FOUR, SIX),
        ("ipv4", ", family = \"ipv6\"", SIX, FOUR),
    ] {
        let text = edge.render(&conf(family, own));
        edge.replace(&text);
        assert_eq!(edge.reload().status, 200);
        eventually(&format!("{family}{own}"), SOON, || only(&edge, ip, other));
    }
    let text = edge.render(&conf("auto", ""));
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    eventually("both", SOON, || !row(&edge, "near", FOUR).is_null() && !row(&edge, "near", SIX).is_null());
}
