//! Which pools a route may use: those that were left and must wait, those that are near, and the first probe round.

use std::net::IpAddr;

use thalweg_core::{PoolSlot, RoutePool, Snapshot, Stage, Tick};

use crate::{
    oracle::Oracle,
    records::{Standing, Verdict, must},
};

impl Oracle {
    pub(crate) fn judge_held(&mut self, new: &Snapshot, nth: usize, now: Tick) -> Verdict {
        let route = &self.topology.routes[nth];
        let view = &new.routes[nth];
        let has_share = |pool: PoolSlot| view.shares.segments.iter().any(|s| s.pool == pool);
        let name = |pool: PoolSlot| (route.name.clone(), self.topology.pools[pool.index()].name.clone());
        for member in &route.pools {
            let tally = self.tallies[member.pool.index()];
            let served = self.served.get(nth).is_some_and(|served| served.contains(&member.pool));
            let was = self.standings.remove(&name(member.pool));
            let is = match was {
                None if tally.short && tally.enabled > tally.unproven && served => Some(Standing::Left),
                None if tally.short && tally.enabled > 0 && served => Some(Standing::Unproven),
                Some(Standing::Unproven) if !tally.short || tally.enabled == 0 => None,
                Some(Standing::Unproven) if tally.unproven == 0 => Some(Standing::Left),
                Some(Standing::Held(_)) if tally.short => Some(Standing::Left),
                Some(Standing::Left) if !tally.short => Some(Standing::Held(now)),
                same => same,
            };
            match is {
                Some(Standing::Held(since)) if since.after(route.failback_hold) <= now => {}
                Some(standing) => _ = self.standings.insert(name(member.pool), standing),
                None => {}
            }
        }
        let held =
            |this: &Self, pool: PoolSlot| matches!(this.standings.get(&name(pool)), Some(Standing::Held(_)));
        for (member, memory) in route.pools.iter().zip(&view.pools).filter(|_| self.moved > 1) {
            // Several moved at one instant: what was left, and called in, depends on who came first.
            match (held(self, member.pool), memory.held) {
                (true, false) => _ = self.standings.remove(&name(member.pool)),
                (false, true) => _ = self.standings.insert(name(member.pool), Standing::Held(now)),
                _ => {}
            }
        }
        if view.shares.stage == Stage::Up {
            let waits = |member: &RoutePool| held(self, member.pool) && self.must_wait(new, nth, member);
            let early = route.pools.iter().find(|member| waits(member) && has_share(member.pool));
            must(early.is_none(), || format!("a held pool serves beside others: {early:?}"))?;
            for member in route.pools.iter().filter(|member| has_share(member.pool)) {
                if held(self, member.pool) {
                    self.standings.remove(&name(member.pool));
                }
            }
            let left_out = |member: &&RoutePool| {
                let wanted = member.weight > 0 && member.dial > 0 && held(self, member.pool);
                wanted && !self.open(nth).any(|other| other.dial == 100)
            };
            let idle = route.pools.iter().find(left_out);
            must(idle.is_none(), || format!("held, though nobody takes all: {idle:?}"))?;
        }
        for (member, memory) in route.pools.iter().zip(&view.pools) {
            let should = held(self, member.pool);
            must(memory.held == should, || format!("{:?} should be held: {should}", member.pool))?;
        }
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
        must(view.first_round_done == self.rounds.contains(&route.name), || "first round".into())
    }

    /// The pools of a route that are there: not short, no reserve, not held.
    fn open(&self, nth: usize) -> impl Iterator<Item = &RoutePool> {
        let route = &self.topology.routes[nth];
        route.pools.iter().filter(|member| {
            let key = (route.name.clone(), self.topology.pools[member.pool.index()].name.clone());
            let held = matches!(self.standings.get(&key), Some(Standing::Held(_)));
            !self.tallies[member.pool.index()].short && member.weight > 0 && !held
        })
    }

    fn must_wait(&self, new: &Snapshot, nth: usize, held: &RoutePool) -> bool {
        self.open(nth).any(|other| self.stands_in(new, nth, held, other))
    }

    /// A hold is for a return to a better place: somebody who is no better placed, and whom the operator lets take
    /// everything, serves meanwhile. Whom the operator gives nothing has nothing to hurry for: anybody will do.
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
    pub(crate) fn judge_near(&mut self, new: &Snapshot, nth: usize, now: Tick) -> Verdict {
        let route = &self.topology.routes[nth];
        if route.band.is_none() {
            self.wrong.retain(|(of, _), _| *of != route.name);
            return Ok(());
        }
        let members = || route.pools.iter().zip(&new.routes[nth].pools);
        let latency = |member: &RoutePool, held: bool| {
            let view = new.pools[member.pool.index()];
            let open = !view.short && !held && member.weight > 0 && route.band.is_some();
            view.latency_us.filter(|_| open).map(f64::from)
        };
        for (member, memory) in members() {
            let name = (route.name.clone(), self.topology.pools[member.pool.index()].name.clone());
            let peers = members().filter(|(peer, _)| peer.tier == member.tier);
            let best = peers.filter_map(|(peer, memory)| latency(peer, memory.held)).min_by(f64::total_cmp);
            let (Some(band), Some(own), Some(best)) = (route.band, latency(member, memory.held), best) else {
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
