//! One edge from start to exit: prepare, bind, start workers and control tasks, run, drain, end. The control thread's
//! runtime lives here; no request passes through it.

use std::{
    cell::{Cell, RefCell},
    net::TcpListener,
    path::{Path, PathBuf},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use thalweg_config::{ConfigErrors, Typed};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::LocalSet,
    time::{sleep, timeout},
};

use crate::{
    control::{
        audit::Actor,
        begin::{self, Begun},
        events::Events,
        fleet::{self, begin::Remembered},
        geo,
        keeper::{Keeper, ProbeWakers},
        listen::{self, BindError},
        logging::{self, LogLevel},
        notify, probe,
        reload::{Rejection, Reloader},
        resolve,
        state::{self, Control, EdgePhase, ReloadJob, ReloadRequest},
        state_store,
        supervise::{Task, supervise},
        systemd, traces, traffic_log, unreached, watch as file_watch,
        wiring::{self, Prepared},
    },
    data::worker::{self, Worker},
    shared::{
        Command, Live, Shared, Suspicion,
        access_log::{self, LogSink},
        meters::Meters,
    },
};

/// Access log batches that may wait for the writer.
const LOG_DEPTH: usize = 1024;
/// Time for the last log lines to be written at the end.
const LAST_LINES: Duration = Duration::from_secs(1);
/// Capacity of the queue of reloads.
const RELOADS: usize = 16;

/// Why the edge did not start, or did not end well.
#[derive(Debug)]
pub enum RunError {
    /// The config, or a file it names, is wrong.
    Config(ConfigErrors),
    /// An address cannot be bound.
    Bind(Box<BindError>),
    /// The operating system refused a resource.
    Machine(std::io::Error),
    /// Every worker has ended without a command.
    WorkersGone,
}

impl From<std::io::Error> for RunError {
    fn from(error: std::io::Error) -> Self {
        Self::Machine(error)
    }
}

/// The admin server as a task: it gets the control state and its listening socket, and runs until it is dropped.
/// Handed in, so that the control side does not import the server that imports it.
pub type AdminServer = fn(Rc<Control>, Rc<tokio::net::TcpListener>) -> Pin<Box<dyn Future<Output = ()>>>;

/// Serves until told to stop; `admin` answers operators.
///
/// # Errors
/// Why the edge could not start, or ended.
pub fn run(path: &Path, admin: AdminServer) -> Result<(), RunError> {
    let level = LogLevel::start();
    wiring::raise_file_limit();
    // A config from a pipe can be served. A later reload reports that there is no file to read again.
    let read = thalweg_config::check(path, &Typed(path)).0;
    let files = wiring::judge(read, Default::default()).map_err(RunError::Config)?;
    level.set(files.wiring.config.log.level);
    let (files, remembered) = fleet::begin::with_last_good(files);
    let begun = begin::choose(files);
    let config = &begun.prepared.wiring.config;
    level.set(config.log.level);
    let socket = listen::bind_admin(config.admin.bind).map_err(|error| RunError::Bind(error.into()))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    let local = LocalSet::new();
    let start = Start { path: path.to_owned(), level, begun, remembered, socket, admin };
    let outcome = local.block_on(&runtime, serve(start));
    // A file that is being read from a slow place must not delay the exit.
    runtime.shutdown_background();
    outcome
}

struct Start {
    path: PathBuf,
    level: LogLevel,
    begun: Begun,
    remembered: Remembered,
    socket: TcpListener,
    admin: AdminServer,
}

async fn serve(start: Start) -> Result<(), RunError> {
    let mut signals = Signals::new()?;
    let (shared, suspects) = shared(&start.begun.prepared)?;
    let workers = start_workers(&shared)?;
    let senders: Vec<_> = workers.iter().map(|worker| worker.commands.clone()).collect();
    let (control, keeper, wakers, requests) = assemble(&shared, suspects, senders.clone());
    start.remembered.fill(&control.fleet);
    let reloader = Reloader::new(Rc::clone(&control), start.path, start.level, senders, requests);
    let mut tasks = vec![supervise("keeper", &control.meters, move || Rc::clone(&keeper).run())];
    state_store::restore(&control).await;
    match reloader.begin(start.begun).await {
        Ok(()) => {}
        Err(rejection) => {
            stop(&workers, || Command::Abort).await;
            return Err(match rejection {
                Rejection::Config(errors) => RunError::Config(errors),
                Rejection::Bind(error) => RunError::Bind(error),
                Rejection::Ending => RunError::WorkersGone,
            });
        }
    }
    let probes = start_probes(&control, wakers);
    tasks.extend(start_tasks(&control, &reloader, (start.socket, start.admin))?);
    systemd::notify("READY=1");
    tracing::info!(version = env!("CARGO_PKG_VERSION"), workers = workers.len(), "edge started");
    let outcome = signals.until_told_to_stop(&control, &workers).await;
    systemd::notify("STOPPING=1");
    drain(&control, &workers, probes, &mut signals).await;
    drop(tasks);
    outcome
}

