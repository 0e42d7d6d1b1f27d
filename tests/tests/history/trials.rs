//! A config on trial: confirmed, taken back in time, by its guard, by a rollback, by a crash.

use std::{path::Path, time::Duration};

use serde_json::{Value, json};
use thalweg_testkit::{Behaviour, Edge, Endpoint, Load, Reply, eventually, stays, thalweg};

use super::{SOON, apply, history, kept_in, rollback, serves, to};

/// Puts a config on trial.
fn try_out(edge: &mut Edge, conf: &thalweg_testkit::Conf, body: &Value) -> Reply {
    let text = edge.render(conf);
    edge.replace(&text);
    edge.admin_post("/api/v1/reload", &body.to_string())
}

fn confirm(edge: &Edge) -> Reply {
    edge.admin_post("/api/v1/confirm", "")
}

#[test]
fn a_config_that_is_not_confirmed_in_time_is_taken_back() {
    let (first, second, third) = (Endpoint::start("a"), Endpoint::start("b"), Endpoint::start("c"));
    let mut edge = Edge::start(&to(&first));
    let none = confirm(&edge);
    assert_eq!((none.status, &none.json()["error"]), (409, &json!("no_trial")));
    let reply = try_out(&mut edge, &to(&second), &json!({ "confirm": "3s" }));
    let said = reply.json();
    assert_eq!((reply.status, &said["result"], &said["generation"]), (200, &json!("on_trial"), &json!(2)));
    assert_eq!((&said["trial"]["back_to"], &said["trial"]["stored"]), (&json!(1), &json!(false)), "{said}");
    assert_eq!((serves(&edge).as_str(), &edge.status()["trial"]["generation"]), ("b", &json!(2)));
    let text = edge.render(&to(&third));
    edge.replace(&text);
    let busy = edge.reload();
    assert_eq!((busy.status, &busy.json()["error"]), (409, &json!("trial_runs")), "{}", busy.text());
    let text = edge.render(&to(&second));
    edge.replace(&text);
    eventually("the config is taken back", SOON, || serves(&edge) == "a");
    let late = confirm(&edge);
    assert_eq!(late.status, 409);
    let why = late.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("generation 2 was taken back (not confirmed in time)"), "{why}");
    eventually("the end of the trial is an event", SOON, || {
        edge.events_of("config_trial_reverted").len() == 1
    });
    let told = edge.events_of("config_trial_reverted").remove(0);
    assert_eq!((&told["cause"], &told["in_force"]), (&json!("not_confirmed"), &json!(3)), "{told}");
    let status = edge.status();
    assert_eq!((&status["trial"], &status["set_aside"]["because"]), (&Value::Null, &json!("revert")));
    stays("the file waits", Duration::from_millis(2500), || serves(&edge) == "a");
    let states: Vec<Value> = history(&edge).iter().map(|one| one["state"].clone()).collect();
    assert_eq!(states, ["kept", "taken_back", "in_force"]);
    let text = edge.render(&to(&third));
    edge.replace(&text);
    eventually("a changed file counts", SOON, || serves(&edge) == "c");
}

#[test]
fn a_confirmed_config_stays_and_a_second_confirm_is_a_clear_error() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let mut edge = Edge::start(&to(&first));
    let text = edge.render(&to(&second));
    edge.replace(&text);
    let admin = edge.admin_url();
    let done = thalweg(&["reload", "--admin", &admin, "--confirm", "2s", "--reason", "try b"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stdout.starts_with("on trial: generation 2; generation 1 comes back at"), "{}", done.stdout);
    assert!(thalweg(&["status", "--admin", &admin]).stdout.contains("ON TRIAL: generation 2"));
    let done = thalweg(&["confirm", "--admin", &admin]);
    assert_eq!((done.code, done.stdout.as_str()), (0, "confirmed: generation 2\n"), "{}", done.stderr);
    let again = thalweg(&["confirm", "--admin", &admin]);
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("generation 2 was confirmed by 127.0.0.1"), "{}", again.stderr);
    stays("the config stays", Duration::from_secs(3), || serves(&edge) == "b");
    let calls: Vec<Value> = edge.events_of("audit").iter().map(|event| event["result"].clone()).collect();
    assert_eq!(calls, ["on_trial", "confirmed", "no_trial"]);
    assert_eq!(edge.events_of("config_trial_confirmed").len(), 1);
}

