//! Geo routes: what their entries mean, and the exact lines that mistakes print.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use support::{complaints, minimal, read};
use thalweg_core::{Location, PlaceCode, PoolSlot, Route, RoutePool, RouteSlot};

fn check(text: &str, expected: &[&str]) {
    assert_eq!(complaints(text), expected, "\n{text}");
}

fn at(pool: u32, tier: u32, weight: u32, dial: u8) -> RoutePool {
    RoutePool { pool: PoolSlot(pool), tier, weight, dial }
}

/// A route with these geo entries, and its sub-routes.
fn geo(pools: &str, entries: &str) -> Vec<Route> {
    let text = format!(
        "[geo]\ndatabase = \"admin.token\"\n[geo.networks]\noffice = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n\
         lab = [\"10.1.0.0/16\"]\n[pool.b]\nendpoints = [{{ address = \"b:1\" }}]\n\
         [pool.c]\nendpoints = [{{ address = \"c:1\" }}]\n\
         [route.x]\nhosts = [\"x\"]\npolicy = \"geo\"\n{pools}\ngeo = [{entries}]\n"
    );
    let config = read(&minimal(&text)).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    assert_eq!(config.topology.routes.len(), config.routes.len());
    config.topology.routes[1..].to_vec()
}

#[test]
fn a_geo_entry_has_the_affinity_of_its_route() {
    let routes = geo(
        "pools = [{ pool = \"a\" }]\naffinity = { mode = \"client-ip\" }",
        "{ from = [\"country:DE\"], pools = [\"c\"] }",
    );
    let [own, germany] = routes.as_slice() else { panic!("{routes:?}") };
    assert!(own.affinity.is_some());
    assert_eq!(germany.affinity, own.affinity);
}

#[test]
fn geo_entries_become_orders_of_their_own() {
    let routes = geo(
        "pools = [{ pool = \"a\" }, { pool = \"b\", weight = 3, dial = 50 }]",
        "{ from = [\"country:DE\", \"continent:EU\"], pools = [\"c\", \"b\"] },\
         { from = [\"network:lab\"], pools = [\"b\"], residency = true }",
    );
    let [own, europe, lab] = routes.as_slice() else { panic!("{routes:?}") };
    assert_eq!(own.pools, [at(0, 0, 1, 100), at(1, 1, 3, 50)]);
    assert_eq!((&*own.name, own.parent, own.residency), ("x", None, false));
    assert_eq!(
        europe.pools,
        [at(2, 0, 1, 100), at(1, 1, 3, 50), at(0, 2, 1, 100)],
        "behind it, the route's own"
    );
    assert_eq!(
        (&*europe.name, europe.parent, europe.residency),
        ("x[country:DE]", Some(RouteSlot(1)), false)
    );
    assert_eq!(lab.pools, [at(1, 0, 3, 50)], "and behind a resident one, nothing");
    assert_eq!((&*lab.name, lab.parent, lab.residency), ("x[network:lab]", Some(RouteSlot(1)), true));
    let serving = |client: &str, country: &str, continent: &str| {
        let location = Location { country: PlaceCode::read(country), continent: PlaceCode::read(continent) };
        own.serving(RouteSlot(1), client.parse().unwrap(), location).0
    };
    assert_eq!(serving("10.1.0.1", "DE", "EU"), 3);
    assert_eq!(serving("10.2.0.1", "DE", "EU"), 2);
    assert_eq!(serving("192.0.2.1", "US", "NA"), 1);
}

#[test]
fn an_entry_for_every_client_is_the_order_of_the_route() {
    let routes = geo(
        "",
        "{ from = [\"network:lab\", \"*\"], pools = [\"b\"], residency = true }, { from = [\"network:office\"], pools = [\"c\"] }",
    );
    let [own, lab, office] = routes.as_slice() else { panic!("{routes:?}") };
    assert_eq!((own.pools.as_slice(), own.residency), ([at(1, 0, 1, 100)].as_slice(), true));
    assert_eq!((lab.pools.as_slice(), lab.residency), ([at(1, 0, 1, 100)].as_slice(), true));
    assert_eq!(office.pools, [at(2, 0, 1, 100), at(1, 1, 1, 100)]);
}

