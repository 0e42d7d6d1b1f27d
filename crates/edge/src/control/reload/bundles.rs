//! A bundle of the fleet comes into force like any other config: with the edge's own files, as a whole, or not at all. With
//! a bake time it is on trial.

use std::time::Duration;

use serde_json::json;
use thalweg_config::ConfigErrors;

use super::{Rejection, Reloader};
use crate::control::{
    audit::{Actor, ChangeCall},
    history_file::HistoryCause,
    origin::Origin,
    state::ReloadAnswer,
    trial::{Guard, TrialTerms},
};

/// By how much a trial outlives its bake time: the fleet's task ends it before.
const SLACK: Duration = Duration::from_secs(60);

impl Reloader {
    /// Puts the offered bundle into force, or leaves everything as it is.
    pub(super) async fn adopt_bundle(&self, by: &Actor) -> ReloadAnswer {
        let Some(offered) = self.control.fleet.offered.take() else { return ReloadAnswer::Busy };
        if let Some(running) = self.control.trials.view() {
            return ReloadAnswer::TrialRuns(running);
        }
        let bake = offered.bake;
        let terms = (!bake.is_zero())
            .then(|| TrialTerms { confirm: bake.saturating_add(SLACK), guard: Guard::default() });
        let what = json!({ "cause": "bundle", "bundle": offered.bundle.as_ref().map(|signed| signed.bundle.number) });
        let before = self.control.fleet.in_force.replace(offered.bundle);
        let answer = self.read_bundled(terms, by).await;
        if answer.generation().is_none() {
            self.control.fleet.in_force.replace(before);
        }
        by.record(&self.control.events, ChangeCall::Reload, what, answer.as_str());
        answer
    }

    async fn read_bundled(&self, terms: Option<TrialTerms>, by: &Actor) -> ReloadAnswer {
        let prepared = match self.read().await {
            Ok(prepared) => prepared,
            Err(errors) => return ReloadAnswer::Rejected(errors),
        };
        let trial = terms.is_some();
        let origin = Origin { trial, ..Origin::files(HistoryCause::Bundle, by.clone()) };
        match (self.apply(prepared, origin).await, terms) {
            (Ok(answer), Some(terms)) => self.begin_trial(terms, answer).await,
            (Ok(answer), None) => answer,
            (Err(Rejection::Config(errors)), _) => ReloadAnswer::Rejected(errors),
            (Err(Rejection::Bind(error)), _) => {
                ReloadAnswer::Rejected(ConfigErrors(vec![error.as_config_error()]))
            }
            (Err(Rejection::Ending), _) => ReloadAnswer::Busy,
        }
    }
}
