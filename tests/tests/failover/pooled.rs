//! Idle connections to endpoints that died while they waited in the pool.

use thalweg_testkit::{Client, Endpoint, eventually};

use crate::{SOON, unprobed, unprobed_first};

#[test]
fn a_pooled_connection_that_died_idle_costs_no_request_and_doubles_no_post() {
    let endpoint = Endpoint::start("a");
    let edge = unprobed(&[&endpoint], "");
    let mut client = Client::connect(edge.web());
    for nth in 0..30 {
        let die = || {
            endpoint.cut();
            eventually("the pooled connection is dead", SOON, || endpoint.open_connections() == 0);
        };
        assert_eq!(client.get("/").status, 200, "{nth}");
        die();
        let reply =
            client.ask("POST", "/upload", &format!("x-request-id: p{nth}\r\n"), b"x").expect("an answer");
        // A close that crosses the request looks the same as a close after it was read: the answer is 502, without a retry.
        assert!([200, 502].contains(&reply.status), "{}", reply.head.line);
        die();
        assert_eq!(client.get("/").status, 200, "{nth}: a connection that died idle is no reason to fail");
    }
    let seen = endpoint.ids();
    let twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "arrived twice: {twice:?}");
    let lost = (0..30).filter(|nth| !seen.contains_key(&format!("p{nth}"))).count();
    assert!(lost <= 2, "{lost} of 30 POSTs were given up though the connection had died before them");
}

#[test]
fn a_request_whose_pooled_connection_died_with_its_endpoint_goes_elsewhere_as_it_was() {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let edge = unprobed_first(&[&first, &second], "host = \"inner.test\"", "");
    for (nth, method) in ["POST", "PATCH", "PUT", "DELETE"].iter().enumerate() {
        first.revive();
        let mut client = Client::connect(edge.web());
        assert_eq!(client.get("/warm").endpoint(), "a", "a pooled connection of this worker");
        second.forget();
        // While the edge stands still, the request comes first and the death of its connection right behind it: the
        // edge hands the request to a connection that it then finds dead, and a new one is refused.
        edge.freeze();
        let head =
            format!("{method} /upload?n={nth} HTTP/1.1\r\nhost: api.test\r\nx-request-id: both{nth}\r\n");
        client.send(format!("{head}content-length: 4\r\n\r\nbody"));
        first.die();
        eventually("its connections are gone", SOON, || first.open_connections() == 0);
        edge.thaw();
        let reply = client.reply(method).expect("an answer");
        assert_eq!((reply.status, reply.endpoint()), (200, "b"), "{method}");
        let seen = second.only();
        assert_eq!(seen.head.all("host"), ["api.test"], "{method}: the first pool's host is its own");
        assert_eq!((seen.method(), seen.target()), (*method, format!("/upload?n={nth}").as_str()));
        assert_eq!(seen.header("x-request-id"), Some(&*format!("both{nth}")));
        assert_eq!((seen.body_len, seen.body_hash), (4, Endpoint::hash(b"body")), "{method}");
    }
}
