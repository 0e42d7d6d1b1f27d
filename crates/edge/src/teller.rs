//! Reads the workers' accounts and tells what has come since the last time. Never resets an account: the workers
//! alone write there.

use std::collections::BTreeMap;

use thalweg_core::{Counts, EndpointId, Fallout, SPANS, Tally};

use crate::account::{Account, Accounts, Times};

/// What was read from one account the last time.
#[derive(Debug)]
struct Seen {
    counts: [u64; 7],
    spans: [u32; SPANS],
    cost: [u32; SPANS],
}

impl Default for Seen {
    fn default() -> Self {
        Self { counts: [0; 7], spans: [0; SPANS], cost: [0; SPANS] }
    }
}

/// The reader of all accounts.
#[derive(Debug, Default)]
pub struct Teller {
    /// By worker and endpoint.
    seen: BTreeMap<(usize, EndpointId), Seen>,
}

impl Teller {
    /// What one endpoint's requests did since the last time; `None` if nothing. Times are left for [`Teller::all`].
    pub fn one(&mut self, workers: &[Accounts], id: EndpointId) -> Option<Tally> {
        let mut tally = Tally { id, ..Tally::default() };
        for (worker, accounts) in workers.iter().enumerate() {
            if let Some(account) = accounts.get(id) {
                self.seen.entry((worker, id)).or_default().counts(&account, &mut tally);
            }
        }
        happened(&tally).then_some(tally)
    }

    /// What every endpoint's requests did since the last time; those where nothing happened are left out.
    pub fn all(&mut self, workers: &[Accounts]) -> Vec<Tally> {
        let mut tallies: BTreeMap<EndpointId, Tally> = BTreeMap::new();
        let mut before = std::mem::take(&mut self.seen);
        for (worker, accounts) in workers.iter().enumerate() {
            for (id, account) in accounts.all() {
                let tally = tallies.entry(id).or_insert_with(|| Tally { id, ..Tally::default() });
                let mut seen = before.remove(&(worker, id)).unwrap_or_default();
                seen.counts(&account, tally);
                since(&account.spans, &mut seen.spans, &mut tally.spans);
                since(&account.cost, &mut seen.cost, &mut tally.fallout.cost);
                self.seen.insert((worker, id), seen);
            }
        }
        let told =
            |tally: &Tally| happened(tally) || !tally.spans.is_empty() || !tally.fallout.cost.is_empty();
        tallies.into_values().filter(told).collect()
    }
}

fn happened(tally: &Tally) -> bool {
    let Fallout { failed, retried, hedged, .. } = tally.fallout;
    tally.counts.total() + failed + retried + hedged > 0
}

impl Seen {
    fn counts(&mut self, account: &Account, tally: &mut Tally) {
        let Account { good, proof, failed, late, given_up, retried, hedged, .. } = account;
        let now = [good, proof, failed, late, given_up, retried, hedged].map(crate::meters::Cell::get);
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
        tally.last_good = tally.last_good.max(account.last_good());
    }
}

/// Adds what has come since to a list of buckets.
fn since(times: &Times, seen: &mut [u32; SPANS], list: &mut Vec<(u8, u32)>) {
    let now = times.read();
    for (bucket, (now, before)) in (0u8..).zip(now.iter().zip(seen.iter())) {
        if now != before {
            list.push((bucket, now.wrapping_sub(*before)));
        }
    }
    *seen = now;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use thalweg_core::Tick;

    #[test]
    fn a_tally_is_what_came_since_the_last_one_over_all_workers() {
        let workers = [Accounts::default(), Accounts::default()];
        let (id, other) = (EndpointId(7), EndpointId(8));
        let (first, second) = (workers[0].open(id), workers[1].open(id));
        let _ = workers[1].open(other);
        first.good(Tick(5));
        second.good(Tick(0));
        second.proof.bump();
        second.failed.bump();
        second.spans.record(Duration::from_millis(3));
        let mut teller = Teller::default();
        let one = teller.one(&workers, id).unwrap();
        assert_eq!(one.counts, Counts { good: 2, failed: 1, late: 0 });
        assert_eq!((one.proof, one.last_good, one.spans.len()), (1, Some(Tick(5)), 0));
        assert_eq!(teller.one(&workers, id), None);
        first.late.bump();
        first.retried.bump();
        let all = teller.all(&workers);
        assert_eq!(all.len(), 1, "nothing happened at the other");
        assert_eq!((all[0].counts.late, all[0].fallout.retried, all[0].spans.len()), (1, 1, 1));
        first.retried.bump();
        first.cost.record(Duration::from_millis(1));
        assert_eq!(teller.one(&workers, id).unwrap().fallout.retried, 1);
        assert_eq!(teller.all(&workers)[0].fallout.cost.len(), 1, "what it cost comes later, and alone");
        assert_eq!(teller.all(&workers), []);
        workers[0].close(id);
        first.good(Tick(9));
        assert_eq!(teller.all(&workers), [], "an account that is closed is read no more");
    }
}
