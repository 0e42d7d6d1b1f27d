//! An edge's part in a rollout: what it reports, what the others report, and the way back to the bundle before.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::kv::Store;
use bytes::Bytes;
use serde_json::json;
use tokio::time::Instant;

use super::{
    REPORTS, ROLLOUT, board,
    bundle::BundleRefusal,
    engine::BucketProblem,
    follower::Follower,
    report_key,
    rollout::{BundleReport, BundleState, DatedReport, RolloutOrder},
    state::{Offer, RefusedBundle},
};
use crate::control::{
    audit::Actor,
    state::{ReloadAnswer, ReloadJob},
    wall_clock,
};

/// How often an edge repeats its report.
const REPEAT: Duration = Duration::from_secs(30);
/// How long an edge waits for the reports of the others in a new bucket: longer than each of them waits between two looks.
const SETTLE: Duration = Duration::from_secs(6);
/// Most reports that are read.
const MOST: usize = 2_000;

/// What the other edges and the operator say.
#[derive(Debug, Default)]
pub struct Others {
    /// The reports.
    pub reports: Vec<DatedReport>,
    /// The operator's word.
    pub order: RolloutOrder,
}

impl Others {
    /// Reads all of it.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub async fn read(store: &Store) -> Result<Self, BucketProblem> {
        let away = |error: String| BucketProblem::Away(format!("the reports cannot be read: {error}"));
        let order = store.get(ROLLOUT).await.map_err(|error| away(error.to_string()))?;
        let order = order.map(|bytes| RolloutOrder::read(&bytes)).unwrap_or_default();
        let names = board::keys(store, REPORTS).await.map_err(away)?;
        let mut reports = Vec::new();
        for name in names.into_iter().take(MOST) {
            let entry = store.entry(name).await.map_err(|error| away(error.to_string()))?;
            reports.extend(entry.and_then(|entry| {
                let report = BundleReport::read(&entry.value)?;
                Some(DatedReport { report, at: entry.created.unix_timestamp() })
            }));
        }
        Ok(Self { reports, order })
    }
}

