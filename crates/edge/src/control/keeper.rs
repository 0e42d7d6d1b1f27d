//! The keeper: sole owner of the world. Events come in by one bounded channel; pictures go out by one pointer.
//! Never waits for anyone, and never touches a socket.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use thalweg_core::{
    Change, EndpointId, Event, Evidence, Fault, Publish, Route, Snapshot, Tick, Topology, World,
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

/// Events that may wait.
const QUEUE: usize = 4096;
/// Events taken in before a publication: a burst of verdicts becomes one picture.
const BATCH: usize = 128;
/// Longest wait of a change that nobody is hurt by.
const SOON: Duration = Duration::from_millis(50);
/// Shortest wait for the clock: a deadline that does not move must not become a busy loop.
const BREATH: Duration = Duration::from_millis(1);
/// How often latencies alone make a new picture.
const REFRESH: Duration = Duration::from_secs(1);
/// Pools of a route up to which every failover between two of them has its series.
const FEW: usize = 8;
/// How often the keeper reads the workers' endpoint statistics.
const TALLY: Duration = Duration::from_millis(100);
/// The same before somebody is called late: that is compared with what the others did since the request began, which is
/// 50 ms ago at least.
const FRESH: Duration = Duration::from_millis(25);

/// What the keeper is asked.
enum Message {
    Event(Event),
    Probed { id: EndpointId, result: Result<Duration, Evidence>, gap: oneshot::Sender<Option<Duration>> },
    Adopt { wiring: Arc<Wiring>, topology: bool, done: oneshot::Sender<u64> },
    Look(Box<dyn FnOnce(&World)>),
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Message")
    }
}

/// Wakes an endpoint's probe.
#[derive(Clone, Debug, Default)]
pub struct ProbeWakers(Rc<RefCell<BTreeMap<EndpointId, Rc<Notify>>>>);

impl ProbeWakers {
    /// The waker of an endpoint, hung up on first use.
    pub fn of(&self, id: EndpointId) -> Rc<Notify> {
        Rc::clone(self.0.borrow_mut().entry(id).or_default())
    }

    /// Takes the wakers of endpoints that are gone away.
    pub fn retain(&self, keep: impl Fn(EndpointId) -> bool) {
        self.0.borrow_mut().retain(|id, _| keep(*id));
    }

    fn ring(&self, id: EndpointId) {
        if let Some(waker) = self.0.borrow().get(&id) {
            waker.notify_one();
        }
    }
}

/// The way to the keeper. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeeperLink(mpsc::Sender<Message>);

impl KeeperLink {
    /// Tells what happened.
    pub async fn tell(&self, event: Event) {
        // The keeper is gone only when the process is ending.
        let _ = self.0.send(Message::Event(event)).await;
    }

    /// Tells how a probe ended; answers the gap until the next one, `None` if there is to be none.
    pub async fn probed(&self, id: EndpointId, result: Result<Duration, Evidence>) -> Option<Duration> {
        let (gap, answer) = oneshot::channel();
        self.0.send(Message::Probed { id, result, gap }).await.ok()?;
        answer.await.ok().flatten()
    }

    /// Puts a wiring into force; with a changed topology as a new generation. Answers the generation in force.
    pub async fn adopt(&self, wiring: Arc<Wiring>, topology: bool) -> Option<u64> {
        let (done, answer) = oneshot::channel();
        self.0.send(Message::Adopt { wiring, topology, done }).await.ok()?;
        answer.await.ok()
    }

    /// Looks at the world.
    pub async fn look<T: 'static>(&self, read: impl FnOnce(&World) -> T + 'static) -> Option<T> {
        let (seen, answer) = oneshot::channel();
        let look = Box::new(move |world: &World| {
            // Who asked may have gone.
            let _ = seen.send(read(world));
        });
        self.0.send(Message::Look(look)).await.ok()?;
        answer.await.ok()
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
    /// When the next picture is due, if anything has changed.
    due: Cell<Option<Tick>>,
    published: Cell<Tick>,
    rolls: Cell<u64>,
    tallied: Cell<Tick>,
    /// Number of the layout whose series are kept.
    kept: Cell<u64>,
}

