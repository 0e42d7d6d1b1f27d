//! In a fleet, the last edge that announces does not withdraw because it is degraded.

mod common;

use std::time::Duration;

use common::{
    bird::{announces, stand_in},
    fleet::Fleet,
};
use serde_json::{Value, json};
use thalweg_testkit::{Conf, Edge, Endpoint, Scratch, eventually, stays};

/// A session counts after 10 s.
const SETTLED: Duration = Duration::from_secs(25);
const SOON: Duration = Duration::from_secs(10);

fn announce(edge: &Edge) -> (Value, Value) {
    let shown = edge.status()["announce"].clone();
    (shown["wanted"].clone(), shown["why"].clone())
}

fn give(edge: &Edge, body: &Value) {
    let reply = edge.admin_post("/api/v1/orders", &body.to_string());
    assert!(reply.status < 300, "{}", reply.text());
}

#[test]
fn the_last_edge_that_announces_goes_on_also_when_nothing_is_known_of_the_others() {
    let Some(mut fleet) = Fleet::start("fleet announce") else { return };
    fleet.make_bucket();
    let endpoint = Endpoint::start("a");
    let scratches = [Scratch::new(), Scratch::new()];
    let [one, two] = [("one", &scratches[0]), ("two", &scratches[1])].map(|(name, scratch)| {
        let bird = stand_in(scratch, "0001 BIRD 2.0.12 ready.\n", announces);
        let table =
            format!("[announce]\nbird = \"{}\"\nprotocol = \"anycast4\"\nafter = \"0s\"\n", bird.display());
        let conf = Conf::simple("failover", &[endpoint.addr()]).raw(&table);
        Edge::start(&fleet.of(conf, &format!("name = \"{name}\"")))
    });
    for edge in [&one, &two] {
        eventually("announced", SETTLED, || {
            edge.metric("thalweg_announced", &[("protocol", "anycast4")]) == 1.0
        });
    }
    // The reports of both are in the bucket when each has repeated its own.
    let drain = json!({ "kind": "drain", "target": "p0", "force": true });
    give(&one, &drain);
    eventually("the first one withdraws: another one announces", SOON, || {
        announce(&one) == (json!(false), json!("not_ready"))
    });
    give(&two, &drain);
    let kept = (json!(true), json!("last_to_announce"));
    eventually("the last one is asked", SOON, || announce(&two) == kept);
    stays("it goes on", Duration::from_secs(2), || announce(&two) == kept);
    let told = two.events_of("announce_wanted");
    assert_eq!(told.last().map(|event| &event["why"]), Some(&json!("last_to_announce")));
    give(&two, &json!({ "kind": "undrain", "target": "p0" }));
    eventually("ready again", SOON, || announce(&two) == (json!(true), json!("ready")));
    fleet.server.kill();
    eventually("the engine is away", SOON, || two.status()["fleet"]["connected"] == false);
    give(&two, &drain);
    let unknown = (json!(true), json!("others_unknown"));
    eventually("nothing is known of the others", SOON, || announce(&two) == unknown);
    stays("it goes on", Duration::from_secs(2), || announce(&two) == unknown);
}
