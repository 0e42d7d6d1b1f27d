//! What the control thread and the workers share: one pointer to the published snapshot, counters, statistics, and
//! channels that never block a request. Nothing here is locked or written by two threads on the request path.

pub mod access_log;
pub mod stats;
pub mod budget;
pub mod calendar;
pub mod client_certificate;
pub mod client_cookie;
pub mod clients;
pub mod datagrams;
pub mod decision;
pub mod distinguished_name;
pub mod dns_draw;
pub mod fault;
pub mod geo;
pub mod host;
pub mod kernel;
pub mod meters;
pub mod path;
pub mod queue;
pub mod rates;
pub mod room;
pub mod telemetry;
pub mod trace;
pub mod x509;

use std::{
    net::{IpAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, ArcSwapOption};
use thalweg_config::{AccessLog, Config, Keepalive, ReportServer};
use thalweg_core::{EndpointId, Fault, Geo, Location, PoolSlot, Route, RouteSlot, Snapshot, SpecSlot, Tick};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::shared::{
    access_log::LogSink,
    budget::Budgets,
    client_cookie::CookieSigner,
    clients::ClientCounts,
    datagrams::QuicSocket,
    decision::RecordQuery,
    geo::GeoDatabase,
    meters::{Cell, Meters},
    queue::QueueTable,
    rates::RateTable,
    room::RoomTable,
    stats::StatsTable,
    trace::FinishedTrace,
};

/// A snapshot and the wiring that belongs to it, published as one pointer so that the two always agree.
#[derive(Debug)]
pub struct Live {
    /// The part that steering reads.
    pub snapshot: Snapshot,
    /// The part that the shell reads; made for the snapshot's generation.
    pub wiring: Arc<Wiring>,
}

/// A config made ready for use: files read, keys loaded.
#[derive(Debug)]
pub struct Wiring {
    /// The config in force.
    pub config: Arc<Config>,
    /// TLS towards endpoints: by pool slot, then by the position in the pool's `endpoints`.
    pub upstream_tls: Vec<Vec<Option<UpstreamTls>>>,
    /// TLS towards clients, parallel to `config.listeners`.
    pub listener_tls: Vec<Option<Arc<rustls::ServerConfig>>>,
    /// TLS of QUIC towards clients, parallel to `config.listeners`; `None` = the listener does not speak HTTP/3.
    pub listener_quic: Vec<Option<Arc<rustls::ServerConfig>>>,
    /// Who makes and checks the cookies of each route; parallel to the routes of the topology.
    pub cookies: Vec<Option<Arc<CookieSigner>>>,
    /// `[limits] max_connections` with 0 replaced by its meaning.
    pub max_connections: usize,
    /// A pool sends PROXY headers to its endpoints.
    pub sends_proxy: bool,
    /// The webhook of `[notify]`.
    pub webhook: Option<ReportTarget>,
    /// The collector of `[telemetry]`.
    pub otlp: Option<ReportTarget>,
}

/// A server of the operator that the edge reports to, ready for use.
#[derive(Clone, Debug)]
pub struct ReportTarget {
    /// Where it is.
    pub server: ReportServer,
    /// TLS settings; `None` for plaintext.
    pub tls: Option<UpstreamTls>,
}

/// How to speak TLS to one endpoint.
#[derive(Clone, Debug)]
pub struct UpstreamTls {
    /// ALPN "http/1.1"; session resumption on.
    pub config: Arc<rustls::ClientConfig>,
    /// The name sent in SNI and verified in the certificate.
    pub name: rustls_pki_types::ServerName<'static>,
}

impl Wiring {
    /// TLS towards an endpoint; `None` for plaintext.
    #[must_use]
    pub fn tls_of(&self, pool: PoolSlot, spec: SpecSlot) -> Option<&UpstreamTls> {
        self.upstream_tls.get(pool.index())?.get(spec.index())?.as_ref()
    }

    /// Keep-alive settings of the connections towards a pool.
    #[must_use]
    pub fn keepalive_of(&self, pool: PoolSlot) -> Keepalive {
        let default = Keepalive { idle: Duration::from_secs(4), max_idle: 64, age: Duration::from_secs(600) };
        self.config.pools.get(pool.index()).map_or(default, |pool| pool.keepalive)
    }

    /// Who makes and checks the cookies of a route; `None` = it sets none.
    #[must_use]
    pub fn cookies_of(&self, route: RouteSlot) -> Option<&Arc<CookieSigner>> {
        self.cookies.get(route.index())?.as_ref()
    }

    /// The format of the access log.
    #[must_use]
    pub fn access_log(&self) -> AccessLog {
        self.config.log.access
    }
}

/// What the whole process shares; one per process.
#[derive(Debug)]
pub struct Shared {
    /// The one pointer. Load it once per attempt and drop the guard before any await.
    pub live: ArcSwap<Live>,
    /// Where clients are. Apart from `live`, because a new database changes nothing that a snapshot says.
    pub geo: ArcSwapOption<GeoDatabase>,
    /// The revision of `live`; workers wait on it to refresh their views.
    pub published: watch::Sender<u64>,
    /// Hints from failed requests: bounded, sent with `try_send`, dropped when full.
    pub suspects: mpsc::Sender<Suspicion>,
    /// Endpoints that requests could not connect to, with the cause; the oldest reports leave when there are too many.
    pub unreached: broadcast::Sender<Unreached>,
    /// Requests whose traces are to be reported; the oldest leave when there are too many.
    pub traces: broadcast::Sender<Arc<FinishedTrace>>,
    /// Counters, by worker.
    pub meters: Vec<Meters>,
    /// What requests did at each endpoint, by worker.
    pub stats: Vec<StatsTable>,
    /// What may be sent to pools that declare a capacity.
    pub rooms: RoomTable,
    /// The requests that wait for pools without room, by worker.
    pub queues: Vec<QueueTable>,
    /// The retry and hedge budgets of the routes.
    pub budgets: Budgets,
    /// Open client connections, by worker: each worker sets its own.
    pub connections: Vec<Cell>,
    /// Open client connections, by client.
    pub clients: ClientCounts,
    /// Requests that each client may still make.
    pub rates: RateTable,
    /// The queue to the access log's writer.
    pub log: LogSink,
    /// The moment of tick 0.
    pub origin: Instant,
}

/// Capacity of the queue of reports about endpoints that could not be connected to.
const UNREACHED: usize = 256;

/// Capacity of the queue of traces.
const TRACES: usize = 1024;

/// Capacity of the queue of hints.
const SUSPECTS: usize = 1024;

impl Shared {
    /// The shared state of `workers` workers that log to `log`, and the receiving end of the hints.
    #[must_use]
    pub fn new(live: Live, workers: usize, log: LogSink) -> (Arc<Self>, mpsc::Receiver<Suspicion>) {
        let (suspects, hints) = mpsc::channel(SUSPECTS);
        let shared = Self {
            live: ArcSwap::from_pointee(live),
            geo: ArcSwapOption::empty(),
            published: watch::Sender::new(0),
            suspects,
            unreached: broadcast::Sender::new(UNREACHED),
            traces: broadcast::Sender::new(TRACES),
            meters: std::iter::repeat_with(Default::default).take(workers).collect(),
            stats: std::iter::repeat_with(Default::default).take(workers).collect(),
            rooms: Default::default(),
            queues: std::iter::repeat_with(Default::default).take(workers).collect(),
            budgets: Default::default(),
            connections: std::iter::repeat_with(Default::default).take(workers).collect(),
            clients: Default::default(),
            rates: Default::default(),
            log,
            origin: Instant::now(),
        };
        (Arc::new(shared), hints)
    }

    /// Where a client is, as far as a route's geo rules ask.
    #[must_use]
    pub fn locate(&self, route: &Route, client: IpAddr) -> Location {
        if !route.geo.as_ref().is_some_and(Geo::asks_location) {
            return Location::default();
        }
        self.geo.load().as_ref().map(|database| database.locate(client)).unwrap_or_default()
    }

    /// The current tick of the process's one clock.
    #[must_use]
    pub fn now(&self) -> Tick {
        Tick(thalweg_core::micros(self.origin.elapsed()))
    }
}

/// A request failed at an endpoint: the keeper should judge it and the endpoint's probe should run at once.
#[derive(Clone, Copy, Debug)]
pub struct Suspicion {
    /// The endpoint.
    pub id: EndpointId,
    /// The kind of failure.
    pub fault: Fault,
    /// When the attempt began.
    pub started: Tick,
    /// When it failed.
    pub at: Tick,
}

/// An endpoint could not be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached {
    /// The endpoint.
    pub id: EndpointId,
    /// The kind of failure.
    pub fault: Fault,
    /// The cause in words.
    pub detail: Box<str>,
    /// When the attempt failed.
    pub at: Tick,
}

