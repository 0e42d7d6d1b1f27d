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
    sync::mpsc,
    task::LocalSet,
    time::{sleep, timeout},
};

use crate::{
    control::{
        announce,
        begin::{self, Begun},
        dns,
        events::Events,
        fleet::{self, begin::Remembered, state::FleetState},
        keeper::{Keeper, ProbeWakers},
        listen::{self, BindError},
        logging::LogLevel,
        reload::{Rejection, Reloader},
        signals::{Signals, WorkersGone},
        state::{Control, EdgePhase, ReloadRequest},
        state_store,
        supervise::{Task, supervise},
        systemd, tasks,
        upgrade::{successor::Inheritance, wire::HandoverMessage},
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
    /// The process that this one was to take over from did not let it.
    TakeOver(String),
}

impl RunError {
    /// One line for the process that waits for this one.
    fn line(&self) -> String {
        match self {
            Self::Config(errors) => {
                let first = errors.0.first().map(ToString::to_string).unwrap_or_default();
                match errors.0.len() {
                    0 | 1 => first,
                    count => format!("{first} (and {} more)", count - 1),
                }
            }
            Self::Bind(error) => error.to_string(),
            Self::Machine(error) => format!("cannot start: {error}"),
            Self::WorkersGone => "every worker has ended".into(),
            Self::TakeOver(problem) => problem.clone(),
        }
    }
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
    let inheritance = Inheritance::receive().transpose().map_err(RunError::TakeOver)?.map(Rc::new);
    let outcome = start(path, admin, level, inheritance.clone());
    if let (Err(error), Some(inheritance)) = (&outcome, &inheritance) {
        inheritance.fail(&error.line());
    }
    outcome
}

fn start(
    path: &Path,
    admin: AdminServer,
    level: LogLevel,
    inheritance: Option<Rc<Inheritance>>,
) -> Result<(), RunError> {
    // A config from a pipe can be served. A later reload reports that there is no file to read again.
    let read = thalweg_config::check(path, &Typed(path)).0;
    let files = wiring::judge(read, Default::default()).map_err(RunError::Config)?;
    level.set(files.wiring.config.log.level);
    let (files, remembered) = fleet::begin::with_last_good(files);
    let mut begun = begin::choose(files);
    if let Some(inheritance) = &inheritance {
        begun.go_on_from(inheritance.hello.generation, &inheritance.hello.config_hash);
    }
    let config = &begun.prepared.wiring.config;
    level.set(config.log.level);
    let socket = match inheritance.as_ref().and_then(|theirs| theirs.admin(config.admin.bind)) {
        Some(socket) => socket,
        None => listen::bind_admin(config.admin.bind).map_err(|error| RunError::Bind(error.into()))?,
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    let local = LocalSet::new();
    let start = Start { path: path.to_owned(), level, begun, remembered, socket, admin, inheritance };
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
    inheritance: Option<Rc<Inheritance>>,
}

async fn serve(start: Start) -> Result<(), RunError> {
    let mut signals = Signals::new()?;
    let (shared, suspects) = shared(&start.begun.prepared)?;
    let workers = start_workers(&shared)?;
    let senders: Vec<_> = workers.iter().map(|worker| worker.commands.clone()).collect();
    let (control, keeper, wakers, requests) = assemble(&shared, suspects, senders.clone());
    start.remembered.fill(&control.fleet);
    let reloader = Reloader::new(Rc::clone(&control), start.path, start.level, senders, requests);
    let mut running = vec![supervise("keeper", &control.meters, move || Rc::clone(&keeper).run())];
    let inheritance = start.inheritance;
    if let Some(inheritance) = &inheritance {
        reloader.inherit(inheritance.sockets.take());
    }
    state_store::restore(&control, inheritance.as_ref().map(|theirs| &*theirs.hello.state)).await;
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
    let probes = tasks::probes(&control, wakers);
    running.extend(tasks::watching(&control));
    let predecessor = inheritance.as_ref().map(|theirs| theirs.hello.pid);
    control.announce.inherit(inheritance.as_ref().is_some_and(|theirs| theirs.hello.announced));
    control.upgrades.begin(start.socket.try_clone().ok(), predecessor);
    let mut channel = None;
    if let Some(inheritance) = &inheritance {
        match signals.unless_told_to_stop(inheritance.until_told(&control)).await {
            Ok(told) => channel = Some(told),
            Err(problem) => {
                stop(&workers, || Command::Abort).await;
                return Err(RunError::TakeOver(problem));
            }
        }
        reloader.open().await;
    }
    let acting = tasks::acting(&control, &reloader, (start.socket, start.admin))?;
    if let Some(mut channel) = channel {
        dns::until_tried(&control).await;
        systemd::notify(&format!("MAINPID={}\nREADY=1", std::process::id()));
        // If the predecessor has ended meanwhile, this process serves all the same.
        let _ = channel.say(&HandoverMessage::Serving).await;
    } else {
        systemd::notify("READY=1");
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), workers = workers.len(), predecessor, "edge started");
    let told = signals.until_told_to_stop(&control, &workers).await;
    let outcome = told.map_err(|WorkersGone| RunError::WorkersGone);
    if control.upgrades.is_over() {
        // The successor answers operators from here on, and writes the state.
        drop(acting);
    } else {
        systemd::notify("STOPPING=1");
        running.extend(acting);
    }
    drain(&control, &workers, probes, &mut signals).await;
    drop(running);
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
        fleet: FleetState::new(wakers.clone()),
        set_aside: Default::default(),
        traffic: Default::default(),
        announce: Default::default(),
        dns: Default::default(),
        upgrades: Default::default(),
        planning: Default::default(),
        began: (Instant::now(), SystemTime::now()),
    };
    (Rc::new(control), keeper, wakers, requests)
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
        let edge = &live.wiring.config.edge;
        // A successor has the address: there is no balancer to wait for.
        let delay = if control.upgrades.is_over() { Duration::ZERO } else { edge.drain_delay };
        (delay, edge.drain_timeout)
    };
    tracing::info!(delay_ms = delay.as_millis(), timeout_ms = bound.as_millis(), "drain begins");
    control.events.add("drain_begins", serde_json::json!({}));
    let orderly = async {
        let withdrawn = async {
            if !control.upgrades.is_over() {
                announce::withdraw(control).await;
            }
        };
        tokio::join!(sleep(delay), withdrawn);
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
