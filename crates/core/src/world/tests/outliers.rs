//! Tables for what the world concludes from real traffic: requests in, the endpoints that serve out.

use super::*;
use crate::{
    baseline::bucket_of,
    incident::{Incident, Scope},
    tally::{Counts, FailureCost},
    test_world::{failover, incidents, weighted},
    view::EndpointView,
};

impl ScriptedWorld {
    /// `g`ood answers, `f` 5xx, `r`efused connections, `l`ate first bytes of one endpoint, a millisecond apart.
    pub(super) fn serve(&mut self, target: &str, requests: &str) -> Vec<Change> {
        let mut log = Vec::new();
        for request in requests.chars() {
            log.extend(self.pass(1));
            log.extend(self.end(target, request, self.now));
        }
        log
    }

    /// Requests in this order, 16 ms apart: `a` answers in 5 ms, `A` is late after 60.
    fn serve_at_once(&mut self, draws: &str) -> Vec<Change> {
        let began = self.now;
        let request = |(nth, target): (u64, char)| {
            let (result, takes) = if target.is_uppercase() { ('l', 60) } else { ('g', 5) };
            (nth * 16 + takes, nth * 16, target.to_ascii_lowercase(), result)
        };
        let mut requests: Vec<_> = (0..).zip(draws.chars()).map(request).collect();
        requests.sort_unstable();
        let mut log = Vec::new();
        for (ends, starts, target, result) in requests {
            let at = |ms| began.after(Duration::from_millis(ms));
            log.extend(self.pass(at(ends).since(self.now).as_millis().try_into().unwrap()));
            log.extend(self.end(&target.to_string(), result, at(starts)));
        }
        log
    }

    /// A request that began at `started` ends.
    fn end(&mut self, target: &str, request: char, started: Tick) -> Vec<Change> {
        let id = self.ids(target)[0];
        let good = request == 'g';
        let (failed, late) = (u32::from(matches!(request, 'f' | 'r')), u32::from(request == 'l'));
        let fallout = FailureCost { retried: failed, ..FailureCost::default() };
        let span = u8::try_from(bucket_of(Duration::from_millis(5))).unwrap();
        let tally = Tally {
            id,
            counts: Counts { good: good.into(), failed, late },
            proof: good.into(),
            last_good: good.then_some(self.now),
            spans: if good { vec![(span, 1)] } else { Vec::new() },
            fallout,
        };
        let mut log = self.world.apply(Event::Tallied(vec![tally]), self.now).log;
        let fault = match request {
            'g' => return log,
            'r' => Fault::Refused,
            'l' => Fault::Late,
            _ => Fault::Status,
        };
        let event = Event::Suspected { id, fault, started, at: self.now };
        log.extend(self.world.apply(event, self.now).log);
        log
    }

    /// `U`p, `T`rickle, `d`own, in layout order.
    pub(super) fn states(&mut self) -> String {
        let letter = |view: &EndpointView| match view.availability {
            Availability::Up => 'U',
            Availability::Trickle => 'T',
            _ => 'd',
        };
        self.world.snapshot().endpoints.iter().map(letter).collect()
    }
}

pub(super) fn causes(log: &[Change]) -> Vec<(Cause, u32)> {
    let cause = |change: &Change| match change {
        Change::Ejected { cause, count, .. } => Some((*cause, *count)),
        _ => None,
    };
    log.iter().filter_map(cause).collect()
}

/// Which endpoints are out after these requests, of three pools with one endpoint each.
fn check(requests: &[(&str, &str)], expected: &str) {
    let mut at = world(&[1, 1, 1], weighted(&[(1, 100), (1, 100), (1, 100)]));
    at.play("a++ b++ c++");
    for (target, requests) in requests {
        at.serve(target, requests);
    }
    assert_eq!(at.states(), expected, "{requests:?}");
}

#[test]
fn three_failures_in_a_row_take_a_region_of_one_endpoint_out() {
    check(&[("a", "gggfff")], "dUU");
    check(&[("a", "ffgffgff")], "UUU");
    check(&[("a", "frl")], "dUU");
    check(&[("a", "gg"), ("b", "rrr")], "UdU");
}

