//! The keeper: sole owner of the world. Events arrive by one bounded channel; snapshots are published through one
//! pointer. The keeper never waits for another task and never touches a socket.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

pub use link::KeeperLink;
use link::Message;
use past::PastSnapshots;
use thalweg_core::{
    Change, EndpointId, Event, Evidence, Fault, PoolSlot, Publish, Route, RouteSlot, Snapshot, Tick,
    Topology, World,
};
use tokio::{
    sync::{Mutex, Notify, mpsc, oneshot},
    time::sleep,
};

use crate::{
    control::{
        events::{self, Events},
        tally,
    },
    shared::{
        Live, Shared, Suspicion, Wiring,
        meters::{Meters, Series},
        telemetry::{DETECTION, EJECTIONS, FAILOVERS, INCIDENTS, LAST_BAD, PROBES},
    },
};

mod link;
mod past;

/// Capacity of the event queue.
const QUEUE: usize = 4096;
/// Events taken in before a publication: a burst of verdicts becomes one snapshot.
const BATCH: usize = 128;
/// Longest delay of a change that takes no availability away.
const SOON: Duration = Duration::from_millis(50);
/// Shortest wait for a deadline: a deadline that does not move must not become a busy loop.
const BREATH: Duration = Duration::from_millis(1);
/// How often changed latencies alone cause a new snapshot.
const REFRESH: Duration = Duration::from_secs(1);
/// Up to this many pools of a route, each pair of pools has its failover series from the start.
const FEW: usize = 8;
/// How often the keeper reads the workers' endpoint statistics.
const TALLY: Duration = Duration::from_millis(100);
/// The statistics are at most this old before a failure is judged: it is compared with what the other endpoints did.
const FRESH: Duration = Duration::from_millis(25);

/// Wakes the probes of endpoints.
#[derive(Clone, Debug, Default)]
pub struct ProbeWakers(Rc<RefCell<BTreeMap<EndpointId, Rc<Notify>>>>);

impl ProbeWakers {
    /// The waker of an endpoint, made on first use.
    pub fn of(&self, id: EndpointId) -> Rc<Notify> {
        Rc::clone(self.0.borrow_mut().entry(id).or_default())
    }

    /// Drops the wakers of endpoints for which `keep` is false.
    pub fn retain(&self, keep: impl Fn(EndpointId) -> bool) {
        self.0.borrow_mut().retain(|id, _| keep(*id));
    }

    /// Has an endpoint probed at once.
    pub fn wake(&self, id: EndpointId) {
        if let Some(waker) = self.0.borrow().get(&id) {
            waker.notify_one();
        }
    }
}

/// The keeper's state, which outlives a restart of its task.
#[derive(Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
    events: Events,
    meters: Arc<Meters>,
    wakers: ProbeWakers,
    messages: Mutex<mpsc::Receiver<Message>>,
    suspects: Mutex<mpsc::Receiver<Suspicion>>,
    world: RefCell<World>,
    wiring: RefCell<Arc<Wiring>>,
    /// When the next publication is due, if anything has changed.
    due: Cell<Option<Tick>>,
    published: Cell<Tick>,
    rolls: Cell<u64>,
    tallied: Cell<Tick>,
    /// The number of the layout whose series are kept.
    kept: Cell<u64>,
    past: Rc<PastSnapshots>,
}

impl Keeper {
    /// A keeper of an empty world, and the sending side of its queue.
    #[must_use]
    pub fn new(
        shared: Arc<Shared>,
        suspects: mpsc::Receiver<Suspicion>,
        events: Events,
        meters: Arc<Meters>,
        wakers: ProbeWakers,
    ) -> (Rc<Self>, KeeperLink) {
        let (sender, messages) = mpsc::channel(QUEUE);
        let wiring = Arc::clone(&shared.live.load().wiring);
        let rolls = Cell::new(crate::control::jitter::seed());
        let past = Rc::<PastSnapshots>::default();
        let keeper = Self {
            shared,
            events,
            meters,
            wakers,
            messages: Mutex::new(messages),
            suspects: Mutex::new(suspects),
            world: RefCell::default(),
            wiring: RefCell::new(wiring),
            due: Cell::new(None),
            published: Cell::new(Tick(0)),
            rolls,
            tallied: Cell::new(Tick(0)),
            kept: Cell::new(0),
            past: Rc::clone(&past),
        };
        (Rc::new(keeper), KeeperLink(sender, past))
    }

    /// The snapshot of an empty world: in force before the first config.
    #[must_use]
    pub fn nothing() -> Snapshot {
        World::default().snapshot()
    }

