//! What real traffic should do to each endpoint, told from plain lists of samples: no rings, no counters, no shortcuts.
//! Where the contract leaves room (is a late answer held against it?), only what holds either way is demanded.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use thalweg_core::{
    Admin, Availability, Cause, Change, Changes, Counts, EjectRules, Ejection, EndpointId, EndpointKey,
    Event, Fault, Incident, Snapshot, Tally, Tick,
};

use crate::{
    oracle::Oracle,
    records::{Loss, Record, Verdict, availability, must},
};

/// One [`Change::Ejected`].
struct Told<'a> {
    key: &'a EndpointKey,
    cause: Cause,
    count: u32,
    lasts: Duration,
}

type Log<'a> = std::collections::VecDeque<Told<'a>>;

fn bad(counts: Counts, with_late: bool) -> u32 {
    counts.failed + if with_late { counts.late } else { 0 }
}

impl Oracle {
    /// Takes in what requests did, and compares every verdict with what it should be.
    pub(crate) fn weigh(&mut self, event: &Event, changes: &Changes, now: Tick) -> Verdict {
        let ejected = |change| match change {
            &Change::Ejected { ref key, cause, count, lasts, .. } => Some(Told { key, cause, count, lasts }),
            _ => None,
        };
        self.moved = 0;
        let mut told: Log<'_> = changes.log.iter().filter_map(ejected).collect();
        match event {
            Event::Tallied(tallies) => {
                for tally in tallies {
                    self.weigh_tally(tally, &mut told, now)?;
                }
                self.release(now);
            }
            Event::Suspected { id, fault, started, at } if *fault != Fault::Local => {
                if let Some(slot) = self.slot_by_id(*id) {
                    self.weigh_failure(slot, (*fault, *started, *at), &mut told, now)?;
                }
            }
            Event::Ticked | Event::Adopted { .. } => self.release(now),
            _ => {}
        }
        must(told.is_empty(), || format!("{:?} was ejected for nothing", told[0].key))?;
        for change in &changes.log {
            match change {
                Change::Incident(incident) => self.judge_incident(incident, now)?,
                Change::Doubted { on, .. } => must(*on == self.doubted, || format!("doubted: {on}"))?,
                _ => {}
            }
        }
        let untold = |loss: &Loss| loss.last.after(Duration::from_secs(2)) <= now;
        let silent =
            self.lost.iter().find(|(_, loss)| untold(loss)).filter(|_| matches!(event, Event::Ticked));
        must(silent.is_none(), || format!("an incident is over and untold: {silent:?}"))
    }

    fn slot_by_id(&self, id: EndpointId) -> Option<usize> {
        self.last.as_ref()?.layout.endpoints.iter().position(|place| place.id == id)
    }

    fn weigh_tally(&mut self, tally: &Tally, told: &mut Log<'_>, now: Tick) -> Verdict {
        let Some(slot) = self.slot_by_id(tally.id) else { return Ok(()) };
        let window = self.longest_window();
        let record = &mut self.records[slot];
        let file = &mut record.file;
        if tally.counts.total() > 0 {
            file.samples.retain(|(at, _)| now.since(*at) <= window);
            file.samples.push((now, tally.counts));
        }
        file.last_good = file.last_good.max(tally.last_good);
        file.proof += tally.proof;
        if tally.counts.good > 0 && file.last_good.is_some_and(|good| good >= record.heard) {
            record.refusing = false;
        }
        if bad(tally.counts, true) == 0 {
            return Ok(());
        }
        self.feel(slot, now);
        self.weigh_verdict(slot, true, told, now)
    }

    fn weigh_failure(
        &mut self,
        slot: usize,
        (fault, started, at): (Fault, Tick, Tick),
        told: &mut Log<'_>,
        now: Tick,
    ) -> Verdict {
        let late = fault == Fault::Late;
        let record = &mut self.records[slot];
        record.refusing = fault == Fault::Refused;
        record.heard = record.heard.max(at);
        record.file.bad.push((at, late));
        let (ejection, since) = (record.ejection, record.file.since);
        self.feel(slot, at);
        match ejection {
            Ejection::Clear => self.weigh_verdict(slot, !late, told, now),
            Ejection::Probation if started >= since => {
                let Some(verdict) = self.verdict_on(slot, told) else {
                    return must(late, || "a request of its probation failed, and it stays".into());
                };
                must(verdict.cause == Cause::Probation, || "another cause".into())?;
                self.sentence(slot, &verdict, now)
            }
            _ => Ok(()),
        }
    }

