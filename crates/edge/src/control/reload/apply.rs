//! A config that was read comes into force as a whole, or nothing changes: bind, note it in the history, adopt, open and
//! close listeners.

use std::{rc::Rc, sync::Arc, time::Duration};

use serde_json::json;
use thalweg_config::{Config, ConfigErrors};
use tokio::time::timeout;

use super::{ParkedListener, Rejection, Reloader, without};
use crate::{
    control::{
        begin::Begun,
        geo,
        history_file::KeptConfig,
        listen::{self, BoundSockets, ListenKey},
        order_json::moment_now,
        origin::Origin,
        state::ReloadAnswer,
        state_store,
        upgrade::successor::InheritedSocket,
        wiring::Prepared,
    },
    shared::Command,
};

/// Longest wait until the history is on disk: a disk that hangs delays no reload for longer.
const STORE: Duration = Duration::from_secs(5);

impl Reloader {
    /// Puts the first config of the process into force.
    ///
    /// # Errors
    /// The reason for the rejection.
    pub async fn begin(&self, begun: Begun) -> Result<(), Rejection> {
        let Begun { prepared, origin, entries, taken_back } = begun;
        let folder = prepared.wiring.config.edge.state_dir.clone();
        self.control.history.fill(folder, entries);
        let back_to = origin.repeats;
        self.apply(prepared, origin).await?;
        if let Some(generation) = taken_back {
            let detail = "the process ended during the trial";
            tracing::error!(generation, back_to, detail, "config on trial taken back");
            let entry = json!({
                "generation": generation, "back_to": back_to, "cause": "restart", "detail": detail,
            });
            self.control.events.add("config_trial_reverted", entry);
        }
        Ok(())
    }

    /// Puts a config into force, or changes nothing.
    ///
    /// # Errors
    /// The reason for the rejection.
    pub async fn apply(&self, prepared: Prepared, origin: Origin) -> Result<ReloadAnswer, Rejection> {
        // Checked again, because reading takes time.
        if self.is_ending() {
            return Err(Rejection::Ending);
        }
        let before = self.in_force.borrow().clone();
        if let Some(before) = before.as_ref().filter(|before| before.same_as(&prepared)) {
            let generation = self.control.shared.live.load().snapshot.generation;
            self.aside(&origin);
            self.succeed("unchanged", before.clone());
            return Ok(ReloadAnswer::Unchanged(generation));
        }
        let config = Arc::clone(&prepared.wiring.config);
        let database = geo::read(&self.control, &config.geo).await;
        let database = database.map_err(|error| Rejection::Config(ConfigErrors(vec![error])))?;
        let listen_keys = listen::listen_keys(&config.listeners);
        let held = self.held.borrow().clone();
        let new = without(&listen_keys, &held);
        let (late, new) = self.split_late(new);
        let mut inherited = self.inherited.take();
        let bound =
            listen::bind_all(&new, &held, self.workers.len(), &mut inherited).map_err(|mut error| {
                let listener = config.listeners.iter().find(|listener| listener.bind.value == error.bind);
                error.span = listener.map(|listener| listener.bind.span.clone()).unwrap_or_default();
                Rejection::Bind(Box::new(error))
            })?;
        let is_new = before.as_ref().is_none_or(|before| before.wiring.config.hash != config.hash);
        let next = self.control.shared.live.load().snapshot.generation + 1;
        let fresh = is_new.then(|| origin.generation.unwrap_or(next));
        if let Some(generation) = fresh {
            self.keep(generation, &config, &origin);
        }
        // A crash right after this must find that the config was on trial.
        if origin.trial && is_new {
            self.store(&config).await;
        }
        geo::adopt(&self.control, database);
        let adopted = self.control.keeper.adopt(Arc::clone(&prepared.wiring), fresh).await;
        let generation = adopted.ok_or(Rejection::Ending)?;
        state_store::relatch(&self.control).await;
        self.switch_listeners(&listen_keys, new, bound).await;
        self.late.borrow_mut().extend(late);
        self.aside(&origin);
        self.succeed("applied", prepared);
        self.store(&config).await;
        Ok(ReloadAnswer::Applied(generation))
    }