#[test]
fn a_flapper_is_caught_by_its_share_unless_all_fail_alike() {
    let (half, good) = ("gf".repeat(200), "g".repeat(30));
    check(&[("b", &good), ("c", &good), ("a", &half)], "dUU");
    let mut at = world(&[1, 1, 1], weighted(&[(1, 100), (1, 100), (1, 100)]));
    at.play("a++ b++ c++");
    for _ in 0..200 {
        for target in ["a", "b", "c"] {
            at.serve(target, "gf");
        }
    }
    assert_eq!(at.states(), "UUU");
    check(&[("b", &"gggggggggf".repeat(60))], "UUU");
}

#[test]
fn lateness_counts_only_while_the_others_are_in_time() {
    check(&[("b", "ggg"), ("c", "ggg"), ("a", "lll")], "dUU");
    let mut at = world(&[1, 1, 1], weighted(&[(1, 100), (1, 100), (1, 100)]));
    at.play("a++ b++ c++");
    for _ in 0..9 {
        for target in ["a", "b", "c"] {
            at.serve(target, "gl");
        }
    }
    for _ in 0..9 {
        for target in ["a", "b", "c"] {
            at.serve(target, "l");
        }
    }
    assert_eq!(at.states(), "UUU", "everything is slow: that is not one endpoint's fault");
}

/// The answers of the seconds before are good, and the endpoints that are drawn first give the first few late ones.
#[test]
fn no_endpoint_is_ejected_when_all_become_slow_at_once() {
    let check = |draws: &str, expected: &str| {
        let mut at = world(&[1, 1, 1], weighted(&[(1, 100), (1, 100), (1, 100)]));
        at.play("a++ b++ c++");
        for target in ["a", "b", "c"] {
            at.serve(target, &"g".repeat(20));
        }
        at.serve_at_once(draws);
        assert_eq!(at.states(), expected, "{draws}");
    };
    check("ABAACACBCA", "UUU");
    check("AABCACBBCA", "UUU");
    check("BABBAACBCC", "UUU");
    check("AbcAbcAbc", "dUU");
    check("AbAbAbAb", "dUU");
    check("AbcABcAbcAbc", "dUU");
}

#[test]
fn the_caps_leave_most_of_a_route_alone() {
    check(&[("a", "fff"), ("b", "ffffff")], "dUU");
    let mut alone = world(&[1], failover(1));
    alone.play("a++");
    alone.serve("a", "ffffffff");
    assert_eq!(alone.states(), "U", "no other endpoint is left");
    let mut pair = world(&[2], failover(1));
    pair.play("a++");
    pair.serve("a1", "fff");
    pair.serve("a2", "ffffff");
    assert_eq!(pair.states(), "dU");
    let mut six = world(&[6], failover(1));
    six.play("a++");
    for target in ["a1", "a2", "a3"] {
        six.serve(target, "fff");
    }
    assert_eq!(six.states(), "ddUUUU", "a third in any second");
    six.pass(1000);
    six.serve("a3", "f");
    assert_eq!(six.states(), "dddUUU");
    six.pass(900);
    six.serve("a4", "fff");
    assert_eq!(six.states(), "dddUUU", "half of them at most");
}

#[test]
fn a_probe_that_times_out_while_requests_are_answered_proves_nothing() {
    let mut at = world(&[1, 1], failover(2));
    at.play("a++ b++");
    let timeout = |at: &mut ScriptedWorld| {
        let id = at.ids("a")[0];
        let evidence = Evidence { fault: Fault::Timeout, detail: "".into() };
        at.world.apply(Event::Probed { id, result: Err(evidence) }, at.now);
    };
    for _ in 0..5 {
        at.serve("a", "g");
        timeout(&mut at);
    }
    assert_eq!(at.states(), "UU");
    at.play("~400");
    timeout(&mut at);
    timeout(&mut at);
    assert_eq!(at.states(), "dU");
}

