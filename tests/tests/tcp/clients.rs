//! Clients that say nothing, half of it, or nonsense, and balancers in front.

use std::time::Instant;

use super::*;

/// The beginning of a ClientHello.
const HALF: &[u8] = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03";

/// An edge with one route for the host `a.test`, and one for any if `all`.
fn edge(all: bool) -> Edge {
    let conf = Conf::new()
        .listener("web", TCP)
        .pool("p", &[echo("a")], "# no probe")
        .route("named", "failover", &["p"], "hosts = [\"a.test\"]")
        .raw("[limits]\nheader_timeout = \"500ms\"\n");
    let all = if all { conf.route("all", "failover", &["p"], "") } else { conf };
    Edge::start(&all)
}

fn refusals(edge: &Edge, refusal: &str) -> f64 {
    edge.metric("thalweg_refusals_total", &[("refusal", refusal)])
}

#[test]
fn a_client_without_a_name_goes_to_the_route_for_any_host_or_nowhere() {
    for (all, expected) in [(true, &b"aGET "[..]), (false, b"")] {
        let edge = edge(all);
        let mut client = connect(&edge);
        client.write_all(b"GET ").expect("written");
        client.shutdown(Shutdown::Write).expect("closed");
        assert_eq!(rest(&mut client), expected);
        let line = line(&edge);
        if all {
            assert_eq!((&line["route"], &line["host"]), (&"all".into(), &"".into()), "{line}");
        } else {
            assert_eq!(line["refusal"], "no_server_name", "{line}");
            assert_eq!(refusals(&edge, "no_server_name"), 1.0);
        }
    }
}

#[test]
fn a_client_that_is_silent_or_stops_half_way_is_closed_in_time() {
    for start in [&b""[..], HALF] {
        let edge = edge(true);
        let mut client = connect(&edge);
        client.write_all(start).expect("written");
        let began = Instant::now();
        assert_eq!(rest(&mut client), b"");
        assert!(began.elapsed() < SOON, "{start:?}");
        assert_eq!(line(&edge)["refusal"], "header_timeout");
    }
}

#[test]
fn a_hello_that_breaks_off_or_breaks_a_rule_is_refused_by_its_rule() {
    for (start, rule) in [
        (HALF, "hello_broken"),
        (b"\x16\x03\x01\0\0", "hello_empty_record"),
        (b"\x16\x03\x01\0\x04\x01\xff\xff\xff", "hello_too_long"),
    ] {
        let edge = edge(true);
        let mut client = connect(&edge);
        client.write_all(start).expect("written");
        client.shutdown(Shutdown::Write).expect("closed");
        assert_eq!(rest(&mut client), b"", "{rule}");
        let line = line(&edge);
        assert_eq!((&line["refusal"], &line["rule"]), (&"bad_request".into(), &rule.into()), "{line}");
    }
}

#[test]
fn a_check_of_a_balancer_that_only_connects_is_no_request() {
    let edge = edge(true);
    drop(connect(&edge));
    let mut client = connect(&edge);
    client.write_all(b"?").expect("written");
    assert_eq!(said(&mut client, 2), "a?");
    drop(client);
    assert_eq!(line(&edge)["route"], "all", "one line, of the second");
}

#[test]
fn a_listener_with_a_host_asks_no_client() {
    let conf = Conf::new()
        .listener("web", "protocols = [\"tcp\"]\nhost = \"db.test\"")
        .listener("http", "")
        .pool("db", &[echo("db")], "# no probe")
        .pool("p", &[echo("p")], "# no probe")
        .route("db", "failover", &["db"], "hosts = [\"db.test\"]")
        .route("all", "failover", &["p"], "");
    let edge = Edge::start(&conf);
    let mut client = connect(&edge);
    assert_eq!(said(&mut client, 2), "db", "the server speaks first");
    drop(client);
    assert_eq!(line(&edge)["host"], "db.test");
}

#[test]
fn a_proxy_header_names_the_client_and_another_tells_the_endpoint() {
    let plain = echo("");
    let conf = Conf::new()
        .listener("web", "protocols = [\"tcp\"]\nproxy_protocol = { from = [\"127.0.0.1\"] }")
        .pool("p", &[plain], "send_proxy = \"v2\"\n# no probe")
        .route("all", "failover", &["p"], "");
    let edge = Edge::start(&conf);
    let mut client = connect(&edge);
    client.write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\nhello").expect("written");
    client.shutdown(Shutdown::Write).expect("closed");
    let told = rest(&mut client);
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x12\x67\x01\xbb";
    assert_eq!(told, [&header[..], b"hello"].concat());
    assert_eq!(line(&edge)["client"], "192.0.2.7");
    let mut bad = connect(&edge);
    bad.write_all(b"hello").expect("written");
    assert_eq!(rest(&mut bad), b"", "a balancer must send a header, and no HTTP is the answer");
    assert_eq!(lines(&edge, 2)[1]["rule"], "proxy_header_missing");
}

#[test]
fn clients_over_their_rate_or_their_number_are_closed() {
    let conf = Conf::new().listener("web", TCP).pool("p", &[echo("a")], "# no probe");
    let conf = conf.route("all", "failover", &["p"], "").edge("workers = 1");
    let edge = Edge::start(&conf.raw("[limits]\nrequest_rate = 1\nrequest_burst = 2\n"));
    let told: Vec<usize> = (0..6)
        .map(|_| {
            let mut client = connect(&edge);
            let _ = client.shutdown(Shutdown::Write);
            rest(&mut client).len()
        })
        .collect();
    assert_eq!(told[..2], [1, 1]);
    assert!(told.contains(&0), "{told:?}");
    assert!(refusals(&edge, "rate_limited") >= 1.0);
}
