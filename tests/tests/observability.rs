//! What the edge reports is true: counters equal the client's own ledger, and every log line can be parsed.

mod common;

use std::{collections::BTreeSet, time::Duration};

use common::{alone, assert_ours, one, two_with, why};
use serde_json::Value;
use thalweg_testkit::{Behaviour, Client, Conf, Edge, Endpoint, Health, Load, eventually, get, thalweg};

const SOON: Duration = Duration::from_secs(8);

#[test]
fn counters_and_log_equal_the_ledger_of_the_clients() {
    let _alone = alone();
    let (edge, first, second) = two_with("");
    first.behave(Behaviour::EveryNth(7, 404));
    let load = Load::to(edge.web()).rate(400.0).count(2000).posts(0.25).fresh(0.1).start();
    eventually("half of it", SOON, || load.done() > 1000);
    first.health(Health::status(503));
    let report = load.join();
    assert_eq!(report.shots.len(), 2000);
    report.assert_none_failed("the load");
    let page = edge.metrics();
    let count = |class: &str| page.sum("thalweg_requests_total", &[("code_class", class)]) as usize;
    assert_eq!((count("2xx"), count("4xx"), count("5xx")), (report.class(2), report.class(4), 0));
    assert_eq!(page.sum("thalweg_requests_total", &[]), 2000.0);
    assert_eq!(page.sum("thalweg_requests_total", &[("listener", "web"), ("route", "all")]), 2000.0);
    assert_eq!(page.sum("thalweg_request_duration_seconds_count", &[("route", "all")]), 2000.0);
    for (pool, endpoint) in [("p0", &first), ("p1", &second)] {
        let addr = endpoint.addr().to_string();
        let said = page.sum("thalweg_endpoint_requests_total", &[("pool", pool), ("endpoint", &addr)]);
        assert_eq!(said as usize, endpoint.hits(), "{pool}");
        let answers = report.by().get(endpoint.name()).copied().unwrap_or(0);
        assert_eq!(page.sum("thalweg_requests_total", &[("pool", pool)]) as usize, answers, "{pool}");
    }
    let first_bytes = page.sum("thalweg_endpoint_first_byte_seconds_count", &[]) as usize;
    assert_eq!(first_bytes, first.hits() + second.hits());
    let decisions = page.sum("thalweg_decisions_total", &[("route", "all")]) as usize;
    assert_eq!(decisions, first.hits() + second.hits(), "one decision per attempt");
    assert_eq!(page.sum("thalweg_endpoint_in_flight", &[]), 0.0);
    let sent: BTreeSet<String> = report.shots.iter().map(|shot| shot.id.clone()).collect();
    eventually("2000 log lines", SOON, || edge.access_log().len() >= 2000);
    let logged: Vec<String> = edge
        .access_log()
        .iter()
        .map(|line| line["request_id"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(logged.len(), 2000, "one line per request");
    assert_eq!(logged.into_iter().collect::<BTreeSet<_>>(), sent);
    assert_eq!(page.sum("thalweg_log_dropped_total", &[]), 0.0);
}

#[test]
fn a_request_counts_before_its_answer_is_whole() {
    let (edge, _endpoint) = one();
    let mut client = Client::connect(edge.web());
    for nth in 1..=50 {
        client.get("/bytes/10");
        assert_eq!(edge.metric("thalweg_requests_total", &[]), f64::from(nth));
    }
}

#[test]
fn requests_without_a_route_and_admin_calls_are_kept_apart() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::new().listener("web", "").pool("p", &[endpoint.addr()], "").route(
        "api",
        "failover",
        &["p"],
        "path_prefix = \"/api\"",
    );
    let edge = Edge::start(&conf);
    assert_eq!(get(edge.web(), "/other").status, 404);
    drop(Client::connect(edge.web()));
    edge.status();
    let page = edge.metrics();
    assert_eq!(page.sum("thalweg_requests_total", &[]), 1.0);
    assert_eq!(
        page.sum("thalweg_requests_total", &[("route", "-"), ("pool", "-"), ("code_class", "4xx")]),
        1.0
    );
}

#[test]
fn the_metrics_page_has_every_family_with_a_type() {
    let (edge, _first, _second) = two_with("");
    get(edge.web(), "/");
    let page = edge.metrics();
    for (name, kind) in [
        ("thalweg_requests_total", "counter"),
        ("thalweg_request_duration_seconds", "histogram"),
        ("thalweg_endpoint_requests_total", "counter"),
        ("thalweg_endpoint_first_byte_seconds", "histogram"),
        ("thalweg_endpoint_available", "gauge"),
        ("thalweg_endpoint_in_flight", "gauge"),
        ("thalweg_probes_total", "counter"),
        ("thalweg_pool_info", "gauge"),
        ("thalweg_decisions_total", "counter"),
        ("thalweg_panic", "gauge"),
        ("thalweg_connections", "gauge"),
        ("thalweg_upstream_connections", "gauge"),
        ("thalweg_config_generation", "gauge"),
        ("thalweg_config_reloads_total", "counter"),
        ("thalweg_config_last_reload_successful", "gauge"),
        ("thalweg_config_last_reload_success_timestamp_seconds", "gauge"),
        ("thalweg_log_dropped_total", "counter"),
        ("thalweg_build_info", "gauge"),
    ] {
        assert_eq!(page.types.get(name).map(String::as_str), Some(kind), "{name}");
    }
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(page.has(name), "{name}");
    }
    let reply = edge.admin_get("/metrics");
    assert!(
        reply.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")),
        "{:?}",
        reply.head
    );
}

