//! Orders of the operator against the real binary: given, listed, obeyed, ended, audited.

mod common;

use std::{net::SocketAddr, time::Duration};

use common::{hammer, regions};
use serde_json::{Value, json};
use thalweg_testkit::{Client, Conf, Edge, Endpoint, Load, eventually, get, thalweg, thalweg_with};

const SOON: Duration = Duration::from_secs(10);

/// Two pools in two regions, in failover order; all their endpoints are up.
fn two_regions(edge: &str) -> (Edge, Endpoint, Endpoint) {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = Edge::start(&conf(edge, &first, &second));
    edge.until_up(2);
    (edge, first, second)
}

fn conf(edge: &str, first: &Endpoint, second: &Endpoint) -> Conf {
    Conf::new()
        .edge(edge)
        .listener("web", "")
        .pool("p0", &[first.addr()], "region = \"here\"")
        .pool("p1", &[second.addr()], "region = \"there\"")
        .route("all", "failover", &["p0", "p1"], "")
}

fn post(edge: &Edge, body: &Value) -> (u16, Value) {
    let reply = edge.admin_post("/api/v1/orders", &body.to_string());
    (reply.status, reply.json())
}

fn orders(edge: &Edge) -> Vec<Value> {
    edge.admin_get("/api/v1/orders").json().as_array().cloned().expect("a list")
}

fn delete(edge: &Edge, path: &str) -> (u16, Value) {
    let addr = edge.addr("admin");
    let mut client = Client::connect(addr);
    client.send(format!("DELETE {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n"));
    let reply = client.reply("DELETE").expect("an answer");
    (reply.status, reply.json())
}

fn by(edge: &Edge) -> String {
    get(edge.web(), "/").endpoint().to_owned()
}

#[test]
fn a_drained_pool_under_load_fails_nothing_and_its_traffic_comes_back() {
    let (edge, _first, _second) = two_regions("");
    let load = Load::to(edge.web()).rate(300.0).posts(0.2).start();
    let all_by = |name: &str| {
        eventually(&format!("all by {name}"), SOON, || {
            load.done() > 50 && load.last(30).iter().all(|shot| shot.by == name)
        });
    };
    all_by("a");
    let (code, order) = post(
        &edge,
        &json!({
            "kind": "drain", "target": { "pool": "p0" }, "for": "30m", "deadline": "10s", "reason": "upgrade",
            "owner": "ada",
        }),
    );
    assert_eq!(code, 201, "{order}");
    all_by("b");
    eventually("no request is left there", SOON, || orders(&edge)[0]["state"] == "drained");
    let listed = orders(&edge);
    assert_eq!(listed.len(), 1);
    for field in ["id", "kind", "target", "value", "owner", "reason", "since", "until", "deadline"] {
        assert_eq!(listed[0][field], order[field], "{field}");
    }
    assert_eq!(listed[0]["left"], json!({ "requests": 0, "streams": 0 }));
    assert_eq!(edge.status()["orders"], json!(listed));
    let (code, ended) = delete(&edge, &format!("/api/v1/orders/{}", order["id"]));
    assert_eq!((code, &ended["state"]), (200, &json!("cancelled")));
    all_by("a");
    load.stop().assert_none_failed("a drain and its end");
    let (given, end) = (edge.events_of("order_given"), edge.events_of("order_ended"));
    assert_eq!((given.len(), end.len()), (1, 1));
    for event in given.iter().chain(&end) {
        assert_eq!((&event["owner"], &event["reason"]), (&json!("ada"), &json!("upgrade")), "{event}");
        assert_eq!(event["target"], json!({ "pool": "p0" }), "{event}");
    }
    assert_eq!(end[0]["cause"], "cancelled");
}

