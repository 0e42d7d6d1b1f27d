//! The table of cells: every fault against every policy over HTTP/1.1, and once over TLS and HTTP/2 with bodies. The
//! fault strikes the first region, which under `failover` and `latency` carries everything.

use crate::{
    cell::{Act, Cell, Policy, Scene, Wire},
    goal::Goal,
    mood::{Health, Mood},
};

/// The length of the long cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Short, for every run of the tests.
    Short,
    /// Full, as the goals are written.
    Whole,
}

/// What can go wrong. Closed: a new fault is a new word here, with its script and its goals beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, again and again, each time revived.
    Kill,
    /// SIGTERM, and back.
    Stop,
    /// SIGSTOP: the kernel accepts, the process does not answer.
    Freeze,
    /// Every packet is dropped.
    Drop,
    /// Every connection is reset.
    Reset,
    /// Every answer 300 ms later.
    Slow,
    /// Bodies that trickle.
    Loris,
    /// A share of answers is 503 (percent).
    Errors(u64),
    /// A share of pieces is lost on the way (percent).
    Loss(u64),
    /// `/health` fails everywhere, data is fine.
    SickProbes,
    /// `/health` never answers anywhere, data is fine.
    MuteProbes,
    /// Well and broken in turn, 300 ms each.
    Flap,
    /// Every region answers 503.
    Outage,
    /// Every region is killed.
    Blackout,
    /// All endpoints of the region are killed at once: a region lost, or scaled to zero.
    RegionLost,
    /// Its endpoints are stopped one after the other, as when a node is drained.
    NodeDrain,
    /// The region becomes slow and another one is killed.
    Both,
    /// Its name moves to another address, then the old one dies.
    Renamed,
    /// The region stops and comes back, with a ramp.
    Ramp,
    /// Two of its three endpoints are killed, and what is left is above its threshold.
    Spill,
    /// The region is killed, and each region declares capacity for 60 % of the load.
    Capacity,
    /// As above, and a second region is killed two seconds later.
    LastRegion,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::Kill,
        Self::Stop,
        Self::Freeze,
        Self::Drop,
        Self::Reset,
        Self::Slow,
        Self::Loris,
        Self::Errors(100),
        Self::Errors(50),
        Self::Errors(30),
        Self::Errors(10),
        Self::Loss(10),
        Self::SickProbes,
        Self::MuteProbes,
        Self::Flap,
        Self::Outage,
        Self::Blackout,
        Self::RegionLost,
        Self::NodeDrain,
        Self::Both,
        Self::Renamed,
        Self::Ramp,
        Self::Spill,
        Self::Capacity,
        Self::LastRegion,
    ];

    /// Its word in names of cells.
    pub fn word(self) -> String {
        match self {
            Self::Errors(percent) => format!("errors-{percent}"),
            Self::Loss(percent) => format!("loss-{percent}"),
            Self::Kill => "kill".to_owned(),
            Self::Stop => "stop".to_owned(),
            Self::Freeze => "freeze".to_owned(),
            Self::Drop => "drop".to_owned(),
            Self::Reset => "reset".to_owned(),
            Self::Slow => "slow".to_owned(),
            Self::Loris => "loris".to_owned(),
            Self::SickProbes => "sick-probes".to_owned(),
            Self::MuteProbes => "mute-probes".to_owned(),
            Self::Flap => "flap".to_owned(),
            Self::Outage => "outage".to_owned(),
            Self::Blackout => "blackout".to_owned(),
            Self::RegionLost => "region-lost".to_owned(),
            Self::NodeDrain => "node-drain".to_owned(),
            Self::Both => "two-faults".to_owned(),
            Self::Renamed => "renamed".to_owned(),
            Self::Ramp => "ramp".to_owned(),
            Self::Spill => "spill".to_owned(),
            Self::Capacity => "capacity".to_owned(),
            Self::LastRegion => "last-region".to_owned(),
        }
    }

    /// The changes to the usual scene that it needs.
    fn scene(self, policy: Policy, wire: Wire, form: Form) -> Scene {
        let scene = Scene::new(policy, wire);
        // Where connections are counted, all regions need about the same number of them.
        let even = policy == Policy::Latency && matches!(self, Self::Outage | Self::Blackout);
        Scene {
            distances_ms: if even { [40, 52, 64] } else { scene.distances_ms },
            hedge: matches!(self, Self::Freeze | Self::Drop | Self::Both),
            apart: self == Self::Drop,
            named: self == Self::Renamed,
            endpoints: match self {
                Self::RegionLost | Self::NodeDrain => 2,
                Self::Spill => 3,
                _ => 1,
            },
            ramp_s: match (self, form) {
                (Self::Ramp, Form::Whole) => 30,
                (Self::Ramp, Form::Short) => 10,
                _ => 0,
            },
            pool: match self {
                Self::Spill => "eject = { panic_threshold = 0.3 }",
                Self::Capacity | Self::LastRegion => "capacity = 300",
                _ => "",
            },
            posts: if wire == Wire::H2 { 0.5 } else { scene.posts },
            body: if wire == Wire::H2 { 4096 } else { scene.body },
            ..scene
        }
    }

    /// What happens from the moment of the fault on, in milliseconds, and how long to watch after that.
    fn script(self, policy: Policy, form: Form) -> (Vec<(u64, Act)>, u64) {
        let tell = |mood: Mood| (vec![(0, Act::Tell(0, mood)), (SPAN, Act::Tell(0, CALM))], RETURN);
        let all = |act: fn(usize) -> Act| (0..3).map(act);
        let whole = form == Form::Whole;
        match self {
            Self::Kill => (kills(if whole { 100 } else { 8 }, policy), 2000),
            Self::Stop => (vec![(0, Act::Terminate(0)), (4000, Act::Revive(0))], 6000),
            Self::Freeze => (vec![(0, Act::Freeze(0)), (SPAN, Act::Thaw(0))], 4000),
            Self::Drop => (vec![(0, Act::CutOff(0, true)), (SPAN, Act::CutOff(0, false))], 4000),
            Self::Reset => tell(Mood { reset_after: Some(0), ..CALM }),
            Self::Slow => tell(Mood { slow_ms: 300, ..CALM }),
            Self::Loris => tell(Mood { loris_ms: 100, ..CALM }),
            Self::Errors(errors) => tell(Mood { errors, ..CALM }),
            Self::Loss(loss) => tell(Mood { loss, ..CALM }),
            Self::SickProbes => everywhere(Mood { health: Health::Fail, ..CALM }, SPAN, 3000),
            Self::MuteProbes => everywhere(Mood { health: Health::Hang, ..CALM }, SPAN, 3000),
            Self::Flap => (flaps(if whole { 60_000 } else { 18_000 }), 2000),
            Self::Outage => {
                let broken = Mood { errors: 100, health: Health::Fail, ..CALM };
                everywhere(broken, 30_000, 6000)
            }
            Self::Blackout => {
                let dead = all(Act::Kill).map(|act| (0, act));
                (dead.chain(all(Act::Revive).map(|act| (SPAN, act))).collect(), 6000)
            }
            Self::RegionLost => {
                let acts =
                    [(0, Act::Kill(0)), (0, Act::Kill(1)), (5000, Act::Revive(0)), (5000, Act::Revive(1))];
                (acts.to_vec(), RETURN)
            }
            Self::NodeDrain => {
                let down = [(0, Act::Terminate(0)), (2000, Act::Terminate(1))];
                let up = [(5000, Act::Revive(0)), (5000, Act::Revive(1))];
                ([down, up].concat(), RETURN)
            }
            Self::Both => {
                let down = [(0, Act::Tell(0, Mood { slow_ms: 300, ..CALM })), (1000, Act::Kill(1))];
                let up = [(6000, Act::Revive(1)), (SPAN, Act::Tell(0, CALM))];
                ([down, up].concat(), 4000)
            }
            Self::Renamed => (vec![(0, Act::Resolve(3)), (5000, Act::Kill(0))], 2000),
            Self::Ramp => {
                let span = if whole { 40_000 } else { 18_000 };
                (vec![(0, Act::Terminate(0)), (4000, Act::Revive(0))], span)
            }
            Self::Spill => {
                let down = [(0, Act::Kill(0)), (0, Act::Kill(1))];
                let back = if whole { 20_000 } else { SPAN };
                ([down, [(back, Act::Revive(0)), (back, Act::Revive(1))]].concat(), 4000)
            }
            Self::Capacity => (vec![(0, Act::Kill(0)), (SPAN, Act::Revive(0))], RETURN),
            Self::LastRegion => {
                let down = [(0, Act::Kill(0)), (2000, Act::Kill(1))];
                let up = [(2 * SPAN, Act::Revive(0)), (2 * SPAN, Act::Revive(1))];
                ([down, up].concat(), 2000)
            }
        }
    }

    /// Whether it ends connections on which answers may be half-way.
    fn cuts(self) -> bool {
        matches!(
            self,
            Self::Kill
                | Self::Reset
                | Self::Blackout
                | Self::RegionLost
                | Self::Both
                | Self::Renamed
                | Self::Spill
                | Self::Capacity
                | Self::LastRegion
        )
    }

    /// The goals, in addition to the invariants.
    fn goals(self, scene: &Scene, form: Form) -> Vec<Goal> {
        let region = FIRST;
        let back = Goal::Returns { region, within_ms: (10_000 + scene.hold_ms()) as f64 };
        let brownout = [Goal::Leaves { region, within_ms: 2000.0, share: 5.0 }, back.clone()];
        match self {
            Self::Kill => {
                // At least a third of the traffic, which may be moving when the site is chosen.
                let share = if scene.policy == Policy::Weighted { 20.0 } else { 34.0 };
                vec![Goal::NoGetFailed, Goal::AddedByKills(20.0), Goal::Strikes(share)]
            }
            Self::Stop => {
                // No answer can come sooner than one round trip to the next region.
                let farther = scene.distances_ms[1] - scene.distances_ms[0];
                vec![Goal::NoGetFailed, Goal::AddedP999(20.0 + farther as f64)]
            }
            Self::Freeze | Self::Drop => {
                let leaves = Goal::Leaves { region, within_ms: 1000.0, share: 1.0 };
                vec![Goal::NoGetFailed, Goal::P999(250.0), Goal::Max(500.0), leaves]
            }
            Self::Slow | Self::Errors(100 | 50 | 30) => {
                [vec![Goal::NoGetFailed], brownout.to_vec(), vec![Goal::Turns { region, at_most: 2 }]]
                    .concat()
            }
            Self::Reset => [vec![Goal::NoGetFailed], brownout.to_vec()].concat(),
            Self::Errors(_) | Self::Loss(_) | Self::Both => vec![Goal::NoGetFailed],
            Self::Loris | Self::SickProbes | Self::MuteProbes => vec![Goal::NoneFailed],
            Self::Flap => {
                let span_ms = if form == Form::Whole { 20_000.0 } else { 6000.0 };
                let left = Goal::Left { region, at_most: 3 };
                let left = (scene.policy == Policy::Failover).then_some(left);
                [vec![Goal::NoGetFailed, Goal::Shrinks { region, span_ms }], left.into_iter().collect()]
                    .concat()
            }
            Self::Outage => vec![Goal::Attempts(1.13), Goal::Healed(1000.0), Goal::Fresh(2.0)],
            // After a kill, the connection pools are empty: three sites need three times the connections of one.
            Self::Blackout => vec![Goal::Healed(1000.0), Goal::Fresh(3.0)],
            Self::RegionLost if scene.policy == Policy::Weighted => vec![Goal::NoGetFailed, back],
            Self::RegionLost => vec![Goal::NoGetFailed, Goal::Moves { to: SECOND, within_ms: 500.0 }, back],
            Self::NodeDrain => vec![Goal::NoGetFailed, back],
            Self::Renamed => vec![Goal::NoGetFailed, Goal::Moves { to: "spare", within_ms: 3000.0 }],
            Self::Ramp => {
                let ramp_ms = (scene.ramp_s * 1000) as f64;
                vec![Goal::NoGetFailed, Goal::Ramps { region, ramp_ms }]
            }
            // A third of the region is left, and may take 1.4 times that.
            Self::Spill => vec![Goal::NoGetFailed, Goal::Share { region, percent: 140.0 / 3.0 }],
            Self::Capacity => vec![Goal::NoneRefused, Goal::Capacity(300.0)],
            Self::LastRegion => {
                vec![Goal::Capacity(300.0), Goal::Goodput(300.0), Goal::RefusedWithin(5.0)]
            }
        }
    }
}

