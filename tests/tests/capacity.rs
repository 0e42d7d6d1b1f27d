//! A pool never gets more than its declared capacity: the rest goes to the next pool, what exceeds all of them waits a
//! moment, and what may not wait is refused at once.

mod common;

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use common::{alone, assert_ours};
use thalweg_testkit::{Client, Conf, Edge, Endpoint, free_port, get};

/// Asks `threads` × 100 times a second for `span`; returns how often each endpoint answered, or each error status came.
fn ask(edge: &Edge, threads: usize, span: Duration) -> (BTreeMap<String, u32>, Duration) {
    let began = Instant::now();
    let asking: Vec<_> = (0..threads)
        .map(|_| {
            let addr = edge.web();
            thread::spawn(move || {
                let mut client = Client::connect(addr);
                let mut counts: BTreeMap<String, u32> = BTreeMap::new();
                while began.elapsed() < span {
                    let reply = client.get("/");
                    let by =
                        reply.header("x-endpoint").map_or_else(|| reply.status.to_string(), str::to_owned);
                    *counts.entry(by).or_default() += 1;
                    thread::sleep(Duration::from_millis(10));
                }
                counts
            })
        })
        .collect();
    let mut sum = BTreeMap::new();
    for thread in asking {
        for (by, count) in thread.join().expect("every request is answered") {
            *sum.entry(by).or_default() += count;
        }
    }
    (sum, began.elapsed())
}

#[test]
fn requests_over_a_capacity_go_to_the_next_pool_and_over_all_capacities_are_refused() {
    let _alone = alone();
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf = Conf::new()
        .listener("web", "")
        .pool("near", &[first.addr()], "capacity = 60\nqueue = { size = 0 }")
        .pool("far", &[second.addr()], "capacity = 60\nqueue = { size = 0 }")
        .route("all", "failover", &["near", "far"], "");
    let edge = Edge::start(&conf);
    edge.until_up(2);
    assert_eq!(edge.metric("thalweg_pool_capacity", &[("pool", "near")]), 60.0);
    let (counts, span) = ask(&edge, 4, Duration::from_secs(5));
    let of = |by: &str| f64::from(counts.get(by).copied().unwrap_or(0));
    let most = 60.0 * (span.as_secs_f64() + 1.0);
    assert!(of("a") <= most && of("b") <= most, "{counts:?} in {span:?}");
    let asked: f64 = counts.values().copied().map(f64::from).sum();
    if asked > 3.0 * 60.0 * span.as_secs_f64() {
        let used = (of("a") + of("b")) / (120.0 * span.as_secs_f64());
        assert!(used > 0.8 && of("503") > 0.0, "{counts:?} in {span:?}");
    }
    assert!(of("a") > 0.0 && of("b") > 0.0, "{counts:?}");
    let spilt =
        edge.metric("thalweg_decisions_total", &[("route", "all"), ("pool", "far"), ("reason", "spill")]);
    assert_eq!(spilt, of("b"));
    let mut refused = get(edge.web(), "/");
    for _ in 0..1000 {
        if refused.status == 503 {
            break;
        }
        refused = get(edge.web(), "/");
    }
    if refused.status == 503 {
        assert_ours(&refused, 503, "overloaded");
        assert!(refused.header("retry-after").is_some(), "{:?}", refused.head);
    }
}

/// Sends this many GETs to an edge that is standing still, so that it finds all of them at once; returns their statuses.
fn burst(edge: &Edge, count: usize) -> Vec<u16> {
    let mut clients: Vec<Client> = (0..count).map(|_| Client::connect(edge.web())).collect();
    edge.freeze();
    clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    edge.thaw();
    clients.iter_mut().map(|client| client.reply("GET").expect("an answer").status).collect()
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|seen| **seen == status).count()
}

#[test]
fn a_burst_waits_for_room_and_only_what_finds_no_place_is_refused() {
    let _alone = alone();
    let endpoint = Endpoint::start("a");
    let conf = Conf::new().listener("web", "").pool("p", &[endpoint.addr()], "capacity = 200").route(
        "all",
        "failover",
        &["p"],
        "",
    );
    let edge = Edge::start(&conf);
    edge.until_up(1);
    // The bucket holds 9, and 20 may wait.
    let small = burst(&edge, 20);
    assert_eq!(count(&small, 200), 20, "{small:?}");
    assert!(edge.metric("thalweg_queue_waits_total", &[("result", "served")]) >= 1.0);
    let large = burst(&edge, 120);
    let (served, refused) = (count(&large, 200), count(&large, 503));
    assert_eq!(served + refused, 120, "{large:?}");
    assert!(served >= 20 && refused >= 20, "{served} served, {refused} refused");
    assert_eq!(edge.metric("thalweg_queue_length", &[("pool", "p")]), 0.0);
}

#[test]
fn a_retry_after_a_failed_connection_waits_as_well() {
    let _alone = alone();
    let endpoint = Endpoint::start("a");
    let dead = free_port();
    let conf = Conf::new()
        .listener("web", "")
        .pool("gone", &[([127, 0, 0, 1], dead).into()], "# no probe\neject = { consecutive_failures = 0 }")
        .pool("full", &[endpoint.addr()], "capacity = 200")
        .route("all", "failover", &["gone", "full"], "");
    let edge = Edge::start(&conf);
    edge.until_up(2);
    let seen = burst(&edge, 25);
    assert_eq!(count(&seen, 200), 25, "{seen:?}");
}

#[test]
fn a_capacity_that_is_not_reached_changes_nothing() {
    let _alone = alone();
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    let conf = Conf::new()
        .listener("web", "")
        .pool("near", &[first.addr()], "capacity = 5000")
        .pool("far", &[second.addr()], "")
        .route("all", "failover", &["near", "far"], "");
    let edge = Edge::start(&conf);
    edge.until_up(2);
    let (counts, _) = ask(&edge, 2, Duration::from_secs(2));
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["a"], "{counts:?}");
}