#[test]
fn a_config_that_the_watcher_brought_in_can_still_be_put_on_trial() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let mut edge = Edge::start(&to(&first));
    let text = edge.render(&to(&second));
    edge.replace(&text);
    eventually("the watcher is faster", SOON, || serves(&edge) == "b");
    let reply = edge.admin_post("/api/v1/reload", &json!({ "confirm": "1s" }).to_string());
    assert_eq!((reply.status, &reply.json()["result"]), (200, &json!("on_trial")), "{}", reply.text());
    eventually("the config is taken back", SOON, || serves(&edge) == "a");
    let reply = edge.admin_post("/api/v1/reload", &json!({ "confirm": "5s" }).to_string());
    assert_eq!((reply.status, &reply.json()["result"]), (200, &json!("on_trial")), "the files, on order");
    assert_eq!(confirm(&edge).status, 200);
    let reply = edge.admin_post("/api/v1/reload", &json!({ "confirm": "5s" }).to_string());
    assert_eq!(reply.json()["result"], "unchanged", "a confirmed config is not on trial: {}", reply.text());
}

#[test]
fn the_guard_takes_back_what_fails_or_refuses_at_once() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    second.behave(Behaviour::Status(500));
    let good = to(&first).raw("[eject]\nconsecutive_failures = 10000\nmin_requests = 100000\n");
    let bad = to(&second).raw("[eject]\nconsecutive_failures = 10000\nmin_requests = 100000\n");
    let mut edge = Edge::start(&good);
    let load = Load::to(edge.web()).rate(100.0).start();
    eventually("there is traffic", SOON, || edge.metric("thalweg_requests_total", &[]) > 20.0);
    let guard = json!({ "confirm": "60s", "guard": { "error_ratio": 0.05 } });
    assert_eq!(try_out(&mut edge, &bad, &guard).status, 200);
    eventually("the guard trips", SOON, || edge.events_of("config_trial_reverted").len() == 1);
    let told = edge.events_of("config_trial_reverted").remove(0);
    assert_eq!(told["cause"], "guard");
    assert!(told["detail"].as_str().is_some_and(|why| why.starts_with("all: ") && why.contains("failed")));
    assert_eq!(serves(&edge), "a");
    let text = edge.render(&good).replace("[route.all]", "[route.all]\nhosts = [\"other.test\"]");
    edge.replace(&text);
    assert_eq!(edge.admin_post("/api/v1/reload", &guard.to_string()).status, 200);
    eventually("the guard trips again", SOON, || edge.events_of("config_trial_reverted").len() == 2);
    let told = edge.events_of("config_trial_reverted").remove(1);
    let why = told["detail"].as_str().unwrap_or_default();
    assert!(why.starts_with("requests without a route: ") && why.contains("refused"), "{why}");
    eventually("the earlier config serves again", SOON, || serves(&edge) == "a");
    load.stop();
}

