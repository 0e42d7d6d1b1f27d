//! Tables for the operator's orders: what each does to the shares, when it ends, and what is refused.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    axes::Admin,
    order::{Action, DrainTarget, Moment, Order, OrderId, OrderProblem},
};

/// `a` = the pool, `a/10.0.0.1:8000` = the endpoint, `@a` = the region.
pub(super) fn drain(target: &str) -> Action {
    Action::Drain { target: parsed(target), deadline: None }
}

fn parsed(target: &str) -> DrainTarget {
    if let Some(region) = target.strip_prefix('@') {
        return DrainTarget::Region(region.into());
    }
    match target.split_once('/') {
        Some((pool, address)) => {
            let (host, port) = address.rsplit_once(':').unwrap();
            DrainTarget::Endpoint { pool: pool.into(), host: host.into(), port: port.parse().unwrap() }
        }
        None => DrainTarget::Pool(target.into()),
    }
}

fn dial(pool: &str, percent: u8) -> Action {
    Action::Dial { pool: pool.into(), percent }
}

fn weight(pool: &str, weight: u32) -> Action {
    Action::Weight { route: "weighted".into(), pool: pool.into(), weight }
}

fn evacuate(region: &str) -> Action {
    Action::Evacuate { region: region.into() }
}

fn freeze() -> Action {
    Action::Freeze { route: None }
}

impl ScriptedWorld {
    fn moment(&self, ms: u64) -> Moment {
        Moment { at: self.now.after(Duration::from_millis(ms)), unix_ms: self.now.0 / 1000 + ms }
    }

    fn numbered(&self, id: u64, action: Action) -> Order {
        Order::new(OrderId(id), action, self.moment(0))
    }

    pub(super) fn order(&mut self, id: u64, action: Action) -> Vec<Change> {
        let order = self.numbered(id, action);
        self.world.apply(Event::Ordered(order), self.now).log
    }

    fn order_for(&mut self, id: u64, action: Action, ms: u64) -> Vec<Change> {
        let order = Order { until: Some(self.moment(ms)), ..self.numbered(id, action) };
        self.world.apply(Event::Ordered(order), self.now).log
    }

    fn cancel(&mut self, id: u64) -> Vec<Change> {
        self.world.apply(Event::Cancelled(OrderId(id)), self.now).log
    }

    fn admin(&self, target: &str) -> Vec<Admin> {
        let ids = self.ids(target);
        ids.iter().map(|id| self.world.health(*id).unwrap().admin).collect()
    }

    fn standing(&self) -> Vec<u64> {
        self.world.orders().iter().map(|order| order.id.0).collect()
    }
}

#[test]
fn a_drained_pool_is_not_lost_and_returns_at_once() {
    for target in ["a", "@a", "a/10.0.0.1:8000"] {
        let mut at = world(&[1, 1], failover(2));
        at.play("a++ b++");
        assert_eq!(told(&at.order(1, drain(target))), ["order 1", "a below true"], "{target}");
        at.check("", "b 100% failover");
        assert_eq!(at.admin("a"), [Admin::Draining]);
        assert_eq!(told(&at.cancel(1)), ["cancelled 1", "a below false"]);
        at.check("", "a 100% balanced");
        assert_eq!(told(&at.cancel(1)), [""; 0], "an order ends once");
    }
}

#[test]
fn a_pool_with_a_dead_endpoint_is_drained_and_not_lost() {
    let mut at = world(&[2, 1], failover(2));
    at.play("a++ b++ a2--");
    assert_eq!(told(&at.order(1, drain("a"))), ["order 1", "a below true"]);
    at.check("a2++", "b 100% failover");
    assert_eq!(told(&at.cancel(1)), ["cancelled 1", "a below false"]);
    at.check("", "a 100% balanced");
}

#[test]
fn a_drain_of_one_endpoint_leaves_the_others() {
    let mut at = world(&[2, 1], failover(2));
    at.play("a++ b++");
    at.order(1, drain("a/10.0.0.2:8000"));
    assert_eq!(at.admin("a"), [Admin::Enabled, Admin::Draining]);
    at.check("", "a 100% balanced");
}

#[test]
fn a_drain_that_takes_availability_is_published_at_once_and_its_end_soon() {
    let mut at = world(&[1, 1], failover(2));
    at.play("a++ b++");
    let order = at.numbered(1, drain("a"));
    assert_eq!(at.world.apply(Event::Ordered(order), at.now).publish, Publish::Now);
    assert_eq!(at.world.snapshot().orders.len(), 1);
    assert_eq!(at.world.apply(Event::Cancelled(OrderId(1)), at.now).publish, Publish::Soon);
    assert!(at.world.snapshot().orders.is_empty());
}

