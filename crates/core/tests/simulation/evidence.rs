//! What real traffic should do to each endpoint, computed from plain lists of samples. Where the contract leaves room (is
//! a late answer held against the endpoint?), the oracle demands only what holds either way.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use thalweg_core::{
    Admin, Availability, Cause, Change, Changes, Counts, EjectRules, Ejection, EndpointId, EndpointKey,
    Event, Fault, Incident, Snapshot, Tally, Tick,
};

use crate::{
    common::{Reading, are_apart, is_beyond},
    oracle::Oracle,
    records::{Checked, ExpectedEndpoint, Loss, availability, must},
};

/// One [`Change::Ejected`].
struct ToldEjection<'a> {
    key: &'a EndpointKey,
    cause: Cause,
    count: u32,
    lasts: Duration,
}

type Log<'a> = std::collections::VecDeque<ToldEjection<'a>>;

pub(crate) fn bad(counts: Counts, with_late: bool) -> u32 {
    counts.failed + if with_late { counts.late } else { 0 }
}

impl Oracle {
    /// Takes in what requests did, and compares every ejection with what it should be.
    pub(crate) fn weigh(&mut self, event: &Event, changes: &Changes, now: Tick) -> Checked {
        let ejected = |change| match change {
            &Change::Ejected { ref key, cause, count, lasts, .. } => {
                Some(ToldEjection { key, cause, count, lasts })
            }
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
                Change::CheckerSuspected { on, .. } => {
                    must(*on == self.checker_suspected, || format!("checker_suspected: {on}"))?
                }
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

    fn weigh_tally(&mut self, tally: &Tally, told: &mut Log<'_>, now: Tick) -> Checked {
        let Some(slot) = self.slot_by_id(tally.id) else { return Ok(()) };
        let kept = self.longest_window() + Duration::from_secs(1); // the longest bucket
        let record = &mut self.records[slot];
        let file = &mut record.file;
        if tally.counts.total() > 0 {
            file.samples.retain(|(at, _)| now.since(*at) <= kept);
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
        self.weigh_ejection(slot, true, told, now)
    }

    fn weigh_failure(
        &mut self,
        slot: usize,
        (fault, started, at): (Fault, Tick, Tick),
        told: &mut Log<'_>,
        now: Tick,
    ) -> Checked {
        let late = fault == Fault::Late;
        let record = &mut self.records[slot];
        record.refusing = fault == Fault::Refused;
        record.heard = record.heard.max(at);
        record.file.bad.push((at, late));
        let (ejection, since) = (record.ejection, record.file.since);
        let last = if late { &mut record.file.last_late } else { &mut record.file.last_failed };
        *last = (*last).max(Some(at));
        self.feel(slot, at);
        match ejection {
            Ejection::Clear => self.weigh_ejection(slot, !late, told, now),
            Ejection::Probation if started >= since => self.weigh_probation(slot, late, told, now),
            _ => Ok(()),
        }
    }

    /// A request of an endpoint's probation failed. Whether late ones are held against it is left open.
    fn weigh_probation(&mut self, slot: usize, late: bool, told: &mut Log<'_>, now: Tick) -> Checked {
        let file = &mut self.records[slot].file;
        file.failed_late += u32::from(late);
        file.failed += u32::from(!late);
        let (since, proof, failed, lates) = (file.since, file.proof, file.failed, file.failed_late);
        let own = |reading: Reading, with_late: bool| {
            let failed = failed + if with_late { lates } else { u32::from(late) };
            self.is_its_own(slot, ((failed, failed + proof), since, 1e3), reading, now)
        };
        let all = |readings: [Reading; 2]| {
            readings.into_iter().flat_map(|reading| [true, false].map(|with_late| (reading, with_late)))
        };
        let Some(told) = self.told_ejection(slot, told) else {
            let surely = all(Reading::STRICT).all(|(reading, with_late)| own(reading, with_late));
            return must(late || !surely, || "a request of its probation failed, and it stays".into());
        };
        must(told.cause == Cause::Probation, || "another cause".into())?;
        let guilty = all(Reading::LAX).any(|(reading, with_late)| own(reading, with_late));
        must(guilty, || format!("ejected though the others fail as often: {:?}", self.records[slot].file))?;
        self.expect_ejected(slot, &told, now)
    }

    /// Are the failures in a row enough, and the endpoint's own?
    fn by_streak(&self, slot: usize, with_late: bool, reading: Reading, now: Tick) -> bool {
        let (rules, file) = (self.rules(slot), &self.records[slot].file);
        let Some((failures, began)) = file.in_a_row(with_late) else { return false };
        rules.consecutive_failures > 0
            && failures >= rules.consecutive_failures
            && self.is_its_own(slot, ((failures, failures), began, 1e6), reading, now)
    }

    /// Notes a failed request, which matters if the endpoint is lost.
    fn feel(&mut self, slot: usize, at: Tick) {
        let key = &self.slots[slot].0;
        if let Some(loss) = self.lost.get_mut(&*key.pool).filter(|loss| loss.endpoints.contains(&key.address))
        {
            loss.last = loss.last.max(at);
        }
    }

    fn told_ejection<'a>(&self, slot: usize, told: &mut Log<'a>) -> Option<ToldEjection<'a>> {
        let about = told.front().is_some_and(|told| *told.key == self.slots[slot].0);
        about.then(|| told.pop_front()).flatten()
    }

    /// Checks that an endpoint that is Clear was ejected, or was not, for a reason. `sure`: the world had to look.
    fn weigh_ejection(&mut self, slot: usize, sure: bool, told: &mut Log<'_>, now: Tick) -> Checked {
        self.tally();
        let serves = self.serves(slot);
        let file = &self.records[slot].file;
        if let Some(told) = self.told_ejection(slot, told) {
            must(serves, || "one that did not serve is ejected".into())?;
            let guilty = match told.cause {
                Cause::Consecutive => {
                    let mut readings = Reading::LAX.into_iter();
                    readings.any(|reading| {
                        [true, false].iter().any(|late| self.by_streak(slot, *late, reading, now))
                    })
                }
                Cause::Ratio => {
                    let mut routes = self.routes_of(slot).into_iter();
                    routes.any(|route| {
                        Reading::LAX.iter().any(|reading| self.by_ratio(slot, route, *reading, now))
                    })
                }
                Cause::Probation => false,
            };
            must(guilty, || format!("{:?} without evidence: {file:?}", told.cause))?;
            self.weigh_caps(slot, now).map_err(|cap| format!("ejected past the {cap}"))?;
            self.ejected.push((now, told.key.clone()));
            return self.expect_ejected(slot, &told, now);
        }
        if !sure || !serves || self.weigh_caps(slot, now).is_err() {
            return Ok(());
        }
        let in_a_row = Reading::STRICT
            .iter()
            .all(|reading| [true, false].iter().all(|late| self.by_streak(slot, *late, *reading, now)));
        must(!in_a_row, || format!("failed in a row, and stays: {file:?}"))?;
        let surely =
            |route: &usize| Reading::STRICT.iter().all(|reading| self.by_ratio(slot, *route, *reading, now));
        must(!self.routes_of(slot).iter().any(surely), || format!("fails often, and stays: {file:?}"))
    }

    /// Is the failed share of some trailing span enough, compared with that of the others? Accurate to the bucket.
    fn by_ratio(&self, slot: usize, route: usize, reading: Reading, now: Tick) -> bool {
        let with_late = reading.late;
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
        let (rate, _) = self.common_rate(slot, route, with_late, now);
        let asked = self.asks_others(slot, route).unwrap_or(reading.sure);
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
            // Floats cannot hold three times every share exactly.
            let enough =
                holds && share > 0.0 && share >= rules.failure_ratio && share >= 3.0 * others - 1e-12;
            let apart = are_apart(sums[1], sums[0], reading) || (sums[0].1 == 0 && !asked);
            if enough && apart && is_beyond(sums[1], rate, 1e6, reading) {
                return true;
            }
        }
        false
    }