#[test]
fn a_lack_of_local_resources_ejects_no_endpoint() {
    let mut at = world(&[1, 1], failover(2));
    at.play("a++ b++");
    let id = at.ids("a")[0];
    for _ in 0..9 {
        at.world.apply(Event::Suspected { id, fault: Fault::Local, started: at.now, at: at.now }, at.now);
    }
    assert_eq!(at.states(), "UU");
}

#[test]
fn the_checker_is_suspected_when_most_fall_in_one_round_and_no_longer_when_they_are_back() {
    let mut at = world(&[1, 1, 1], failover(3));
    at.play("a++ b++ c++ ~60000");
    let suspicions = |log: Vec<Change>| {
        let suspicion = |change: &Change| match change {
            Change::CheckerSuspected { on, fallen, of, after_reload } => {
                Some((*on, *fallen, *of, *after_reload))
            }
            _ => None,
        };
        log.iter().filter_map(suspicion).collect::<Vec<_>>()
    };
    assert_eq!(suspicions(at.play("a--")), []);
    assert_eq!(suspicions(at.play("~100 b--")), [(true, 2, 3, false)]);
    assert!(at.world.snapshot().checker_suspected);
    assert_eq!(suspicions(at.play("c--")), []);
    assert_eq!(suspicions(at.play("a++ b++")), [(false, 1, 3, false)]);
    assert_eq!(suspicions(at.play("~60000 a-- ~60000 b--")), [], "one after the other is not at once");
    let same = at.topology();
    at.play("a++ b++ c++ ~60000");
    at.adopt(same);
    assert_eq!(suspicions(at.play("a-- b--")), [(true, 2, 3, true)]);
}

#[test]
fn an_incident_is_logged_once_when_no_request_fails_any_more() {
    let mut at = world(&[1, 2], failover(2));
    at.play("a++ b++");
    let began = at.now;
    at.serve("a", "rrr");
    at.play("a--");
    assert_eq!(at.states(), "dUU");
    let seen = |log: Vec<Change>| incidents(&log).first().map(|told| Incident::clone(told));
    assert_eq!(seen(at.play("~1500")), None);
    let incident = seen(at.play("~600")).unwrap();
    assert_eq!((&*incident.pool, incident.scope, incident.cause), ("a", Scope::Region, Fault::Refused));
    let ms = |tick: Tick| tick.since(began).as_millis();
    assert_eq!([ms(incident.first_bad), ms(incident.detected), ms(incident.last_bad)], [1, 3, 3]);
    assert_eq!((incident.failed, incident.retried, incident.endpoints.len()), (0, 3, 1));
    let mut at = world(&[1, 2], failover(2));
    at.play("a++ b++");
    at.serve("b1", "ff");
    assert_eq!(seen(at.play("~9000")), None, "no endpoint was lost");
    at.serve("b1", "fff");
    let incident = seen(at.play("~9000")).unwrap();
    assert_eq!((&*incident.pool, incident.scope), ("b", Scope::Endpoint));
}

#[test]
fn failures_before_an_endpoint_is_lost_count_for_its_incident() {
    let mut at = world(&[2, 1], failover(2));
    at.play("a++ b++");
    let mut log = at.serve("a1", "rrr");
    log.extend(at.serve("a2", "rrrr"));
    assert_eq!(at.states(), "dUU", "one of three is enough");
    log.extend(at.play("a2-- ~3000"));
    let costs = |log: &[Change]| -> Vec<(u32, usize)> {
        incidents(log).iter().map(|told| (told.retried, told.endpoints.len())).collect()
    };
    assert_eq!(costs(&log), [(7, 2)]);
    // The first endpoint's incident is over before the second endpoint is lost.
    let mut at = world(&[2, 1], failover(2));
    at.play("a++ b++");
    let mut log = at.serve("a1", "rrr");
    for _ in 0..6 {
        log.extend(at.serve("a2", "f"));
        log.extend(at.play("~500"));
    }
    log.extend(at.play("a2-- ~3000"));
    assert_eq!(costs(&log), [(3, 1), (6, 1)]);
}