#[test]
fn after_its_deadline_a_drained_endpoint_serves_nobody() {
    let mut at = world(&[1, 1], failover(2));
    at.play("a++ b++ ~500");
    let action = Action::Drain { target: parsed("a"), deadline: Some(at.moment(1000)) };
    at.order(1, action);
    let (since, deadline) = (at.now, at.now.after(Duration::from_millis(1000)));
    let shown = at.world.snapshot().endpoints[0].drain.unwrap();
    assert_eq!((shown.since, shown.deadline), (since, Some(deadline)));
    at.pass(999);
    assert_eq!(at.admin("a"), [Admin::Draining]);
    at.pass(1);
    assert_eq!(at.admin("a"), [Admin::Disabled]);
    assert_eq!(at.world.next_deadline(), None, "a deadline passes once");
    at.cancel(1);
    assert_eq!(at.admin("a"), [Admin::Enabled]);
    assert_eq!(at.world.snapshot().endpoints[0].drain, None);
}

#[test]
fn an_order_ends_when_its_time_is_over() {
    let mut at = world(&[1, 1], failover(2));
    at.play("a++ b++");
    at.order_for(1, drain("a"), 1000);
    assert_eq!(told(&at.pass(999)), [""; 0]);
    assert_eq!(told(&at.pass(1)), ["expired 1", "a below false"]);
    at.check("", "a 100% balanced");
    assert_eq!(at.world.next_deadline(), None);
}

#[test]
fn dial_weight_and_evacuation_set_the_numbers_that_shares_are_made_of() {
    let mut at = world(&[1, 1], weighted(&[(1, 100), (1, 100)]));
    at.check("a++ b++", "a 50% balanced, b 50% balanced");
    at.order(1, weight("a", 3));
    at.check("", "a 75% balanced, b 25% balanced");
    at.order(2, dial("a", 0));
    at.check("", "b 25% balanced, b 75% spill");
    at.order(3, dial("a", 100));
    at.check("", "a 75% balanced, b 25% balanced");
    at.order(4, evacuate("a"));
    at.check("", "b 25% balanced, b 75% spill");
    at.check("b--", "a 100% balanced");
    at.check("b++", "b 25% balanced, b 75% spill");
    at.order(5, dial("a", 50));
    at.check("", "b 25% balanced, b 75% spill");
    for id in [4, 3, 5, 2, 1] {
        at.cancel(id);
    }
    at.check("", "a 50% balanced, b 50% balanced");
}

#[test]
fn an_order_changes_no_config_and_a_reload_keeps_the_order() {
    let mut at = world(&[1, 1], weighted(&[(1, 100), (1, 100)]));
    at.play("a++ b++");
    at.order(1, weight("a", 3));
    let mut topology = (*at.world.configured).clone();
    topology.routes[0].pools[1].weight = 2;
    at.adopt(topology);
    at.check("", "a 60% balanced, b 40% balanced");
    at.cancel(1);
    at.check("", "a 33% balanced, b 67% balanced");
}

#[test]
fn a_freeze_stops_failback_and_moves_by_latency_but_no_failover() {
    let mut at = world(&[1, 1], failover(2));
    at.play("a++ b++");
    at.order(1, freeze());
    at.check("a--", "b 100% failover");
    at.check("a++ ~3600000", "b 100% failover");
    at.check("b--", "a 100% balanced");
    at.check("b++ ~20000", "a 100% balanced");
    at.check("a-- a++ ~60000", "b 100% failover");
    assert_eq!(told(&at.cancel(1)), ["cancelled 1", "back a"]);
    at.check("", "a 100% balanced");

    let mut at = world(&[1, 1], latency(2));
    at.check("a++10 b++50", "a 100% nearest");
    at.order(1, freeze());
    at.check("a++90 a++90 a++90 a++90 ~60000 a++90 ~1000", "a 100% nearest");
    at.cancel(1);
    at.check("a+90 ~2000 a+90", "b 100% nearest");
}

