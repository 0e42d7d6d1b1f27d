//! "Why did that request go there?": the decision record of a request that has ended, by the API and by `thalweg why`.

mod common;

use std::time::Duration;

use common::{one, two_with};
use serde_json::Value;
use thalweg_testkit::{Behaviour, Client, Conf, Edge, Endpoint, eventually, thalweg};

const SOON: Duration = Duration::from_secs(10);

/// Sends a GET with this request id; returns the status.
fn send(edge: &Edge, id: &str, target: &str, headers: &str) -> u16 {
    let fields = format!("x-request-id: {id}\r\n{headers}");
    Client::connect(edge.web()).ask("GET", target, &fields, b"").expect("an answer").status
}

/// The record of a request. It is there once the answer is whole.
fn record(edge: &Edge, id: &str) -> Value {
    let reply = edge.admin_get(&format!("/api/v1/requests/{id}"));
    assert_eq!(reply.status, 200, "{id}: {}", reply.text());
    reply.json()
}

fn is_kept(edge: &Edge, id: &str) -> bool {
    edge.admin_get(&format!("/api/v1/requests/{id}")).status == 200
}

/// `KIND ENDPOINT POOL REASON OUTCOME` of each attempt.
fn attempts(record: &Value) -> Vec<String> {
    let all = record["attempts"].as_array().expect("attempts");
    let fields = ["kind", "endpoint", "pool", "reason", "outcome"];
    all.iter().map(|one| fields.map(|field| one[field].as_str().unwrap_or("-")).join(" ")).collect()
}

fn verdicts(record: &Value) -> Vec<String> {
    let all = record["candidates"].as_array().expect("candidates");
    all.iter()
        .map(|one| format!("{} {} {}", one["pool"], one["verdict"], one["share"]).replace('"', ""))
        .collect()
}

#[test]
fn a_request_tells_its_facts_candidates_and_attempt() {
    let (edge, first, _second) = two_with("");
    assert_eq!(
        send(&edge, "plain", "/bytes/10?secret=1", "cookie: secret=2\r\nauthorization: secret 3\r\n"),
        200
    );
    let said = record(&edge, "plain");
    assert_eq!(attempts(&said), [format!("first {} p0 balanced ok", first.addr())]);
    assert_eq!(verdicts(&said), ["p0 open 1.0", "p1 open 0.0"]);
    let facts = &said["facts"];
    assert_eq!(
        (&facts["client"], &facts["method"], &facts["path"], &facts["cut"]),
        (&"127.0.0.1".into(), &"GET".into(), &"/bytes/10".into(), &false.into())
    );
    assert_eq!(
        (&said["route"], &said["status"], &said["candidates_of"]),
        (&"all".into(), &200.into(), &"then".into())
    );
    assert_eq!((&said["today"]["differs"], &said["same_id"]), (&false.into(), &1.into()));
    let took = |value: &Value| value["duration_us"].as_u64().zip(value["first_byte_us"].as_u64());
    for times in [&said, &said["attempts"][0]] {
        assert!(took(times).is_some_and(|(whole, first)| 0 < first && first <= whole), "{times}");
    }
    assert!(!said.to_string().contains("secret"), "{said}");
    let logged = edge.logged("plain");
    for field in ["roll", "generation", "revision", "duration_us", "first_byte_us"] {
        assert_eq!(said[field], logged[field], "{field}");
    }
}

#[test]
fn a_retried_request_tells_every_attempt() {
    let (edge, first, second) = two_with("");
    first.behave(Behaviour::ResetBeforeHead);
    assert_eq!(send(&edge, "retried", "/", ""), 200);
    let said = record(&edge, "retried");
    let seen = attempts(&said);
    assert_eq!(seen[0], format!("first {} p0 balanced reset", first.addr()));
    assert!(
        seen[1].starts_with(&format!("retry {} p1 ", second.addr())) && seen[1].ends_with(" ok"),
        "{seen:?}"
    );
    let after: Vec<Option<u64>> =
        said["attempts"].as_array().expect("two").iter().map(|one| one["after_us"].as_u64()).collect();
    assert!(after[0] == Some(0) && after[1] > Some(0), "{after:?}");
    let rolls: Vec<&Value> =
        said["attempts"].as_array().expect("two").iter().map(|one| &one["roll"]).collect();
    assert!(rolls[0] == &said["roll"] && rolls[1] != rolls[0], "{rolls:?}");
}

#[test]
fn a_hedged_request_tells_both_racers() {
    let (edge, first, second) = two_with("retry = { hedge = true }");
    first.behave(Behaviour::Slow(Duration::from_secs(3)));
    assert_eq!(send(&edge, "hedged", "/", ""), 200);
    let said = record(&edge, "hedged");
    let seen = attempts(&said);
    assert_eq!(seen.len(), 2, "{said}");
    assert!(seen[0].starts_with(&format!("first {} p0 balanced ", first.addr())), "{seen:?}");
    assert!(
        seen[1].starts_with(&format!("hedge {} p1 ", second.addr())) && seen[1].ends_with(" ok"),
        "{seen:?}"
    );
}

