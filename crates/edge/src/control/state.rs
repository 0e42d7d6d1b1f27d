//! What the control tasks know of each other: one small bundle on the control thread. Never seen by a worker.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::{Instant, SystemTime},
};

use thalweg_config::{ConfigError, ConfigErrors};
use thalweg_core::Snapshot;
use tokio::sync::{mpsc, oneshot};

use crate::{
    control::{events::Events, keeper::KeeperLink, tls::ServingCertificate},
    shared::{Shared, meters::Meters},
};

/// How far the edge is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgePhase {
    /// Not every route's first probe round has ended.
    Starting,
    /// They have (once is enough).
    Serving,
    /// Told to stop.
    Draining,
}

/// The last reload, as status shows it.
#[derive(Clone, Debug)]
pub struct LastReload {
    /// `applied`, `unchanged` or `rejected`.
    pub result: &'static str,
    /// When it ended.
    pub time: SystemTime,
    /// Why it was rejected.
    pub errors: Vec<ConfigError>,
}

/// What the control tasks share. Lives on one thread.
#[derive(Debug)]
pub struct Control {
    /// What is shared with the workers.
    pub shared: Arc<Shared>,
    /// To the keeper.
    pub keeper: KeeperLink,
    /// State changes.
    pub events: Events,
    /// The control thread's own counters.
    pub meters: Arc<Meters>,
    /// To the reloader.
    pub reloads: mpsc::Sender<ReloadRequest>,
    /// How far the edge is.
    pub phase: Cell<EdgePhase>,
    /// The last reload.
    pub last_reload: RefCell<Option<LastReload>>,
    /// When a reload last succeeded.
    pub last_success: Cell<Option<SystemTime>>,
    /// Keys that wait for a restart.
    pub restart_required: RefCell<Vec<&'static str>>,
    /// Server certificates in use.
    pub certificates: RefCell<Vec<ServingCertificate>>,
    /// When this process began to serve.
    pub began: (Instant, SystemTime),
}

/// A wish for a reload.
#[derive(Debug)]
pub struct ReloadRequest {
    /// Who wished: `signal`, `api`, `file`, or `retry`.
    pub cause: &'static str,
    /// Who waits for the end.
    pub reply: Option<oneshot::Sender<ReloadAnswer>>,
}

/// How a reload ended.
#[derive(Clone, Debug)]
pub enum ReloadAnswer {
    /// This generation is in force.
    Applied(u64),
    /// The same one still is.
    Unchanged(u64),
    /// Nothing has changed.
    Rejected(ConfigErrors),
    /// The edge is ending.
    Busy,
}

/// Why this edge should get no traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unready {
    /// The first probe round has not ended.
    Starting,
    /// A drain has begun.
    Draining,
    /// Nobody could serve on any route.
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
    /// May traffic be sent here? The first round is latched: later reloads do not take readiness back.
    ///
    /// # Errors
    /// Why not.
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

    /// Asks for a reload and waits for its end.
    pub async fn reload(&self, cause: &'static str) -> ReloadAnswer {
        let (reply, answer) = oneshot::channel();
        if self.reloads.send(ReloadRequest { cause, reply: Some(reply) }).await.is_err() {
            return ReloadAnswer::Busy;
        }
        answer.await.unwrap_or(ReloadAnswer::Busy)
    }
}

/// Notes the moment when the first probe round ends, whether or not anybody asks.
pub async fn watch_readiness(control: Rc<Control>) {
    let mut published = control.shared.published.subscribe();
    loop {
        // Only the latch matters here.
        let _ = control.ready();
        if published.changed().await.is_err() {
            return;
        }
    }
}
