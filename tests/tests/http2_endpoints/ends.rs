//! How a connection of HTTP/2 ends, and what becomes of its streams.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use thalweg_testkit::{Client, Edge, H2Endpoint, Island, RawH2, eventually, skip};

use crate::{SOON, conf, h2, over};

#[test]
fn a_goaway_loses_no_request() {
    // Each connection answers three requests; the GOAWAY names the third, and later streams are not looked at.
    let addr = RawH2::listen(|conn, _| {
        conn.greet()?;
        let mut streams = vec![];
        while streams.len() < 3 {
            streams.push(conn.request()?);
            if streams.len() < 3 {
                conn.ok(streams[streams.len() - 1])?;
            }
        }
        let mut goaway = streams[2].to_be_bytes().to_vec();
        goaway.extend([0; 4]);
        conn.send(7, 0, 0, &goaway)?;
        conn.ok(streams[2])?;
        loop {
            conn.next(true)?;
        }
    });
    let edge = Edge::start(&conf(&[addr], ""));
    let h2 = h2(&edge);
    let asked: Vec<_> = (0..4)
        .map(|_| {
            let h2 = h2.clone();
            std::thread::spawn(move || {
                (0..20)
                    .map(|_| h2.post("http://a.test/", "").map_or(0, |reply| reply.status))
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let all: Vec<u16> = asked.into_iter().flat_map(|asked| asked.join().expect("answers")).collect();
    assert_eq!(all.iter().filter(|status| **status == 200).count(), 80, "{all:?}");
    assert!(edge.events_of("ejected").is_empty());
}

#[test]
fn a_connection_that_dies_ends_its_streams_as_a_reset() {
    let endpoint = H2Endpoint::start("a");
    let other = H2Endpoint::start("b");
    let edge = Edge::start(&conf(&[endpoint.addr(), other.addr()], ""));
    let h2 = h2(&edge);
    for (method, status) in [("POST", 502), ("GET", 200)] {
        let before = endpoint.accepted();
        let request = Request::builder().method(method).uri("http://a.test/hang");
        let request = request.body(Full::new(Bytes::new())).expect("a request");
        let asked = {
            let h2 = h2.clone();
            std::thread::spawn(move || h2.ask(request).map(|reply| reply.status))
        };
        eventually("it is there", SOON, || edge.metric("thalweg_endpoint_in_flight", &[]) >= 1.0);
        let _ = before;
        if status == 200 {
            endpoint.cut();
            eventually("it goes to the other", SOON, || {
                edge.metric("thalweg_retries_total", &[("cause", "reset")]) >= 1.0
            });
            other.cut();
            let _either_is_fine = asked.join().expect("an end");
        } else {
            endpoint.cut();
            assert_eq!(asked.join().expect("an end").expect("an answer"), status);
        }
    }
}

#[test]
fn a_connection_that_ended_while_idle_costs_no_post() {
    let endpoint = H2Endpoint::start("a");
    let edge = over(&endpoint);
    let h2 = h2(&edge);
    for nth in 0..20 {
        assert_eq!(h2.post("http://a.test/echo", "x").expect("an answer").status, 200, "request {nth}");
        endpoint.cut();
    }
    assert_eq!(endpoint.seen().len(), 20, "none was sent twice");
}

#[test]
fn an_endpoint_that_answers_no_ping_is_given_up() {
    let mute = RawH2::listen(|conn, _| {
        conn.greet()?;
        loop {
            conn.next(false)?;
        }
    });
    let good = H2Endpoint::start("good");
    let edge = Edge::start(&conf(&[mute, good.addr()], "").raw("[eject]\nconsecutive_failures = 0\n"));
    let h2 = h2(&edge);
    let reply = h2.get("http://a.test/").expect("an answer");
    assert_eq!(
        reply.headers["x-endpoint"], "good",
        "the connection was given up before `first_byte` (15 s) was over"
    );
}

#[test]
fn a_new_protocol_closes_the_connections_of_the_old_one() {
    let endpoint = H2Endpoint::start("a");
    let old = conf(&[endpoint.addr()], "");
    let mut edge = Edge::start(&old);
    assert_eq!(Client::connect(edge.web()).get("/").status, 200);
    let text = edge.render(&old).replace("protocol = \"h2\"", "protocol = \"http/1.1\"");
    edge.replace(&text);
    eventually("the endpoint gets HTTP/1.1, which it does not speak", SOON, || {
        Client::connect(edge.web()).get("/").status == 502
    });
    let text = edge.render(&old);
    edge.replace(&text);
    eventually("and HTTP/2 again", SOON, || Client::connect(edge.web()).get("/").status == 200);
}

#[test]
fn idle_connections_close_in_time_and_the_metrics_show_them() {
    let endpoint = H2Endpoint::start("a");
    let edge = Edge::start(&conf(&[endpoint.addr()], "keepalive = { idle = \"1s\" }"));
    assert_eq!(Client::connect(edge.web()).get("/").status, 200);
    let shown = |state: &str| edge.metric("thalweg_upstream_connections", &[("state", state)]);
    eventually("it is idle", SOON, || (shown("idle"), shown("active")) == (1.0, 0.0));
    eventually("it is closed", SOON, || shown("idle") == 0.0);
    assert_eq!(Client::connect(edge.web()).get("/").status, 200);
    assert!(endpoint.accepted() >= 2);
}

#[test]
fn gets_on_a_connection_that_is_dead_move_to_another_endpoint() {
    let name = "gets_on_a_connection_that_is_dead_move_to_another_endpoint";
    let island = match Island::new() {
        Ok(island) => island,
        Err(reason) => return skip(name, &reason),
    };
    let (far, near) = (island.h2_endpoint("far"), H2Endpoint::start("near"));
    let edge = Edge::start(&conf(&[far.addr(), near.addr()], "").edge("workers = 1"));
    let h2 = h2(&edge);
    assert_eq!(h2.get("http://a.test/").expect("an answer").headers["x-endpoint"], "far");
    island.cut_off();
    let asked: Vec<_> = (0..6)
        .map(|_| {
            let h2 = h2.clone();
            std::thread::spawn(move || {
                let began = std::time::Instant::now();
                let reply = h2.get("http://a.test/").expect("an answer");
                (reply.headers["x-endpoint"].to_str().expect("text").to_owned(), began.elapsed())
            })
        })
        .collect();
    for asked in asked {
        let (by, took) = asked.join().expect("an answer");
        // As over HTTP/1.1: long before `first_byte` (15 s), and before the kernel gives up (10 s).
        assert!(by == "near" && took < Duration::from_secs(5), "{by} after {took:?}");
    }
    island.reconnect();
    eventually("the island serves again", SOON, || {
        h2.get("http://a.test/").is_ok_and(|reply| reply.headers["x-endpoint"] == "far")
    });
}
