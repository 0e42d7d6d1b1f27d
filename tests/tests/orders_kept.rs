//! Orders and latched failovers across a restart: in force before the first request, and a start without them when their
//! file cannot be used.

mod common;

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use thalweg_testkit::{
    Client, Conf, Edge, Endpoint, Health, Scratch, Signal, eventually, get, stays, thalweg,
};

const SOON: Duration = Duration::from_secs(10);

/// Two pools in failover order, on an edge that keeps its orders in this folder.
fn conf(folder: &Path, endpoints: &[&Endpoint; 2]) -> Conf {
    let [first, second] = endpoints.map(Endpoint::addr);
    Conf::simple("failover", &[first, second]).edge(&format!("state_dir = \"{}\"", folder.display()))
}

fn give(edge: &Edge, body: &Value) -> Value {
    let reply = edge.admin_post("/api/v1/orders", &body.to_string());
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()
}

fn orders(edge: &Edge) -> Vec<Value> {
    edge.admin_get("/api/v1/orders").json().as_array().cloned().expect("a list")
}

/// Ends an edge without any warning.
fn kill(edge: Edge) {
    edge.signal(Signal::KILL);
    edge.exit_code(SOON);
}

#[test]
fn an_order_is_in_force_before_the_first_request_after_a_restart() {
    let (scratch, first, second) = (Scratch::new(), Endpoint::start("a"), Endpoint::start("b"));
    let conf = conf(&scratch.join("state"), &[&first, &second]);
    let edge = Edge::start(&conf);
    let order = json!({
        "kind": "drain", "target": { "pool": "p0" }, "for": "1h", "deadline": "30m", "owner": "ada", "reason": "disk",
    });
    let given = give(&edge, &order);
    assert_eq!(given["kept"], true);
    give(&edge, &json!({ "kind": "dial", "target": { "pool": "p1" }, "value": 90 }));
    let before = orders(&edge);
    kill(edge);
    for _ in 0..3 {
        let edge = Edge::launch(&conf);
        eventually("the edge serves", SOON, || {
            // The listener opens right after the admin page.
            let Ok(mut client) = Client::try_connect(edge.web()) else { return false };
            let Ok(reply) = client.ask("GET", "/", "", b"") else { return false };
            assert_ne!(reply.endpoint(), "a", "the drained pool served");
            reply.status == 200
        });
        let after = orders(&edge);
        assert_eq!(after.len(), 2);
        for (before, after) in before.iter().zip(&after) {
            for field in ["id", "kind", "target", "value", "owner", "reason", "since", "until", "deadline"] {
                assert_eq!(before[field], after[field], "{field}");
            }
        }
        assert_eq!(edge.events_of("order_restored").len(), 2);
        assert_eq!(edge.events_of("order_given").len(), 0);
        kill(edge);
    }
    let edge = Edge::start(&conf);
    assert_eq!(give(&edge, &json!({ "kind": "freeze" }))["id"], 3, "the number of an order is used once");
}

#[test]
fn orders_that_expired_or_lost_their_target_meanwhile_end_with_their_cause() {
    let (scratch, first, second) = (Scratch::new(), Endpoint::start("a"), Endpoint::start("b"));
    let folder = scratch.join("state");
    let edge = Edge::start(&conf(&folder, &[&first, &second]));
    give(&edge, &json!({ "kind": "drain", "target": "p0", "for": "1s" }));
    give(&edge, &json!({ "kind": "dial", "target": "p1", "value": 50 }));
    kill(edge);
    std::thread::sleep(Duration::from_millis(1100));
    let alone = Conf::simple("failover", &[first.addr()]);
    let edge = Edge::start(&alone.edge(&format!("state_dir = \"{}\"", folder.display())));
    assert_eq!(orders(&edge), [Value::Null; 0]);
    let ended = edge.events_of("order_ended");
    let causes: Vec<&str> = ended.iter().filter_map(|event| event["cause"].as_str()).collect();
    assert_eq!(causes, ["expired", "target_gone"]);
    assert_eq!(get(edge.web(), "/").endpoint(), "a");
}

