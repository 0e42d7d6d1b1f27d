//! HTTP/3 towards clients, with a real client (aioquic, `tests/http3/client.py`): requests and answers, what other listeners
//! say of it, and the same rules as over HTTP/1.1 and HTTP/2. `lasting` has what happens to connections: moves, drains,
//! reloads, upgrades; `strict` what hostile clients get.

mod common;
#[path = "http3/lasting.rs"]
mod lasting;
#[path = "http3/site.rs"]
mod site;
#[path = "http3/strict.rs"]
mod strict;

use std::time::Duration;

use serde_json::{Value, json};
use site::{H3Client, H3Site};
use thalweg_testkit::{Behaviour, Client, Endpoint, H2, H2Endpoint, client_config, eventually, stays};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_request_passes_and_is_counted_and_logged_as_any_other() {
    let Some(site) = H3Site::start("requests over HTTP/3", "", "") else { return };
    let mut client = site.connected();
    let answer = client.ask(json!({ "path": "/", "headers": [["x-request-id", "mine"]] }));
    assert_eq!((&answer["status"], &answer["headers"]["x-request-id"]), (&json!(200), &json!("mine")));
    assert!(answer["headers"]["date"].is_string() && answer["headers"].get("alt-svc").is_none(), "{answer}");
    let seen = site.endpoint.only();
    for (name, value) in [
        ("host", "a.test"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "a.test"),
        ("via", "3 thalweg"),
        ("x-request-id", "mine"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    assert_eq!((seen.head.word(2), seen.header("transfer-encoding")), ("HTTP/1.1", None));
    let line = site.edge.logged("mine");
    assert_eq!((&line["protocol"], &line["tls"]), (&json!("HTTP/3.0"), &json!("TLSv1.3")), "{line}");
    assert_eq!((&line["status"], &line["client"]), (&json!(200), &json!("127.0.0.1")), "{line}");
    let labels = [("listener", "secure"), ("route", "all"), ("code_class", "2xx")];
    assert!((site.edge.metric("thalweg_requests_total", &labels) - 1.0).abs() < 1e-9);
    let open = || site.edge.metric("thalweg_connections", &[("listener", "secure")]);
    assert!((open() - 1.0).abs() < 1e-9);
    client.tell(json!({ "do": "close" }));
    eventually("the connection is gone", SOON, || open() < 0.5);
}

#[test]
fn bodies_pass_both_ways_unchanged() {
    let Some(site) = H3Site::start("bodies over HTTP/3", "", "") else { return };
    let mut client = site.connected();
    let length = |size: usize| json!([["content-length", size.to_string()]]);
    for (size, headers) in [
        (0, json!([])),
        (1, json!([])),
        (100_000, length(100_000)),
        (1 << 20, json!([])),
        (1 << 20, length(1 << 20)),
    ] {
        let ask = json!({ "method": "POST", "path": "/echo", "size": size, "headers": headers });
        let answer = client.ask(ask);
        assert_eq!((&answer["status"], &answer["size"]), (&json!(200), &json!(size)), "{answer}");
        assert_eq!(answer["same"], json!(true), "{size} bytes came back changed");
    }
    for path in ["/bytes/1048576", "/chunked/1048576", "/until-close/1048576"] {
        let answer = client.ask(json!({ "path": path }));
        let (over, size) = (&answer["over"], &answer["size"]);
        assert_eq!((over, size), (&json!(true), &json!(1 << 20)), "{path}: {answer}");
        let plain = Client::connect(site.edge.web()).get(path);
        assert_eq!(site::sha256(&plain.body), answer["sha256"].as_str().expect("a hash"), "{path}");
    }
    let head = client.ask(json!({ "method": "HEAD", "path": "/bytes/1000" }));
    assert_eq!((&head["headers"]["content-length"], &head["size"]), (&json!("1000"), &json!(0)), "{head}");
    let empty = client.ask(json!({ "path": "/status/204" }));
    assert_eq!((&empty["status"], &empty["over"]), (&json!(204), &json!(true)), "{empty}");
}

#[test]
fn trailers_pass_both_ways() {
    let http2 = H2Endpoint::start("h2");
    let sections = format!(
        "[pool.up]\nprotocol = \"h2\"\nendpoints = [{{ address = \"{}\" }}]\n\
         [route.up]\nhosts = [\"up.test\"]\npolicy = \"failover\"\npools = [{{ pool = \"up\" }}]",
        http2.addr()
    );
    let Some(site) = H3Site::start("trailers over HTTP/3", &sections, "") else { return };
    let mut client = site.connected();
    for host in ["a.test", "up.test"] {
        let answer = client.ask(json!({ "host": host, "path": "/trailers" }));
        assert_eq!(answer["trailers"]["x-sum"], json!("42"), "{host}: {answer}");
    }
    let ask = json!({
        "method": "POST", "host": "up.test", "path": "/echo", "size": 1000,
        "trailers": [["x-up", "7"], ["x-forwarded-for", "192.0.2.1"]],
    });
    let answer = client.ask(ask);
    assert_eq!((&answer["status"], &answer["same"]), (&json!(200), &json!(true)), "{answer}");
    let seen = http2.seen().pop().and_then(|seen| seen.trailers).expect("trailers");
    assert_eq!((&seen["x-up"], seen.get("x-forwarded-for")), (&"7".parse().expect("a value"), None));
}

#[test]
fn many_streams_are_served_at_once() {
    let Some(site) = H3Site::start("streams over HTTP/3", "", "") else { return };
    let mut client = site.connected();
    let answers = client.tell(json!({ "do": "many", "count": 300, "path": "/bytes/20000" }));
    let statuses = answers["statuses"].as_array().expect("statuses");
    assert!(statuses.len() == 300 && statuses.iter().all(|status| status == 200), "{answers}");
    assert_eq!(answers["hashes"].as_array().map(Vec::len), Some(1));
    assert_eq!(site.endpoint.hits(), 300);
}

#[test]
fn a_killed_endpoint_costs_no_request() {
    let second = Endpoint::start("b");
    let Some(site) = H3Site::start_to("failover over HTTP/3", "", "", &[&second]) else { return };
    let mut client = site.connected();
    assert_eq!(client.ask(json!({}))["headers"]["x-endpoint"], json!("a"));
    site.endpoint.die();
    let answers = client.tell(json!({ "do": "many", "count": 50 }));
    let statuses = answers["statuses"].as_array().expect("statuses");
    assert!(statuses.iter().all(|status| status == 200), "{answers}");
    assert_eq!(client.ask(json!({}))["headers"]["x-endpoint"], json!("b"));
}

#[test]
fn answers_made_by_the_edge_say_why() {
    let Some(site) = H3Site::start("refusals over HTTP/3", "", "hosts = [\"a.test\"]\nbody_bytes = \"1KiB\"")
    else {
        return;
    };
    let mut client = site.connected();
    for (ask, status, why) in [
        (json!({ "host": "other.test" }), 404, "no_route"),
        (json!({ "method": "TRACE" }), 405, "method_not_allowed"),
        (json!({ "path": "/%2Fx" }), 400, "bad_request"),
        (
            json!({ "method": "POST", "size": 2000, "headers": [["content-length", "2000"]] }),
            413,
            "body_too_large",
        ),
        (json!({ "method": "POST", "size": 2000 }), 413, "body_too_large"),
        (json!({ "headers": vec![json!(["x", "y"]); 101] }), 431, "headers_too_large"),
        (json!({ "headers": [["x", "y".repeat(17_000)]] }), 431, "headers_too_large"),
    ] {
        let answer = client.ask(ask);
        assert_eq!(answer["status"], json!(status), "{answer}");
        let reason = answer["headers"]["proxy-status"].as_str().unwrap_or_default();
        assert!(reason.contains(&format!("details=\"{why}\"")), "{why}: {answer}");
    }
    assert_eq!(client.ask(json!({}))["status"], json!(200), "the connection goes on");
}

#[test]
fn answers_over_tcp_name_http3_and_only_where_it_is_spoken() {
    let Some(site) = H3Site::start("Alt-Svc", "", "") else { return };
    let expected = format!("h3=\":{}\"; ma=3600", site.edge.port("secure"));
    let config = client_config(&site.authority, &["http/1.1"], &[]);
    let (mut client, ..) = Client::connect_tls(site.edge.addr("secure"), "a.test", &config).expect("TLS");
    for path in ["/", "/%2F"] {
        let reply = client.get(path);
        assert_eq!(reply.header("alt-svc"), Some(expected.as_str()), "{path}");
    }
    let h2 =
        H2::connect_tls(site.edge.addr("secure"), "a.test", &client_config(&site.authority, &["h2"], &[]));
    let reply = h2.and_then(|h2| h2.get("https://a.test/")).expect("an answer");
    assert_eq!(reply.headers.get("alt-svc").and_then(|value| value.to_str().ok()), Some(expected.as_str()));
    assert_eq!(Client::connect(site.edge.web()).get("/").header("alt-svc"), None, "a listener without h3");
    // An endpoint that names a service itself is not spoken over.
    let own = "HTTP/1.1 200 OK\r\nalt-svc: clear\r\ncontent-length: 0\r\n\r\n";
    site.endpoint.behave(Behaviour::Raw(own.into()));
    let (mut client, ..) = Client::connect_tls(site.edge.addr("secure"), "a.test", &config).expect("TLS");
    assert_eq!(client.get("/").head.all("alt-svc"), ["clear"]);
}

#[test]
fn a_listener_may_speak_http3_alone() {
    let Some(site) = H3Site::speaking("HTTP/3 alone", "\"h3\"") else { return };
    assert_eq!(site.connected().ask(json!({}))["status"], json!(200));
    std::net::TcpStream::connect(site.edge.addr("secure")).expect_err("nothing listens over TCP");
    let mut other = H3Client::new(&site);
    let said = other.tell(json!({ "do": "connect", "alpn": ["hq-interop"] }));
    assert_eq!(said["connected"], json!(false), "another protocol: {said}");
    let labels = [("listener", "secure"), ("reason", "incompatible")];
    eventually("the handshake is counted", SOON, || {
        site.edge.metric("thalweg_tls_handshake_failures_total", &labels) > 0.5
    });
}

#[test]
fn a_client_that_gives_up_is_gone() {
    let Some(site) = H3Site::start("resets over HTTP/3", "", "") else { return };
    site.endpoint.behave(Behaviour::Hang);
    let mut client = site.connected();
    let gone = || {
        let labels = [("listener", "secure"), ("code_class", "client_gone")];
        site.edge.metric("thalweg_requests_total", &labels)
    };
    let begin = |client: &mut H3Client, more: Value| {
        let hits = site.endpoint.hits();
        let stream = client.begin(more);
        eventually("the request is there", SOON, || site.endpoint.hits() > hits);
        stream
    };
    // A request that was sent whole can only be stopped.
    let stream = begin(&mut client, json!({}));
    client.tell(json!({ "do": "stop", "stream": stream }));
    eventually("counted", SOON, || (gone() - 1.0).abs() < 1e-9);
    let stream = begin(&mut client, json!({}));
    client.tell(json!({ "do": "reset", "stream": stream }));
    eventually("counted", SOON, || (gone() - 2.0).abs() < 1e-9);
    // In the middle of its answer.
    site.endpoint.behave(Behaviour::SlowLoris(Duration::from_secs(2)));
    let stream = client.begin(json!({}));
    let begun = client.tell(json!({ "do": "await", "stream": stream, "until": "head" }));
    assert_eq!(begun["status"], json!(200), "{begun}");
    client.tell(json!({ "do": "stop", "stream": stream }));
    eventually("counted", SOON, || (gone() - 3.0).abs() < 1e-9);
    eventually("and no endpoint works on", SOON, || {
        site.edge.metric("thalweg_endpoint_in_flight", &[("pool", "p0")]) < 0.5
    });
    site.endpoint.behave(Behaviour::Serve);
    assert_eq!(client.ask(json!({}))["status"], json!(200), "the connection goes on");
}

#[test]
fn an_answer_that_breaks_off_does_not_look_whole() {
    let Some(site) = H3Site::start("cut answers over HTTP/3", "", "") else { return };
    site.endpoint.behave(Behaviour::RawAndClose(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n".into(),
    ));
    let answer = site.connected().ask(json!({}));
    assert_eq!((&answer["over"], &answer["reset"]), (&json!(false), &json!(0x102)), "{answer}");
}

#[test]
fn an_early_answer_stops_the_upload_and_keeps_the_connection() {
    let Some(site) = H3Site::start("early answers over HTTP/3", "", "") else { return };
    site.endpoint.behave(Behaviour::EarlyAnswer(403));
    let mut client = site.connected();
    let ask = json!({ "method": "POST", "path": "/upload", "size": 10, "ends": false });
    let answer = client.ask(ask);
    assert_eq!((&answer["status"], &answer["over"]), (&json!(403), &json!(true)), "{answer}");
    site.endpoint.behave(Behaviour::Serve);
    assert_eq!(client.ask(json!({}))["status"], json!(200));
}

#[test]
fn limits_on_clients_hold() {
    let limits = "[limits]\nrequest_rate = 5\nrequest_burst = 5\nper_client = 2";
    let Some(site) = H3Site::start("limits over HTTP/3", limits, "") else { return };
    let (mut first, mut second) = (site.connected(), site.connected());
    let mut third = H3Client::new(&site);
    let said = third.tell(json!({ "do": "connect" }));
    let closed =
        said["connected"] == json!(false) || third.tell(json!({ "do": "closed" }))["closed"].is_number();
    assert!(closed, "one more than per_client: {said}");
    assert!(site.edge.metric("thalweg_connections_shed_total", &[("cause", "per_client")]) > 0.5);
    let answers = first.tell(json!({ "do": "many", "count": 30 }));
    let refused = answers["statuses"].as_array().expect("statuses").iter().filter(|status| **status == 429);
    assert!(refused.count() > 10, "{answers}");
    assert!(second.tell(json!({ "do": "goaways" }))["closed"].is_null());
    stays("the others stay", Duration::from_millis(200), || {
        site.edge.metric("thalweg_connections", &[("listener", "secure")]) > 1.5
    });
}
