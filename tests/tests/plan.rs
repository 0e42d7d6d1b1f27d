//! Plans: what a config or an order would change, told before, against what then happens.

mod common;

use std::{collections::BTreeMap, time::Duration};

use common::hammer;
use serde_json::{Value, json};
use thalweg_testkit::{Client, Conf, Edge, Endpoint, Health, Load, Scratch, eventually, thalweg};

const SOON: Duration = Duration::from_secs(10);

fn endpoints(names: &[&str]) -> Vec<Endpoint> {
    names.iter().map(|name| Endpoint::start(name)).collect()
}

/// Pools `a`, `b`… with these weights, on one route.
fn weighted(pools: &[(&Endpoint, u32)], lines: &str) -> Conf {
    let mut conf = Conf::new().listener("web", "");
    let mut members = Vec::new();
    for (nth, (endpoint, weight)) in pools.iter().enumerate() {
        let name = ["a", "b", "c", "d"][nth];
        conf = conf.pool(name, &[endpoint.addr()], "");
        members.push(format!("{name}, weight = {weight}"));
    }
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    conf.route("all", "weighted", &members, lines)
}

fn plan(edge: &Edge, body: &str) -> Value {
    let reply = edge.admin_post("/api/v1/plan", body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn kinds(plan: &Value) -> Vec<String> {
    let warnings = plan["warnings"].as_array().expect("a list");
    warnings.iter().filter_map(|one| one["kind"].as_str()).map(str::to_owned).collect()
}

/// The shares of the only route that a plan shows.
fn after(plan: &Value) -> BTreeMap<String, f64> {
    let shares = plan["routes"][0]["after"].as_object().expect("shares");
    shares.iter().map(|(pool, share)| (pool.clone(), share.as_f64().expect("a number"))).collect()
}

/// The shares of the route in force.
fn in_force(edge: &Edge) -> BTreeMap<String, f64> {
    let status = edge.status();
    let pools = status["routes"][0]["pools"].as_array().cloned().expect("pools");
    let share = |one: &Value| (one["pool"].as_str().unwrap_or_default().to_owned(), one["share"].as_f64());
    pools
        .iter()
        .map(share)
        .filter_map(|(pool, share)| Some((pool, share.filter(|part| *part > 0.0)?)))
        .collect()
}

fn near(one: &BTreeMap<String, f64>, other: &BTreeMap<String, f64>) -> bool {
    one.len() == other.len()
        && one.iter().all(|(pool, share)| other.get(pool).is_some_and(|is| (is - share).abs() < 0.01))
}

#[test]
fn predicted_shares_are_those_that_then_happen() {
    let all = endpoints(&["a", "b", "c"]);
    let two = |lines: &str| weighted(&[(&all[0], 1), (&all[1], 1)], lines);
    let mut edge = Edge::start(&two(""));
    edge.until_up(2);
    let first = &all[0];
    let cases: Vec<(&str, Conf, bool)> = vec![
        ("other weights", weighted(&[(&all[0], 3), (&all[1], 1)], ""), true),
        ("a third pool", weighted(&[(&all[0], 3), (&all[1], 2), (&all[2], 5)], ""), true),
        ("one pool less", two(""), true),
        ("the first one down", weighted(&[(&all[0], 3), (&all[1], 2), (&all[2], 5)], ""), false),
        (
            "another policy",
            {
                let conf = weighted(&[(&all[0], 1), (&all[1], 1), (&all[2], 1)], "");
                let text = "[route.more]\nhosts = [\"more.test\"]\npolicy = \"failover\"\npools = [{ pool = \"a\" }, { pool = \"b\" }]";
                conf.raw(text)
            },
            false,
        ),
    ];
    for (what, conf, up) in cases {
        first.health(if up { Health::ok() } else { Health::status(503) });
        eventually("its health is known", SOON, || edge.is_up(first.addr()) == up);
        let text = edge.render(&conf);
        let predicted = after(&plan(&edge, &text));
        edge.replace(&text);
        assert_eq!(edge.reload().status, 200, "{what}");
        eventually(&format!("{what}: {predicted:?}"), SOON, || near(&in_force(&edge), &predicted));
        let counts = hammer(edge.web(), 2, 1500);
        for (pool, share) in &predicted {
            let real = counts.get(pool).copied().unwrap_or(0) as f64 / 3000.0;
            // Draws are random: a difference of three standard deviations is allowed beside the point.
            assert!((real - share).abs() < 0.01 + 3.0 * (0.25_f64 / 3000.0).sqrt(), "{what}: {counts:?}");
        }
    }
}

#[test]
fn a_plan_says_which_requests_move_and_changes_nothing() {
    let all = endpoints(&["a", "b"]);
    let mut edge = Edge::start(&weighted(&[(&all[0], 1), (&all[1], 1)], ""));
    edge.until_up(2);
    let load = Load::to(edge.web()).rate(100.0).start();
    let text = edge.render(&weighted(&[(&all[0], 3), (&all[1], 1)], ""));
    eventually("the traffic is known", Duration::from_secs(20), || {
        let plan = plan(&edge, &text);
        let moved = plan["moves"][0].clone();
        let rate = moved["requests_per_s"].as_f64().unwrap_or(0.0);
        assert_eq!((&moved["from"], &moved["to"], &moved["share"]), (&json!("b"), &json!("a"), &json!(0.25)));
        (15.0..=35.0).contains(&rate)
    });
    load.stop();
    let plan = plan(&edge, &text);
    let changes = plan["changes"].as_array().expect("a list");
    assert!(
        changes.contains(&json!({
            "kind": "key", "path": "route.all.pools[a].weight", "from": "1", "to": "3",
        })),
        "{plan}"
    );
    assert_eq!((kinds(&plan), edge.generation()), (vec![], 1));
    assert_eq!(in_force(&edge).len(), 2);
    assert!(edge.events_of("audit").is_empty(), "a question is no change");
}

#[test]
fn what_speaks_against_a_change_is_a_warning_and_exit_code_4() {
    let all = endpoints(&["a", "b", "c"]);
    let scratch = Scratch::new();
    let failover = |pools: &[&Endpoint], lines: &str| {
        let addrs: Vec<_> = pools.iter().map(|one| one.addr()).collect();
        Conf::simple("failover", &addrs).raw(lines)
    };
    let mut edge = Edge::start(&failover(&[&all[0], &all[1]], ""));
    edge.until_up(2);
    let admin = edge.admin_url();
    let ask = |text: &str| {
        let file = scratch.write("new.toml", text).display().to_string();
        let json = thalweg(&["plan", "--config", &file, "--admin", &admin, "--format", "json"]);
        let human = thalweg(&["plan", "--config", &file, "--admin", &admin]);
        assert_eq!(json.code, human.code, "{}", human.stderr);
        (json.code, serde_json::from_str::<Value>(&json.stdout).unwrap_or_default(), human.stdout)
    };
    let same = edge.render(&failover(&[&all[0], &all[1]], ""));
    let (code, said, human) = ask(&same);
    assert_eq!((code, &said["moves"], &said["changes"]), (0, &json!([]), &json!([])), "{human}");
    assert!(human.starts_with("no traffic moves\nnothing changes\n"), "{human}");
    let untried = same.replace(&all[0].addr().to_string(), &all[2].addr().to_string()).replace("p0", "fresh");
    let (code, said, human) = ask(&untried);
    assert_eq!((code, kinds(&said)), (4, vec!["untried_pool".to_owned()]), "{human}");
    assert!(human.starts_with("WARNING untried_pool: pool fresh would take 100 % of route all"), "{human}");
    assert!(human.contains("+ pool fresh") && human.contains("- pool p0"), "{human}");
    let restart = same.replace("workers = 2", "workers = 1");
    assert_eq!(kinds(&ask(&restart).1), ["restart_required"]);
    let closes = same.replace("name = \"web\"", "name = \"other\"");
    assert_eq!(kinds(&ask(&closes).1), ["listener_gone"]);
    all[1].health(Health::status(503));
    eventually("the second is down", SOON, || !edge.is_up(all[1].addr()));
    let alone = same.replace("{ pool = \"p0\" }, ", "");
    let (code, said, human) = ask(&alone);
    assert_eq!((code, kinds(&said)), (4, vec!["last_healthy".to_owned()]), "{human}");
    let order = json!({ "order": { "kind": "drain", "target": { "pool": "p0" } } }).to_string();
    let refused = plan(&edge, &order);
    assert_eq!(kinds(&refused)[0], "order_refused", "{refused}");
}

#[test]
fn a_planned_order_moves_what_the_order_then_moves() {
    let all = endpoints(&["a", "b"]);
    let edge = Edge::start(&weighted(&[(&all[0], 1), (&all[1], 1)], ""));
    edge.until_up(2);
    for order in [
        json!({ "kind": "dial", "target": { "pool": "a" }, "value": 50 }),
        json!({ "kind": "weight", "target": { "route": "all", "pool": "b" }, "value": 3 }),
        json!({ "kind": "drain", "target": { "pool": "b" } }),
    ] {
        let said = plan(&edge, &json!({ "order": order }).to_string());
        let given = edge.admin_post("/api/v1/orders", &order.to_string());
        assert_eq!(given.status, 201, "{}", given.text());
        let predicted = after(&said);
        eventually(&format!("{order}: {predicted:?}"), SOON, || near(&in_force(&edge), &predicted));
        let id = &given.json()["id"];
        let mut client = Client::connect(edge.addr("admin"));
        client.ask("DELETE", &format!("/api/v1/orders/{id}"), "", b"").expect("an answer");
    }
}

#[test]
fn a_plan_of_an_undrain_says_what_comes_back_and_what_stays_drained() {
    let all = endpoints(&["a", "b"]);
    let edge = Edge::start(&weighted(&[(&all[0], 1), (&all[1], 1)], ""));
    edge.until_up(2);
    let undrain = json!({ "order": { "kind": "undrain", "target": { "pool": "a" } } }).to_string();
    let nothing = plan(&edge, &undrain);
    assert_eq!((&nothing["changes"], &nothing["moves"]), (&json!([]), &json!([])), "{nothing}");
    let drain = |target: &str| {
        let given = edge.admin_post("/api/v1/drain", &format!("{{{target}}}"));
        assert_eq!(given.status, 201, "{}", given.text());
        given.json()["id"].clone()
    };
    let id = drain("\"pool\":\"a\"");
    eventually("it is drained", SOON, || near(&in_force(&edge), &BTreeMap::from([("b".to_owned(), 1.0)])));
    let said = plan(&edge, &undrain);
    assert_eq!(said["changes"][0]["id"], id, "{said}");
    assert_eq!((&said["moves"][0]["from"], &said["moves"][0]["to"]), (&json!("b"), &json!("a")), "{said}");
    assert_eq!(kinds(&said), Vec::<String>::new());
    drain(&format!("\"endpoint\":\"a/{}\"", all[0].addr()));
    let said = plan(&edge, &undrain);
    assert_eq!((kinds(&said), &said["moves"]), (vec!["still_drained".to_owned()], &json!([])), "{said}");
    assert_eq!(edge.status()["orders"].as_array().map(Vec::len), Some(2), "a question ends no order");
    let unknown = json!({ "order": { "kind": "undrain", "target": { "pool": "nope" } } }).to_string();
    assert_eq!(edge.admin_post("/api/v1/plan", &unknown).status, 422);
}

#[test]
fn included_files_are_sent_along() {
    let all = endpoints(&["a", "b"]);
    let pool = |one: &Endpoint| format!("[pool.p0]\nendpoints = [{{ address = \"{}\" }}]\n", one.addr());
    let mut edge = Edge::start(&Conf::simple("failover", &[all[0].addr()]));
    let scratch = Scratch::new();
    let main = edge.render(&Conf::new().listener("web", "").route("all", "failover", &["p0"], ""));
    let file = scratch.write("new.toml", format!("include = [\"conf.d/*.toml\"]\n{main}"));
    scratch.write("conf.d/pool.toml", pool(&all[1]));
    let file = file.display().to_string();
    let done = thalweg(&["plan", "--config", &file, "--admin", &edge.admin_url()]);
    let gone = format!("- endpoint p0/{}", all[0].addr());
    assert!(done.stdout.contains(&gone), "{} {}", done.stdout, done.stderr);
}

#[test]
fn a_bad_body_gets_every_error_with_its_place() {
    let all = endpoints(&["a"]);
    let mut edge = Edge::start(&Conf::simple("failover", &[all[0].addr()]));
    let good = edge.render(&Conf::simple("failover", &[all[0].addr()]));
    let bad = good.replace("failover", "fastest") + "\n[limit]\nx = 1\n";
    let reply = edge.admin_post("/api/v1/plan", &bad);
    let errors = reply.json()["errors"].as_array().cloned().unwrap_or_default();
    assert_eq!((reply.status, errors.len()), (422, 2), "{}", reply.text());
    for error in &errors {
        assert!(error["line"].as_u64() > Some(0) && error["problem"].is_string(), "{error}");
    }
    let scratch = Scratch::new();
    let file = scratch.write("bad.toml", &bad).display().to_string();
    let done = thalweg(&["plan", "--config", &file, "--admin", &edge.admin_url()]);
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains(&format!("{file}:")) && done.stderr.contains("fastest"), "{}", done.stderr);
    let done = thalweg(&["plan", "--config", "/nonexistent/t.toml", "--admin", &edge.admin_url()]);
    assert_eq!(done.code, 2, "{}", done.stderr);
    for (body, status) in [
        ("", 422),
        ("{}", 422),
        ("{\"order\": {\"kind\": \"magic\"}}", 422),
        ("{\"order\": {\"kind\": \"drain\", \"target\": {\"pool\": \"nope\"}}}", 422),
        ("{\"config\": {\"files\": []}}", 422),
        ("[", 422),
    ] {
        assert_eq!(edge.admin_post("/api/v1/plan", body).status, status, "{body}");
    }
    let long = format!("{good}\n# {}", "x".repeat(5 << 20));
    let reply = edge.admin_post("/api/v1/plan", &long);
    assert_eq!(reply.status, 422);
    assert!(reply.text().contains("longer than"), "{}", reply.text());
    let mut client = Client::connect(edge.addr("admin"));
    let head = "POST /api/v1/plan HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 99999999\r\n\r\n";
    client.send(head);
    assert_eq!(client.reply("POST").map(|reply| reply.status).ok(), Some(413));
    assert_eq!(edge.generation(), 1);
}
