//! One worker on a free port with a fixed picture: the data plane without keeper, probes or admin.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use thalweg_core::{Event, Tick, World};
use thalweg_edge::{
    access_log::LogSink,
    account::Account,
    meters::{Total, totals},
    shared::{Command, Live, Shared, Suspicion},
    telemetry::Metric,
    tls::Forge,
    wiring::prepare,
    worker::{self, Worker},
};
use thalweg_testkit::Scratch;
use tokio::sync::mpsc;

/// One running worker.
pub(crate) struct DataPlane {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its hints.
    pub(crate) suspects: mpsc::Receiver<Suspicion>,
    /// Where its config is, and the files that it names.
    pub(crate) scratch: Scratch,
    shared: Arc<Shared>,
    control: Control,
    worker: Worker,
    log: Log,
}

/// The access log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What adopts configs.
#[derive(Default)]
struct Control {
    world: World,
    forge: Forge,
    generation: u64,
}

impl Control {
    fn adopt(&mut self, scratch: &Scratch, pools_and_routes: &str) -> Live {
        let text =
            format!("version = 1\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:1\"\n{pools_and_routes}");
        let path = scratch.write("test.toml", text);
        let prepared = prepare(&path, &self.forge).unwrap_or_else(|errors| panic!("{errors}"));
        self.generation += 1;
        let topology = Arc::new(prepared.wiring.config.topology.clone());
        self.world.apply(Event::Adopted { topology, generation: self.generation }, Tick(0));
        self.forge = prepared.forge;
        Live { snapshot: self.world.snapshot(), wiring: prepared.wiring }
    }
}

impl DataPlane {
    /// A worker for `pools_and_routes` (TOML); its one listener is "web". Pools without probes are trusted.
    pub(crate) fn start(pools_and_routes: &str) -> Self {
        Self::start_with(Scratch::new(), pools_and_routes)
    }

    /// The same, with the files that the config names.
    pub(crate) fn start_with(scratch: Scratch, pools_and_routes: &str) -> Self {
        let mut control = Control::default();
        let live = control.adopt(&scratch, pools_and_routes);
        let log = Log::default();
        let (shared, hints) = Shared::new(live, 1, LogSink::start(64, log.clone()).unwrap());
        let worker = worker::start(0, Arc::clone(&shared)).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        worker.commands.blocking_send(Command::Listen { name: "web".into(), socket }).unwrap();
        Self { address, suspects: hints, scratch, shared, control, worker, log }
    }

    /// A reload.
    pub(crate) fn adopt(&mut self, pools_and_routes: &str) {
        let live = self.control.adopt(&self.scratch, pools_and_routes);
        self.shared.live.store(Arc::new(live));
        self.shared.published.send_replace(self.control.generation);
    }

    /// The sum of the series of `metric` with all of these label values.
    pub(crate) fn counted(&self, metric: &'static Metric, labels: &[&str]) -> u64 {
        let fits =
            |values: &[Arc<str>]| labels.iter().all(|label| values.iter().any(|value| **value == **label));
        let all = totals(self.shared.meters.iter());
        let these = all.iter().filter(|(series, _)| series.metric == metric && fits(&series.labels));
        these.map(|(_, total)| if let Total::Value(value) = total { *value } else { 0 }).sum()
    }

    /// The sum of one count over the accounts of all endpoints.
    pub(crate) fn accounts(&self, count: impl Fn(&Account) -> u64) -> u64 {
        self.shared.accounts[0].all().iter().map(|(_, account)| count(account)).sum()
    }

    /// Gives the worker one more socket, and closes the doors behind it before it has looked there.
    pub(crate) fn close_behind(&self, socket: TcpListener) {
        socket.set_nonblocking(true).unwrap();
        let name: Arc<str> = "web".into();
        let listen = Command::Listen { name: Arc::clone(&name), socket };
        for command in [listen, Command::Unlisten { name }] {
            self.worker.commands.blocking_send(command).unwrap();
        }
    }

    /// Ends the worker as when `drain_timeout` has run out; gives its access log.
    pub(crate) fn abort(self) -> String {
        self.worker.commands.blocking_send(Command::Abort).unwrap();
        self.worker.thread.join().unwrap();
        assert!(self.shared.log.settle(Duration::from_secs(10)), "the log is written");
        let log = self.log.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Tells the worker to drain and waits for its end.
    pub(crate) fn drain(self) {
        self.worker.commands.blocking_send(Command::Drain).unwrap();
        self.worker.thread.join().unwrap();
    }
}

/// Waits until it is so.
pub(crate) fn soon(what: &str, so: impl FnMut() -> bool) {
    thalweg_testkit::eventually(what, Duration::from_secs(10), so);
}
