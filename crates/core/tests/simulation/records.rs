//! What the oracle remembers: of one endpoint, of a pool, of a pool on behalf of a route. Plain values.

use std::{collections::BTreeSet, net::SocketAddr};

use thalweg_core::{Admin, Availability, Counts, Ejection, Probe, Tick};

/// What should be known about one endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExpectedEndpoint {
    pub(crate) probe: Probe,
    pub(crate) admin: Admin,
    pub(crate) ejection: Ejection,
    pub(crate) refusing: bool,
    pub(crate) probed: bool,
    pub(crate) measured: bool,
    /// The kind of the last results, and how many in a row.
    pub(crate) run: (bool, u32),
    /// When the endpoint fell, if it was Healthy before and is Unhealthy since.
    pub(crate) fell: Option<Tick>,
    /// The time of the last failure or probe.
    pub(crate) heard: Tick,
    pub(crate) file: File,
}

/// What should be known about a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ExpectedPool {
    pub(crate) enabled: u32,
    pub(crate) up: u32,
    pub(crate) unproven: u32,
    pub(crate) answering: u32,
    pub(crate) proving: u32,
    pub(crate) out: u32,
    pub(crate) below_threshold: bool,
}

/// All that is known about one endpoint's requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct File {
    /// When requests were reported, and how they ended.
    pub(crate) samples: Vec<(Tick, Counts)>,
    pub(crate) last_good: Option<Tick>,
    /// Failures since the last ejection: when, and whether they were merely late.
    pub(crate) bad: Vec<(Tick, bool)>,
    pub(crate) count: u32,
    /// When the present ejection, probation or freedom began.
    pub(crate) since: Tick,
    /// Good answers to requests of this probation, and failures of such: hard ones, and late ones.
    pub(crate) proof: u32,
    pub(crate) failed: u32,
    pub(crate) failed_late: u32,
    /// The last failure: a hard one, and a late one.
    pub(crate) last_failed: Option<Tick>,
    pub(crate) last_late: Option<Tick>,
}

impl File {
    /// The endpoint is Clear, and what was reported before is no evidence any more.
    pub(crate) fn clear(&mut self, now: Tick) {
        self.since = now;
        self.bad.clear();
        self.samples.clear();
    }

    /// Failures after the last good answer, in the order of time: how many, and when the first was.
    pub(crate) fn in_a_row(&self, with_late: bool) -> Option<(u32, Tick)> {
        let after = |at: &Tick| self.last_good.is_none_or(|good| *at > good);
        let row = || self.bad.iter().filter(|(at, late)| after(at) && (with_late || !late));
        Some((row().count() as u32, row().map(|(at, _)| *at).min()?))
    }
}

/// What a pool has lost since its last incident was logged.
#[derive(Debug)]
pub(crate) struct Loss {
    pub(crate) first: Tick,
    /// The last failure there.
    pub(crate) last: Tick,
    pub(crate) endpoints: BTreeSet<SocketAddr>,
}

/// A pool that a route has left because it was down, or because no endpoint there is proven; or that has returned, with
/// a share that grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ExpectedStanding {
    Unproven,
    Left,
    Held(Tick),
    Ramping(Tick),
}

pub(crate) type Checked = Result<(), String>;

pub(crate) fn must(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

pub(crate) fn availability(record: &ExpectedEndpoint) -> Availability {
    Availability::of(record.probe, record.admin, record.ejection)
}
