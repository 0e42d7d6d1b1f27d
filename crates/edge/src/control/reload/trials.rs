//! A config on trial: it comes into force, and goes again unless someone confirms it in time, or at once when the guard
//! trips. While it runs, no other config comes into force but by a rollback.

use std::time::{Duration, SystemTime};

use serde_json::json;
use thalweg_config::ConfigErrors;
use tokio::time::{Instant, sleep};

use super::{Rejection, Reloader};
use crate::control::{
    audit::{Actor, ChangeCall},
    history_file::{HistoryCause, KeptConfig},
    order_json::moment_now,
    state::ReloadAnswer,
    traffic_log::TrafficSample,
    trial::{Trial, TrialTerms, TrialView, tripped},
};

/// How often the guard looks.
const LOOK: Duration = Duration::from_millis(250);
/// Gap between two attempts to take a config back.
const AGAIN: Duration = Duration::from_secs(1);
/// A config that the watcher brought in can be put on trial for this long afterwards: the watcher is faster than the
/// operator's next command.
const AFTERWARDS: Duration = Duration::from_secs(600);

impl Reloader {
    /// Lets a trial begin for what a reload has brought in. Without an earlier config there is none to go back to, and the
    /// answer stays as it is.
    pub(super) async fn begin_trial(&self, terms: TrialTerms, answer: ReloadAnswer) -> ReloadAnswer {
        let Some(newest) = self.control.history.newest() else { return answer };
        let generation = newest.generation;
        let fits = match answer {
            ReloadAnswer::Applied(applied) => applied == generation && newest.trial,
            ReloadAnswer::Unchanged(_) => self.is_fresh(&newest),
            _ => false,
        };
        let confirmed = self.control.history.confirmed_before(generation);
        let Some(back_to) = confirmed.filter(|_| fits) else {
            // Nothing to go back to: what is in force is no trial.
            if newest.trial {
                self.control.history.set_trial(generation, false);
            }
            return answer;
        };
        self.control.history.set_trial(generation, true);
        let config = std::sync::Arc::clone(&self.control.shared.live.load().wiring.config);
        self.store(&config).await;
        let began = TrafficSample::take(&self.control.shared);
        let before = began.since(&self.control.traffic.oldest().unwrap_or_else(|| began.clone()));
        let view = TrialView {
            generation,
            back_to,
            until: SystemTime::now() + terms.confirm,
            guard: terms.guard,
            stored: self.control.history.is_stored(),
        };
        let shown = view.shown();
        tracing::warn!(%shown, "config on trial: `thalweg confirm` keeps it");
        self.control.events.add("config_trial_begun", shown);
        let trial =
            Trial { view: view.clone(), until: Instant::now() + terms.confirm, before, began, again: None };
        self.control.trials.running.replace(Some(trial));
        ReloadAnswer::Tried(view)
    }

    /// Whether the watcher or a signal has brought in this config a short time ago.
    fn is_fresh(&self, newest: &KeptConfig) -> bool {
        let now = moment_now(self.control.shared.now()).unix_ms;
        let age = Duration::from_millis(now.saturating_sub(newest.unix_ms));
        matches!(newest.cause, HistoryCause::File | HistoryCause::Signal) && age < AFTERWARDS
    }

    /// Keeps the config on trial.
    pub(super) async fn confirm(&self, by: &Actor) -> ReloadAnswer {
        let answer = match self.control.trials.end(&format!("was confirmed by {}", by.who)) {
            Some(view) => {
                self.control.history.set_trial(view.generation, false);
                let config = std::sync::Arc::clone(&self.control.shared.live.load().wiring.config);
                self.store(&config).await;
                let entry = json!({ "generation": view.generation, "who": by.who, "why": by.why });
                self.control.events.add("config_trial_confirmed", entry);
                ReloadAnswer::Confirmed(view.generation)
            }
            None => ReloadAnswer::NoTrial(self.control.trials.ended.borrow().clone()),
        };
        let what = json!({ "generation": answer.generation() });
        by.record(&self.control.events, ChangeCall::Confirm, what, answer.as_str());
        answer
    }

    /// Waits until the trial is to be looked at; without a trial, for ever.
    pub(super) async fn trial_is_due(&self) {
        if self.control.trials.running.borrow().is_none() {
            return std::future::pending().await;
        }
        sleep(LOOK).await;
    }

    /// Takes the config on trial back if its time is over or its guard trips.
    pub(super) async fn watch_trial(&self) {
        let Some(trial) = self.control.trials.running.borrow().clone() else { return };
        if trial.again.is_some_and(|again| Instant::now() < again) {
            return;
        }
        if Instant::now() >= trial.until || trial.again.is_some() {
            return self.take_back(&trial, "not_confirmed", "not confirmed in time".into()).await;
        }
        let during = TrafficSample::take(&self.control.shared).since(&trial.began);
        if let Some(what) = tripped(&trial.view.guard, &trial.before, &during) {
            self.take_back(&trial, "guard", what).await;
        }
    }

    async fn take_back(&self, trial: &Trial, cause: &'static str, detail: String) {
        let Some(kept) = self.control.history.get(trial.view.back_to) else { return };
        let by = Actor::own("trial").because(detail.as_str());
        match self.put_back(&kept, HistoryCause::Revert, by).await {
            Ok(answer) => {
                let (generation, back_to) = (trial.view.generation, trial.view.back_to);
                tracing::error!(generation, back_to, cause, detail, "config on trial taken back");
                self.control.trials.end(&format!("was taken back ({detail})"));
                let entry = json!({
                    "generation": generation, "back_to": back_to, "in_force": answer.generation(),
                    "cause": cause, "detail": detail,
                });
                self.control.events.add("config_trial_reverted", entry);
            }
            Err(rejection) => self.take_back_later(trial, rejection),
        }
    }

    /// The confirmed config cannot come into force now: tells so once, and tries again.
    fn take_back_later(&self, trial: &Trial, rejection: Rejection) {
        let errors = match rejection {
            Rejection::Config(errors) => errors,
            Rejection::Bind(error) => ConfigErrors(vec![error.as_config_error()]),
            Rejection::Ending => return,
        };
        if trial.again.is_none() {
            let back_to = trial.view.back_to;
            tracing::error!(back_to, %errors, "config on trial cannot be taken back: trying again");
            let lines: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
            let entry = json!({ "generation": trial.view.generation, "back_to": back_to, "errors": lines });
            self.control.events.add("config_trial_stuck", entry);
        }
        if let Some(running) = &mut *self.control.trials.running.borrow_mut() {
            running.again = Some(Instant::now() + AGAIN);
        }
    }

    /// Ends a trial whose config another decision has replaced.
    pub(super) fn trial_ended_by(&self, how: &str, cause: &'static str, who: &str) {
        if let Some(view) = self.control.trials.end(how) {
            let entry = json!({
                "generation": view.generation, "back_to": view.back_to, "cause": cause, "who": who,
            });
            self.control.events.add("config_trial_reverted", entry);
        }
    }
}
