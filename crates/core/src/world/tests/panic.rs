//! Panic: its beginning, its end, and the endpoints that it tries.

use super::*;

#[test]
fn panic_lasts_while_every_pool_is_below_its_threshold() {
    let mut at = world(&[4, 4], failover(2));
    at.check("a++ b++ a1-- a2--", "a 70% balanced, b 30% spill");
    at.check("a3--", "b 100% failover");
    at.check("b1-- b2-- b3--", "a 100% panic");
    at.check("b1++", "b 100% failover");
}

#[test]
fn a_panic_and_its_end_are_logged_once_across_reloads() {
    let mut at = world(&[1, 1], failover(2));
    at.check("a++ b++ a-- b--", "a 100% panic");
    let mut topology = at.topology();
    assert_eq!(told(&at.adopt(topology.clone()).log), [""; 0]);
    topology.pools[1].probe = None;
    assert_eq!(told(&at.adopt(topology).log), ["b below false", "panic false"]);
    at.check("", "b 100% failover");
}

#[test]
fn refusing_endpoints_are_skipped_in_panic_while_others_answer() {
    let mut at = world(&[1, 1], failover(2));
    at.check("a++ b++ a-- b--", "a 100% panic");
    let suspect =
        Event::Suspected { id: at.ids("a")[0], fault: Fault::Refused, started: Tick(0), at: Tick(0) };
    assert_eq!(at.world.apply(suspect, at.now).publish, Publish::Soon);
    at.check("", "b 100% panic");
    at.world.apply(Event::Probed { id: at.ids("b")[0], result: Err(refused()) }, at.now);
    at.check("", "a 100% panic");
}

#[test]
fn without_an_enabled_endpoint_there_is_no_panic_and_no_share() {
    let mut at = world(&[1], failover(1));
    at.play("a++");
    assert_eq!(told(&at.order(1, orders::drain("a"))), ["order 1", "a below true"]);
    at.check("", "");
    assert_eq!(at.world.snapshot().routes[0].shares.stage, Stage::Up);
}
