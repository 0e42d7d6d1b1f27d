//! The command line: what each command prints, and what its exit code says.

mod common;

use std::{net::TcpListener, time::Duration};

use serde_json::Value;
use thalweg_testkit::{Client, Conf, Edge, Endpoint, Scratch, binary, thalweg, thalweg_with};

/// A valid config whose endpoint does not exist.
fn fine() -> Conf {
    Conf::simple("failover", &["127.0.0.1:9".parse().expect("an address")])
}

fn written(text: &str) -> (Scratch, String) {
    let scratch = Scratch::new();
    let path = scratch.write("t.toml", text).display().to_string();
    (scratch, path)
}

#[test]
fn check_exits_0_for_a_good_config_and_starts_nothing() {
    let (_scratch, path) = written(&fine().text());
    for format in ["human", "json"] {
        let done = thalweg(&["check", "--config", &path, "--format", format]);
        assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    }
}

#[test]
fn check_exits_2_and_places_every_error() {
    let text = fine().text().replace("policy = \"failover\"", "policy = \"fastest\"") + "\n[limit]\nx = 1\n";
    let (_scratch, path) = written(&text);
    let done = thalweg(&["check", "--config", &path]);
    assert_eq!(done.code, 2);
    let all = format!("{}{}", done.stdout, done.stderr);
    let place = |needle: &str| {
        let line = text.lines().position(|line| line.contains(needle)).expect("the line is there") + 1;
        format!("t.toml:{line}:")
    };
    assert!(all.contains(&place("policy = \"fastest\"")), "no place of the bad policy in {all}");
    assert!(all.contains(&place("[limit]")), "no place of the unknown key in {all}");
    assert!(all.contains("limits"), "no hint at the right spelling in {all}");
}

#[test]
fn check_prints_warnings_beside_errors() {
    let conf = Conf::simple_with(
        "failover",
        &["127.0.0.1:9".parse().expect("an address")],
        "affinity = { mode = \"client-ip\", on_failure = \"stick\" }",
    );
    let told = |text: &str| {
        let (_scratch, path) = written(text);
        let done = thalweg(&["check", "--config", &path, "--format", "json"]);
        let json: Value = serde_json::from_str(&done.stdout).expect("JSON");
        let count = |of: &str| json[of].as_array().map_or(0, Vec::len);
        let human = thalweg(&["check", "--config", &path]);
        let lines = human.stderr.lines().filter(|line| line.ends_with("[warning]")).count();
        assert_eq!((human.code, lines), (done.code, count("warnings")), "{}", human.stderr);
        (done.code, count("errors"), json["warnings"].clone())
    };
    let (code, errors, warnings) = told(&conf.text());
    assert_eq!((code, errors), (0, 0));
    assert!(!warnings.as_array().expect("a list").is_empty(), "this key warns");
    let bad = conf.text().replace("policy = \"failover\"", "policy = \"fastest\"");
    let (code, errors, beside) = told(&bad);
    assert_eq!((code, errors), (2, 1));
    let problems = |of: &Value| -> Vec<Value> {
        of.as_array().into_iter().flatten().map(|warning| warning["problem"].clone()).collect()
    };
    assert_eq!(problems(&beside), problems(&warnings));
}

#[test]
fn check_speaks_json() {
    let (_scratch, path) = written(&fine().text().replace("interval = \"100ms\"", "interval = \"fast\""));
    let done = thalweg(&["check", "--config", &path, "--format", "json"]);
    assert_eq!(done.code, 2);
    let json: Value =
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", done.stdout));
    let error = &json["errors"][0];
    for key in ["file", "line", "column", "path", "problem", "hint"] {
        assert!(error.get(key).is_some(), "no {key} in {json}");
    }
    assert_eq!(error["path"], "probe.fast.interval");
    assert!(error["line"].as_u64() > Some(0) && error["column"].as_u64() > Some(0), "{error}");
}

#[test]
fn check_and_explain_read_a_config_from_a_pipe() {
    let (scratch, pipe) = (Scratch::new(), "pipe");
    let (mode, kind) = (rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR, rustix::fs::FileType::Fifo);
    rustix::fs::mknodat(rustix::fs::CWD, scratch.join(pipe), kind, mode, 0).expect("a pipe");
    let path = scratch.join(pipe).display().to_string();
    for args in [&["check"][..], &["explain", "--host", "a.test", "--path", "/"]] {
        let (text, into) = (fine().text(), scratch.join(pipe));
        let writer = std::thread::spawn(move || std::fs::write(into, text));
        let done = thalweg(&[args, &["--config", &path]].concat());
        assert_eq!(done.code, 0, "{args:?}: {}", done.stderr);
        writer.join().expect("a writer").expect("the pipe is read to its end");
    }
}

