//! What requests tell the world: bugs that the simulation found, each as the shortest script that shows it.

use super::*;
use crate::{Counts, Tally};

impl Theatre {
    /// `good` and `failed` requests that end now are counted; the failures are told too.
    fn requests(&mut self, who: &str, good: u32, failed: u32) -> Vec<Change> {
        let (id, now) = (self.ids(who)[0], self.now);
        let counts = Counts { good, failed, late: 0 };
        let tally = Tally { id, counts, last_good: (good > 0).then_some(now), ..Tally::default() };
        let mut log = self.world.apply(Event::Tallied(vec![tally]), now).log;
        for _ in 0..failed {
            log.extend(self.fail(who, Fault::Reset));
        }
        log
    }

    fn fail(&mut self, who: &str, fault: Fault) -> Vec<Change> {
        let (id, now) = (self.ids(who)[0], self.now);
        self.world.apply(Event::Suspected { id, fault, started: now, at: now }, now).log
    }

    fn refuses(&self, who: &str) -> bool {
        self.world.health(self.ids(who)[0]).unwrap().refusing
    }

    fn ejection(&self, who: &str) -> Ejection {
        self.world.health(self.ids(who)[0]).unwrap().ejection
    }
}

fn is_incident(change: &Change) -> bool {
    matches!(change, Change::Incident(_))
}

#[test]
fn failures_that_nobody_could_be_ejected_for_are_over_with_a_good_answer() {
    let mut at = world(&[2], failover(1));
    at.play("a1++");
    at.requests("a1", 0, 3);
    assert_eq!(at.ejection("a1"), Ejection::Clear, "the last one that is up");
    at.play("a2++ ~20000");
    at.requests("a1", 8, 0);
    at.requests("a1", 1, 1);
    assert_eq!(at.ejection("a1"), Ejection::Clear);
    at.play("~1");
    at.requests("a1", 0, 3);
    assert_ne!(at.ejection("a1"), Ejection::Clear);
}

#[test]
fn a_good_answer_to_a_request_ends_refusing_where_nothing_is_probed() {
    let mut at = world(&[2], failover(1));
    let mut topology = at.topology();
    topology.pools[0].probe = None;
    at.adopt(topology);
    at.fail("a1", Fault::Refused);
    assert!(at.refuses("a1"));
    at.play("~10");
    at.requests("a1", 1, 0);
    assert!(!at.refuses("a1"));
}

#[test]
fn an_order_after_a_failed_probe_is_no_incident() {
    let mut at = world(&[2], failover(1));
    at.play("a++ a1-");
    let key = at.world.key(at.ids("a1")[0]).unwrap().clone();
    let mut log = at.world.apply(Event::Ordered { key, admin: Admin::Disabled }, at.now).log;
    log.extend(at.pass(10_000));
    assert!(!log.iter().any(is_incident), "{log:?}");
    at.play("a2--");
    assert!(at.pass(10_000).iter().any(is_incident));
}

#[test]
fn old_failures_of_one_that_was_acquitted_excuse_nobody() {
    let mut at = world(&[2], failover(1));
    let mut topology = at.topology();
    topology.pools[0].eject.consecutive_failures = 0;
    at.adopt(topology);
    at.play("a++");
    at.requests("a2", 7, 0);
    at.requests("a1", 10, 20);
    at.play("~300");
    at.requests("a1", 0, 1);
    assert!(matches!(at.ejection("a1"), Ejection::Ejected { .. }));
    at.play("~2300");
    at.requests("a1", 5, 0);
    at.play("~1000");
    assert_eq!(at.ejection("a1"), Ejection::Clear);
    at.requests("a2", 0, 4);
    assert!(matches!(at.ejection("a2"), Ejection::Ejected { .. }), "4 of 11, beside none");
}

#[test]
fn one_that_flaps_is_no_crowd() {
    let mut at = world(&[5], failover(1));
    let mut topology = at.topology();
    let rules = topology.pools[0].probe.as_mut().unwrap();
    (rules.rise, rules.fall) = (1, 1);
    at.adopt(topology);
    at.play("a+ a1- ~60000 a2- ~60000 a3- a3+ a3- a3+ a3-");
    assert!(!at.world.snapshot().doubted, "one fell within the round");
    at.play("a+ a1- a2- a3-");
    assert!(at.world.snapshot().doubted);
}

#[test]
fn a_window_that_a_reload_changes_starts_to_count_anew() {
    let mut at = world(&[1, 1], failover(2));
    let mut topology = at.topology();
    topology.pools.iter_mut().for_each(|pool| pool.eject.consecutive_failures = 0);
    at.adopt(topology.clone());
    at.play("a++ b++");
    at.requests("b1", 0, 20);
    at.requests("a1", 1, 20);
    at.play("~300");
    at.requests("a1", 0, 1);
    assert_eq!(at.ejection("a1"), Ejection::Clear, "b1 is as bad");
    topology.pools[1].eject.window = Duration::from_secs(120);
    at.adopt(topology);
    at.fail("a1", Fault::Reset);
    assert_eq!(at.ejection("a1"), Ejection::Clear, "what it was compared with is gone");
}
