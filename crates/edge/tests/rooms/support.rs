//! One worker on a free port with a fixed snapshot: the data plane without keeper, probes or admin.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use thalweg_core::{Ejection, Event, Fault, Tick, World};
use thalweg_edge::{
    control::{tls::TlsCache, wiring::prepare},
    data::worker::{self, Worker},
    shared::{
        Command, Live, Shared, Suspicion,
        access_log::LogSink,
        meters::{Total, totals},
        stats::EndpointStats,
        telemetry::Metric,
    },
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
    tls_cache: TlsCache,
    generation: u64,
}

impl Control {
    fn adopt(&mut self, scratch: &Scratch, pools_and_routes: &str) -> Live {
        let text =
            format!("version = 1\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:1\"\n{pools_and_routes}");
        let path = scratch.write("test.toml", text);
        let prepared = prepare(&path, &self.tls_cache).unwrap_or_else(|errors| panic!("{errors}"));
        self.generation += 1;
        let topology = Arc::new(prepared.wiring.config.topology.clone());
        self.world.apply(Event::Adopted { topology, generation: self.generation }, Tick(0));
        self.tls_cache = prepared.tls_cache;
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

    /// Takes an endpoint out; shows its probation as soon as that has begun (`base` says when).
    pub(crate) fn try_again(&mut self, address: SocketAddr) {
        let (world, now) = (&mut self.control.world, self.shared.now());
        let id = world.layout().endpoints.iter().find(|place| place.address == address).unwrap().id;
        for _ in 0..3 {
            world.apply(Event::Suspected { id, fault: Fault::Reset, started: now, at: now }, now);
        }
        soon("its probation begins", || {
            world.apply(Event::Ticked, self.shared.now());
            world.health(id).unwrap().ejection == Ejection::Probation
        });
        let snapshot = world.snapshot();
        let (revision, wiring) = (snapshot.revision, Arc::clone(&self.shared.live.load().wiring));
        self.shared.live.store(Arc::new(Live { snapshot, wiring }));
        self.shared.published.send_replace(revision);
    }

    /// The sum of the series of `metric` with all of these label values.
    pub(crate) fn counted(&self, metric: &'static Metric, labels: &[&str]) -> u64 {
        let fits =
            |values: &[Arc<str>]| labels.iter().all(|label| values.iter().any(|value| **value == **label));
        let all = totals(self.shared.meters.iter());
        let these = all.iter().filter(|(series, _)| series.metric == metric && fits(&series.labels));
        these.map(|(_, total)| if let Total::Value(value) = total { *value } else { 0 }).sum()
    }

    /// The sum of one count over the statistics of all endpoints.
    pub(crate) fn accounts(&self, count: impl Fn(&EndpointStats) -> u64) -> u64 {
        let mut sum = 0;
        self.shared.stats[0].each(|_, account, _| sum += count(account));
        sum
    }

    /// Gives the worker one more socket, and takes it away before the worker has accepted from it.
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

pub(crate) fn one_pool(ports: &[u16], route: &str) -> String {
    let endpoints: Vec<String> =
        ports.iter().map(|port| format!("{{ address = \"127.0.0.1:{port}\" }}")).collect();
    format!(
        "[pool.a]\nendpoints = [{}]\n[route.r]\npolicy = \"failover\"\npools = [{{ pool = \"a\" }}]\n{route}\n",
        endpoints.join(", ")
    )
}

/// Pools `p0`, `p1`… of one endpoint each with `pool`, failover over them.
pub(crate) fn in_order(addresses: &[SocketAddr], pool: &str, route: &str) -> String {
    let mut text = String::new();
    for (nth, address) in addresses.iter().enumerate() {
        text += &format!("[pool.p{nth}]\nendpoints = [{{ address = \"{address}\" }}]\n{pool}\n");
    }
    let names: Vec<String> = (0..addresses.len()).map(|nth| format!("{{ pool = \"p{nth}\" }}")).collect();
    format!("{text}[route.r]\npolicy = \"failover\"\npools = [{}]\n{route}\n", names.join(", "))
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A request without a body.
pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// An answer of two bytes.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-own: 1\r\n\r\nok";

/// Answers each connection's requests with `answer`, and reports what it received.
pub(crate) fn endpoint(answer: &'static str) -> (u16, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, seen) = (stream.unwrap(), seen.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 65536];
                while let Ok(n) = stream.read(&mut buffer) {
                    if n == 0 {
                        break;
                    }
                    let _ = seen.send(String::from_utf8_lossy(&buffer[..n]).into_owned());
                    if stream.write_all(answer.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    (port, received)
}

/// Sends `request`, closes the sending side, and returns everything that comes back but interim answers.
pub(crate) fn ask(plane: &DataPlane, request: &str) -> String {
    let mut stream = TcpStream::connect(plane.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n").to_owned()
}

/// In front of pools and routes: the listener speaks both.
pub(crate) const BOTH: &str = "protocols = [\"http/1.1\", \"h2c\"]\n";