const FIRST: &str = "us-east-1";
const SECOND: &str = "europe-west1";
const CALM: Mood =
    Mood { slow_ms: 0, errors: 0, loris_ms: 0, reset_after: None, loss: 0, health: Health::Ok };

/// Load before the fault: long enough for baselines of latency.
const CALM_MS: u64 = 4000;

/// The same, where a goal compares a high quantile with its value before the fault.
const LONG_CALM_MS: u64 = 20_000;

/// The usual length of a fault.
const SPAN: u64 = 8000;

/// How long a return is watched: longer than it may take.
const RETURN: u64 = 14_000;

/// A cell.
pub fn cell(fault: Fault, policy: Policy, wire: Wire, form: Form) -> Cell {
    let scene = fault.scene(policy, wire, form);
    let (script, tail_ms) = fault.script(policy, form);
    let calm_ms = if (fault, form) == (Fault::Kill, Form::Whole) { LONG_CALM_MS } else { CALM_MS };
    let script: Vec<(u64, Act)> = script.into_iter().map(|(at_ms, act)| (calm_ms + at_ms, act)).collect();
    let last = script.last().map_or(0, |(at_ms, _)| *at_ms);
    let spoken = if wire == Wire::H1 { "h1" } else { "h2" };
    let mut goals = fault.goals(&scene, form);
    if !fault.cuts() {
        goals.push(Goal::NoneCut);
    }
    let name = format!("{}/{}/{spoken}", fault.word(), policy.word());
    Cell { name, goals, scene, script, end_ms: last + tail_ms }
}