/// Length of the accept queue that a listener asks for; the kernel caps it at `net.core.somaxconn`.
pub const BACKLOG: i32 = 4096;

/// A command from the control thread to a worker.
#[derive(Debug)]
pub enum Command {
    /// Accept clients on this socket (non-blocking, listening). A second command with the same name adds a second
    /// socket.
    Listen {
        /// The listener's configured name: settings are looked up in the live wiring at each accept.
        name: Arc<str>,
        /// A `SO_REUSEPORT` socket that no other worker of this process has.
        socket: TcpListener,
    },
    /// Accept QUIC connections on this socket.
    ListenQuic {
        /// The listener's configured name.
        name: Arc<str>,
        /// The socket.
        socket: QuicSocket,
    },
    /// Refuse new QUIC connections of this listener, let the others finish their requests (GOAWAY), and close its UDP
    /// socket behind the last of them.
    UnlistenQuic {
        /// The listener.
        name: Arc<str>,
    },
    /// Accept what already waits in this listener's queue, close its socket, and let its connections finish their
    /// requests (`Connection: close`, GOAWAY).
    Unlisten {
        /// The listener.
        name: Arc<str>,
    },
    /// Like `Unlisten` for all listeners, with the ends of connections spread over a part of `drain_timeout`. The worker
    /// thread ends when no connection is left.
    Drain,
    /// Answer with a second descriptor of each listening socket, and the listener's name.
    Lend {
        /// Where to.
        reply: oneshot::Sender<Vec<(Arc<str>, TcpListener)>>,
    },
    /// Look for the decision record of a request.
    Find(RecordQuery),
    /// End now.
    Abort,
}