#[test]
fn a_request_in_flight_ends_where_it_began_and_is_counted_as_left() {
    let (edge, first, _second) = two_regions("");
    first.behave(thalweg_testkit::Behaviour::Slow(Duration::from_secs(2)));
    let mut client = Client::connect(edge.web());
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    eventually("the request is under way", SOON, || first.hits() == 1);
    let drained = edge.admin_post("/api/v1/drain", r#"{"region":"here"}"#);
    assert_eq!(drained.status, 201, "{}", drained.text());
    let order = drained.json();
    assert_eq!((&order["state"], &order["left"]["requests"]), (&json!("draining"), &json!(1)), "{order}");
    assert_eq!(by(&edge), "b");
    assert_eq!(client.reply("GET").expect("an answer").endpoint(), "a");
    eventually("no request is left", SOON, || orders(&edge)[0]["state"] == "drained");
    let ended = edge.admin_post("/api/v1/undrain", r#"{"region":"here"}"#);
    assert_eq!((ended.status, &ended.json()["ended"][0]["id"]), (200, &order["id"]));
    assert_eq!(by(&edge), "a", "the answer comes when the end of the order is in force");
    let again = edge.admin_post("/api/v1/undrain", r#"{"region":"here"}"#);
    assert_eq!((again.status, again.json()), (200, json!({ "ended": [], "still": [] })));
}

#[test]
fn an_order_expires_by_itself() {
    let (edge, _first, _second) = two_regions("");
    let (code, _) = post(&edge, &json!({ "kind": "drain", "target": "p0", "for": "1s" }));
    assert_eq!(code, 201);
    assert_eq!(by(&edge), "b");
    eventually("the order has expired", SOON, || orders(&edge).is_empty());
    assert_eq!(by(&edge), "a");
    assert_eq!(edge.events_of("order_ended")[0]["cause"], "expired");
}

#[test]
fn an_order_ends_when_its_target_leaves_the_config() {
    let (mut edge, first, second) = two_regions("");
    assert_eq!(post(&edge, &json!({ "kind": "drain", "target": "p0" })).0, 201);
    let same = conf("drain_delay = \"1ms\"", &first, &second);
    let text = edge.render(&same);
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    assert_eq!(orders(&edge).len(), 1, "an order outlives a reload");
    let other = Conf::new().listener("web", "").pool("p1", &[second.addr()], "region = \"there\"").route(
        "all",
        "failover",
        &["p1"],
        "",
    );
    let text = edge.render(&other);
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    assert_eq!(orders(&edge), [Value::Null; 0]);
    assert_eq!(edge.events_of("order_ended")[0]["cause"], "target_gone");
}

#[test]
fn no_order_takes_out_the_last_that_serves_without_force() {
    let (edge, _first, _second) = two_regions("");
    let refused = |body: Value| {
        let (code, said) = post(&edge, &body);
        assert_eq!((code, &said["error"]), (409, &json!("last_to_serve")), "{body}: {said}");
        assert!(said["detail"].as_str().unwrap().contains("route all"), "{said}");
    };
    assert_eq!(post(&edge, &json!({ "kind": "drain", "target": "p0" })).0, 201);
    refused(json!({ "kind": "drain", "target": "p1" }));
    refused(json!({ "kind": "drain", "target": "region:there" }));
    refused(json!({ "kind": "evacuate", "target": "there" }));
    refused(json!({ "kind": "dial", "target": "p1", "value": 0 }));
    refused(json!({ "kind": "weight", "target": "all/p1", "value": 0 }));
    let done = thalweg(&["drain", "--pool", "p1", "--admin", &edge.admin_url()]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("409") && done.stderr.trim().lines().count() == 1, "{}", done.stderr);
    assert_eq!((by(&edge), orders(&edge).len()), ("b".into(), 1));
    assert_eq!(post(&edge, &json!({ "kind": "drain", "target": "p1", "force": true })).0, 201);
    assert_eq!(get(edge.web(), "/").status, 503);
    assert_eq!(edge.events_of("order_given")[1]["force"], true);
}

#[test]
fn bad_orders_are_refused_with_a_reason_and_change_nothing() {
    let (edge, _first, _second) = two_regions("");
    for (body, code) in [
        (json!({ "kind": "drain", "target": "nowhere" }), 404),
        (json!({ "kind": "drain", "target": "p0/127.0.0.1:1" }), 404),
        (json!({ "kind": "evacuate", "target": "nowhere" }), 404),
        (json!({ "kind": "weight", "target": "none/p0", "value": 1 }), 404),
        (json!({ "kind": "freeze", "target": "none" }), 404),
        (json!({ "kind": "undrain", "target": "nowhere" }), 404),
        (json!({ "kind": "drain", "target": "p0", "for": "0s" }), 422),
        (json!({ "kind": "drain", "target": "p0", "for": "8761h" }), 422),
        (json!({ "kind": "drain", "target": "p0", "owner": "x".repeat(10_000) }), 422),
        (json!({ "kind": "drain", "target": "p0", "reason": "x".repeat(501) }), 422),
        (json!({ "kind": "dial", "target": "p0", "value": 101 }), 422),
        (json!({ "kind": "stop", "target": "p0" }), 422),
        (json!([]), 422),
    ] {
        let (answered, said) = post(&edge, &body);
        assert_eq!(answered, code, "{body}: {said}");
        assert!(said["error"].is_string() && said["detail"].is_string(), "{said}");
    }
    assert_eq!(delete(&edge, "/api/v1/orders/7").0, 404);
    assert_eq!(delete(&edge, "/api/v1/orders/x").0, 404);
    assert_eq!(delete(&edge, "/api/v1/orders").0, 405);
    assert_eq!((orders(&edge).len(), by(&edge)), (0, "a".into()));
    let foreign = "origin: http://evil.test\r\n";
    let said = edge.admin_post_with("/api/v1/orders", r#"{"kind":"freeze"}"#, foreign);
    assert_eq!(said.status, 403);
}

#[test]
fn dial_weight_and_evacuation_move_the_traffic() {
    let (edge, _endpoints) = regions(2, "weighted", "", "");
    let shares = || {
        let counts = hammer(edge.web(), 2, 200);
        let by = |name: &str| counts.get(name).copied().unwrap_or(0) as f64 / 400.0;
        (by("a"), by("b"))
    };
    let near = |(a, b): (f64, f64), expected: f64| {
        assert!((a - expected).abs() < 0.02 && (a + b - 1.0).abs() < 1e-9, "{a} {b}, not {expected}");
    };
    near(shares(), 0.5);
    let (_, weight) = post(&edge, &json!({ "kind": "weight", "target": "all/p0", "value": 3 }));
    near(shares(), 0.75);
    let (_, dial) = post(&edge, &json!({ "kind": "dial", "target": "p0", "value": 40 }));
    near(shares(), 0.3);
    let status = edge.status();
    assert_eq!(status["routes"][0]["pools"][0]["dial"], 40);
    for order in [&dial, &weight] {
        assert_eq!(delete(&edge, &format!("/api/v1/orders/{}", order["id"])).0, 200);
    }
    near(shares(), 0.5);
}

#[test]
fn the_commands_give_list_and_end_orders() {
    let (edge, first, _second) = two_regions("");
    let url = edge.admin_url();
    let run = |args: &[&str]| {
        let done = thalweg_with(&[args, &["--admin", &url]].concat(), &[("USER", "ada")]);
        assert_eq!(done.code, 0, "{args:?}: {}", done.stderr);
        done.stdout
    };
    let endpoint = format!("p0/{}", first.addr());
    let said =
        run(&["drain", "--endpoint", &endpoint, "--for", "1h", "--reason", "disk", "--deadline", "5s"]);
    assert!(said.contains("order 1: drain endpoint") && said.contains("by ada: disk"), "{said}");
    assert!(said.contains("thalweg cancel 1"), "{said}");
    run(&["dial", "p0", "50"]);
    run(&["weight", "all", "p0", "2", "--owner", "bob"]);
    run(&["evacuate", "here"]);
    run(&["freeze", "all"]);
    run(&["freeze"]);
    let listed: Value = serde_json::from_str(&run(&["orders", "--format", "json"])).expect("JSON");
    let kinds: Vec<&str> = listed.as_array().unwrap().iter().filter_map(|one| one["kind"].as_str()).collect();
    assert_eq!(kinds, ["drain", "dial", "weight", "evacuate", "freeze", "freeze"]);
    let owners: Vec<&Value> = listed.as_array().unwrap().iter().map(|one| &one["owner"]).collect();
    assert_eq!((owners[0], owners[2]), (&json!("ada"), &json!("bob")));
    let table = run(&["orders"]);
    assert_eq!(table.lines().count(), 7, "{table}");
    assert!(run(&["status"]).contains("evacuate"), "the status shows orders");
    assert!(run(&["undrain", "--endpoint", &endpoint]).starts_with("ended: order 1"));
    for id in ["2", "3", "4", "5", "6"] {
        assert!(run(&["cancel", id]).starts_with("ended: "));
    }
    assert_eq!(run(&["orders"]), "no order stands\n");
    let codes = [
        (&["cancel", "9"][..], 1),
        (&["drain", "--pool", "nowhere"], 1),
        (&["drain", "--pool", "p0", "--for", "0s"], 2),
        (&["dial", "p0", "101"], 2),
        (&["drain", "--pool", "p0", "--owner", "a\nb"], 2),
    ];
    for (args, code) in codes {
        let done = thalweg(&[args, &["--admin", &url]].concat());
        assert_eq!(done.code, code, "{args:?}: {}", done.stderr);
    }
}

#[test]
fn orders_need_the_configured_token_and_take_its_name() {
    let endpoint: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let conf = Conf::simple("failover", &[endpoint])
        .admin("token_file = \"admin.token\"")
        .file("admin.token", "t0ken");
    let edge = Edge::launch(&conf);
    let body = r#"{"kind":"freeze"}"#;
    assert_eq!(edge.admin_post("/api/v1/orders", body).status, 401);
    let given = edge.admin_post_with("/api/v1/orders", body, "authorization: Bearer t0ken\r\n");
    assert_eq!((given.status, &given.json()["owner"]), (201, &json!("admin")));
    assert_eq!(delete(&edge, "/api/v1/orders/1").0, 401);
    assert_eq!(orders(&edge).len(), 1);
}
