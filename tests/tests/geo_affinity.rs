//! Geography and affinity on one route: a client is served in its place, and keeps its endpoint there.

mod common;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use common::alone;
use thalweg_testkit::{Client, Conf, Edge, Endpoint, Reply, eventually};

const SOON: Duration = Duration::from_secs(10);
/// A key of 32 bytes.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Regions `north` and `south` of three endpoints each. Clients in 127.1.0.0/16 stay in the north, those in 127.2.0.0/16
/// prefer the south, all others the north.
fn two_regions(affinity: &str) -> (Conf, Vec<Endpoint>) {
    let endpoints: Vec<Endpoint> = ["n0", "n1", "n2", "s0", "s1", "s2"].map(Endpoint::start).into();
    let addrs: Vec<_> = endpoints.iter().map(Endpoint::addr).collect();
    let rules = "geo = [\n\
        { from = [\"network:resident\"], pools = [\"north\"], residency = true },\n\
        { from = [\"network:south\"], pools = [\"south\", \"north\"] },\n]";
    let conf = Conf::new()
        .listener("web", "")
        .pool("north", &addrs[..3], "eject = { panic_threshold = 0.3 }")
        .pool("south", &addrs[3..], "eject = { panic_threshold = 0.3 }")
        .route("all", "geo", &["north", "south"], &format!("{rules}\naffinity = {affinity}"))
        .raw("[geo.networks]\nresident = [\"127.1.0.0/16\"]\nsouth = [\"127.2.0.0/16\"]\n")
        .file("affinity.key", format!("{KEY}\n"));
    (conf, endpoints)
}

/// Clients of a network.
fn clients(network: u8) -> impl Iterator<Item = IpAddr> {
    (1..=30).map(move |nth| IpAddr::from([127, network, 3, nth]))
}

fn ask(edge: &Edge, client: IpAddr, cookie: &str) -> Reply {
    let field = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    Client::connect_from(client, edge.web()).ask("GET", "/", &field, b"").expect("an answer")
}

/// Who answers each client of a network; "503" where nobody does.
fn places(edge: &Edge, network: u8) -> BTreeMap<IpAddr, String> {
    let by = |client| {
        let reply = ask(edge, client, "");
        let by = if reply.status == 200 { reply.endpoint().to_owned() } else { reply.status.to_string() };
        (client, by)
    };
    clients(network).map(by).collect()
}

fn all_in(places: &BTreeMap<IpAddr, String>, region: &str) -> bool {
    places.values().all(|place| place.starts_with(region))
}

#[test]
fn clients_keep_their_endpoint_within_their_place_and_two_edges_agree() {
    let _alone = alone();
    let (conf, endpoints) = two_regions("{ mode = \"client-ip\" }");
    let edges = [Edge::start(&conf), Edge::start(&conf)];
    edges.iter().for_each(|edge| edge.until_up(6));
    let before: Vec<_> = [1, 2, 3].map(|network| places(&edges[0], network)).into();
    assert!(all_in(&before[0], "n") && all_in(&before[1], "s") && all_in(&before[2], "n"), "{before:?}");
    let again: Vec<_> = [1, 2, 3].map(|network| places(&edges[1], network)).into();
    assert_eq!(before, again, "two edges");
    let down = |endpoint: &Endpoint| {
        endpoint.die();
        for edge in &edges {
            eventually("it is down", SOON, || !edge.is_up(endpoint.addr()));
        }
    };
    // One endpoint of the north is lost: its clients move to others of the north, and no one else moves.
    down(&endpoints[0]);
    let without = places(&edges[0], 1);
    assert!(all_in(&without, "n"), "{without:?}");
    for (client, place) in &before[0] {
        assert_eq!(without[client] != *place, place == "n0", "{client}");
    }
    assert_eq!(places(&edges[0], 2), before[1]);
    // The north is lost: residents are refused, the others go south, each to one endpoint, the same on every edge.
    down(&endpoints[1]);
    down(&endpoints[2]);
    assert!(places(&edges[0], 1).values().all(|place| place == "503"));
    let moved = places(&edges[0], 3);
    assert!(all_in(&moved, "s"), "{moved:?}");
    assert_eq!(places(&edges[1], 3), moved);
    endpoints[..3].iter().for_each(Endpoint::revive);
    edges.iter().for_each(|edge| edge.until_up(6));
    for (network, before) in (1..).zip(&before) {
        eventually("all are back", SOON, || places(&edges[0], network) == *before);
    }
}

#[test]
fn a_cookie_counts_where_its_client_may_be_served_and_is_replaced_elsewhere() {
    let _alone = alone();
    let (conf, _endpoints) = two_regions("{ mode = \"cookie\", key_file = \"affinity.key\" }");
    let edge = Edge::start(&conf);
    edge.until_up(6);
    let [resident, southern] = [1, 2].map(|network| clients(network).next().expect("a client"));
    let first = ask(&edge, southern, "");
    let cookie = first.header("set-cookie").expect("a cookie").split(';').next().expect("a pair").to_owned();
    assert!(first.endpoint().starts_with('s'), "{}", first.endpoint());
    for _ in 0..10 {
        assert_eq!(ask(&edge, southern, &cookie).endpoint(), first.endpoint());
    }
    // With the same cookie in the north: residents are never served in the south.
    let travelled = ask(&edge, resident, &cookie);
    assert!(travelled.endpoint().starts_with('n') && travelled.header("set-cookie").is_some());
    let explain = |client: IpAddr| edge.explain(&format!("host=a&path=/&client={client}&cookie={cookie}"));
    let (there, here) = (explain(southern), explain(resident));
    assert_eq!((&there["cookie"]["counts"], &here["cookie"]["counts"]), (&true.into(), &false.into()));
    assert_eq!(here["cookie"]["why"], "its endpoint is of no use on this route");
    assert_eq!(there["decision"]["pool"], "south");
    assert_eq!(here["decision"]["pool"], "north");
}
