//! Configs that were in force: kept, listed, brought back; what the watcher and a restart do after a rollback.

mod common;
#[path = "history/trials.rs"]
mod trials;

use std::{fs, path::Path, time::Duration};

use common::to;
use serde_json::{Value, json};
use thalweg_testkit::{Conf, Edge, Endpoint, Reply, Scratch, eventually, get, stays, thalweg};

const SOON: Duration = Duration::from_secs(10);

/// A config that sends everything to this endpoint, with what is kept in this folder.
fn kept_in(folder: &Path, endpoint: &Endpoint) -> Conf {
    to(endpoint).edge(&format!("state_dir = \"{}\"", folder.display()))
}

fn apply(edge: &mut Edge, conf: &Conf) {
    let text = edge.render(conf);
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
}

fn rollback(edge: &Edge, body: &Value) -> Reply {
    edge.admin_post("/api/v1/rollback", &body.to_string())
}

fn history(edge: &Edge) -> Vec<Value> {
    edge.admin_get("/api/v1/history").json().as_array().cloned().expect("a list")
}

fn serves(edge: &Edge) -> String {
    get(edge.web(), "/").endpoint().to_owned()
}

#[test]
fn a_rollback_brings_back_an_earlier_config_as_a_generation_of_its_own() {
    let (first, second, third) = (Endpoint::start("a"), Endpoint::start("b"), Endpoint::start("c"));
    let mut edge = Edge::start(&to(&first));
    assert_eq!(rollback(&edge, &json!({})).status, 409, "there is no earlier config");
    apply(&mut edge, &to(&second));
    apply(&mut edge, &to(&third));
    assert_eq!((edge.generation(), serves(&edge)), (3, "c".to_owned()));
    let reply = rollback(&edge, &json!({ "reason": "c is slow" }));
    assert_eq!((reply.status, &reply.json()["generation"]), (200, &json!(4)), "{}", reply.text());
    assert_eq!(serves(&edge), "b");
    let done = thalweg(&["rollback", "--admin", &edge.admin_url()]);
    assert_eq!((done.code, done.stdout.as_str()), (0, "applied: generation 5\n"), "{}", done.stderr);
    assert_eq!(serves(&edge), "a", "the next one goes further back");
    assert_eq!(rollback(&edge, &json!({})).status, 409);
    let reply = rollback(&edge, &json!({ "generation": 3 }));
    assert_eq!(
        (reply.status, serves(&edge)),
        (200, "c".to_owned()),
        "the later one comes back by its number"
    );
    let again = rollback(&edge, &json!({ "generation": 3 })).json();
    assert_eq!((&again["result"], &again["generation"]), (&json!("unchanged"), &json!(6)));
    let missing = rollback(&edge, &json!({ "generation": 99 }));
    assert_eq!((missing.status, &missing.json()["error"]), (404, &json!("not_kept")));
    assert_eq!(rollback(&edge, &json!({ "generation": "x" })).status, 422);
    let all = history(&edge);
    let shown: Vec<_> = all.iter().map(|one| (&one["generation"], &one["repeats"], &one["state"])).collect();
    assert_eq!(shown[3], (&json!(4), &json!(2), &json!("kept")));
    assert_eq!(shown[5], (&json!(6), &json!(3), &json!("in_force")));
    assert_eq!((&all[3]["cause"], &all[3]["why"]), (&json!("rollback"), &json!("c is slow")));
    let told = edge.events_of("config_rolled_back");
    assert_eq!((told.len(), &told[0]["to"], &told[0]["why"]), (3, &json!(2), &json!("c is slow")));
    assert_eq!(edge.events_of("audit").iter().filter(|event| event["call"] == "rollback").count(), 7);
    let human = thalweg(&["history", "--admin", &edge.admin_url()]);
    assert!(human.stdout.contains("rollback of 2") && human.stdout.contains("c is slow"), "{}", human.stdout);
}

#[test]
fn after_a_rollback_the_files_wait_until_they_change() {
    let (first, second, third) = (Endpoint::start("a"), Endpoint::start("b"), Endpoint::start("c"));
    let mut edge = Edge::start(&to(&first));
    apply(&mut edge, &to(&second));
    assert_eq!(edge.status()["set_aside"], Value::Null);
    assert_eq!(rollback(&edge, &json!({})).status, 200);
    let aside = edge.status()["set_aside"].clone();
    assert_eq!(aside["because"], "rollback", "{aside}");
    let human = thalweg(&["status", "--admin", &edge.admin_url()]);
    assert!(human.stdout.contains("the config files differ from what runs"), "{}", human.stdout);
    // A touch is no change.
    let text = fs::read_to_string(edge.config()).expect("the file");
    edge.replace(&text);
    stays("the rollback stands", Duration::from_millis(2500), || serves(&edge) == "a");
    let text = edge.render(&to(&third));
    edge.replace(&text);
    eventually("a changed file counts", SOON, || serves(&edge) == "c");
    assert_eq!((edge.generation(), &edge.status()["set_aside"]), (4, &Value::Null));
    assert_eq!(rollback(&edge, &json!({})).status, 200);
    assert_eq!(serves(&edge), "b");
    assert_eq!(edge.reload().status, 200);
    assert_eq!(serves(&edge), "c", "an order to reload takes the files");
    assert_eq!(rollback(&edge, &json!({ "generation": 2 })).status, 200);
    let text = edge.render(&to(&second));
    edge.replace(&text);
    eventually("files that say what runs are not set aside", SOON, || edge.status()["set_aside"].is_null());
    assert_eq!((edge.generation(), serves(&edge)), (7, "b".to_owned()));
}

