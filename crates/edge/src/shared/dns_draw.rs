//! Which pools of a route a DNS answer may name: the route's shares, as a request would draw from them. Read by the DNS
//! thread for each answer and by the status. Never looks at a query.
//!
//! # Why not the draw of a request
//!
//! A request asks for one endpoint, now. An answer stands for as long as its TTL says and for all clients of a resolver,
//! so loads, queues, affinity and probation do not count: only the shares do. In panic, health is not believed, and a
//! client that gets several addresses can try them itself: an answer then names every pool.

use std::net::IpAddr;

use thalweg_core::{Location, PoolSlot, Route, RouteSlot, RouteView, Segment, Stage};

use crate::shared::Live;

/// The family of the addresses that a query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressFamily {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

impl AddressFamily {
    /// Whether an address is of this family.
    #[must_use]
    pub const fn holds(self, ip: &IpAddr) -> bool {
        matches!((self, ip), (Self::V4, IpAddr::V4(_)) | (Self::V6, IpAddr::V6(_)))
    }
}

/// A route, or the sub-route that serves a client, as a source of answers.
#[derive(Clone, Copy, Debug)]
pub struct DnsDraw<'a> {
    live: &'a Live,
    route: &'a Route,
    view: &'a RouteView,
}

impl<'a> DnsDraw<'a> {
    /// The route `written`, or the sub-route of it that serves this client; `None` = the snapshot does not have it.
    #[must_use]
    pub fn of(live: &'a Live, written: RouteSlot, client: IpAddr, location: Location) -> Option<Self> {
        let serving = live.snapshot.route(written)?.serving(written, client, location);
        Self::of_route(live, serving)
    }

    /// A route or sub-route.
    #[must_use]
    pub fn of_route(live: &'a Live, slot: RouteSlot) -> Option<Self> {
        Some(Self { live, route: live.snapshot.route(slot)?, view: live.snapshot.routes.get(slot)? })
    }

    /// Whether the route's first probe round has ended. An answer from before would stand for its whole TTL.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.view.first_round_done
    }

    /// Whether an answer names every pool: the route is in panic, or nothing can serve.
    #[must_use]
    pub fn names_all(&self) -> bool {
        self.view.shares.stage == Stage::Panic || self.view.shares.segments.is_empty()
    }

    /// The public addresses of a pool.
    #[must_use]
    pub fn addresses_of(&self, pool: PoolSlot) -> &'a [IpAddr] {
        self.live.wiring.config.pools.get(pool.index()).map(|pool| &*pool.dns).unwrap_or_default()
    }

    /// The pools that serve, each with its part (0–1) of the answers.
    pub fn shares(&self) -> impl Iterator<Item = (PoolSlot, f64)> + '_ {
        #[expect(clippy::cast_precision_loss, reason = "widths stay below 2^33")]
        self.segments().map(|(segment, width)| (segment.pool, width as f64 / (1_u64 << 32) as f64))
    }

    /// The pool whose addresses of a family an answer names: among those that serve and have such, by their shares.
    #[must_use]
    pub fn pool(&self, family: AddressFamily, roll: u64) -> Option<PoolSlot> {
        let has = |segment: &Segment| self.addresses_of(segment.pool).iter().any(|ip| family.holds(ip));
        let whole: u64 = self.segments().filter(|(segment, _)| has(segment)).map(|(_, width)| width).sum();
        // Bits 21–52 of a roll are its point, as for requests.
        let point = (u128::from((roll >> 21) & 0xffff_ffff) * u128::from(whole)) >> 32;
        let mut passed = 0;
        let mut candidates = self.segments().filter(|(segment, _)| has(segment));
        let found = candidates.find(|(_, width)| {
            passed += u128::from(*width);
            point < passed
        });
        found.map(|(segment, _)| segment.pool)
    }

    /// Every pool that an answer in panic names: those with an endpoint that is not taken out, or all.
    pub fn all(&self) -> impl Iterator<Item = PoolSlot> + '_ {
        let enabled =
            |pool: PoolSlot| self.live.snapshot.pools.get(pool).is_some_and(|view| view.enabled > 0);
        let any = self.route.pools.iter().any(|member| enabled(member.pool));
        self.route.pools.iter().map(|member| member.pool).filter(move |pool| !any || enabled(*pool))
    }

    fn segments(&self) -> impl Iterator<Item = (&'a Segment, u64)> + 'a {
        let mut before = 0;
        self.view.shares.segments.iter().map(move |segment| {
            let width = segment.end.saturating_sub(before);
            before = segment.end;
            (segment, width)
        })
    }
}
