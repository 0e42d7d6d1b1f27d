//! HTTP/2 towards endpoints: what arrives there, what comes back, streams that share connections, and how a connection ends.

mod common;

use std::{io::Write as _, time::Duration};

use bytes::Bytes;
use common::{assert_ours, why};
use h2::Reason;
use http::Request;
use http_body_util::Full;
use thalweg_testkit::{
    Authority, Client, Conf, Edge, H2, H2Endpoint, RawH2, client_config, eventually, server_config_with,
};

const SOON: Duration = Duration::from_secs(8);

/// A config with the listeners `web` and `clear`, and one unprobed pool per address that speaks HTTP/2.
fn conf(endpoints: &[std::net::SocketAddr], lines: &str) -> Conf {
    let mut conf = Conf::new().listener("web", "").listener("clear", "protocols = [\"h2c\"]");
    let names: Vec<String> = (0..endpoints.len()).map(|nth| format!("p{nth}")).collect();
    for (name, addr) in names.iter().zip(endpoints) {
        conf = conf.pool(name, &[*addr], &format!("# no probe\nprotocol = \"h2\"\n{lines}"));
    }
    conf.route("all", "failover", &names.iter().map(String::as_str).collect::<Vec<_>>(), "")
}

fn over(endpoint: &H2Endpoint) -> Edge {
    Edge::start(&conf(&[endpoint.addr()], ""))
}

fn h2(edge: &Edge) -> H2 {
    H2::connect_clear(edge.addr("clear")).expect("h2c")
}

#[test]
fn a_get_goes_through_from_either_protocol() {
    let endpoint = H2Endpoint::start("a");
    let edge = over(&endpoint);
    let reply = Client::connect(edge.web()).ask("GET", "/x?y=1", "te: trailers\r\nconnection: te\r\ncookie: a=1\r\n", b"");
    let reply = reply.expect("an answer");
    assert_eq!((reply.status, reply.text().as_str(), reply.endpoint()), (200, "hello", "a"));
    assert_eq!(h2(&edge).get("http://a.test/z").expect("an answer").body.as_ref(), b"hello");
    let seen = endpoint.seen();
    assert_eq!(seen[0].pseudo[0], "GET");
    assert_eq!(seen[0].pseudo[1], "http");
    assert_eq!(seen[0].pseudo[3], "/x?y=1");
    assert_eq!(seen[1].pseudo, ["GET", "http", "a.test", "/z"]);
    let header = |nth: usize, name: &str| seen[nth].headers.get(name).map(|value| value.to_str().expect("text"));
    assert_eq!(header(0, "te"), Some("trailers"));
    assert_eq!(header(1, "te"), None);
    assert_eq!(header(0, "cookie"), Some("a=1"));
    assert_eq!((header(0, "via"), header(1, "via")), (Some("1.1 thalweg"), Some("2 thalweg")));
    assert_eq!(header(1, "x-forwarded-host"), Some("a.test"));
    for absent in ["host", "connection", "transfer-encoding", "upgrade"] {
        assert_eq!(header(0, absent), None, "{absent}");
    }
}