    /// Is the endpoint Up? Or is a route of its own in panic, and nothing speaks against the endpoint?
    fn serves(&self, slot: usize) -> bool {
        let record = &self.records[slot];
        let clear = record.admin == Admin::Enabled && record.ejection == Ejection::Clear;
        availability(record) == Availability::Up
            || (clear && self.routes_of(slot).iter().any(|route| self.panics(*route)))
    }

    /// What forbids an ejection now.
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
            let lately = self.ejected.iter().filter(|(at, key)| {
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

    /// Checks for how long the endpoint is out, and how often in a row.
    fn expect_ejected(&mut self, slot: usize, told: &ToldEjection<'_>, now: Tick) -> Checked {
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
        must(told.count == file.count, || format!("count {}, not {}", told.count, file.count))?;
        let least = (rules.base * file.count).min(rules.max);
        let fits = told.lasts >= least && told.lasts <= least.mul_f64(1.1) + Duration::from_micros(1);
        must(fits, || format!("ejected for {:?}, {} times {:?}", told.lasts, file.count, rules.base))?;
        self.moved += 1;
        file.since = now;
        file.bad.clear();
        record.ejection = Ejection::Ejected { until: now.after(told.lasts) };
        if served {
            self.lose(slot, now);
        }
        Ok(())
    }

    /// Ends the ejections and probations whose time has come.
    fn release(&mut self, now: Tick) {
        for (record, (_, (pool, ..))) in self.records.iter_mut().zip(&self.slots) {
            let off = self.topology.pools[*pool].eject.are_off();
            let file = &mut record.file;
            match record.ejection {
                Ejection::Ejected { .. } | Ejection::Probation if off => {
                    self.moved += 1;
                    record.ejection = Ejection::Clear;
                    file.clear(now);
                }
                Ejection::Ejected { until } if until <= now => {
                    self.moved += 1;
                    record.ejection = Ejection::Probation;
                    (file.since, file.proof, file.failed, file.failed_late) = (now, 0, 0, 0);
                }
                Ejection::Probation if file.proof >= 5 && now.since(file.since) >= Duration::from_secs(1) => {
                    self.moved += 1;
                    record.ejection = Ejection::Clear;
                    file.clear(now);
                }
                _ => {}
            }
        }
    }

    /// An endpoint that gets no requests may be Clear after its time.
    pub(crate) fn accept_clear(&mut self, new: &Snapshot, now: Tick) {
        let members: Vec<_> = self.topology.routes.iter().flat_map(|route| &route.pools).collect();
        let all = self.slots.iter().zip(&mut self.records).zip(&new.endpoints);
        for (((_, (pool, _, weight)), record), view) in all {
            let given = members.iter().any(|m| m.pool.index() == *pool && m.weight > 0 && m.dial > 0);
            let over = now.since(record.file.since) >= Duration::from_secs(1);
            let may = record.ejection == Ejection::Probation && (*weight == 0 || !given) && over;
            if may && view.ejection == Ejection::Clear {
                self.moved += 1;
                record.ejection = Ejection::Clear;
                record.file.clear(now);
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

    fn judge_incident(&mut self, incident: &Incident, now: Tick) -> Checked {
        let loss = self.lost.remove(&incident.pool);
        let Some(loss) = loss else { return Err(format!("an incident without a loss: {incident:?}")) };
        let endpoints: BTreeSet<SocketAddr> = incident.endpoints.iter().copied().collect();
        let in_order = incident.first_bad <= incident.detected
            && incident.first_bad <= incident.last_bad
            && incident.last_bad.after(Duration::from_secs(2)) <= now;
        let fits = in_order && incident.detected == loss.first && endpoints == loss.endpoints;
        must(fits, || format!("{incident:?} for {loss:?}"))
    }

    /// Expects the checker to be suspected when more than half of the judged endpoints fell within one round, until half
    /// are back.
    pub(crate) fn expect_suspicion(&mut self, now: Tick) {
        let round = self.round();
        let count = |holds: &dyn Fn(&ExpectedEndpoint) -> bool| {
            self.records.iter().filter(|record| holds(record)).count()
        };
        let judged = count(&|record| record.probe != thalweg_core::Probe::Unknown);
        let fallen = count(&|record| record.fell.is_some_and(|fell| now.since(fell) <= round));
        let unhealthy = count(&|record| record.probe == thalweg_core::Probe::Unhealthy);
        let suspects = if self.checker_suspected { unhealthy } else { fallen };
        self.checker_suspected = judged >= 2 && suspects * 2 > judged;
    }

    pub(crate) fn rules(&self, slot: usize) -> &EjectRules {
        &self.topology.pools[self.slots[slot].1.0].eject
    }

    pub(crate) fn longest_window(&self) -> Duration {
        self.topology.pools.iter().map(|pool| pool.eject.window).max().unwrap_or_default()
    }

    pub(crate) fn routes_of(&self, slot: usize) -> Vec<usize> {
        let pool = self.slots[slot].1.0;
        let uses = |route: &thalweg_core::Route| route.pools.iter().any(|member| member.pool.index() == pool);
        let routes = self.topology.routes.iter().enumerate();
        routes.filter(|(_, route)| uses(route)).map(|(nth, _)| nth).collect()
    }
}
