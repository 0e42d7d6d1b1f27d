//! What the operator wrote, as plain data: pools, routes and the rules that steering reads.
//! Policies are already numbers here; the defaults are those of the config. Never holds anything learnt at run time, nor sockets, files or keys.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use crate::{
    client::Affinity,
    damping::DampingRules,
    geo::Geo,
    slot::{PoolSlot, RouteSlot},
};

/// Everything that can be steered to. Names are unique per kind; slots are positions in these lists.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// The pools, in the order of the file.
    pub pools: Vec<Pool>,
    /// The routes, in the order of the file. Matching never depends on that order. Behind them stand the sub-routes of
    /// those with geo rules.
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
    /// The cloud of the region: free text, may be empty.
    pub cloud: Box<str>,
    /// Where the pool is: free text, may be empty.
    pub region: Box<str>,
    /// How the endpoints are probed; without rules they count as Healthy.
    pub probe: Option<ProbeRules>,
    /// The configured endpoints. One with a name may resolve to many addresses.
    pub endpoints: Vec<EndpointSpec>,
    /// Requests in flight per endpoint; 0 = no cap.
    pub max_in_flight: u32,
    /// Requests per second that the pool is meant to take; 0 = not declared.
    pub capacity: u32,
    /// Available share (0–1) under which the pool is below its threshold.
    pub panic_threshold: f64,
    /// When real traffic takes an endpoint out.
    pub eject: EjectRules,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            name: Box::default(),
            cloud: Box::default(),
            region: Box::default(),
            probe: None,
            endpoints: Vec::new(),
            max_in_flight: 0,
            capacity: 0,
            panic_threshold: 0.5,
            eject: EjectRules::default(),
        }
    }
}

/// When real traffic takes an endpoint out, and for how long (CONTRACT `[eject]`).
#[derive(Clone, Debug, PartialEq)]
pub struct EjectRules {
    /// Failures in a row that eject an endpoint; 0 = this rule is off.
    pub consecutive_failures: u32,
    /// Failed part (0–1) of a span that ejects an endpoint; 0 = this rule is off.
    pub failure_ratio: f64,
    /// Fewest requests in such a span; ≥ 1.
    pub min_requests: u32,
    /// Longest span over which the failed part is counted.
    pub window: Duration,
    /// An ejection lasts this long times the number of ejections in a row.
    pub base: Duration,
    /// Longest ejection, before its jitter.
    pub max: Duration,
    /// Part (0–1) of all enabled endpoints of a route that may be out at a time.
    pub max_share: f64,
}

impl EjectRules {
    /// Both rules are off: no endpoint is ejected.
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

/// One configured endpoint: an address, or a name that stands for some addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSpec {
    /// An IP literal (no brackets) or a DNS name.
    pub host: Box<str>,
    /// The port, 1–65535.
    pub port: u16,
    /// Share inside the pool; each resolved address has it. 0 = only when the pool has nothing else.
    pub weight: u32,
    /// Which addresses of a name are endpoints; an IP literal is one in any case.
    pub family: Family,
}

/// The address families of a name that are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Both; one that has never worked does not count while the other has.
    #[default]
    Auto,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl Family {
    /// Whether an address belongs to it.
    #[must_use]
    pub fn accepts(self, ip: IpAddr) -> bool {
        match self {
            Self::Auto => true,
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }
}

/// How an endpoint is probed, as far as health and the gap between probes depend on it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeRules {
    /// Gap between probes while nothing changes.
    pub interval: Duration,
    /// Gap to the next probe while a change is being confirmed.
    pub confirm: Duration,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Successes in a row that make an endpoint Healthy; ≥ 1.
    pub rise: u32,
    /// Failures in a row that make an endpoint Unhealthy; ≥ 1.
    pub fall: u32,
    /// The body of a good answer may ask for a part of the endpoint's share.
    pub weight_from_body: bool,
}

impl ProbeRules {
    /// How long a result counts beside later ones that contradict it.
    #[must_use]
    pub fn window(&self) -> Duration {
        (self.interval * 10).max(self.confirm * 20)
    }
}

impl Default for ProbeRules {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            confirm: Duration::from_millis(100),
            timeout: Duration::from_millis(300),
            rise: 2,
            fall: 2,
            weight_from_body: false,
        }
    }
}

