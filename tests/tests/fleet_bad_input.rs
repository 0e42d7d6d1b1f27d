//! Buckets that would lose what was promised, the bucket of another product, and names that cannot be: each is told, and
//! what is in force stays.

mod common;

use std::time::Duration;

use common::{
    fleet::{Fleet, serves, until_serves},
    publisher::Publisher,
    to,
};
use serde_json::{Value, json};
use thalweg_testkit::{Edge, Endpoint, Scratch, eventually, get, thalweg};

const SOON: Duration = Duration::from_secs(20);

/// Makes the stream of the bucket as another program would. The request needs no answer.
fn make(fleet: &Fleet, more: &Value) {
    let mut config = json!({
        "name": "KV_thalweg", "subjects": ["$KV.thalweg.>"], "retention": "limits", "storage": "file",
        "num_replicas": 1, "max_msgs_per_subject": 1, "discard": "new", "allow_direct": true, "deny_delete": true,
        "allow_rollup_hdrs": true,
    });
    let fields = config.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    fleet.server.publish("$JS.API.STREAM.CREATE.KV_thalweg", &[config.to_string().as_bytes()]);
}

fn trouble(edge: &Edge) -> String {
    edge.status()["fleet"]["trouble"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_bucket_that_would_lose_what_was_promised_is_refused() {
    for (more, expected) in [
        (json!({ "storage": "memory" }), "is kept in memory"),
        (json!({ "max_age": 60_000_000_000_u64 }), "forgets values by their age"),
        (json!({ "max_msg_size": 1000 }), "takes values of 1000 bytes"),
        (json!({ "discard": "old", "max_bytes": 1_000_000 }), "drops old values when it is full"),
        (json!({ "persist_mode": "async" }), "acknowledges what it has not written"),
    ] {
        let Some(fleet) = Fleet::start("fleet: unfit buckets") else { return };
        let (endpoint, state) = (Endpoint::start("a"), Scratch::new());
        make(&fleet, &more);
        let edge = fleet.edge(&endpoint, &state, "");
        eventually(&format!("{expected}, and not {:?}", trouble(&edge)), SOON, || {
            trouble(&edge).contains(expected)
        });
        let told = edge.events_of("fleet_away");
        let words = told.last().and_then(|event| event["problem"].as_str().map(str::to_owned));
        assert!(words.is_some_and(|words| words.contains(expected)), "{told:?}");
        let done = fleet.publish_with(&to(&endpoint), &[]);
        assert!(done.code == 1 && done.stderr.contains(expected), "{}", done.stderr);
        assert_eq!(serves(&edge), "a");
    }
}

#[test]
fn the_bucket_of_another_product_changes_nothing_and_can_be_published_to() {
    let Some(fleet) = Fleet::start("fleet: another product") else { return };
    let (first, second, state) = (Endpoint::start("a"), Endpoint::start("b"), Scratch::new());
    make(&fleet, &json!({}));
    let foreign = [
        ("bundle.all", &b"{\"image\":\"registry/app:7\"}"[..]),
        ("bundle.canary", b"\xff\xfe\x00"),
        ("bundle", b"x"),
        ("orders", b"[{\"table\":4,\"dish\":\"soup\"}]"),
        ("rollout", b"yes"),
        ("report.a", b"42"),
        ("report.b", b"{\"edge\":[],\"ring\":7}"),
        ("announce.c", b"{\"announces\":\"maybe\"}"),
        ("settings.colour", b"blue"),
    ];
    let edge = fleet.edge(&first, &state, "");
    let refused = || edge.metric("thalweg_fleet_bundles_refused_total", &[("reason", "malformed")]);
    eventually("what is no bundle is refused, and what is no list of orders is told", SOON, || {
        // The stream takes values only once it is made.
        foreign.iter().for_each(|(key, value)| fleet.server.put("thalweg", key, value));
        refused() >= 1.0 && !edge.events_of("fleet_orders_rejected").is_empty()
    });
    let freeze = json!({ "kind": "freeze", "fleet": true }).to_string();
    let reply = edge.admin_post("/api/v1/orders", &freeze);
    assert_eq!(reply.status, 503, "what another product wrote is not written over: {}", reply.text());
    assert_eq!((serves(&edge), edge.generation()), ("a".to_owned(), 1));
    fleet.publish(&to(&second));
    until_serves(&edge, "b");
}

#[test]
fn names_that_cannot_be_are_errors_with_their_place() {
    let publisher = Publisher::new(vec!["nats://127.0.0.1:4222".into()]);
    let endpoint = Endpoint::start("a");
    for (line, expected) in [
        ("name = \"edge one\"", "fleet.name"),
        ("name = \"\"", "fleet.name"),
        ("bucket = \"my.bucket\"", "fleet.bucket: holds a dot"),
        ("bucket = \"my bucket\"", "fleet.bucket"),
        ("domain = \"hub.eu\"", "fleet.domain: holds a dot"),
        ("domain = \"*\"", "fleet.domain"),
    ] {
        let text = to(&endpoint).raw(&publisher.table(&format!("{line}\n"))).text();
        let file = publisher.keys.write("names.toml", text).display().to_string();
        let done = thalweg(&["check", "--config", &file]);
        assert!(done.code == 2 && done.stderr.contains(expected), "{line}: {} {}", done.code, done.stderr);
    }
    // A dot is a part of many host names, and no separator of keys here.
    let text = to(&endpoint).raw(&publisher.table("name = \"edge.eu-1\"\n"));
    let edge = Edge::start(&text);
    assert_eq!((get(edge.web(), "/").status, &edge.status()["fleet"]["name"]), (200, &json!("edge.eu-1")));
}
