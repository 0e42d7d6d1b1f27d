//! The state that the control tasks share on the control thread. Workers never see it.

use std::{
    cell::{Cell, RefCell},
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    time::{Instant, SystemTime},
};

use thalweg_config::{ConfigError, ConfigErrors};
use thalweg_core::Snapshot;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::{
    control::{
        announce::announcing::Announcing,
        audit::Actor,
        dns::listening::DnsListening,
        events::Events,
        feed::Feed,
        fleet::state::FleetState,
        history::History,
        keeper::KeeperLink,
        resolve::KnownNames,
        state_store::StateStore,
        tls::ServingCertificate,
        traffic_log::TrafficLog,
        trial::{TrialTerms, TrialView, Trials},
        unreached::LastFailures,
        upgrade::upgrades::Upgrades,
    },
    shared::{Command, Shared, geo::RejectedGeoFile, meters::Meters},
};

/// The phase of the edge's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgePhase {
    /// Some route's first probe round has not ended.
    Starting,
    /// Every route's first probe round has ended once.
    Serving,
    /// The edge was told to stop.
    Draining,
}

/// The last reload, as status shows it.
#[derive(Clone, Debug)]
pub struct LastReload {
    /// `applied`, `unchanged` or `rejected`.
    pub result: &'static str,
    /// When the reload ended.
    pub time: SystemTime,
    /// Why the config was rejected.
    pub errors: Vec<ConfigError>,
}

/// What the control tasks share. Lives on one thread.
#[derive(Debug)]
pub struct Control {
    /// The state shared with the workers.
    pub shared: Arc<Shared>,
    /// The keeper's queue.
    pub keeper: KeeperLink,
    /// The workers' queues of commands.
    pub workers: Vec<mpsc::Sender<Command>>,
    /// The ring of events.
    pub events: Events,
    /// The state as live pages see it.
    pub feed: Feed,
    /// The control thread's own counters.
    pub meters: Arc<Meters>,
    /// The reloader's queue.
    pub reloads: mpsc::Sender<ReloadRequest>,
    /// The edge's phase.
    pub phase: Cell<EdgePhase>,
    /// The last reload.
    pub last_reload: RefCell<Option<LastReload>>,
    /// When a reload last succeeded.
    pub last_success: Cell<Option<SystemTime>>,
    /// Changed keys that need a restart.
    pub restart_required: RefCell<Vec<&'static str>>,
    /// Server certificates in use.
    pub certificates: RefCell<Vec<ServingCertificate>>,
    /// The number of the last order that was given.
    pub last_order: Rc<Cell<u64>>,
    /// Where orders and latched failovers outlive a restart.
    pub store: StateStore,
    /// The configs that were in force.
    pub history: History,
    /// The config on trial.
    pub trials: Trials,
    /// What this edge knows of its fleet.
    pub fleet: FleetState,
    /// The files that do not count until they change.
    pub set_aside: RefCell<Option<SetAside>>,
    /// What the routes did in the last minute.
    pub traffic: TrafficLog,
    /// Why a new geo database is not used.
    pub geo_rejected: RefCell<Option<RejectedGeoFile>>,
    /// Whether the edge's addresses are announced.
    pub announce: Announcing,
    /// Where DNS is answered.
    pub dns: DnsListening,
    /// The upgrades of this process.
    pub upgrades: Upgrades,
    /// One plan at a time.
    pub planning: Mutex<()>,
    /// What DNS says of the names of endpoints.
    pub names: KnownNames,
    /// Why endpoints could last not be connected to.
    pub failures: LastFailures,
    /// When this process began to serve.
    pub began: (Instant, SystemTime),
}

/// Config files that differ from what runs: they do not come into force by themselves until they change.
#[derive(Clone, Debug, PartialEq)]
pub struct SetAside {
    /// The digest of their texts, or what was wrong with them.
    pub digest: Result<String, ConfigErrors>,
    /// The files.
    pub files: Vec<PathBuf>,
    /// Since when.
    pub since: SystemTime,
    /// What came into force instead of them: `rollback` or `revert`.
    pub because: &'static str,
}

/// What the reloader is asked to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReloadJob {
    /// Read the files and put them into force.
    Reload {
        /// The origin of the request: `signal`, `api`, `file`, or `retry`.
        cause: &'static str,
        /// On trial, with these terms.
        trial: Option<TrialTerms>,
    },
    /// Put an earlier config into force; `None` = the one before.
    Rollback(Option<u64>),
    /// Put the fleet's offered bundle into force, with the files.
    Bundle,
    /// Keep the config on trial.
    Confirm,
}