#[test]
fn an_order_outlives_reloads_and_dns_but_not_its_target() {
    let mut at = world(&[2, 1], failover(2));
    at.play("a++ b++");
    at.order(1, drain("a/10.0.0.1:8000"));
    at.order(2, drain("a"));
    at.order(3, drain("@a"));
    at.order(4, dial("b", 50));
    at.order(5, freeze());
    at.order(6, Action::Freeze { route: Some("failover".into()) });
    let topology = (*at.world.configured).clone();
    at.adopt(topology.clone());
    assert_eq!(at.standing(), [1, 2, 3, 4, 5, 6]);
    let mut less = topology.clone();
    less.pools[0].endpoints.remove(0);
    assert_eq!(told(&at.adopt(less).log), ["target_gone 1"]);
    let mut renamed = topology.clone();
    renamed.pools[0].name = "z".into();
    at.adopt(renamed);
    assert_eq!(at.standing(), [3, 4, 5, 6]);
    let mut moved = topology;
    moved.pools[0].region = "elsewhere".into();
    moved.routes[0].name = "another".into();
    at.adopt(moved);
    assert_eq!(at.standing(), [4, 5]);
}

#[test]
fn an_order_for_a_name_holds_for_all_its_addresses() {
    let mut topology = world(&[1, 1], failover(2)).topology();
    topology.pools[0].endpoints[0].host = "n.test".into();
    let mut at = ScriptedWorld { world: World::default(), now: Tick(0), generation: 0 };
    at.adopt(topology);
    let resolve = |at: &mut ScriptedWorld, last: &[u8]| {
        let addresses = last.iter().map(|last| [10, 9, 0, *last].into()).collect();
        at.world.apply(Event::Resolved { host: "n.test".into(), addresses }, at.now);
    };
    resolve(&mut at, &[1, 2]);
    at.order(1, drain("a/n.test:8000"));
    at.order(2, drain("b/10.1.0.1:8000"));
    resolve(&mut at, &[2, 3]);
    assert_eq!(at.admin("a"), [Admin::Draining; 2]);
    at.cancel(1);
    at.order(3, drain("a/10.9.0.3:8000"));
    assert_eq!(at.admin("a"), [Admin::Enabled, Admin::Draining]);
    resolve(&mut at, &[2]);
    resolve(&mut at, &[2, 3]);
    assert_eq!(at.admin("a"), [Admin::Enabled, Admin::Draining]);
}

#[test]
fn restored_orders_are_in_force_with_the_first_config() {
    let topology = world(&[1, 1], failover(2)).topology();
    let mut at = ScriptedWorld { world: World::default(), now: Tick(5_000), generation: 0 };
    let over = Order { until: Some(at.moment(0)), ..at.numbered(3, drain("b")) };
    let orders = vec![at.numbered(1, drain("a")), at.numbered(2, drain("gone")), over];
    let log = at.world.apply(Event::Restored(orders), at.now).log;
    assert_eq!(told(&log), ["restored 1", "restored 2", "restored 3", "expired 3"]);
    assert_eq!(told(&at.adopt(topology).log), ["target_gone 2"]);
    assert_eq!((at.standing(), at.admin("a")), (vec![1], vec![Admin::Draining]));
}

/// What speaks against an order, in a word.
fn judged(at: &ScriptedWorld, action: &Action, force: bool) -> String {
    match at.world.judge_order(action, force, at.now) {
        Ok(()) => "fine".into(),
        Err(OrderProblem::UnknownTarget { kind, name }) => format!("no {kind} {name}"),
        Err(OrderProblem::LastToServe { route }) => format!("last of {route}"),
        Err(OrderProblem::TooLittleCapacity { needed, declared }) => format!("{declared} of {needed}"),
        Err(OrderProblem::TooMany) => "too many".into(),
    }
}

#[test]
fn an_order_for_what_does_not_exist_is_refused_even_by_force() {
    let mut at = world(&[1, 1], weighted(&[(1, 100), (1, 100)]));
    at.play("a++ b++");
    let elsewhere = Action::Weight { route: "r".into(), pool: "a".into(), weight: 1 };
    for (action, expected) in [
        (drain("z"), "no pool z"),
        (drain("@z"), "no region z"),
        (drain("@"), "no region "),
        (drain("z/10.0.0.1:8000"), "no pool z"),
        (drain("a/10.0.0.9:8000"), "no endpoint a/10.0.0.9:8000"),
        (drain("a/10.0.0.1:9"), "no endpoint a/10.0.0.1:9"),
        (dial("z", 10), "no pool z"),
        (weight("z", 1), "no pool z"),
        (elsewhere, "no route r"),
        (evacuate("z"), "no region z"),
        (Action::Freeze { route: Some("z".into()) }, "no route z"),
        (freeze(), "fine"),
        (drain("a/10.0.0.1:8000"), "fine"),
    ] {
        for force in [false, true] {
            assert_eq!(judged(&at, &action, force), expected, "{action:?}");
        }
    }
}

