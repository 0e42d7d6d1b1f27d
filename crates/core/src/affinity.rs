//! Affinity: which endpoint a client belongs to, and which one stands in while that may not serve. A pure function of
//! config, availability and the client, so that all edges answer alike and no edge keeps a table. Never allocates per
//! request.
//!
//! # Why rendezvous hashing and not a ring or a table
//!
//! Each endpoint gets a score from the client's and its own hash, and the highest score wins (Thaler and Ravishankar,
//! "Using Name-Based Mappings to Increase Hit Rates", 1998). If an endpoint goes, only its clients move, and they spread
//! over all others by weight. A ring (ketama) needs hundreds of points per endpoint to come near that, and a wrong weight
//! moves many of them. Maglev's table answers faster, but it is made anew with each change of health, and a rebuilt table
//! moves some clients of endpoints that were not touched. A score costs one logarithm per endpoint: a pool of a hundred
//! is cheaper to score than a request is to parse.
//!
//! Weights enter as −weight ÷ ln(score) ("logarithmic method": Schindelhauer and Schomaker, "Weighted Distributed Hash
//! Tables", 2005): each endpoint wins in proportion to its weight, and a changed weight moves clients to or from that
//! endpoint only.
//!
//! # Why the pool first, and why the home ignores health
//!
//! The shares of a route move for many reasons: a dial, a ramp, a spill, a failover. If clients were hashed over the
//! shares as they are now, each such move would send clients away from endpoints that nothing happened to. So a client's
//! home comes from what the operator wrote: the pool by weight among those of the first tier (or of the near), then the
//! endpoint by weight in it, dead or alive. A client leaves its home for two reasons only: its endpoint may not serve, or
//! its pool takes less than the clients that it has ([`AffinityPool::keeps`]: a dial, a ramp, a hold). Those that leave
//! go to the pools that take more than they have ([`AffinityPool::takes`]), again by score. So the shares stay what the
//! sieves say, with the fewest clients moved.
//!
//! Affinity never overrules the sieves: a pool without a share gets no client, except those bound to an endpoint that
//! drains, which is what a drain is for.

use crate::{
    axes::{Admin, Availability},
    client::{Affinity, Binding, ClientMark, OnFailure},
    draw::{Draw, Requirement, has_room},
    facts::{Decision, Facts, Loads},
    reason::{Reason, Refusal},
    roll::{hash_bytes, mix},
    shares::{Shares, Stage},
    slot::{self, EndpointHash, EndpointSlot, EntrySlot, PoolSlot, RouteSlot, SlotVec},
    snapshot::Snapshot,
    topology::{Route, RoutePool, Topology},
    view::{AffinityPool, PoolView, RoutePoolView, RouteView},
};

/// Where a client belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// The client's number.
    pub client: u64,
    /// The pool that it belongs to.
    pub pool: PoolSlot,
    /// The endpoint; `None` = the pool has none.
    pub endpoint: Option<EndpointSlot>,
}

/// A client's question to a route with affinity.
pub(crate) struct Affine<'a, L> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) loads: &'a L,
    pub(crate) route: RouteSlot,
    pub(crate) view: &'a RouteView,
    pub(crate) facts: &'a Facts<'a>,
}

