//! One worker on a free port with a fixed picture: the data plane without keeper, probes or admin.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Instant,
};

use arc_swap::ArcSwap;
use thalweg_core::{Event, Tick, World};
use thalweg_edge::{
    access_log::LogSink,
    meters::{Cell, Meters},
    shared::{Command, Live, Shared, Suspicion, Wiring},
    worker::{self, Worker},
};
use tokio::sync::{mpsc, watch};

/// One running worker.
pub(crate) struct DataPlane {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its hints.
    pub(crate) suspects: mpsc::Receiver<Suspicion>,
    worker: Worker,
}

impl DataPlane {
    /// A worker for `pools_and_routes` (TOML); its one listener is "web". Pools without probes are trusted.
    pub(crate) fn start(pools_and_routes: &str) -> Self {
        let text =
            format!("version = 1\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:1\"\n{pools_and_routes}");
        let config =
            thalweg_config::parse_str(&text, "test.toml").unwrap_or_else(|errors| panic!("{errors}"));
        let mut world = World::default();
        let topology = Arc::new(config.topology.clone());
        world.apply(Event::Adopted { topology, generation: 1 }, Tick(0));
        let wiring = Arc::new(Wiring {
            upstream_tls: config.pools.iter().map(|pool| vec![None; pool.tls.len()]).collect(),
            listener_tls: vec![None; config.listeners.len()],
            config: Arc::new(config),
            max_connections: 1000,
        });
        let (suspects, hints) = mpsc::channel(64);
        let shared = Arc::new(Shared {
            live: ArcSwap::from_pointee(Live { snapshot: world.snapshot(), wiring }),
            published: watch::Sender::new(1),
            suspects,
            meters: vec![Meters::default()],
            accounts: vec![Default::default()],
            treasury: Default::default(),
            connections: vec![Cell::default()],
            log: LogSink::start(64, std::io::sink()).unwrap(),
            origin: Instant::now(),
        });
        let worker = worker::start(0, Arc::clone(&shared)).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        worker.commands.blocking_send(Command::Listen { name: "web".into(), socket }).unwrap();
        Self { address, suspects: hints, worker }
    }

    /// Tells the worker to drain and waits for its end.
    pub(crate) fn drain(self) {
        self.worker.commands.blocking_send(Command::Drain).unwrap();
        self.worker.thread.join().unwrap();
    }
}
