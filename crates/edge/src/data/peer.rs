//! One endpoint as one worker sees it, and its pool of upstream connections: idle connections, load, counters. Never
//! shared between workers. A connection returns to the pool only after a clean end, and only while its endpoint is in
//! the layout.

use std::{
    cell::{Cell, OnceCell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use thalweg_core::{EndpointHash, EndpointId, EndpointKey, EndpointView, Fault, Tick, late_after, micros};

use crate::{
    data::{
        inbox::Buffers,
        link::{ActiveGuard, Http1Link, Link},
        source::{ProxiedFor, RequestSource},
        worker_base::WorkerBase,
    },
    shared::{
        Suspicion, UpstreamTls,
        stats::{EndpointStats, RaceCosts},
    },
};

mod counters;
mod http2;
mod latency;
mod settings;
mod usual;

pub use counters::PeerMeters;
pub use http2::Http2Pool;
pub use settings::Settings;
use settings::same_tls;
use usual::{PATIENCE, SHORTEST_PATIENCE, usual_connect};

/// Gap between probation requests, over all workers: for requests that can be sent again, and for others.
const TRICKLE: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// One endpoint as one worker sees it.
#[derive(Debug)]
pub struct Peer {
    /// The endpoint's id, stable across layouts.
    pub id: EndpointId,
    /// The hash of its key, which cookies name it by.
    pub hash: EndpointHash,
    /// The pool's name.
    pub pool: Arc<str>,
    /// The metric label: `ip:port`.
    pub label: Arc<str>,
    /// The address of the endpoint.
    pub address: SocketAddr,
    /// What the config says about reaching the endpoint; replaced by reloads.
    pub settings: RefCell<Settings>,
    /// This worker's requests in flight at the endpoint.
    pub in_flight: Cell<u32>,
    /// Smoothed time to an answer in microseconds, failures counted as slow answers; 0 = unknown.
    pub latency_us: Cell<u32>,
    /// The endpoint's counters in this worker.
    pub meters: PeerMeters,
    base: Rc<WorkerBase>,
    stats: OnceCell<Arc<EndpointStats>>,
    /// The other workers' statistics of this endpoint; opened if the endpoint has a cap or is in probation.
    elsewhere: OnceCell<Box<[Arc<EndpointStats>]>>,
    /// A first byte that takes longer is late; `None` = not known yet.
    late_after: Cell<Option<Duration>>,
    /// Smoothed time to a connection in microseconds; 0 = unknown.
    connect_us: Cell<u32>,
    /// When the current probation began.
    probation_since: Cell<Option<Tick>>,
    /// Connects that go on although their request has gone elsewhere.
    pub lingering: Cell<u32>,
    /// Attempts whose answer is still waited for although the request was answered elsewhere.
    pub waited_for: Cell<u32>,
    /// Costs of lost races whose connects did not go on. The end of a connect that did go on decides whose fault they
    /// were.
    pub race_costs: RefCell<RaceCosts>,
    /// Streams that the endpoint has refused since its last answer.
    refusals: Cell<u32>,
    sampled: Cell<bool>,
    down: Cell<bool>,
    gone: Cell<bool>,
    idle: RefCell<Vec<Idle>>,
    /// Connections of HTTP/2.
    pub http2: Http2Pool,
    /// Grows when the endpoint's protocol or its TLS settings change.
    tls_epoch: Cell<u32>,
}

/// A connection that waits for its next request.
#[derive(Debug)]
struct Idle {
    link: Http1Link,
    since: Tick,
}

impl Peer {
    /// A peer for an endpoint that is new in the layout.
    #[must_use]
    pub fn new(
        id: EndpointId,
        pool: Arc<str>,
        address: SocketAddr,
        settings: Settings,
        base: &Rc<WorkerBase>,
    ) -> Self {
        let label: Arc<str> = address.to_string().into();
        let meters = PeerMeters::new(base.meters(), &pool, &label);
        let hash = EndpointKey { pool: Arc::clone(&pool), address }.hash();
        Self {
            id,
            hash,
            pool,
            label,
            address,
            settings: RefCell::new(settings),
            in_flight: Cell::new(0),
            latency_us: Cell::new(0),
            meters,
            base: Rc::clone(base),
            stats: OnceCell::new(),
            elsewhere: OnceCell::new(),
            late_after: Cell::new(None),
            connect_us: Cell::new(0),
            probation_since: Cell::new(None),
            lingering: Cell::new(0),
            waited_for: Cell::new(0),
            race_costs: RefCell::default(),
            refusals: Cell::new(0),
            sampled: Cell::new(false),
            down: Cell::new(false),
            gone: Cell::new(false),
            idle: RefCell::new(Vec::new()),
            http2: Http2Pool::default(),
            tls_epoch: Cell::new(0),
        }
    }

    /// Takes new settings. Connections of another protocol or under other TLS settings are closed, or not kept after their
    /// current requests; all others survive.
    pub fn configure(&self, settings: Settings) {
        let before = self.settings.borrow();
        let same =
            before.protocol == settings.protocol && same_tls(before.tls.as_ref(), settings.tls.as_ref());
        drop(before);
        if !same {
            self.tls_epoch.set(self.tls_epoch.get().wrapping_add(1));
            self.close_idle();
        }
        *self.settings.borrow_mut() = settings;
    }

    /// The TLS settings and their epoch, for a new [`Link`].
    pub fn tls(&self) -> (Option<UpstreamTls>, u32) {
        (self.settings.borrow().tls.clone(), self.tls_epoch.get())
    }

    /// Closes idle connections when the endpoint goes down. In panic it may serve again and then keeps what it opens.
    pub fn set_down(&self, down: bool) {
        if down && !self.down.replace(down) {
            self.close_idle();
        }
        self.down.set(down);
    }

    /// Takes what a new snapshot says about the endpoint.
    pub fn follow(&self, view: &EndpointView) {
        self.set_down(view.availability == thalweg_core::Availability::Down);
        self.late_after.set(view.p95_us.map(late_after));
        self.probation_since.set(view.probation_since);
        self.meters.streams.follow(view.drain);
        if self.connect_us.get() == 0 {
            // A probe's answer takes longer than its connection.
            let most = u32::try_from(micros(PATIENCE / 3)).unwrap_or(u32::MAX);
            self.connect_us.set(view.latency_us.unwrap_or(0).min(most));
        }
    }

    /// A first byte that takes longer is late; `None` = not known yet.
    pub fn late_after(&self) -> Option<Duration> {
        self.late_after.get()
    }

    /// When the current probation began.
    pub fn probation_since(&self) -> Option<Tick> {
        self.probation_since.get()
    }

    /// How long a connect may take before it is late: three times the usual time.
    pub fn patience(&self) -> Duration {
        match self.connect_us.get() {
            0 => PATIENCE,
            usual => (Duration::from_micros(usual.into()) * 3).max(SHORTEST_PATIENCE),
        }
    }

    /// Learns the time that a connection took.
    pub fn connected(&self, took: Duration) {
        self.connect_us.set(usual_connect(self.connect_us.get(), took));
    }

    /// This worker's statistics of the endpoint, opened on first use. An endpoint that has left the layout gets
    /// statistics of its own that are never read, because nothing would close an entry in the table again.
    pub fn stats(&self) -> &EndpointStats {
        self.stats.get_or_init(|| match self.base.shared.stats.get(self.base.worker) {
            Some(stats) if !self.gone.get() => stats.open(self.id),
            _ => Arc::default(),
        })
    }

    /// Tells the keeper that a request failed at the endpoint. Best effort: when the queue is full, other hints have
    /// told it.
    pub fn suspect(&self, fault: Fault, started: Tick, at: Tick) {
        let _ = self.base.shared.suspects.try_send(Suspicion { id: self.id, fault, started, at });
    }

    /// Whether the next probation request is due. The gap holds over all workers together: a share per worker would let
    /// all workers begin at once, and would starve the probation if one worker has all the traffic. The other workers'
    /// times are read a moment late, so workers that ask at the same moment may send one request each.
    pub fn trickle_due(&self, replayable: bool) -> bool {
        let [often, seldom] = TRICKLE;
        let gap = if replayable { often } else { seldom };
        let stats = self.elsewhere().map(|stats| &**stats).chain([self.stats()]);
        let last = stats.filter_map(EndpointStats::trickled).max();
        // An answer is still waited for after a race: one more like it would tell nothing new.
        self.waited_for.get() == 0 && last.is_none_or(|last| self.base.clock.get().since(last) >= gap)
    }

    /// Notes that a probation request goes to the endpoint.
    pub fn trickle(&self) {
        self.stats().trickle(self.base.clock.get());
    }

    /// The total time in which this worker stood still.
    pub fn stalled(&self) -> Duration {
        self.base.stalled.get()
    }

    /// The time in which this worker stood still since the total was `before`.
    pub fn stalled_since(&self, before: Duration) -> Duration {
        self.stalled().saturating_sub(before)
    }

    /// The worker's read buffers.
    pub fn buffers(&self) -> &Rc<Buffers> {
        &self.base.buffers
    }

    /// The worker's exact clock.
    pub fn now(&self) -> Tick {
        self.base.shared.now()
    }

    /// The endpoint has left the layout: connections in use finish their request, and none is kept.
    pub fn set_gone(&self) {
        self.close_idle();
        if let Some(stats) = self.base.shared.stats.get(self.base.worker) {
            stats.close(self.id);
        }
        self.gone.set(true);
    }

    /// What the PROXY header of a connection for this client says, if the endpoint gets one.
    pub fn proxied(&self, source: &RequestSource) -> Option<ProxiedFor> {
        self.settings.borrow().send_proxy.then(|| source.proxied())
    }

    /// A connection that can carry a request of this client: the youngest idle one, or one of HTTP/2 with room for a
    /// stream.
    pub fn take_idle(&self, now: Tick, proxied: Option<ProxiedFor>) -> Option<Link> {
        let keepalive = self.settings.borrow().keepalive;
        if self.is_http2() {
            return self.http2.take(keepalive, now).map(Link::Http2);
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(at) = idle.iter().rposition(|idle| idle.link.proxied == proxied) {
            let Idle { mut link, since } = idle.remove(at);
            self.meters.idle.drop_one();
            let fresh = now.since(since) < keepalive.idle && !link.is_aged(keepalive.age, now);
            if fresh && link.is_usable() {
                link.in_use = Some(ActiveGuard::new(&self.meters.active));
                return Some(Link::Http1(link));
            }
        }
        None
    }

    /// Keeps a connection whose exchange ended cleanly. A place on an HTTP/2 connection is free as soon as it is dropped.
    pub fn give_back(&self, link: Link) {
        let Link::Http1(mut link) = link else { return };
        let keepalive = self.settings.borrow().keepalive;
        let mut idle = self.idle.borrow_mut();
        if link.proxied.is_some() && idle.len() >= keepalive.max_idle && !idle.is_empty() {
            // Connections of clients that have gone must not keep those of others out.
            idle.remove(0);
            self.meters.idle.drop_one();
        }
        if !self.keeps(link.tls_epoch) || idle.len() >= keepalive.max_idle {
            return;
        }
        link.set_user_timeout(Duration::ZERO, false);
        (link.reused, link.in_use) = (true, None);
        self.meters.idle.bump();
        idle.push(Idle { link, since: self.base.clock.get() });
    }

    /// Closes idle connections that are too old or that the endpoint has closed. Called by the worker's sweep.
    pub fn expire_idle(&self, now: Tick) {
        let keepalive = self.settings.borrow().keepalive;
        self.http2.tend(keepalive, now);
        self.idle.borrow_mut().retain_mut(|Idle { link, since }| {
            let keep =
                now.since(*since) < keepalive.idle && !link.is_aged(keepalive.age, now) && link.is_usable();
            if !keep {
                self.meters.idle.drop_one();
            }
            keep
        });
    }

    /// Closes all idle connections: the endpoint is down, or its connections are not to be trusted. One of HTTP/2 that
    /// carries requests takes no more of them.
    pub fn close_idle(&self) {
        self.http2.retire_all();
        for _ in self.idle.borrow_mut().drain(..) {
            self.meters.idle.drop_one();
        }
    }

    /// Counts a request that starts at the endpoint.
    pub fn enter(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
        self.meters.in_flight.bump();
        self.stats().in_flight.bump();
    }

    /// Counts a request that has left the endpoint.
    pub fn exit(&self) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        self.meters.in_flight.drop_one();
        self.stats().in_flight.drop_one();
        if let Some(queue) = &self.settings.borrow().queue {
            queue.freed();
        }
    }

    /// Is the endpoint at this cap, or do requests wait for its pool already?
    pub fn is_full(&self, cap: u32) -> bool {
        let waits = || self.settings.borrow().queue.as_ref().is_some_and(|queue| queue.keeps_out());
        self.in_flight_everywhere() >= cap || waits()
    }

    /// Requests in flight at the endpoint in all workers. The other workers' counts are read a moment late, so workers
    /// that ask at the same moment may exceed a cap by one each.
    pub fn in_flight_everywhere(&self) -> u32 {
        let others: u64 = self.elsewhere().map(|stats| stats.in_flight.get()).sum();
        self.in_flight.get().saturating_add(u32::try_from(others).unwrap_or(u32::MAX))
    }

    /// The other workers' statistics of this endpoint: read here, never written.
    fn elsewhere(&self) -> impl Iterator<Item = &Arc<EndpointStats>> {
        let stats = self.elsewhere.get_or_init(|| {
            let all = self.base.shared.stats.iter().enumerate();
            all.filter(|(worker, _)| *worker != self.base.worker)
                .map(|(_, stats)| stats.open(self.id))
                .collect()
        });
        stats.iter()
    }
}

#[cfg(test)]
mod tests {
    use thalweg_config::{Keepalive, PoolProtocol};
    use thalweg_core::World;

    use super::*;
    use crate::{
        control::wiring::wire,
        shared::{Live, Shared, access_log::LogSink},
    };

    /// One endpoint as each of `workers` workers sees it, and the clock of all of them.
    fn peers(workers: usize) -> (Vec<Peer>, Rc<Cell<Tick>>) {
        let config = "version = 1\n[[listener]]\nname = \"w\"\nbind = \"127.0.0.1:1\"\n\
                      [pool.a]\nendpoints = [{ address = \"127.0.0.1:2\" }]\n\
                      [route.r]\npolicy = \"failover\"\npools = [{ pool = \"a\" }]\n";
        let config = thalweg_config::parse_str(config, "t.toml").unwrap();
        let wiring = wire(config, Default::default()).unwrap().wiring;
        let live = Live { snapshot: World::default().snapshot(), wiring };
        let (shared, _) = Shared::new(live, workers, LogSink::start(1, std::io::sink()).unwrap());
        let clock = Rc::new(Cell::new(Tick(5_000_000)));
        let keepalive = Keepalive { idle: PATIENCE, max_idle: 1, age: PATIENCE };
        let peer = |worker| {
            let settings = Settings {
                keepalive,
                protocol: PoolProtocol::Http1,
                tls: None,
                host: None,
                own_host: "a".into(),
                send_proxy: false,
                queue: None,
            };
            let base = Rc::new(WorkerBase::new(&shared, worker, &clock));
            Peer::new(EndpointId(1), "a".into(), SocketAddr::from(([127, 0, 0, 1], 2)), settings, &base)
        };
        ((0..workers).map(peer).collect(), clock)
    }

    #[test]
    fn all_workers_share_one_probation_trickle() {
        let (peers, clock) = peers(4);
        let asked = |who: &[&Peer], times: usize| {
            let mut sent = 0;
            for _ in 0..times {
                for peer in who {
                    if peer.trickle_due(true) {
                        peer.trickle();
                        sent += 1;
                    }
                }
                clock.set(clock.get().after(Duration::from_millis(10)));
            }
            sent
        };
        let all: Vec<&Peer> = peers.iter().collect();
        assert_eq!(asked(&all, 1), 1, "when it begins");
        clock.set(clock.get().after(Duration::from_millis(90)));
        assert_eq!(asked(&all, 100), 10, "one per 100 ms");
        assert_eq!(asked(&all[2..3], 100), 10, "by one worker alone");
        assert!(peers[0].trickle_due(true) && !peers[0].trickle_due(false));
        clock.set(clock.get().after(Duration::from_secs(1)));
        assert!(peers[0].trickle_due(false), "one per second that cannot be sent again");
        peers[0].waited_for.set(1);
        assert!(!peers[0].trickle_due(true), "the answer to one is still to come");
    }

    #[test]
    fn an_endpoint_that_has_left_opens_no_statistics() {
        for asked_before in [true, false] {
            let (peers, _) = peers(1);
            let peer = &peers[0];
            let is_open = || {
                let mut open = false;
                peer.base.shared.stats[0].one(peer.id, |_, _| open = true);
                open
            };
            if asked_before {
                peer.enter();
            }
            assert_eq!(is_open(), asked_before);
            peer.set_gone();
            // A request that waited before the endpoint left now goes there.
            peer.enter();
            assert!(!is_open(), "asked before: {asked_before}");
        }
    }
}