impl<L: Loads> Affine<'_, L> {
    /// Where the client belongs; `None` = it has no place on this route yet, or the route has no affinity.
    pub(crate) fn home(&self) -> Option<Home> {
        if self.view.affinity.is_empty() {
            return None;
        }
        match (self.rules()?.by, self.facts.bound) {
            (ClientMark::Address, _) => {
                let client = client_of(self.facts.client);
                let homes = self.view.affinity.iter().map(|pool| (pool.pool, pool.hash, pool.home));
                let pool = best(client, homes)?;
                Some(Home { client, pool, endpoint: self.home_in(pool, client) })
            }
            (ClientMark::Cookie, Some(Binding { client, endpoint })) => {
                let slot = bound_endpoint(self.snapshot, self.route, endpoint)?;
                let pool = self.snapshot.layout.endpoints.get(slot)?.pool;
                Some(Home { client, pool, endpoint: Some(slot) })
            }
            (ClientMark::Cookie, None) => None,
        }
    }

    /// Answers a client that belongs to `home`; `None` = affinity does not decide. A retry leaves it.
    pub(crate) fn steer(&self, home: Home) -> Option<Result<Decision, Refusal>> {
        // A pool without endpoints has nothing that a client could belong to.
        let strict = self.rules()?.on_failure == OnFailure::Refuse && home.endpoint.is_some();
        let here = self.at_home(home, strict).or_else(|| if strict { None } else { self.elsewhere(home) });
        match here {
            Some(decision) => Some(Ok(decision)),
            None if strict => Some(Err(self.why_not(home))),
            None => None,
        }
    }

    /// Does the client's own endpoint take it now?
    pub(crate) fn is_kept(&self, home: Home) -> bool {
        self.at_home(home, self.rules().is_some_and(|rules| rules.on_failure == OnFailure::Refuse)).is_some()
    }

    fn rules(&self) -> Option<Affinity> {
        self.snapshot.route(self.route)?.affinity
    }

    /// The client's endpoint in its pool. Endpoints that may not serve keep their clients; those that take less keep
    /// fewer.
    fn home_in(&self, pool: PoolSlot, client: u64) -> Option<EndpointSlot> {
        let draw = &self.draw(pool);
        let weights = |reserve: bool| {
            self.snapshot.endpoints_of(pool).filter_map(move |member| {
                let own = (member.place.weight == 0) == reserve;
                own.then(|| (member.slot, member.place.hash.0, draw.home_weight(&member) as f64))
            })
        };
        best(client, weights(false)).or_else(|| best(client, weights(true)))
    }

    fn at_home(&self, home: Home, strict: bool) -> Option<Decision> {
        if !self.facts.tried.is_empty() {
            return None;
        }
        let (snapshot, endpoint) = (self.snapshot, home.endpoint?);
        let view = snapshot.endpoints.get(endpoint)?;
        let pool = self.view.affinity.iter().find(|pool| pool.pool == home.pool)?;
        let bound = self.rules()?.by == ClientMark::Cookie;
        // An endpoint that drains has no share, and keeps the clients that are known to be its own.
        let drains = (bound || strict) && view.availability == Availability::AffinityOnly;
        let alive = match self.view.shares.stage {
            Stage::Panic => view.admin != Admin::Disabled,
            Stage::Up | Stage::Unproven => view.availability != Availability::Down,
        };
        let start = view.slow_start.map_or(1.0, |start| start.part);
        let part = if bound { pool.keeps * start } else { pool.keeps };
        let stays =
            || chance(home.client, pool.hash) < part && self.draw(home.pool).takes(home.pool, endpoint);
        let cap = snapshot.pool(home.pool).map_or(0, |pool| pool.max_in_flight);
        let free = has_room(snapshot, self.loads, home.pool) && !self.loads.is_full(endpoint, cap);
        (free && (drains || (strict && alive) || stays()))
            .then(|| self.decision(home.pool, endpoint, pool.reason))
    }

    /// The endpoint that stands in: by score among the pools that take clients, and in the pool among those that may
    /// serve.
    fn elsewhere(&self, home: Home) -> Option<Decision> {
        if !self.facts.tried.is_empty() {
            return None;
        }
        let takes = |pool: &&AffinityPool| pool.takes > 0.0 && self.draw(pool.pool).any(pool.pool);
        // Scores of its own: the clients that leave a pool are those with whom that pool has scored high.
        let weights =
            self.view.affinity.iter().filter(takes).map(|pool| (pool.pool, pool.hash ^ STAND_IN, pool.takes));
        let pool = best(home.client, weights)?;
        let endpoint = self.draw(pool).ranked(pool, home.client)?;
        let reason = self.view.affinity.iter().find(|member| member.pool == pool)?.reason;
        Some(self.decision(pool, endpoint, reason))
    }

    /// Why the client's own endpoint does not serve it.
    fn why_not(&self, home: Home) -> Refusal {
        let cap = self.snapshot.pool(home.pool).map_or(0, |pool| pool.max_in_flight);
        let full = home.endpoint.is_some_and(|endpoint| self.loads.is_full(endpoint, cap));
        let busy = full || !has_room(self.snapshot, self.loads, home.pool);
        if busy && self.facts.tried.is_empty() { Refusal::Overloaded } else { Refusal::NoEndpoint }
    }

    fn draw(&self, pool: PoolSlot) -> Draw<'_, L> {
        let need = Requirement::of(self.snapshot, self.view.shares.stage, pool);
        Draw { snapshot: self.snapshot, loads: self.loads, need, tried: self.facts.tried }
    }

    fn decision(&self, pool: PoolSlot, endpoint: EndpointSlot, why: Option<Reason>) -> Decision {
        let panics = self.view.shares.stage == Stage::Panic;
        let why = why.unwrap_or(if panics { Reason::Panic } else { Reason::Affinity });
        // Reasons are listed in their order of precedence.
        let reason = why.min(Reason::Affinity);
        Decision { route: self.route, pool, endpoint, reason }
    }
}

/// The endpoint of a route that has this hash, if the route has it still.
#[must_use]
pub fn bound_endpoint(snapshot: &Snapshot, route: RouteSlot, hash: EndpointHash) -> Option<EndpointSlot> {
    let mut members =
        snapshot.route(route)?.pools.iter().flat_map(|member| snapshot.endpoints_of(member.pool));
    members.find(|member| member.place.hash == hash).map(|member| member.slot)
}