#[test]
fn a_missing_or_unreadable_file_exits_2() {
    for args in [["check", "--config", "/nonexistent/t.toml"], ["run", "--config", "/nonexistent/t.toml"]] {
        let done = thalweg(&args);
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{}", done.stderr);
        assert!(done.stderr.contains("/nonexistent/t.toml"), "{}", done.stderr);
    }
    let tls = "protocols = [\"h2\", \"http/1.1\"]\n[listener.tls]\ncertificates = [{ cert = \"no.crt\", key = \"no.key\" }]";
    let (_scratch, path) = written(&fine().listener("secure", tls).text());
    for command in ["check", "run"] {
        let done = thalweg(&[command, "--config", &path]);
        assert_eq!(done.code, 2, "{command}: {}", done.stderr);
        assert!(format!("{}{}", done.stdout, done.stderr).contains("no.crt"), "{command}: {}", done.stderr);
    }
}

#[test]
fn an_invalid_private_key_exits_2() {
    let authority = thalweg_testkit::Authority::new("root");
    let leaf = authority.leaf(&["a.test"]);
    let tls = "[listener.tls]\ncertificates = [{ cert = \"a.crt\", key = \"a.key\" }]";
    let (scratch, path) = written(&fine().listener("secure", tls).text());
    scratch.write("a.crt", &leaf.cert_pem);
    for key in ["not a key", &authority.leaf(&["a.test"]).key_pem] {
        scratch.write("a.key", key);
        for command in ["check", "run"] {
            let done = thalweg(&[command, "--config", &path]);
            assert_eq!(done.code, 2, "{command}: {}{}", done.stdout, done.stderr);
        }
    }
}

#[test]
fn the_config_is_found_by_flag_then_variable() {
    let (_scratch, good) = written(&fine().text());
    assert_eq!(thalweg_with(&["check"], &[("THALWEG_CONFIG", &good)]).code, 0);
    let done = thalweg_with(&["check", "--config", "/nonexistent/t.toml"], &[("THALWEG_CONFIG", &good)]);
    assert_eq!(done.code, 2, "the flag wins");
}