impl Follower<'_> {
    /// What the others say. A bucket without the report of this edge is new: the others have not reported either.
    pub(super) async fn others(&mut self, store: &Store) -> Result<Others, BucketProblem> {
        let mut others = Others::read(store).await?;
        if !others.reports.iter().any(|dated| dated.report.edge == self.fleet.name) {
            self.reported = None;
            self.settled = Instant::now() + SETTLE;
        }
        others.reports.retain(|dated| dated.report.edge != self.fleet.name);
        Ok(others)
    }

    /// Tells once what a newer bundle waits for.
    pub(super) fn hold(&self, held: Option<(u64, String)>) {
        let before = self.control.fleet.held.replace(held.clone());
        if let Some((number, why)) = held.filter(|held| before.as_ref() != Some(held)) {
            tracing::info!(number, why, "fleet: bundle waits");
            self.control.events.add("fleet_bundle_waits", json!({ "bundle": number, "why": why }));
        }
    }

    /// Reports when there is something new to report, and now and then.
    pub(super) async fn report(&mut self, store: &Store) {
        let report = self.own_report();
        let is_old = |(before, at): &(BundleReport, Instant)| *before != report || at.elapsed() > REPEAT;
        if !self.reported.as_ref().is_none_or(is_old) {
            return;
        }
        let value = Bytes::from(report.to_json().to_string());
        match store.put(report_key(&self.fleet.name), value).await {
            Ok(_) => self.reported = Some((report, Instant::now())),
            // The next look tries again.
            Err(error) => tracing::debug!(%error, "fleet: not reported"),
        }
    }

    fn own_report(&self) -> BundleReport {
        let fleet = &self.control.fleet;
        let (number, reverted) = (fleet.number(), fleet.memory.get().reverted().collect::<Vec<_>>());
        let refused = fleet.refused.borrow().as_ref().and_then(|refused| {
            let passing = matches!(refused.refusal, BundleRefusal::Taste | BundleRefusal::Rejected);
            refused.number.filter(|refused| passing && *refused > number)
        });
        let (bundle, state) = match (reverted.first().copied().filter(|reverted| *reverted > number), refused)
        {
            _ if fleet.trial.borrow().is_some() => (number, BundleState::Trial),
            (_, Some(refused)) => (refused, BundleState::Refused),
            (Some(reverted), None) => (reverted, BundleState::Reverted),
            (None, None) => (number, BundleState::Good),
        };
        let good = match &*fleet.trial.borrow() {
            Some(trial) => trial.before.as_ref().map_or(0, |before| before.bundle.number),
            None => number,
        };
        BundleReport { edge: self.fleet.name.clone(), ring: self.fleet.ring, bundle, state, good, reverted }
    }

    /// Goes back to the bundle before. A bundle on trial goes the way of every trial.
    pub(super) async fn take_back(&mut self, why: String) -> Result<(), BucketProblem> {
        let fleet = &self.control.fleet;
        let Some(signed) = fleet.in_force.borrow().clone() else { return Ok(()) };
        let (number, ring) = (signed.bundle.number, signed.bundle.ring);
        let by = Actor::own("fleet").because(why.as_str());
        let on_trial = self.control.trials.view().filter(|_| fleet.trial.borrow().is_some());
        if let Some(view) = on_trial {
            self.control.ask_reloader(ReloadJob::Rollback(Some(view.back_to)), by).await;
            self.watch_trial().await;
            return Ok(());
        }
        let Some(previous) = fleet.previous.borrow().clone() else {
            let why = format!("to be taken back ({why}), but the bundle before is not known to this process");
            self.hold(Some((number, why)));
            return Ok(());
        };
        fleet.offered.replace(Some(Offer { bundle: previous.clone(), bake: Duration::ZERO }));
        match self.control.ask_reloader(ReloadJob::Bundle, by).await {
            ReloadAnswer::Applied(_) | ReloadAnswer::Unchanged(_) => {
                fleet.previous.replace(None);
                let mut memory = fleet.memory.get();
                memory.revert(number);
                self.remember(memory, Some(previous)).await;
                let refusal = BundleRefusal::Reverted;
                self.refuse(RefusedBundle { ring, number: Some(number), refusal, detail: why });
            }
            // The next look tries again.
            answer => tracing::warn!(number, result = answer.as_str(), "fleet: bundle not taken back yet"),
        }
        Ok(())
    }
}

/// What an operator says of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RolloutCall {
    /// Only look.
    Show,
    /// No edge takes a new bundle.
    Pause,
    /// Edges take new bundles again.
    Resume,
    /// The newest bundle goes back wherever it is.
    Abort,
}

/// Writes the operator's word.
///
/// # Errors
/// Why it is not written.
pub async fn steer(
    store: &Store,
    call: RolloutCall,
    newest: Option<u64>,
    (owner, reason): (&str, &str),
) -> Result<(), String> {
    let entry = store.entry(ROLLOUT).await.map_err(|error| format!("the bucket cannot be read: {error}"))?;
    let mut order = entry.as_ref().map(|entry| RolloutOrder::read(&entry.value)).unwrap_or_default();
    match call {
        RolloutCall::Show => return Ok(()),
        RolloutCall::Pause => order.paused = true,
        RolloutCall::Resume => order.paused = false,
        RolloutCall::Abort => order.aborted = Some(newest.ok_or("there is no bundle")?),
    }
    (order.owner, order.reason) = (owner.to_owned(), reason.to_owned());
    order.since = wall_clock::rfc3339(SystemTime::now());
    let value = order.to_json();
    let revision = entry.map_or(0, |entry| entry.revision);
    let put = store.update(ROLLOUT, Bytes::from(value.to_string()), revision).await;
    put.map(drop).map_err(|error| format!("not written: {error}"))
}
