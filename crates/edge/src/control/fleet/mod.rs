//! The fleet: signed bundles of config from a NATS key-value bucket. `bundle` is a bundle as a value, `engine` the way to
//! the servers, `taste` the try in a throw-away process, `store` what is kept on disk, `state` what is shown, `begin` the
//! start with the last good bundle, `publish` the command of that name. This file is the task: read all keys, choose, adopt, watch.
//!
//! Why all keys are read again at every reason to look: a watch shows the latest value and never a log, and it is silent for
//! seconds after a server's restart. So a watch is only a reason to look; so are a new connection and the passing of time.
//!
//! The task lives on the control thread. The workers do not know of it, and an engine that is dead, wiped or lying changes
//! nothing of what is in force.

pub mod begin;
pub mod bundle;
pub mod engine;
pub mod publish;
pub mod state;
pub mod store;
pub mod taste;

use std::{cmp::Ordering, collections::BTreeMap, path::PathBuf, rc::Rc, sync::Arc, time::Duration};

use async_nats::jetstream::kv::{Store, Watch};
use futures_util::StreamExt;
use serde_json::json;
use thalweg_config::{ConfigErrors, Fleet, Ring};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use self::{
    bundle::{Bundle, BundleRefusal, VerifyKey},
    engine::BucketProblem,
    state::{BundleTrial, RefusedBundle, SignedBundle},
    store::FleetMemory,
};
use crate::{
    control::{
        audit::Actor,
        state::{Control, ReloadAnswer, ReloadJob},
    },
    shared::{meters::Series, telemetry::FLEET_REFUSED},
};

/// Longest time between two readings of all keys.
const LOOK: Duration = Duration::from_secs(5);
/// Between two looks at a bundle on trial, and between two attempts to find the bucket.
const SOON: Duration = Duration::from_millis(250);
/// Before a bundle is tasted again that was refused for what may pass by itself.
const AGAIN: Duration = Duration::from_secs(10);

/// Follows the fleet of the config in force.
pub async fn run(control: Rc<Control>) {
    for refusal in BundleRefusal::EACH {
        control.meters.cell(Series::new(&FLEET_REFUSED, &[&Arc::from(refusal.as_str())]));
    }
    loop {
        let fleet = control.shared.live.load().wiring.config.fleet.clone();
        let other = until_other(&control, fleet.as_ref());
        match &fleet {
            None => other.await,
            Some(fleet) => tokio::select! {
                () = follow(&control, fleet) => {}
                () = other => {}
            },
        }
        control.fleet.connected.set(false);
    }
}

