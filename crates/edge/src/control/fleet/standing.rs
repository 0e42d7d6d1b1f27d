//! What an edge does at one look at the bucket: which bundles it believes, which it wants, and what follows from the
//! reports of the others. Pure: the edge runs it, and the simulation plays it.

use std::cmp::Ordering;

use thalweg_config::Ring;

use super::{
    bundle::Bundle,
    rollout::{self, DatedReport, RolloutOrder, RolloutStep},
    store::FleetMemory,
};

/// Where an edge stands.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// Its ring.
    pub ring: Ring,
    /// The bundle in force.
    pub in_force: Option<&'a Bundle>,
    /// What it remembers.
    pub memory: FleetMemory,
    /// The bundle in force is watched by its guard.
    pub on_trial: bool,
    /// The other edges have had time to report.
    pub settled: bool,
}

/// What an edge does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutAction {
    /// It does nothing.
    Stay,
    /// A newer bundle waits, for this reason.
    Hold(u64, String),
    /// It takes the newer bundle.
    Take,
    /// It goes back to the bundle before, for this reason.
    Back(String),
}

impl Standing<'_> {
    /// The number in force; 0 = none.
    fn number(&self) -> u64 {
        self.in_force.map_or(0, |bundle| bundle.number)
    }

    /// Whether a bundle belongs where it stands. A bundle in the place of another ring, or older than one that stood here
    /// before, was put there by someone else than its publisher.
    #[must_use]
    pub fn believes(&self, place: Ring, bundle: &Bundle) -> bool {
        let other = |known: &Bundle| match bundle.number.cmp(&known.number) {
            Ordering::Equal => bundle != known,
            _ => false,
        };
        bundle.ring == place && bundle.number >= self.memory.seen(place) && !self.in_force.is_some_and(other)
    }

    /// Whether a bundle is newer than what is in force, and was not taken back.
    #[must_use]
    pub fn wants(&self, number: u64) -> bool {
        number > self.number() && !self.memory.is_reverted(number) && !self.on_trial
    }

    /// What follows, with the newest bundle that is wanted.
    #[must_use]
    pub fn action(
        &self,
        wanted: Option<u64>,
        reports: &[DatedReport],
        order: &RolloutOrder,
    ) -> RolloutAction {
        if let RolloutStep::Back(why) = rollout::step(self.ring, self.number(), reports, order) {
            return RolloutAction::Back(why);
        }
        let Some(number) = wanted else { return RolloutAction::Stay };
        match rollout::step(self.ring, number, reports, order) {
            RolloutStep::Take if self.ring != Ring::Canary && !self.settled => RolloutAction::Hold(
                number,
                "until the edges of the rings before have had time to report".to_owned(),
            ),
            RolloutStep::Take => RolloutAction::Take,
            RolloutStep::Hold(why) | RolloutStep::Back(why) => RolloutAction::Hold(number, why),
        }
    }
}
