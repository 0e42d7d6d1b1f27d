//! A worker's own tables for one layout: slots to peers and routes to their statistics. Rebuilt when the layout or the
//! wiring changes; what was learnt is carried over by identity.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    rc::Rc,
    sync::Arc,
};

use thalweg_config::{PoolSettings, QueueSettings};
use thalweg_core::{EndpointId, EndpointSlot, Layout, Loads, PoolSlot, Reason, RouteSlot, Tick};

use crate::{
    data::{
        peer::{Peer, Settings},
        queue::PoolQueue,
        worker_base::WorkerBase,
    },
    shared::{
        Live, Wiring,
        budget::{Budgets, WorkerBudget},
        host::endpoint_authority,
        meters::{Cell as Count, Histogram, Meters, Series},
        room::PoolRoom,
        telemetry,
    },
};

/// A worker's own tables for one layout.
#[derive(Debug)]
pub struct View {
    /// The number of the layout ([`Layout::number`]).
    pub layout: u64,
    /// The shell's part of the config.
    pub wiring: Arc<Wiring>,
    peers: Vec<Rc<Peer>>,
    /// By pool; `None` for those that declare no capacity.
    rooms: Vec<Option<Arc<PoolRoom>>>,
    /// By pool; `None` for those whose requests do not wait.
    queues: Vec<Option<Rc<PoolQueue>>>,
    clock: Rc<Cell<Tick>>,
    routes: Vec<Rc<RouteStats>>,
    /// The statistics of requests that match no route.
    pub unmatched: Rc<RouteStats>,
}

/// A route's counters and memory in one worker.
#[derive(Debug)]
pub struct RouteStats {
    /// The configured name; "-" = no route.
    pub name: Arc<str>,
    /// Latency of whole requests.
    pub duration: Arc<Histogram>,
    memory: Rc<RouteMemory>,
    /// Made on first use: most combinations of labels never occur.
    counts: RefCell<BTreeMap<CountKey, Arc<Count>>>,
}

