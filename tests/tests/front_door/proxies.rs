//! PROXY headers as bytes: who may send them, who must, what they change, and what each bad one costs.

use std::{net::IpAddr, thread};

use super::*;

/// The header in which a request tells the endpoint who the client is.
const XFF: &str = "x-forwarded-for";

#[test]
fn the_address_of_a_proxy_header_is_the_client_everywhere() {
    let geo = "[geo.networks]\noffice = [\"192.0.2.0/24\"]\n[pool.office]\nendpoints = [{ address = \"127.0.0.1:1\" }]\n";
    let (edge, endpoint) = edge_with(BEHIND, geo);
    for (before, client) in [
        (b"PROXY TCP4 192.0.2.1 198.51.100.1 12345 443\r\n".to_vec(), "192.0.2.1"),
        (b"PROXY TCP6 2001:db8::1 ::1 12345 443\r\n".to_vec(), "2001:db8::1"),
        (b"PROXY TCP6 ::ffff:192.0.2.9 ::1 12345 443\r\n".to_vec(), "192.0.2.9"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2([192, 0, 2, 2], b""), "192.0.2.2"),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00".to_vec(), "127.0.0.1"),
    ] {
        let reply = ask_after(&edge, &before);
        assert_eq!(reply.status, 200);
        let seen = endpoint.only();
        assert_eq!(seen.header(XFF), Some(client));
        assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
        endpoint.forget();
        let id = reply.header("x-request-id").expect("an id").to_owned();
        eventually("it is logged", SOON, || edge.access_log().iter().any(|line| line["request_id"] == *id));
        let line = edge.logged(&id);
        assert_eq!(
            (&line["client"], &line["proxy"]["peer"]),
            (&client.into(), &"127.0.0.1".into()),
            "{line}"
        );
        let record = edge.admin_get(&format!("/api/v1/requests/{id}")).json();
        assert_eq!(record["facts"]["client"], client, "{record}");
    }
}

