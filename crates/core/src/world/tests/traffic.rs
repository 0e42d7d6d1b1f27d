//! What requests tell the world: bugs that the simulation found, each as the shortest script that shows it.

use super::{orders::drain, *};
use crate::{tally::Counts, test_world::incidents};

impl ScriptedWorld {
    /// `good` and `failed` requests that end now are counted; the failures are reported too.
    pub(super) fn requests(&mut self, target: &str, good: u32, failed: u32) -> Vec<Change> {
        let (id, now) = (self.ids(target)[0], self.now);
        let counts = Counts { good, failed, late: 0 };
        let last_good = (good > 0).then_some(now);
        let tally = Tally { id, counts, proof: good, last_good, ..Tally::default() };
        let mut log = self.world.apply(Event::Tallied(vec![tally]), now).log;
        for _ in 0..failed {
            log.extend(self.fail(target, Fault::Reset));
        }
        log
    }

    fn fail(&mut self, target: &str, fault: Fault) -> Vec<Change> {
        let (id, now) = (self.ids(target)[0], self.now);
        self.world.apply(Event::Suspected { id, fault, started: now, at: now }, now).log
    }

    fn refuses(&self, target: &str) -> bool {
        self.world.health(self.ids(target)[0]).unwrap().refusing
    }

    fn ejection(&self, target: &str) -> Ejection {
        self.world.health(self.ids(target)[0]).unwrap().ejection
    }
}

