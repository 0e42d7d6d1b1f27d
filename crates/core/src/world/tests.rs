//! Tables for the world's transitions: a script of events in, what an operator would see out. The words of the scripts
//! are explained at `ScriptedWorld::play`; the folder holds the tables that are long.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::{
    axes::Availability,
    facts::{Facts, NoLoads, Tried},
    shares::{Segment, Stage},
    slot::{EndpointId, PoolSlot},
    steer::steer,
    test_world::{failover, latency, pool, route, weighted},
    topology::{Failback, Pool, Route, RoutePool, Topology},
};

/// A world with pools `a`, `b`, … (`sizes` endpoints each) and one route; nothing probed yet.
pub(super) fn world(sizes: &[usize], route: Route) -> ScriptedWorld {
    let pools: Vec<Pool> = sizes
        .iter()
        .enumerate()
        .map(|(nth, size)| {
            let name = char::from(b'a' + nth as u8).to_string();
            let hosts: Vec<String> = (1..=*size).map(|host| format!("10.{nth}.0.{host}")).collect();
            pool(&name, &hosts.iter().map(String::as_str).collect::<Vec<_>>())
        })
        .collect();
    let mut stage = ScriptedWorld { world: World::default(), now: Tick(0), generation: 0 };
    stage.adopt(Topology { pools, routes: vec![route] });
    stage
}

/// A world and its clock.
pub(super) struct ScriptedWorld {
    pub(super) world: World,
    pub(super) now: Tick,
    generation: u64,
}

impl ScriptedWorld {
    pub(super) fn adopt(&mut self, topology: Topology) -> Changes {
        self.generation += 1;
        let event = Event::Adopted { topology: Arc::new(topology), generation: self.generation };
        self.world.apply(event, self.now)
    }

    pub(super) fn topology(&self) -> Topology {
        (*self.world.layout().topology).clone()
    }

    /// `a1+` = a probe of the first endpoint of pool a succeeds in 10 ms, `a1+30` = in 30 ms, `a1-` = it fails,
    /// `a1++` = twice, `a+` = all of pool a; `~500` = that many milliseconds pass, with the ticks that are due.
    pub(super) fn play(&mut self, script: &str) -> Vec<Change> {
        let mut log = Vec::new();
        for word in script.split_whitespace() {
            if let Some(ms) = word.strip_prefix('~') {
                log.extend(self.pass(ms.parse().unwrap()));
                continue;
            }
            let sign = word.find(['+', '-']).unwrap();
            let (target, result) = word.split_at(sign);
            let times = result.matches(['+', '-']).count();
            let ms: u64 = result.trim_start_matches(['+', '-']).parse().unwrap_or(10);
            for id in self.ids(target) {
                for _ in 0..times {
                    let result =
                        if result.starts_with('+') { Ok(Duration::from_millis(ms)) } else { Err(lost()) };
                    log.extend(self.world.apply(Event::Probed { id, result }, self.now).log);
                }
            }
        }
        log
    }

    pub(super) fn pass(&mut self, ms: u64) -> Vec<Change> {
        let end = self.now.after(Duration::from_millis(ms));
        let mut log = Vec::new();
        while let Some(due) = self.world.next_deadline().filter(|due| *due <= end) {
            assert!(due >= self.now, "a deadline in the past");
            self.now = due;
            log.extend(self.world.apply(Event::Ticked, due).log);
        }
        self.now = end;
        log
    }

    /// The name of pool a, `app.test`, resolves to these addresses now.
    fn resolved(&mut self, addresses: &[&str]) -> Vec<Change> {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        self.world.apply(Event::Resolved { host: "app.test".into(), addresses }, self.now).log
    }

    pub(super) fn ids(&self, target: &str) -> Vec<EndpointId> {
        let (name, nth) = target.split_at(1);
        let members: Vec<EndpointId> = self
            .world
            .layout()
            .endpoints
            .iter()
            .filter(|place| &*self.world.key(place.id).unwrap().pool == name)
            .map(|place| place.id)
            .collect();
        if nth.is_empty() { members } else { vec![members[nth.parse::<usize>().unwrap() - 1]] }
    }

    /// "a 70% balanced, b 30% spill" of the first route.
    pub(super) fn shares(&mut self) -> String {
        let snapshot = self.world.snapshot();
        let mut from = 0;
        let show = |segment: &Segment| {
            let percent = (segment.end - from) as f64 / 4_294_967_296.0 * 100.0;
            from = segment.end;
            let name = &snapshot.pool(segment.pool).unwrap().name;
            format!("{name} {percent:.0}% {}", segment.reason.as_str())
        };
        snapshot.routes[0].shares.segments.iter().map(show).collect::<Vec<_>>().join(", ")
    }

