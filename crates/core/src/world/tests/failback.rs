//! Tables for the ways back: ramp, latch, order, freeze, and what a reload or a restart keeps of them.

use super::{orders::drain, *};
use crate::{order::Action, slot::RouteSlot, test_world::facts};

const LATCHED: Failback = Failback { hold: None, ..Failback::IMMEDIATE };

fn ramp(hold: u64, ramp: u64) -> Failback {
    Failback { ramp: Duration::from_secs(ramp), ..Failback::after(Duration::from_secs(hold)) }
}

fn two(failback: Failback) -> ScriptedWorld {
    let mut at = world(&[1, 1], Route { failback, ..failover(2) });
    at.play("a++ b++");
    at
}

impl ScriptedWorld {
    fn give(&mut self, event: Event) -> Vec<Change> {
        self.world.apply(event, self.now).log
    }

    fn failback(&mut self) -> Vec<Change> {
        self.give(Event::FailbackOrdered { route: "failover".into() })
    }

    fn freeze(&mut self, on: bool) {
        let route = self.topology().routes[0].name.clone();
        _ = if on { self.order(1, Action::Freeze { route: Some(route) }) } else { self.cancel(1) };
    }

    /// The share of pool a, in percent.
    fn first(&mut self) -> f64 {
        let snapshot = self.world.snapshot();
        let segments = snapshot.routes[0].shares.segments.iter();
        let ends = segments.filter(|segment| segment.pool == PoolSlot(0)).map(|segment| segment.end);
        ends.max().unwrap_or(0) as f64 / 4_294_967_296.0 * 100.0
    }
}

/// The ways back in a log, as words.
fn ways(log: &[Change]) -> Vec<String> {
    let word = |change: &Change| match change {
        Change::Held { pool, hold, .. } => Some(format!("{pool} waits {hold:?}")),
        Change::Failback { to, ramp, .. } => Some(format!("back {to} over {ramp:?}")),
        Change::Failover { from, to, .. } => Some(format!("{from}>{to}")),
        _ => None,
    };
    log.iter().filter_map(word).collect()
}

#[test]
fn a_ramp_follows_its_line_within_half_a_point() {
    let mut at = two(ramp(10, 30));
    assert_eq!(ways(&at.play("a-- ~100 a++")), ["a>b", "a waits Some(10s)"]);
    assert_eq!(ways(&at.play("~10000")), ["back a over 30s"]);
    for tenth in 0..300_u32 {
        let line = f64::from(tenth) / 3.0;
        let share = at.first();
        assert!((share - line).abs() <= 0.51, "after {tenth} tenths of a second: {share} instead of {line}");
        at.play("~100");
    }
    at.check("", "a 100% balanced");
    assert_eq!(at.world.next_deadline(), None);
}

#[test]
fn what_a_ramping_pool_may_not_take_yet_spills() {
    let mut at = two(ramp(0, 4));
    at.check("a-- a++ ~1000", "a 26% balanced, b 74% spill");
    let mut at = world(&[1, 1, 1], Route { failback: ramp(0, 4), ..latency(3) });
    at.check("a++10 b++30 c++80 a-- a++10 ~1000", "a 26% nearest, b 74% spill");
}

#[test]
fn a_pool_that_falls_while_it_ramps_begins_anew() {
    let mut at = two(ramp(10, 30));
    at.play("a-- a++ ~25000");
    assert_eq!(ways(&at.play("a--")), ["a>b"]);
    at.check("", "b 100% failover");
    at.check("a++ ~9999", "b 100% failover");
    at.check("~7", "a 0% balanced, b 100% spill");
}

#[test]
fn a_ramping_pool_that_serves_alone_has_returned() {
    let mut at = two(ramp(10, 4));
    at.check("a-- a++ ~10400", "a 11% balanced, b 89% spill");
    at.check("b-- b++", "a 100% balanced");
    at.check("~20000", "a 100% balanced");
    assert_eq!(at.world.next_deadline(), None);
}

