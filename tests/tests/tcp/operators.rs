//! What an operator writes, sees and orders.

use thalweg_testkit::{Signal, thalweg};

use super::*;

/// An edge with two pools, and a stream to the first.
fn two() -> (Edge, Conf, TcpStream, SocketAddr) {
    let (first, second) = (echo("a"), echo("b"));
    let conf = Conf::new()
        .listener("web", TCP)
        .pool("p", &[first], "# no probe")
        .pool("q", &[second], "# no probe")
        .route("all", "failover", &["p", "q"], "")
        .edge("drain_timeout = \"1s\"");
    let edge = Edge::start(&conf);
    let mut stream = connect(&edge);
    assert_eq!(said(&mut stream, 1), "a");
    (edge, conf, stream, first)
}

fn is_echoed(stream: &mut TcpStream) -> bool {
    stream.write_all(b"ping").is_ok() && said(stream, 4) == "ping"
}

#[test]
fn a_drain_ends_streams_by_its_deadline_and_new_ones_go_elsewhere() {
    let (edge, _, mut stream, first) = two();
    let body = format!(r#"{{"endpoint":"p/{first}","deadline":"1s"}}"#);
    let reply = edge.admin_post("/api/v1/drain", &body);
    assert!(reply.status < 300, "{}", reply.text());
    eventually("new connections go elsewhere", SOON, || said(&mut connect(&edge), 1) == "b");
    assert_eq!(rest(&mut stream), b"", "the old one ends");
    let ended = eventually_some("it is logged", SOON, || {
        edge.access_log().into_iter().find(|line| line["pool"] == "p")
    });
    assert_eq!(ended["error"], Value::Null, "{ended}");
}

#[test]
fn a_drain_without_a_deadline_leaves_streams_alone() {
    let (edge, _, mut stream, first) = two();
    let reply = edge.admin_post("/api/v1/drain", &format!(r#"{{"endpoint":"p/{first}"}}"#));
    assert!(reply.status < 300, "{}", reply.text());
    eventually("new connections go elsewhere", SOON, || said(&mut connect(&edge), 1) == "b");
    assert!(is_echoed(&mut stream));
}

#[test]
fn the_end_of_the_edge_ends_streams_within_its_drain() {
    let (edge, _, mut stream, _) = two();
    edge.signal(Signal::TERM);
    assert_eq!(rest(&mut stream), b"");
    assert_eq!(edge.exit_code(SOON), 0);
}

#[test]
fn a_reload_keeps_streams() {
    let (mut edge, conf, mut stream, _) = two();
    let changed = conf.raw("[limits]\nheader_timeout = \"9s\"\n");
    let text = edge.render(&changed);
    let before = edge.generation();
    edge.replace(&text);
    assert_eq!(edge.reload().status, 200);
    eventually("it is in force", SOON, || edge.generation() > before);
    assert!(is_echoed(&mut stream));
    assert_eq!(said(&mut connect(&edge), 1), "a");
}

#[test]
fn status_explain_and_the_decision_record_know_streams() {
    let conf = Conf::new()
        .listener("web", "protocols = [\"tcp\"]\nhost = \"db.test\"")
        .pool("p", &[echo("a")], "# no probe")
        .route("db", "failover", &["p"], "hosts = [\"db.test\"]");
    let edge = Edge::start(&conf);
    let mut stream = connect(&edge);
    assert_eq!(said(&mut stream, 1), "a");
    drop(stream);
    let line = line(&edge);
    let listener = &edge.status()["listeners"][0];
    assert_eq!((&listener["tcp"], &listener["host"]), (&true.into(), &"db.test".into()), "{listener}");
    let explained = edge.explain("host=db.test&path=/").to_string();
    assert!(explained.contains(line["endpoint"].as_str().expect("an endpoint")), "{explained}");
    let id = line["request_id"].as_str().expect("an id");
    let record = edge.admin_get(&format!("/api/v1/requests/{id}"));
    assert_eq!(record.status, 200, "{}", record.text());
    assert_eq!(record.json()["attempts"][0]["outcome"], "ok", "{}", record.text());
    let why = thalweg(&["why", id, "--admin", &edge.admin_url()]);
    assert_eq!(why.code, 0, "{}", why.stderr);
}

#[test]
fn check_says_what_fits_no_tcp_listener() {
    let pool = [nothing()];
    let conf = |listener: &str, route: &str| {
        let conf = Conf::new().listener("web", listener).pool("p", &pool, "# no probe");
        conf.route("all", "failover", &["p"], route)
    };
    for (listener, route, code, expected) in [
        (TCP, "path_prefix = \"/api\"", 0, "every listener is \"tcp\""),
        ("protocols = [\"tcp\", \"http/1.1\"]", "", 2, "\"tcp\" is not HTTP"),
        ("host = \"a.test\"", "", 2, "a request names its host itself"),
        ("protocols = [\"tcp\"]\nhost = \"*.test\"", "", 2, "one host, not a pattern"),
        ("protocols = [\"tcp\"]\ntrusted = [\"10.0.0.0/8\"]", "", 2, "no fields that name a client"),
    ] {
        let scratch = thalweg_testkit::Scratch::new();
        let file = scratch.write("t.toml", conf(listener, route).text());
        let checked = thalweg(&["check", "--config", &file.display().to_string()]);
        let said = format!("{}{}", checked.stdout, checked.stderr);
        assert_eq!(checked.code, code, "{listener}: {said}");
        assert!(said.contains(expected), "{listener}: {said}");
    }
}