#[test]
fn the_guard_takes_back_what_is_slower_by_its_factor_and_leaves_what_is_not() {
    let (first, second, third) = (Endpoint::start("a"), Endpoint::start("b"), Endpoint::start("c"));
    first.behave(Behaviour::Slow(Duration::from_millis(20)));
    second.behave(Behaviour::Slow(Duration::from_millis(20)));
    third.behave(Behaviour::Slow(Duration::from_millis(1000)));
    let mut edge = Edge::start(&to(&first));
    let load = Load::to(edge.web()).rate(60.0).start();
    let answers = |edge: &Edge| edge.metric("thalweg_request_duration_seconds_count", &[]);
    eventually("there is enough traffic", SOON, || answers(&edge) > 150.0);
    // Ten times, because a loaded machine makes one endpoint slower than another by itself.
    let guard = json!({ "confirm": "60s", "guard": { "p99_factor": 10.0 } });
    assert_eq!(try_out(&mut edge, &to(&second), &guard).status, 200);
    assert_eq!(edge.metric("thalweg_config_on_trial", &[]), 1.0);
    let before = answers(&edge);
    eventually("the guard has looked at enough", SOON, || answers(&edge) > before + 150.0);
    assert_eq!(edge.events_of("config_trial_reverted").len(), 0, "as fast as before");
    assert_eq!(confirm(&edge).status, 200);
    assert_eq!(edge.metric("thalweg_config_on_trial", &[]), 0.0);
    assert_eq!(try_out(&mut edge, &to(&third), &guard).status, 200);
    eventually("the guard trips", SOON, || edge.events_of("config_trial_reverted").len() == 1);
    let told = edge.events_of("config_trial_reverted").remove(0);
    let why = told["detail"].as_str().unwrap_or_default();
    assert!(why.starts_with("all: 99 % within ") && why.ends_with("10 times that allowed"), "{why}");
    eventually("the old endpoint serves again", SOON, || serves(&edge) == "b");
    assert_eq!(edge.metric("thalweg_config_on_trial", &[]), 0.0);
    load.stop();
}

#[test]
fn a_rollback_ends_a_trial() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let mut edge = Edge::start(&to(&first));
    assert_eq!(try_out(&mut edge, &to(&second), &json!({ "confirm": "60s" })).status, 200);
    assert_eq!(rollback(&edge, &json!({})).status, 200);
    assert_eq!((serves(&edge).as_str(), &edge.status()["trial"]), ("a", &Value::Null));
    assert_eq!(edge.events_of("config_trial_reverted")[0]["cause"], "rollback");
    assert_eq!(confirm(&edge).status, 409);
}

#[test]
fn a_crash_during_a_trial_starts_with_the_last_confirmed_config() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let folder = Path::new("state");
    let mut edge = Edge::start(&kept_in(folder, &first));
    let reply = try_out(&mut edge, &kept_in(folder, &second), &json!({ "confirm": "10m" }));
    assert_eq!(reply.json()["trial"]["stored"], true, "{}", reply.text());
    assert_eq!(serves(&edge), "b");
    edge.restart();
    assert_eq!((edge.generation(), serves(&edge)), (3, "a".to_owned()), "{}", edge.stderr());
    let told = edge.events_of("config_trial_reverted").remove(0);
    assert_eq!((&told["generation"], &told["cause"]), (&json!(2), &json!("restart")), "{told}");
    assert_eq!(edge.status()["set_aside"]["because"], "revert");
    edge.restart();
    assert_eq!((edge.generation(), serves(&edge)), (3, "a".to_owned()), "and again");
    assert_eq!(edge.reload().status, 200);
    assert_eq!(serves(&edge), "b", "an order takes the files");
    edge.restart();
    assert_eq!((edge.generation(), serves(&edge)), (4, "b".to_owned()));
}

#[test]
fn bad_terms_are_refused_and_change_nothing() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let mut edge = Edge::start(&to(&first));
    for body in [
        json!({ "confirm": "soon" }),
        json!({ "confirm": "0s" }),
        json!({ "guard": { "error_ratio": 0.1 } }),
        json!({ "confirm": "60s", "guard": { "error_ratio": 7 } }),
        json!({ "confirmed": "60s" }),
    ] {
        let reply = edge.admin_post("/api/v1/reload", &body.to_string());
        assert_eq!((reply.status, &reply.json()["error"]), (422, &json!("invalid")), "{body}");
    }
    assert_eq!(edge.admin_post("/api/v1/reload", "nonsense").status, 422);
    let bad = edge.render(&to(&second)).replace("failover", "fastest");
    edge.replace(&bad);
    let reply = edge.admin_post("/api/v1/reload", &json!({ "confirm": "60s" }).to_string());
    assert_eq!(reply.status, 422, "a bad config is on no trial");
    assert!(reply.json()["errors"][0]["line"].is_u64());
    assert_eq!((edge.generation(), &edge.status()["trial"]), (1, &Value::Null));
    apply(&mut edge, &to(&second));
}