#[test]
fn a_latched_pool_waits_for_the_operator_and_only_for_him() {
    let mut at = two(LATCHED);
    assert_eq!(ways(&at.play("a-- a++")), ["a>b", "a waits None"]);
    at.check("~86400000", "b 100% failover");
    assert_eq!(at.world.next_deadline(), None);
    assert_eq!(ways(&at.failback()), ["back a over 0ns"]);
    at.check("", "a 100% balanced");
    at.check("a--", "b 100% failover");
    assert_eq!(ways(&at.failback()), [""; 0], "still down");
    assert_eq!(at.world.left_pools(RouteSlot(0)), [("a".into(), false)]);
    at.check("a++", "b 100% failover");
    assert_eq!(ways(&at.play("b--")), ["b>a", "back a over 0ns"], "nothing else is left");
}

#[test]
fn a_latch_holds_under_every_policy() {
    let mut at = world(&[1, 1], Route { failback: LATCHED, ..weighted(&[(1, 100), (1, 100)]) });
    at.check("a++ b++ a-- a++ ~60000", "b 100% balanced");
    let mut at = world(&[1, 1], Route { failback: LATCHED, ..latency(2) });
    at.check("a++10 b++80 a-- a++10 ~60000", "b 100% nearest");
}

#[test]
fn an_order_ends_a_hold_and_lets_a_ramp_go_its_way() {
    let mut at = two(ramp(1000, 4));
    at.play("a-- a++");
    assert_eq!(ways(&at.failback()), ["back a over 4s"]);
    at.check("~2000", "a 51% balanced, b 49% spill");
    assert_eq!(ways(&at.failback()), [""; 0]);
    at.give(Event::FailbackOrdered { route: "nowhere".into() });
    at.check("", "a 51% balanced, b 49% spill");
}

#[test]
fn waits_and_ramps_go_on_across_a_reload_and_a_latch_also_while_the_pool_is_down() {
    let mut at = two(ramp(0, 4));
    at.play("a-- a++ ~1000");
    let topology = at.topology();
    at.adopt(topology);
    at.check("", "a 26% balanced, b 74% spill");
    for moment in ["a-- a++", "a--"] {
        let mut at = two(LATCHED);
        at.play(moment);
        let topology = at.topology();
        at.adopt(topology.clone());
        at.check("a++ ~60000", "b 100% failover");
        let mut held = topology;
        held.routes[0].failback = Failback::after(Duration::from_secs(5));
        at.adopt(held);
        at.check("", "a 100% balanced");
    }
}

#[test]
fn a_latch_from_before_a_restart_is_in_force_before_the_first_probe() {
    let mut at = world(&[1, 1], Route { failback: LATCHED, ..failover(2) });
    let latch = |pool: &str| Event::Latched { route: "failover".into(), pool: pool.into() };
    at.give(latch("a"));
    at.give(latch("nowhere"));
    at.check("", "b 100% failover");
    // It serves until the others were asked, and waits again.
    at.check("a++", "a 100% balanced");
    at.check("b++", "b 100% failover");
    at.check("b-- ~1000", "a 100% balanced");
    at.check("b++ ~60000", "a 100% balanced");
    let mut at = world(&[1, 1], Route { failback: LATCHED, ..failover(2) });
    at.give(latch("a"));
    at.check("b++ a++ ~60000", "b 100% failover");
    at.failback();
    at.check("", "a 100% balanced");
    let mut at = world(&[1, 1], failover(2));
    at.give(latch("a"));
    at.check("b++ a++", "a 100% balanced");
}

#[test]
fn a_frozen_route_fails_over_and_neither_fails_back_nor_ramps_on() {
    let mut at = two(ramp(10, 4));
    at.freeze(true);
    at.check("a--", "b 100% failover");
    at.check("a++ ~60000", "b 100% failover");
    at.freeze(false);
    at.check("~1000", "a 26% balanced, b 74% spill");
    at.freeze(true);
    at.check("~60000", "a 26% balanced, b 74% spill");
    assert_eq!(at.world.next_deadline(), None);
    at.freeze(false);
    at.check("~1000", "a 51% balanced, b 49% spill");
}

