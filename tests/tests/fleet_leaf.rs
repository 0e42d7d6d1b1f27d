//! Edges and a publisher at a leaf that has a JetStream domain of its own: bundles and orders are kept at the hub.

mod common;

use std::time::Duration;

use common::{publisher::Publisher, to};
use serde_json::json;
use thalweg_testkit::{Conf, Edge, Endpoint, NatsPlan, NatsServer, Scratch, eventually, free_port, get};

const SOON: Duration = Duration::from_secs(30);

/// A hub and a leaf of it.
fn hub_and_leaf(scenario: &str) -> Option<(NatsServer, NatsServer)> {
    let port = free_port();
    let hub = NatsPlan {
        name: "hub".into(),
        jetstream: "  domain: hub".into(),
        lines: format!("leafnodes {{\n  host: 127.0.0.1\n  port: {port}\n}}"),
        ..NatsPlan::default()
    };
    let leaf = NatsPlan {
        name: "leaf".into(),
        jetstream: "  domain: leaf".into(),
        lines: format!(
            "leafnodes {{\n  reconnect: \"1s\"\n  remotes: [ {{ url: \"nats-leaf://127.0.0.1:{port}\" }} ]\n}}"
        ),
        ..NatsPlan::default()
    };
    Some((NatsServer::start_as(scenario, hub)?, NatsServer::start_as(scenario, leaf)?))
}

fn serves(edge: &Edge) -> String {
    get(edge.web(), "/").endpoint().to_owned()
}

#[test]
fn bundles_and_orders_through_a_leaf_are_kept_at_the_hub() {
    let Some((mut hub, leaf)) = hub_and_leaf("fleet: a leaf") else { return };
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let publisher = Publisher::new(vec![leaf.url()]);
    let (at_hub, state) = (Publisher::new(vec![hub.url()]), Scratch::new());
    let at_hub = at_hub.table("").replace(&at_hub.path("public.pem"), &publisher.path("public.pem"));
    let domain = "domain = \"hub\"\n";
    let pools = |order: [&Endpoint; 2]| Conf::simple("failover", &order.map(Endpoint::addr));
    let folder = format!("state_dir = \"{}\"", state.path().display());
    let mine = publisher.table(&format!("{domain}name = \"leaf\"\n"));
    let one = Edge::start(&pools([&first, &second]).edge(&folder).raw(&mine));
    let two = Edge::start(&pools([&first, &second]).raw(&format!("{at_hub}name = \"hub\"\n")));
    let publish = |conf: &Conf| {
        let text = conf.clone().raw(&publisher.table(domain)).text();
        publisher.publish(&text, &["--bake", "0s"], &[])
    };
    eventually("the leaf has found its hub, and the bucket is made there", SOON, || {
        publish(&pools([&second, &first])).code == 0
    });
    for edge in [&one, &two] {
        eventually("the bundle arrives", SOON, || serves(edge) == "b");
    }
    let drain = json!({ "kind": "drain", "target": "p0", "fleet": true }).to_string();
    eventually("an order is taken at the leaf", SOON, || {
        one.admin_post("/api/v1/orders", &drain).status == 201
    });
    for edge in [&one, &two] {
        eventually("the order is in force", SOON, || serves(edge) == "a");
    }
    let orders = two.admin_get("/api/v1/orders").json();
    let id = orders[0]["id"].to_string();
    let done = thalweg_testkit::thalweg(&["cancel", &id, "--fleet", "--admin", &one.admin_url()]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    for edge in [&one, &two] {
        eventually("the cancel arrives", SOON, || serves(edge) == "b");
    }

    // The leaf's server stays connected; what the edge knows of the hub is the age of its last reading.
    hub.kill();
    eventually("the edge at the leaf says so", SOON, || !one.status()["fleet"]["trouble"].is_null());
    assert_eq!(serves(&one), "b");
    let refused = one.admin_post("/api/v1/orders", &drain);
    assert!([503, 504].contains(&refused.status), "{}", refused.text());
    hub.revive();
    eventually("the edge reads the hub again", SOON, || one.status()["fleet"]["trouble"].is_null());
    eventually("a bundle is published through the leaf", SOON, || publish(&to(&first)).code == 0);
    for edge in [&one, &two] {
        eventually("it arrives", SOON, || serves(edge) == "a");
    }
}

#[test]
fn without_the_domain_the_bucket_of_the_hub_is_not_found() {
    let Some((hub, leaf)) = hub_and_leaf("fleet: a leaf without the domain") else { return };
    let first = Endpoint::start("a");
    let at_hub = Publisher::new(vec![hub.url()]);
    let text = to(&first).raw(&at_hub.table("")).text();
    eventually("a bucket at the hub", SOON, || at_hub.publish(&text, &["--bake", "0s"], &[]).code == 0);
    let at_leaf = at_hub.table("").replace(&hub.url(), &leaf.url());
    let edge = Edge::start(&to(&first).raw(&at_leaf));
    eventually("the edge says what is missing", SOON, || {
        let trouble = edge.status()["fleet"]["trouble"].clone();
        trouble.as_str().is_some_and(|text| text.contains("the bucket \"thalweg\" cannot be read"))
    });
    assert_eq!(serves(&edge), "a");
}
