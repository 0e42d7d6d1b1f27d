//! Address families that never worked, beside ones that do.

use super::*;

/// Pool a is a name with the addresses a1 (IPv4) and a2 (IPv6), pool b is behind it.
fn two_families() -> ScriptedWorld {
    let mut at = ScriptedWorld { world: World::default(), now: Tick(0), generation: 0 };
    let pools = vec![pool("a", &["app.test"]), pool("b", &["10.1.0.1"])];
    at.adopt(Topology { pools, routes: vec![route("r", &failover(2).pools)] });
    at.resolved(&["10.0.0.1", "2001:db8::1"]);
    at
}

#[test]
fn a_family_that_never_worked_does_not_count() {
    let mut at = two_families();
    at.check("b++ a1++", "a 100% balanced");
    at.check("a2--", "a 100% balanced");
    assert_eq!(at.world.left_out().into_iter().collect::<Vec<_>>(), at.ids("a2"));
    assert_eq!(at.world.snapshot().pools[0].left_out, 1);
    at.check("a1--", "b 100% failover");
}

#[test]
fn a_family_that_has_worked_counts() {
    let mut at = two_families();
    at.check("b++ a1++ a2--", "a 100% balanced");
    at.play("a2++");
    assert!(at.world.left_out().is_empty());
    at.check("a2--", "a 70% balanced, b 30% spill");
}

#[test]
fn nothing_is_left_out_where_nothing_works_or_addresses_are_written() {
    let mut at = two_families();
    at.check("b++ a1-- a2--", "b 100% failover");
    assert!(at.world.left_out().is_empty());
    let mut topology = at.topology();
    topology.pools[0] = pool("a", &["10.0.0.9", "2001:db8::9"]);
    at.adopt(topology);
    at.play("a1++ a2--");
    assert!(at.world.left_out().is_empty(), "two endpoints, not two families of one name");
}
