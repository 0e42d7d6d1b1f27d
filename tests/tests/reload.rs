//! Reload: a changed config is in force at once, however it arrives; a bad one changes nothing; no connection is lost.

mod common;
#[path = "reload/storms.rs"]
mod storms;

use std::{fs, os::unix::fs::symlink, time::Duration};

use common::to;
use thalweg_testkit::{
    Client, Conf, Edge, Endpoint, Scratch, Signal, binary, eventually, get, stays, thalweg,
};

const SOON: Duration = Duration::from_secs(8);

fn two() -> (Endpoint, Endpoint, Edge) {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = Edge::start(&to(&first));
    assert_eq!((edge.generation(), get(edge.web(), "/").endpoint()), (1, "a"));
    (first, second, edge)
}

fn in_force(edge: &Edge, generation: u64, by: &str) {
    eventually(&format!("generation {generation}"), SOON, || edge.generation() == generation);
    assert_eq!(get(edge.web(), "/").endpoint(), by);
    assert_eq!(edge.metric("thalweg_config_last_reload_successful", &[]), 1.0);
}

#[test]
fn sighup_applies_a_changed_file() {
    let (_first, second, mut edge) = two();
    let text = edge.render(&to(&second));
    fs::write(edge.config(), text).expect("written");
    edge.signal(Signal::HUP);
    in_force(&edge, 2, "b");
}

#[test]
fn a_post_applies_a_changed_file_and_says_the_generation() {
    let (first, second, mut edge) = two();
    let text = edge.render(&to(&second));
    edge.replace(&text);
    let reply = edge.reload();
    assert_eq!((reply.status, reply.json()["generation"].as_u64()), (200, Some(2)), "{}", reply.text());
    in_force(&edge, 2, "b");
    let text = edge.render(&to(&first));
    edge.replace(&text);
    assert_eq!(thalweg(&["reload", "--admin", &edge.admin_url()]).code, 0);
    in_force(&edge, 3, "a");
}

#[test]
fn a_file_change_is_noticed_however_it_is_made() {
    let (first, second, mut edge) = two();
    let (to_first, to_second) = (edge.render(&to(&first)), edge.render(&to(&second)));
    edge.replace(&to_second);
    in_force(&edge, 2, "b");
    fs::write(edge.config(), &to_first).expect("truncated and written");
    in_force(&edge, 3, "a");
    fs::remove_file(edge.config()).expect("deleted");
    stays("a missing file changes nothing", Duration::from_millis(500), || {
        get(edge.web(), "/").endpoint() == "a"
    });
    fs::write(edge.config(), &to_second).expect("recreated");
    in_force(&edge, 4, "b");
    let backup = edge.scratch().join("backup");
    fs::rename(edge.config(), &backup).expect("moved away");
    fs::write(edge.config(), &to_first).expect("recreated under the old name");
    in_force(&edge, 5, "a");
}

#[test]
fn a_projected_volume_is_followed_through_its_symlinks() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let scratch = Scratch::new();
    let version = |nth: u32, text: &str| scratch.write(format!("..v{nth}/thalweg.toml"), text);
    version(1, "");
    symlink("..v1", scratch.join("..data")).expect("a link");
    symlink("..data/thalweg.toml", scratch.join("thalweg.toml")).expect("a link");
    let root = scratch.path().to_owned();
    let mut edge = Edge::spawn(&to(&first), scratch, binary()).expect("the edge starts");
    eventually("ready", SOON, || edge.ready() == 200);
    for nth in 2..5_u32 {
        let (target, by) = if nth % 2 == 0 { (&second, "b") } else { (&first, "a") };
        let text = edge.render(&to(target));
        fs::create_dir(root.join(format!("..v{nth}"))).expect("a directory");
        fs::write(root.join(format!("..v{nth}/thalweg.toml")), text).expect("written");
        symlink(format!("..v{nth}"), root.join("..data_tmp")).expect("a link");
        fs::rename(root.join("..data_tmp"), root.join("..data")).expect("swapped");
        fs::remove_dir_all(root.join(format!("..v{}", nth - 1))).expect("the old version goes");
        in_force(&edge, u64::from(nth), by);
    }
}