#[test]
fn a_frozen_route_does_not_follow_latencies_but_leaves_what_is_down() {
    let mut at = world(&[1, 1], latency(2));
    at.check("a++10 b++80", "a 100% nearest");
    at.freeze(true);
    at.check("a++++++++++++200 ~60000", "a 100% nearest");
    at.check("a--", "b 100% nearest");
    at.freeze(false);
}

/// Pool a has two endpoints, pool b one; endpoints start slowly over 4 s.
fn slowly() -> ScriptedWorld {
    let failback = Failback { slow_start: Duration::from_secs(4), ..Failback::IMMEDIATE };
    let mut at = world(&[2, 1], Route { failback, ..weighted(&[(1, 100), (1, 100)]) });
    at.play("a++ b++");
    at
}

/// How far each endpoint is on its slow start, in percent.
fn starts(at: &mut ScriptedWorld) -> Vec<Option<u32>> {
    let snapshot = at.world.snapshot();
    let start = |view: &crate::view::EndpointView| view.slow_start.map(|start| (start.part * 100.0) as u32);
    snapshot.endpoints.iter().map(start).collect()
}

#[test]
fn under_weighted_an_endpoint_that_was_lost_starts_slowly() {
    let mut at = slowly();
    assert_eq!(starts(&mut at), [None; 3], "the first Up is no return");
    at.check("a1--", "a 35% balanced, b 50% balanced, b 15% spill");
    at.check("a1++", "a 35% balanced, b 50% balanced, b 15% spill");
    assert_eq!(starts(&mut at), [Some(0), None, None]);
    at.check("~1000", "a 41% balanced, b 50% balanced, b 9% spill");
    assert_eq!(starts(&mut at), [Some(25), None, None]);
    at.check("~1500", "a 50% balanced, b 50% balanced");
    at.play("~1500");
    assert_eq!((starts(&mut at), at.world.next_deadline()), (vec![None; 3], None));
}

#[test]
fn a_pool_whose_endpoints_all_return_takes_its_share_as_slowly_as_they_do() {
    let mut at = slowly();
    at.check("b--", "a 100% balanced");
    at.check("b++ ~1000", "a 50% balanced, b 13% balanced, a 37% spill");
    at.check("b-- b++", "a 50% balanced, b 0% balanced, a 50% spill");
}

#[test]
fn an_order_or_a_reload_is_no_loss() {
    let mut at = slowly();
    at.order(1, drain("a/10.0.0.1:8000"));
    at.cancel(1);
    assert_eq!(starts(&mut at), [None; 3]);
    at.play("a1--");
    let topology = at.topology();
    at.adopt(topology.clone());
    at.play("a1++");
    assert_eq!(starts(&mut at), [None; 3], "the first Up after a reload is no return");
    at.play("a1-- a1++ ~1000");
    at.adopt(topology);
    assert_eq!(starts(&mut at), [Some(25), None, None], "a slow start goes on");
}

#[test]
fn requests_to_an_endpoint_that_starts_slowly_follow_its_part() {
    let mut at = slowly();
    at.play("a1-- a1++ ~1000");
    let snapshot = at.world.snapshot();
    let rolls = (0..20_000_u32).map(|turn| crate::roll::roll(turn, crate::roll::mix(u64::from(turn))));
    let slots: Vec<usize> =
        rolls.map(|roll| steer(&snapshot, &NoLoads, &facts(&[]), roll).unwrap().endpoint.index()).collect();
    let part = |slot: usize| slots.iter().filter(|chosen| **chosen == slot).count() as f64 / 20_000.0;
    let ratio = part(0) / part(1);
    assert!((ratio - 0.256).abs() < 0.02, "{ratio}");
}
