//! What requests do at the endpoints, and how the keeper learns of it: counts first, then each failure, if it is
//! reported at all. Some failures are reported late, in another order, or for requests that began long ago.

use std::{collections::BTreeMap, time::Duration};

use thalweg_core::{Ejection, EndpointId, EndpointKey, Event, FailureCost, Fault, Tally, Tick, bucket_of};

use crate::{prng::Prng, story::Story};

/// What the workers know and the keeper does not.
#[derive(Default)]
pub(crate) struct Workers {
    accounts: BTreeMap<EndpointId, Tally>,
    /// Failures that are reported later.
    news: Vec<(EndpointId, EndpointKey, FailedRequest)>,
}

#[derive(Clone, Copy)]
struct FailedRequest {
    fault: Fault,
    started: Tick,
    at: Tick,
}

const BAD: [Fault; 6] =
    [Fault::Status, Fault::Status, Fault::Reset, Fault::Timeout, Fault::Refused, Fault::Late];

/// How a burst goes.
struct Burst {
    targets: Vec<(EndpointId, EndpointKey)>,
    requests: usize,
    gap: Duration,
    /// Percent of the requests that fail.
    bad: usize,
    /// Percent of the failures that are never reported, and of those that are reported later.
    lost: usize,
    delayed: usize,
}

impl Story {
    /// A burst of requests, and what is reported of them.
    pub(crate) fn traffic(&mut self) -> Result<(), String> {
        let Some(burst) = self.burst() else { return Ok(()) };
        for nth in 0..burst.requests {
            let (id, key) = burst.targets[nth % burst.targets.len()].clone();
            self.serve(&burst, id, key)?;
            if !burst.gap.is_zero() {
                self.pass(burst.gap)?;
            }
        }
        if self.rng.percent(70) { self.tell_all() } else { Ok(()) }
    }

    fn burst(&mut self) -> Option<Burst> {
        let (_, first) = self.any_endpoint()?;
        let reach = self.rng.below(4);
        let sentenced = |slot: usize| self.oracle.records[slot].ejection != Ejection::Clear;
        let anybody_out = (0..self.oracle.slots.len()).any(sentenced);
        let redeem = anybody_out && self.rng.percent(50);
        let all = self.oracle.slots.iter().zip(&self.snapshot.layout.endpoints).enumerate();
        let hit = all.filter(|(slot, ((key, _), _))| match (redeem, reach) {
            (true, _) => self.oracle.records[*slot].ejection != Ejection::Clear,
            (_, 0 | 1) => *key == first,
            (_, 2) => key.pool == first.pool,
            _ => true,
        });
        let targets: Vec<_> = hit.map(|(_, ((key, _), place))| (place.id, key.clone())).collect();
        let rng = &mut self.rng;
        let gaps: &[u64] = if redeem { &[100, 300, 1000] } else { &[0, 0, 1, 20, 60, 150] };
        Some(Burst {
            targets,
            requests: 2 + rng.below(if redeem { 12 } else { 20 }),
            gap: Duration::from_millis(rng.pick(gaps)),
            bad: rng.pick(if redeem { &[0, 0, 5, 50] } else { &[0, 5, 25, 50, 90, 100] }),
            lost: rng.pick(&[0, 0, 10, 50]),
            delayed: rng.pick(&[0, 0, 20, 60]),
        })
    }

    /// One request ends.
    fn serve(&mut self, burst: &Burst, id: EndpointId, key: EndpointKey) -> Result<(), String> {
        let truth = self.dead.get(&key.address).copied();
        let sick = self.rng.percent(burst.bad).then(|| self.rng.pick(&BAD));
        let took = self.rng.pick(&[0, 3, 30, 400, 5000]) * 1000;
        let started = Tick(self.now.0.saturating_sub(took));
        if self.rng.percent(3) {
            let failure = FailedRequest { fault: Fault::Local, started, at: self.now };
            return self.tell(id, key, failure);
        }
        let account = self.workers.accounts.entry(id).or_default();
        let Some(fault) = truth.or(sick) else {
            account.counts.good += 1;
            // As the workers do: by the snapshot.
            let shown = self.snapshot.layout.endpoints.iter().zip(&self.snapshot.endpoints);
            let since = shown.filter(|(place, _)| place.id == id).find_map(|(_, view)| view.probation_since);
            account.proof += u32::from(since.is_some_and(|since| started >= since));
            account.last_good = Some(self.now);
            account.spans.push((bucket_of(Duration::from_micros(took)) as u8, 1));
            return Ok(());
        };
        match fault {
            Fault::Late => account.counts.late += 1,
            _ => account.counts.failed += 1,
        }
        account.fallout = fallout(&mut self.rng, account.fallout.clone());
        let failure = FailedRequest { fault, started, at: self.now };
        if self.rng.percent(burst.lost) {
            return Ok(());
        }
        if self.rng.percent(burst.delayed) {
            self.workers.news.push((id, key, failure));
            return Ok(());
        }
        self.tell(id, key, failure)
    }

    /// As the keeper does: the counts come first.
    fn tell(&mut self, id: EndpointId, key: EndpointKey, failure: FailedRequest) -> Result<(), String> {
        if let Some(tally) = self.workers.tally(id) {
            self.apply(Event::Tallied(vec![tally]), None)?;
        }
        let FailedRequest { fault, started, at } = failure;
        self.apply(Event::Suspected { id, fault, started, at }, Some(key))
    }

    pub(crate) fn tell_all(&mut self) -> Result<(), String> {
        let ids: Vec<EndpointId> = self.workers.accounts.keys().copied().collect();
        let tallies: Vec<Tally> = ids.into_iter().filter_map(|id| self.workers.tally(id)).collect();
        let exists = |id: &EndpointId| self.snapshot.layout.endpoints.iter().any(|place| place.id == *id);
        self.workers.accounts.retain(|id, _| exists(id));
        if tallies.is_empty() { Ok(()) } else { self.apply(Event::Tallied(tallies), None) }
    }

    /// Reports the failures that were held back, in any order.
    pub(crate) fn late_news(&mut self) -> Result<(), String> {
        while !self.workers.news.is_empty() {
            let nth = self.rng.below(self.workers.news.len());
            let (id, key, failure) = self.workers.news.swap_remove(nth);
            self.tell(id, key, failure)?;
        }
        Ok(())
    }
}

impl Workers {
    /// The counts since the last tally; when the last good answer of all ended.
    fn tally(&mut self, id: EndpointId) -> Option<Tally> {
        let account = self.accounts.get_mut(&id).filter(|account| account.counts.total() > 0)?;
        let last_good = account.last_good;
        let fresh = Tally { id, last_good, ..Tally::default() };
        Some(Tally { id, ..std::mem::replace(account, fresh) })
    }
}

fn fallout(rng: &mut Prng, before: FailureCost) -> FailureCost {
    let mut after = before;
    match rng.below(3) {
        0 => after.failed += 1,
        1 => after.retried += 1,
        _ => after.hedged += 1,
    }
    after.cost.push((rng.below(84) as u8, 1));
    after
}
