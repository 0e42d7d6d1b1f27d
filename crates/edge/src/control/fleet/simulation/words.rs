//! Words between edges, late, lost, doubled, replayed and invented, beside endpoints that fail and return.
//!
//! What holds: an edge's decisions follow from its own probes alone (played again without any word, they give the same
//! world), and a word costs at most one more probe of an endpoint in each of its probe intervals.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use thalweg_core::{EndpointId, Event, Evidence, Fault, Probe, Tick, World};

use super::{Prng, check};
use crate::control::fleet::{
    neighbours::Neighbours,
    sighting::{SeenEndpoint, Sighting},
};

const CONFIG: &str = r#"
version = 1
[[listener]]
name = "web"
bind = "127.0.0.1:8080"
[probe.p]
path = "/health"
[pool.a]
probe = "p"
endpoints = [{ address = "127.0.0.1:1" }, { address = "127.0.0.1:2" }]
[pool.b]
probe = "p"
endpoints = [{ address = "127.0.0.1:3" }]
[route.r]
policy = "failover"
pools = [{ pool = "a" }, { pool = "b" }]
"#;
const EDGES: usize = 3;
/// One step of the story.
const STEP: Duration = Duration::from_millis(100);
const STEPS: u64 = 600;
const INTERVAL: Duration = Duration::from_secs(1);

/// One probe, as it ended.
type Log = Vec<(Tick, EndpointId, bool)>;

struct SimEdge {
    name: String,
    world: World,
    neighbours: Neighbours,
    said: u64,
    log: Log,
    extra: BTreeMap<EndpointId, Vec<Tick>>,
}

fn world(now: Tick) -> World {
    let config = thalweg_config::parse_str(CONFIG, "t.toml").unwrap();
    let mut world = World::default();
    world.apply(Event::Adopted { topology: Arc::new(config.topology.clone()), generation: 1 }, now);
    world
}

fn probed(world: &mut World, (at, id, good): (Tick, EndpointId, bool)) {
    let evidence = Evidence { fault: Fault::Refused, detail: "refused".into() };
    let result = if good { Ok(Duration::from_millis(3)) } else { Err(evidence) };
    world.apply(Event::Probed { id, result }, at);
}

/// The endpoints with what probes say of each.
fn probes(world: &mut World) -> Vec<(EndpointId, SeenEndpoint, Probe)> {
    let snapshot = world.snapshot();
    let layout = &snapshot.layout;
    let name = |place: &thalweg_core::Place| {
        let pool = layout.topology.pool(place.pool).unwrap().name.clone();
        (pool, place.address.to_string().into())
    };
    let all = layout.endpoints.iter().zip(&snapshot.endpoints);
    all.map(|(place, view)| (place.id, name(place), view.probe)).collect()
}

impl SimEdge {
    fn new(nth: usize) -> Self {
        Self {
            name: format!("edge-{nth}"),
            world: world(Tick(1)),
            neighbours: Neighbours::default(),
            said: 0,
            log: Log::new(),
            extra: BTreeMap::new(),
        }
    }

    fn probe(&mut self, id: EndpointId, good: bool, now: Tick) {
        self.log.push((now, id, good));
        probed(&mut self.world, (now, id, good));
    }

    fn word(&mut self) -> Vec<u8> {
        self.said += 1;
        let out = probes(&mut self.world).into_iter().filter(|(.., probe)| *probe == Probe::Unhealthy);
        let out = out.map(|(_, seen, _)| seen).collect();
        self.sighting(out).to_bytes()
    }

    fn sighting(&self, out: Vec<SeenEndpoint>) -> Sighting {
        let edge = self.name.as_str().into();
        Sighting { edge, process: 7, number: self.said, ttl_ms: 3_000, next_ms: 100, pools: Vec::new(), out }
    }

