//! The task's work on one bucket: read all keys, choose, adopt, watch what is on trial. Never takes anything out of service.

use std::{collections::BTreeMap, path::PathBuf, rc::Rc, sync::Arc, time::Duration};

use async_nats::jetstream::kv::{Store, Watch};
use serde_json::json;
use thalweg_config::{ConfigErrors, Fleet, Ring};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    LOOK, ROLLOUT, SOON,
    bundle::{self, Bundle, BundleRefusal, VerifyKey},
    engine::BucketProblem,
    key_of,
    orders::next,
    rollout::BundleReport,
    standing::{RolloutAction, Standing},
    state::{BundleTrial, Offer, RefusedBundle, SignedBundle},
    store::{self, FleetMemory},
    taste, trouble,
};
use crate::{
    control::{
        audit::Actor,
        state::{Control, ReloadAnswer, ReloadJob},
    },
    shared::{meters::Series, telemetry::FLEET_REFUSED},
};

/// Before a bundle is tasted again that was refused for what may pass by itself.
const AGAIN: Duration = Duration::from_secs(10);
/// Between two looks at the other edges while a bundle is fresh or waits.
const ROLLING: Duration = Duration::from_secs(1);
/// Longer than that by so much for each edge that reports: each edge reads the reports of all.
const EACH_REPORT: Duration = Duration::from_millis(20);
/// For how long an edge looks at the others after a bundle came into force.
const FRESH: Duration = Duration::from_secs(600);

/// The task's view of one bucket.
pub(super) struct Follower<'a> {
    pub(super) control: &'a Rc<Control>,
    pub(super) fleet: &'a Fleet,
    key: VerifyKey,
    /// What was refused last in each ring, so that it is told once.
    told: BTreeMap<Ring, (Vec<u8>, BundleRefusal)>,
    /// When a bundle may be tasted again.
    again: Option<(u64, Instant)>,
    /// What this edge has reported last, and when.
    pub(super) reported: Option<(BundleReport, Instant)>,
    /// Until when the other edges have time to report.
    pub(super) settled: Instant,
    /// The number of reports that were read last.
    heard: u32,
    /// A newer bundle waits.
    waiting: bool,
    /// Until when a bundle counts as fresh.
    fresh: Instant,
}

impl<'a> Follower<'a> {
    /// A follower that has not looked yet.
    pub(super) fn new(control: &'a Rc<Control>, fleet: &'a Fleet, key: VerifyKey) -> Self {
        let (settled, fresh) = (Instant::now(), Instant::now() + FRESH);
        let (told, again, reported, heard, waiting) = Default::default();
        Self { control, fleet, key, told, again, reported, settled, heard, waiting, fresh }
    }

    /// Looks and waits, until a reading fails.
    pub(super) async fn stay(
        &mut self,
        store: &Store,
        connected: &mut watch::Receiver<bool>,
    ) -> Result<(), BucketProblem> {
        let mut changes = watch_all(store).await;
        loop {
            self.look(store).await?;
            trouble(self.control, None);
            self.watch_trial().await;
            self.report(store).await;
            tokio::select! {
                // Whatever the watch says, and also its end, is a reason to look.
                said = next(&mut changes) => if !said { changes = watch_all(store).await },
                // A connection that broke has another bucket perhaps: it is examined again.
                _ = connected.changed() => return Ok(()),
                () = sleep(self.pause()) => {}
            }
        }
    }

    fn pause(&self) -> Duration {
        if self.control.fleet.trial.borrow().is_some() {
            return SOON;
        }
        let pause = if self.waiting || Instant::now() < self.fresh { ROLLING } else { LOOK };
        pause.max(EACH_REPORT * self.heard)
    }

