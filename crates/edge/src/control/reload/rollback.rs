//! Back to an earlier config, by its kept text. Files on disk that say something else are set aside: they do not come into
//! force by themselves until they change. Without that, the watcher would undo a rollback within two seconds.

use std::{sync::Arc, time::SystemTime};

use serde_json::json;
use thalweg_config::{ConfigErrors, ConfigText};

use super::{Rejection, Reloader, whole_file};
use crate::control::{
    audit::{Actor, ChangeCall},
    history_file::{HistoryCause, KeptConfig},
    origin::{ConfigSource, Origin},
    state::{ReloadAnswer, SetAside},
    wiring::{self, Prepared},
};

impl Reloader {
    /// Puts the config of a generation into force, as a generation of its own; `None` = the one before.
    pub(super) async fn roll_back(&self, generation: Option<u64>, by: &Actor) -> ReloadAnswer {
        let answer = self.back_to(generation, by).await;
        let what = json!({ "to": generation, "generation": answer.generation() });
        by.record(&self.control.events, ChangeCall::Rollback, what, answer.as_str());
        answer
    }

    async fn back_to(&self, generation: Option<u64>, by: &Actor) -> ReloadAnswer {
        let history = &self.control.history;
        let target = match generation {
            Some(generation) => history.get(generation),
            None => history.before(),
        };
        let Some(target) = target else { return ReloadAnswer::NotKept(history.generations()) };
        if self.texts_in_force().as_deref() == Some(&*target.texts) {
            return ReloadAnswer::Unchanged(self.control.shared.live.load().snapshot.generation);
        }
        match self.put_back(&target, HistoryCause::Rollback, by.clone()).await {
            Ok(answer) => {
                let to = target.generation;
                let entry = json!({
                    "generation": answer.generation(), "to": to, "who": by.who, "why": by.why,
                });
                self.control.events.add("config_rolled_back", entry);
                self.trial_ended_by("was ended by a rollback", "rollback", &by.who);
                answer
            }
            Err(Rejection::Config(errors)) => ReloadAnswer::Rejected(errors),
            Err(Rejection::Bind(error)) => {
                ReloadAnswer::Rejected(ConfigErrors(vec![error.as_config_error()]))
            }
            Err(Rejection::Ending) => ReloadAnswer::Busy,
        }
    }

    /// Puts a kept config into force and sets the files aside, if they say something else.
    ///
    /// # Errors
    /// The reason for the rejection.
    pub(super) async fn put_back(
        &self,
        kept: &KeptConfig,
        cause: HistoryCause,
        by: Actor,
    ) -> Result<ReloadAnswer, Rejection> {
        let prepared = self.read_texts(Arc::clone(&kept.texts)).await.map_err(Rejection::Config)?;
        let files = self.read().await;
        let set_aside = SetAside::of(&files, cause.as_str());
        let same = set_aside.digest == Ok(thalweg_config::digest(&kept.texts));
        let origin = Origin {
            source: if same { ConfigSource::Files } else { ConfigSource::History },
            repeats: Some(kept.repeats.unwrap_or(kept.generation)),
            set_aside: (!same).then_some(set_aside),
            ..Origin::files(cause, by)
        };
        self.apply(prepared, origin).await
    }

    /// Notes which files do not count any more, or that they count again.
    pub(super) fn aside(&self, origin: &Origin) {
        match (&origin.set_aside, origin.source) {
            (Some(aside), _) => {
                let shown: Vec<String> = aside.files.iter().map(|file| file.display().to_string()).collect();
                let (files, because) = (shown.join(" "), aside.because);
                tracing::warn!(
                    files,
                    because,
                    "the config files differ from what runs: they count again when they change, or with `thalweg reload`"
                );
                self.control.set_aside.replace(Some(aside.clone()));
            }
            (None, ConfigSource::Files) => drop(self.control.set_aside.replace(None)),
            (None, ConfigSource::History) => {}
        }
    }

    /// Whether these files are those that are set aside.
    pub(super) fn is_set_aside(&self, files: &Result<Prepared, ConfigErrors>) -> bool {
        let aside = self.control.set_aside.borrow();
        aside.as_ref().is_some_and(|aside| aside.digest == digest(files))
    }

    /// The texts of the config in force.
    pub(super) fn texts_in_force(&self) -> Option<Arc<[ConfigText]>> {
        self.in_force.borrow().as_ref().map(|prepared| Arc::clone(&prepared.wiring.config.texts))
    }

    /// Reads a config from kept texts, with the certificates and tokens of today.
    pub(super) async fn read_texts(&self, texts: Arc<[ConfigText]>) -> Result<Prepared, ConfigErrors> {
        let tls_cache =
            self.in_force.borrow().as_ref().map(|prepared| prepared.tls_cache.clone()).unwrap_or_default();
        let read = tokio::task::spawn_blocking(move || wiring::prepare_texts(&texts, &tls_cache)).await;
        read.unwrap_or_else(|panicked| Err(whole_file(&self.path, &panicked.to_string())))
    }
}

impl SetAside {
    /// These files, set aside from now on.
    #[must_use]
    pub fn of(files: &Result<Prepared, ConfigErrors>, because: &'static str) -> Self {
        let config = files.as_ref().ok().map(|prepared| &prepared.wiring.config);
        let files_read = config.map(|config| config.files.clone()).unwrap_or_default();
        Self { digest: digest(files), files: files_read, since: SystemTime::now(), because }
    }
}

/// What files say: the digest of their texts, or what is wrong with them.
fn digest(files: &Result<Prepared, ConfigErrors>) -> Result<String, ConfigErrors> {
    files.as_ref().map(|prepared| thalweg_config::digest(&prepared.wiring.config.texts)).map_err(Clone::clone)
}
