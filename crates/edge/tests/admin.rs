//! The admin server of a running edge: every call, and every way of being refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use common::{Edge, Scratch, ask, config, eventually, free_port};

fn edge() -> (Scratch, std::path::PathBuf, Edge) {
    let scratch = Scratch::new();
    let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let path = scratch.write("t.toml", config(admin, free_port(), ""));
    let edge = Edge::start(&path, admin);
    (scratch, path, edge)
}

#[test]
fn known_calls_answer_and_unknown_calls_are_404() {
    let (_scratch, _path, edge) = edge();
    for (target, expected) in [
        ("/livez", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/api/v1/status", 200),
        ("/api/v1/events", 200),
        ("/api/v1/explain?host=a&path=/", 200),
        ("/api/v1/explain?host=a", 400),
        ("/api/v1/reload", 405),
        ("/nowhere", 404),
    ] {
        assert_eq!(edge.get(target).0, expected, "{target}");
    }
    assert_eq!(edge.post("/metrics").0, 405);
    assert_eq!(edge.post("/api/v1/failback").0, 400);
    assert_eq!(edge.post("/api/v1/drain").0, 422);
    assert_eq!(
        ask(edge.admin, "POST", "/api/v1/reload", "origin: http://evil.test\r\ncontent-length: 0\r\n").0,
        403
    );
    let long = "content-length: 100000\r\n";
    assert_eq!(ask(edge.admin, "POST", "/api/v1/failback", long).0, 413);
}

#[test]
fn the_exposition_has_each_head_once_and_what_exists_from_the_start() {
    let (_scratch, _path, edge) = edge();
    let text = edge.get("/metrics").1;
    let mut heads: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let count = heads.len();
    heads.sort_unstable();
    heads.dedup();
    assert_eq!(heads.len(), count);
    for line in [
        "thalweg_config_generation 1",
        "thalweg_config_reloads_total{result=\"applied\"} 1",
        "thalweg_config_reloads_total{result=\"rejected\"} 0",
        "thalweg_config_last_reload_successful 1",
        "thalweg_endpoint_available{pool=\"p\",endpoint=\"127.0.0.1:9\"} 1",
        "thalweg_panic{route=\"r\"} 0",
        "thalweg_task_restarts_total{task=\"keeper\"} 0",
        "thalweg_log_dropped_total 0",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");
    }
    assert!(text.contains("process_start_time_seconds 1"), "{text}");
}

#[test]
fn a_rejected_reload_changes_only_its_own_indicators() {
    let (_scratch, path, edge) = edge();
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, good.replace("policy", "polizy")).unwrap();
    let (status, body) = edge.post("/api/v1/reload");
    assert_eq!(status, 422);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert!(body["errors"][0]["line"].as_u64() > Some(0), "{body}");
    let said = edge.json("/api/v1/status");
    assert_eq!((said["generation"].as_u64(), &said["last_reload"]["result"]), (Some(1), &"rejected".into()));
    assert!(said["last_reload"]["errors"][0]["path"].is_string());
    assert_eq!(edge.get("/readyz").0, 200);
    assert!(edge.get("/metrics").1.contains("thalweg_config_last_reload_successful 0"));
    std::fs::write(&path, &good).unwrap();
    assert_eq!(edge.post("/api/v1/reload").0, 200);
    let metrics = edge.get("/metrics").1;
    assert!(metrics.contains("thalweg_config_last_reload_successful 1\n"));
    assert!(metrics.contains("thalweg_config_generation 1\n"), "an unchanged config is no new generation");
}

#[test]
fn events_are_followed_as_they_come() {
    let (_scratch, path, edge) = edge();
    let mut stream = TcpStream::connect(edge.admin).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    write!(stream, "GET /api/v1/events?follow=1 HTTP/1.1\r\nhost: {}\r\n\r\n", edge.admin).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + "[log]\nlevel = \"warn\"\n").unwrap();
    assert_eq!(edge.post("/api/v1/reload").0, 200);
    let mut seen = String::new();
    let mut piece = [0; 4096];
    while !seen.contains("\"generation\":2") {
        let count = stream.read(&mut piece).expect("more events");
        assert!(count > 0, "the stream ended: {seen}");
        seen.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    assert!(seen.contains("text/event-stream") && seen.contains("data: {"), "{seen}");
}

#[test]
fn a_drain_takes_readiness_back_then_ends_with_0() {
    let scratch = Scratch::new();
    let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let text = config(admin, free_port(), "").replace("workers = 1", "workers = 1\ndrain_delay = \"300ms\"");
    let mut edge = Edge::start(&scratch.write("t.toml", text), admin);
    edge.signal("TERM");
    eventually("the edge is not ready any more", || {
        let (status, body) = edge.get("/readyz");
        status == 503 && body.contains("draining")
    });
    assert_eq!(edge.end(), 0);
}