    /// Reads the keys of this edge's ring and of the later ones, and adopts the newest bundle.
    async fn look(&mut self, store: &Store) -> Result<(), BucketProblem> {
        let mut best: Option<Rc<SignedBundle>> = None;
        for ring in Ring::EACH.into_iter().filter(|ring| *ring >= self.fleet.ring) {
            let read = store.get(key_of(ring)).await;
            let value = read.map_err(|error| BucketProblem::Away(format!("cannot be read: {error}")))?;
            let Some(signed) = value.and_then(|bytes| self.accept(ring, &bytes)) else { continue };
            let number = |one: &Rc<SignedBundle>| one.bundle.number;
            // One that was taken back hides none that stands in the place of another ring.
            let wanted = self.standing(|standing| standing.wants(number(&signed)));
            if wanted && best.as_ref().is_none_or(|best| number(best) < number(&signed)) {
                best = Some(signed);
            }
        }
        self.control.fleet.read.set(Some(Instant::now()));
        let waits = |(number, until): &(u64, Instant)| {
            Instant::now() < *until && best.as_ref().is_some_and(|best| best.bundle.number == *number)
        };
        let best = if self.again.as_ref().is_some_and(waits) { None } else { best };
        self.waiting = best.is_some();
        if !self.waiting && self.control.fleet.number() == 0 {
            return Ok(());
        }
        let others = self.others(store).await?;
        self.heard = u32::try_from(others.reports.len()).unwrap_or(u32::MAX);
        let number = best.as_ref().map(|best| best.bundle.number);
        let action = self.standing(|standing| standing.action(number, &others.reports, &others.order));
        match (action, best) {
            (RolloutAction::Back(why), _) => return self.take_back(why).await,
            (RolloutAction::Hold(number, why), _) => self.hold(Some((number, why))),
            (RolloutAction::Take, Some(best)) => {
                self.hold(None);
                self.adopt(best).await;
            }
            (RolloutAction::Stay | RolloutAction::Take, _) => self.hold(None),
        }
        Ok(())
    }