    /// Closes the listeners that are gone and opens those that are new.
    async fn switch_listeners(&self, wanted: &[ListenKey], new: Vec<ListenKey>, bound: Vec<BoundSockets>) {
        let held = self.held.replace(wanted.to_vec());
        for gone in without(&held, wanted) {
            tracing::info!(listener = %gone.name, bind = %gone.bind, quic = gone.quic, "listener closes");
            let name = || Arc::clone(&gone.name);
            match gone.quic {
                true => self.command(|| Command::UnlistenQuic { name: name() }).await,
                false => self.command(|| Command::Unlisten { name: name() }).await,
            }
        }
        // A drain that began meanwhile may already have sent its commands to the workers.
        let bound = if self.is_ending() { Vec::new() } else { bound };
        for (stand, sockets) in new.into_iter().zip(bound) {
            tracing::info!(listener = %stand.name, bind = %stand.bind, quic = stand.quic, "listener opens");
            if let Some(parked) = &mut *self.parked.borrow_mut() {
                parked.push(ParkedListener { name: stand.name, sockets });
                continue;
            }
            self.listen(&stand.name, sockets).await;
        }
    }

    /// Shares a listener's sockets out among the workers: a predecessor may have had more of them.
    pub(super) async fn listen(&self, name: &Arc<str>, sockets: BoundSockets) {
        let name = || Arc::clone(name);
        let commands: Vec<Command> = match sockets {
            BoundSockets::Tcp(sockets) => {
                sockets.into_iter().map(|socket| Command::Listen { name: name(), socket }).collect()
            }
            BoundSockets::Quic(sockets) => {
                sockets.into_iter().map(|socket| Command::ListenQuic { name: name(), socket }).collect()
            }
        };
        for (worker, command) in self.workers.iter().cycle().zip(commands) {
            // A worker that has ended takes its sockets with it; the lifecycle reports it.
            let _ = worker.send(command).await;
        }
    }

    /// Takes the sockets of a predecessor, and opens none before [`Reloader::open`].
    pub fn inherit(&self, sockets: Vec<InheritedSocket>) {
        self.inherited.replace(sockets);
        self.parked.replace(Some(Vec::new()));
    }

    /// Opens what waits for the predecessor's end.
    pub async fn open(self: &Rc<Self>) {
        for ParkedListener { name, sockets } in self.parked.take().unwrap_or_default() {
            self.listen(&name, sockets).await;
        }
        self.open_late();
    }

    /// Adds the config to the history, unless it is there from an earlier process.
    fn keep(&self, generation: u64, config: &Config, origin: &Origin) {
        if self.control.history.get(generation).is_some() {
            return;
        }
        let aside = origin.set_aside.as_ref().map(|aside| aside.digest.clone());
        self.control.history.add(KeptConfig {
            generation,
            unix_ms: moment_now(self.control.shared.now()).unix_ms,
            cause: origin.cause,
            who: origin.by.who.clone(),
            why: origin.by.why.clone(),
            hash: config.hash.as_str().into(),
            repeats: origin.repeats,
            trial: origin.trial,
            passed_over: aside.and_then(Result::ok).map(Into::into),
            texts: Arc::clone(&config.texts),
        });
    }

    /// Stores the history where this config says.
    pub(super) async fn store(&self, config: &Config) {
        let folder = config.edge.state_dir.clone();
        let stored = self.control.history.store(folder, &config.edge.name, &self.control.events);
        // Late is as good as never for the caller; the write itself goes on.
        let _ = timeout(STORE, stored).await;
    }

    pub(super) async fn command(&self, make: impl Fn() -> Command) {
        for worker in &self.workers {
            // A worker that has ended needs no command.
            let _ = worker.send(make()).await;
        }
    }
}
