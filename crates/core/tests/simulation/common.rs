//! Errors that the endpoints share, computed from plain lists of samples: how often the others fail, and whether an
//! endpoint's failures are more than that.

use std::time::Duration;

use thalweg_core::{Counts, Ejection, Stage, Tick};

use crate::{evidence::bad, oracle::Oracle};

/// Where floats, or the contract, leave room: what is demanded of the world, or what is permitted to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Late answers count.
    pub(crate) late: bool,
    /// The world must conclude so; otherwise it may.
    pub(crate) sure: bool,
}

impl Reading {
    /// What the world may conclude.
    pub(crate) const LAX: [Self; 2] = [Self { late: true, sure: false }, Self { late: false, sure: false }];
    /// What the world must conclude, if all say so.
    pub(crate) const STRICT: [Self; 2] = [Self { late: true, sure: true }, Self { late: false, sure: true }];

    fn exceeds(self, is: f64, odds: f64) -> bool {
        is >= odds.ln() + if self.sure { 1e-6 } else { -1e-6 }
    }
}

/// Bad requests among all.
type Share = (u32, u32);

/// Logarithm of how much less probable a share is at `rate` than at its own.
fn surprise((bad, of): Share, rate: f64) -> f64 {
    let part = |count: u32, rate: f64| match count {
        0 => 0.0,
        _ => f64::from(count) * (f64::from(count) / f64::from(of) / rate).ln(),
    };
    part(bad, rate) + part(of - bad, 1.0 - rate)
}

/// Is a share more than chance at the rate of the others?
pub(crate) fn is_beyond(own: Share, rate: f64, odds: f64, reading: Reading) -> bool {
    let share = f64::from(own.0) / f64::from(own.1.max(1));
    own.0 > 0 && (rate == 0.0 || (share > rate && reading.exceeds(surprise(own, rate), odds)))
}

/// Do two samples tell that the rates behind them differ?
pub(crate) fn are_apart(own: Share, other: Share, reading: Reading) -> bool {
    let common = f64::from(own.0 + other.0) / f64::from((own.1 + other.1).max(1));
    let both = surprise((own.0.min(own.1), own.1), common) + surprise(other, common);
    own.1 + other.1 > 0 && reading.exceeds(both, 1000.0)
}

impl Oracle {
    /// The requests of the trailing spans of up to `window`: how long each is, and what it holds.
    fn spans(&self, slots: &[usize], window: Duration, now: Tick) -> Vec<(Duration, Counts)> {
        let width = (self.longest_window().as_micros() as u64 / 600).max(100_000);
        let mut samples: Vec<(u64, Counts)> = Vec::new();
        for slot in slots {
            let told = self.records[*slot].file.samples.iter();
            samples.extend(told.map(|(at, counts)| (at.0 / width, *counts)));
        }
        samples.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        let (mut sum, mut spans) = (Counts::default(), Vec::new());
        let mut left = samples.into_iter().peekable();
        for number in (0..=now.0 / width).rev() {
            let length = now.since(Tick(number * width));
            if length > window {
                break;
            }
            while let Some((_, counts)) = left.next_if(|(at, _)| *at >= number) {
                sum.good += counts.good;
                sum.failed += counts.failed;
                sum.late += counts.late;
            }
            spans.push((length, sum));
        }
        spans
    }

    /// How often the others fail on a route, and how many requests they had.
    pub(crate) fn common_rate(&self, slot: usize, route: usize, late: bool, now: Tick) -> (f64, u32) {
        let rules = self.rules(slot);
        let (mut worst, mut requests) = (0.0, 0);
        for (length, counts) in self.spans(&self.compared(slot, route), rules.window, now) {
            let failed = bad(counts, late);
            requests = counts.total();
            if length >= Duration::from_millis(250) && failed >= 2 {
                let rate = f64::from(failed) / f64::from(counts.total().max(rules.min_requests).max(1));
                worst = f64::max(worst, rate);
            }
        }
        (worst, requests)
    }

    /// Are `failures` of `of` requests since `began` the endpoint's own? On one of its routes they are more than chance,
    /// and the others do not fail together with it; or no other has requests.
    pub(crate) fn is_its_own(
        &self,
        slot: usize,
        (own, began, odds): (Share, Tick, f64),
        reading: Reading,
        now: Tick,
    ) -> bool {
        let mut comparable = false;
        for route in self.routes_of(slot) {
            let (mut rate, requests) = self.common_rate(slot, route, reading.late, now);
            if requests == 0 {
                continue;
            }
            comparable = true;
            if rate == 0.0 && requests < 30 {
                rate = self.rate_before(slot, own.0, now);
            }
            if is_beyond(own, rate, odds, reading) && !self.fail_together(slot, route, began, reading) {
                return true;
            }
        }
        !comparable
    }

    fn rate_before(&self, slot: usize, failures: u32, now: Tick) -> f64 {
        let rules = self.rules(slot);
        let width = (self.longest_window().as_micros() as u64 / 600).max(100_000);
        let spans = self.spans(&[slot], rules.window + Duration::from_micros(width), now);
        let counts = spans.last().map(|(_, counts)| *counts).unwrap_or_default();
        let before = counts.total().saturating_sub(failures).max(rules.min_requests).max(1);
        f64::from(bad(counts, true).saturating_sub(failures)) / f64::from(before)
    }

    /// None of the others has given a good answer since, and some have failed. Whether a late one did is left open.
    fn fail_together(&self, slot: usize, route: usize, began: Tick, reading: Reading) -> bool {
        let others = self.compared(slot, route);
        let since = |at: Option<Tick>| at.is_some_and(|at| at >= began);
        let good = others.iter().any(|other| since(self.records[*other].file.last_good));
        let failed = others.iter().any(|other| {
            let file = &self.records[*other].file;
            since(file.last_failed) || (reading.sure && since(file.last_late))
        });
        !good && failed
    }

    /// Do requests go to the others of a route? `None` if the shares moved within the event.
    pub(crate) fn asks_others(&self, slot: usize, route: usize) -> Option<bool> {
        let (members, own) = (&self.topology.routes[route].pools, self.slots[slot].1.0);
        let shares = &self.last.as_ref().filter(|_| self.moved == 0)?.routes[route].shares;
        if members.len() > 1 {
            let asked = |pool: usize| shares.segments.iter().any(|segment| segment.pool.index() == pool);
            let panics = shares.stage == Stage::Panic;
            let mut others = members.iter().map(|member| member.pool.index()).filter(|pool| *pool != own);
            return Some(others.any(|pool| panics || asked(pool)));
        }
        let up = |other: usize| {
            crate::records::availability(&self.records[other]) == thalweg_core::Availability::Up
        };
        Some((0..self.slots.len()).any(|other| other != slot && self.slots[other].1.0 == own && up(other)))
    }

    /// The endpoints with whose traffic an endpoint's is compared on a route: those that nothing speaks against.
    pub(crate) fn compared(&self, slot: usize, route: usize) -> Vec<usize> {
        let (members, own) = (&self.topology.routes[route].pools, self.slots[slot].1.0);
        let serves = |pool: usize| members.iter().any(|member| member.pool.index() == pool);
        let alone = members.len() == 1;
        let others = self.slots.iter().enumerate().filter(|(other, (_, (pool, ..)))| {
            let clear = self.records[*other].ejection == Ejection::Clear;
            clear && if alone { *pool == own && *other != slot } else { *pool != own && serves(*pool) }
        });
        others.map(|(other, _)| other).collect()
    }
}