    fn check(&mut self, script: &str, expected: &str) {
        self.play(script);
        assert_eq!(self.shares(), expected, "after {script}");
    }
}

fn lost() -> Evidence {
    Evidence { fault: Fault::Timeout, detail: "".into() }
}

fn refused() -> Evidence {
    Evidence { fault: Fault::Refused, detail: "".into() }
}

/// The changes that are not about single endpoints, as words.
fn told(log: &[Change]) -> Vec<String> {
    let word = |change: &Change| match change {
        Change::Failover { from, to, .. } => Some(format!("{from}>{to}")),
        Change::Failback { to, .. } => Some(format!("back {to}")),
        Change::Panic { on, .. } => Some(format!("panic {on}")),
        Change::Pool { pool, below_threshold, .. } => Some(format!("{pool} below {below_threshold}")),
        Change::Nearest { pools, .. } => Some(format!("near {}", pools.join("+"))),
        Change::OrderGiven { order, restored } => {
            let word = if *restored { "restored" } else { "order" };
            Some(format!("{word} {}", order.id.0))
        }
        Change::OrderEnded { order, cause } => Some(format!("{} {}", cause.as_str(), order.id.0)),
        _ => None,
    };
    log.iter().filter_map(word).collect()
}

#[test]
fn only_a_loss_is_published_at_once() {
    let mut at = world(&[2, 1], failover(2));
    at.world.snapshot();
    let publish = |at: &mut ScriptedWorld, target: &str, result: Result<u64, ()>| {
        let result = result.map(Duration::from_millis).map_err(|()| lost());
        let publish = at.world.apply(Event::Probed { id: at.ids(target)[0], result }, at.now).publish;
        at.world.snapshot();
        publish
    };
    assert_eq!(publish(&mut at, "a1", Ok(10)), Publish::Soon, "its first probe ended");
    assert_eq!(publish(&mut at, "a1", Ok(10)), Publish::Soon, "up");
    assert_eq!(publish(&mut at, "a1", Ok(10)), Publish::No);
    assert_eq!(publish(&mut at, "a1", Ok(10)), Publish::No);
    assert_eq!(publish(&mut at, "a1", Err(())), Publish::No);
    assert_eq!(publish(&mut at, "a1", Err(())), Publish::Now, "down");
    assert_eq!(publish(&mut at, "a1", Err(())), Publish::No);
    assert_eq!(publish(&mut at, "a1", Ok(10)), Publish::No);
    assert_eq!(publish(&mut at, "a1", Ok(10)), Publish::Soon, "up again");
    at.now = Tick(10_000_000);
    assert_eq!(publish(&mut at, "a1", Ok(50)), Publish::Soon, "its latency is another one");
    assert_eq!(at.world.apply(Event::Ticked, at.now).publish, Publish::No);
    let unknown =
        Event::Suspected { id: EndpointId(999), fault: Fault::Reset, started: Tick(0), at: Tick(0) };
    assert_eq!(at.world.apply(unknown, at.now).publish, Publish::No);
}

#[test]
fn a_route_is_ready_when_each_endpoint_was_probed_once_and_stays_so() {
    let mut at = world(&[1, 1], failover(2));
    let done = |at: &mut ScriptedWorld| at.world.snapshot().routes[0].first_round_done;
    at.play("a+");
    assert!(!done(&mut at));
    at.play("b-");
    assert!(done(&mut at));
    let mut topology = at.topology();
    topology.pools.push(pool("c", &["10.7.7.7"]));
    topology.routes[0].pools.push(RoutePool { tier: 2, ..RoutePool::new(PoolSlot(2)) });
    at.adopt(topology);
    assert!(done(&mut at));
}

#[test]
fn the_nearest_leave_at_once_when_down_and_return_after_their_hold() {
    let mut at = world(&[1, 1, 1], latency(3));
    at.check("a++10 b++80 c++30", "a 100% nearest");
    assert_eq!(told(&at.play("a--")), ["a below true", "near c", "a>c"]);
    at.check("", "c 100% nearest");
    at.check("a++10 ~9999", "c 100% nearest");
    assert_eq!(told(&at.play("~1")), ["near a", "back a"], "without a dwell on top");
    at.check("", "a 100% nearest");
}