/// The number of a client that is known by its address. Addresses of one IPv6 network of 64 bits are one client: a host
/// changes the rest as it likes (RFC 8981).
fn client_of(address: std::net::IpAddr) -> u64 {
    match address.to_canonical() {
        std::net::IpAddr::V4(ip) => mix(u64::from(ip.to_bits())),
        std::net::IpAddr::V6(ip) => mix(!((ip.to_bits() >> 64) as u64)),
    }
}

/// The one with the highest score for this client, out of (what, hash, weight). Only equal hashes tie, and then the first
/// wins.
pub(crate) fn best<T>(client: u64, of: impl Iterator<Item = (T, u64, f64)>) -> Option<T> {
    let mut best: Option<(f64, T)> = None;
    for (what, hash, weight) in of.filter(|(_, _, weight)| *weight > 0.0) {
        let score = -weight / unit(mix(client ^ hash)).ln();
        if best.as_ref().is_none_or(|(most, _)| score > *most) {
            best = Some((score, what));
        }
    }
    best.map(|(_, what)| what)
}

/// Makes the scores of pools that stand in independent of their scores as homes.
const STAND_IN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A client's place among those that leave a pool: the lower, the longer it stays. It says nothing about its scores.
fn chance(client: u64, pool: u64) -> f64 {
    unit(mix(mix(client) ^ pool.rotate_left(32)))
}

/// A hash as a number between 0 and 1, both excluded.
fn unit(hash: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits")]
    let point = (hash >> 11) as f64 + 0.5;
    point / 9_007_199_254_740_992.0
}

/// A smaller part of the clients counts as none: shares are whole parts of 2³².
const NOTHING: f64 = 1e-6;

/// What affinity reads about a route's pools. The world makes it once per change.
pub(crate) fn affinity_pools(
    route: &Route,
    topology: &Topology,
    remembered: &SlotVec<EntrySlot, RoutePoolView>,
    pools: &SlotVec<PoolSlot, PoolView>,
    shares: &Shares,
) -> Box<[AffinityPool]> {
    if route.affinity.is_none() {
        return Box::default();
    }
    let homes = homes(route, remembered);
    let all: f64 = homes.iter().sum();
    let mut list: Vec<(AffinityPool, f64)> = slot::entries(&route.pools)
        .zip(homes)
        .map(|((entry, member), home)| {
            let home = if all > 0.0 { home / all } else { 0.0 };
            let kept = match shares.stage {
                Stage::Up => pools.get(member.pool).map_or(0.0, |view| view.kept),
                Stage::Unproven | Stage::Panic => 1.0,
            };
            let (share, reason) = share_of(shares, entry);
            let resident = home * kept;
            let keeps = if resident > share { share / resident } else { 1.0 };
            let name = topology.pool(member.pool).map_or("", |pool| &pool.name);
            let pool = AffinityPool {
                pool: member.pool,
                hash: hash_bytes(&[name.as_bytes()]),
                home,
                keeps: if reason.is_some() { keeps } else { 0.0 },
                takes: (share - resident).max(0.0),
                reason,
            };
            (pool, share)
        })
        .collect();
    // No pool has room for more clients than it has: those that must leave their endpoint go by the shares.
    if list.iter().map(|(pool, _)| pool.takes).sum::<f64>() < NOTHING {
        list.iter_mut().for_each(|(pool, share)| pool.takes = *share);
    }
    list.into_iter().map(|(pool, _)| pool).collect()
}

/// Which part of the clients belongs to each pool: by weight over the first tier, and there over the near ones.
fn homes(route: &Route, remembered: &SlotVec<EntrySlot, RoutePoolView>) -> Vec<f64> {
    let reserve = route.pools.iter().all(|member| member.weight == 0);
    let in_use = |member: &RoutePool| reserve || member.weight > 0;
    let first = route.pools.iter().filter(|member| in_use(member)).map(|member| member.tier).min();
    let is_near = |entry: EntrySlot| remembered.get(entry).is_some_and(|memory| memory.near);
    let of_first = |member: &RoutePool| in_use(member) && Some(member.tier) == first;
    let any_near = route.band.is_some()
        && slot::entries(&route.pools).any(|(entry, member)| of_first(member) && is_near(entry));
    let home = |(entry, member): (EntrySlot, &RoutePool)| {
        let chosen = of_first(member) && (!any_near || is_near(entry));
        if chosen { f64::from(member.weight.max(1)) } else { 0.0 }
    };
    slot::entries(&route.pools).map(home).collect()
}

/// The part of the traffic that an entry of the route takes, and why.
fn share_of(shares: &Shares, entry: EntrySlot) -> (f64, Option<Reason>) {
    let (mut from, mut width, mut reason) = (0, 0, None);
    for segment in &shares.segments {
        if segment.entry == entry {
            width += segment.end - from;
            reason = reason.or(Some(segment.reason));
        }
        from = segment.end;
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 2^32")]
    let share = width as f64 / 4_294_967_296.0;
    (share, reason)
}

#[cfg(test)]
mod tests;