    /// A request failed there, which matters if it is lost.
    fn feel(&mut self, slot: usize, at: Tick) {
        let key = &self.slots[slot].0;
        if let Some(loss) = self.lost.get_mut(&*key.pool).filter(|loss| loss.endpoints.contains(&key.address))
        {
            loss.last = loss.last.max(at);
        }
    }

    fn verdict_on<'a>(&self, slot: usize, told: &mut Log<'a>) -> Option<Told<'a>> {
        let about = told.front().is_some_and(|told| *told.key == self.slots[slot].0);
        about.then(|| told.pop_front()).flatten()
    }

    /// Somebody who is Clear was convicted, or not: both for a reason. `sure`: the world had to look.
    fn weigh_verdict(&mut self, slot: usize, sure: bool, told: &mut Log<'_>, now: Tick) -> Verdict {
        self.tally();
        let (serves, rules) = (self.serves(slot), self.rules(slot).clone());
        let file = &self.records[slot].file;
        let enough = |failures: usize| {
            rules.consecutive_failures > 0 && failures >= rules.consecutive_failures as usize
        };
        if let Some(verdict) = self.verdict_on(slot, told) {
            must(serves, || "one that did not serve is ejected".into())?;
            let guilty = match verdict.cause {
                Cause::Consecutive => enough(file.in_a_row(true)),
                Cause::Ratio => {
                    let mut routes = self.routes_of(slot).into_iter();
                    routes
                        .any(|route| [true, false].iter().any(|late| self.by_ratio(slot, route, *late, now)))
                }
                Cause::Probation => false,
            };
            must(guilty, || format!("{:?} without evidence: {file:?}", verdict.cause))?;
            self.weigh_caps(slot, now).map_err(|cap| format!("ejected past the {cap}"))?;
            self.convicted.push((now, verdict.key.clone()));
            return self.sentence(slot, &verdict, now);
        }
        if !sure || !serves || self.weigh_caps(slot, now).is_err() {
            return Ok(());
        }
        must(!enough(file.in_a_row(false)), || format!("failed in a row, and stays: {file:?}"))?;
        let surely = |route: &usize| [true, false].iter().all(|late| self.by_ratio(slot, *route, *late, now));
        must(!self.routes_of(slot).iter().any(surely), || format!("fails often, and stays: {file:?}"))
    }

    /// Does some trailing span convict it, beside the same span of the others? To the bucket.
    fn by_ratio(&self, slot: usize, route: usize, with_late: bool, now: Tick) -> bool {
        let (rules, window) = (self.rules(slot), self.longest_window());
        let width = (window.as_micros() as u64 / 600).max(100_000);
        let mut samples: Vec<(u64, bool, Counts)> = Vec::new();
        for other in self.compared(slot, route).into_iter().chain([slot]) {
            let told = self.records[other].file.samples.iter();
            samples.extend(told.map(|(at, counts)| (at.0 / width, other == slot, *counts)));
        }
        let own: u32 = samples.iter().filter(|sample| sample.1).map(|sample| sample.2.total()).sum();
        if rules.failure_ratio == 0.0 || own < rules.min_requests {
            return false;
        }
        samples.sort_by_key(|(number, ..)| std::cmp::Reverse(*number));
        let mut left = samples.into_iter().peekable();
        let mut sums = [(0, 0); 2];
        for number in (0..=now.0 / width).rev() {
            let length = now.since(Tick(number * width));
            if length > rules.window {
                return false;
            }
            while let Some((_, own, counts)) = left.next_if(|(at, ..)| *at >= number) {
                let (failed, total) = &mut sums[usize::from(own)];
                (*failed, *total) = (*failed + bad(counts, with_late), *total + counts.total());
            }
            let [share, others] = [sums[1], sums[0]].map(|(bad, of)| f64::from(bad) / f64::from(of.max(1)));
            let holds = length >= Duration::from_millis(250) && sums[1].1 >= rules.min_requests;
            // Three times a share need not be a share that floats can hold.
            if holds && share > 0.0 && share >= rules.failure_ratio && share >= 3.0 * others - 1e-12 {
                return true;
            }
        }
        false
    }

    /// Whose traffic an endpoint's is compared with on a route.
    fn compared(&self, slot: usize, route: usize) -> Vec<usize> {
        let (members, own) = (&self.topology.routes[route].pools, self.slots[slot].1.0);
        let serves = |pool: usize| members.iter().any(|member| member.pool.index() == pool);
        let alone = members.len() == 1;
        let others = self.slots.iter().enumerate().filter(|(other, (_, (pool, ..)))| {
            if alone { *pool == own && *other != slot } else { *pool != own && serves(*pool) }
        });
        others.map(|(other, _)| other).collect()
    }

    /// It is Up; or nothing is on a route of its own, and real requests have nothing against it.
    fn serves(&self, slot: usize) -> bool {
        let record = &self.records[slot];
        let clear = record.admin == Admin::Enabled && record.ejection == Ejection::Clear;
        availability(record) == Availability::Up
            || (clear && self.routes_of(slot).iter().any(|route| self.panics(*route)))
    }

    /// What forbids to take it out now.
    fn weigh_caps(&self, slot: usize, now: Tick) -> Result<(), &'static str> {
        for route in self.routes_of(slot) {
            let members = &self.topology.routes[route].pools;
            let serves =
                |slot: usize| members.iter().any(|member| member.pool.index() == self.slots[slot].1.0);
            let enabled = |slot: &usize| serves(*slot) && self.records[*slot].admin == Admin::Enabled;
            let all: Vec<usize> = (0..self.slots.len()).filter(enabled).collect();
            let out = all.iter().filter(|slot| self.records[**slot].ejection != Ejection::Clear).count();
            let up = |slot: &&usize| match (self.panics(route), &self.records[**slot]) {
                (true, record) => !record.refusing && record.ejection == Ejection::Clear,
                (false, record) => availability(record) == Availability::Up,
            };
            let share = (out + 1) as f64 / all.len() as f64;
            let lately = self.convicted.iter().filter(|(at, key)| {
                now.since(*at) < Duration::from_secs(1) && self.slot_of(key).is_some_and(serves)
            });
            let forbidden = [
                (all.iter().filter(up).all(|other| *other == slot), "last that serves"),
                (out > 0 && share > self.rules(slot).max_share, "share"),
                (lately.count() >= all.len().div_ceil(3), "velocity"),
            ];
            if let Some((_, cap)) = forbidden.into_iter().find(|(forbidden, _)| *forbidden) {
                return Err(cap);
            }
        }
        Ok(())
    }

    /// It is out: for how long, and how often by now?
    fn sentence(&mut self, slot: usize, verdict: &Told<'_>, now: Tick) -> Verdict {
        let rules = self.rules(slot).clone();
        let served = self.records[slot].ejection == Ejection::Clear;
        let record = &mut self.records[slot];
        let file = &mut record.file;
        let long_clear = now.since(file.since) >= Duration::from_secs(60);
        file.count = match record.ejection {
            Ejection::Clear if long_clear || file.count == 0 => 1,
            Ejection::Clear => file.count,
            _ => file.count + 1,
        };
        must(verdict.count == file.count, || format!("count {}, not {}", verdict.count, file.count))?;
        let least = (rules.base * file.count).min(rules.max);
        let fits = verdict.lasts >= least && verdict.lasts <= least.mul_f64(1.1) + Duration::from_micros(1);
        must(fits, || format!("ejected for {:?}, {} times {:?}", verdict.lasts, file.count, rules.base))?;
        self.moved += 1;
        file.since = now;
        file.bad.clear();
        record.ejection = Ejection::Ejected { until: now.after(verdict.lasts) };
        if served {
            self.lose(slot, now);
        }
        Ok(())
    }

    /// Whose time has come.
    fn release(&mut self, now: Tick) {
        for (record, (_, (pool, ..))) in self.records.iter_mut().zip(&self.slots) {
            let off = self.topology.pools[*pool].eject.are_off();
            let file = &mut record.file;
            match record.ejection {
                Ejection::Ejected { .. } | Ejection::Probation if off => {
                    self.moved += 1;
                    record.ejection = Ejection::Clear;
                    file.acquit(now);
                }
                Ejection::Ejected { until } if until <= now => {
                    self.moved += 1;
                    record.ejection = Ejection::Probation;
                    (file.since, file.proof) = (now, 0);
                }
                Ejection::Probation if file.proof >= 5 && now.since(file.since) >= Duration::from_secs(1) => {
                    self.moved += 1;
                    record.ejection = Ejection::Clear;
                    file.acquit(now);
                }
                _ => {}
            }
        }
    }

    /// Who gets no request to prove itself with may be free after its time.
    pub(crate) fn pardon(&mut self, new: &Snapshot, now: Tick) {
        let members: Vec<_> = self.topology.routes.iter().flat_map(|route| &route.pools).collect();
        let all = self.slots.iter().zip(&mut self.records).zip(&new.endpoints);
        for (((_, (pool, _, weight)), record), view) in all {
            let given = members.iter().any(|m| m.pool.index() == *pool && m.weight > 0 && m.dial > 0);
            let over = now.since(record.file.since) >= Duration::from_secs(1);
            let may = record.ejection == Ejection::Probation && (*weight == 0 || !given) && over;
            if may && view.ejection == Ejection::Clear {
                self.moved += 1;
                record.ejection = Ejection::Clear;
                record.file.acquit(now);
            }
        }
    }

    /// An endpoint that was Up has failed.
    pub(crate) fn lose(&mut self, slot: usize, now: Tick) {
        let key = &self.slots[slot].0;
        let fresh = || Loss { first: now, last: now, endpoints: BTreeSet::new() };
        let loss = self.lost.entry(Box::from(&*key.pool)).or_insert_with(fresh);
        loss.endpoints.insert(key.address);
        loss.last = loss.last.max(now);
    }

    fn judge_incident(&mut self, incident: &Incident, now: Tick) -> Verdict {
        let loss = self.lost.remove(&incident.pool);
        let Some(loss) = loss else { return Err(format!("an incident without a loss: {incident:?}")) };
        let endpoints: BTreeSet<SocketAddr> = incident.endpoints.iter().copied().collect();
        let in_order = incident.first_bad <= incident.detected
            && incident.first_bad <= incident.last_bad
            && incident.last_bad.after(Duration::from_secs(2)) <= now;
        let fits = in_order && incident.detected == loss.first && endpoints == loss.endpoints;
        must(fits, || format!("{incident:?} for {loss:?}"))
    }

    /// Doubts the checker when more than half of those that are judged fell within one round, until half are back.
    pub(crate) fn weigh_doubt(&mut self, now: Tick) {
        let round = self.round();
        let count =
            |holds: &dyn Fn(&Record) -> bool| self.records.iter().filter(|record| holds(record)).count();
        let judged = count(&|record| record.probe != thalweg_core::Probe::Unknown);
        let fallen = count(&|record| record.fell.is_some_and(|fell| now.since(fell) <= round));
        let unhealthy = count(&|record| record.probe == thalweg_core::Probe::Unhealthy);
        let suspects = if self.doubted { unhealthy } else { fallen };
        self.doubted = judged >= 2 && suspects * 2 > judged;
    }

    fn rules(&self, slot: usize) -> &EjectRules {
        &self.topology.pools[self.slots[slot].1.0].eject
    }

    pub(crate) fn longest_window(&self) -> Duration {
        self.topology.pools.iter().map(|pool| pool.eject.window).max().unwrap_or_default()
    }

    fn routes_of(&self, slot: usize) -> Vec<usize> {
        let pool = self.slots[slot].1.0;
        let uses = |route: &thalweg_core::Route| route.pools.iter().any(|member| member.pool.index() == pool);
        let routes = self.topology.routes.iter().enumerate();
        routes.filter(|(_, route)| uses(route)).map(|(nth, _)| nth).collect()
    }
}
