//! What the control side knows of the announcement of this edge's addresses. Tells BIRD nothing.

use std::{
    cell::{Cell, RefCell},
    path::PathBuf,
};

use serde_json::{Value, json};
use thalweg_core::Tick;
use tokio::sync::Notify;

use super::{intent::IntentReason, obstacle::Obstacle};

/// One protocol of BIRD, as far as it was told and asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolView {
    /// Its name.
    pub name: String,
    /// Whether it obeyed the last command.
    pub obeyed: bool,
    /// The Established sessions that export its route.
    pub exported_by: Vec<String>,
    /// Why it is not as it should be.
    pub obstacle: Option<Obstacle>,
}

impl ProtocolView {
    /// Whether the neighbours have the route, as far as BIRD knows.
    #[must_use]
    pub fn announced(&self, wanted: bool) -> bool {
        wanted && self.obeyed && self.obstacle.is_none()
    }
}

/// What the status shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceView {
    /// BIRD's control socket.
    pub bird: PathBuf,
    /// Whether the addresses are to be announced.
    pub wanted: bool,
    /// The reason for that.
    pub reason: IntentReason,
    /// What became of it.
    pub protocols: Vec<ProtocolView>,
}

/// What the announcing task and the rest of the control side share.
#[derive(Debug, Default)]
pub struct Announcing {
    /// The last turn's result; `None` = there is no table `[announce]`.
    pub view: RefCell<Option<AnnounceView>>,
    /// Whether the process before this one announced.
    pub inherited: Cell<bool>,
    /// The edge is ending.
    pub leaving: Cell<bool>,
    /// Another turn is due.
    pub changed: Notify,
    /// A turn has ended.
    pub told: Notify,
}

impl Announcing {
    /// This process took over from one that announced, or did not.
    pub fn inherit(&self, announced: bool) {
        self.inherited.set(announced);
    }

    /// Whether the addresses are to be announced.
    #[must_use]
    pub fn wanted(&self) -> bool {
        self.view.borrow().as_ref().is_some_and(|view| view.wanted)
    }

    /// The reason, as spelt everywhere.
    pub fn reason(&self) -> Option<&'static str> {
        self.view.borrow().as_ref().map(|view| view.reason.as_str())
    }

    /// The protocols, and whether each is announced; for the metric.
    #[must_use]
    pub fn announced(&self) -> Vec<(String, bool)> {
        let view = self.view.borrow();
        let Some(view) = &*view else { return Vec::new() };
        view.protocols.iter().map(|one| (one.name.clone(), one.announced(view.wanted))).collect()
    }

    /// For the status; null without a table `[announce]`.
    #[must_use]
    pub fn shown(&self, now: Tick) -> Value {
        let view = self.view.borrow();
        let Some(view) = &*view else { return Value::Null };
        let protocol = |one: &ProtocolView| {
            json!({
                "protocol": one.name, "announced": one.announced(view.wanted), "exported_by": one.exported_by,
                "obstacle": one.obstacle.as_ref().map(Obstacle::as_str),
                "detail": one.obstacle.as_ref().map(Obstacle::detail),
            })
        };
        let left = match view.reason {
            IntentReason::Waiting(until) => Some(until.since(now).as_secs()),
            _ => None,
        };
        json!({
            "bird": view.bird.display().to_string(), "wanted": view.wanted, "why": view.reason.as_str(),
            "waits_s": left, "protocols": view.protocols.iter().map(protocol).collect::<Vec<_>>(),
        })
    }
}
