//! A rollout: what edges report of a bundle, what an operator says of it, and what follows for one edge. Pure.
//!
//! No edge and no server leads a rollout: each edge reads what the others report and decides for itself. So a rollout goes
//! on whichever edge is lost, and no leader can be wrong for all.

use serde_json::{Value, json};
use thalweg_config::Ring;

/// A report that is this much older than the newest one is of an edge that is gone.
const GONE_SECONDS: i64 = 120;
/// Most bundles that were taken back, in one report.
const MOST_REVERTED: usize = 8;

/// What an edge has made of the newest bundle that it tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleState {
    /// It is watched by its guard.
    Trial,
    /// It has been good for its bake time.
    Good,
    /// It was refused for what may pass by itself.
    Refused,
    /// It was taken back.
    Reverted,
}

impl BundleState {
    const EACH: [Self; 4] = [Self::Trial, Self::Good, Self::Refused, Self::Reverted];

    /// The spelling in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trial => "trial",
            Self::Good => "good",
            Self::Refused => "refused",
            Self::Reverted => "reverted",
        }
    }
}

/// What one edge says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleReport {
    /// Its name.
    pub edge: String,
    /// Its ring.
    pub ring: Ring,
    /// The number of the bundle; 0 = none.
    pub bundle: u64,
    /// What it has made of it.
    pub state: BundleState,
    /// The number that has been good here: that in force, or the one before a bundle on trial; 0 = none.
    pub good: u64,
    /// The bundles that it has taken back last.
    pub reverted: Vec<u64>,
}

/// A report with the time at which the server took it: all times are of one clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatedReport {
    /// The report.
    pub report: BundleReport,
    /// Unix time of the server, seconds.
    pub at: i64,
}

/// What an operator says of rollouts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutOrder {
    /// No edge takes a new bundle.
    pub paused: bool,
    /// This bundle goes back wherever it is.
    pub aborted: Option<u64>,
    /// Who said so.
    pub owner: String,
    /// The reason for it.
    pub reason: String,
    /// When, for display.
    pub since: String,
}

/// What an edge does with a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutStep {
    /// It takes it.
    Take,
    /// It waits, for this reason.
    Hold(String),
    /// It goes back to the bundle before, for this reason.
    Back(String),
}

impl BundleReport {
    /// As it stands in the bucket.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "edge": self.edge, "ring": self.ring.as_str(), "bundle": self.bundle, "state": self.state.as_str(),
            "good": self.good, "reverted": self.reverted,
        })
    }

    /// Reads one; what cannot be read says nothing.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes.get(..bytes.len().min(4096))?).ok()?;
        let text = |name: &str| value.get(name)?.as_str();
        let state = text("state")?;
        let reverted = value.get("reverted").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            edge: text("edge")?.chars().filter(|c| !c.is_control()).take(63).collect(),
            ring: Ring::named(text("ring")?)?,
            bundle: value.get("bundle")?.as_u64()?,
            state: BundleState::EACH.into_iter().find(|one| one.as_str() == state)?,
            good: value.get("good").and_then(Value::as_u64).unwrap_or_default(),
            reverted: reverted.filter_map(Value::as_u64).take(MOST_REVERTED).collect(),
        })
    }
}

impl RolloutOrder {
    /// As it stands in the bucket.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "paused": self.paused, "aborted": self.aborted, "owner": self.owner, "reason": self.reason,
            "since": self.since,
        })
    }

    /// Reads one; what cannot be read orders nothing.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let text = |name: &str| {
            let text = value.get(name).and_then(Value::as_str).unwrap_or_default();
            text.chars().filter(|c| !c.is_control()).take(500).collect()
        };
        Self {
            paused: value.get("paused").and_then(Value::as_bool).unwrap_or(false),
            aborted: value.get("aborted").and_then(Value::as_u64),
            owner: text("owner"),
            reason: text("reason"),
            since: text("since"),
        }
    }
}