    /// Hears a word, and probes what it is news of, as the edge does.
    fn hear(&mut self, word: &[u8], dead: &BTreeMap<Box<str>, bool>, now: Tick) {
        let (_, news) = self.neighbours.hear(word, (&self.name, 7), now);
        for (seen, is_out) in news {
            let found = probes(&mut self.world).into_iter().find(|(_, known, _)| *known == seen);
            let Some((id, seen, probe)) = found else { continue };
            if (probe == Probe::Unhealthy) != is_out && self.neighbours.may_ask(id, INTERVAL, now) {
                self.extra.entry(id).or_default().push(now);
                self.probe(id, !dead[&seen.1], now);
            }
        }
    }

    fn judge(&mut self) -> Result<(), String> {
        let mut alone = world(Tick(1));
        self.log.iter().for_each(|one| probed(&mut alone, *one));
        let (here, there) = (probes(&mut self.world), probes(&mut alone));
        if here != there {
            return Err(format!("{}: {here:?}, and by its own probes {there:?}", self.name));
        }
        for (id, times) in &self.extra {
            if times.windows(2).any(|two| two[1].since(two[0]) < INTERVAL) {
                return Err(format!(
                    "{}: {id:?} was probed twice in an interval because of words",
                    self.name
                ));
            }
        }
        Ok(())
    }
}

/// What a liar says: that endpoints are out, under a name that it chooses, with a number of its own.
fn lie(rng: &mut Prng, dead: &BTreeMap<Box<str>, bool>) -> Vec<u8> {
    let pool = |address: &str| if address.ends_with('3') { "b" } else { "a" };
    let mut out: Vec<SeenEndpoint> = dead
        .keys()
        .filter(|_| rng.percent(50))
        .map(|address| (pool(address).into(), address.clone()))
        .collect();
    out.sort();
    let edge = rng.pick(&["edge-0", "edge-1", "edge-2", "liar", "liar-2"]).into();
    let (process, number) = (rng.below(9), rng.below(2_000));
    Sighting { edge, process, number, ttl_ms: u64::MAX, next_ms: u64::MAX, pools: Vec::new(), out }.to_bytes()
}

fn play(seed: u64) -> Result<(), String> {
    let mut rng = Prng(seed);
    let mut edges: Vec<SimEdge> = (0..EDGES).map(SimEdge::new).collect();
    let ids = probes(&mut edges[0].world);
    let mut dead: BTreeMap<Box<str>, bool> =
        ids.iter().map(|(_, (_, address), _)| (address.clone(), false)).collect();
    // Words on their way: when they arrive, at which edge.
    let mut ways: Vec<(u64, usize, Vec<u8>)> = Vec::new();
    for step in 0..STEPS {
        let now = Tick(step * u64::try_from(STEP.as_micros()).unwrap() + 1);
        if rng.percent(5) {
            let address = ids[usize::try_from(rng.below(3)).unwrap()].1.1.clone();
            dead.entry(address).and_modify(|dead| *dead = !*dead);
        }
        for (nth, edge) in edges.iter_mut().enumerate() {
            if (step + nth as u64 * 3).is_multiple_of(10) {
                let known = probes(&mut edge.world);
                known.iter().for_each(|(id, seen, _)| edge.probe(*id, !dead[&seen.1], now));
            }
            let word = edge.word();
            let copies = rng.pick(&[0, 1, 1, 1, 2]);
            for to in (0..EDGES).filter(|to| *to != nth) {
                ways.extend((0..copies).map(|_| (step + rng.below(15), to, word.clone())));
            }
        }
        if rng.percent(30) {
            let to = usize::try_from(rng.below(EDGES as u64)).unwrap();
            ways.push((step, to, lie(&mut rng, &dead)));
        }
        let (due, later) = ways.into_iter().partition(|(at, ..)| *at <= step);
        ways = later;
        for (_, to, word) in due {
            edges[to].hear(&word, &dead, now);
        }
    }
    edges.iter_mut().try_for_each(SimEdge::judge)
}

#[test]
fn no_decision_changes_by_the_word_of_others_alone() {
    check(60, play);
}
