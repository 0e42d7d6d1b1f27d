//! Which pools a route may use: those that were left and must wait, those that are near, and the first probe round.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use thalweg_core::{
    Action, Order, PoolSlot, Route, RoutePool, RoutePoolView, Snapshot, Stage, Tick, Topology,
};

use crate::{
    flaps::Used,
    oracle::Oracle,
    records::{Checked, ExpectedPool, ExpectedStanding, must},
};

/// Until when a pool is damped on a route of this snapshot.
fn damped_until(snapshot: Option<&Snapshot>, nth: usize, pool: PoolSlot) -> Option<Tick> {
    let route = snapshot?.layout.topology.routes.get(nth)?;
    let mut members = route.pools.iter().zip(&snapshot?.routes[nth].pools);
    members.find(|(member, _)| member.pool == pool)?.1.damped_until
}

/// What a pool's health makes of its standing on a route.
fn moved_by_health(
    was: Option<ExpectedStanding>,
    tally: &ExpectedPool,
    (served, latched): (bool, bool),
    now: Tick,
) -> Option<ExpectedStanding> {
    use ExpectedStanding as Standing;
    let down = tally.below_threshold;
    let refuted = down && tally.enabled > tally.unproven;
    match was {
        None | Some(Standing::Ramping(_)) if refuted && served => Some(Standing::Left),
        None | Some(Standing::Ramping(_)) if down && tally.enabled > 0 && served => Some(Standing::Unproven),
        Some(Standing::Unproven) if !down || tally.enabled == 0 => None,
        Some(Standing::Unproven) if tally.unproven == 0 => Some(Standing::Left),
        Some(Standing::Held(_)) if refuted || (down && !latched) => Some(Standing::Left),
        Some(Standing::Left) if !down => Some(Standing::Held(now)),
        same => same,
    }
}

impl Oracle {
    /// Checks which pools of a route are held.
    pub(crate) fn judge_held(&mut self, new: &Snapshot, nth: usize, now: Tick) -> Checked {
        let route = &self.topology.routes[nth];
        let view = &new.routes[nth];
        let has_share = |pool: PoolSlot| view.shares.segments.iter().any(|s| s.pool == pool);
        let name = |pool: PoolSlot| (route.name.clone(), self.topology.pools[pool.index()].name.clone());
        let (latched, ramp) = (route.failback.hold.is_none(), route.failback.ramp);
        let frozen = self.frozen.get(&route.name).copied();
        let damped = self.damped_pools(new, nth, now);
        for member in &route.pools {
            let tally = self.tallies[member.pool.index()];
            let served = self.served.get(nth).is_some_and(|served| served.contains(&member.pool));
            let was = self.standings.remove(&name(member.pool));
            let is = moved_by_health(was, &tally, (served, latched), now);
            let is = match (is, route.failback.hold) {
                (Some(ExpectedStanding::Held(since)), Some(hold))
                    if since.after(hold) <= now && frozen.is_none() && !damped.contains(&member.pool) =>
                {
                    (!ramp.is_zero()).then_some(ExpectedStanding::Ramping(now))
                }
                (Some(ExpectedStanding::Ramping(since)), _)
                    if ramp.is_zero() || since.after(ramp) <= frozen.unwrap_or(now) =>
                {
                    None
                }
                _ => is,
            };
            if let Some(standing) = is {
                self.standings.insert(name(member.pool), standing);
            }
        }
        let held = |this: &Self, pool: PoolSlot| {
            matches!(this.standings.get(&name(pool)), Some(ExpectedStanding::Held(_)))
        };
        for (member, memory) in route.pools.iter().zip(&view.pools).filter(|_| self.moved > 1) {
            // Several pools moved at one instant: which were left, and which returned early, depends on their order.
            match (held(self, member.pool), memory.held) {
                (true, false) => _ = self.standings.remove(&name(member.pool)),
                (false, true) => _ = self.standings.insert(name(member.pool), ExpectedStanding::Held(now)),
                _ => {}
            }
        }
        if view.shares.stage == Stage::Up {
            let held_back = |this: &Self, pool: PoolSlot| {
                held(this, pool) || damped_until(Some(new), nth, pool).is_some()
            };
            let waits = |member: &RoutePool| held_back(self, member.pool) && self.must_wait(new, nth, member);
            let early = route.pools.iter().find(|member| waits(member) && has_share(member.pool));
            must(early.is_none(), || format!("a held pool serves beside others: {early:?}"))?;
            for member in route.pools.iter().filter(|member| has_share(member.pool)) {
                if held(self, member.pool) && !(latched && self.is_another_unproven(new, nth, member.pool)) {
                    self.standings.remove(&name(member.pool));
                }
            }
            // A latched pool that serves until the others are proven waits all the same.
            let serves = route.pools.iter().filter(|member| has_share(member.pool));
            let taken = self.open(new, nth).chain(serves).any(|member| member.dial == 100);
            let left_out = |member: &&RoutePool| {
                let up = !self.tallies[member.pool.index()].below_threshold;
                let wanted = up && member.weight > 0 && member.dial > 0 && held_back(self, member.pool);
                wanted && !has_share(member.pool) && !taken
            };
            let idle = route.pools.iter().find(left_out);
            must(idle.is_none(), || format!("held, though no pool takes all: {idle:?}"))?;
        }
        for (member, memory) in route.pools.iter().zip(&view.pools) {
            let should = held(self, member.pool);
            must(memory.held == should, || format!("{:?} should be held: {should}", member.pool))?;
        }
        self.judge_ramps(new, nth, now)
    }

