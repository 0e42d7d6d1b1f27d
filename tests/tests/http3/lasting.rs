//! What happens to connections: clients that move, certificates and listeners that change, drains, upgrades.

use std::{fs, net::UdpSocket, time::Duration};

use serde_json::{Value, json};
use thalweg_testkit::{Behaviour, Client, Signal, client_config, eventually, eventually_some};

use super::{
    SOON,
    site::{H3Client, H3Site},
};

const NO_ERROR: u64 = 0x100;

#[test]
fn a_client_that_moves_keeps_its_connection() {
    let Some(site) = H3Site::start("connection migration", "", "") else { return };
    let mut client = site.connected();
    // Each move is to another port, so that about half of the moves lead to the other worker's socket.
    for nth in 0..16 {
        let moved = client.tell(json!({ "do": "move", "new_id": nth % 2 == 1 }));
        assert!(moved["port"].is_number(), "{moved}");
        let answer = client.ask(json!({ "method": "POST", "path": "/echo", "size": 100_000 }));
        assert_eq!((&answer["status"], &answer["same"]), (&json!(200), &json!(true)), "move {nth}: {answer}");
    }
    let connections = site.edge.metric("thalweg_connections", &[("listener", "secure")]);
    assert!((connections - 1.0).abs() < 1e-9, "one connection all the time: {connections}");
}

#[test]
fn a_client_may_move_in_the_middle_of_an_answer() {
    let Some(site) = H3Site::start("migration in an answer", "", "") else { return };
    site.endpoint.behave(Behaviour::SlowLoris(Duration::from_millis(150)));
    let mut client = site.connected();
    let stream = client.begin(json!({}));
    let begun = client.tell(json!({ "do": "await", "stream": stream, "until": "head" }));
    assert_eq!(begun["over"], json!(false), "{begun}");
    for _ in 0..4 {
        client.tell(json!({ "do": "move" }));
    }
    let answer = client.tell(json!({ "do": "await", "stream": stream }));
    assert_eq!((&answer["over"], &answer["size"]), (&json!(true), &json!(10)), "{answer}");
}

#[test]
fn a_renewed_certificate_is_shown_to_new_connections() {
    let Some(site) = H3Site::start("certificate reload over HTTP/3", "", "") else { return };
    let serial = |client: &mut H3Client| client.tell(json!({ "do": "connect" }))["serial"].clone();
    let (mut old, mut fresh) = (H3Client::new(&site), H3Client::new(&site));
    let before = serial(&mut old);
    assert_eq!(serial(&mut fresh), before);
    let leaf = site.authority.leaf(&["a.test"]);
    fs::write(site.edge.scratch().join("a.crt"), &leaf.cert_pem).expect("a file can be written");
    fs::write(site.edge.scratch().join("a.key"), &leaf.key_pem).expect("a file can be written");
    assert_eq!(site.edge.reload().status, 200);
    eventually("a new connection sees it", SOON, || {
        let after = serial(&mut fresh);
        after.is_string() && after != before
    });
    assert_eq!(old.ask(json!({}))["status"], json!(200), "the old connection lives on");
}

#[test]
fn http3_comes_and_goes_with_a_reload() {
    let Some(mut site) = H3Site::speaking("HTTP/3 by reload", "\"http/1.1\"") else { return };
    let addr = site.edge.addr("secure");
    let config = client_config(&site.authority, &["http/1.1"], &[]);
    let (mut tcp, ..) = Client::connect_tls(addr, "a.test", &config).expect("TLS");
    assert_eq!(tcp.get("/").header("alt-svc"), None);
    let text = fs::read_to_string(site.edge.config()).expect("a config");
    let with = text.replace("protocols = [\"http/1.1\"]", "protocols = [\"h3\", \"http/1.1\"]");
    site.edge.replace(&with);
    assert_eq!(site.edge.reload().status, 200);
    assert_eq!(tcp.get("/").status, 200, "the TCP connection stays");
    let mut client = site.connected();
    assert_eq!(client.ask(json!({}))["status"], json!(200));
    site.edge.replace(&text);
    assert_eq!(site.edge.reload().status, 200);
    let said = client.tell(json!({ "do": "closed" }));
    assert_eq!(said["closed"], json!(NO_ERROR), "{said}");
    assert_eq!(tcp.get("/").status, 200, "the TCP connection stays");
    eventually("the UDP port is free", SOON, || UdpSocket::bind(addr).is_ok());
    let _ = &mut site;
}

#[test]
fn a_drain_says_goodbye_and_finishes_what_it_has() {
    let Some(site) = H3Site::start("drain over HTTP/3", "", "") else { return };
    site.endpoint.behave(Behaviour::SlowLoris(Duration::from_millis(150)));
    let (mut busy, mut idle) = (site.connected(), site.connected());
    idle.ask(json!({ "path": "/health" }));
    let stream = busy.begin(json!({}));
    busy.tell(json!({ "do": "await", "stream": stream, "until": "head" }));
    site.edge.signal(Signal::TERM);
    let said = idle.tell(json!({ "do": "closed" }));
    assert_eq!(said["closed"], json!(NO_ERROR), "{said}");
    let goaways = said["goaways"].as_array().expect("ids");
    // First that the connection is to end, then that the only request was accepted.
    assert!(goaways.len() == 2 && goaways[1] == 4 && goaways[0].as_u64() > Some(1 << 40), "{said}");
    let answer = busy.tell(json!({ "do": "await", "stream": stream }));
    assert_eq!((&answer["over"], &answer["size"]), (&json!(true), &json!(10)), "{answer}");
    assert_eq!(busy.tell(json!({ "do": "closed" }))["closed"], json!(NO_ERROR));
    assert_eq!(site.edge.exit_code(SOON), 0);
}