#[test]
fn a_header_may_come_in_any_pieces_and_with_the_request_in_one() {
    let (edge, endpoint) = edge_with(BEHIND, "");
    let v1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 12345 443\r\n".to_vec();
    for header in [v1, v2([192, 0, 2, 1], &[4, 0, 1, 9])] {
        let mut bytewise = Client::connect(edge.web());
        header.iter().for_each(|byte| bytewise.send([*byte]));
        assert_eq!(bytewise.get("/").status, 200);
        let mut at_once = Client::connect(edge.web());
        at_once.send(
            [&header[..], b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\nGET / HTTP/1.1\r\nhost: a.test\r\n\r\n"]
                .concat(),
        );
        assert_eq!(at_once.reply("GET").expect("an answer").status, 200);
        assert_eq!(at_once.reply("GET").expect("a second answer").status, 200);
    }
    assert!(endpoint.requests().iter().all(|seen| seen.header(XFF) == Some("192.0.2.1")));
    assert_eq!(endpoint.hits(), 6);
}

#[test]
fn the_fields_of_version_2_are_logged_and_say_whether_the_client_speaks_tls() {
    let (edge, endpoint) = edge_with(BEHIND, "");
    let aws = b"\xea\x00\x0b\x01vpce-0a1b2c";
    let fields = [
        &b"\x02\x00\x06a.test\x05\x00\x04id-7\x20\x00\x0f\x01\x00\x00\x00\x00\x21\x00\x07TLSv1.3"[..],
        &aws[..],
    ]
    .concat();
    let fields = [&fields[..fields.len() - aws.len()], b"\xea\x00\x0c\x01vpce-0a1b2c"].concat();
    assert_eq!(ask_after(&edge, &v2([192, 0, 2, 1], &fields)).status, 200);
    let line = lines(&edge, 1).remove(0);
    let expected = serde_json::json!({
        "peer": "127.0.0.1", "authority": "a.test", "unique_id": "id-7", "tls": "TLSv1.3", "aws_vpc_endpoint": "vpce-0a1b2c",
    });
    assert_eq!(line["proxy"], expected);
    assert_eq!(endpoint.only().header("x-forwarded-proto"), Some("https"));
}

#[test]
fn every_bad_header_is_a_bad_request_with_its_rule() {
    let (edge, endpoint) = edge_with(BEHIND, "");
    let bad: [(&[u8], &str); 7] = [
        (b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n", "proxy_header_missing"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "proxy_header_missing"),
        (b"PROXY TCP4 192.0.2.1 198.51.100.1 1 99999\r\n", "proxy_line_port"),
        (b"PROXY TCP4 192.0.2.1\r198.51.100.1 1 2\r\n", "proxy_line_end"),
        (b"\r\n\r\n\0\r\nQUIT\n\x31\x11\x00\x0c", "proxy_version"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", "proxy_too_long"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0b", "proxy_too_short"),
    ];
    for (nth, (bytes, rule)) in bad.iter().enumerate() {
        let mut client = Client::connect(edge.web());
        client.send(bytes);
        let reply = client.reply("GET").unwrap_or_else(|gone| panic!("{rule}: {gone}"));
        assert_ours(&reply, 400, "bad_request");
        assert_eq!(reply.json()["rule"], *rule);
        assert!(client.ends(SOON), "{rule}");
        let line = lines(&edge, nth + 1).pop().expect("a line");
        assert_eq!((&line["rule"], &line["refusal"]), (&(*rule).into(), &"bad_request".into()), "{line}");
    }
    assert_eq!(edge.metric("thalweg_refusals_total", &[("refusal", "bad_request")]), 7.0);
    assert_eq!(endpoint.hits(), 0);
}

#[test]
fn a_header_from_anyone_else_is_a_bad_request_and_a_direct_client_is_served() {
    let (edge, endpoint) = edge_with("proxy_protocol = { from = [\"127.0.0.2\"] }", "");
    for header in [b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n".to_vec(), v2([192, 0, 2, 1], b"")] {
        let mut client = Client::connect(edge.web());
        client.send(header);
        let reply = client.reply("GET").expect("an answer");
        assert_eq!(reply.json()["rule"], "proxy_header_untrusted");
    }
    let mut direct = Client::connect(edge.web());
    assert_eq!(direct.get("/").status, 200, "without a header");
    let balancer: IpAddr = [127, 0, 0, 2].into();
    let mut trusted = Client::connect_from(balancer, edge.web());
    trusted.send(b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n");
    assert_eq!(trusted.get("/").status, 200);
    let clients: Vec<_> =
        endpoint.requests().iter().map(|seen| seen.header(XFF).map(str::to_owned)).collect();
    assert_eq!(clients, [Some("127.0.0.1".to_owned()), Some("192.0.2.1".to_owned())]);
}

#[test]
fn without_required_a_balancers_own_connection_is_served_under_its_address() {
    let (edge, endpoint) = edge_with("proxy_protocol = { from = [\"127.0.0.0/8\"], required = false }", "");
    assert_eq!(ask_after(&edge, b"").status, 200);
    assert_eq!(ask_after(&edge, b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n").status, 200);
    let clients: Vec<_> =
        endpoint.requests().iter().map(|seen| seen.header(XFF).map(str::to_owned)).collect();
    assert_eq!(clients, [Some("127.0.0.1".to_owned()), Some("192.0.2.1".to_owned())]);
}

#[test]
fn a_slow_header_is_cut_like_a_slow_head_and_a_silent_check_is_not_counted() {
    let (edge, _endpoint) = edge_with(BEHIND, "[limits]\nheader_timeout = \"400ms\"\n");
    for beginning in
        [&b"PRO"[..], b"PROXY TCP4 192", b"\r\n\r\n\0\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0"]
    {
        let mut slow = Client::connect(edge.web());
        slow.send(beginning);
        assert_ours(&slow.reply("GET").expect("an answer"), 408, "header_timeout");
    }
    let mut silent = Client::connect(edge.web());
    assert!(silent.ends(SOON), "a balancer's check");
    drop(Client::connect(edge.web()));
    let mut broken = Client::connect(edge.web());
    broken.send(b"PROXY TCP4 192");
    broken.half_close();
    assert_eq!(broken.reply("GET").expect("an answer").json()["rule"], "proxy_header_broken");
    assert_eq!(lines(&edge, 5).len(), 5);
    assert_eq!(edge.metric("thalweg_requests_total", &[]), 5.0);
}

#[test]
fn the_header_comes_before_tls_and_a_bad_one_is_counted() {
    let ours = Authority::new("ours");
    let leaf = ours.leaf(&["a.test"]);
    let endpoint = Endpoint::start("a");
    let listener = format!("{BEHIND}\ntls = {{ certificates = [{{ cert = \"a.crt\", key = \"a.key\" }}] }}");
    let conf = to(&endpoint)
        .without_listener("web")
        .listener("web", &listener)
        .file("a.crt", &leaf.cert_pem)
        .file("a.key", &leaf.key_pem);
    let edge = Edge::start(&conf);
    let config = client_config(&ours, &["http/1.1"], &[]);
    assert!(Client::connect_tls(edge.web(), "a.test", &config).is_err(), "a handshake without a header");
    eventually("it is counted", SOON, || {
        edge.metric("thalweg_refusals_total", &[("refusal", "bad_request")]) == 1.0
    });
    assert_eq!(lines(&edge, 1)[0]["rule"], "proxy_header_missing");
    let relayed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let relay = relayed.local_addr().expect("an address");
    let web = edge.web();
    // Puts a header in front of what a client says.
    let relaying = thread::spawn(move || {
        let (mut client, _) = relayed.accept().expect("a client");
        let mut server = std::net::TcpStream::connect(web).expect("the edge");
        std::io::Write::write_all(&mut server, &v2([192, 0, 2, 1], b"")).expect("a header");
        let (mut from, mut to) = (client.try_clone().expect("a copy"), server.try_clone().expect("a copy"));
        let up = thread::spawn(move || {
            let _ends = std::io::copy(&mut from, &mut to);
            let _ends = to.shutdown(std::net::Shutdown::Write);
        });
        let _ends = std::io::copy(&mut server, &mut client);
        let _ends = client.shutdown(std::net::Shutdown::Both);
        up.join().expect("no panic");
    });
    let (mut client, ..) = Client::connect_tls(relay, "a.test", &config).expect("a handshake");
    assert_eq!(client.get("/").status, 200);
    assert_eq!(endpoint.only().header(XFF), Some("192.0.2.1"));
    drop(client);
    relaying.join().expect("no panic");
}

#[test]
fn connections_are_counted_for_the_client_behind_the_balancer() {
    let (edge, _endpoint) = edge_with(BEHIND, "[limits]\nper_client = 2\n");
    let open = |client: u8| {
        let mut one = Client::connect(edge.web());
        one.send(v2([192, 0, 2, client], b""));
        one
    };
    let mut own: Vec<Client> = [1, 1, 2, 2, 3].map(open).into();
    own.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    assert!(open(1).ends(SOON), "over the cap of its client");
    assert_eq!(edge.metric("thalweg_connections_shed_total", &[("cause", "per_client")]), 1.0);
    assert_eq!(open(3).get("/").status, 200);
}
