//! `thalweg status` as a gate in roll-outs: its conditions, its messages, and how long it waits.

use std::{thread, time::Duration};

use serde_json::Value;
use thalweg_testkit::{Conf, Dns, Edge, Endpoint, Finished, Records, eventually, free_port, thalweg};

const SOON: Duration = Duration::from_secs(10);

fn status(edge: &Edge, more: &[&str]) -> Finished {
    thalweg(&[&["status", "--admin", &edge.admin_url()], more].concat())
}

/// Exit code 1, and the reason as the one line on stderr.
fn closed(done: &Finished) -> &str {
    assert_eq!(done.code, 1, "{}{}", done.stdout, done.stderr);
    assert_eq!(done.stderr.trim().lines().count(), 1, "{}", done.stderr);
    done.stderr.trim()
}

#[test]
fn a_pool_without_an_available_endpoint_closes_the_gate_with_its_reason() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = Edge::start(&Conf::simple("failover", &[first.addr(), second.addr()]));
    edge.until_up(2);
    assert_eq!(status(&edge, &["--healthy"]).code, 0);
    second.die();
    edge.until_up(1);
    let reason = closed(&status(&edge, &["--healthy"])).to_owned();
    assert!(reason.contains("pool p1 has no available endpoint"), "{reason}");
    assert!(reason.contains(&second.addr().to_string()) && reason.contains("refused"), "{reason}");
    assert_eq!(status(&edge, &[]).code, 0, "without a demand, status only shows");
}

#[test]
fn the_gate_waits_until_what_is_demanded_holds() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = Edge::start(&Conf::simple("failover", &[first.addr(), second.addr()]));
    edge.until_up(2);
    second.die();
    edge.until_up(1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| status(&edge, &["--healthy", "--wait", "60s"]));
        second.revive();
        let done = waiting.join().expect("no panic");
        assert_eq!(done.code, 0, "{}", done.stderr);
    });
    first.die();
    edge.until_up(1);
    assert!(closed(&status(&edge, &["--healthy", "--wait", "1s"])).contains("pool p0"));
}

#[test]
fn only_the_expected_config_opens_the_gate() {
    let endpoint = Endpoint::start("a");
    let mut edge = Edge::start(&Conf::simple("failover", &[endpoint.addr()]));
    edge.until_up(1);
    let hash = |edge: &Edge| {
        let path = edge.config().display().to_string();
        let checked = thalweg(&["check", "--config", &path, "--format", "json"]);
        let said: Value = serde_json::from_str(&checked.stdout).expect("JSON");
        said["config_hash"].as_str().expect("a hash").to_owned()
    };
    let first = hash(&edge);
    assert_eq!(status(&edge, &["--expect-config", &first, "--healthy"]).code, 0);
    let text = edge.render(&Conf::simple("weighted", &[endpoint.addr()]));
    edge.replace(&text);
    let second = hash(&edge);
    assert_ne!(first, second);
    let done = status(&edge, &["--expect-config", &second, "--wait", "30s"]);
    assert_eq!(done.code, 0, "the watcher adopts the file while the gate waits: {}", done.stderr);
    edge.replace("version = 1\nnonsense = true\n");
    eventually("the rejection is known", SOON, || {
        status(&edge, &["--format", "json"]).stdout.contains("\"rejected\"")
    });
    let reason = closed(&status(&edge, &["--expect-config", "0000"])).to_owned();
    assert!(reason.contains(&second) && reason.contains("the last reload was rejected"), "{reason}");
}

#[test]
fn a_gate_that_cannot_ask_or_understand_says_so_at_once_or_in_time() {
    let admin = format!("http://127.0.0.1:{}", free_port());
    let nobody = thalweg(&["status", "--admin", &admin, "--healthy", "--wait", "1s"]);
    assert!(closed(&nobody).contains("cannot reach"), "{}", nobody.stderr);
    for wait in ["0s", "180", "fast", "25h"] {
        let wrong = thalweg(&["status", "--admin", &admin, "--wait", wait]);
        assert_eq!(wrong.code, 2, "{wait}: {}", wrong.stderr);
    }
}

#[test]
fn a_name_without_an_address_is_a_row_with_its_reason() {
    let dns = Dns::start();
    dns.set("here.test", Records::Addresses(vec!["127.0.0.1".parse().expect("an address")], 60));
    let endpoint = Endpoint::start("a");
    let conf = Conf::new()
        .listener("web", "")
        .raw(&format!("[resolver]\nnameservers = [\"{}\"]\n", dns.addr()))
        .raw(&format!(
            "[pool.p]\nendpoints = [{{ address = \"here.test:{}\" }}, {{ address = \"gone.test:80\" }}]\n",
            endpoint.addr().port()
        ))
        .route("all", "failover", &["p"], "");
    let edge = Edge::start(&conf);
    edge.until_up(1);
    let shown = status(&edge, &[]);
    let row = shown.stdout.lines().find(|line| line.contains("gone.test:80"));
    let row = row.unwrap_or_else(|| panic!("no row: {}", shown.stdout));
    assert!(row.contains("down") && row.contains("unresolved"), "{row}");
    assert_eq!(status(&edge, &["--healthy"]).code, 0, "the pool has an available endpoint");
}