/// The whole matrix.
pub fn whole() -> Vec<Cell> {
    const POLICIES: [Policy; 3] = [Policy::Failover, Policy::Weighted, Policy::Latency];
    let mut cells = Vec::new();
    for (nth, fault) in Fault::ALL.into_iter().enumerate() {
        let alone = matches!(
            fault,
            Fault::Renamed | Fault::Ramp | Fault::Spill | Fault::Capacity | Fault::LastRegion
        );
        let policies = if alone { &POLICIES[..1] } else { &POLICIES[..] };
        cells.extend(policies.iter().map(|policy| cell(fault, *policy, Wire::H1, Form::Whole)));
        // Over HTTP/2 each fault meets one policy, in turn; a hundred kills are not repeated.
        let form = if fault == Fault::Kill { Form::Short } else { Form::Whole };
        cells.push(cell(fault, policies[nth % policies.len()], Wire::H2, form));
    }
    cells
}

/// Kills and revives: under `weighted` each region in turn, else whichever carries the load just then.
fn kills(count: u64, policy: Policy) -> Vec<(u64, Act)> {
    let every = if policy == Policy::Weighted { 2200 } else { 3000 };
    let strike = |nth: u64| {
        let kill = if policy == Policy::Weighted { Act::Kill(nth as usize % 3) } else { Act::KillCarrier };
        [(nth * every, kill), (nth * every + 400, Act::ReviveKilled)]
    };
    (0..count).flat_map(strike).collect()
}