/// Waits until the config in force says something else of the fleet.
async fn until_other(control: &Control, fleet: Option<&Fleet>) {
    let mut published = control.shared.published.subscribe();
    while control.shared.live.load().wiring.config.fleet.as_ref() == fleet {
        if published.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Follows the bucket for as long as the settings hold.
async fn follow(control: &Rc<Control>, fleet: &Fleet) {
    let Ok(key) = VerifyKey::from_pem(&fleet.verify.value) else { return std::future::pending().await };
    let (client, mut connected) = match engine::connect(fleet, false).await {
        Ok(made) => made,
        Err(problem) => {
            trouble(control, Some(problem));
            return sleep(LOOK).await;
        }
    };
    let mut follower = Follower { control, fleet, key, told: BTreeMap::new(), again: None };
    loop {
        control.fleet.connected.set(*connected.borrow_and_update());
        let looked = match engine::bucket(&client, &fleet.bucket).await {
            Ok(store) => follower.stay(&store, &mut connected).await,
            Err(problem) => Err(problem),
        };
        if let Err(problem) = looked {
            // A connection that does not stand yet is no trouble worth a line.
            trouble(control, Some(problem.text().to_owned()));
            follower.watch_trial().await;
            let _ = timeout(SOON, connected.changed()).await;
        }
    }
}

/// Notes what keeps the engine from being used; a change is told once.
fn trouble(control: &Control, problem: Option<String>) {
    let before = control.fleet.trouble.replace(problem.clone());
    match problem {
        Some(problem) if before.as_ref() != Some(&problem) => {
            tracing::warn!(problem, "fleet: the engine cannot be used; what is in force stays");
            control.events.add("fleet_away", json!({ "problem": problem }));
        }
        None if before.is_some() => {
            tracing::info!("fleet: the engine is back");
            control.events.add("fleet_back", json!({}));
        }
        _ => {}
    }
}

/// The task's view of one bucket.
struct Follower<'a> {
    control: &'a Rc<Control>,
    fleet: &'a Fleet,
    key: VerifyKey,
    /// What was refused last in each ring, so that it is told once.
    told: BTreeMap<Ring, (Vec<u8>, BundleRefusal)>,
    /// When a bundle may be tasted again.
    again: Option<(u64, Instant)>,
}

impl Follower<'_> {
    /// Looks and waits, until a reading fails.
    async fn stay(
        &mut self,
        store: &Store,
        connected: &mut watch::Receiver<bool>,
    ) -> Result<(), BucketProblem> {
        let mut changes = store.watch("bundle.>").await.ok();
        loop {
            self.look(store).await?;
            trouble(self.control, None);
            self.watch_trial().await;
            tokio::select! {
                // Whatever the watch says, and also its end, is a reason to look.
                said = next(&mut changes) => if !said { changes = store.watch("bundle.>").await.ok() },
                // A connection that broke has another bucket perhaps: it is examined again.
                _ = connected.changed() => return Ok(()),
                () = sleep(self.pause()) => {}
            }
        }
    }

    fn pause(&self) -> Duration {
        if self.control.fleet.trial.borrow().is_some() { SOON } else { LOOK }
    }

    /// Reads the keys of this edge's ring and of the later ones, and adopts the newest bundle.
    async fn look(&mut self, store: &Store) -> Result<(), BucketProblem> {
        let mut best: Option<Rc<SignedBundle>> = None;
        for ring in Ring::EACH.into_iter().filter(|ring| *ring >= self.fleet.ring) {
            let read = store.get(key_of(ring)).await;
            let value = read.map_err(|error| BucketProblem::Away(format!("cannot be read: {error}")))?;
            let Some(signed) = value.and_then(|bytes| self.accept(ring, &bytes)) else { continue };
            let number = |one: &Rc<SignedBundle>| one.bundle.number;
            if best.as_ref().is_none_or(|best| number(best) < number(&signed)) {
                best = Some(signed);
            }
        }
        self.control.fleet.read.set(Some(Instant::now()));
        if let Some(best) = best.filter(|best| self.is_wanted(&best.bundle)) {
            self.adopt(best).await;
        }
        Ok(())
    }

    /// Reads what stands in the place of a ring's bundle; tells once why it is refused.
    fn accept(&mut self, ring: Ring, bytes: &[u8]) -> Option<Rc<SignedBundle>> {
        let judged = Bundle::verify(bytes, &self.key).and_then(|bundle| self.in_order(ring, bundle));
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

    /// A bundle in the place of another ring, or older than one that stood here before, was put there by someone else than
    /// its publisher.
    fn in_order(&self, ring: Ring, bundle: Bundle) -> Result<Bundle, BundleRefusal> {
        let seen = self.control.fleet.memory.get().seen(ring);
        let in_force = self.control.fleet.in_force.borrow();
        let other = |signed: &Rc<SignedBundle>| match bundle.number.cmp(&signed.bundle.number) {
            Ordering::Equal => bundle != signed.bundle,
            _ => false,
        };
        if bundle.ring != ring || bundle.number < seen || in_force.as_ref().is_some_and(other) {
            return Err(BundleRefusal::Replayed);
        }
        Ok(bundle)
    }

    /// Whether a bundle is newer than what is in force, and may be tried now.
    fn is_wanted(&self, bundle: &Bundle) -> bool {
        let fleet = &self.control.fleet;
        let waits = |(number, until): &(u64, Instant)| *number == bundle.number && Instant::now() < *until;
        bundle.number > fleet.number()
            && fleet.memory.get().reverted != Some(bundle.number)
            && fleet.trial.borrow().is_none()
            && !self.again.as_ref().is_some_and(waits)
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
        self.control.fleet.offered.replace(Some(Rc::clone(&signed)));
        let by = Actor::own("fleet").because(format!("bundle {number} of {}", signed.bundle.owner));
        match self.control.ask_reloader(ReloadJob::Bundle, by).await {
            ReloadAnswer::Applied(generation) => self.adopted(&signed, generation, None).await,
            ReloadAnswer::Unchanged(generation) => self.adopted(&signed, generation, None).await,
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
    async fn adopted(&self, signed: &Rc<SignedBundle>, generation: u64, trial: Option<BundleTrial>) {
        let (number, on_trial) = (signed.bundle.number, trial.is_some());
        tracing::info!(number, generation, on_trial, "fleet: bundle in force");
        let entry = json!({
            "bundle": number, "ring": signed.bundle.ring.as_str(), "owner": signed.bundle.owner,
            "generation": generation, "on_trial": on_trial,
        });
        self.control.events.add("fleet_bundle_adopted", entry);
        self.control.fleet.trial.replace(trial);
        let mut memory = self.control.fleet.memory.get();
        memory.see(signed.bundle.ring, number);
        self.remember(memory, (!on_trial).then(|| Rc::clone(signed))).await;
    }

    /// A bundle whose time on trial is over is good; one that was taken back does not come again.
    async fn watch_trial(&mut self) {
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
            self.control.events.add("fleet_bundle_good", json!({ "bundle": number }));
            return self.remember(memory, Some(signed)).await;
        }
        self.control.fleet.in_force.replace(trial.before);
        memory.reverted = Some(number);
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

    fn refuse(&self, refused: RefusedBundle) {
        let reason = refused.refusal.as_str();
        let (ring, number, detail) = (refused.ring.as_str(), refused.number, refused.detail.as_str());
        tracing::error!(ring, number, reason, detail, "fleet: bundle refused; what is in force stays");
        let entry = json!({ "ring": ring, "bundle": number, "reason": reason, "detail": detail });
        self.control.events.add("fleet_bundle_refused", entry);
        self.control.meters.cell(Series::new(&FLEET_REFUSED, &[&Arc::from(reason)])).bump();
        self.control.fleet.refused.replace(Some(refused));
    }

    /// Keeps the numbers and, if there is one, the last good bundle on disk.
    async fn remember(&self, memory: FleetMemory, good: Option<Rc<SignedBundle>>) {
        self.control.fleet.memory.set(memory);
        let folder: Option<PathBuf> = self.control.shared.live.load().wiring.config.edge.state_dir.clone();
        let Some(folder) = folder else { return };
        let bytes = good.map(|signed| signed.bytes.clone());
        let written = tokio::task::spawn_blocking(move || {
            store::remember(&folder, memory)?;
            bytes.map_or(Ok(()), |bytes| store::keep(&folder, &bytes))
        });
        if let Ok(Err(error)) = written.await {
            tracing::error!(%error, "fleet: the bundle is not kept: a restart without the engine begins with an older one");
        }
    }
}

/// The key of a ring's bundle.
#[must_use]
pub fn key_of(ring: Ring) -> String {
    format!("bundle.{}", ring.as_str())
}

/// Waits for something on a watch; false = the watch has ended. Without a watch, for ever.
async fn next(changes: &mut Option<Watch>) -> bool {
    match changes {
        Some(changes) => changes.next().await.is_some(),
        None => std::future::pending().await,
    }
}

fn joined(errors: &ConfigErrors) -> String {
    errors.0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
