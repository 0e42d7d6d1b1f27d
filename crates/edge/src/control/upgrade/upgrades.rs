//! What is known of the upgrades of this process. Starts none.

use std::{
    cell::{Cell, RefCell},
    net::TcpListener,
    path::PathBuf,
    time::SystemTime,
};

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::control::wall_clock;

/// What an upgrade is doing, or how the last one ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpgradePhase {
    /// The successor starts; this process serves.
    Starting,
    /// The successor did not come up; this process serves.
    Failed(String),
    /// The successor serves; this process drains.
    HandedOver,
}

/// The last upgrade of this process.
#[derive(Clone, Debug)]
pub struct UpgradeAttempt {
    /// What becomes of it.
    pub phase: UpgradePhase,
    /// The successor's binary.
    pub binary: PathBuf,
    /// The successor's process id.
    pub successor: Option<u32>,
    /// Since when.
    pub since: SystemTime,
}

/// The upgrades of this process: at most one at a time, and at most one that succeeds.
#[derive(Debug, Default)]
pub struct Upgrades {
    /// The last upgrade.
    pub last: RefCell<Option<UpgradeAttempt>>,
    /// The path of this process's binary at its start: a package manager renames a new file over it.
    pub binary: RefCell<Option<PathBuf>>,
    /// The admin server's socket, for a successor.
    pub admin: RefCell<Option<TcpListener>>,
    /// The process that this one took over from.
    predecessor: Cell<Option<u32>>,
    /// A successor serves.
    pub handed_over: Notify,
}

impl Upgrades {
    /// Notes what a later upgrade needs: the admin server's socket, and the process that this one took over from.
    pub fn begin(&self, admin: Option<TcpListener>, predecessor: Option<u32>) {
        self.binary.replace(std::env::current_exe().ok());
        self.admin.replace(admin);
        self.predecessor.set(predecessor);
    }

    /// The process that this one took over from.
    #[must_use]
    pub fn predecessor(&self) -> Option<u32> {
        self.predecessor.get()
    }

    /// Waits until a successor serves.
    pub async fn handed_over(&self) {
        self.handed_over.notified().await;
    }

    /// Whether a successor starts or serves: a change would be this process's alone, and be lost.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        let last = self.last.borrow();
        last.as_ref()
            .is_some_and(|last| matches!(last.phase, UpgradePhase::Starting | UpgradePhase::HandedOver))
    }

    /// Whether a successor serves.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.last.borrow().as_ref().is_some_and(|last| last.phase == UpgradePhase::HandedOver)
    }

    /// For `GET /api/v1/upgrade`.
    #[must_use]
    pub fn shown(&self) -> Value {
        let last = self.last.borrow();
        let (state, reason) = match last.as_ref().map(|last| &last.phase) {
            None => ("none", None),
            Some(UpgradePhase::Starting) => ("starting", None),
            Some(UpgradePhase::Failed(reason)) => ("failed", Some(reason)),
            Some(UpgradePhase::HandedOver) => ("handed_over", None),
        };
        json!({
            "pid": std::process::id(), "predecessor": self.predecessor.get(), "state": state, "reason": reason,
            "successor": last.as_ref().and_then(|last| last.successor),
            "binary": last.as_ref().map(|last| last.binary.display().to_string()),
            "since": last.as_ref().map(|last| wall_clock::rfc3339(last.since)),
        })
    }

    /// Notes what has become of the upgrade.
    pub fn set(&self, phase: UpgradePhase) {
        if let Some(last) = &mut *self.last.borrow_mut() {
            last.phase = phase;
        }
    }
}