    /// Runs until every sender is gone.
    pub async fn run(self: Rc<Self>) {
        let (mut messages, mut suspects) = (self.messages.lock().await, self.suspects.lock().await);
        loop {
            let deadline = self.world.borrow().next_deadline().into_iter().chain(self.due.get());
            let deadline = deadline.fold(self.tallied.get().after(TALLY), Tick::min);
            let wait = deadline.since(self.shared.now()).max(BREATH);
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
                Some(suspicion) = suspects.recv() => self.suspect(suspicion),
                () = sleep(wait) => {}
            }
            for _ in 0..BATCH {
                match messages.try_recv() {
                    Ok(message) => self.take(message),
                    Err(_) => break,
                }
            }
            // Checked here too, because events may come so fast that no deadline is ever waited for.
            let due = self.world.borrow().next_deadline();
            if due.is_some_and(|due| due <= self.shared.now()) {
                self.apply(Event::Ticked);
            }
            self.tally(TALLY);
            if self.due.get().is_some_and(|due| due <= self.shared.now()) {
                self.publish();
            }
        }
    }

    fn take(&self, message: Message) {
        match message {
            Message::Event(event) => self.apply(event),
            Message::Probed { id, result, gap } => {
                self.count_probe(id, &result);
                self.apply(Event::Probed { id, result });
                self.rolls.set(self.rolls.get().wrapping_add(1));
                let next = self.world.borrow().probe_gap(id, self.rolls.get());
                self.schedule(REFRESH);
                // A probe task that was ended meanwhile does not wait for the answer.
                let _ = gap.send(next);
            }
            Message::Adopt { wiring, fresh, done } => self.adopt(wiring, fresh, done),
            Message::Look(look) => look(&self.world.borrow()),
            Message::Decide(decide, done) => {
                let events = decide(&self.world.borrow());
                let changes = !events.is_empty();
                events.into_iter().for_each(|event| self.apply(event));
                if changes {
                    self.publish();
                }
                // The task that asked may have ended.
                let _ = done.send(());
            }
        }
    }

    /// The statistics are read first, because the failure itself is in them.
    fn suspect(&self, Suspicion { id, fault, started, at }: Suspicion) {
        if fault.is_evidence() {
            self.tally(FRESH);
        }
        if let Some(tally) = tally::one(&self.shared.stats, id) {
            self.apply(Event::Tallied(vec![tally]));
        }
        self.apply(Event::Suspected { id, fault, started, at });
        // An endpoint that answers, if only with errors, can wait for its next probe.
        if !matches!(fault, Fault::Status | Fault::AnswerFields) {
            self.wakers.wake(id);
        }
    }

    /// Reads the workers' statistics, unless they were read less than `gap` ago.
    fn tally(&self, gap: Duration) {
        let now = self.shared.now();
        if self.tallied.get().after(gap) > now {
            return;
        }
        self.tallied.set(now);
        let tallies = tally::all(&self.shared.stats);
        if !tallies.is_empty() {
            self.apply(Event::Tallied(tallies));
        }
    }

    fn adopt(&self, wiring: Arc<Wiring>, fresh: Option<u64>, done: oneshot::Sender<u64>) {
        self.wiring.replace(Arc::clone(&wiring));
        let generation = fresh.unwrap_or_else(|| self.shared.live.load().snapshot.generation);
        if fresh.is_some() {
            let topology: Arc<Topology> = Arc::new(wiring.config.topology.clone());
            self.apply(Event::Adopted { topology: Arc::clone(&topology), generation });
            self.begin(&topology);
            let limited = topology.pools.iter().filter(|pool| pool.capacity > 0);
            self.shared.rooms.configure(limited.map(|pool| (&*pool.name, pool.capacity)));
        }
        self.publish();
        let _ = done.send(generation);
    }

    fn apply(&self, event: Event) {
        let now = self.shared.now();
        let changes = self.world.borrow_mut().apply(event, now);
        for change in &changes.log {
            events::log(change);
            self.events.record(change, now);
            self.count(change);
        }
        match changes.publish {
            Publish::No => {}
            Publish::Soon => self.schedule(SOON),
            Publish::Now => self.schedule(Duration::ZERO),
        }
    }

    fn count(&self, change: &Change) {
        let cell = |metric, labels: &[&str]| {
            let labels: Vec<Arc<str>> = labels.iter().map(|label| Arc::from(*label)).collect();
            Series::new(metric, &labels.iter().collect::<Vec<_>>())
        };
        match change {
            Change::Failover { route, from, to } => {
                let route = Route::written_name(route);
                self.meters.cell(cell(&FAILOVERS, &[route, from, to])).bump();
            }
            Change::Ejected { key, cause, .. } => {
                let address = key.address.to_string();
                self.meters.cell(cell(&EJECTIONS, &[&key.pool, &address, cause.as_str()])).bump();
            }
            Change::Incident(seen) => {
                let labels = [&*seen.pool, seen.scope.as_str(), seen.cause.as_str()];
                self.meters.cell(cell(&INCIDENTS, &labels)).bump();
                let detection = self.meters.histogram(cell(&DETECTION, &[&seen.pool]));
                detection.record(seen.detected.since(seen.first_bad));
                let last = self.meters.histogram(cell(&LAST_BAD, &[&seen.pool]));
                last.record(seen.last_bad.since(seen.first_bad));
            }
            _ => {}
        }
    }

    /// Makes a publication due `gap` after the last one, or keeps an earlier due time.
    fn schedule(&self, gap: Duration) {
        let due = self.published.get().after(gap);
        self.due.set(Some(self.due.get().map_or(due, |sooner| sooner.min(due))));
    }

    fn publish(&self) {
        let snapshot = self.world.borrow_mut().snapshot();
        let (revision, layout) = (snapshot.revision, snapshot.layout.number);
        let live = Arc::new(Live { snapshot, wiring: Arc::clone(&self.wiring.borrow()) });
        self.past.keep(&live);
        self.shared.live.store(live);
        self.shared.published.send_replace(revision);
        self.published.set(self.shared.now());
        self.due.set(None);
        // Once per layout: a thousand names that are resolved one by one cause few publications.
        if self.kept.replace(layout) != layout {
            self.retire();
        }
    }

    fn count_probe(&self, id: EndpointId, result: &Result<Duration, Evidence>) {
        let world = self.world.borrow();
        let Some(key) = world.key(id) else { return };
        let result = result.as_ref().map_or_else(|evidence| evidence.fault.as_str(), |_| "ok");
        let labels = [Arc::clone(&key.pool), key.address.to_string().into(), result.into()];
        let [pool, endpoint, result] = &labels;
        self.meters.cell(Series::new(&PROBES, &[pool, endpoint, result])).bump();
    }

    /// Makes the series of all possible failovers at value 0: a query for the increase of a counter misses the first
    /// count of a series that is born with it. Routes with many pools are left out, because no operator looks at each
    /// pair.
    fn begin(&self, topology: &Topology) {
        for (slot, route) in topology.written_routes() {
            let names: Vec<Arc<str>> = pools_of(topology, slot).into_iter().map(Arc::from).collect();
            if names.len() > FEW {
                continue;
            }
            for (from, to) in names.iter().flat_map(|from| names.iter().map(move |to| (from, to))) {
                if from != to {
                    self.meters.cell(Series::new(&FAILOVERS, &[&Arc::from(&*route.name), from, to]));
                }
            }
        }
    }

    /// Drops the series of what has left the config.
    fn retire(&self) {
        let world = self.world.borrow();
        let layout = world.layout();
        let name_of = |pool: PoolSlot| layout.topology.pool(pool).map(|pool| &*pool.name);
        let mut endpoints = BTreeSet::new();
        for place in &layout.endpoints {
            endpoints.insert((name_of(place.pool).unwrap_or_default(), place.address.to_string()));
        }
        let pools: BTreeSet<&str> = layout.topology.pools.iter().map(|pool| &*pool.name).collect();
        let topology = &layout.topology;
        let of_route = |(slot, route)| {
            let route: &Route = route;
            (&*route.name, pools_of(topology, slot))
        };
        let routes: BTreeMap<&str, BTreeSet<&str>> = topology.written_routes().map(of_route).collect();
        self.meters.retire(|series| {
            let label = |nth: usize| series.labels.get(nth).map(|label| &**label).unwrap_or_default();
            if [&PROBES, &EJECTIONS].contains(&series.metric) {
                endpoints.contains(&(label(0), label(1).to_owned()))
            } else if *series.metric == FAILOVERS {
                routes.get(label(0)).is_some_and(|pools| pools.contains(label(1)) && pools.contains(label(2)))
            } else if [&INCIDENTS, &DETECTION, &LAST_BAD].contains(&series.metric) {
                pools.contains(label(0))
            } else {
                true
            }
        });
    }
}

/// The names of the pools that a route and its sub-routes use.
fn pools_of(topology: &Topology, route: RouteSlot) -> BTreeSet<&str> {
    let members = topology.with_sub_routes(route).flat_map(|(_, route)| &route.pools);
    members.filter_map(|member| topology.pool(member.pool)).map(|pool| &*pool.name).collect()
}