fn shared(prepared: &Prepared) -> std::io::Result<(Arc<Shared>, mpsc::Receiver<Suspicion>)> {
    let config = &prepared.wiring.config;
    let count = match config.edge.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        given => given,
    };
    let live = Live { snapshot: Keeper::nothing(), wiring: Arc::clone(&prepared.wiring) };
    Ok(Shared::new(live, count, LogSink::start(LOG_DEPTH, access_log::stdout()?)?))
}

fn start_workers(shared: &Arc<Shared>) -> std::io::Result<Vec<Worker>> {
    (0..shared.meters.len()).map(|index| worker::start(index, Arc::clone(shared))).collect()
}

fn assemble(
    shared: &Arc<Shared>,
    suspects: mpsc::Receiver<Suspicion>,
    workers: Vec<mpsc::Sender<Command>>,
) -> (Rc<Control>, Rc<Keeper>, ProbeWakers, mpsc::Receiver<ReloadRequest>) {
    let (events, meters, wakers) = (Events::default(), Arc::<Meters>::default(), ProbeWakers::default());
    let (keeper, link) =
        Keeper::new(Arc::clone(shared), suspects, events.clone(), Arc::clone(&meters), wakers.clone());
    let (reloads, requests) = mpsc::channel(RELOADS);
    let control = Control {
        shared: Arc::clone(shared),
        keeper: link,
        workers,
        events,
        feed: Default::default(),
        meters,
        reloads,
        phase: Cell::new(EdgePhase::Starting),
        last_reload: RefCell::default(),
        last_success: Cell::new(None),
        restart_required: RefCell::default(),
        certificates: RefCell::default(),
        geo_rejected: RefCell::default(),
        names: Default::default(),
        failures: Default::default(),
        last_order: Rc::default(),
        store: Default::default(),
        history: Default::default(),
        trials: Default::default(),
        fleet: Default::default(),
        set_aside: Default::default(),
        traffic: Default::default(),
        planning: Default::default(),
        began: (Instant::now(), SystemTime::now()),
    };
    (Rc::new(control), keeper, wakers, requests)
}

fn start_probes(control: &Rc<Control>, wakers: ProbeWakers) -> Task {
    let (shared, keeper) = (Arc::clone(&control.shared), control.keeper.clone());
    supervise("probes", &control.meters, move || {
        probe::run(Arc::clone(&shared), keeper.clone(), wakers.clone(), wiring::file_limit())
    })
}

