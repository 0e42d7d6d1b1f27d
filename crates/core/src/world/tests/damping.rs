//! Tables for what flaps: when it is left alone, what serves meanwhile, and how it returns.

use super::*;
use crate::{damping::DampingRules, test_world::facts};

fn two(failback: Failback) -> ScriptedWorld {
    let mut at = world(&[1, 1], Route { failback, ..failover(2) });
    at.play("a++ b++");
    at
}

/// Failovers, failbacks, and where damping began (`!`) or ended (`.`), as words.
fn moves(log: &[Change]) -> Vec<String> {
    let word = |change: &Change| match change {
        Change::Failover { from, to, .. } => Some(format!("{from}>{to}")),
        Change::Failback { to, .. } => Some(format!("back {to}")),
        Change::Damped { route: Some(_), pool, lasts, .. } => {
            Some(format!("{pool}{}", if lasts.is_some() { '!' } else { '.' }))
        }
        _ => None,
    };
    log.iter().filter_map(word).collect()
}

const FLAP: &str = "a-- ~300 a++ ~300";

#[test]
fn the_third_quick_loss_is_damped_and_the_pool_returns_when_it_was_quiet() {
    let mut at = two(Failback::IMMEDIATE);
    assert_eq!(moves(&at.play(FLAP)), ["a>b", "back a"]);
    assert_eq!(moves(&at.play(FLAP)), ["a>b", "back a"]);
    assert_eq!(moves(&at.play(FLAP)), ["a>b", "a!"]);
    at.check("", "b 100% failover");
    let until = at.world.snapshot().routes[0].pools[0].damped_until.unwrap();
    let lasts = until.since(at.now);
    assert!(lasts > Duration::from_secs(45) && lasts < Duration::from_secs(48), "{lasts:?}");
    at.check("~46000", "b 100% failover");
    assert_eq!(moves(&at.play("~1000")), ["a.", "back a"]);
    assert_eq!(at.world.next_deadline(), None);
}

#[test]
fn a_thousand_flaps_cost_one_failover_and_the_pool_is_back_within_reuse_and_ramp() {
    let seconds = Duration::from_secs;
    for (failback, most) in [
        (Failback::default(), 1),
        (Failback { ramp: seconds(30), ..Failback::default() }, 1),
        (Failback::IMMEDIATE, 3),
    ] {
        let mut at = two(failback);
        let mut log = Vec::new();
        for _ in 0..1000 {
            log.extend(moves(&at.play(FLAP)));
        }
        let count = |word: &str| log.iter().filter(|told| *told == word).count();
        assert_eq!((count("a>b"), count("a!"), count("b>a")), (most, 1, 0), "{failback:?}");
        at.check("", "b 100% failover");
        let until = at.world.snapshot().routes[0].pools[0].damped_until.unwrap();
        assert!(until.since(at.now) <= DampingRules::default().max);
        at.pass(until.since(at.now).as_millis() as u64 + 1 + failback.ramp.as_millis() as u64);
        at.check("", "a 100% balanced");
        assert_eq!(at.world.next_deadline(), None);
    }
}

#[test]
fn slow_losses_are_followed_and_off_means_off() {
    let mut at = two(Failback::IMMEDIATE);
    for _ in 0..20 {
        assert_eq!(moves(&at.play("a-- ~100 a++ ~30000")), ["a>b", "back a"]);
    }
    let mut at = world(&[1, 1], Route { failback: Failback::IMMEDIATE, damping: None, ..failover(2) });
    at.play("a++ b++");
    for _ in 0..20 {
        assert_eq!(moves(&at.play(FLAP)), ["a>b", "back a"]);
    }
}

#[test]
fn a_damped_pool_serves_when_nothing_else_is_left_and_then_stays() {
    let mut at = two(Failback::IMMEDIATE);
    at.play(&[FLAP; 3].join(" "));
    at.check("", "b 100% failover");
    assert_eq!(moves(&at.play("b--")), ["b>a", "back a"]);
    at.check("b++ ~1000", "a 100% balanced");
    assert_eq!(moves(&at.play("a--")), ["a>b", "a!"], "the next loss counts with all that came before");
}

#[test]
fn an_order_forgets_the_losses() {
    let mut at = two(Failback::IMMEDIATE);
    at.play(&[FLAP; 3].join(" "));
    let event = Event::FailbackOrdered { route: "failover".into() };
    assert_eq!(moves(&at.world.apply(event, at.now).log), ["back a"]);
    assert_eq!(moves(&at.play("a--")), ["a>b"]);
}

#[test]
fn damping_goes_on_across_a_reload_and_follows_its_rules() {
    let mut at = two(Failback::IMMEDIATE);
    at.play(&[FLAP; 3].join(" "));
    let mut topology = at.topology();
    at.adopt(topology.clone());
    at.check("~10000", "b 100% failover");
    topology.routes[0].damping =
        Some(DampingRules { half_life: Duration::from_secs(3), ..Default::default() });
    at.adopt(topology.clone());
    at.check("~5000", "a 100% balanced");
    let mut at = two(Failback::IMMEDIATE);
    at.play(&[FLAP; 3].join(" "));
    topology.routes[0].damping = None;
    at.adopt(topology);
    at.check("~1", "a 100% balanced");
}

#[test]
fn under_weighted_the_others_take_the_load_of_what_flaps() {
    let mut at = world(&[1, 1, 1], weighted(&[(2, 100), (1, 100), (1, 100)]));
    at.play("a++ b++ c++");
    at.play(&[FLAP; 3].join(" "));
    at.check("", "b 50% balanced, c 50% balanced");
    at.check("~48000", "a 50% balanced, b 25% balanced, c 25% balanced");
}

#[test]
fn an_endpoint_that_flaps_steps_back_behind_its_siblings() {
    let mut at = world(&[2, 1], failover(2));
    at.play("a++ b++");
    for _ in 0..3 {
        at.play("a1-- ~300 a1++ ~300");
    }
    let damped = |at: &mut ScriptedWorld| -> Vec<bool> {
        at.world.snapshot().endpoints.iter().map(|view| view.damped).collect()
    };
    assert_eq!(damped(&mut at), [true, false, false]);
    at.check("", "a 70% balanced, b 30% spill");
    let snapshot = at.world.snapshot();
    let slots: Vec<u32> =
        (0..100_u64).map(|turn| steer(&snapshot, &NoLoads, &facts(&[]), turn).unwrap().endpoint.0).collect();
    assert!(slots.iter().all(|slot| *slot == 1), "{slots:?}");
    let second = snapshot.layout.endpoints.get(crate::slot::EndpointSlot(1)).unwrap().id;
    let tried = [Tried { endpoint: second, pool: PoolSlot(0), leave: false }];
    let other = steer(&snapshot, &NoLoads, &facts(&tried), 0).unwrap();
    assert_eq!(other.pool, PoolSlot(1), "a retry goes to what does not flap");
    at.check("a2--", "a 70% balanced, b 30% spill");
    assert_eq!(damped(&mut at), [false; 3], "nothing better is left in the pool");
    at.check("a2++", "a 70% balanced, b 30% spill");
    at.check("~48000", "a 100% balanced");
    assert_eq!(damped(&mut at), [false; 3]);
}
