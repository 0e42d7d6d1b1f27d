//! `max_in_flight`: what happens to requests when every endpoint already has as many as it may have.

use std::{thread, time::Duration};

use thalweg_testkit::{Behaviour, Client, Conf, Edge, Endpoint, eventually, get};

use crate::{SOON, common::assert_ours};

#[test]
fn a_full_endpoint_is_overloaded_and_says_when_to_come_back() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::new()
        .edge("workers = 1")
        .listener("web", "")
        .pool("p", &[endpoint.addr()], "max_in_flight = 2")
        .route("all", "failover", &["p"], "");
    let edge = Edge::start(&conf);
    edge.until_up(1);
    endpoint.behave(Behaviour::Slow(Duration::from_millis(800)));
    let asked: Vec<_> = (0..6)
        .map(|_| {
            let addr = edge.web();
            thread::spawn(move || get(addr, "/"))
        })
        .collect();
    let replies: Vec<_> = asked.into_iter().map(|thread| thread.join().expect("an answer")).collect();
    let refused: Vec<_> = replies.iter().filter(|reply| reply.status != 200).collect();
    assert_eq!(refused.len(), 4, "two fit");
    for reply in refused {
        assert_ours(reply, 503, "overloaded");
        assert!(reply.header("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()));
    }
    assert_eq!(edge.metric("thalweg_refusals_total", &[("route", "all"), ("refusal", "overloaded")]), 4.0);
}

#[test]
fn a_cap_holds_over_all_workers_and_counts_upgraded_streams() {
    let endpoint = Endpoint::start("a");
    let conf = Conf::new()
        .edge("workers = 4")
        .listener("web", "")
        .pool("p", &[endpoint.addr()], "max_in_flight = 3")
        .route("all", "failover", &["p"], "");
    let edge = Edge::start(&conf);
    edge.until_up(1);
    let mut upgraded = Client::connect(edge.web());
    upgraded.send("GET /ws HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    assert!(upgraded.head().expect("a head").line.contains("101"));
    endpoint.behave(Behaviour::Hang);
    let mut held: Vec<Client> = (1..3)
        .map(|nth| {
            let mut client = Client::connect(edge.web());
            client.send("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
            eventually("the request is under way", SOON, || endpoint.hits() == 1 + nth);
            client
        })
        .collect();
    for _ in 0..20 {
        assert_ours(&get(edge.web(), "/"), 503, "overloaded");
    }
    assert_eq!(endpoint.hits(), 3);
    // Each request that ends makes room for another, in any worker.
    endpoint.behave(Behaviour::Serve);
    held.pop().expect("two are held").reset();
    eventually("a slot is free again", SOON, || get(edge.web(), "/").status == 200);
}
