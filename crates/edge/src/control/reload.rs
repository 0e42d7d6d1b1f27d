//! Reload, of which a start is the first: read, prepare, bind, adopt, or change nothing. One reload runs at a time.
//! Reading and key work run beside the control thread; nothing here is on the request path.
//!
//! `apply` puts a config into force, `bundles` one with another bundle of the fleet, `rollback` puts an earlier one there, `trials` takes an unconfirmed one back.

use std::{cell::RefCell, path::PathBuf, rc::Rc, sync::Arc, time::SystemTime};

use serde_json::json;
use thalweg_config::{Config, ConfigErrors};
use tokio::sync::{Mutex, mpsc};

use crate::{
    control::{
        audit::{Actor, ChangeCall},
        history_file::HistoryCause,
        listen::{self, BindError, BoundSockets, ListenKey},
        logging::LogLevel,
        origin::{ConfigSource, Origin, Reading},
        state::{Control, EdgePhase, LastReload, ReloadAnswer, ReloadJob, ReloadRequest},
        systemd,
        trial::TrialTerms,
        upgrade::successor::InheritedSocket,
        wiring::{self, Prepared},
    },
    shared::{Command, meters::Series, telemetry::RELOADS},
};

mod apply;
mod bundles;
mod late;
mod rollback;
mod trials;

/// Results of a reload, as counted by the metric.
pub const RESULTS: [&str; 3] = ["applied", "unchanged", "rejected"];

/// The cause of a repeated reload after a rejection for an address or a geo database, which may be good by now.
pub const RETRY: &str = "retry";

/// Why a config did not come into force.
#[derive(Debug)]
pub enum Rejection {
    /// The config is wrong.
    Config(ConfigErrors),
    /// An address cannot be bound.
    Bind(Box<BindError>),
    /// The edge is ending.
    Ending,
}

/// The reloader's state, which outlives a restart of its task.
#[derive(Debug)]
pub struct Reloader {
    control: Rc<Control>,
    path: PathBuf,
    level: LogLevel,
    /// The command queue of each worker.
    workers: Vec<mpsc::Sender<Command>>,
    requests: Mutex<mpsc::Receiver<ReloadRequest>>,
    in_force: RefCell<Option<Prepared>>,
    held: RefCell<Vec<ListenKey>>,
    /// Sockets of the predecessor that no listener has yet.
    inherited: RefCell<Vec<InheritedSocket>>,
    /// While a predecessor serves: the sockets that are to open when it is told to end.
    parked: RefCell<Option<Vec<ParkedListener>>>,
    /// UDP sockets that are to be bound once the predecessor has closed its own.
    late: RefCell<Vec<ListenKey>>,
    /// The config at the process's start, to tell what a restart would change.
    started_with: RefCell<Option<Arc<Config>>>,
    /// The last config, if it was rejected.
    refused: RefCell<Option<RejectedConfig>>,
}

/// A listener that is bound and not opened yet.
#[derive(Debug)]
struct ParkedListener {
    name: Arc<str>,
    sockets: BoundSockets,
}

#[derive(Debug)]
struct RejectedConfig {
    errors: ConfigErrors,
    /// The prepared config, if only an address or a geo database was wrong.
    reading: Option<Prepared>,
}

/// How a new reading of the files differs from the last one, applied or rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// The reading is the same.
    None,
    /// The reading is the same, and the reason for its rejection may be over.
    Retry,
    /// The reading is different.
    New,
}

impl Reloader {
    /// A reloader with nothing in force.
    #[must_use]
    pub fn new(
        control: Rc<Control>,
        path: PathBuf,
        level: LogLevel,
        workers: Vec<mpsc::Sender<Command>>,
        requests: mpsc::Receiver<ReloadRequest>,
    ) -> Rc<Self> {
        for result in RESULTS {
            control.meters.cell(Series::new(&RELOADS, &[&Arc::from(result)]));
        }
        Rc::new(Self {
            control,
            path,
            level,
            workers,
            requests: Mutex::new(requests),
            in_force: RefCell::default(),
            held: RefCell::default(),
            inherited: RefCell::default(),
            parked: RefCell::default(),
            late: RefCell::default(),
            started_with: RefCell::default(),
            refused: RefCell::default(),
        })
    }