    /// Another pool of route `nth` is not known yet, so that it is not known to be missing.
    fn is_another_unproven(&self, new: &Snapshot, nth: usize, but: PoolSlot) -> bool {
        let others = self.topology.routes[nth].pools.iter().filter(|member| member.pool != but);
        others.map(|member| &new.pools[member.pool.index()]).any(|pool| pool.unproven > 0)
    }

    /// The pools of route `nth` that flapped too often, before the change at `now` or after it.
    ///
    /// What serves for want of others was damped until then.
    fn damped_pools(&self, new: &Snapshot, nth: usize, now: Tick) -> BTreeSet<PoolSlot> {
        let old = self.last.as_ref().filter(|last| Arc::ptr_eq(&last.layout, &new.layout));
        let damped = |pool: PoolSlot| {
            damped_until(old, nth, pool).is_some_and(|until| until > now)
                || damped_until(Some(new), nth, pool).is_some()
        };
        self.topology.routes[nth]
            .pools
            .iter()
            .map(|member| member.pool)
            .filter(|pool| damped(*pool))
            .collect()
    }

    /// Checks that growing shares grow as their line does, and that no other pool is on a ramp.
    fn judge_ramps(&mut self, new: &Snapshot, nth: usize, now: Tick) -> Checked {
        let route = &self.topology.routes[nth];
        let view = &new.routes[nth];
        let clock = self.frozen.get(&route.name).copied().unwrap_or(now);
        for (member, memory) in route.pools.iter().zip(&view.pools) {
            let key = (route.name.clone(), self.topology.pools[member.pool.index()].name.clone());
            let alone = view.shares.stage == Stage::Up
                && !view.shares.segments.is_empty()
                && view.shares.segments.iter().all(|segment| segment.pool == member.pool);
            let since = match self.standings.get(&key) {
                Some(ExpectedStanding::Ramping(since)) => Some(*since),
                _ => None,
            };
            // Whether a reload, or the want of others after it, ended a damping is not told.
            let loose = self.moved > 1 || self.was_damped(&key, now);
            match (since, memory.ramp) {
                (Some(_), None) if alone || loose => _ = self.standings.remove(&key),
                (None, Some(_)) if loose => {
                    self.standings.insert(key, ExpectedStanding::Ramping(now));
                }
                (None, None) => {}
                (Some(since), Some(ramp)) => {
                    let over = route.failback.ramp.as_secs_f64();
                    let line = clock.since(since).as_secs_f64() / over;
                    let step = (0.05 / over).clamp(0.01, 1.0);
                    must((ramp.part - line).abs() <= step, || format!("{ramp:?} instead of {line}"))?;
                    must(!alone, || "a ramp goes on though the pool serves alone".into())?;
                    self.judge_cap(new, nth, member, ramp.part)?;
                }
                other => return Err(format!("{:?}: the ramp should be {other:?}", member.pool)),
            }
        }
        Ok(())
    }