fn flaps(span_ms: u64) -> Vec<(u64, Act)> {
    let broken = Mood { errors: 100, health: Health::Fail, ..CALM };
    let turn = |nth: u64| (nth * 300, Act::Tell(0, if nth.is_multiple_of(2) { broken } else { CALM }));
    (0..=span_ms / 600 * 2 - 1).map(turn).collect()
}

fn everywhere(mood: Mood, span_ms: u64, tail_ms: u64) -> (Vec<(u64, Act)>, u64) {
    let struck = (0..3).map(|site| (0, Act::Tell(site, mood)));
    (struck.chain((0..3).map(|site| (span_ms, Act::Tell(site, CALM)))).collect(), tail_ms)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_whole_matrix_has_every_fault_under_every_policy_and_fits_in_an_hour() {
        let cells = whole();
        let names: BTreeSet<&str> = cells.iter().map(|cell| cell.name.as_str()).collect();
        assert_eq!(names.len(), cells.len());
        assert_eq!(cells.len(), 20 * 4 + 5 * 2);
        let minutes = cells.iter().map(|cell| cell.end_ms + 3000).sum::<u64>() / 60_000;
        assert!(minutes <= 60, "{minutes} minutes");
        for cell in &cells {
            assert!(cell.script.is_sorted_by_key(|(at_ms, _)| *at_ms), "{}", cell.name);
        }
    }
}
