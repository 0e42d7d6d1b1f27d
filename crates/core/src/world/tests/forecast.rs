//! Tables for forecasts: a script of events, a change that is supposed, and the shares that it comes to.

use super::{orders::drain, *};
use crate::{
    Supposition,
    order::{Action, Moment, Order, OrderId},
};

impl ScriptedWorld {
    /// The shares of the only route, as in `check`.
    fn comes_to(&self, supposed: Supposition) -> String {
        shown(&self.world.clone().forecast(supposed, self.now).snapshot)
    }

    fn with(&self, edit: impl FnOnce(&mut Topology)) -> Supposition {
        let mut topology = (*self.world.configured).clone();
        edit(&mut topology);
        Supposition::Config(Arc::new(topology))
    }
}

/// `a 50% b 50%`: the pools of the first route by name, with their shares.
fn shown(snapshot: &crate::Snapshot) -> String {
    let (mut from, mut shares) = (0, std::collections::BTreeMap::new());
    for segment in &snapshot.routes[0].shares.segments {
        *shares.entry(segment.pool).or_insert(0.0) += (segment.end - from) as f64 / 4_294_967_296.0 * 100.0;
        from = segment.end;
    }
    let name = |pool| snapshot.pool(pool).map(|pool| pool.name.clone()).unwrap_or_default();
    let words: Vec<String> =
        shares.into_iter().map(|(pool, share)| format!("{} {share:.0}%", name(pool))).collect();
    words.join(" ")
}

fn ordered(action: Action) -> Supposition {
    Supposition::Order(Order::new(OrderId(99), action, Moment::default()))
}

#[test]
fn a_forecast_is_at_rest_and_leaves_the_world_alone() {
    for (script, expected) in [
        ("a++ b++", "a 100%"),
        ("a++ b++ a--", "b 100%"),
        // The hold of 10 s has begun.
        ("a++ b++ a-- ~100 a++", "a 100%"),
        // Nothing was probed yet.
        ("", "a 100%"),
        ("b++", "a 100%"),
    ] {
        let mut at = world(&[1, 1], failover(2));
        at.play(script);
        let before = at.world.snapshot();
        assert_eq!(at.comes_to(Supposition::Nothing), expected, "{script}");
        let after = at.world.snapshot();
        assert_eq!((before.revision + 1, before.routes), (after.revision, after.routes), "{script}");
    }
    let latched = Failback { hold: None, ..Failback::IMMEDIATE };
    let mut at = world(&[1, 1], Route { failback: latched, ..failover(2) });
    at.play("a++ b++ a-- a++");
    assert_eq!(at.comes_to(Supposition::Nothing), "b 100%", "a latched pool waits for the operator");
}

#[test]
fn a_config_is_taken_in_on_todays_health() {
    let mut at = world(&[1, 2], weighted(&[(1, 100), (3, 100)]));
    at.play("a++ b++");
    assert_eq!(at.comes_to(at.with(|_| {})), "a 25% b 75%");
    assert_eq!(at.comes_to(at.with(|new| new.routes[0].pools[1].weight = 1)), "a 50% b 50%");
    assert_eq!(at.comes_to(at.with(|new| new.routes[0].pools[1].dial = 0)), "a 100%");
    let add = |new: &mut Topology, host: &str| {
        new.pools.push(pool("c", &[host]));
        new.routes[0].pools.push(RoutePool { weight: 4, ..RoutePool::new(PoolSlot(2)) });
    };
    for host in ["10.2.0.1", "c.test"] {
        let new = at.with(|new| add(new, host));
        let forecast = at.world.clone().forecast(new, at.now);
        assert_eq!(shown(&forecast.snapshot), "a 12% b 38% c 50%", "what is new is supposed to work: {host}");
        assert_eq!(forecast.untried.into_iter().collect::<Vec<_>>(), [PoolSlot(2)], "and untried");
    }
    at.play("a--");
    assert_eq!(at.comes_to(at.with(|new| new.routes[0].pools[1].weight = 1)), "b 100%", "a is down today");
}

#[test]
fn an_order_is_taken_in_like_a_config() {
    let mut at = world(&[1, 1], failover(2));
    at.play("a++ b++");
    assert_eq!(at.comes_to(ordered(drain("a"))), "b 100%");
    let dial = Action::Dial { pool: "a".into(), percent: 30 };
    assert_eq!(at.comes_to(ordered(dial)), "a 30% b 70%");
    assert_eq!(at.comes_to(Supposition::Nothing), "a 100%");
}

#[test]
fn a_pool_of_unknown_latency_is_as_near_as_its_region() {
    let mut at = world(&[1, 1], latency(2));
    at.play("a++10 b++90");
    assert_eq!(at.comes_to(Supposition::Nothing), "a 100%");
    let near = |region: &'static str| {
        move |new: &mut Topology| {
            let mut fresh = pool("c", &["10.2.0.1"]);
            fresh.region = region.into();
            new.pools.push(fresh);
            new.routes[0].pools.push(RoutePool::new(PoolSlot(2)));
        }
    };
    assert_eq!(at.comes_to(at.with(near("a"))), "a 50% c 50%");
    assert_eq!(at.comes_to(at.with(near("b"))), "a 100%");
}
