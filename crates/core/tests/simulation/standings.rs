//! Which pools a route may use: those that were left and must wait, those that are near, and the first probe round.

use std::net::IpAddr;

use thalweg_core::{Snapshot, Stage, Tick};

use crate::oracle::{Oracle, Verdict, must};

/// A pool that a route has left because it was down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Standing {
    Left,
    Held(Tick),
}

impl Oracle {
    pub(crate) fn judge_held(&mut self, new: &Snapshot, nth: usize, now: Tick) -> Verdict {
        let route = &self.topology.routes[nth];
        let view = &new.routes[nth];
        let has_share = |pool: usize| view.shares.segments.iter().any(|s| s.pool.0 as usize == pool);
        let name = |pool: usize| (route.name.clone(), self.topology.pools[pool].name.clone());
        for member in &route.pools {
            let tally = self.tallies[member.pool];
            let served = self.served.get(nth).is_some_and(|served| served.contains(&member.pool));
            let was = self.standings.remove(&name(member.pool));
            let is = match was {
                None if tally.short && tally.enabled > 0 && served => Some(Standing::Left),
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
            |this: &Self, pool: usize| matches!(this.standings.get(&name(pool)), Some(Standing::Held(_)));
        for (member, memory) in route.pools.iter().zip(&view.pools).filter(|_| self.moved > 1) {
            // Several moved at one instant: what was left, and called in, depends on who came first.
            match (held(self, member.pool), memory.held) {
                (true, false) => _ = self.standings.remove(&name(member.pool)),
                (false, true) => _ = self.standings.insert(name(member.pool), Standing::Held(now)),
                _ => {}
            }
        }
        let is_open = |member: &&thalweg_core::RoutePool| {
            !self.tallies[member.pool].short && member.weight > 0 && !held(self, member.pool)
        };
        if !route.pools.iter().any(|member| is_open(&member)) && view.shares.stage == Stage::Up {
            for member in route.pools.iter().filter(|member| has_share(member.pool)) {
                if held(self, member.pool) {
                    self.standings.remove(&name(member.pool));
                }
            }
        } else if view.shares.stage == Stage::Up {
            let early = route.pools.iter().find(|m| held(self, m.pool) && has_share(m.pool));
            must(early.is_none(), || format!("a held pool serves beside others: {early:?}"))?;
        }
        for (member, memory) in route.pools.iter().zip(&view.pools) {
            let should = held(self, member.pool);
            must(memory.held == should, || format!("pool {} should be held: {should}", member.pool))?;
        }
        let round = self.rounds.contains(&route.name)
            || route.pools.iter().all(|member| {
                let asked = self.topology.pools[member.pool]
                    .endpoints
                    .iter()
                    .all(|spec| spec.host.parse::<IpAddr>().is_ok() || self.names.contains_key(&spec.host));
                let all = self.slots.iter().zip(&self.records);
                asked && all.filter(|((_, at), _)| at.0 == member.pool).all(|(_, record)| record.probed)
            });
        if round {
            self.rounds.insert(route.name.clone());
        }
        let known = &self.topology.routes;
        self.rounds.retain(|name| known.iter().any(|route| route.name == *name));
        must(view.first_round_done == self.rounds.contains(&route.name), || "first round".into())
    }

    /// A pool that is nearer, or farther, than it counts for is so for less than the dwell.
    pub(crate) fn judge_near(&mut self, new: &Snapshot, nth: usize, now: Tick) -> Verdict {
        let route = &self.topology.routes[nth];
        if route.band.is_none() {
            self.wrong.retain(|(of, _), _| *of != route.name);
            return Ok(());
        }
        let members = || route.pools.iter().zip(&new.routes[nth].pools);
        let latency = |member: &thalweg_core::RoutePool, held: bool| {
            let view = new.pools[member.pool];
            let open = !view.short && !held && member.weight > 0 && route.band.is_some();
            view.latency_us.filter(|_| open).map(f64::from)
        };
        for (member, memory) in members() {
            let name = (route.name.clone(), self.topology.pools[member.pool].name.clone());
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
            must(since.after(band.dwell) > now, || format!("pool {}: near {}", member.pool, memory.near))?;
        }
        Ok(())
    }
}
