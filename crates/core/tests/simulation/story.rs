//! What happens to the world under one seed, step by step.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use thalweg_core::{
    EndpointId, EndpointKey, Event, Evidence, Fault, SaidWeight, Slot, Snapshot, Tick, Tried, mix,
    retry::Budget, roll,
};

use crate::{
    oracle::{Heard, Oracle},
    prng::Prng,
    request::{Attempt, SeededLoads},
    scene,
    subject::{Mutant, Subject},
    traffic::Workers,
};

pub(crate) struct Story {
    pub(crate) rng: Prng,
    pub(crate) subject: Subject,
    pub(crate) oracle: Oracle,
    pub(crate) now: Tick,
    generation: u64,
    /// The addresses that are dead in truth, whatever the probes have found so far.
    pub(crate) dead: BTreeMap<SocketAddr, Fault>,
    /// What decides the latencies.
    weather: u64,
    pub(crate) snapshot: Snapshot,
    pub(crate) workers: Workers,
    turn: u32,
    budget: Budget,
    /// Requests and retries by quarter of a second, from which the budget's plain definition follows.
    spent: Vec<(u64, bool)>,
    ratio: f64,
    pub(crate) last_order: u64,
}

const FLOOR: f64 = 0.5;
/// Steps from one forecast to the next.
const FORECASTS: usize = 40;

const FAULTS: [Fault; 6] =
    [Fault::Refused, Fault::Refused, Fault::Timeout, Fault::Reset, Fault::Status, Fault::Unreachable];

/// Plays one seed. The error is the step that broke an invariant, and which.
pub(crate) fn play(mutant: Mutant, seed: u64, steps: usize) -> Result<(), (usize, String)> {
    let mut rng = Prng(seed);
    let mut subject = Subject::new(mutant);
    let snapshot = subject.snapshot();
    let now = Tick(rng.next() % 1_000_000_000);
    let mut story = Story {
        rng,
        subject,
        oracle: Oracle::default(),
        now,
        generation: 0,
        dead: BTreeMap::new(),
        weather: seed,
        snapshot,
        workers: Workers::default(),
        turn: 0,
        budget: Budget::new(0.1, FLOOR),
        spent: Vec::new(),
        ratio: 0.1,
        last_order: 0,
    };
    let topology = scene::topology(&mut story.rng);
    story.adopt(topology).map_err(|what| (0, what))?;
    for step in 1..=steps {
        story.step().map_err(|what| (step, what))?;
        // A broken rule of the subject is no rule of the world that forecasts.
        if step % FORECASTS == 0 && mutant == Mutant::None {
            story.forecast().map_err(|what| (step, what))?;
        }
    }
    Ok(())
}

impl Story {
    fn step(&mut self) -> Result<(), String> {
        match self.rng.below(100) {
            0..30 => self.probe_one(),
            30..39 => self.probe_pool(),
            39..45 => {
                self.tide();
                Ok(())
            }
            45..49 => {
                let topology = scene::edited(&mut self.rng, &self.oracle.configured.clone());
                self.adopt(topology)
            }
            49..53 => self.resolve(),
            53..55 => self.order(),
            55..56 => self.order_failback(),
            56..64 => self.traffic(),
            64..66 => self.late_news(),
            66..68 => self.tell_all(),
            68..72 => self.apply(Event::Ticked, None),
            72..80 => {
                let ms = self.rng.pick(&[0, 1, 50, 300, 999, 1000, 2000, 3000]);
                self.pass(Duration::from_millis(ms))
            }
            80..81 => {
                let seconds = self.rng.pick(&[40, 55, 60, 600]);
                self.pass(Duration::from_secs(seconds))
            }
            _ => self.request(),
        }
    }

    fn adopt(&mut self, topology: thalweg_core::Topology) -> Result<(), String> {
        self.generation += 1;
        let generation = self.generation;
        self.apply(Event::Adopted { topology: Arc::new(topology), generation }, None)
    }