#[test]
fn a_first_up_needs_no_dwell_to_be_near() {
    let mut at = world(&[1, 1], latency(2));
    at.check("b++80", "b 100% nearest");
    at.check("a++10", "a 100% nearest");
}

#[test]
fn a_move_between_latencies_needs_hysteresis_and_dwell() {
    let mut at = world(&[1, 1], latency(2));
    at.check("a++100 b++103", "a 50% nearest, b 50% nearest");
    // Out of the band, but by less than a tenth of its edge: 100 + 10 + 11.
    at.check("~60000 b+119 ~60000 a+100 b+119", "a 50% nearest, b 50% nearest");
    at.check("~60000 b+130", "a 50% nearest, b 50% nearest");
    at.check("~1999", "a 50% nearest, b 50% nearest");
    at.check("~1", "a 100% nearest");
    at.check("~60000 b+109", "a 100% nearest");
    at.check("~1999", "a 100% nearest");
    at.check("~1", "a 50% nearest, b 50% nearest");
}

#[test]
fn a_reserve_draws_no_band_around_itself() {
    let mut near = latency(3);
    near.pools[0].weight = 0;
    let mut at = world(&[1, 1, 1], near);
    at.check("a++1 b++50 c++58", "b 50% nearest, c 50% nearest");
    at.check("~60000 c+61 ~3000", "b 50% nearest, c 50% nearest");
    at.check("b-- c--", "a 100% nearest");
}

#[test]
fn weighted_pools_return_at_once() {
    let mut at = world(&[1, 1], weighted(&[(3, 100), (1, 100)]));
    at.check("a++ b++", "a 75% balanced, b 25% balanced");
    at.check("a--", "b 100% balanced");
    at.check("a++", "a 75% balanced, b 25% balanced");
}

#[test]
fn probes_come_soon_while_a_change_is_confirmed_and_spread_out_after_the_rise() {
    let at = &mut world(&[1], failover(1));
    let gaps = |at: &ScriptedWorld| {
        let gap = |roll| at.world.probe_gap(at.ids("a")[0], roll).unwrap().as_millis();
        ((0..500).map(gap).min().unwrap(), (0..500).map(gap).max().unwrap())
    };
    at.play("a+");
    assert_eq!(gaps(at), (100, 100));
    at.play("a+");
    let (least, most) = gaps(at);
    assert!(least < 110 && (980..=1000).contains(&most), "{least} {most}");
    at.play("a+");
    let (least, most) = gaps(at);
    assert!((900..910).contains(&least) && (1090..=1100).contains(&most), "{least} {most}");
    at.world.apply(
        Event::Suspected { id: at.ids("a")[0], fault: Fault::Reset, started: Tick(0), at: Tick(0) },
        at.now,
    );
    assert_eq!(gaps(at), (100, 100));
    at.play("a+");
    assert_eq!(gaps(at).0 / 10, 90);
    at.play("a-");
    assert_eq!(gaps(at), (100, 100));
    assert_eq!(at.world.probe_gap(EndpointId(99), 0), None);
}

#[test]
fn retries_leave_tried_pools_and_follow_the_fallback_order() {
    let mut at = world(&[2, 2], failover(2));
    at.play("a++ b++ b2--");
    let snapshot = at.world.snapshot();
    let mut tried: Vec<Tried> = Vec::new();
    let mut seen = Vec::new();
    loop {
        let client = std::net::IpAddr::from([1, 1, 1, 1]);
        let facts = Facts {
            host: "h",
            path: "/",
            client,
            location: Default::default(),
            tried: &tried,
            replayable: true,
            bound: None,
        };
        match steer(&snapshot, &NoLoads, &facts, 7) {
            Ok(decision) => {
                let place = snapshot.layout.endpoints.get(decision.endpoint).unwrap();
                tried.push(Tried { endpoint: place.id, pool: decision.pool, leave: false });
                let name = &snapshot.pool(decision.pool).unwrap().name;
                seen.push(format!("{name} {}", decision.reason.as_str()));
            }
            Err(refusal) => {
                seen.push(refusal.as_str().into());
                break;
            }
        }
    }
    assert_eq!(seen, ["a balanced", "a balanced", "b failover", "b panic", "no_endpoint"]);
}

mod adopt;
mod damping;
mod ejections;
mod failback;
mod geo;
mod orders;
mod flapping;
mod forecast;
mod traffic;
mod outliers;
mod hold;
mod panic;
mod said;
mod shared;
mod families;