#[test]
fn the_access_log_has_every_field_and_no_secret() {
    let (edge, endpoint) = one();
    let mut client = Client::connect(edge.web());
    let headers = "x-request-id: logged\r\nauthorization: Bearer s3cret\r\ncookie: sid=s3cret\r\n";
    client.ask("POST", "/upload?token=s3cret", headers, b"12345").expect("an answer");
    let line = edge.logged("logged");
    for key in [
        "ts",
        "request_id",
        "client",
        "method",
        "host",
        "path",
        "status",
        "bytes_in",
        "bytes_out",
        "duration_us",
        "first_byte_us",
        "route",
        "pool",
        "endpoint",
        "attempts",
        "reason",
        "generation",
        "revision",
        "roll",
        "protocol",
        "tls",
    ] {
        assert!(line.get(key).is_some(), "no {key} in {line}");
    }
    assert_eq!(line["method"], "POST");
    assert_eq!(line["path"], "/upload");
    assert_eq!((line["status"].as_u64(), line["bytes_in"].as_u64()), (Some(200), Some(5)));
    assert_eq!((line["route"].as_str(), line["pool"].as_str()), (Some("all"), Some("p0")));
    assert_eq!(line["endpoint"], endpoint.addr().to_string());
    assert_eq!((line["attempts"].as_u64(), line["generation"].as_u64()), (Some(1), Some(1)));
    assert!(line["bytes_out"].as_u64() > Some(0) && line["duration_us"].as_u64() > Some(0), "{line}");
    assert!(line["client"].as_str().is_some_and(|client| client.starts_with("127.0.0.1")), "{line}");
    assert!(!edge.stdout().contains("s3cret") && !edge.stderr().contains("s3cret"), "a secret was logged");
}

