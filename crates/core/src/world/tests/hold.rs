//! How a pool that was left waits before it returns.

use super::*;

#[test]
fn failover_holds_before_it_fails_back_and_a_break_starts_the_hold_anew() {
    let mut at = world(&[1, 1], failover(2));
    at.check("", "a 100% balanced");
    at.check("a++ b++", "a 100% balanced");
    assert_eq!(told(&at.play("a--")), ["a below true", "a>b"]);
    at.check("", "b 100% failover");
    at.check("~60000", "b 100% failover");
    assert_eq!(told(&at.play("a++")), ["a below false"]);
    at.check("~9999", "b 100% failover");
    at.check("a-- a++ ~9999", "b 100% failover");
    assert_eq!(told(&at.play("~1")), ["back a"]);
    at.check("", "a 100% balanced");
    assert_eq!(at.world.next_deadline(), None);
}

#[test]
fn an_immediate_failback_returns_with_the_first_up() {
    let mut at = world(&[1, 1], Route { failback: Failback::IMMEDIATE, ..failover(2) });
    at.check("a++ b++ a--", "b 100% failover");
    assert_eq!(told(&at.play("a++")), ["a below false", "back a"]);
    at.check("", "a 100% balanced");
}

#[test]
fn a_held_pool_that_serves_for_want_of_others_has_returned() {
    let mut at = world(&[1, 1], failover(2));
    at.check("a++ b++ a-- a++", "b 100% failover");
    assert_eq!(told(&at.play("b--")), ["b below true", "b>a", "back a"]);
    at.check("b++", "a 100% balanced");
    let mut at = world(&[1, 1], failover(2));
    at.play("a++ b++");
    assert_eq!(
        told(&at.play("a-- b-- a++")),
        [
            "a below true",
            "a>b",
            "b below true",
            "panic true",
            "b>a",
            "a below false",
            "panic false",
            "back a"
        ]
    );
    at.check("", "a 100% balanced");
}

#[test]
fn a_hold_does_not_send_the_traffic_to_a_pool_that_is_dialled_away() {
    for (mut route, near) in [(failover(2), false), (latency(2), true)] {
        route.pools[0].dial = 0;
        let mut at = world(&[1, 1], route.clone());
        at.check("a++10 b++80", "b 100% spill");
        at.check("b-- ~100", if near { "a 100% nearest" } else { "a 100% balanced" });
        assert_eq!(told(&at.play("b++80")), ["b below false", "back b"]);
        at.check("~60000", "b 100% spill");
        assert_eq!(at.world.next_deadline(), None);
        route.pools[0].dial = 10;
        let mut at = world(&[1, 1], route);
        let shares = if near { "a 10% nearest, b 90% spill" } else { "a 10% balanced, b 90% spill" };
        at.check("a++10 b++80", shares);
        at.check("b-- b++80", shares);
    }
}

#[test]
fn a_hold_waits_while_another_pool_may_take_all() {
    let mut route = failover(3);
    route.pools[0].dial = 0;
    let mut at = world(&[1, 1, 1], route);
    at.check("a++ b++ c++ b-- b++", "c 100% spill");
    at.check("~9999", "c 100% spill");
    assert_eq!(told(&at.play("~1")), ["back b"]);
    at.check("c-- c++", "b 100% spill");
}

#[test]
fn a_hold_that_ends_early_may_end_the_next_one() {
    let mut route = latency(4);
    route.pools[0].dial = 10;
    let mut at = world(&[1, 1, 1, 1], route);
    at.check("a++20 b++15 c++60 d++100 b-- c-- b++15 c++60", "a 10% nearest, d 90% spill");
    assert_eq!(told(&at.play("d--")), ["d below true", "near a+b", "d>b", "back b", "back c"]);
    at.check("", "a 5% nearest, b 50% nearest, c 45% spill");
}

#[test]
fn a_first_up_after_a_start_or_a_reload_is_no_return() {
    let mut at = world(&[1, 1], failover(2));
    at.check("b++", "b 100% failover");
    at.check("a++", "a 100% balanced");
    at.check("a--", "b 100% failover");
    let topology = at.topology();
    at.adopt(topology);
    at.check("a++", "a 100% balanced");
}

#[test]
fn a_hold_goes_on_across_a_reload_and_follows_its_new_length() {
    for (hold, expected) in [(10, "b 100% failover"), (20, "b 100% failover"), (5, "a 100% balanced")] {
        let mut at = world(&[1, 1], failover(2));
        at.check("a++ b++ a-- a++ ~6000", "b 100% failover");
        let mut topology = at.topology();
        topology.routes[0].failback = Failback::after(Duration::from_secs(hold));
        at.adopt(topology);
        at.check("", expected);
    }
}