/// The part that outlives a layout.
#[derive(Debug)]
struct RouteMemory {
    turn: Cell<u32>,
    budget: WorkerBudget,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum CountKey {
    Request { listener: u32, pool: Option<PoolSlot>, class: u8 },
    Decision(PoolSlot, Reason),
    Refusal(&'static str),
    Retry(&'static str),
    Hedge(&'static str),
    OverBudget,
}

/// Values of the label `code_class`, by index.
const CLASSES: [&str; 6] = ["client_gone", "1xx", "2xx", "3xx", "4xx", "5xx"];

impl RouteStats {
    fn new(name: &Arc<str>, memory: Rc<RouteMemory>, meters: &Meters) -> Self {
        let duration = meters.histogram(Series::new(&telemetry::DURATION, &[name]));
        Self { name: Arc::clone(name), duration, memory, counts: RefCell::default() }
    }

    /// The next turn of this worker's low-discrepancy sequence.
    pub fn turn(&self) -> u32 {
        let turn = self.memory.turn.get().wrapping_add(1);
        self.memory.turn.set(turn);
        turn
    }

    /// The budgets of retries and hedges.
    pub fn budget(&self) -> &WorkerBudget {
        &self.memory.budget
    }

    fn count(&self, key: CountKey, series: impl FnOnce() -> Series, meters: &Meters) {
        if let Some(count) = self.counts.borrow().get(&key) {
            count.bump();
            return;
        }
        let count = meters.cell(series());
        count.bump();
        self.counts.borrow_mut().insert(key, count);
    }

    /// Counts an answered request; `status` 0 = the client went away.
    pub fn count_request(
        &self,
        listener: (u32, &Arc<str>),
        pool: Option<(PoolSlot, &Arc<str>)>,
        status: u16,
        meters: &Meters,
    ) {
        let class = if status == 0 { 0 } else { (status / 100).clamp(1, 5) as u8 };
        let key = CountKey::Request { listener: listener.0, pool: pool.map(|pool| pool.0), class };
        let none: Arc<str> = if pool.is_none() { "-".into() } else { Arc::clone(listener.1) };
        let series = || {
            let class: Arc<str> = CLASSES.get(class as usize).copied().unwrap_or("5xx").into();
            let pool = pool.map_or(&none, |pool| pool.1);
            Series::new(&telemetry::REQUESTS, &[listener.1, &self.name, pool, &class])
        };
        self.count(key, series, meters);
    }

    /// Counts a steering decision.
    pub fn count_decision(&self, pool: (PoolSlot, &Arc<str>), reason: Reason, meters: &Meters) {
        let series = || Series::new(&telemetry::DECISIONS, &[&self.name, pool.1, &reason.as_str().into()]);
        self.count(CountKey::Decision(pool.0, reason), series, meters);
    }

    /// Counts a request that this edge answered itself.
    pub fn count_refusal(&self, refusal: &'static str, meters: &Meters) {
        let series = || Series::new(&telemetry::REFUSALS, &[&self.name, &refusal.into()]);
        self.count(CountKey::Refusal(refusal), series, meters);
    }

    /// Counts a retry.
    pub fn count_retry(&self, cause: &'static str, meters: &Meters) {
        let series = || Series::new(&telemetry::RETRIES, &[&self.name, &cause.into()]);
        self.count(CountKey::Retry(cause), series, meters);
    }

    /// Counts a race by its result.
    pub fn count_hedge(&self, result: &'static str, meters: &Meters) {
        let series = || Series::new(&telemetry::HEDGES, &[&self.name, &result.into()]);
        self.count(CountKey::Hedge(result), series, meters);
    }

    /// Counts a retry that the budget forbade.
    pub fn count_over_budget(&self, meters: &Meters) {
        let series = || Series::new(&telemetry::BUDGET_EXHAUSTED, &[&self.name]);
        self.count(CountKey::OverBudget, series, meters);
    }
}

impl View {
    /// Tables for `live`, carrying over what `before` learnt.
    #[must_use]
    pub fn new(live: &Live, before: Option<&Self>, base: &Rc<WorkerBase>) -> Self {
        let (meters, budgets) = (base.meters(), &base.shared.budgets);
        let layout = &live.snapshot.layout;
        let mut known: HashMap<EndpointId, Rc<Peer>> = HashMap::new();
        if let Some(before) = before {
            known.extend(before.peers.iter().map(|peer| (peer.id, Rc::clone(peer))));
        }
        let pools: Vec<Arc<str>> = layout.topology.pools.iter().map(|pool| Arc::from(&*pool.name)).collect();
        let queues = queues(live, before, base);
        let peer = |place: &thalweg_core::Place| {
            let queue = queues.get(place.pool.index()).cloned().flatten();
            let settings = Settings { queue, ..settings(live, place) };
            match known.remove(&place.id) {
                Some(peer) => {
                    peer.configure(settings);
                    peer
                }
                None => {
                    let pool = pools.get(place.pool.index()).cloned().unwrap_or_else(|| "-".into());
                    Rc::new(Peer::new(place.id, pool, place.address, settings, base))
                }
            }
        };
        let peers: Vec<Rc<Peer>> = layout.endpoints.iter().map(peer).collect();
        for vanished in known.values() {
            vanished.set_gone();
        }
        let view = Self {
            layout: layout.number,
            wiring: Arc::clone(&live.wiring),
            routes: routes(layout, before, budgets, meters),
            unmatched: Rc::new(unmatched(before, budgets, meters)),
            rooms: rooms(layout, base),
            queues,
            clock: Rc::clone(&base.clock),
            peers,
        };
        view.follow(live);
        view.retire(meters);
        view
    }

    /// Whether these tables still fit the published state.
    #[must_use]
    pub fn fits(&self, live: &Live) -> bool {
        self.layout == live.snapshot.layout.number && Arc::ptr_eq(&self.wiring, &live.wiring)
    }

    /// Takes the availabilities of a new snapshot of the same layout.
    pub fn follow(&self, live: &Live) {
        for (peer, view) in self.peers.iter().zip(&live.snapshot.endpoints) {
            peer.follow(view);
        }
    }

    /// The peer in a slot.
    #[must_use]
    pub fn peer(&self, slot: EndpointSlot) -> Option<&Rc<Peer>> {
        self.peers.get(slot.index())
    }

    /// Counts a request that goes to a pool.
    pub fn take_room(&self, pool: PoolSlot) {
        if let Some(room) = self.rooms.get(pool.index()).and_then(Option::as_ref) {
            room.take(self.clock.get());
        }
    }

    /// The queue of a pool whose requests may wait.
    #[must_use]
    pub fn queue(&self, pool: PoolSlot) -> Option<&Rc<PoolQueue>> {
        self.queues.get(pool.index())?.as_ref()
    }

    /// All peers.
    #[must_use]
    pub fn peers(&self) -> &[Rc<Peer>] {
        &self.peers
    }

    /// The statistics of a route.
    #[must_use]
    pub fn route(&self, slot: RouteSlot) -> &Rc<RouteStats> {
        self.routes.get(slot.index()).unwrap_or(&self.unmatched)
    }

    /// Drops the series of what has left the config. A listener has left when its last connection has ended, because
    /// requests on it are still counted.
    pub fn retire(&self, meters: &Meters) {
        let config = &self.wiring.config;
        let serving = meters.held(&telemetry::CONNECTIONS);
        let serving = serving.iter().flat_map(|series| &series.labels).map(|name| &**name);
        let listeners: std::collections::BTreeSet<&str> =
            config.listeners.iter().map(|listener| &*listener.name).chain(serving).collect();
        let pools: std::collections::BTreeSet<&str> =
            config.topology.pools.iter().map(|pool| &*pool.name).chain(["-"]).collect();
        let routes: std::collections::BTreeSet<&str> =
            self.routes.iter().map(|route| &*route.name).chain(["-"]).collect();
        let endpoints: std::collections::BTreeSet<(&str, &str)> =
            self.peers.iter().map(|peer| (&*peer.pool, &*peer.label)).collect();
        meters.retire(|series| {
            let label = |name: &str| {
                let position = series.metric.labels.iter().position(|label| *label == name)?;
                series.labels.get(position).map(|value| &**value)
            };
            label("listener").is_none_or(|listener| listeners.contains(listener))
                && label("route").is_none_or(|route| routes.contains(route))
                && label("pool").is_none_or(|pool| pools.contains(pool))
                && label("endpoint").is_none_or(|endpoint| {
                    label("pool").is_some_and(|pool| endpoints.contains(&(pool, endpoint)))
                })
        });
    }
}

impl Loads for View {
    fn in_flight(&self, slot: EndpointSlot) -> u32 {
        // An abandoned attempt holds no slot, but a new request to the same endpoint would wait as well.
        self.peer(slot).map_or(0, |peer| peer.in_flight.get() + peer.lingering.get() + peer.waited_for.get())
    }
    fn in_flight_everywhere(&self, slot: EndpointSlot) -> u32 {
        self.peer(slot).map_or(0, |peer| peer.in_flight_everywhere())
    }
    fn is_full(&self, slot: EndpointSlot, cap: u32) -> bool {
        cap > 0 && self.peer(slot).is_some_and(|peer| peer.is_full(cap))
    }
    fn has_room(&self, pool: PoolSlot) -> bool {
        let room = self.rooms.get(pool.index()).and_then(Option::as_ref);
        let queue = self.queues.get(pool.index()).and_then(Option::as_ref);
        // A new request waits behind those that wait already, whatever room there is.
        room.is_none_or(|room| {
            room.has_room(self.clock.get()) && !queue.is_some_and(|queue| queue.keeps_out())
        })
    }
    fn latency_us(&self, slot: EndpointSlot) -> u32 {
        self.peer(slot).map_or(0, |peer| peer.latency_us.get())
    }
    fn trickle_due(&self, slot: EndpointSlot, replayable: bool) -> bool {
        self.peer(slot).is_some_and(|peer| peer.trickle_due(replayable))
    }
}

/// The room in each pool that declares a capacity.
fn rooms(layout: &Layout, base: &WorkerBase) -> Vec<Option<Arc<PoolRoom>>> {
    let table = &base.shared.rooms;
    let room = |pool: &thalweg_core::Pool| (pool.capacity > 0).then(|| table.open(&pool.name));
    layout.topology.pools.iter().map(room).collect()
}

/// This worker's queue for each pool whose requests may wait. One that was there before is kept with what waits in it.
fn queues(live: &Live, before: Option<&View>, base: &WorkerBase) -> Vec<Option<Rc<PoolQueue>>> {
    let known = |name: &str| {
        let before = before?;
        let names = before.wiring.config.topology.pools.iter().map(|pool| &*pool.name);
        names.zip(&before.queues).find(|(known, _)| *known == name)?.1.clone()
    };
    let config = &live.wiring.config;
    let queue = |(pool, settings): (&thalweg_core::Pool, &PoolSettings)| {
        let QueueSettings { size, timeout } = settings.queue;
        if size == 0 || (pool.max_in_flight == 0 && pool.capacity == 0) {
            return None;
        }
        let fresh = || {
            let all: Vec<_> = base.shared.queues.iter().map(|queues| queues.open(&pool.name)).collect();
            Rc::new(PoolQueue::new(&Arc::from(&*pool.name), &all, base.worker, base.meters()))
        };
        let queue = known(&pool.name).unwrap_or_else(fresh);
        let room = (pool.capacity > 0).then(|| base.shared.rooms.open(&pool.name));
        queue.configure(size, timeout, room);
        Some(queue)
    };
    config.topology.pools.iter().zip(&config.pools).map(queue).collect()
}

/// Made anew for each view, as all route statistics are: the old ones may count on series that were retired.
fn unmatched(before: Option<&View>, budgets: &Budgets, meters: &Meters) -> RouteStats {
    let fresh =
        || Rc::new(RouteMemory { turn: Cell::new(0), budget: WorkerBudget::new(budgets.open("-", 0.0)) });
    let memory = before.map_or_else(fresh, |before| Rc::clone(&before.unmatched.memory));
    RouteStats::new(&"-".into(), memory, meters)
}

fn routes(layout: &Layout, before: Option<&View>, budgets: &Budgets, meters: &Meters) -> Vec<Rc<RouteStats>> {
    let old: BTreeMap<&str, &Rc<RouteMemory>> =
        before.iter().flat_map(|view| &view.routes).map(|route| (&*route.name, &route.memory)).collect();
    let route = |route: &thalweg_core::Route| {
        let budgets = budgets.open(&route.name, route.retry.budget);
        let fresh = || Rc::new(RouteMemory { turn: Cell::new(0), budget: WorkerBudget::new(budgets) });
        let memory = old.get(&*route.name).map_or_else(fresh, |memory| Rc::clone(memory));
        let name = Arc::from(&*route.name);
        // Made at once with value 0: a query for the increase of a counter misses the first count of a series that is
        // born with it.
        meters.cell(Series::new(&telemetry::BUDGET_EXHAUSTED, &[&name]));
        Rc::new(RouteStats::new(&name, memory, meters))
    };
    // Sub-routes stand behind the routes that were written: requests count under the route that they matched.
    layout.topology.written_routes().map(|(_, written)| route(written)).collect()
}

fn settings(live: &Live, place: &thalweg_core::Place) -> Settings {
    let wiring = &live.wiring;
    let pool = wiring.config.pools.get(place.pool.index());
    let tls = wiring.tls_of(place.pool, place.spec).cloned();
    let spec = live.snapshot.pool(place.pool).and_then(|pool| pool.endpoints.get(place.spec.index()));
    let authority = spec.map_or_else(
        || place.address.to_string(),
        |spec| endpoint_authority(&spec.host, place.address.port(), tls.is_some()),
    );
    Settings {
        own_host: authority.into(),
        keepalive: wiring.keepalive_of(place.pool),
        protocol: pool.map(|pool| pool.protocol).unwrap_or_default(),
        tls,
        host: pool.and_then(|pool| pool.host.as_deref()).map(Into::into),
        send_proxy: pool.is_some_and(|pool| pool.send_proxy),
        queue: None,
    }
}