    /// The pool was damped on the route before the last event, and its time was not over.
    fn was_damped(&self, (route, pool): &Used, now: Tick) -> bool {
        let Some(last) = &self.last else { return false };
        let topology = &last.layout.topology;
        let routes = topology.routes.iter().zip(&last.routes).filter(|(known, _)| known.name == *route);
        routes.flat_map(|(known, view)| known.pools.iter().zip(&view.pools)).any(|(member, memory)| {
            let same = topology.pool(member.pool).is_some_and(|known| known.name == *pool);
            same && memory.damped_until.is_some_and(|until| until > now)
        })
    }

    /// A pool on a ramp takes no more than the ramp allows while the pools behind it may take all the rest.
    fn judge_cap(&self, new: &Snapshot, nth: usize, ramping: &RoutePool, part: f64) -> Checked {
        let route = &self.topology.routes[nth];
        let shares = &new.routes[nth].shares;
        let unhurt = |other: &RoutePool| {
            let view = new.pools[other.pool.index()];
            view.takes(route.overprovision) >= 1.0 && new.routes[nth].pools.len() > 1
        };
        let ramps = |pool: PoolSlot| {
            let members = route.pools.iter().zip(&new.routes[nth].pools);
            members.clone().any(|(member, memory)| member.pool == pool && memory.ramp.is_some())
        };
        let behind = |other: &&RoutePool| other.tier > ramping.tier && other.dial == 100 && unhurt(other);
        let takes_rest = self.open(new, nth).any(|other| behind(&other) && !ramps(other.pool));
        if shares.stage != Stage::Up || route.share_leftover || !takes_rest {
            return Ok(());
        }
        let mut from = 0;
        let mut share = 0.0;
        for segment in &shares.segments {
            share += if segment.pool == ramping.pool {
                (segment.end - from) as f64 / 4_294_967_296.0
            } else {
                0.0
            };
            from = segment.end;
        }
        must(share <= part + 1e-6, || format!("{share} of the traffic on a ramp at {part}"))
    }

    /// A reload keeps waits and ramps, and what a latched route has left.
    pub(crate) fn carry_standings(&mut self, topology: &Topology) {
        self.standings.retain(|(route, pool), standing| {
            let route = topology.routes.iter().find(|now| now.name == *route);
            let used = |route: &Route| {
                route.pools.iter().any(|member| topology.pools[member.pool.index()].name == *pool)
            };
            let stays = |route: &Route| match standing {
                ExpectedStanding::Held(_) | ExpectedStanding::Ramping(_) => true,
                ExpectedStanding::Left => route.failback.hold.is_none(),
                ExpectedStanding::Unproven => false,
            };
            route.is_some_and(|route| used(route) && stays(route))
        });
        self.frozen.retain(|name, _| topology.routes.iter().any(|route| route.name == *name));
    }

    /// The operator ends the waits of a route.
    pub(crate) fn end_waits(&mut self, route: &str, now: Tick) {
        let Some(ramp) = self.topology.routes.iter().find(|known| *known.name == *route) else { return };
        let ramp = !ramp.failback.ramp.is_zero();
        self.standings.retain(|(name, _), standing| {
            if **name == *route && matches!(standing, ExpectedStanding::Held(_)) {
                *standing = ExpectedStanding::Ramping(now);
                return ramp;
            }
            true
        });
    }

    /// Freezes the routes that an order freezes, and lets the others go on: ramps grow from where they stood.
    pub(crate) fn freeze_routes(&mut self, now: Tick) {
        let config = Arc::clone(&self.configured);
        for route in config.routes.iter().map(|route| &route.name) {
            let freezes = |order: &Order| match &order.action {
                Action::Freeze { route: on } => on.as_ref().is_none_or(|on| on == route),
                _ => false,
            };
            if self.orders.iter().any(freezes) {
                self.frozen.entry(route.clone()).or_insert(now);
            } else if let Some(from) = self.frozen.remove(route) {
                for ((name, _), standing) in &mut self.standings {
                    if let (true, ExpectedStanding::Ramping(since)) = (name == route, standing) {
                        *since = since.after(now.since(from.max(*since)));
                    }
                }
            }
        }
    }