fn start_tasks(
    control: &Rc<Control>,
    reloader: &Rc<Reloader>,
    (socket, serve_admin): (TcpListener, AdminServer),
) -> std::io::Result<Vec<Task>> {
    let socket = Rc::new(tokio::net::TcpListener::from_std(socket)?);
    let meters = &control.meters;
    let one = Rc::clone(control);
    let admin = supervise("admin", meters, move || serve_admin(Rc::clone(&one), Rc::clone(&socket)));
    let one = Rc::clone(control);
    let resolver = supervise("resolver", meters, move || {
        resolve::run(Arc::clone(&one.shared), one.keeper.clone(), one.names.clone())
    });
    let one = Rc::clone(control);
    let unreached = supervise("unreached", meters, move || {
        unreached::run(Arc::clone(&one.shared), one.events.clone(), one.failures.clone())
    });
    let one = Rc::clone(reloader);
    let reloads = supervise("reload", meters, move || Rc::clone(&one).run());
    let (one, requests) = (Rc::clone(reloader), control.reloads.clone());
    let watch = supervise("watch", meters, move || file_watch::run(Rc::clone(&one), requests.clone()));
    let one = Rc::clone(control);
    let readiness = supervise("readiness", meters, move || state::watch_readiness(Rc::clone(&one)));
    let one = Rc::clone(control);
    let state = supervise("state", meters, move || state_store::run(Rc::clone(&one)));
    let one = Rc::clone(control);
    let traffic =
        supervise("traffic", meters, move || traffic_log::run(Arc::clone(&one.shared), one.traffic.clone()));
    let one = Rc::clone(control);
    let notify = supervise("notify", meters, move || {
        notify::run(Arc::clone(&one.shared), one.events.clone(), Arc::clone(&one.meters))
    });
    let one = Rc::clone(control);
    let geo = supervise("geo", meters, move || geo::run(Rc::clone(&one)));
    let one = Rc::clone(control);
    let traces =
        supervise("traces", meters, move || traces::run(Arc::clone(&one.shared), Arc::clone(&one.meters)));
    let one = Rc::clone(control);
    let fleet = supervise("fleet", meters, move || fleet::run(Rc::clone(&one)));
    Ok(vec![
        admin, fleet, resolver, unreached, reloads, watch, readiness, state, traffic, notify, geo, traces,
    ])
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    /// Drains like SIGTERM: nginx and uvicorn users send it for a graceful end.
    quit: Signal,
    interrupt: Signal,
    /// Log rotation and other scripts send these; left alone, they would end the process.
    user: [Signal; 2],
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
            user: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
        })
    }

    /// Reloads at each SIGHUP; returns when the edge is to end.
    async fn until_told_to_stop(&mut self, control: &Control, workers: &[Worker]) -> Result<(), RunError> {
        let mut gone = 0;
        let [first, second] = &mut self.user;
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Ok(()),
                _ = self.quit.recv() => return Ok(()),
                _ = first.recv() => ignored("SIGUSR1"),
                _ = second.recv() => ignored("SIGUSR2"),
                _ = self.interrupt.recv() => return Ok(()),
                _ = self.hangup.recv() => {
                    // If the queue is full, the last reload in it reads the same files that this signal means.
                    let by = Actor::own("signal");
                    let job = ReloadJob::Reload { cause: "signal", trial: None };
                    let _ = control.reloads.try_send(ReloadRequest { job, by, reply: None });
                }
                () = sleep(Duration::from_secs(1)) => {}
            }
            logging::report_left_out();
            let now = workers.iter().filter(|worker| worker.thread.is_finished()).count();
            if now > gone {
                gone = now;
                tracing::error!(gone, of = workers.len(), "a worker has ended");
            }
            if gone == workers.len() {
                return Err(RunError::WorkersGone);
            }
        }
    }

    /// Waits for a second SIGINT, with which the operator ends the drain. A second SIGTERM does not: supervisors send
    /// several.
    async fn again(&mut self) {
        self.interrupt.recv().await;
    }
}

/// Both logs go to stdout and stderr: there is no file to open again.
fn ignored(signal: &str) {
    tracing::info!(signal, "signal ignored: no log file is open here; SIGHUP reloads, SIGTERM drains");
}

async fn stop(workers: &[Worker], command: impl Fn() -> Command) {
    for worker in workers {
        // A worker that has ended needs no command; a stuck worker must not delay the others.
        let _ = timeout(Duration::from_millis(200), worker.commands.send(command())).await;
    }
}

async fn drain(control: &Control, workers: &[Worker], probes: Task, signals: &mut Signals) {
    control.phase.set(EdgePhase::Draining);
    let (delay, bound) = {
        let live = control.shared.live.load();
        (live.wiring.config.edge.drain_delay, live.wiring.config.edge.drain_timeout)
    };
    tracing::info!(delay_ms = delay.as_millis(), timeout_ms = bound.as_millis(), "drain begins");
    control.events.add("drain_begins", serde_json::json!({}));
    let orderly = async {
        sleep(delay).await;
        stop(workers, || Command::Drain).await;
        drop(probes);
        timeout(bound, ended(workers)).await.is_ok()
    };
    let all_ended = tokio::select! {
        all_ended = orderly => all_ended,
        () = signals.again() => false,
    };
    if !all_ended {
        tracing::warn!("drain cut short");
        stop(workers, || Command::Abort).await;
        // The workers had their time: the process ends with or without them.
        let _ = timeout(Duration::from_secs(1), ended(workers)).await;
    }
    if !control.shared.log.settle(LAST_LINES) {
        tracing::warn!("the access log's reader is stuck: its last lines are lost");
    }
    tracing::info!("edge ended");
}

async fn ended(workers: &[Worker]) {
    while !workers.iter().all(|worker| worker.thread.is_finished()) {
        sleep(Duration::from_millis(5)).await;
    }
}