impl Keeper {
    /// A keeper of an empty world, and the way to it.
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
        };
        (Rc::new(keeper), KeeperLink(sender))
    }

    /// The picture of a world that knows nothing: what is in force before the first config.
    #[must_use]
    pub fn nothing() -> Snapshot {
        World::default().snapshot()
    }

    /// Works until every link is gone.
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
            // Also when news comes so fast that nothing is ever waited for.
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
                // A probe that was taken down meanwhile does not wait for the answer.
                let _ = gap.send(next);
            }
            Message::Adopt { wiring, topology, done } => self.adopt(wiring, topology, done),
            Message::Look(look) => look(&self.world.borrow()),
        }
    }

    /// What the stats say comes first: the failure itself is in them.
    fn suspect(&self, Suspicion { id, fault, started, at }: Suspicion) {
        if fault == Fault::Late {
            self.tally(FRESH);
        }
        if let Some(tally) = tally::one(&self.shared.stats, id) {
            self.apply(Event::Tallied(vec![tally]));
        }
        self.apply(Event::Suspected { id, fault, started, at });
        // One that answers, if only with errors, can wait for its next probe.
        if fault != Fault::Status {
            self.wakers.ring(id);
        }
    }

    /// Reads the workers' stats, unless that was done less than `gap` ago.
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

    fn adopt(&self, wiring: Arc<Wiring>, topology: bool, done: oneshot::Sender<u64>) {
        self.wiring.replace(Arc::clone(&wiring));
        let mut generation = self.shared.live.load().snapshot.generation;
        if topology {
            generation += 1;
            let topology: Arc<Topology> = Arc::new(wiring.config.topology.clone());
            self.apply(Event::Adopted { topology: Arc::clone(&topology), generation });
            self.begin(&topology);
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

    /// A picture is due `gap` after the last one, or sooner if one was due sooner.
    fn schedule(&self, gap: Duration) {
        let due = self.published.get().after(gap);
        self.due.set(Some(self.due.get().map_or(due, |sooner| sooner.min(due))));
    }

    fn publish(&self) {
        let snapshot = self.world.borrow_mut().snapshot();
        let (revision, layout) = (snapshot.revision, snapshot.layout.number);
        self.shared.live.store(Arc::new(Live { snapshot, wiring: Arc::clone(&self.wiring.borrow()) }));
        self.shared.published.send_replace(revision);
        self.published.set(self.shared.now());
        self.due.set(None);
        // Once for all that moved since: a thousand names that are told one by one make few pictures.
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

    /// Failovers that can happen are there from the start, at 0: whoever counts their growth misses the first one of a
    /// series that is born with it. Not for routes of so many pools that nobody would look at each pair.
    fn begin(&self, topology: &Topology) {
        let few = topology.routes.iter().filter(|route| route.pools.len() <= FEW);
        for route in few {
            let names: Vec<Arc<str>> = route
                .pools
                .iter()
                .filter_map(|m| topology.pools.get(m.pool))
                .map(|pool| Arc::from(&*pool.name))
                .collect();
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
        let name_of = |pool: usize| layout.topology.pools.get(pool).map(|pool| &*pool.name);
        let mut endpoints = BTreeSet::new();
        for place in &layout.endpoints {
            endpoints.insert((name_of(place.pool.0 as usize).unwrap_or_default(), place.address.to_string()));
        }
        let pools: BTreeSet<&str> = layout.topology.pools.iter().map(|pool| &*pool.name).collect();
        let members = |route: &Route| route.pools.iter().filter_map(|member| name_of(member.pool)).collect();
        let routes: BTreeMap<&str, BTreeSet<&str>> =
            layout.topology.routes.iter().map(|route| (&*route.name, members(route))).collect();
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