#[test]
fn requests_refused_at_intake_are_logged_with_host_and_path() {
    let (edge, _endpoint) = one();
    let via = "via: 1.1 thalweg, 1.1 thalweg, 1.1 thalweg\r\n";
    let long = "/%2f".to_owned() + &"x".repeat(9_000);
    for (nth, (method, target, fields, status, host, path)) in [
        ("GET", "/a%2Fb?token=s3cret", "host: A.test:80\r\n", 400, "a.test", "/a%2Fb"),
        ("TRACE", "/t", "host: a.test\r\n", 405, "a.test", "/t"),
        ("CONNECT", "a.test:443", "host: a.test:443\r\n", 405, "a.test", ""),
        ("GET", "/v", &format!("host: a.test\r\n{via}"), 508, "a.test", "/v"),
        ("GET", "http://a.test/v", &format!("host: x\r\n{via}"), 508, "a.test", "/v"),
        ("GET", "/two", "host: a.test\r\nhost: b.test\r\n", 400, "a.test", "/two"),
        ("GET", "/odd", "host: me:s3cret@a\"b\r\n", 400, "a\"b", "/odd"),
        ("GET", "/none", "", 400, "", "/none"),
        ("GET", &long, "host: a.test\r\n", 400, "a.test", &long[..1024]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = Client::connect(edge.web());
        client.send(format!("{method} {target} HTTP/1.1\r\n{fields}x-request-id: refused{nth}\r\n\r\n"));
        let reply = client.reply(method).expect("an answer");
        let line = edge.logged(&format!("refused{nth}"));
        let seen = (reply.status, line["host"].as_str(), line["path"].as_str());
        assert_eq!(seen, (status, Some(host), Some(path)), "{method} {target}: {line}");
    }
    assert!(!edge.stdout().contains("s3cret"), "a secret was logged");
}

#[test]
fn a_logged_decision_can_be_asked_again() {
    let (edge, _first, _second) = two_with("");
    let mut client = Client::connect(edge.web());
    for nth in 0..10 {
        client
            .ask("GET", "/x", &format!("x-request-id: again{nth}\r\nhost: api.test\r\n"), b"")
            .expect("an answer");
        let line = edge.logged(&format!("again{nth}"));
        let roll = line["roll"].to_string();
        let answer = edge.explain(&format!("host=api.test&path=/x&roll={}", roll.trim_matches('"')));
        let text = answer.to_string();
        assert!(text.contains(line["endpoint"].as_str().unwrap_or("-")), "{text}");
        assert!(text.contains(line["reason"].as_str().unwrap_or("-")), "{text}");
    }
}

#[test]
fn the_status_names_everything_in_force() {
    let (edge, first, _second) = two_with("");
    let status = edge.status();
    for key in
        ["edge", "version", "generation", "revision", "warnings", "restart_required", "routes", "pools"]
    {
        assert!(status.get(key).is_some(), "no {key} in {status}");
    }
    let text = status.to_string();
    for key in [
        "uptime",
        "hash",
        "last_reload",
        "probe",
        "admin",
        "ejection",
        "availability",
        "latency_us",
        "in_flight",
        "weight",
    ] {
        assert!(text.contains(&format!("\"{key}")) || text.contains(key), "no {key} in {text}");
    }
    assert!(text.contains(&first.addr().to_string()) && text.contains("p1") && text.contains("all"));
}

#[test]
fn events_tell_what_changed_and_why_newest_last() {
    let (edge, first, _second) = two_with("");
    first.health(Health::status(503));
    eventually("the endpoint is down", SOON, || !edge.is_up(first.addr()));
    let addr = first.addr().to_string();
    let of_it = |events: Vec<Value>| -> Vec<String> {
        events.iter().map(Value::to_string).filter(|text| text.contains(&addr)).collect()
    };
    let events = of_it(edge.events());
    let last = events.last().expect("an event of this endpoint");
    assert!(last.contains("503"), "no evidence in {last}");
    first.health(Health::ok());
    eventually("the endpoint is up again", SOON, || edge.is_up(first.addr()));
    assert!(of_it(edge.events()).len() > events.len());
}

#[test]
fn events_can_be_followed() {
    let (edge, first, _second) = two_with("");
    let mut client = Client::connect(edge.addr("admin"));
    client.send(format!("GET /api/v1/events?follow=1 HTTP/1.1\r\nhost: {}\r\n\r\n", edge.addr("admin")));
    let head = client.head().expect("a head");
    assert!(
        head.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")),
        "{head:?}"
    );
    first.health(Health::status(503));
    client.until(first.addr().to_string().as_bytes());
}

#[test]
fn explain_says_the_same_online_and_on_the_command_line() {
    let (edge, first, second) = two_with("");
    let online = |edge: &Edge| edge.explain("host=x&path=/&client=192.0.2.1&method=GET&roll=1").to_string();
    assert!(online(&edge).contains(&first.addr().to_string()));
    let args = [
        "explain",
        "--admin",
        &edge.admin_url(),
        "--host",
        "x",
        "--path",
        "/",
        "--roll",
        "1",
        "--format",
        "json",
    ];
    let said = thalweg(&args);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let said: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert!(said.to_string().contains(&first.addr().to_string()));
    first.health(Health::status(503));
    eventually("the endpoint is down", SOON, || !edge.is_up(first.addr()));
    let text = online(&edge);
    assert!(text.contains(&second.addr().to_string()) && text.contains("failover"), "{text}");
}

#[test]
fn a_failure_is_spelled_the_same_in_answer_log_and_metric() {
    let endpoint = Endpoint::start("a");
    endpoint.refuse();
    let conf = Conf::new().listener("web", "").pool("p", &[endpoint.addr()], "# no probe").route(
        "all",
        "failover",
        &["p"],
        "",
    );
    let edge = Edge::start(&conf);
    let mut client = Client::connect(edge.web());
    let reply = client.ask("GET", "/", "x-request-id: spelled\r\n", b"").expect("an answer");
    assert_ours(&reply, 502, "connect_failed");
    let line = edge.logged("spelled");
    assert_eq!((why(&line), line["status"].as_u64()), ("connect_failed", Some(502)), "{line}");
    assert_eq!(edge.metric("thalweg_requests_total", &[("route", "all"), ("code_class", "5xx")]), 1.0);
}

#[test]
fn the_log_formats_are_common_and_off() {
    let endpoint = Endpoint::start("a");
    for (format, lines) in [("common", 1), ("off", 0)] {
        let edge = Edge::start(
            &Conf::simple("failover", &[endpoint.addr()]).raw(&format!("[log]\naccess = \"{format}\"")),
        );
        get(edge.web(), "/hello");
        let of_it = || edge.stdout().lines().find(|line| line.contains("GET /hello")).map(str::to_owned);
        eventually(&format!("{lines} lines of {format}"), SOON, || of_it().iter().count() == lines);
        let Some(line) = of_it() else { continue };
        let (client, rest) = line.split_once(" - - [").expect("a client");
        let (time, rest) = rest.split_once("] ").expect("a time");
        // The places of digits and letters in 21/Nov/2026:10:17:19 +0000.
        let shape: String = time
            .chars()
            .map(|letter| match letter {
                '0'..='9' => '9',
                'A'..='Z' => 'A',
                'a'..='z' => 'a',
                other => other,
            })
            .collect();
        assert_eq!((client, shape.as_str()), ("127.0.0.1", "99/Aaa/9999:99:99:99 +9999"), "{line}");
        assert!(rest.starts_with("\"GET /hello HTTP/1.1\" 200 "), "{line}");
    }
}