#[test]
fn a_rollback_uses_the_certificates_and_tokens_of_today() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let with_token =
        |endpoint: &Endpoint| to(endpoint).admin("token_file = \"t\"").file("t", "ada write old\n");
    let mut edge = Edge::start(&with_token(&first));
    let call = |edge: &Edge, path: &str, token: &str| {
        edge.admin_post_with(path, "{}", &format!("authorization: Bearer {token}\r\n")).status
    };
    let text = edge.render(&with_token(&second));
    edge.replace(&text);
    eventually("the second serves", SOON, || serves(&edge) == "b");
    assert_eq!(call(&edge, "/api/v1/rollback", "old"), 200);
    assert_eq!(serves(&edge), "a");
    edge.scratch().write("t", "ada write new\n");
    eventually("the new token counts", SOON, || call(&edge, "/api/v1/confirm", "new") == 409);
    assert_eq!((serves(&edge).as_str(), call(&edge, "/api/v1/confirm", "old")), ("a", 401));
    assert!(!edge.status()["set_aside"].is_null(), "the files still wait");
    fs::remove_file(edge.scratch().join("t")).expect("the file exists");
    let gone =
        edge.admin_post_with("/api/v1/rollback", "{\"generation\": 2}", "authorization: Bearer new\r\n");
    assert_eq!(gone.status, 422, "{}", gone.text());
    assert!(gone.json()["errors"][0]["problem"].as_str().is_some_and(|why| why.contains("does not exist")));
    assert_eq!(serves(&edge), "a");
}

#[test]
fn included_files_come_back_whole() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let pool =
        |endpoint: &Endpoint| format!("[pool.p]\nendpoints = [{{ address = \"{}\" }}]\n", endpoint.addr());
    let conf = Conf::new()
        .listener("web", "")
        .route("all", "failover", &["p"], "")
        .file("conf.d/pool.toml", pool(&first));
    let mut edge = Edge::start(&to(&first));
    let text = format!("include = [\"conf.d/*.toml\"]\n{}", edge.render(&conf));
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    edge.scratch().write("conf.d/pool.toml", pool(&second));
    eventually("the second serves", SOON, || serves(&edge) == "b");
    edge.scratch().write("conf.d/more.toml", "[pool.q]\nendpoints = [{ address = \"127.0.0.1:9\" }]\n");
    eventually("another file", SOON, || edge.status()["pools"].as_array().is_some_and(|all| all.len() == 2));
    assert_eq!(rollback(&edge, &json!({ "generation": 2 })).status, 200);
    assert_eq!(serves(&edge), "a");
    assert_eq!(edge.status()["pools"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_was_rolled_back_stays_so_across_a_restart() {
    let (first, second, third) = (Endpoint::start("a"), Endpoint::start("b"), Endpoint::start("c"));
    let folder = Path::new("state");
    let mut edge = Edge::start(&kept_in(folder, &first));
    apply(&mut edge, &kept_in(folder, &second));
    assert_eq!(rollback(&edge, &json!({})).status, 200);
    let before = history(&edge);
    edge.restart();
    assert_eq!((edge.generation(), serves(&edge)), (3, "a".to_owned()), "{}", edge.stderr());
    assert_eq!(edge.status()["set_aside"]["because"], "rollback");
    assert_eq!(history(&edge), before);
    let text = edge.render(&kept_in(folder, &third));
    edge.replace(&text);
    edge.restart();
    assert_eq!((edge.generation(), serves(&edge)), (4, "c".to_owned()), "changed files count");
    assert_eq!(rollback(&edge, &json!({ "generation": 2 })).status, 200);
    assert_eq!(serves(&edge), "b", "a config that an earlier process kept comes back");
}

#[test]
fn twenty_configs_are_kept_and_a_folder_that_cannot_be_written_costs_only_the_keeping() {
    let first = Endpoint::start("a");
    let state = Scratch::new();
    let nth = |nth: usize| kept_in(&state.join("s"), &first).raw(&format!("# {nth}"));
    let mut edge = Edge::start(&nth(0));
    for count in 1..25 {
        apply(&mut edge, &nth(count));
    }
    let all = history(&edge);
    assert_eq!((all.len(), &all[0]["generation"], &all[19]["generation"]), (20, &json!(6), &json!(25)));
    assert!(all.iter().all(|one| one["stored"] == true), "{all:?}");
    let files = fs::read_dir(state.join("s/configs")).expect("a folder").count();
    assert_eq!(files, 20);
    let taken = state.write("taken", "a file");
    apply(&mut edge, &kept_in(&taken, &first));
    assert_eq!((edge.generation(), serves(&edge)), (26, "a".to_owned()));
    assert!(edge.status()["history_error"].is_string());
    assert_eq!(edge.events_of("history_not_stored").len(), 1);
    assert!(edge.stderr().contains("configs cannot be stored"), "{}", edge.stderr());
    assert_eq!(rollback(&edge, &json!({})).status, 200, "from memory");
}