#[test]
fn no_order_takes_out_the_last_that_serves_without_force() {
    // The script, the orders that stand, the order, and what speaks against it.
    let table: &[(&str, &[Action], Action, &str)] = &[
        ("a++ b++", &[], drain("a"), "fine"),
        ("a++ b++", &[drain("b")], drain("a"), "last of weighted"),
        ("a++ b++", &[drain("b")], evacuate("a"), "last of weighted"),
        ("a++ b++", &[drain("b")], dial("a", 0), "last of weighted"),
        ("a++ b++", &[drain("b")], weight("a", 0), "last of weighted"),
        ("a++ b++", &[drain("b")], dial("a", 1), "fine"),
        ("a++ b++", &[evacuate("b")], drain("a"), "last of weighted"),
        ("a++ b++", &[dial("b", 0)], drain("@a"), "last of weighted"),
        ("a++ b++", &[dial("b", 0), dial("b", 10)], drain("@a"), "fine"),
        ("a++ b--", &[], drain("a"), "last of weighted"),
        ("a++ b--", &[], drain("b"), "fine"),
        ("a++", &[], drain("a"), "last of weighted"),
        ("a++", &[], drain("b"), "fine"),
        ("a-- b--", &[], drain("a"), "fine"),
        ("a-- b--", &[drain("a")], drain("b"), "last of weighted"),
        ("a1++ a2-- b--", &[], drain("a/10.0.0.1:8000"), "last of weighted"),
        ("a1++ a2-- b--", &[], drain("a/10.0.0.2:8000"), "fine"),
        ("a++ b++", &[drain("b")], freeze(), "fine"),
    ];
    for (script, standing, action, expected) in table {
        let mut at = world(&[2, 1], weighted(&[(1, 100), (1, 100)]));
        at.play(script);
        for (id, standing) in (1..).zip(*standing) {
            at.order(id, standing.clone());
        }
        assert_eq!(judged(&at, action, false), *expected, "{script} {standing:?} {action:?}");
        assert_eq!(judged(&at, action, true), "fine");
    }
}

#[test]
fn an_evacuation_needs_a_rest_that_declares_enough() {
    // What a, b and c declare, the requests per second at a and b, and what speaks against evacuating a.
    for (capacity, rates, expected) in [
        ([0, 0, 0], [90, 90], "fine"),
        ([100, 0, 100], [90, 90], "fine"),
        ([60, 60, 60], [40, 40], "fine"),
        ([60, 60, 60], [0, 0], "fine"),
        ([60, 60, 60], [70, 70], "120 of 140"),
        ([100, 20, 30], [0, 0], "50 of 100"),
        ([0, 20, 30], [40, 20], "50 of 60"),
        ([0, 20, 30], [10, 10], "fine"),
    ] {
        let mut at = world(&[1, 1, 1], weighted(&[(1, 100), (1, 100), (1, 100)]));
        let mut topology = at.topology();
        for (pool, capacity) in topology.pools.iter_mut().zip(capacity) {
            pool.capacity = capacity;
        }
        at.adopt(topology);
        at.play("a++ b++ c++ ~6000");
        for (target, rate) in ["a1", "b1"].into_iter().zip(rates) {
            at.requests(target, rate * 5, 0);
        }
        assert_eq!(judged(&at, &evacuate("a"), false), expected, "{capacity:?} {rates:?}");
        assert_eq!(judged(&at, &evacuate("a"), true), "fine");
        assert_eq!(judged(&at, &drain("a"), false), "fine");
    }
    let mut at = world(&[1, 1], failover(2));
    at.play("a-- b--");
    assert_eq!(judged(&at, &evacuate("a"), false), "fine", "where nothing serves, nothing is lost");
}

#[test]
fn what_the_config_keeps_in_reserve_counts_as_the_rest() {
    for reserve in [(0, 100), (1, 0)] {
        let mut at = world(&[1, 1], weighted(&[(1, 100), reserve]));
        at.play("a++ b++");
        assert_eq!(judged(&at, &drain("a"), false), "fine");
    }
}

#[test]
fn the_number_of_orders_is_bounded() {
    let mut at = world(&[1, 1], failover(2));
    let orders = (0..crate::MAX_ORDERS as u64).map(|id| at.numbered(id, freeze())).collect();
    at.world.apply(Event::Restored(orders), at.now);
    assert_eq!(judged(&at, &freeze(), true), "too many");
    assert_eq!(Arc::strong_count(&at.world.snapshot().orders), 2, "a snapshot copies no order");
}