#[test]
fn wrong_usage_exits_2() {
    for args in [&["frobnicate"][..], &["run", "--frobnicate"], &[], &["explain", "--path", "/"]] {
        let done = thalweg(args);
        assert_eq!(done.code, 2, "{args:?}: {}", done.stderr);
        assert!(!done.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_taken_port_exits_3_with_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let one = |from: &str, name: &str| {
        let ports = [("web", 0_u16), ("admin", 0)].map(|(known, _)| {
            let port = if known == name { port } else { thalweg_testkit::free_port() };
            (known.to_owned(), port)
        });
        let (_scratch, path) = written(&fine().render(&ports.into()));
        let done = thalweg(&["run", "--config", &path]);
        assert_eq!(done.code, 3, "{from}: {}", done.stderr);
        let naming: Vec<&str> = done.stderr.lines().filter(|line| line.contains(&port.to_string())).collect();
        assert_eq!(naming.len(), 1, "{from}: one line names the address: {}", done.stderr);
    };
    one("a listener", "web");
    one("the admin page", "admin");
}

#[test]
fn version_schema_completions_and_man_print() {
    let version = thalweg(&["version"]);
    assert_eq!(version.code, 0);
    assert!(version.stdout.contains(env!("CARGO_PKG_VERSION")), "{}", version.stdout);
    let schema: Value = serde_json::from_str(&thalweg(&["schema"]).stdout).expect("the schema is JSON");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for key in ["edge", "listener", "pool", "route", "probe", "eject", "limits", "log", "resolver", "admin"] {
        assert!(schema["properties"].get(key).is_some(), "no {key} in the schema");
    }
    for shell in ["bash", "zsh", "fish"] {
        let done = thalweg(&["completions", shell]);
        assert_eq!(done.code, 0);
        assert!(done.stdout.contains("thalweg") && done.stdout.contains("explain"), "{shell}");
    }
    let man = thalweg(&["man"]);
    assert_eq!(man.code, 0);
    for part in [".TH", "thalweg failback", "EXIT STATUS"] {
        assert!(man.stdout.contains(part), "{part}: {}", man.stdout);
    }
}

#[test]
fn explain_answers_offline() {
    let conf = Conf::new()
        .listener("web", "")
        .pool("near", &["127.0.0.1:9".parse().expect("an address")], "region = \"eu\"")
        .pool("far", &["127.0.0.1:10".parse().expect("an address")], "region = \"us\"")
        .route("api", "failover", &["near", "far"], "hosts = [\"api.test\"]\npath_prefix = \"/v1\"");
    let (_scratch, path) = written(&conf.text());
    let ask = |host: &str, target: &str| {
        thalweg(&[
            "explain", "--config", &path, "--host", host, "--path", target, "--roll", "7", "--format", "json",
        ])
    };
    let hit = ask("api.test", "/v1/x");
    assert_eq!(hit.code, 0, "{}", hit.stderr);
    let json: Value =
        serde_json::from_str(&hit.stdout).unwrap_or_else(|error| panic!("{error}: {}", hit.stdout));
    let text = json.to_string();
    assert!(text.contains("near") && text.contains("127.0.0.1:9"), "{text}");
    assert_eq!(ask("api.test", "/v1/x").stdout, hit.stdout, "the same question has the same answer");
    let miss = ask("api.test", "/v2");
    assert_eq!(miss.code, 0, "a refusal is an answer");
    assert!(miss.stdout.contains("no_route"), "{}", miss.stdout);
    let human = thalweg(&["explain", "--config", &path, "--host", "api.test", "--path", "/v1"]);
    assert!(human.code == 0 && human.stdout.contains("near"), "{}", human.stdout);
}

#[test]
fn explain_reads_a_request_as_the_edge_does() {
    let endpoint = Endpoint::start("a");
    let other = Endpoint::start("b");
    let conf = Conf::new()
        .listener("web", "")
        .pool("six", &[endpoint.addr()], "")
        .pool("any", &[other.addr()], "")
        .route("six", "failover", &["six"], "hosts = [\"[::1]\"]")
        .route("cafe", "failover", &["six"], "path_prefix = \"/caf%c3%a9\"")
        .route("api", "failover", &["six"], "path_prefix = \"/%61pi\"")
        .route("any", "failover", &["any"], "");
    let edge = Edge::start(&conf);
    let asked = [
        ("[::1]", "/"),
        ("[::1]:80", "/"),
        ("::1", "/"),
        ("a b", "/"),
        ("x.test", "/caf%c3%a9/1"),
        ("x.test", "/api"),
        ("x.test", "/apix"),
    ];
    for (nth, (host, path)) in asked.into_iter().enumerate() {
        let mut client = Client::connect(edge.web());
        client.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nx-request-id: q{nth}\r\n\r\n"));
        let status = client.reply("GET").expect("an answer").status;
        let line = edge.logged(&format!("q{nth}"));
        for from in [["--admin", &edge.admin_url()], ["--config", &edge.config().display().to_string()]] {
            let asked = ["explain", "--host", host, "--path", path, "--format", "json"];
            let said = thalweg(&[&asked[..], &from[..]].concat());
            let said: Value = serde_json::from_str(&said.stdout).expect("JSON");
            assert_eq!(said["decision"]["pool"], line["pool"], "{host} {path} {from:?}: {status}");
            assert_eq!(said["refusal"], line["refusal"], "{host} {path} {from:?}: {status}");
        }
        let expected = if ["::1", "a b"].contains(&host) { 400 } else { 200 };
        assert_eq!(status, expected, "{host} {path}");
    }
    assert_eq!(endpoint.hits(), 4);
}

#[test]
fn status_and_reload_ask_a_running_edge() {
    let endpoint = Endpoint::start("a");
    let edge = Edge::start(&Conf::simple("failover", &[endpoint.addr()]));
    let admin = edge.admin_url();
    let status = thalweg(&["status", "--admin", &admin]);
    assert_eq!(status.code, 0, "{}", status.stderr);
    assert!(
        status.stdout.contains("p0") && status.stdout.contains(&endpoint.addr().to_string()),
        "{}",
        status.stdout
    );
    let json = thalweg(&["status", "--admin", &admin, "--format", "json"]);
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["generation"], 1);
    assert_eq!(thalweg(&["reload", "--admin", &admin]).code, 0);
    edge.replace("version = 1\nnonsense = true\n");
    let rejected = thalweg(&["reload", "--admin", &admin]);
    assert_eq!(rejected.code, 2, "{}", rejected.stderr);
    assert!(format!("{}{}", rejected.stdout, rejected.stderr).contains("nonsense"));
    let live = thalweg(&["explain", "--admin", &admin, "--host", "x", "--path", "/"]);
    assert!(live.code == 0 && live.stdout.contains("p0"), "{}{}", live.stdout, live.stderr);
}

#[test]
fn an_unreachable_edge_exits_1_with_one_line() {
    let admin = format!("http://127.0.0.1:{}", thalweg_testkit::free_port());
    for command in ["status", "reload"] {
        let done = thalweg(&[command, "--admin", &admin]);
        assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{command}: {}", done.stderr);
        assert_eq!(done.stderr.trim().lines().count(), 1, "{command}: {}", done.stderr);
    }
}

#[test]
fn a_bad_address_and_a_missing_token_file_exit_2() {
    let endpoint = Endpoint::start("a");
    let edge = Edge::start(&Conf::simple("failover", &[endpoint.addr()]));
    let (url, scratch) = (edge.admin_url(), Scratch::new());
    let token = |name: &str, text: &str| scratch.write(name, text).display().to_string();
    let (none, good, broken, blank) =
        ("/nonexistent/token", token("good", "t0ken\n"), token("broken", "t0\nken"), token("blank", " "));
    let asked = |command: &[&str], more: &[&str]| {
        let done = thalweg(&[command, more].concat());
        assert_eq!(done.stderr.trim().lines().count(), 1, "{command:?} {more:?}: {}", done.stderr);
        assert!(done.stdout.is_empty(), "{command:?} {more:?}: {}", done.stdout);
        done.code
    };
    let explain = ["explain", "--host", "x", "--path", "/"];
    for command in [&["status"][..], &["reload"], &explain, &["failback", "--route", "all"]] {
        for admin in ["127.0.0.1:9900", "https://127.0.0.1:9900", "nonsense", "", "http://"] {
            assert_eq!(asked(command, &["--admin", admin]), 2, "{command:?} {admin}");
        }
        for file in [none, &broken, &blank] {
            assert_eq!(asked(command, &["--admin", &url, "--token-file", file]), 2, "{command:?} {file}");
        }
    }
    let done = thalweg(&["reload", "--admin", &url, "--token-file", &good]);
    assert_eq!(done.code, 0, "{}", done.stderr);
}

#[test]
fn every_command_that_prints_data_takes_a_format() {
    for command in [
        "check", "explain", "status", "reload", "failback", "drain", "undrain", "dial", "weight", "evacuate",
        "freeze", "orders", "cancel", "schema", "version",
    ] {
        for format in ["human", "json"] {
            let done = thalweg(&[command, "--format", format, "--help"]);
            assert_eq!(done.code, 0, "{command} {format}: {}", done.stderr);
        }
        assert_eq!(thalweg(&[command, "--format", "yaml", "--help"]).code, 2, "{command}");
    }
    let json = |command: &str| -> Value {
        let done = thalweg(&[command, "--format", "json"]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", done.stdout))
    };
    assert_eq!(json("version")["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json("schema")["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn a_second_edge_on_the_same_port_is_refused_and_takes_nothing() {
    let endpoint = Endpoint::start("a");
    let edge = Edge::start(&Conf::simple("failover", &[endpoint.addr()]));
    let text = Conf::simple("failover", &[endpoint.addr()]).render(
        &[("web".to_owned(), edge.port("web")), ("admin".to_owned(), thalweg_testkit::free_port())].into(),
    );
    let scratch = Scratch::new();
    let path = scratch.write("second.toml", text);
    let began = std::time::Instant::now();
    let done = std::process::Command::new(binary())
        .arg("run")
        .arg("--config")
        .arg(path)
        .output()
        .expect("the binary starts");
    assert_eq!(done.status.code(), Some(3), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(began.elapsed() < Duration::from_secs(10));
    for _ in 0..20 {
        assert_eq!(thalweg_testkit::get(edge.web(), "/").status, 200);
    }
}

#[test]
fn every_accepted_key_that_does_not_act_yet_is_a_warning_with_its_place() {
    let text = Conf::simple_with(
        "failover",
        &["127.0.0.1:9".parse().expect("an address")],
        "retry = { hedge = true }",
    )
    .text();
    let (_scratch, path) = written(&text);
    let done = thalweg(&["check", "--config", &path, "--format", "json"]);
    assert_eq!(done.code, 0, "{}", done.stdout);
    let json: Value = serde_json::from_str(&done.stdout).expect("JSON");
    let warnings = json["warnings"].as_array().cloned().unwrap_or_default();
    for warning in &warnings {
        assert!(warning["line"].as_u64() > Some(0) && warning["path"].is_string(), "{warning}");
    }
}
