//! Many reloads under load, of good configs and of bad ones: no request fails and no connection closes.

use std::fs;

use serde_json::Value;
use thalweg_testkit::{Conf, Edge, Endpoint, Load, eventually, runtime};

use crate::{SOON, common::alone, to, two};

/// Reloads this often between two configs, under load.
fn storm(reloads: u64) {
    let _alone = alone();
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf = |weight: u64| {
        Conf::new()
            .listener("web", "")
            .pool("p0", &[first.addr()], "")
            .pool("p1", &[second.addr()], "")
            .route("all", "weighted", &[&format!("p0, weight = {weight}"), "p1, weight = 50"], "")
    };
    let mut edge = Edge::start(&conf(50));
    edge.until_up(2);
    let load = Load::to(edge.web()).rate(200.0).posts(0.2).start();
    eventually("traffic flows", SOON, || load.done() > 50);
    for nth in 1..=reloads {
        let text = edge.render(&conf(50 + nth % 10 + 1));
        edge.replace(&text);
        let reply = edge.reload();
        assert_eq!(reply.status, 200, "{nth}: {}", reply.text());
    }
    let done = load.done();
    eventually("traffic goes on", SOON, || load.done() > done + 50);
    let report = load.stop();
    report.assert_none_failed("reloads");
    assert_eq!((report.closed, report.cut()), (0, 0), "connections that the edge closed");
    let generation = edge.generation();
    assert!(generation > reloads / 2, "{generation} generations after {reloads} changes");
    assert_eq!(edge.metric("thalweg_task_restarts_total", &[]), 0.0);
}

#[test]
fn five_hundred_reloads_under_load_fail_nothing_and_close_nothing() {
    storm(500);
}

#[test]
#[ignore = "ten thousand reloads take a minute: part of test-long"]
fn ten_thousand_reloads_under_load_fail_nothing_and_close_nothing() {
    storm(10_000);
}

/// This good config, broken in many ways.
fn mutants(good: &str) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |what: &str, text: String| all.push((what.to_owned(), text.into_bytes()));
    add("empty", String::new());
    add("an unknown table", format!("{good}\n[nonsense]\nx = 1\n"));
    add("an unknown key", good.replace("[edge]", "[edge]\nnonsense = 1"));
    add("a broken string", format!("{good}\nname = \"broken\n"));
    add("half a file", good[..good.len() / 2].to_owned() + "\n[pool.");
    add("a table twice", format!("{good}\n[edge]\nname = \"again\"\n"));
    add("a wrong type", good.replace("version = 1", "version = \"one\""));
    add("another version", good.replace("version = 1", "version = 99"));
    add("a bad duration", good.replace("\"100ms\"", "\"100 bananas\""));
    add("a bad policy", good.replace("\"failover\"", "\"best\""));
    add("an unknown pool", good.replace("{ pool = \"p\" }", "{ pool = \"q\" }"));
    add("a bad address", good.replace("127.0.0.1:", "127.0.0.1"));
    add("an unset variable", good.replace("name = \"edge-test\"", "name = \"${THALWEG_SURELY_UNSET}\""));
    add("a missing include", format!("include = 7\n{good}"));
    add("no route", good.split("[route.").next().unwrap_or_default().to_owned());
    all.push(("binary".to_owned(), (0..=255_u8).cycle().take(10_000).collect()));
    all.push(("a megabyte of brackets".to_owned(), vec![b'['; 1_000_000]));
    all.push(("a deep table".to_owned(), format!("a = {}", "[".repeat(5000)).into_bytes()));
    // A fixed seed chooses where to insert a control byte and a quote.
    let mut state = 0x9e37_79b9_u64;
    for _ in 0..20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = usize::try_from(state >> 33).unwrap_or(0) % good.len();
        let mut text = good.to_owned();
        text.insert_str(at, "\u{1}\"");
        all.push((format!("a control byte and a quote at {at}"), text.into_bytes()));
    }
    all
}

#[test]
fn bad_reloads_under_load_change_nothing() {
    let (first, _second, mut edge) = two();
    let good = edge.render(&to(&first));
    let load = Load::to(edge.web()).rate(100.0).posts(0.2).start();
    for (what, bytes) in mutants(&good) {
        edge.scratch().write("thalweg.toml.new", &bytes);
        fs::rename(edge.scratch().join("thalweg.toml.new"), edge.config()).expect("renamed");
        let reply = edge.reload();
        assert_eq!(reply.status, 422, "{what} was accepted: {}", String::from_utf8_lossy(&bytes));
        let json: Value = reply.json();
        assert!(json["errors"].as_array().is_some_and(|errors| !errors.is_empty()), "{what}: {json}");
        assert_eq!((edge.generation(), edge.ready()), (1, 200), "{what}");
    }
    let report = load.stop();
    report.assert_none_failed("bad reloads");
    assert_eq!((report.closed, report.by().len()), (0, 1));
    let _kept = runtime();
}