#[test]
fn an_included_file_counts_as_the_config() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let pool =
        |endpoint: &Endpoint| format!("[pool.p]\nendpoints = [{{ address = \"{}\" }}]\n", endpoint.addr());
    let conf = Conf::new()
        .listener("web", "")
        .route("all", "failover", &["p"], "")
        .file("conf.d/pool.toml", pool(&first));
    let scratch = Scratch::new();
    let ports = [
        ("web".to_owned(), thalweg_testkit::free_port()),
        ("admin".to_owned(), thalweg_testkit::free_port()),
    ];
    let text = format!("include = [\"conf.d/*.toml\"]\n{}", conf.render(&ports.clone().into()));
    let checked = scratch.write("check.toml", &text);
    scratch.write("conf.d/pool.toml", pool(&first));
    assert_eq!(thalweg(&["check", "--config", &checked.display().to_string()]).code, 0);
    let mut edge = Edge::start(&to(&first));
    let text = format!("include = [\"conf.d/*.toml\"]\n{}", edge.render(&conf));
    edge.replace(&text);
    in_force(&edge, 2, "a");
    edge.scratch().write("conf.d/pool.toml", pool(&second));
    in_force(&edge, 3, "b");
}

#[test]
fn a_changed_token_file_is_in_force_without_a_reload() {
    let endpoint = Endpoint::start("a");
    let conf = to(&endpoint).admin("token_file = \"secrets/token\"").file("secrets/token", "old\n");
    let edge = Edge::start(&conf);
    let order = |token: &str| {
        let bearer = format!("authorization: Bearer {token}\r\n");
        edge.admin_post_with("/api/v1/failback", "{}", &bearer).status
    };
    assert_ne!(order("old"), 401);
    edge.scratch().write("secrets/token", "new\n");
    eventually("the old one is no good", SOON, || order("old") == 401);
    assert_ne!(order("new"), 401);
}

#[test]
fn the_first_file_in_an_empty_folder_of_includes_is_noticed() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let mut edge = Edge::start(&to(&first));
    fs::create_dir(edge.scratch().join("conf.d")).expect("a directory");
    let text = format!("include = [\"conf.d/*.toml\"]\n{}", edge.render(&to(&first)));
    edge.replace(&text);
    in_force(&edge, 2, "a");
    let more = format!("[pool.q]\nendpoints = [{{ address = \"{}\" }}]\n", second.addr());
    edge.scratch().write("conf.d/more.toml", &more);
    in_force(&edge, 3, "a");
}

#[test]
fn a_bad_file_changes_nothing_but_gauge_counter_and_log() {
    let (first, second, mut edge) = two();
    let good = edge.render(&to(&second));
    let before = edge.metric("thalweg_config_reloads_total", &[]);
    edge.replace(&good.replace("policy = \"failover\"", "policy = \"fastest\""));
    eventually("the gauge falls", SOON, || edge.metric("thalweg_config_last_reload_successful", &[]) == 0.0);
    assert!(edge.metric("thalweg_config_reloads_total", &[]) > before);
    assert_eq!((edge.generation(), edge.ready(), get(edge.web(), "/").endpoint()), (1, 200, "a"));
    let reply = edge.reload();
    assert_eq!(reply.status, 422);
    let error = &reply.json()["errors"][0];
    assert_eq!(error["path"], "route.all.policy", "{error}");
    for key in ["file", "line", "column", "problem"] {
        assert!(!error[key].is_null(), "no {key} in {error}");
    }
    assert!(edge.stderr().contains("fastest"), "the log names the problem");
    assert!(edge.status().to_string().contains("route.all.policy"), "the status keeps the errors");
    let text = edge.render(&to(&first));
    edge.replace(&text);
    eventually("an unchanged config is a success", SOON, || {
        edge.metric("thalweg_config_last_reload_successful", &[]) == 1.0
    });
    assert_eq!(edge.generation(), 1);
    edge.replace(&good);
    in_force(&edge, 2, "b");
}

#[test]
fn an_unchanged_config_is_a_success_and_no_new_generation() {
    let (_first, _second, edge) = two();
    let revision = edge.status()["generation"].clone();
    for _ in 0..5 {
        let reply = edge.reload();
        assert_eq!((reply.status, reply.json()["generation"].as_u64()), (200, Some(1)));
    }
    assert_eq!(edge.status()["generation"], revision);
    assert_eq!(edge.metric("thalweg_config_last_reload_successful", &[]), 1.0);
    assert!(edge.metric("thalweg_config_last_reload_success_timestamp_seconds", &[]) > 1.7e9);
}

