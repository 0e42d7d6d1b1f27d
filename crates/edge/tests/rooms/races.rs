//! What the loser of a race for a first byte says about its endpoint, where nothing is known about that yet.

use std::{thread, time::Duration};

use thalweg_core::bucket_of;
use thalweg_edge::account::Account;

use super::*;

const LATE: &str = "retry = { hedge = true }\ntimeouts = { first_byte = \"4s\" }";

/// An endpoint that behaves like this beside a fast one; `asked` GETs at once, all of which the fast one answers.
fn beside_a_fast_one(behaviour: Behaviour, route: &str, asked: usize) -> (DataPlane, Endpoint, Endpoint) {
    let (first, second) = (Endpoint::start("a"), Endpoint::start("b"));
    first.behave(behaviour);
    let plane = DataPlane::start(&in_order(&[first.addr(), second.addr()], "", route));
    thread::scope(|scope| {
        let asking: Vec<_> = (0..asked).map(|_| scope.spawn(|| ask(&plane, GET))).collect();
        asking.into_iter().for_each(|asking| assert!(asking.join().unwrap().starts_with("HTTP/1.1 200")));
    });
    assert_eq!((plane.counted(&HEDGES, &["won"]), second.hits()), (asked as u64, asked));
    (plane, first, second)
}

fn evidence(plane: &DataPlane) -> [u64; 3] {
    let counts: [fn(&Account) -> u64; 3] = [|at| at.good.get(), |at| at.failed.get(), |at| at.late.get()];
    counts.map(|count| plane.accounts(count))
}

/// Faults that the keeper was told of, but for those that are none.
fn faults(plane: &mut DataPlane) -> Vec<Fault> {
    let told = std::iter::from_fn(|| plane.suspects.try_recv().ok()).map(|hint| hint.fault);
    told.filter(|fault| *fault != Fault::Local).collect()
}

#[test]
fn a_slow_report_that_loses_its_races_shows_what_is_usual_and_is_not_late() {
    let slow = Behaviour::Slow(Duration::from_millis(800));
    let (mut plane, _first, _second) = beside_a_fast_one(slow, LATE, 4);
    soon("the losers answer", || evidence(&plane) == [8, 0, 0]);
    assert_eq!(faults(&mut plane), []);
    let from = bucket_of(Duration::from_millis(800));
    let slow = |account: &Account| account.spans.read()[from..].iter().sum::<u32>().into();
    assert_eq!(plane.accounts(slow), 4);
    assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["cancelled"]), 0);
    plane.drain();
}

#[test]
fn an_endpoint_that_never_answers_is_late_although_all_its_requests_were_raced() {
    let (mut plane, _first, _second) = beside_a_fast_one(Behaviour::Hang, LATE, 4);
    assert_eq!(evidence(&plane), [4, 0, 0], "nobody can say yet");
    assert_eq!((plane.counted(&IN_FLIGHT, &[]), faults(&mut plane).len()), (0, 0), "and it takes no place");
    soon("they are late", || evidence(&plane) == [4, 0, 4]);
    assert_eq!(faults(&mut plane), [Fault::Late; 4]);
    assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["cancelled"]), 4);
    plane.drain();
}

#[test]
fn more_losers_than_a_worker_waits_for_speak_against_nobody() {
    let (plane, _first, _second) = beside_a_fast_one(Behaviour::Hang, LATE, 20);
    soon("they are late", || evidence(&plane) == [20, 0, 16]);
    assert_eq!(plane.counted(&ENDPOINT_REQUESTS, &["cancelled"]), 20);
    plane.drain();
}

#[test]
fn a_loser_that_fails_is_counted_as_what_it_did() {
    let (mut plane, first, _second) = beside_a_fast_one(Behaviour::Hang, "retry = { hedge = true }", 1);
    first.cut();
    soon("it has failed", || evidence(&plane) == [1, 1, 0]);
    assert_eq!(faults(&mut plane), [Fault::Reset]);
    plane.drain();
}