#[test]
fn geo_entries() {
    let route = |lines: &str, entries: &str| {
        minimal(&format!(
            "[pool.b]\nendpoints = [{{ address = \"b:1\" }}]\n\
             [route.x]\nhosts = [\"x\"]\npolicy = \"geo\"\n{lines}geo = [{entries}]\n\
             [geo.networks]\none = [\"10.0.0.0/8\"]\ntwo = [\"10.0.0.0/8\"]\n"
        ))
    };
    let own = "pools = [{ pool = \"a\" }]\n";
    for (lines, entries, expected) in [
        (
            "",
            "{ from = [\"network:one\"], pools = [\"a\"] }",
            &[
                "t.toml:13:1 route.x: `pools` is missing (the order for clients that no entry names: here, or in an entry for \"*\")",
            ][..],
        ),
        (
            own,
            "{ from = [\"country:DE\"], pools = [\"a\"] }",
            &[
                "t.toml:17:18 route.x.geo[0].from[0]: only a database knows where a client is ([geo] database = \"GeoLite2-Country.mmdb\")",
            ],
        ),
        (
            own,
            "{ from = [\"country:UK\", \"country:de\", \"continent:XX\", \"DE\"], pools = [\"a\"] }",
            &[
                "t.toml:17:18 route.x.geo[0].from[0]: \"UK\" is no code of a country (ISO 3166-1 has \"country:GB\")",
                "t.toml:17:32 route.x.geo[0].from[1]: \"de\" is no code (two capital letters: \"country:DE\")",
                "t.toml:17:46 route.x.geo[0].from[2]: \"XX\" is no continent (AF, AN, AS, EU, NA, OC, SA)",
                "t.toml:17:62 route.x.geo[0].from[3]: \"DE\" is not a place (\"country:DE\", \"continent:EU\", \"network:NAME\" or \"*\")",
            ],
        ),
        (
            own,
            "{ from = [\"network:on\"], pools = [\"a\", \"a\", \"longer\"] }",
            &[
                "t.toml:17:18 route.x.geo[0].from[0]: there is no network \"on\" (did you mean `one`?)",
                "t.toml:17:47 route.x.geo[0].pools[1]: the pool is written twice in this entry, first at t.toml:17:42 (each pool at most once)",
                "t.toml:17:52 route.x.geo[0].pools[2]: there is no pool \"longer\" (write [pool.longer], or name one that exists)",
            ],
        ),
        (
            own,
            "{ from = [\"*\", \"network:one\"], pools = [\"a\"] }, { from = [\"*\", \"network:two\"], pools = [\"a\"] }",
            &[
                "t.toml:17:66 route.x.geo[1].from[0]: the place is written twice in this route, first at t.toml:17:18 (each place in one entry)",
                "t.toml:17:71 route.x.geo[1].from[1]: 10.0.0.0/8 is in network \"one\" of another entry, too (each network in one entry; a longer one inside is fine)",
            ],
        ),
    ] {
        check(&route(lines, entries), expected);
    }
    check(
        &minimal("geo = [{ from = [\"*\"], pools = [\"a\"] }]\n"),
        &["t.toml:11:7 route.r.geo: acts only with policy = \"geo\" (policy = \"geo\")"],
    );
    check(
        &minimal("[geo.networks]\nn = [\"10.1.0.0/8\", \"10.0.0.0/33\", \"ten\"]\n"),
        &[
            "t.toml:12:6 geo.networks.n[0]: \"10.1.0.0/8\" is an address inside a network (the network is \"10.0.0.0/8\")",
            "t.toml:12:20 geo.networks.n[1]: \"10.0.0.0/33\" has no good length (/0 to /32)",
            "t.toml:12:35 geo.networks.n[2]: \"ten\" is not a network (\"192.0.2.0/24\", \"2001:db8::/32\" or an address)",
        ],
    );
}