#[test]
fn a_request_behind_the_goodbye_is_refused_unread() {
    let Some(site) = H3Site::start("late requests over HTTP/3", "", "") else { return };
    site.endpoint.behave(Behaviour::SlowLoris(Duration::from_millis(300)));
    let mut client = site.connected();
    let stream = client.begin(json!({}));
    client.tell(json!({ "do": "await", "stream": stream, "until": "head" }));
    site.edge.signal(Signal::TERM);
    eventually("both goodbyes", SOON, || {
        client.tell(json!({ "do": "goaways" }))["goaways"].as_array().map(Vec::len) == Some(2)
    });
    let hits = site.endpoint.hits();
    let late = client.ask(json!({}));
    assert_eq!((&late["status"], &late["reset"]), (&json!(0), &json!(0x10b)), "{late}");
    assert_eq!(site.endpoint.hits(), hits);
    assert_eq!(client.tell(json!({ "do": "await", "stream": stream }))["over"], json!(true));
    assert_eq!(site.edge.exit_code(SOON), 0);
}

#[test]
fn drain_timeout_ends_what_does_not_end_itself() {
    let Some(site) = H3Site::start("drain timeout over HTTP/3", "", "") else { return };
    site.endpoint.behave(Behaviour::Hang);
    let mut text = fs::read_to_string(site.edge.config()).expect("a config");
    text = text.replacen("[edge]\n", "[edge]\ndrain_timeout = \"1s\"\n", 1);
    site.edge.replace(&text);
    assert_eq!(site.edge.reload().status, 200);
    let mut client = site.connected();
    client.begin(json!({}));
    eventually("the request is there", SOON, || site.endpoint.hits() > 0);
    site.edge.signal(Signal::TERM);
    assert_eq!(site.edge.exit_code(SOON), 0);
}

#[test]
fn an_idle_connection_ends_after_idle_timeout() {
    let Some(site) = H3Site::start("idle over HTTP/3", "[limits]\nidle_timeout = \"1s\"", "") else { return };
    let mut client = site.connected();
    assert_eq!(client.ask(json!({}))["status"], json!(200));
    let said = client.tell(json!({ "do": "closed" }));
    assert_eq!(said["closed"], json!(NO_ERROR), "{said}");
}

#[test]
fn an_upgrade_keeps_requests_and_http3_comes_back() {
    let Some(site) = H3Site::start("upgrade over HTTP/3", "", "") else { return };
    site.endpoint.behave(Behaviour::SlowLoris(Duration::from_millis(200)));
    let mut client = site.connected();
    let stream = client.begin(json!({}));
    client.tell(json!({ "do": "await", "stream": stream, "until": "head" }));
    let done = site.edge.upgrade(&[]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let answer = client.tell(json!({ "do": "await", "stream": stream }));
    assert_eq!((&answer["over"], &answer["size"]), (&json!(true), &json!(10)), "{answer}");
    site.endpoint.behave(Behaviour::Serve);
    let status = eventually_some("the successor speaks HTTP/3", SOON, || {
        let mut client = H3Client::new(&site);
        let connected = client.tell(json!({ "do": "connect" }))["connected"] == json!(true);
        connected.then(|| client.ask(json!({}))["status"].clone())
    });
    assert_eq!(status, json!(200));
    let pid: Value = site.edge.status()["pid"].clone();
    assert!(pid.is_null() || pid == json!(site.edge.serving()), "{pid}");
}

#[test]
fn client_certificates_count_as_over_tcp() {
    let Some(site) = H3Site::with_tls("client certificates over HTTP/3", "client_ca = \"root.pem\"") else {
        return;
    };
    let mut stranger = H3Client::new(&site);
    let said = stranger.tell(json!({ "do": "connect" }));
    let refused =
        said["connected"] == json!(false) || stranger.tell(json!({ "do": "closed" }))["closed"].is_number();
    assert!(refused, "{said}");
    let labels = [("listener", "secure"), ("reason", "no_certificate")];
    eventually("counted", SOON, || site.edge.metric("thalweg_tls_handshake_failures_total", &labels) > 0.5);
    let leaf = site.authority.leaf(&["client.test"]);
    let (cert, key) = leaf.write(site.edge.scratch(), "client");
    let mut known = H3Client::new(&site);
    let said = known.tell(json!({ "do": "connect", "cert": cert, "key": key }));
    assert_eq!(said["connected"], json!(true), "{said}");
    assert_eq!(known.ask(json!({}))["status"], json!(200));
    assert!(site.endpoint.only().header("client-cert").is_some());
}
