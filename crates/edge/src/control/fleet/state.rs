//! What the fleet's task remembers, and how status and metrics show it. Survives a restart of the task.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use serde_json::{Value, json};
use thalweg_config::{ConfigText, Fleet, Ring};
use tokio::time::Instant;

use super::{
    bundle::{Bundle, BundleRefusal},
    neighbours::Neighbours,
    order_state::FleetOrders,
    store::FleetMemory,
    withdrawal::Announcers,
};
use crate::control::{jitter, keeper::ProbeWakers};

/// A bundle with its bytes, as they came.
#[derive(Debug)]
pub struct SignedBundle {
    /// The bundle.
    pub bundle: Bundle,
    /// The signed bytes.
    pub bytes: Vec<u8>,
}

/// What the reloader is to put into force.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The bundle; `None` = the edge's own files alone.
    pub bundle: Option<Rc<SignedBundle>>,
    /// How long the guard watches it; zero = not at all.
    pub bake: std::time::Duration,
}

/// A bundle that its guard watches.
#[derive(Clone, Debug)]
pub struct BundleTrial {
    /// The generation on trial.
    pub generation: u64,
    /// When the bundle counts as good.
    pub until: Instant,
    /// What was in force before.
    pub before: Option<Rc<SignedBundle>>,
}

/// The last bundle that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedBundle {
    /// The ring for which it was published.
    pub ring: Ring,
    /// Its number, if its signature holds.
    pub number: Option<u64>,
    /// The reason for it.
    pub refusal: BundleRefusal,
    /// In words; may be empty.
    pub detail: String,
}

/// What this edge knows of its fleet.
#[derive(Debug, Default)]
pub struct FleetState {
    /// The bundle whose files are in force together with the edge's own.
    pub in_force: RefCell<Option<Rc<SignedBundle>>>,
    /// What the reloader is to put into force.
    pub offered: RefCell<Option<Offer>>,
    /// What was in force before the bundle that is good now; `None` = not known.
    pub previous: RefCell<Option<Option<Rc<SignedBundle>>>>,
    /// The newer bundle that waits, and for what.
    pub held: RefCell<Option<(u64, String)>>,
    /// The bundle that is watched.
    pub trial: RefCell<Option<BundleTrial>>,
    /// What outlives a restart.
    pub memory: Cell<FleetMemory>,
    /// Whether a server is connected.
    pub connected: Cell<bool>,
    /// When all keys were last read.
    pub read: Cell<Option<Instant>>,
    /// What keeps the engine from being used.
    pub trouble: RefCell<Option<String>>,
    /// The last refusal.
    pub refused: RefCell<Option<RefusedBundle>>,
    /// The orders of the fleet.
    pub orders: FleetOrders,
    /// What the other edges see.
    pub neighbours: RefCell<Neighbours>,
    /// The number by which other edges tell this process from the one before.
    pub process: Cell<u64>,
    /// Which edges announce.
    pub announcers: Announcers,
    /// Wakes the probes of endpoints that a neighbour suspects.
    pub wakers: ProbeWakers,
}

impl FleetState {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(wakers: ProbeWakers) -> Self {
        Self { wakers, process: Cell::new(jitter::seed()), ..Self::default() }
    }

    /// The files of the bundle in force.
    #[must_use]
    pub fn texts(&self) -> Vec<ConfigText> {
        self.in_force.borrow().as_ref().map(|signed| signed.bundle.texts()).unwrap_or_default()
    }

    /// The number of the bundle in force; 0 = none.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.in_force.borrow().as_ref().map_or(0, |signed| signed.bundle.number)
    }

    /// Seconds since all keys were last read; `None` = never by this process.
    #[must_use]
    pub fn age_seconds(&self) -> Option<f64> {
        self.read.get().map(|read| read.elapsed().as_secs_f64())
    }

    /// As the status shows it; nothing for an edge without a fleet.
    #[must_use]
    pub fn shown(&self, fleet: Option<&Fleet>) -> Value {
        let Some(fleet) = fleet else { return Value::Null };
        let refused = self.refused.borrow().as_ref().map(|refused| {
            json!({
                "ring": refused.ring.as_str(), "bundle": refused.number, "reason": refused.refusal.as_str(),
                "detail": refused.detail,
            })
        });
        let in_force = self.in_force.borrow();
        let bundle = in_force.as_ref().map(|signed| {
            let bundle = &signed.bundle;
            json!({
                "number": bundle.number, "ring": bundle.ring.as_str(), "owner": bundle.owner,
                "published": crate::control::wall_clock::rfc3339(
                    std::time::UNIX_EPOCH + std::time::Duration::from_millis(bundle.unix_ms)
                ),
                "on_trial": self.trial.borrow().is_some(),
            })
        });
        json!({
            "name": fleet.name, "ring": fleet.ring.as_str(), "connected": self.connected.get(),
            "age_seconds": self.age_seconds(), "bundle": bundle, "refused": refused,
            "waits": self.held.borrow().as_ref().map(|(number, why)| json!({ "bundle": number, "why": why })),
            "reverted": self.memory.get().reverted().next(), "trouble": *self.trouble.borrow(),
            "orders": self.orders.shown(),
        })
    }
}
