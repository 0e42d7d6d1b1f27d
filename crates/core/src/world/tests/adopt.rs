//! What a reload, and names that gain and lose addresses, keep and forget.

use super::*;

#[test]
fn a_reload_keeps_what_is_known_and_a_new_pool_or_kind_of_check_starts_anew() {
    type Edit = fn(&mut Topology);
    let edits: [(&str, Edit, [Availability; 2]); 6] = [
        ("nothing", |_| {}, [Availability::Up, Availability::Down]),
        ("weight", |t| t.pools[0].endpoints[0].weight = 9, [Availability::Up, Availability::Down]),
        ("order", |t| t.pools[0].endpoints.reverse(), [Availability::Up, Availability::Down]),
        ("rules", |t| t.pools[0].probe.as_mut().unwrap().fall = 9, [Availability::Up, Availability::Down]),
        ("name", |t| t.pools[0].name = "z".into(), [Availability::Unproven; 2]),
        ("check", |t| t.pools[0].probe = None, [Availability::Up; 2]),
    ];
    for (what, edit, expected) in edits {
        let mut at = world(&[2, 1], failover(2));
        at.play("a1++ a2--");
        let mut topology = at.topology();
        edit(&mut topology);
        assert_eq!(at.adopt(topology).publish, Publish::Now);
        let of = |ip: &str| {
            let place = at.world.layout().endpoints.iter().find(|place| place.address.to_string() == ip);
            at.world.health(place.unwrap().id).unwrap().availability()
        };
        assert_eq!([of("10.0.0.1:8000"), of("10.0.0.2:8000")], expected, "{what}");
    }
}

#[test]
fn pools_that_move_in_the_file_take_their_knowledge_along() {
    let mut at = world(&[1, 1, 1], failover(3));
    at.check("a++ b++ c++ a-- a++", "b 100% failover");
    let mut topology = at.topology();
    topology.pools.rotate_left(1);
    for member in &mut topology.routes[0].pools {
        member.pool = PoolSlot((member.pool.0 + 2) % 3);
    }
    at.adopt(topology);
    at.check("", "b 100% failover");
    at.check("~10000", "a 100% balanced");
}

#[test]
fn names_bring_endpoints_and_take_them_away() {
    let mut at = ScriptedWorld { world: World::default(), now: Tick(0), generation: 0 };
    let pools = vec![pool("a", &["app.test", "10.9.9.9"])];
    at.adopt(Topology { pools, routes: vec![route("r", &failover(1).pools)] });
    let resolved = |at: &mut ScriptedWorld, host: &str, addresses: &[&str]| {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        at.world.apply(Event::Resolved { host: host.into(), addresses }, at.now)
    };
    let up = |at: &mut ScriptedWorld| {
        let snapshot = at.world.snapshot();
        let done = snapshot.routes[0].first_round_done;
        (
            snapshot.endpoints.len(),
            snapshot.endpoints.iter().filter(|e| e.availability == Availability::Up).count(),
            done,
        )
    };
    at.play("a++");
    assert_eq!(up(&mut at), (1, 1, false), "a name that was never asked for is open");
    assert_eq!(resolved(&mut at, "app.test", &["10.0.0.2", "10.0.0.1", "10.0.0.2"]).publish, Publish::Soon);
    assert_eq!(up(&mut at), (3, 1, false));
    at.play("a++");
    assert_eq!(up(&mut at), (3, 3, true));
    let ids = at.ids("a");
    assert_eq!(resolved(&mut at, "app.test", &["10.0.0.1", "10.0.0.2"]).log, [], "the same answer");
    assert_eq!(resolved(&mut at, "app.test", &["10.0.0.2", "10.0.0.3"]).publish, Publish::Now, "one is gone");
    assert_eq!(up(&mut at), (3, 2, true), "ready stays ready");
    assert_eq!((at.ids("a")[0], at.ids("a")[2]), (ids[1], ids[2]), "an id stays with its address");
    assert!(!ids.contains(&at.ids("a")[1]), "and is never given twice");
    assert_eq!(resolved(&mut at, "other.test", &["10.0.0.8"]).log, [], "no pool uses it");
    resolved(&mut at, "app.test", &[]);
    assert_eq!(up(&mut at), (1, 1, true));
}

/// Pool a is a name that was just asked for, pool b an address; a serves.
fn renamed() -> ScriptedWorld {
    let mut at = ScriptedWorld { world: World::default(), now: Tick(0), generation: 0 };
    at.adopt(Topology {
        pools: vec![pool("a", &["app.test"]), pool("b", &["10.1.0.1"])],
        routes: vec![failover(2)],
    });
    at.resolved(&["10.0.0.1"]);
    at.check("a++ b++", "a 100% balanced");
    at
}

#[test]
fn new_addresses_of_a_name_are_no_failover_and_no_failback() {
    let mut at = renamed();
    assert_eq!(told(&at.resolved(&["10.0.0.2"])), [""; 0]);
    at.check("", "b 100% failover");
    assert_eq!(told(&at.play("a++")), ["a below false"]);
    at.check("", "a 100% balanced");
    assert_eq!(told(&at.resolved(&["10.0.0.3", "10.0.0.4"])), [""; 0]);
    assert_eq!(told(&at.play("a1-- a2++")), ["a below false"], "one of the two is enough");
    at.check("", "a 70% balanced, b 30% spill");
}

#[test]
fn new_addresses_are_a_failover_once_all_are_known_to_be_down() {
    let mut at = renamed();
    assert_eq!(told(&at.resolved(&["10.0.0.2", "10.0.0.3"])), [""; 0]);
    assert_eq!(told(&at.play("a1--")), [""; 0]);
    assert_eq!(told(&at.play("a2--")), ["a>b"]);
    at.check("a++ ~9999", "b 100% failover");
    assert_eq!(told(&at.play("~1")), ["back a"]);
}

#[test]
fn a_name_that_keeps_only_dead_addresses_is_a_failover_at_once() {
    let mut at = renamed();
    at.resolved(&["10.0.0.1", "10.0.0.2"]);
    at.check("a2--", "a 70% balanced, b 30% spill");
    assert_eq!(told(&at.resolved(&["10.0.0.2", "10.0.0.3"])), ["a below true", "a>b"]);
    at.check("a2++", "b 100% failover");
}
