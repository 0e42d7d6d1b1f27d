//! Tables for probes that contradict each other: an endpoint that fails in part keeps a part of its share, and a dead
//! one is down as fast as ever.

use super::*;
use crate::{axes::Probe, roll::mix, series::ProbeCounts, test_world::weighted};

/// An address behind which instances are asked at random, or by turns; the first of them says 503 to every probe.
struct Balanced {
    instances: u64,
    turns: bool,
    asked: u64,
}

impl Balanced {
    fn is_good(&mut self) -> bool {
        self.asked += 1;
        let pick = if self.turns { self.asked } else { mix(self.asked) };
        pick % self.instances != 0
    }
}

fn unhealthy() -> Evidence {
    Evidence { fault: Fault::Status, detail: "status 503".into() }
}

impl ScriptedWorld {
    /// Probes pool a for so many seconds as the edge does, with ten good requests per second beside it if `busy`. Says
    /// how often it was not Up.
    fn watch(&mut self, seconds: u64, busy: bool, mut is_good: impl FnMut() -> bool) -> (u32, Vec<Change>) {
        let id = self.ids("a")[0];
        let (end, mut down, mut log) = (self.now.after(Duration::from_secs(seconds)), 0, Vec::new());
        let (mut probe_at, mut roll) = (self.now, 1);
        while self.now < end {
            if probe_at <= self.now {
                let result = if is_good() { Ok(Duration::from_millis(5)) } else { Err(unhealthy()) };
                log.extend(self.world.apply(Event::Probed { id, result }, self.now).log);
                roll += 1;
                probe_at = self.now.after(self.world.probe_gap(id, roll).unwrap());
            }
            down += u32::from(self.world.health(id).unwrap().availability() != Availability::Up);
            log.extend(self.pass(100));
            if busy {
                log.extend(self.serve("a", "g"));
            }
        }
        (down, log)
    }

    fn probe_of(&self, target: &str) -> Probe {
        self.world.health(self.ids(target)[0]).unwrap().probe
    }
}

fn pair() -> ScriptedWorld {
    let mut at = world(&[1, 1], weighted(&[(1, 100), (1, 100)]));
    at.play("a++ b++");
    at
}

#[test]
fn one_failing_instance_of_three_behind_an_address_does_not_take_it_down() {
    for turns in [true, false] {
        let mut downs = 0;
        for seed in 0..100 {
            let mut at = pair();
            let mut behind = Balanced { instances: 3, turns, asked: seed * 100_000 };
            let (down, log) = at.watch(120, true, || behind.is_good());
            downs += u32::from(down > 0);
            let told = |on: bool| {
                let flaps = |change: &&Change| matches!(change, Change::Flapping { counts, .. } if counts.is_some() == on);
                log.iter().filter(flaps).count()
            };
            assert!(told(true) > 0, "seed {seed}: it is told");
            assert!(told(true) <= 8, "seed {seed}: but not all the time: {}", told(true));
        }
        assert!(if turns { downs == 0 } else { downs <= 2 }, "by turns {turns}: {downs} of 100 went down");
    }
}

#[test]
fn a_series_that_contradicts_itself_scales_the_share() {
    let mut at = pair();
    let mut behind = Balanced { instances: 3, turns: true, asked: 0 };
    at.watch(30, true, || behind.is_good());
    assert_eq!(at.probe_of("a"), Probe::Flapping);
    let view = at.world.snapshot().endpoints[0];
    let Some(ProbeCounts { good, of }) = view.flapping else { panic!("{view:?}") };
    assert!(of >= 8 && good * 3 >= of && good * 4 <= of * 3, "{good} of {of}");
    let part = f64::from(good) / f64::from(of);
    assert!((view.scale.as_f64() - part).abs() < 0.001, "{view:?}");
    let shares =
        format!("a {:.0}% balanced, b 50% balanced, b {:.0}% spill", part * 50.0, (1.0 - part) * 50.0);
    assert_eq!(at.shares(), shares);
    at.watch(12, true, || true);
    assert_eq!((at.probe_of("a"), at.shares().as_str()), (Probe::Healthy, "a 50% balanced, b 50% balanced"));
}

#[test]
fn a_death_takes_two_probes_whatever_was_and_a_death_after_flapping_a_dozen() {
    let probes_to_death = |before: &str, fault: Fault, busy: bool| {
        let mut at = pair();
        at.play(before);
        let id = at.ids("a")[0];
        for nth in 1..=20 {
            let evidence = Evidence { fault, detail: "".into() };
            at.world.apply(Event::Probed { id, result: Err(evidence) }, at.now);
            if at.probe_of("a") == Probe::Unhealthy {
                return nth;
            }
            at.pass(100);
            if busy {
                at.serve("a", "g");
            }
        }
        0
    };
    let steady = "~1000 a+ ~1000 a+ ~1000 a+ ~1000 a+ ~1000 a+ ~1000 a+ ~1000 a+ ~1000 a+ ~1000";
    for fault in [Fault::Refused, Fault::Timeout, Fault::Reset, Fault::Status] {
        assert_eq!(probes_to_death(steady, fault, false), 2, "{fault:?}");
    }
    assert_eq!(probes_to_death(steady, Fault::Refused, true), 2, "no process listens there");
    assert_eq!(probes_to_death(steady, Fault::Status, true), 6, "it answers requests");
    assert_eq!(probes_to_death("~1000 a+ ~1000 a--", Fault::Status, false), 1, "it was dead");
    let thirds = "~900 a+ ~900 a- ~100 a+ ~900 a+ ~900 a- ~100 a+ ~900 a+ ~900 a- ~100 a+ ~900";
    assert_eq!(probes_to_death(thirds, Fault::Refused, false), 13);
}

#[test]
fn a_dead_endpoint_returns_with_two_probes_and_one_that_flapped_when_most_are_good() {
    let mut at = pair();
    at.play("~1000 a-- ~1000 a-- ~1000 a++");
    assert_eq!(at.probe_of("a"), Probe::Healthy);
    let mut at = pair();
    at.play("~500 a- ~100 a+ ~500 a- ~100 a+ ~500 a- ~100 a- ~100 a- ~100 a- ~100 a- ~100 a- ~100 a- ~100 a- ~100 a-");
    at.play("~100 a- ~100 a- ~100 a- ~100 a- ~100 a- ~100 a-");
    assert_eq!(at.probe_of("a"), Probe::Unhealthy);
    at.play("~100 a++");
    assert_eq!(at.probe_of("a"), Probe::Unhealthy, "most of the last probes failed");
    at.play("~100 a+ ~100 a+ ~100 a+ ~100 a+ ~100 a+ ~100 a+ ~100 a+ ~100 a+ ~100 a+ ~100 a+");
    assert!(at.probe_of("a").serves());
}

#[test]
fn a_flapping_endpoint_says_nothing_against_the_checker() {
    let mut at = world(&[1, 1], weighted(&[(1, 100), (1, 100)]));
    at.play("a++ b++ ~500 a- ~100 a+ ~500 a- ~100 a+ ~500 b- ~100 b+ ~500 b- ~100 b+");
    assert_eq!((at.probe_of("a"), at.probe_of("b")), (Probe::Flapping, Probe::Flapping));
    assert!(!at.world.snapshot().checker_suspected);
}