/// Which requests a route takes, by host and path; its pools, and how they share.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The configured name.
    pub name: Box<str>,
    /// The hosts in lower case. A leading `*.` stands for one or more labels; an empty list, for any host.
    pub hosts: Vec<Box<str>>,
    /// The path prefix: starts with `/` and does not end with one, unless it is the root.
    pub path_prefix: Box<str>,
    /// At least one pool, and each pool at most once.
    pub pools: Vec<RoutePool>,
    /// Makes nearness a sieve (policy "latency").
    pub band: Option<Band>,
    /// What a pool may not take goes to the others of its tier by weight (policy "weighted"), else on to the next tier.
    pub share_leftover: bool,
    /// How a pool returns that was left because it was down.
    pub failback: Failback,
    /// When a pool, or an endpoint of it, that flaps is left alone; `None` = never.
    pub damping: Option<DampingRules>,
    /// A pool takes min(1, available share × this) of its share; ≥ 1.
    pub overprovision: f64,
    /// Time limits on the stages of a request.
    pub timeouts: Timeouts,
    /// When another attempt may be made.
    pub retry: RetryRules,
    /// Which clients are served in another order than this route's own (policy "geo").
    pub geo: Option<Geo>,
    /// The requests go to these pools or to none.
    pub residency: bool,
    /// Whose geo rule this sub-route serves; `None` = the operator wrote this route. A sub-route matches no request by
    /// itself.
    pub parent: Option<RouteSlot>,
    /// How clients are kept on their endpoints; `None` = they are not.
    pub affinity: Option<Affinity>,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            name: Box::default(),
            hosts: Vec::new(),
            path_prefix: "/".into(),
            pools: Vec::new(),
            band: None,
            share_leftover: false,
            failback: Failback::default(),
            damping: Some(DampingRules::default()),
            overprovision: 1.4,
            timeouts: Timeouts::default(),
            retry: RetryRules::default(),
            geo: None,
            residency: false,
            parent: None,
            affinity: None,
        }
    }
}

/// How a pool returns to a route that left it because it was down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Failback {
    /// The pool is Up this long without a break before it serves again; zero = at once, `None` = it waits for the
    /// operator (mode `latched`).
    pub hold: Option<Duration>,
    /// Then its share grows from nothing over this long; zero = at once.
    pub ramp: Duration,
    /// An endpoint that was down takes its share of its pool over this long (policy "weighted"); zero = at once.
    pub slow_start: Duration,
}

impl Failback {
    /// A pool returns with its first Up.
    pub const IMMEDIATE: Self =
        Self { hold: Some(Duration::ZERO), ramp: Duration::ZERO, slow_start: Duration::ZERO };

    /// A pool returns when it has been Up this long.
    #[must_use]
    pub const fn after(hold: Duration) -> Self {
        Self { hold: Some(hold), ..Self::IMMEDIATE }
    }

    /// A pool waits for the operator.
    #[must_use]
    pub fn is_latched(&self) -> bool {
        self.hold.is_none()
    }
}

impl Default for Failback {
    fn default() -> Self {
        Self::after(Duration::from_secs(10))
    }
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

impl RoutePool {
    /// A pool of the first tier with weight 1 and the dial fully open.
    #[must_use]
    pub fn new(pool: PoolSlot) -> Self {
        Self { pool, tier: 0, weight: 1, dial: 100 }
    }
}

/// When pools count as equally near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// Within this much of the best pool's latency.
    pub width: Duration,
    /// A pool leaves only when its latency exceeds the band's edge by more than this part (0–1).
    pub hysteresis: f64,
    /// A pool joins or leaves after its latency has said so for this long.
    pub dwell: Duration,
}

impl Default for Band {
    fn default() -> Self {
        Self { width: Duration::from_millis(10), hysteresis: 0.1, dwell: Duration::from_secs(2) }
    }
}

/// Time limits on the stages of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeouts {
    /// For the TCP (and TLS) connection to an endpoint.
    pub connect: Duration,
    /// From the last byte of the request to the first byte of the answer.
    pub first_byte: Duration,
    /// For silence in both directions while bodies or an upgraded stream flow.
    pub idle: Duration,
    /// For all attempts up to the response head, from the end of the request.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(1), first_byte: seconds(15), idle: seconds(60), total: seconds(60) }
    }
}

/// When another attempt may be made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryRules {
    /// Most attempts after the first.
    pub attempts: u32,
    /// Retry when no connection could be made (no byte was sent).
    pub on_connect: bool,
    /// Retry when the connection ended before a byte of the answer.
    pub on_reset: bool,
    /// Retry when the endpoint answered 5xx.
    pub on_5xx: bool,
    /// Retries that are allowed per request of the last 10 s (0–1), besides 10 per second.
    pub budget: f64,
    /// Bytes of an upload that are kept for a replay.
    pub buffer: u64,
    /// A late first byte lets a second request race the first.
    pub hedge: bool,
}

impl Default for RetryRules {
    fn default() -> Self {
        Self {
            attempts: 2,
            on_connect: true,
            on_reset: true,
            on_5xx: true,
            budget: 0.1,
            buffer: 65_536,
            hedge: false,
        }
    }
}