#[test]
fn listeners_are_bound_and_unbound_by_difference() {
    let (first, _second, mut edge) = two();
    let mut kept = Client::connect(edge.web());
    kept.get("/");
    let text = edge.render(&to(&first).listener("more", ""));
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    eventually("the new listener answers", SOON, || Client::try_connect(edge.addr("more")).is_ok());
    assert_eq!(get(edge.addr("more"), "/").endpoint(), "a");
    assert_eq!(kept.get("/").endpoint(), "a", "the old listener is not disturbed");
    let mut leaving = Client::connect(edge.addr("more"));
    leaving.get("/");
    let text = edge.render(&to(&first));
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    eventually("the listener is gone", SOON, || Client::try_connect(edge.addr("more")).is_err());
    assert_eq!(kept.get("/").endpoint(), "a");
}

#[test]
fn a_pipe_among_the_files_rejects_the_reload_and_holds_up_no_later_one() {
    let (first, second, mut edge) = two();
    let (mode, pipe) = (rustix::fs::Mode::RUSR, rustix::fs::FileType::Fifo);
    rustix::fs::mknodat(rustix::fs::CWD, edge.scratch().join("token"), pipe, mode, 0).expect("a pipe");
    let text = edge.render(&to(&second)).replace("[admin]", "[admin]\ntoken_file = \"token\"");
    edge.replace(&text);
    let done = thalweg(&["check", "--config", &edge.config().display().to_string()]);
    assert!(done.code == 2 && done.stderr.contains("admin.token_file: "), "{}", done.stderr);
    assert_eq!(edge.reload().status, 422);
    let text = edge.render(&to(&second));
    edge.replace(&text);
    in_force(&edge, 2, "b");
    drop(first);
}

#[test]
fn a_listener_whose_port_is_taken_rejects_the_reload() {
    let (first, second, mut edge) = two();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let more =
        format!("[[listener]]\nname = \"more\"\nbind = \"{}\"\n", taken.local_addr().expect("an address"));
    let text = edge.render(&to(&second).raw(&more));
    edge.replace(&text);
    assert_eq!(edge.reload().status, 422);
    assert_eq!((edge.generation(), get(edge.web(), "/").endpoint()), (1, "a"));
    drop((first, taken));
}

#[test]
fn a_taken_address_is_reported_once_and_retried_until_it_is_free() {
    told_once(|_web| ("127.0.0.1".to_owned(), "127.0.0.1:0".to_owned()));
    // The edge's own listener hides the foreign one until all sockets are bound.
    told_once(|web| ("0.0.0.0".to_owned(), format!("127.0.0.2:{web}")));
}

/// From the port of the first listener: the address of the second one, and the address that the test holds.
fn told_once(scene: impl Fn(u16) -> (String, String)) {
    let (first, second, mut edge) = two();
    let (ip, other) = scene(edge.port("web"));
    let taken = std::net::TcpListener::bind(other).expect("an address");
    let addr = taken.local_addr().expect("an address");
    let more = format!("[[listener]]\nname = \"more\"\nbind = \"{ip}:{}\"\n", addr.port());
    let text = edge.render(&to(&second).raw(&more));
    let told = || {
        let counted = edge.metric("thalweg_config_reloads_total", &[("result", "rejected")]);
        (counted, edge.events_of("config_rejected").len(), edge.stderr().matches("reload rejected").count())
    };
    edge.replace(&text);
    eventually("the rejection is reported", SOON, || told() == (1.0, 1, 1));
    stays("no second report for the same file", Duration::from_millis(1_500), || {
        edge.replace(&text);
        told() == (1.0, 1, 1)
    });
    assert_eq!(edge.reload().status, 422, "the caller gets the error");
    assert_eq!(told(), (2.0, 2, 2));
    drop(taken);
    in_force(&edge, 2, "b");
    assert_eq!((get(addr, "/").endpoint(), told().0), ("b", 2.0));
    drop(first);
}

#[test]
fn a_request_in_flight_ends_under_the_config_it_began_with() {
    let (first, second, mut edge) = two();
    first.behave(thalweg_testkit::Behaviour::Slow(Duration::from_millis(700)));
    let addr = edge.web();
    let asked = std::thread::spawn(move || get(addr, "/"));
    eventually("the request is under way", SOON, || first.hits() == 1);
    let text = edge.render(&to(&second));
    edge.replace(&text);
    in_force(&edge, 2, "b");
    assert_eq!(asked.join().expect("an answer").endpoint(), "a");
}