/// A request to the reloader.
#[derive(Debug)]
pub struct ReloadRequest {
    /// What to do.
    pub job: ReloadJob,
    /// Who asks, and why.
    pub by: Actor,
    /// Where to send the result, if a task waits for it.
    pub reply: Option<oneshot::Sender<ReloadAnswer>>,
}

/// How a request to the reloader ended.
#[derive(Clone, Debug)]
pub enum ReloadAnswer {
    /// This generation came into force.
    Applied(u64),
    /// This generation stays in force.
    Unchanged(u64),
    /// A generation is in force, on trial.
    Tried(TrialView),
    /// The generation on trial stays.
    Confirmed(u64),
    /// The config was rejected; nothing has changed.
    Rejected(ConfigErrors),
    /// A config is on trial: no other one comes into force.
    TrialRuns(TrialView),
    /// No config is on trial; how the last trial ended.
    NoTrial(Option<String>),
    /// No such generation is kept; those that are.
    NotKept(Vec<u64>),
    /// The edge is ending.
    Busy,
}

impl ReloadAnswer {
    /// The spelling in answers and events.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Applied(_) => "applied",
            Self::Unchanged(_) => "unchanged",
            Self::Tried(_) => "on_trial",
            Self::Confirmed(_) => "confirmed",
            Self::Rejected(_) => "rejected",
            Self::TrialRuns(_) => "trial_runs",
            Self::NoTrial(_) => "no_trial",
            Self::NotKept(_) => "not_kept",
            Self::Busy => "shutting_down",
        }
    }

    /// The generation that is in force because of it.
    #[must_use]
    pub fn generation(&self) -> Option<u64> {
        match self {
            Self::Applied(generation) | Self::Unchanged(generation) | Self::Confirmed(generation) => {
                Some(*generation)
            }
            Self::Tried(view) => Some(view.generation),
            Self::Rejected(_) | Self::TrialRuns(_) | Self::NoTrial(_) | Self::NotKept(_) | Self::Busy => None,
        }
    }
}

/// Why this edge should get no traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unready {
    /// The first probe round has not ended.
    Starting,
    /// A drain has begun.
    Draining,
    /// No endpoint could serve on any route.
    NoRouteCanServe,
}

impl Unready {
    /// The spelling in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Draining => "draining",
            Self::NoRouteCanServe => "no_route_can_serve",
        }
    }
}

impl Control {
    /// Whether traffic may be sent to this edge. The first probe round is latched: later reloads do not take readiness
    /// back.
    ///
    /// # Errors
    /// The reason against it.
    pub fn ready(&self) -> Result<(), Unready> {
        let live = self.shared.live.load();
        self.ready_for(&live.snapshot)
    }

    fn ready_for(&self, snapshot: &Snapshot) -> Result<(), Unready> {
        if self.phase.get() == EdgePhase::Starting
            && snapshot.generation > 0
            && snapshot.routes.iter().all(|route| route.first_round_done)
        {
            self.phase.set(EdgePhase::Serving);
            tracing::info!("first probe round done");
        }
        match self.phase.get() {
            EdgePhase::Starting => Err(Unready::Starting),
            EdgePhase::Draining => Err(Unready::Draining),
            EdgePhase::Serving if snapshot.routes.iter().all(|route| route.shares.segments.is_empty()) => {
                Err(Unready::NoRouteCanServe)
            }
            EdgePhase::Serving => Ok(()),
        }
    }

    /// The names of the routes that could serve a request now.
    #[must_use]
    pub fn routes_that_serve(&self) -> Vec<String> {
        let live = self.shared.live.load();
        let snapshot = &live.snapshot;
        let routes = snapshot.layout.topology.written_routes();
        let serve = routes.filter(|(slot, _)| {
            let all = snapshot.layout.topology.with_sub_routes(*slot);
            all.filter_map(|(slot, _)| snapshot.routes.get(slot)).any(|view| !view.shares.segments.is_empty())
        });
        serve.map(|(_, route)| route.name.to_string()).collect()
    }

    /// Asks the reloader for something on behalf of a caller, and waits for its result.
    pub async fn ask_reloader(&self, job: ReloadJob, by: Actor) -> ReloadAnswer {
        let (reply, answer) = oneshot::channel();
        if self.reloads.send(ReloadRequest { job, by, reply: Some(reply) }).await.is_err() {
            return ReloadAnswer::Busy;
        }
        answer.await.unwrap_or(ReloadAnswer::Busy)
    }
}

/// Notes the end of the first probe round, also when `/readyz` is never asked.
pub async fn watch_readiness(control: Rc<Control>) {
    let mut published = control.shared.published.subscribe();
    loop {
        // Called for its effect on the latch.
        let _ = control.ready();
        if published.changed().await.is_err() {
            return;
        }
    }
}