    /// Serves requests until no task can send one, and takes back what is on trial when its time has come.
    pub async fn run(self: Rc<Self>) {
        let mut requests = self.requests.lock().await;
        loop {
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.serve(request).await,
                    None => return,
                },
                () = self.trial_is_due() => self.watch_trial().await,
            }
        }
    }

    async fn serve(&self, request: ReloadRequest) {
        systemd::notify("RELOADING=1");
        let answer = match request.job {
            ReloadJob::Reload { cause, trial } => self.reload(cause, trial, &request.by).await,
            ReloadJob::Rollback(generation) => self.roll_back(generation, &request.by).await,
            ReloadJob::Bundle => self.adopt_bundle(&request.by).await,
            ReloadJob::Confirm => self.confirm(&request.by).await,
        };
        systemd::notify("READY=1");
        if let Some(reply) = request.reply {
            // The task that asked may have ended; what was done counts all the same.
            let _ = reply.send(answer);
        }
    }

    /// Reads the files: the config in force, another config, or errors.
    pub async fn read(&self) -> Result<Prepared, ConfigErrors> {
        let (path, bundle) = (self.path.clone(), self.control.fleet.texts());
        let tls_cache =
            self.in_force.borrow().as_ref().map(|prepared| prepared.tls_cache.clone()).unwrap_or_default();
        let read =
            tokio::task::spawn_blocking(move || wiring::prepare_with_bundle(&path, &tls_cache, &bundle))
                .await;
        read.unwrap_or_else(|panicked| Err(whole_file(&self.path, &panicked.to_string())))
    }

    /// Reads what the watcher compares: the files, or, while they are set aside, the config in force from what is kept of
    /// it. Its certificates and tokens are those of today either way.
    pub async fn read_watched(&self) -> Reading {
        let prepared = self.read().await;
        if self.is_set_aside(&prepared)
            && let Some(texts) = self.texts_in_force()
        {
            return Reading { source: ConfigSource::History, prepared: self.read_texts(texts).await };
        }
        Reading { source: ConfigSource::Files, prepared }
    }

    /// How a reading differs from the last one.
    pub fn change(&self, reading: &Reading) -> ConfigChange {
        let same = |known: &Option<Prepared>, prepared| known.as_ref().is_some_and(|it| it.same_as(prepared));
        // Files that say again what runs are no longer set aside.
        let returned = reading.source == ConfigSource::Files && self.control.set_aside.borrow().is_some();
        match (&reading.prepared, &*self.refused.borrow()) {
            (Err(errors), Some(refused)) if refused.errors == *errors => ConfigChange::None,
            (Ok(prepared), None) if !returned && same(&self.in_force.borrow(), prepared) => {
                ConfigChange::None
            }
            (Ok(prepared), Some(refused)) if same(&refused.reading, prepared) => {
                let held = self.held.borrow();
                let new = without(&listen::listen_keys(&prepared.wiring.config.listeners), &held);
                // Checked here, so that no reload begins while the address is still taken.
                if listen::check_addresses_free(&new, &held).is_err() {
                    ConfigChange::None
                } else {
                    ConfigChange::Retry
                }
            }
            _ => ConfigChange::New,
        }
    }

    /// Whether the last reading was rejected.
    pub fn is_refused(&self) -> bool {
        self.refused.borrow().is_some()
    }

    /// Whether a config is on trial.
    pub fn is_on_trial(&self) -> bool {
        self.control.trials.running.borrow().is_some()
    }

    /// The files of the config in force, and those that are set aside.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.path.clone()];
        if let Some(prepared) = &*self.in_force.borrow() {
            files.extend(prepared.wiring.config.files.iter().cloned());
            files.extend(prepared.wiring.config.folders.iter().cloned());
            files.extend(prepared.tls_cache.material().keys().cloned());
        }
        files.extend(self.control.set_aside.borrow().iter().flat_map(|aside| aside.files.iter().cloned()));
        files.sort_unstable();
        files.dedup();
        files
    }

    /// Whether a successor starts or serves: it reads the files itself, and two processes must not bind one new address.
    pub fn is_handing_over(&self) -> bool {
        self.control.upgrades.is_under_way()
    }

    /// Whether a drain has begun: a listener that closes for good must not be opened again.
    fn is_ending(&self) -> bool {
        self.control.phase.get() == EdgePhase::Draining
    }

    /// Reads the files and puts them into force; records the caller.
    async fn reload(&self, cause: &'static str, trial: Option<TrialTerms>, by: &Actor) -> ReloadAnswer {
        let answer = match self.control.trials.view() {
            Some(running) => ReloadAnswer::TrialRuns(running),
            None => self.read_and_apply(cause, trial, by).await,
        };
        // A repeated reload asks for nothing new.
        if cause == RETRY && matches!(answer, ReloadAnswer::Rejected(_)) {
            return answer;
        }
        let what = json!({ "cause": cause, "generation": answer.generation() });
        by.record(&self.control.events, ChangeCall::Reload, what, answer.as_str());
        answer
    }

    async fn read_and_apply(
        &self,
        cause: &'static str,
        trial: Option<TrialTerms>,
        by: &Actor,
    ) -> ReloadAnswer {
        if self.is_ending() || self.is_handing_over() {
            return ReloadAnswer::Busy;
        }
        // What the watcher asks for must not bring in files that are set aside.
        let Reading { source, prepared } = match cause {
            "file" | RETRY => self.read_watched().await,
            _ => Reading { source: ConfigSource::Files, prepared: self.read().await },
        };
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(errors) => return self.reject(cause, RejectedConfig { errors, reading: None }),
        };
        let origin = Origin {
            source,
            trial: trial.is_some(),
            ..Origin::files(HistoryCause::named(cause).unwrap_or(HistoryCause::File), by.clone())
        };
        match self.apply(prepared.clone(), origin).await {
            Ok(answer) => {
                tracing::info!(cause, result = answer.as_str(), "reload");
                match trial {
                    Some(terms) => self.begin_trial(terms, answer).await,
                    None => answer,
                }
            }
            Err(Rejection::Config(errors)) => self.reject_for_now(cause, errors, prepared),
            Err(Rejection::Bind(error)) => {
                self.reject_for_now(cause, ConfigErrors(vec![error.as_config_error()]), prepared)
            }
            Err(Rejection::Ending) => ReloadAnswer::Busy,
        }
    }

    /// Rejects a config for a reason that may end by itself. A repetition with the same end is told once.
    fn reject_for_now(&self, cause: &'static str, errors: ConfigErrors, prepared: Prepared) -> ReloadAnswer {
        let told = self.refused.borrow().as_ref().is_some_and(|refused| refused.errors == errors);
        if cause == RETRY && told {
            return ReloadAnswer::Rejected(errors);
        }
        self.reject(cause, RejectedConfig { errors, reading: Some(prepared) })
    }

    fn succeed(&self, result: &'static str, prepared: Prepared) {
        let config = Arc::clone(&prepared.wiring.config);
        if result == "applied" {
            for warning in &config.warnings {
                tracing::warn!("{warning}");
            }
        }
        self.level.set(config.log.level);
        let first = Arc::clone(self.started_with.borrow_mut().get_or_insert_with(|| Arc::clone(&config)));
        let mut waiting = Vec::new();
        waiting.extend((first.edge.workers != config.edge.workers).then_some("edge.workers"));
        waiting.extend((first.admin.bind != config.admin.bind).then_some("admin.bind"));
        self.control.restart_required.replace(waiting);
        self.control.certificates.replace(prepared.certificates.clone());
        self.control.last_success.set(Some(SystemTime::now()));
        self.refused.replace(None);
        self.in_force.replace(Some(prepared));
        self.finish(result, Vec::new());
    }

    fn reject(&self, cause: &'static str, refused: RejectedConfig) -> ReloadAnswer {
        let errors = refused.errors.clone();
        for error in &errors.0 {
            tracing::error!("{error}");
        }
        tracing::error!(cause, errors = errors.0.len(), "reload rejected: the config in force stays");
        let lines: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        self.control.events.add("config_rejected", json!({ "cause": cause, "errors": lines }));
        self.refused.replace(Some(refused));
        self.finish("rejected", errors.0.clone());
        ReloadAnswer::Rejected(errors)
    }

    fn finish(&self, result: &'static str, errors: Vec<thalweg_config::ConfigError>) {
        self.control.meters.cell(Series::new(&RELOADS, &[&Arc::from(result)])).bump();
        self.control.last_reload.replace(Some(LastReload { result, time: SystemTime::now(), errors }));
    }
}

