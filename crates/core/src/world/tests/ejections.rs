//! Tables for how a sentence ends: probation, its trickle, and what shortens nothing.

use super::{verdicts::causes, *};
use crate::{
    tally::Counts,
    test_world::{failover, weighted},
};

/// Failover from pool a, which was just convicted, to pool b.
fn a_is_out() -> Theatre {
    let mut at = world(&[1, 1], failover(2));
    at.play("a++ b++");
    at.serve("a", "fff");
    at
}

#[test]
fn probes_do_not_bring_back_whom_traffic_convicted() {
    let mut at = a_is_out();
    at.play("a++++ ~1900 a++++");
    assert_eq!(at.states(), "dU");
    at.play("~400");
    assert_eq!(at.states(), "TU");
}

#[test]
fn probation_ends_with_five_answers_and_a_second_or_with_the_first_failure() {
    let mut at = world(&[1, 1], failover(2));
    at.play("a++ b++");
    assert_eq!(causes(&at.serve("a", "fff")), [(Cause::Consecutive, 1)]);
    at.play("~2300");
    assert_eq!(at.states(), "TU");
    assert_eq!(causes(&at.serve("a", "gggf")), [(Cause::Probation, 2)]);
    at.play("~3900");
    assert_eq!(at.states(), "dU");
    at.play("~600");
    at.serve("a", "gggg");
    at.play("~1500");
    assert_eq!(at.states(), "TU", "four answers are not five");
    at.serve("a", "g");
    assert_eq!(at.states(), "UU");
    assert_eq!(causes(&at.serve("a", "fff")), [(Cause::Consecutive, 2)], "Clear for less than a minute");
    at.play("~5000");
    at.serve("a", "ggggg");
    at.play("~61500");
    assert_eq!(at.states(), "UU");
    assert_eq!(causes(&at.serve("a", "fff")), [(Cause::Consecutive, 1)]);
}

#[test]
fn a_request_from_before_its_probation_does_not_fail_it() {
    let mut at = a_is_out();
    let started = at.now;
    at.play("~2300");
    let id = at.ids("a")[0];
    at.world.apply(Event::Suspected { id, fault: Fault::Timeout, started, at: at.now }, at.now);
    assert_eq!(at.states(), "TU");
}

#[test]
fn a_request_from_before_its_probation_does_not_pass_it() {
    let mut at = a_is_out();
    at.play("~2300");
    let view = at.world.snapshot().endpoints[0];
    assert!(view.tried_since.is_some_and(|since| at.now.since(since) < Duration::from_millis(400)));
    let tally = |good, proof| Tally {
        id: at.ids("a")[0],
        counts: Counts { good, ..Counts::default() },
        proof,
        last_good: Some(at.now),
        ..Tally::default()
    };
    let (downloads, proof) = (tally(9, 4), tally(1, 1));
    at.world.apply(Event::Tallied(vec![downloads]), at.now);
    at.play("~1500");
    assert_eq!(at.states(), "TU", "four of the nine were sent to try it");
    at.world.apply(Event::Tallied(vec![proof]), at.now);
    assert_eq!(at.states(), "UU");
    assert_eq!(at.world.snapshot().endpoints[0].tried_since, None);
}

#[test]
fn a_sentence_survives_a_reload() {
    let mut at = a_is_out();
    let same = at.topology();
    at.adopt(same);
    assert_eq!(at.states(), "dU");
    at.play("~2300");
    assert_eq!(at.states(), "TU");
}

#[test]
fn a_trickle_goes_to_routes_that_give_the_pool_something() {
    let (shut, spare) = (weighted(&[(1, 100), (1, 0)]), weighted(&[(1, 100), (0, 100)]));
    for (route, trickles) in [(weighted(&[(1, 100), (1, 100)]), 1), (shut, 0), (spare, 0)] {
        let mut at = world(&[1, 1], route);
        at.play("a++ b++");
        at.serve("b", "fff");
        at.play("~2300 b+");
        assert_eq!(at.states(), "UT");
        assert_eq!(at.world.snapshot().routes[0].trickles.len(), trickles);
    }
}

#[test]
fn what_the_operator_gives_nothing_needs_no_proof_and_takes_up_no_cap() {
    let spare = weighted(&[(1, 100), (1, 100), (0, 100)]);
    let mut at = world(&[1, 1, 1], spare);
    at.play("a++ b++ c++");
    at.serve("c", "fff");
    assert_eq!(at.states(), "UUd");
    at.play("~2300");
    assert_eq!(at.states(), "UUT");
    at.play("~1100");
    assert_eq!(at.states(), "UUU");
    at.serve("a", "fff");
    assert_eq!(at.states(), "dUU", "c is out no more");
}

#[test]
fn a_reserve_that_serves_proves_itself_as_everybody() {
    let mut at = world(&[1, 2], weighted(&[(1, 100), (0, 100)]));
    at.play("a++ b++ a--");
    assert_eq!(at.shares(), "b 100% balanced");
    at.serve("b1", "fff");
    at.play("~4000");
    assert_eq!(at.states(), "dTU", "nobody has asked it");
    assert_eq!(at.world.snapshot().routes[0].trickles.len(), 1);
    at.serve("b1", "ggggg");
    assert_eq!(at.states(), "dUU");
}

#[test]
fn a_sentence_that_ends_in_panic_ends_in_a_trickle() {
    let mut at = a_is_out();
    at.play("a-- b-- ~2300");
    assert_eq!(at.world.snapshot().endpoints[0].ejection, Ejection::Probation);
    assert_eq!((at.shares().as_str(), at.world.snapshot().routes[0].trickles.len()), ("b 100% panic", 1));
    at.serve("a", "ggggg");
    at.play("~1100");
    assert_eq!((at.shares().as_str(), at.world.snapshot().routes[0].trickles.len()), ("a 100% panic", 0));
    let id = at.ids("a")[0];
    at.serve("a", "ff");
    let last = Event::Suspected { id, fault: Fault::Status, started: at.now, at: at.now };
    assert_eq!(at.world.apply(last, at.now).publish, Publish::Now);
}

#[test]
fn endpoints_that_traffic_took_out_serve_last_in_panic() {
    let mut at = a_is_out();
    at.play("a-- b--");
    assert_eq!(at.shares(), "b 100% panic");
    let ejected = at.world.snapshot().endpoints[0].ejection;
    assert!(matches!(ejected, Ejection::Ejected { .. }));
}