    /// Gives world and oracle the same event, and compares them.
    pub(crate) fn apply(&mut self, event: Event, key: Option<EndpointKey>) -> Result<(), String> {
        let ticked = matches!(event, Event::Ticked);
        self.oracle.hear(&event, key.as_ref(), self.now);
        let changes = self.subject.apply(event.clone(), self.now);
        if ticked && self.subject.world.next_deadline().is_some_and(|deadline| deadline <= self.now) {
            return Err("after a tick, the next is due already".into());
        }
        let weighed = self.oracle.weigh(&event, &changes, self.now);
        self.snapshot = self.subject.snapshot();
        let again = self.subject.snapshot();
        let heard = Heard { event: &event, changes: &changes, now: self.now };
        let judged = weighed.and_then(|()| self.oracle.judge(&self.snapshot, &again, heard));
        judged.map_err(|what| format!("{}: {what}", name(&event)))
    }

    /// Lets time pass; the keeper ticks when the tick is due, or late.
    pub(crate) fn pass(&mut self, span: Duration) -> Result<(), String> {
        let end = self.now.after(span);
        let late = self.rng.percent(30);
        while let Some(due) = self.subject.world.next_deadline().filter(|due| *due <= end) {
            self.now = if late { end } else { due.max(self.now) };
            self.apply(Event::Ticked, None)?;
        }
        self.now = end;
        Ok(())
    }

    pub(crate) fn any_endpoint(&mut self) -> Option<(EndpointId, EndpointKey)> {
        let places = &self.snapshot.layout.endpoints;
        let slot = self.rng.below(places.len());
        Some((places.get(Slot::at(slot))?.id, self.oracle.slots.get(slot)?.0.clone()))
    }

    fn probe(&mut self, id: EndpointId, key: EndpointKey) -> Result<(), String> {
        let lie = self.rng.percent(3);
        let fault = self.dead.get(&key.address).copied().or(lie.then_some(Fault::Timeout));
        let distance = key.pool.bytes().fold(self.weather, |hash, byte| mix(hash ^ u64::from(byte))) % 40;
        let ms = 5 + distance + self.rng.next() % 10;
        let result = match fault {
            Some(fault) => Err(Evidence { fault, detail: "seen".into() }),
            None => Ok(Duration::from_millis(ms)),
        };
        if result.is_ok() && self.rng.percent(10) {
            let said =
                SaidWeight { percent: self.rng.pick(&[0, 1, 50, 99, 100, 100]), ..SaidWeight::default() };
            self.apply(Event::Said { id, said }, Some(key.clone()))?;
        }
        self.apply(Event::Probed { id, result }, Some(key))
    }

    fn probe_one(&mut self) -> Result<(), String> {
        if self.rng.percent(3) {
            let id = EndpointId(1_000_000);
            return self.apply(Event::Probed { id, result: Ok(Duration::ZERO) }, None);
        }
        let Some((id, key)) = self.any_endpoint() else { return Ok(()) };
        self.probe(id, key)
    }

    /// Every endpoint of one pool, three times: enough for any rise or fall.
    fn probe_pool(&mut self) -> Result<(), String> {
        let Some((_, key)) = self.any_endpoint() else { return Ok(()) };
        for _ in 0..3 {
            for slot in 0..self.oracle.slots.len() {
                let member = self.oracle.slots[slot].0.clone();
                if member.pool == key.pool {
                    let id = self.snapshot.layout.endpoints[slot].id;
                    self.probe(id, member)?;
                }
            }
        }
        Ok(())
    }

    /// Changes the truth about an endpoint, a whole pool, or the world.
    fn tide(&mut self) {
        if self.rng.percent(30) {
            self.weather = self.rng.next();
            return;
        }
        let Some((_, key)) = self.any_endpoint() else { return };
        let (reach, kill) = (self.rng.below(10), self.rng.percent(55));
        let fault = self.rng.pick(&FAULTS);
        for (other, _) in &self.oracle.slots {
            let hit = *other == key || (reach >= 4 && other.pool == key.pool) || reach == 9;
            match (hit, kill) {
                (true, true) => _ = self.dead.insert(other.address, fault),
                (true, false) => _ = self.dead.remove(&other.address),
                _ => {}
            }
        }
    }