    /// Checks whether the first probe round of a route has ended, and that the world says so.
    pub(crate) fn judge_round(&mut self, new: &Snapshot, nth: usize) -> Checked {
        let route = &self.topology.routes[nth];
        let round = self.rounds.contains(&route.name)
            || route.pools.iter().all(|member| {
                let asked = self.topology.pools[member.pool.index()]
                    .endpoints
                    .iter()
                    .all(|spec| spec.host.parse::<IpAddr>().is_ok() || self.names.contains_key(&spec.host));
                let all = self.slots.iter().zip(&self.records);
                asked
                    && all.filter(|((_, at), _)| at.0 == member.pool.index()).all(|(_, record)| record.probed)
            });
        if round {
            self.rounds.insert(route.name.clone());
        }
        let known = &self.topology.routes;
        self.rounds.retain(|name| known.iter().any(|route| route.name == *name));
        must(new.routes[nth].first_round_done == self.rounds.contains(&route.name), || "first round".into())
    }

    /// The pools of a route that are open: above their threshold, no reserve, not held.
    fn open(&self, new: &Snapshot, nth: usize) -> impl Iterator<Item = &RoutePool> {
        let route = &self.topology.routes[nth];
        route.pools.iter().filter(move |member| {
            let key = (route.name.clone(), self.topology.pools[member.pool.index()].name.clone());
            let held = matches!(self.standings.get(&key), Some(ExpectedStanding::Held(_)));
            let damped = damped_until(Some(new), nth, member.pool).is_some();
            !self.tallies[member.pool.index()].below_threshold && member.weight > 0 && !held && !damped
        })
    }

    fn must_wait(&self, new: &Snapshot, nth: usize, held: &RoutePool) -> bool {
        self.open(new, nth).any(|other| self.stands_in(new, nth, held, other))
    }

    /// A hold is for a return to a better place: meanwhile another pool serves, which is no better placed and may take
    /// everything. For a held pool that is dialled to zero, any other pool will do.
    pub(crate) fn stands_in(&self, new: &Snapshot, nth: usize, held: &RoutePool, other: &RoutePool) -> bool {
        let latency = |member: &RoutePool| {
            new.pools[member.pool.index()].latency_us.map_or(u64::from(u32::MAX), u64::from)
        };
        let better = match self.topology.routes[nth].band {
            _ if other.tier != held.tier => other.tier < held.tier,
            Some(band) => latency(other) + (band.width.as_micros() as u64) < latency(held),
            None => false,
        };
        held.dial == 0 || (other.dial == 100 && !better)
    }

    /// A pool that is nearer, or farther, than it counts for is so for less than the dwell.
    pub(crate) fn judge_near(&mut self, new: &Snapshot, nth: usize, now: Tick) -> Checked {
        let route = &self.topology.routes[nth];
        if route.band.is_none() || self.frozen.contains_key(&route.name) {
            self.wrong.retain(|(of, _), _| *of != route.name);
            return Ok(());
        }
        let members = || route.pools.iter().zip(&new.routes[nth].pools);
        let waits = |memory: &RoutePoolView| memory.held || memory.damped_until.is_some();
        let latency = |member: &RoutePool, held: bool| {
            let view = new.pools[member.pool.index()];
            let open = !view.below_threshold && !held && member.weight > 0 && route.band.is_some();
            view.latency_us.filter(|_| open).map(f64::from)
        };
        for (member, memory) in members() {
            let name = (route.name.clone(), self.topology.pools[member.pool.index()].name.clone());
            let peers = members().filter(|(peer, _)| peer.tier == member.tier);
            let best = peers.filter_map(|(peer, memory)| latency(peer, waits(memory))).min_by(f64::total_cmp);
            let (Some(band), Some(own), Some(best)) = (route.band, latency(member, waits(memory)), best)
            else {
                self.wrong.remove(&name);
                continue;
            };
            let limit = best + band.width.as_micros() as f64;
            let wrong = if memory.near { own > limit * (1.0 + band.hysteresis) } else { own <= limit };
            if !wrong {
                self.wrong.remove(&name);
                continue;
            }
            // One tick may end a dispute and begin the opposite one.
            let entry = self.wrong.entry(name).or_insert((now, memory.near));
            if entry.1 != memory.near {
                *entry = (now, memory.near);
            }
            let since = entry.0;
            must(since.after(band.dwell) > now, || format!("{:?}: near {}", member.pool, memory.near))?;
        }
        Ok(())
    }
}
