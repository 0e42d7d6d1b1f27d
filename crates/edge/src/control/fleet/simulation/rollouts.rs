//! Bundles over their rings: published, good or bad, taken back, aborted, put back by liars, wiped; with reports that are
//! lost, late and doubled, and edges that restart. What an edge believes, wants and does is decided by what the edge
//! runs; how that is carried out is modelled.
//!
//! What holds: the number in force goes back by a rollback alone (its guard, a report, an operator, or a restart during
//! the trial); what an edge took back never comes into force there again; what an edge has said that it took back is
//! taken by no edge that reads it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use thalweg_config::Ring;

use super::{Prng, check, search};
use crate::control::fleet::{
    bundle::{Bundle, BundleFile},
    rollout::{BundleReport, BundleState, DatedReport, RolloutOrder},
    standing::{RolloutAction, Standing},
    store::FleetMemory,
};

const STEPS: usize = 600;
/// How long an edge waits in a new bucket.
const SETTLE: i64 = 6;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    /// An edge reports its newest bundle alone.
    ReportsOneNumber,
    /// An edge remembers only the last bundle that was taken back.
    RemembersOne,
    /// An edge believes whatever stands in the bucket.
    BelievesAll,
}

struct SimEdge {
    name: String,
    ring: Ring,
    in_force: Option<Bundle>,
    previous: Option<Option<Bundle>>,
    trial: Option<Option<Bundle>>,
    /// The last good bundle on disk.
    kept: Option<Bundle>,
    memory: FleetMemory,
    settled: i64,
    /// Everything that it has taken back.
    took_back: BTreeSet<u64>,
    /// Its reports on their way.
    sent: VecDeque<BundleReport>,
}

impl SimEdge {
    fn new(nth: usize, ring: Ring) -> Self {
        Self {
            name: format!("{}-{nth}", ring.as_str()),
            ring,
            in_force: None,
            previous: None,
            trial: None,
            kept: None,
            memory: FleetMemory::default(),
            settled: 0,
            took_back: BTreeSet::new(),
            sent: VecDeque::new(),
        }
    }

    fn number(&self) -> u64 {
        self.in_force.as_ref().map_or(0, |bundle| bundle.number)
    }

    fn report(&self, mutant: Mutant) -> BundleReport {
        let number = self.number();
        let newest = self.memory.reverted().next().filter(|reverted| *reverted > number);
        let (bundle, state) = match newest {
            _ if self.trial.is_some() => (number, BundleState::Trial),
            Some(reverted) => (reverted, BundleState::Reverted),
            None => (number, BundleState::Good),
        };
        let good = match &self.trial {
            Some(before) => before.as_ref().map_or(0, |before| before.number),
            None => number,
        };
        let one = mutant == Mutant::ReportsOneNumber;
        let reverted = if one { Vec::new() } else { self.memory.reverted().collect() };
        BundleReport { edge: self.name.clone(), ring: self.ring, bundle, state, good, reverted }
    }

    /// Takes back what is in force, if it is known what was before.
    fn take_back(&mut self, mutant: Mutant) {
        let before = match self.trial.take() {
            Some(before) => before,
            None => match self.previous.take() {
                Some(previous) => {
                    self.kept.clone_from(&previous);
                    previous
                }
                None => return,
            },
        };
        if mutant == Mutant::RemembersOne {
            let seen = self.memory.seen;
            self.memory = FleetMemory::default();
            self.memory.seen = seen;
        }
        self.memory.revert(self.number());
        self.took_back.insert(self.number());
        self.in_force = before;
    }
}

/// The bucket, the edges, and what has been said there.
struct Scene {
    mutant: Mutant,
    rng: Prng,
    now: i64,
    next: u64,
    bad: BTreeSet<u64>,
    published: Vec<Bundle>,
    places: BTreeMap<Ring, Bundle>,
    reports: BTreeMap<String, DatedReport>,
    order: RolloutOrder,
    edges: Vec<SimEdge>,
    /// What edges have said in this bucket that they took back: edge and number.
    said: BTreeSet<(String, u64)>,
}

impl Scene {
    fn new(seed: u64, mutant: Mutant) -> Self {
        let rings = [Ring::Canary, Ring::Canary, Ring::Region, Ring::All, Ring::All];
        let edges = rings.into_iter().enumerate().map(|(nth, ring)| SimEdge::new(nth, ring)).collect();
        Self {
            mutant,
            rng: Prng(seed),
            now: 1000,
            next: 1,
            bad: BTreeSet::new(),
            published: Vec::new(),
            places: BTreeMap::new(),
            reports: BTreeMap::new(),
            order: RolloutOrder::default(),
            edges,
            said: BTreeSet::new(),
        }
    }

    fn step(&mut self) -> Result<(), String> {
        self.now += self.rng.pick(&[0, 1, 1, 2, 5, 20]);
        let nth = usize::try_from(self.rng.below(self.edges.len() as u64)).unwrap();
        match self.rng.below(40) {
            0 | 1 => self.publish(),
            2 if !self.published.is_empty() => self.lie(),
            3 if self.rng.percent(20) => self.wipe(),
            4 => self.operate(),
            5 | 6 => self.restart(nth),
            7..=12 => self.judge_trial(nth)?,
            13..=22 => self.deliver(nth),
            _ => self.look(nth)?,
        }
        Ok(())
    }

    fn publish(&mut self) {
        let ring = self.rng.pick(&Ring::EACH);
        let number = self.next;
        self.next += 1;
        if self.rng.percent(50) {
            self.bad.insert(number);
        }
        let bake_ms = self.rng.pick(&[0, 30_000, 30_000]);
        let files = vec![BundleFile { path: "a".into(), text: number.to_string() }];
        let bundle = Bundle { number, ring, bake_ms, unix_ms: 0, owner: "ada".into(), files };
        self.published.push(bundle.clone());
        self.places.insert(ring, bundle);
    }

