//! What the oracle remembers: of one endpoint, of a pool, of a pool on behalf of a route. Plain values.

use std::{collections::BTreeSet, net::SocketAddr};

use thalweg_core::{Admin, Availability, Counts, Ejection, Probe, Tick};

/// What should be known about one endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) probe: Probe,
    pub(crate) admin: Admin,
    pub(crate) ejection: Ejection,
    pub(crate) refusing: bool,
    pub(crate) probed: bool,
    pub(crate) measured: bool,
    /// Results in a row, and which.
    pub(crate) run: (bool, u32),
    /// When it fell, if it is Unhealthy since then and was Healthy before.
    pub(crate) fell: Option<Tick>,
    /// The time of the last failure or probe.
    pub(crate) heard: Tick,
    pub(crate) file: File,
}

/// What should be known about a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) enabled: u32,
    pub(crate) up: u32,
    pub(crate) unproven: u32,
    pub(crate) answering: u32,
    pub(crate) proving: u32,
    pub(crate) out: u32,
    pub(crate) short: bool,
}

/// All that was told about one endpoint's requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    /// When they were told, and how they ended.
    pub(crate) samples: Vec<(Tick, Counts)>,
    pub(crate) last_good: Option<Tick>,
    /// Failures told since the last verdict: when, and whether they were merely late.
    pub(crate) bad: Vec<(Tick, bool)>,
    pub(crate) count: u32,
    /// When the present sentence or freedom began.
    pub(crate) since: Tick,
    /// Good answers told of requests of this probation.
    pub(crate) proof: u32,
}

impl File {
    /// It is free, and what was told before is no evidence any more.
    pub(crate) fn acquit(&mut self, now: Tick) {
        self.since = now;
        self.bad.clear();
        self.samples.clear();
    }

    /// Failures after the last good answer, in the order of time.
    pub(crate) fn in_a_row(&self, with_late: bool) -> usize {
        let after = |at: &Tick| self.last_good.is_none_or(|good| *at > good);
        self.bad.iter().filter(|(at, late)| after(at) && (with_late || !late)).count()
    }
}

/// What a pool has lost since its last incident was told.
#[derive(Debug)]
pub(crate) struct Loss {
    pub(crate) first: Tick,
    /// Nothing was heard against it after this.
    pub(crate) last: Tick,
    pub(crate) endpoints: BTreeSet<SocketAddr>,
}

/// A pool that a route has left because it was down, or because nobody there is proven.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Standing {
    Unproven,
    Left,
    Held(Tick),
}

pub(crate) type Verdict = Result<(), String>;

pub(crate) fn must(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

pub(crate) fn availability(record: &Record) -> Availability {
    Availability::of(record.probe, record.admin, record.ejection)
}