    /// Asks where this edge stands.
    fn standing<T>(&self, question: impl FnOnce(Standing<'_>) -> T) -> T {
        let fleet = &self.control.fleet;
        let in_force = fleet.in_force.borrow();
        question(Standing {
            ring: self.fleet.ring,
            in_force: in_force.as_ref().map(|signed| &signed.bundle),
            memory: fleet.memory.get(),
            on_trial: fleet.trial.borrow().is_some(),
            settled: Instant::now() >= self.settled,
        })
    }

    /// Reads what stands in the place of a ring's bundle; tells once why it is refused.
    fn accept(&mut self, ring: Ring, bytes: &[u8]) -> Option<Rc<SignedBundle>> {
        let judged = Bundle::verify(bytes, &self.key).and_then(|bundle| {
            let believed = self.standing(|standing| standing.believes(ring, &bundle));
            if believed { Ok(bundle) } else { Err(BundleRefusal::Replayed) }
        });
        match judged {
            Ok(bundle) => {
                self.told.remove(&ring);
                Some(Rc::new(SignedBundle { bundle, bytes: bytes.to_vec() }))
            }
            Err(refusal) => {
                let told = (bytes.get(..bytes.len().min(bundle::MAX_BYTES)).unwrap_or_default(), refusal);
                if self.told.get(&ring).is_none_or(|(before, why)| (&before[..], *why) != told) {
                    self.told.insert(ring, (told.0.to_vec(), refusal));
                    let number = Bundle::verify(bytes, &self.key).ok().map(|bundle| bundle.number);
                    self.refuse(RefusedBundle { ring, number, refusal, detail: String::new() });
                }
                None
            }
        }
    }

    async fn adopt(&mut self, signed: Rc<SignedBundle>) {
        let (number, ring) = (signed.bundle.number, signed.bundle.ring);
        let (live, config) = {
            let live = self.control.shared.live.load_full();
            (Arc::clone(&live), Arc::clone(&live.wiring.config))
        };
        let mut texts = config.own_texts();
        texts.extend(signed.bundle.texts());
        if let Err(detail) = taste::taste(&texts, &live.snapshot).await {
            return self.later(ring, number, BundleRefusal::Taste, detail);
        }
        let before = self.control.fleet.in_force.borrow().clone();
        let bake = Duration::from_millis(signed.bundle.bake_ms);
        self.control.fleet.offered.replace(Some(Offer { bundle: Some(Rc::clone(&signed)), bake }));
        let by = Actor::own("fleet").because(format!("bundle {number} of {}", signed.bundle.owner));
        match self.control.ask_reloader(ReloadJob::Bundle, by).await {
            ReloadAnswer::Applied(generation) | ReloadAnswer::Unchanged(generation) => {
                self.control.fleet.previous.replace(Some(before));
                self.adopted(&signed, generation, None).await;
            }
            ReloadAnswer::Tried(view) => {
                let until = Instant::now() + Duration::from_millis(signed.bundle.bake_ms);
                let trial = BundleTrial { generation: view.generation, until, before };
                self.adopted(&signed, view.generation, Some(trial)).await;
            }
            ReloadAnswer::Rejected(errors) => {
                self.later(ring, number, BundleRefusal::Rejected, joined(&errors));
            }
            // An operator tries a config here: the bundle waits for the end of that.
            _ => self.again = Some((number, Instant::now() + Duration::from_secs(1))),
        }
    }

    /// Notes that a bundle is in force; without a trial it is the last good one.
    async fn adopted(&mut self, signed: &Rc<SignedBundle>, generation: u64, trial: Option<BundleTrial>) {
        let (number, on_trial) = (signed.bundle.number, trial.is_some());
        tracing::info!(number, generation, on_trial, "fleet: bundle in force");
        let entry = json!({
            "bundle": number, "ring": signed.bundle.ring.as_str(), "owner": signed.bundle.owner,
            "generation": generation, "on_trial": on_trial,
        });
        self.control.events.add("fleet_bundle_adopted", entry);
        self.control.fleet.trial.replace(trial);
        self.fresh = Instant::now() + FRESH;
        let mut memory = self.control.fleet.memory.get();
        memory.see(signed.bundle.ring, number);
        self.remember(memory, (!on_trial).then(|| Some(Rc::clone(signed)))).await;
    }

    /// A bundle whose time on trial is over is good; one that was taken back does not come again.
    pub(super) async fn watch_trial(&mut self) {
        let Some(trial) = self.control.fleet.trial.borrow().clone() else { return };
        let running = self.control.trials.view().is_some_and(|view| view.generation == trial.generation);
        if running && Instant::now() < trial.until {
            return;
        }
        if running {
            let by = Actor::own("fleet").because("the bake time is over");
            self.control.ask_reloader(ReloadJob::Confirm, by).await;
        }
        self.control.fleet.trial.replace(None);
        let kept = self.control.history.get(trial.generation).is_some_and(|kept| !kept.trial);
        let Some(signed) = self.control.fleet.in_force.borrow().clone() else { return };
        let (number, ring) = (signed.bundle.number, signed.bundle.ring);
        let mut memory = self.control.fleet.memory.get();
        if kept {
            self.control.fleet.previous.replace(Some(trial.before));
            self.control.events.add("fleet_bundle_good", json!({ "bundle": number }));
            return self.remember(memory, Some(Some(signed))).await;
        }
        self.control.fleet.in_force.replace(trial.before);
        memory.revert(number);
        self.remember(memory, None).await;
        let detail = self.control.trials.ended.borrow().clone().unwrap_or_default();
        self.refuse(RefusedBundle { ring, number: Some(number), refusal: BundleRefusal::Reverted, detail });
    }

    /// Refuses a bundle for a reason that may pass by itself: it is tried again later, and told once.
    fn later(&mut self, ring: Ring, number: u64, refusal: BundleRefusal, detail: String) {
        self.again = Some((number, Instant::now() + AGAIN));
        let refused = RefusedBundle { ring, number: Some(number), refusal, detail };
        if self.control.fleet.refused.borrow().as_ref() != Some(&refused) {
            self.refuse(refused);
        }
    }

    pub(super) fn refuse(&self, refused: RefusedBundle) {
        let reason = refused.refusal.as_str();
        let (ring, number, detail) = (refused.ring.as_str(), refused.number, refused.detail.as_str());
        tracing::error!(ring, number, reason, detail, "fleet: bundle refused; what is in force stays");
        let entry = json!({ "ring": ring, "bundle": number, "reason": reason, "detail": detail });
        self.control.events.add("fleet_bundle_refused", entry);
        self.control.meters.cell(Series::new(&FLEET_REFUSED, &[&Arc::from(reason)])).bump();
        self.control.fleet.refused.replace(Some(refused));
    }

    /// Keeps the numbers on disk, and the last good bundle if it is another one now.
    pub(super) async fn remember(&self, memory: FleetMemory, good: Option<Option<Rc<SignedBundle>>>) {
        self.control.fleet.memory.set(memory);
        let folder: Option<PathBuf> = self.control.shared.live.load().wiring.config.edge.state_dir.clone();
        let Some(folder) = folder else { return };
        let good = good.map(|good| good.map(|signed| signed.bytes.clone()));
        let written = tokio::task::spawn_blocking(move || {
            store::remember(&folder, memory)?;
            good.map_or(Ok(()), |good| store::keep(&folder, good.as_deref()))
        });
        if let Ok(Err(error)) = written.await {
            tracing::error!(%error, "fleet: the bundle is not kept: a restart without the engine begins with an older one");
        }
    }
}

/// A watch on what publishers and operators write. The reports of the edges are left out: they would wake every edge.
async fn watch_all(store: &Store) -> Option<Watch> {
    store.watch_many(["bundle.>", ROLLOUT]).await.ok()
}

fn joined(errors: &ConfigErrors) -> String {
    errors.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