#[test]
fn keys_that_wait_for_a_restart_are_named() {
    let (first, second, mut edge) = two();
    let text = edge.render(&to(&second).edge("workers = 1"));
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    in_force(&edge, 2, "b");
    let named = edge.status()["restart_required"].to_string();
    assert!(named.contains("workers"), "{named}");
    let admin = edge.port("admin").to_string();
    let text = edge.render(&to(&first)).replace(&admin, &thalweg_testkit::free_port().to_string());
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    let named = edge.status()["restart_required"].to_string();
    assert!(named.contains("admin.bind") || named.contains("bind"), "{named}");
    let text = edge.render(&to(&first));
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    assert!(
        ["[]", "null"].contains(&edge.status()["restart_required"].to_string().as_str()),
        "{}",
        edge.status()
    );
}

#[test]
fn knowledge_of_health_survives_a_reload() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf = |weight: u32| {
        Conf::new()
            .listener("web", "")
            .pool("p0", &[first.addr()], "")
            .pool("p1", &[second.addr()], "")
            .route("all", "failover", &[&format!("p0, weight = {weight}"), "p1"], "")
    };
    let mut edge = Edge::start(&conf(1));
    edge.until_up(2);
    first.health(thalweg_testkit::Health::status(503));
    eventually("the endpoint is down", SOON, || !edge.is_up(first.addr()));
    let text = edge.render(&conf(5));
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    for _ in 0..20 {
        assert_eq!(get(edge.web(), "/").endpoint(), "b", "a weight must not erase what is known");
    }
    assert!(edge.is_up(second.addr()) && !edge.is_up(first.addr()));
}

#[test]
fn series_of_a_removed_listener_or_pool_end_with_its_last_connection() {
    let (a, b, c) = (Endpoint::start("a"), Endpoint::start("b"), Endpoint::start("c"));
    let conf = |listener: &str, other: (&str, &Endpoint)| {
        Conf::new()
            .listener("web", "")
            .listener(listener, "")
            .pool("a", &[a.addr()], "")
            .pool(other.0, &[other.1.addr()], "")
            .route("all", "failover", &["a", other.0], "hosts = [\"a.test\"]")
    };
    let mut edge = Edge::start(&conf("first", ("b", &b)));
    edge.until_up(2);
    let named = |edge: &Edge, name: &str| {
        let page = edge.metrics();
        page.samples.iter().filter(|sample| sample.labels.values().any(|value| value == name)).count()
    };
    let mut client = Client::connect(edge.addr("first"));
    client.send("POST /upload HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\n\r\n12");
    let mut lost = Client::connect(edge.addr("first"));
    assert_eq!(lost.get("/").status, 404);
    drop(lost);
    let open = |edge: &Edge| edge.metric("thalweg_connections", &[("listener", "first")]);
    eventually("one is under way", SOON, || open(&edge) == 1.0);
    let text = edge.render(&conf("second", ("c", &c)));
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    eventually("the new one serves", SOON, || Client::try_connect(edge.addr("second")).is_ok());
    eventually("pool b is gone", SOON, || named(&edge, "b") == 0);
    assert_eq!(open(&edge), 1.0, "the old listener's connection is still counted");
    client.send("345");
    assert_eq!(client.reply("POST").expect("an answer").status, 200);
    eventually("the first listener is gone", SOON, || named(&edge, "first") == 0);
    let mut client = Client::connect(edge.addr("second"));
    assert_eq!(client.get("/").status, 404);
    // The listener returns and is counted like any other.
    let text = edge.render(&conf("first", ("b", &b)));
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    eventually("the listener is back", SOON, || Client::try_connect(edge.addr("first")).is_ok());
    let mut client = Client::connect(edge.addr("first"));
    assert_eq!(client.get("/").status, 404);
    let labels = [("listener", "first"), ("route", "-")];
    eventually("the request counts", SOON, || edge.metric("thalweg_requests_total", &labels) == 1.0);
    eventually("the connection counts", SOON, || open(&edge) == 1.0);
    eventually("the series of the other listener and pool are gone", SOON, || {
        (named(&edge, "second"), named(&edge, "c")) == (0, 0)
    });
}
