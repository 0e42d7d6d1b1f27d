//! What the operator wrote, as plain data: pools, routes and the rules that steering reads.
//! Policies are already numbers here. Never holds anything learnt at run time, nor sockets, files or keys.

use std::{collections::BTreeSet, time::Duration};

use crate::slot::{PoolSlot, RouteSlot};

/// Everything that can be steered to. Names are unique per kind; indices below refer into these lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// In the order of the file.
    pub pools: Vec<Pool>,
    /// In the order of the file; matching never depends on it.
    pub routes: Vec<Route>,
}

impl Topology {
    /// The pool in a slot.
    #[must_use]
    pub fn pool(&self, slot: PoolSlot) -> Option<&Pool> {
        self.pools.get(slot.index())
    }

    /// The time in which the probes find every endpoint that fails: the slowest pool's.
    pub(crate) fn probe_round(&self) -> Duration {
        let round =
            |rules: &ProbeRules| rules.interval * 11 / 10 + (rules.timeout + rules.confirm) * rules.fall;
        self.pools.iter().filter_map(|pool| pool.probe.as_ref()).map(round).max().unwrap_or_default()
    }

    /// Every host as written: addresses and names.
    pub(crate) fn hosts(&self) -> BTreeSet<&str> {
        self.pools.iter().flat_map(|pool| &pool.endpoints).map(|spec| &*spec.host).collect()
    }

    /// The route in a slot.
    #[must_use]
    pub fn route(&self, slot: RouteSlot) -> Option<&Route> {
        self.routes.get(slot.index())
    }
}

/// Interchangeable endpoints in one region of one cloud.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// The configured name.
    pub name: Box<str>,
    /// Free text, may be empty.
    pub cloud: Box<str>,
    /// Free text, may be empty.
    pub region: Box<str>,
    /// How its endpoints are probed; `None` means that they count as Healthy.
    pub probe: Option<ProbeRules>,
    /// What was configured; one entry with a name may resolve to many addresses.
    pub endpoints: Vec<EndpointSpec>,
    /// Requests in flight per endpoint; 0 = no cap.
    pub max_in_flight: u32,
    /// Available share (0–1) under which this pool is short.
    pub panic_threshold: f64,
    /// When real traffic takes an endpoint out.
    pub eject: EjectRules,
}

/// When real traffic takes an endpoint out, and for how long (CONTRACT `[eject]`).
#[derive(Clone, Debug, PartialEq)]
pub struct EjectRules {
    /// Failures in a row that convict; 0 = none do.
    pub consecutive_failures: u32,
    /// Failed part (0–1) of a span that convicts; 0 = none does.
    pub failure_ratio: f64,
    /// Requests that such a span must hold; ≥ 1.
    pub min_requests: u32,
    /// Longest span that is looked at.
    pub window: Duration,
    /// Times the number of convictions is how long an ejection lasts.
    pub base: Duration,
    /// Longest ejection, before its jitter.
    pub max: Duration,
    /// Part (0–1) of all enabled endpoints of a route that may be out at a time.
    pub max_share: f64,
}

impl EjectRules {
    /// They convict nobody.
    #[must_use]
    pub fn are_off(&self) -> bool {
        self.consecutive_failures == 0 && self.failure_ratio == 0.0
    }
}

impl Default for EjectRules {
    fn default() -> Self {
        Self {
            consecutive_failures: 3,
            failure_ratio: 0.2,
            min_requests: 10,
            window: Duration::from_secs(10),
            base: Duration::from_secs(2),
            max: Duration::from_secs(60),
            max_share: 0.5,
        }
    }
}

/// One configured endpoint: an address, or a name that resolves to some.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSpec {
    /// An IP literal (no brackets) or a DNS name.
    pub host: Box<str>,
    /// 1–65535.
    pub port: u16,
    /// Share inside the pool; each resolved address has it. 0 = only when the pool has nothing else.
    pub weight: u32,
}

/// The part of a probe's plan that the health state machine and the probe's clock read.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeRules {
    /// Gap between probes while steady.
    pub interval: Duration,
    /// Gap to the next probe while a change is being confirmed.
    pub confirm: Duration,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Successes in a row that make an endpoint Healthy; ≥ 1.
    pub rise: u32,
    /// Failures in a row that make an endpoint Unhealthy; ≥ 1.
    pub fall: u32,
}

/// Host + path → pools, and how they share.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The configured name.
    pub name: Box<str>,
    /// Lower case; `*.` in front = one or more labels; empty list = any host.
    pub hosts: Vec<Box<str>>,
    /// Starts with `/`, no trailing `/` unless it is the root.
    pub path_prefix: Box<str>,
    /// The pools, each at most once, at least one.
    pub pools: Vec<RoutePool>,
    /// `Some` makes nearness a sieve (policy "latency").
    pub band: Option<Band>,
    /// What a pool may not take goes to the others of its tier by weight (policy "weighted"), else onwards.
    pub share_leftover: bool,
    /// The return of a pool that was left because it was down waits this long; zero = at once.
    pub failback_hold: Duration,
    /// A pool takes min(1, available share × this) of its share; ≥ 1.
    pub overprovision: f64,
    /// Bounds on each stage of a request.
    pub timeouts: Timeouts,
    /// When another attempt may be made.
    pub retry: RetryRules,
}

/// A pool as one route uses it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoutePool {
    /// Which pool.
    pub pool: PoolSlot,
    /// Failover rank; lower first.
    pub tier: u32,
    /// Share among the pools of its tier; 0 = only when nothing else is left.
    pub weight: u32,
    /// Percent of its share that the pool may take, 0–100.
    pub dial: u8,
}

/// When pools count as equally near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// Within this much of the best pool's latency.
    pub width: Duration,
    /// How much better (0–1) a change must be to be made.
    pub hysteresis: f64,
    /// How long a change must hold before it is made.
    pub dwell: Duration,
}

/// Bounds on a request's stages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeouts {
    /// TCP (and TLS) connection to an endpoint.
    pub connect: Duration,
    /// From the request's last byte sent to the first byte of the answer.
    pub first_byte: Duration,
    /// Silence in both directions while bodies or an upgraded stream flow.
    pub idle: Duration,
    /// All attempts up to the response head, from the end of the request.
    pub total: Duration,
}

/// When another attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryRules {
    /// Tries after the first.
    pub attempts: u32,
    /// Retry when no connection could be made (no byte was sent).
    pub on_connect: bool,
    /// Retry when the connection ended before a byte of the answer.
    pub on_reset: bool,
    /// Retry when the endpoint answered 5xx.
    pub on_5xx: bool,
    /// Retries ÷ requests of the last 10 s that are allowed, 0–1, besides 10 per second.
    pub budget: f64,
    /// Bytes of an upload that are kept for a replay.
    pub buffer: u64,
    /// A late first byte lets a second request race the first.
    pub hedge: bool,
}