#[test]
fn a_latched_failover_outlives_a_restart_until_the_operator_ends_it() {
    let (scratch, first, second) = (Scratch::new(), Endpoint::start("a"), Endpoint::start("b"));
    let endpoints = [first.addr(), second.addr()];
    let latched = Conf::simple_with("failover", &endpoints, "failback = { mode = \"latched\" }");
    let conf = latched.edge(&format!("state_dir = \"{}\"", scratch.join("state").display()));
    let file = scratch.join("state/state.json");
    let stored = || fs::read_to_string(&file).unwrap_or_default().contains("\"pool\": \"p0\"");
    let edge = Edge::start(&conf);
    edge.until_up(2);
    first.health(Health::status(503));
    eventually("the second serves", SOON, || get(edge.web(), "/").endpoint() == "b");
    eventually("the latch is stored", SOON, stored);
    kill(edge);
    // The first pool is still down at the next start, and up at those after it.
    for up in [false, true, true] {
        if up {
            first.health(Health::ok());
        }
        let edge = Edge::start(&conf);
        eventually("both endpoints were probed", SOON, || {
            edge.is_up(first.addr()) == up && edge.is_up(second.addr())
        });
        eventually("the second serves", SOON, || get(edge.web(), "/").endpoint() == "b");
        stays("latched", Duration::from_millis(500), || get(edge.web(), "/").endpoint() == "b");
        assert!(edge.stderr().contains("still wait for `thalweg failback`"), "{}", edge.stderr());
        kill(edge);
    }
    let edge = Edge::start(&conf);
    eventually("both are up", SOON, || edge.is_up(first.addr()) && edge.is_up(second.addr()));
    let done = thalweg(&["failback", "--admin", &edge.admin_url(), "--route", "all"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    eventually("the first serves", SOON, || get(edge.web(), "/").endpoint() == "a");
    eventually("no latch is stored", SOON, || !stored());
    kill(edge);
    let edge = Edge::start(&conf);
    eventually("the first serves at once", SOON, || get(edge.web(), "/").endpoint() == "a");
}

#[test]
fn a_file_that_cannot_be_used_is_kept_aside_and_the_edge_starts_without_orders() {
    let (scratch, first, second) = (Scratch::new(), Endpoint::start("a"), Endpoint::start("b"));
    let folder = scratch.join("state");
    let conf = conf(&folder, &[&first, &second]);
    let file = folder.join("state.json");
    let edge = Edge::start(&conf);
    give(&edge, &json!({ "kind": "drain", "target": "p0" }));
    kill(edge);
    let good = fs::read_to_string(&file).expect("the file is there");
    let cases = [
        good[..good.len() / 2].to_owned(),
        String::new(),
        good.replace("\"version\": 1", "\"version\": 2"),
        good.replace("edge-test", "edge-other"),
        good.replace("thalweg-state", "haproxy-state"),
    ];
    for (nth, bad) in cases.iter().enumerate() {
        assert_ne!(*bad, good);
        fs::write(&file, bad).expect("the file can be written");
        let edge = Edge::start(&conf);
        assert_eq!(orders(&edge), [Value::Null; 0]);
        assert_eq!(get(edge.web(), "/").endpoint(), "a");
        assert_eq!(edge.events_of("state_rejected").len(), 1, "{bad}");
        assert!(edge.stderr().contains("stored state not used"), "{}", edge.stderr());
        let aside = |name: &str| name.starts_with("state.json.rejected-");
        let kept: Vec<_> = fs::read_dir(&folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(aside))
            .collect();
        assert_eq!(kept.len(), nth + 1);
        assert!(
            kept.iter().any(|path| fs::read_to_string(path).is_ok_and(|text| text == *bad)),
            "lost: {bad}"
        );
        assert_eq!(give(&edge, &json!({ "kind": "freeze" }))["kept"], true);
        kill(edge);
    }
}

#[test]
fn a_folder_that_cannot_be_written_costs_only_the_keeping() {
    let (scratch, first, second) = (Scratch::new(), Endpoint::start("a"), Endpoint::start("b"));
    let folder = scratch.write("taken", "a file");
    let edge = Edge::start(&conf(&folder, &[&first, &second]));
    let given = give(&edge, &json!({ "kind": "drain", "target": "p0" }));
    assert_eq!(given["kept"], false);
    assert_eq!(get(edge.web(), "/").endpoint(), "b");
    assert!(edge.status()["state"]["error"].is_string(), "{}", edge.status()["state"]);
    assert!(edge.stderr().contains("orders cannot be stored"), "{}", edge.stderr());
}
