//! Tallies what requests did since the last tally, from the statistics that the workers write. The keeper never resets a
//! counter: the workers alone write them. Every 100 ms the keeper looks at each endpoint of each worker, so an endpoint
//! without traffic costs a few loads: latency buckets are read only when they have moved.

use std::collections::BTreeMap;

use thalweg_core::{Counts, EndpointId, Fallout, SPANS, Tally};

use crate::shared::stats::{EndpointStats, Reported, StatsTable, TimeCounts};

/// What one endpoint's requests did since the last tally; `None` if they did nothing. Durations are left for [`all`].
pub fn one(workers: &[StatsTable], id: EndpointId) -> Option<Tally> {
    let mut tally = Tally { id, ..Tally::default() };
    for stats in workers {
        stats.one(id, |stats, reported| {
            let counts = counts(stats);
            if counts != reported.counts {
                reported.add(counts, stats, &mut tally);
            }
        });
    }
    happened(&tally).then_some(tally)
}

/// What every endpoint's requests did since the last tally, without the endpoints that had no requests.
pub fn all(workers: &[StatsTable]) -> Vec<Tally> {
    let mut tallies: BTreeMap<EndpointId, Tally> = BTreeMap::new();
    for stats in workers {
        stats.each(|id, stats, reported| {
            let (counts, timed) = (counts(stats), stats.timed());
            // Compared number by number: compared as arrays, the numbers are stored first, which takes twice as long.
            if timed == reported.timed
                && counts.iter().zip(&reported.counts).all(|(now, before)| now == before)
            {
                return;
            }
            let tally = tallies.entry(id).or_insert_with(|| Tally { id, ..Tally::default() });
            reported.add(counts, stats, tally);
            if std::mem::replace(&mut reported.timed, timed) != timed {
                since(&stats.spans, &mut reported.times.spans, &mut tally.spans);
                since(&stats.cost, &mut reported.times.cost, &mut tally.fallout.cost);
            }
        });
    }
    tallies.into_values().collect()
}

fn happened(tally: &Tally) -> bool {
    let Fallout { failed, retried, hedged, .. } = tally.fallout;
    tally.counts.total() + tally.proof + failed + retried + hedged > 0
}

fn counts(
    EndpointStats { good, proof, failed, late, given_up, retried, hedged, .. }: &EndpointStats,
) -> [u64; 7] {
    [good, proof, failed, late, given_up, retried, hedged].map(crate::shared::meters::Cell::get)
}

impl Reported {
    fn add(&mut self, now: [u64; 7], stats: &EndpointStats, tally: &mut Tally) {
        let mut new = [0u32; 7];
        for (new, (now, before)) in new.iter_mut().zip(now.iter().zip(self.counts)) {
            *new = u32::try_from(now.wrapping_sub(before)).unwrap_or(u32::MAX);
        }
        self.counts = now;
        let [good, proof, failed, late, given_up, retried, hedged] = new;
        let counts = &mut tally.counts;
        *counts =
            Counts { good: counts.good + good, failed: counts.failed + failed, late: counts.late + late };
        tally.proof += proof;
        tally.fallout.failed += given_up;
        tally.fallout.retried += retried;
        tally.fallout.hedged += hedged;
        tally.last_good = tally.last_good.max(stats.last_good());
    }
}

/// Adds the growth of each bucket to a list.
fn since(times: &TimeCounts, reported: &mut [u32; SPANS], list: &mut Vec<(u8, u32)>) {
    let now = times.read();
    for (bucket, (now, before)) in (0u8..).zip(now.iter().zip(reported.iter())) {
        if now != before {
            list.push((bucket, now.wrapping_sub(*before)));
        }
    }
    *reported = now;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use thalweg_core::Tick;

    #[test]
    fn a_tally_is_what_came_since_the_last_one_over_all_workers() {
        let workers = [StatsTable::default(), StatsTable::default()];
        let (id, other) = (EndpointId(7), EndpointId(8));
        let (first, second) = (workers[0].open(id), workers[1].open(id));
        let _ = workers[1].open(other);
        first.good(Tick(5));
        second.good(Tick(0));
        second.proof.bump();
        second.failed.bump();
        second.took(Duration::from_millis(3));
        let tally = one(&workers, id).unwrap();
        assert_eq!(tally.counts, Counts { good: 2, failed: 1, late: 0 });
        assert_eq!((tally.proof, tally.last_good, tally.spans.len()), (1, Some(Tick(5)), 0));
        assert_eq!(one(&workers, id), None);
        first.late.bump();
        first.retried(Duration::from_millis(1));
        let tallies = all(&workers);
        assert_eq!(tallies.len(), 1, "nothing happened at the other");
        let tally = &tallies[0];
        assert_eq!((tally.counts.late, tally.fallout.retried, tally.spans.len()), (1, 1, 1));
        assert_eq!(tally.fallout.cost.len(), 1);
        first.retried(Duration::from_millis(1));
        assert_eq!(one(&workers, id).unwrap().fallout.retried, 1);
        assert_eq!(all(&workers)[0].fallout.cost.len(), 1, "what it cost comes later, and alone");
        assert_eq!(all(&workers), []);
        second.took(Duration::from_millis(3));
        assert_eq!(all(&workers)[0].spans.len(), 1, "times are reported without anything else");
        assert_eq!(all(&workers), []);
        workers[0].close(id);
        first.good(Tick(9));
        assert_eq!(all(&workers), [], "an stats that is closed is read no more");
    }
}