    /// Puts an old bundle somewhere.
    fn lie(&mut self) {
        let nth = usize::try_from(self.rng.below(self.published.len() as u64)).unwrap();
        let place = self.rng.pick(&Ring::EACH);
        self.places.insert(place, self.published[nth].clone());
    }

    fn wipe(&mut self) {
        self.places.clear();
        self.reports.clear();
        self.said.clear();
        self.order = RolloutOrder::default();
    }

    fn operate(&mut self) {
        match self.rng.below(4) {
            0 => self.order.paused = true,
            1 => self.order.aborted = self.places.values().map(|bundle| bundle.number).max(),
            _ => self.order.paused = false,
        }
    }

    /// The process begins again with what is on disk.
    fn restart(&mut self, nth: usize) {
        let edge = &mut self.edges[nth];
        (edge.trial, edge.previous) = (None, None);
        edge.in_force.clone_from(&edge.kept);
    }

    /// The time of a trial is over, or its guard speaks.
    fn judge_trial(&mut self, nth: usize) -> Result<(), String> {
        let (mutant, edge) = (self.mutant, &mut self.edges[nth]);
        if edge.trial.is_none() {
            return Ok(());
        }
        if self.bad.contains(&edge.number()) && self.rng.percent(90) {
            edge.take_back(mutant);
        } else if let Some(before) = edge.trial.take() {
            edge.previous = Some(before);
            edge.kept.clone_from(&edge.in_force);
        }
        self.send(nth);
        Ok(())
    }

    fn send(&mut self, nth: usize) {
        let report = self.edges[nth].report(self.mutant);
        let sent = &mut self.edges[nth].sent;
        match self.rng.below(10) {
            0 | 1 => {}
            2 => sent.extend([report.clone(), report]),
            _ => sent.push_back(report),
        }
    }

    /// A report arrives.
    fn deliver(&mut self, nth: usize) {
        let Some(report) = self.edges[nth].sent.pop_front() else { return self.send(nth) };
        let numbers: Vec<u64> = report.reverted.clone();
        let own = (report.state == BundleState::Reverted).then_some(report.bundle);
        self.said.extend(numbers.into_iter().chain(own).map(|number| (report.edge.clone(), number)));
        self.reports.insert(report.edge.clone(), DatedReport { report, at: self.now });
    }

    fn look(&mut self, nth: usize) -> Result<(), String> {
        let (now, mutant) = (self.now, self.mutant);
        let edge = &mut self.edges[nth];
        if !self.reports.contains_key(&edge.name) {
            edge.settled = now + SETTLE;
        }
        let others: Vec<DatedReport> =
            self.reports.values().filter(|dated| dated.report.edge != edge.name).cloned().collect();
        let standing = Standing {
            ring: edge.ring,
            in_force: edge.in_force.as_ref(),
            memory: edge.memory,
            on_trial: edge.trial.is_some(),
            settled: now >= edge.settled,
        };
        let places = self.places.iter().filter(|(place, _)| **place >= edge.ring);
        let believed = places
            .filter(|(place, bundle)| mutant == Mutant::BelievesAll || standing.believes(**place, bundle));
        let wanted = believed.map(|(_, bundle)| bundle).filter(|bundle| {
            let newer = mutant == Mutant::BelievesAll
                && standing.in_force.is_none_or(|it| it.number != bundle.number);
            standing.wants(bundle.number) || (newer && !standing.on_trial)
        });
        let best = wanted.max_by_key(|bundle| bundle.number).cloned();
        let action = standing.action(best.as_ref().map(|bundle| bundle.number), &others, &self.order);
        match (action, best) {
            (RolloutAction::Back(_), _) => edge.take_back(mutant),
            (RolloutAction::Take, Some(best)) => self.take(nth, best)?,
            _ => {}
        }
        self.send(nth);
        Ok(())
    }

    fn take(&mut self, nth: usize, bundle: Bundle) -> Result<(), String> {
        let edge = &mut self.edges[nth];
        let (name, number, before) = (edge.name.clone(), bundle.number, edge.number());
        if number <= before {
            return Err(format!("{name} went from {before} to {number} without a rollback"));
        }
        if edge.took_back.contains(&number) {
            return Err(format!("{name} took {number} again, which it had taken back"));
        }
        let heard = self.said.iter().find(|(other, said)| *other != name && *said == number);
        if let Some((other, _)) = heard {
            return Err(format!("{name} took {number}, which {other} has said that it took back"));
        }
        edge.memory.see(bundle.ring, number);
        let bakes = bundle.bake_ms > 0;
        let last = edge.in_force.replace(bundle);
        if bakes {
            edge.trial = Some(last);
        } else {
            edge.previous = Some(last);
            edge.kept.clone_from(&edge.in_force);
        }
        Ok(())
    }
}

fn play(seed: u64, mutant: Mutant) -> Result<(), String> {
    let mut scene = Scene::new(seed, mutant);
    (0..STEPS).try_for_each(|step| scene.step().map_err(|what| format!("STEP {step}: {what}")))
}

#[test]
fn no_bundle_comes_back_by_itself() {
    check(2_000, |seed| play(seed, Mutant::None));
}

#[test]
fn every_planted_bug_of_a_rollout_is_found() {
    for mutant in [Mutant::ReportsOneNumber, Mutant::RemembersOne, Mutant::BelievesAll] {
        assert!(search(2_000, |seed| play(seed, mutant)).is_some(), "{mutant:?} was not found");
    }
}