    fn resolve(&mut self) -> Result<(), String> {
        let nth = self.rng.below(5);
        let mut addresses = Vec::new();
        for _ in 0..self.rng.below(4) {
            addresses.push(std::net::IpAddr::from([10, 100, nth as u8, self.rng.below(4) as u8]));
        }
        self.apply(Event::Resolved { host: format!("n{nth}.test").into(), addresses }, None)
    }

    /// The operator ends a route's waits.
    fn order_failback(&mut self) -> Result<(), String> {
        let routes = &self.oracle.topology.routes;
        let route = if self.rng.percent(5) {
            "nowhere".into()
        } else {
            routes[self.rng.below(routes.len())].name.clone()
        };
        self.apply(Event::FailbackOrdered { route }, None)
    }

    /// One request with all its retries; the world may change in between.
    fn request(&mut self) -> Result<(), String> {
        let name = {
            let routes = &self.oracle.topology.routes;
            routes[self.rng.below(routes.len())].name.clone()
        };
        let busy = SeededLoads { seed: self.rng.next(), most: self.rng.pick(&[0, 0, 1, 3, 8]) };
        let attempts = self.rng.pick(&[1, 2, 3, 4, 30]);
        let mut tried: Vec<Tried> = Vec::new();
        self.turn = self.turn.wrapping_add(1);
        let roll = roll(self.turn, self.rng.next());
        self.count_request();
        for attempt in 0..attempts {
            let Some(route) = self.oracle.topology.routes.iter().position(|route| route.name == name) else {
                return Ok(());
            };
            let question = Attempt {
                oracle: &self.oracle,
                subject: &self.subject,
                snapshot: &self.snapshot,
                busy: &busy,
                route,
                tried: &tried,
                roll,
            };
            let answer = question.judge()?;
            if attempt == 0 {
                question.judge_explained()?;
            }
            let Some(decision) = answer else { return Ok(()) };
            let place = &self.snapshot.layout.endpoints[decision.endpoint.index()];
            tried.push(Tried { endpoint: place.id, pool: decision.pool, leave: false });
            self.count_retry()?;
            match self.rng.below(20) {
                0 => self.probe_one()?,
                1 => self.resolve()?,
                2 => {
                    let topology = scene::edited(&mut self.rng, &self.oracle.configured.clone());
                    self.adopt(topology)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn count_request(&mut self) {
        if self.rng.percent(5) {
            self.ratio = self.rng.pick(&[0.0, 0.1, 0.5, 1.0]);
            self.budget.adjust(self.ratio, FLOOR);
        }
        self.budget.requests(1, self.now);
        self.spent.push((self.now.0 / 250_000, false));
    }

    /// The budget against its definition: retries ≤ ratio × requests + floor, over the last forty quarters of a second.
    fn count_retry(&mut self) -> Result<(), String> {
        let part = self.now.0 / 250_000;
        self.spent.retain(|(at, _)| at + 40 > part);
        let (requests, retries) = self.spent.iter().fold((0u32, 0u32), |(requests, retries), (_, retry)| {
            if *retry { (requests, retries + 1) } else { (requests + 1, retries) }
        });
        let allowed = f64::from(retries + 1) <= f64::from(requests) * self.ratio + FLOOR * 10.0;
        let taken = self.budget.take(self.now);
        if taken {
            self.spent.push((part, true));
        }
        if taken == allowed { Ok(()) } else { Err(format!("budget: took {taken}, allowed {allowed}")) }
    }
}

fn name(event: &Event) -> &'static str {
    match event {
        Event::Adopted { .. } => "adopted",
        Event::Probed { .. } => "probed",
        Event::Said { .. } => "said",
        Event::Resolved { .. } => "resolved",
        Event::Ordered(_) => "ordered",
        Event::Restored(_) => "restored",
        Event::Cancelled(_) => "cancelled",
        Event::FailbackOrdered { .. } => "failback ordered",
        Event::Latched { .. } => "latched",
        Event::Suspected { .. } => "suspected",
        Event::Tallied(_) => "tallied",
        Event::Ticked => "ticked",
    }
}