/// The elements of `some` that are not among `others`.
fn without(some: &[ListenKey], others: &[ListenKey]) -> Vec<ListenKey> {
    some.iter().filter(|stand| !others.contains(stand)).cloned().collect()
}

fn whole_file(path: &std::path::Path, problem: &str) -> ConfigErrors {
    let span = thalweg_config::Span { file: path.to_owned(), line: 0, column: 0 };
    ConfigErrors(vec![thalweg_config::ConfigError {
        span,
        path: String::new(),
        problem: problem.into(),
        hint: None,
    }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::{events::Events, keeper::Keeper, supervise::Task},
        shared::{Live, Shared, access_log::LogSink, meters::Meters},
    };
    use std::{cell::Cell, time::Instant};

    const CONFIG: &str = "version = 1\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:0\"\n\
        [pool.p]\nendpoints = [{ address = \"127.0.0.1:9\" }]\n\
        [route.r]\npolicy = \"failover\"\npools = [{ pool = \"p\" }]\n";

    /// When a drain begins, relative to the reload.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum DrainBegins {
        Never,
        BeforeItApplies,
        WhileItApplies,
    }

    async fn check(told: DrainBegins, generation: u64, opened: bool) {
        let config = thalweg_config::parse_str(CONFIG, "t.toml").unwrap();
        let prepared = wiring::wire(config, Default::default()).unwrap();
        let live = Live { snapshot: Keeper::nothing(), wiring: Arc::clone(&prepared.wiring) };
        let (shared, hints) = Shared::new(live, 0, LogSink::start(1, std::io::sink()).unwrap());
        let (events, meters) = (Events::default(), Arc::<Meters>::default());
        let (keeper, link) =
            Keeper::new(Arc::clone(&shared), hints, events.clone(), Arc::clone(&meters), Default::default());
        let (reloads, requests) = mpsc::channel(1);
        let control = Rc::new(Control {
            shared: Arc::clone(&shared),
            keeper: link,
            workers: Vec::new(),
            events,
            feed: Default::default(),
            meters,
            reloads,
            phase: Cell::new(EdgePhase::Serving),
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
            announce: Default::default(),
            dns: Default::default(),
            upgrades: Default::default(),
            planning: Default::default(),
            began: (Instant::now(), SystemTime::now()),
        });
        let (worker, mut orders) = mpsc::channel(8);
        let reloader = Reloader::new(
            Rc::clone(&control),
            PathBuf::from("t.toml"),
            LogLevel::none(),
            vec![worker],
            requests,
        );
        if told == DrainBegins::BeforeItApplies {
            control.phase.set(EdgePhase::Draining);
        }
        let origin = Origin::files(HistoryCause::Start, Actor::own("start"));
        // The keeper starts after the reloader waits for it.
        let (answer, _task) = tokio::join!(biased; reloader.apply(prepared, origin), async {
            if told == DrainBegins::WhileItApplies {
                control.phase.set(EdgePhase::Draining);
            }
            Task::spawn(keeper.run())
        });
        assert_eq!(matches!(answer, Err(Rejection::Ending)), generation == 0, "{told:?}: {answer:?}");
        assert_eq!(shared.live.load().snapshot.generation, generation, "{told:?}");
        assert_eq!(orders.try_recv().is_ok(), opened, "{told:?}");
    }

    #[test]
    fn no_listener_opens_once_a_drain_has_begun() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            check(DrainBegins::Never, 1, true).await;
            check(DrainBegins::BeforeItApplies, 0, false).await;
            check(DrainBegins::WhileItApplies, 1, false).await;
        });
    }
}