#[test]
fn failures_that_could_not_lead_to_an_ejection_end_with_a_good_answer() {
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
fn a_good_answer_ends_refusing_where_nothing_is_probed() {
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
    let mut log = at.order(1, drain("a/10.0.0.1:8000"));
    log.extend(at.pass(10_000));
    assert!(incidents(&log).is_empty(), "{log:?}");
    at.play("a2--");
    assert!(!incidents(&at.pass(10_000)).is_empty());
}

#[test]
fn old_failures_of_an_endpoint_that_is_clear_again_excuse_no_other() {
    let mut at = world(&[2], failover(1));
    let mut topology = at.topology();
    topology.pools[0].eject.consecutive_failures = 0;
    at.adopt(topology);
    at.play("a++");
    at.requests("a2", 9, 0);
    at.requests("a1", 10, 20);
    at.play("~300");
    at.requests("a1", 0, 1);
    assert!(matches!(at.ejection("a1"), Ejection::Ejected { .. }));
    at.play("~2300");
    at.requests("a1", 5, 0);
    at.play("~1000");
    assert_eq!(at.ejection("a1"), Ejection::Clear);
    at.requests("a1", 30, 0);
    at.requests("a2", 0, 8);
    assert!(matches!(at.ejection("a2"), Ejection::Ejected { .. }), "8 of 17, beside 0 of 30");
}

#[test]
fn one_flapping_endpoint_does_not_make_the_checker_suspected() {
    let mut at = world(&[5], failover(1));
    let mut topology = at.topology();
    let rules = topology.pools[0].probe.as_mut().unwrap();
    (rules.rise, rules.fall) = (1, 1);
    at.adopt(topology);
    at.play("a+ a1- ~60000 a2- ~60000 a3- a3+ a3- a3+ a3-");
    assert!(!at.world.snapshot().checker_suspected, "one fell within the round");
    at.play("a+ a1- a2- a3-");
    assert!(at.world.snapshot().checker_suspected);
}

#[test]
fn a_reload_that_changes_the_window_starts_the_counts_anew() {
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

#[test]
fn in_panic_real_requests_eject_and_one_endpoint_always_stays() {
    let mut at = world(&[1, 1, 1], failover(3));
    at.play("a++ b++ c++ a-- b-- c-- ~5000");
    assert_eq!(at.shares(), "a 100% panic");
    let mut log = at.requests("a1", 0, 3);
    assert_eq!(at.shares(), "b 100% panic");
    log.extend(at.pass(2500));
    assert_eq!(incidents(&log).len(), 1);
    assert_eq!((at.ejection("a1"), at.shares().as_str()), (Ejection::Probation, "b 100% panic"));
    at.requests("a1", 0, 1);
    assert!(matches!(at.ejection("a1"), Ejection::Ejected { .. }), "one failure ends a probation");
    at.pass(1000);
    at.requests("b1", 0, 3);
    assert_eq!(at.ejection("b1"), Ejection::Clear, "half of the route at most");
    let mut alone = world(&[1, 1], failover(2));
    alone.play("a++ b++ a-- b--");
    alone.fail("b", Fault::Refused);
    alone.requests("a1", 0, 9);
    assert_eq!(alone.ejection("a1"), Ejection::Clear, "the only one that answers");
}

#[test]
fn rules_that_a_reload_switches_off_end_all_ejections() {
    let mut at = world(&[1, 1], failover(2));
    at.play("a++ b++");
    let mut topology = at.topology();
    at.requests("a1", 0, 3);
    assert_ne!(at.ejection("a1"), Ejection::Clear);
    for pool in &mut topology.pools {
        (pool.eject.consecutive_failures, pool.eject.failure_ratio) = (0, 0.0);
    }
    at.adopt(topology);
    assert_eq!(at.ejection("a1"), Ejection::Clear);
    at.requests("a1", 0, 50);
    assert_eq!(at.ejection("a1"), Ejection::Clear);
}

#[test]
fn a_background_of_failures_is_no_part_of_a_later_incident() {
    let mut at = world(&[1, 1], failover(2));
    at.play("a++ b++");
    for _ in 0..15 {
        at.requests("a1", 0, 1);
        at.pass(500);
        at.requests("a1", 60, 0);
        at.pass(500);
    }
    let (began, id) = (at.now, at.ids("a1")[0]);
    // The edge reads the endpoint's statistics before it passes the failure on.
    let counts = Counts { failed: 1, ..Counts::default() };
    at.world.apply(Event::Tallied(vec![Tally { id, counts, ..Tally::default() }]), began);
    at.fail("a1", Fault::Refused);
    let mut log = at.pass(3);
    log.extend(at.requests("a1", 0, 2));
    log.extend(at.pass(5000));
    let told = incidents(&log).first().copied().expect("an incident");
    assert_eq!((told.cause, told.first_bad), (Fault::Refused, began));
}

#[test]
fn an_incident_ends_although_another_endpoint_fails_now_and_then() {
    let mut at = world(&[2], failover(1));
    at.play("a++");
    let mut log = at.requests("a1", 0, 3);
    at.play("a1--");
    for _ in 0..4 {
        log.extend(at.requests("a2", 50, 1));
        log.extend(at.pass(1000));
    }
    assert_eq!(incidents(&log).len(), 1);
}

#[test]
fn a_baseline_is_forgotten_after_a_silent_minute() {
    let mut at = world(&[1, 1], failover(2));
    at.play("a++ b++");
    let id = at.ids("a")[0];
    let tally = Tally { id, spans: vec![(8, 60)], ..Tally::default() };
    at.world.apply(Event::Tallied(vec![tally]), at.now);
    at.pass(40_000);
    assert!(at.world.snapshot().endpoints[0].p95_us.is_some());
    at.pass(40_000);
    assert!(at.world.snapshot().endpoints[0].p95_us.is_none());
}

#[test]
fn an_ejection_for_late_answers_names_lateness_as_its_fault() {
    let mut at = world(&[1, 1], failover(2));
    at.play("a++ b++");
    at.requests("a1", 0, 1);
    at.requests("a1", 30, 0);
    at.pass(11_000);
    let id = at.ids("a")[0];
    let late = |good, late| Tally { id, counts: Counts { good, failed: 0, late }, ..Tally::default() };
    at.world.apply(Event::Tallied(vec![late(5, 0)]), at.now);
    at.pass(400);
    let log = at.world.apply(Event::Tallied(vec![late(0, 10)]), at.now).log;
    let fault = log.iter().find_map(|change| match change {
        Change::Ejected { evidence, .. } => Some(evidence.fault),
        _ => None,
    });
    assert_eq!(fault, Some(Fault::Late));
}

#[test]
fn the_checker_is_suspected_when_a_new_config_reaches_no_endpoint() {
    let mut at = world(&[1, 1, 1], failover(3));
    at.play("a-- b-- c--");
    assert!(at.world.snapshot().checker_suspected, "a start counts");
    let mut at = world(&[1, 1, 1], failover(3));
    at.play("~60000 a-- b-- c--");
    assert!(!at.world.snapshot().checker_suspected, "the config is long in force");
}