/// What an edge of this ring does with the bundle of this number.
#[must_use]
pub fn step(ring: Ring, number: u64, reports: &[DatedReport], order: &RolloutOrder) -> RolloutStep {
    if order.aborted == Some(number) {
        return RolloutStep::Back(format!("aborted by {}: {}", order.owner, order.reason));
    }
    // Also one that has another bundle by now: what it took back is not good for that.
    let took_back = |one: &&BundleReport| {
        one.reverted.contains(&number) || (one.bundle == number && one.state == BundleState::Reverted)
    };
    if let Some(back) = reports.iter().map(|dated| &dated.report).find(took_back) {
        return RolloutStep::Back(format!("{} took it back", back.edge));
    }
    if order.paused {
        return RolloutStep::Hold(format!("paused by {}: {}", order.owner, order.reason));
    }
    let newest = reports.iter().map(|dated| dated.at).max().unwrap_or_default();
    let earlier = reports.iter().filter(|dated| dated.report.ring < ring);
    for DatedReport { report, at } in earlier {
        let gone = newest.saturating_sub(*at) > GONE_SECONDS;
        // An edge that was lost during its trial may have been lost by the bundle.
        let matters = !gone || (report.bundle == number && report.state == BundleState::Trial);
        let good = (report.bundle >= number && report.state == BundleState::Good) || report.good >= number;
        if matters && !good {
            let (edge, ring) = (&report.edge, report.ring.as_str());
            return RolloutStep::Hold(format!("until {edge} of ring {ring} has been good for the bake time"));
        }
    }
    RolloutStep::Take
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(edge: &str, ring: Ring, bundle: u64, state: BundleState, at: i64) -> DatedReport {
        DatedReport {
            report: BundleReport { edge: edge.into(), ring, bundle, state, good: 0, reverted: vec![] },
            at,
        }
    }

    fn check(ring: Ring, reports: &[DatedReport], expected: &str) {
        let found = match step(ring, 7, reports, &RolloutOrder::default()) {
            RolloutStep::Take => "take".to_owned(),
            RolloutStep::Hold(why) => format!("hold {why}"),
            RolloutStep::Back(why) => format!("back: {why}"),
        };
        assert!(found.starts_with(expected), "{found}, not {expected}: {reports:?}");
    }

    #[test]
    fn a_ring_waits_until_every_edge_of_the_rings_before_is_good() {
        use BundleState::{Good, Refused, Reverted, Trial};
        use Ring::{All, Canary, Region};
        check(All, &[], "take");
        check(Canary, &[report("b", Canary, 6, Good, 1000)], "take");
        check(Region, &[report("b", Region, 6, Good, 1000)], "take");
        check(Region, &[report("a", Canary, 6, Good, 1000)], "hold until a");
        check(Region, &[report("a", Canary, 7, Trial, 1000)], "hold until a");
        check(Region, &[report("a", Canary, 7, Refused, 1000)], "hold until a");
        check(Region, &[report("a", Canary, 7, Good, 1000)], "take");
        check(Region, &[report("a", Canary, 8, Good, 1000)], "take");
        let two = [report("a", Canary, 7, Good, 1000), report("b", Region, 7, Trial, 1000)];
        check(Region, &two, "take");
        check(All, &two, "hold until b");
        check(All, &[report("z", All, 7, Reverted, 1000)], "back: z");
        check(Canary, &[report("z", All, 7, Reverted, 1000)], "back: z");
        let mut newer = report("a", Canary, 8, Good, 1000);
        newer.report.reverted = vec![7, 5];
        check(All, &[newer], "back: a");
        let mut tries = report("a", Canary, 8, Trial, 1000);
        tries.report.good = 7;
        check(All, &[tries.clone()], "take");
        tries.report.good = 6;
        check(All, &[tries], "hold until a");
    }

    #[test]
    fn an_edge_that_is_gone_holds_nothing_unless_it_was_lost_on_trial() {
        use BundleState::{Good, Trial};
        use Ring::{All, Canary};
        let here = report("c", All, 6, Good, 2000);
        check(All, &[report("a", Canary, 6, Good, 1000), here.clone()], "take");
        check(All, &[report("a", Canary, 6, Trial, 1000), here.clone()], "take");
        check(All, &[report("a", Canary, 7, Trial, 1000), here], "hold until a");
    }

    #[test]
    fn an_operator_pauses_and_aborts() {
        let order = |paused, aborted| RolloutOrder { paused, aborted, ..RolloutOrder::default() };
        assert!(matches!(step(Ring::All, 7, &[], &order(true, None)), RolloutStep::Hold(_)));
        assert!(matches!(step(Ring::All, 7, &[], &order(true, Some(7))), RolloutStep::Back(_)));
        assert_eq!(step(Ring::All, 8, &[], &order(false, Some(7))), RolloutStep::Take);
    }

    #[test]
    fn what_is_written_is_read_again_and_nonsense_says_nothing() {
        let mut one = report("a", Ring::Region, 7, BundleState::Reverted, 0).report;
        (one.good, one.reverted) = (6, vec![7, 3]);
        assert_eq!(BundleReport::read(one.to_json().to_string().as_bytes()), Some(one));
        let said = RolloutOrder {
            paused: true,
            aborted: Some(7),
            owner: "ada".into(),
            reason: "x".into(),
            since: "now".into(),
        };
        assert_eq!(RolloutOrder::read(said.to_json().to_string().as_bytes()), said);
        for bytes in [&b""[..], b"{", b"[]", b"{\"edge\":1}", &[b'x'; 10_000]] {
            assert_eq!(BundleReport::read(bytes), None);
            assert_eq!(RolloutOrder::read(bytes), RolloutOrder::default());
        }
    }
}