#[test]
fn a_refused_request_has_no_attempt() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::new().listener("web", "").pool("p", &[endpoint.addr()], "");
    let edge = Edge::start(&conf.route("api", "failover", &["p"], "path_prefix = \"/api\""));
    assert_eq!(send(&edge, "elsewhere", "/other", ""), 404);
    let said = record(&edge, "elsewhere");
    assert_eq!(
        (&said["refusal"], &said["route"], &said["status"]),
        (&"no_route".into(), &Value::Null, &404.into())
    );
    assert_eq!((attempts(&said), &said["today"]["differs"]), (vec![], &false.into()));
    edge.replace(&conf_text(&edge).replace("path_prefix = \"/api\"", "path_prefix = \"/\""));
    assert_eq!(edge.reload().status, 200);
    let said = record(&edge, "elsewhere");
    let detail = said["today"]["detail"].as_str().unwrap_or_default();
    assert!(
        detail.starts_with(&format!("today it would go to {} in p on route api", endpoint.addr())),
        "{detail}"
    );
}

fn conf_text(edge: &Edge) -> String {
    std::fs::read_to_string(edge.config()).expect("the config")
}

#[test]
fn the_record_of_yesterday_says_what_would_differ_today() {
    let (edge, first, second) = two_with("");
    assert_eq!(send(&edge, "before", "/", ""), 200);
    let before = record(&edge, "before");
    first.die();
    eventually("the first is down", SOON, || !edge.is_up(first.addr()));
    let said = record(&edge, "before");
    assert_eq!(
        (verdicts(&said), &said["candidates_of"]),
        (verdicts(&before), &"then".into()),
        "what was stays"
    );
    let detail = said["today"]["detail"].as_str().unwrap_or_default();
    assert_eq!(detail, format!("today it would go to {} in p1, because failover", second.addr()));
    assert_eq!(send(&edge, "after", "/", ""), 200);
    let said = record(&edge, "after");
    assert_eq!(attempts(&said), [format!("first {} p1 failover ok", second.addr())]);
    assert_eq!(verdicts(&said)[1], "p1 open 1.0");
    let human = thalweg(&["why", "before", "--admin", &edge.admin_url()]);
    assert_eq!(human.code, 0, "{}", human.stderr);
    for part in
        [&*format!("1 first  {}  p0    balanced  ok", first.addr()), detail, "p0         0     1", "roll "]
    {
        assert!(human.stdout.contains(part), "{part}: {}", human.stdout);
    }
    let json = thalweg(&["why", "before", "--admin", &edge.admin_url(), "--format", "json"]);
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["attempts"], before["attempts"]);
}

#[test]
fn failed_requests_are_kept_when_ordinary_ones_are_forgotten() {
    let endpoint = Endpoint::start("a");
    let conf =
        Conf::simple("failover", &[endpoint.addr()]).raw("[decisions]\nkeep = 40\n").edge("workers = 2");
    let edge = Edge::start(&conf);
    edge.until_up(1);
    assert_eq!(send(&edge, "good", "/", ""), 200);
    endpoint.behave(Behaviour::Status(500));
    assert_eq!(send(&edge, "failed", "/", ""), 500);
    endpoint.behave(Behaviour::Serve);
    assert!(is_kept(&edge, "good") && is_kept(&edge, "failed"));
    for nth in 0..200 {
        send(&edge, &format!("more-{nth}"), "/", "");
    }
    assert!(is_kept(&edge, "failed") && is_kept(&edge, "more-199") && !is_kept(&edge, "good"));
    let unknown = edge.admin_get("/api/v1/requests/good");
    let body = unknown.json();
    assert_eq!((unknown.status, &body["error"]), (404, &"unknown_request".into()));
    assert_eq!((&body["kept"]["keep"], &body["kept"]["notable_seconds"]), (&40.into(), &Value::Null));
    assert!(body["kept"]["ordinary_seconds"].is_u64(), "{body}");
    let told = thalweg(&["why", "good", "--admin", &edge.admin_url()]);
    assert_eq!(told.code, 1);
    assert!(
        told.stderr.contains("404") && told.stderr.contains("of ordinary requests those of the last"),
        "{}",
        told.stderr
    );
}

#[test]
fn nothing_is_kept_when_it_is_switched_off() {
    let (edge, _endpoint) = one();
    send(&edge, "one", "/", "");
    assert!(is_kept(&edge, "one"));
    edge.replace(&(conf_text(&edge) + "\n[decisions]\nkeep = 0\n"));
    assert_eq!(edge.reload().status, 200);
    send(&edge, "two", "/", "");
    for id in ["one", "two"] {
        let reply = edge.admin_get(&format!("/api/v1/requests/{id}"));
        assert_eq!((reply.status, &reply.json()["error"]), (404, &"decisions_off".into()));
    }
    let told = thalweg(&["why", "two", "--admin", &edge.admin_url()]);
    assert!(told.code == 1 && told.stderr.contains("`[decisions] keep` is 0"), "{}", told.stderr);
}

#[test]
fn long_hosts_and_paths_are_cut_and_the_answer_says_so() {
    let (edge, _endpoint) = one();
    send(&edge, "long", &format!("/{}", "x".repeat(2000)), "");
    let said = record(&edge, "long");
    assert_eq!(said["facts"]["cut"], true);
    assert_eq!(said["facts"]["path"].as_str().map(str::len), Some(512));
    assert!(said["today"]["detail"].as_str().is_some_and(|detail| detail.contains("too long")), "{said}");
}
