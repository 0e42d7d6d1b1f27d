//! Figures about shares and capacities: a share that grows along its ramp, a share that spills, a capacity that holds.
//! Each figure counts arrivals, second by second.

use thalweg_testkit::Outcome;

use crate::{
    goal::Figure,
    record::{Hit, Record, due_ms},
};

/// The seconds between two moments, as spans in milliseconds.
fn seconds(from_ms: f64, to_ms: f64) -> impl Iterator<Item = (f64, f64)> {
    let count = ((to_ms - from_ms) / 1000.0).floor().max(0.0) as usize;
    (0..count).map(move |nth| {
        let from = from_ms + nth as f64 * 1000.0;
        (from, from + 1000.0)
    })
}

/// How far a region's share is from its ramp in the worst second, in points. The ramp begins with the first
/// request to the region after the cure; requests of a probation do not begin it. That request comes up to 0.3 s behind
/// the true beginning, which is one point of a ramp of 30 s and three of one of 10 s; two more points are chance.
pub(crate) fn off_the_ramp(record: &Record, region: &str, ramp_ms: f64) -> Figure {
    let proves = |hit: &Hit| {
        let lines = record.book.as_ref().and_then(|book| book.logged.get(&hit.id));
        lines.and_then(|lines| lines.first()).is_some_and(|line| line["reason"] == "probation")
    };
    let there = record.hits.iter().filter(|hit| record.region(hit.site) == region);
    let there = there.filter(|hit| hit.due_ms > record.cure_ms && !proves(hit));
    let began = there.map(|hit| hit.due_ms).fold(f64::MAX, f64::min);
    let off = seconds(began, record.end_ms).map(|(from, to)| {
        let middle = (from + 500.0 - began) / ramp_ms;
        (record.share(region, from, to) - middle.min(1.0)).abs() * 100.0
    });
    let off: Vec<f64> = off.collect();
    // A region that never returns is as far off as can be.
    let worst = if off.is_empty() { 100.0 } else { off.iter().copied().fold(0.0, f64::max) };
    let shown = off.iter().map(|off| format!("{off:.1}")).collect::<Vec<_>>().join(" ");
    let limit = 2.0 + 100.0 * 300.0 / ramp_ms;
    Figure::count(&format!("{region} off its ramp (points)"), worst, limit).noted(shown)
}

/// How far a region's share of the fault is from what the formula says, in points, once the probes have seen the fault.
pub(crate) fn off_the_share(record: &Record, region: &str, percent: f64) -> Figure {
    const SEEN_MS: f64 = 2500.0;
    let share = record.share(region, record.fault_ms + SEEN_MS, record.cure_ms) * 100.0;
    let what = format!("{region} off {percent:.1} % (points)");
    Figure::count(&what, (share - percent).abs(), 1.0).noted(format!("{share:.2} %"))
}

/// The most requests that any region got in any second of the run.
pub(crate) fn busiest_second(record: &Record, capacity: f64) -> Figure {
    let mut most = (0.0, String::new());
    for site in 0..record.sites.len() {
        for (from, to) in seconds(0.0, record.end_ms) {
            let got = record.hits.iter().filter(|hit| hit.site == site && (from..to).contains(&hit.at_ms));
            let got = got.count() as f64;
            if got > most.0 {
                most = (got, format!("{} from {from:.0} ms on", record.sites[site]));
            }
        }
    }
    Figure::count("requests in the busiest second of a region", most.0, capacity).noted(most.1)
}

/// From a moment after the last kill, when the probes have seen it, to the cure.
fn after_the_kills(record: &Record) -> (f64, f64) {
    const SEEN_MS: f64 = 2000.0;
    let last = record.kills.iter().map(|(at_ms, _)| *at_ms).fold(record.fault_ms, f64::max);
    (last + SEEN_MS, record.cure_ms)
}

/// How much less than this capacity was answered per second after the last kill, in percent.
pub(crate) fn shortfall(record: &Record, capacity: f64) -> Figure {
    let (from, to) = after_the_kills(record);
    let good = record.shots.iter().filter(|shot| matches!(shot.outcome, Outcome::Status(200)));
    let at = good.map(|shot| due_ms(shot) + shot.latency_us as f64 / 1000.0);
    let rate = at.filter(|at| (from..to).contains(at)).count() as f64 / ((to - from) / 1000.0).max(1e-9);
    let short = (100.0 - rate / capacity * 100.0).max(0.0);
    Figure::count("goodput below the capacity that is left (%)", short, 10.0).noted(format!("{rate:.0}/s"))
}

/// What each refusal after the last kill took, without the time by which the load generator was late; sorted.
pub(crate) fn refusals(record: &Record) -> Vec<f64> {
    let (from, to) = after_the_kills(record);
    let refused = record.shots.iter().filter(|shot| matches!(shot.outcome, Outcome::Status(503)));
    let within = refused.filter(|shot| (from..to).contains(&due_ms(shot)));
    let mut taken: Vec<f64> =
        within.map(|shot| shot.latency_us.saturating_sub(shot.late_us) as f64 / 1000.0).collect();
    taken.sort_by(f64::total_cmp);
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made::run;

    #[test]
    fn a_share_is_held_to_its_line_and_a_jump_is_off_it() {
        let (ramp, cure) = (10_000.0, 4000.0);
        // In each second of 500 requests, the first ones go to a: as many as the middle of the second says.
        let follows = |ms: f64| {
            let since = ms - 5000.0;
            let part = ((since / 1000.0).floor() + 0.5) / 10.0;
            usize::from(ms >= 2000.0 && (since < 0.0 || (since % 1000.0) / 1000.0 >= part))
        };
        assert!(off_the_ramp(&run(16, (2000.0, cure), follows), "a", ramp).value < 1.0);
        let jumps = |ms: f64| usize::from((2000.0..5000.0).contains(&ms));
        assert!(off_the_ramp(&run(16, (2000.0, cure), jumps), "a", ramp).value > 90.0);
        let stays = |ms: f64| usize::from(ms >= 2000.0);
        assert_eq!(off_the_ramp(&run(16, (2000.0, cure), stays), "a", ramp).value, 100.0);
    }

    #[test]
    fn a_share_and_the_busiest_second_are_counted() {
        let half = run(12, (1000.0, 11_000.0), |ms| usize::from(((ms / 2.0) as u64).is_multiple_of(2)));
        assert!(off_the_share(&half, "a", 50.0).value < 0.1);
        assert!((off_the_share(&half, "a", 45.0).value - 5.0).abs() < 0.1);
        assert_eq!(busiest_second(&half, 250.0).value, 250.0);
    }

    #[test]
    fn a_shortfall_and_slow_refusals_show() {
        let mut record = run(10, (1000.0, 9000.0), |_| 0);
        assert!(shortfall(&record, 500.0).value < 1.0 && refusals(&record).is_empty());
        for (nth, shot) in record.shots.iter_mut().enumerate().filter(|(nth, _)| nth % 2 == 0) {
            shot.outcome = Outcome::Status(503);
            (shot.latency_us, shot.late_us) = (9000 + (nth as u64 % 4) * 500, 4000);
        }
        let short = shortfall(&record, 500.0);
        assert!((49.0..51.0).contains(&short.value) && !short.holds(), "{short:?}");
        let taken = refusals(&record);
        assert_eq!((taken.first(), taken.last()), (Some(&5.0), Some(&6.0)));
    }
}
