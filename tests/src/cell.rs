//! One experiment: its proxy and regions, the faults and their times, and its goals. Plain data; `table` is the list.

use crate::{goal::Goal, mood::Mood};

/// The policy, as the config names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// In order.
    Failover,
    /// Equal shares.
    Weighted,
    /// The nearest.
    Latency,
}

impl Policy {
    /// As the config spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Weighted => "weighted",
            Self::Latency => "latency",
        }
    }
}

/// The protocol of the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// HTTP/1.1 without TLS.
    H1,
    /// HTTP/2 over TLS.
    H2,
}

/// The state before any fault: three regions, an edge, load.
#[derive(Clone, Debug)]
pub struct Scene {
    /// How the edge steers.
    pub policy: Policy,
    /// The protocol of the clients.
    pub wire: Wire,
    /// Requests per second.
    pub rate: f64,
    /// The share of POSTs among the requests.
    pub posts: f64,
    /// Bytes of each answer, and of each POST; 0 = small.
    pub body: usize,
    /// Endpoints in each region.
    pub endpoints: usize,
    /// Round trip to each region.
    pub distances_ms: [u64; 3],
    /// Whether slow requests are sent twice.
    pub hedge: bool,
    /// How long a returning region must be up before it serves.
    pub hold_s: u64,
    /// Over how many seconds the share of a returning region then grows; 0 = at once.
    pub ramp_s: u64,
    /// Lines in each pool.
    pub pool: &'static str,
    /// Whether each region has a network namespace, where packets can be dropped.
    pub apart: bool,
    /// The first region is a name, with a spare site that the name can move to.
    pub named: bool,
}

impl Scene {
    /// 500/s, a fifth of them POSTs, one endpoint per region, all equally near, no hedges.
    pub fn new(policy: Policy, wire: Wire) -> Self {
        let distances_ms = if policy == Policy::Latency { [2, 22, 42] } else { [0, 0, 0] };
        Self {
            policy,
            wire,
            rate: 500.0,
            posts: 0.2,
            body: 0,
            endpoints: 1,
            distances_ms,
            hedge: false,
            hold_s: 2,
            ramp_s: 0,
            pool: "",
            apart: false,
            named: false,
        }
    }

    /// How long a return may take after the hold of ten seconds; weighted pools return at once.
    pub fn hold_ms(&self) -> u64 {
        if self.policy == Policy::Weighted { 0 } else { self.hold_s * 1000 }
    }
}

/// Something that happens to a site, named by its number: region by region, the spare last.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// `kill -9`.
    Kill(usize),
    /// `kill -9` of the site that answers most requests at that moment.
    KillCarrier,
    /// The region that was killed last starts again on the same address.
    ReviveKilled,
    /// The region starts again on the same address.
    Revive(usize),
    /// The region gets SIGTERM.
    Terminate(usize),
    /// The region gets SIGSTOP.
    Freeze(usize),
    /// The region gets SIGCONT.
    Thaw(usize),
    /// Packets to the site are dropped (true), or pass again.
    CutOff(usize, bool),
    /// The site behaves like this from now on.
    Tell(usize, Mood),
    /// The name of the first region resolves to this site from now on.
    Resolve(usize),
}

/// One experiment.
#[derive(Clone, Debug)]
pub struct Cell {
    /// `FAULT/POLICY/WIRE`, the key everywhere.
    pub name: String,
    /// The scene.
    pub scene: Scene,
    /// The faults and their times (milliseconds from the start of the load), in order.
    pub script: Vec<(u64, Act)>,
    /// When the load ends.
    pub end_ms: u64,
    /// The goals, in addition to the invariants.
    pub goals: Vec<Goal>,
}

impl Cell {
    /// The fault, which is the first part of the name.
    pub fn fault(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }
}
