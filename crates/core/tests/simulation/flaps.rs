//! Pools and endpoints that flap must be damped, and no others. The reported losses are a lower bound of those that
//! count: the fall of a pool that waits is not reported.

use std::time::Duration;

use thalweg_core::{Change, DampingRules, Event, Snapshot, Stage, Tick};

use crate::{
    oracle::Oracle,
    records::{Checked, must},
};

/// A pool on a route, by name.
pub(crate) type Used = (Box<str>, Box<str>);

impl Oracle {
    /// Takes in the losses that the world tells. Says which pools have begun to be damped.
    pub(crate) fn hear_losses(&mut self, event: &Event, log: &[Change], now: Tick) -> Checked {
        match event {
            Event::Adopted { .. } => self.losses.clear(),
            Event::FailbackOrdered { route } => self.losses.retain(|(of, _), _| of != route),
            _ => {}
        }
        self.flapping.clear();
        for change in log {
            match change {
                Change::Failover { route, from, .. } => {
                    let used = (route.clone(), from.clone());
                    let Some(rules) = self.damping(route) else { continue };
                    let (value, at) = self.losses.get(&used).copied().unwrap_or((0.0, now));
                    let left = value * (-now.since(at).as_secs_f64() / rules.half_life.as_secs_f64()).exp2();
                    let most = rules.reuse * (rules.max.as_secs_f64() / rules.half_life.as_secs_f64()).exp2();
                    let most = most.max(rules.suppress);
                    let value = (left + rules.penalty).min(most);
                    self.losses.insert(used.clone(), (value, now));
                    if value >= (rules.suppress - rules.penalty / 2.0).max(rules.reuse) + 1e-9 {
                        self.flapping.push(used);
                    }
                }
                Change::Damped { route: Some(route), pool, penalty, lasts: Some(lasts), .. } => {
                    let Some(rules) = self.damping(route) else {
                        return Err(format!("{pool} is damped on {route}, which has it off"));
                    };
                    must(*lasts <= rules.max, || format!("damped for {lasts:?}"))?;
                    let least = (rules.suppress - rules.penalty / 2.0).max(rules.reuse);
                    must(*penalty >= least - 1e-6, || {
                        format!("{pool} is damped for a penalty of {penalty}")
                    })?;
                    let nth = self.topology.pools.iter().position(|known| known.name == *pool);
                    let down = nth.is_some_and(|nth| self.tallies[nth].below_threshold);
                    must(down || self.moved > 1, || format!("{pool} is damped, and is up"))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn damping(&self, route: &str) -> Option<DampingRules> {
        self.topology.routes.iter().find(|known| *known.name == *route)?.damping
    }

    /// What flaps is damped, unless it serves for want of others; and no damping lasts too long.
    pub(crate) fn judge_damping(&self, new: &Snapshot, nth: usize, now: Tick, ticked: bool) -> Checked {
        let route = &self.topology.routes[nth];
        let view = &new.routes[nth];
        for (member, memory) in route.pools.iter().zip(&view.pools) {
            let used = (route.name.clone(), self.topology.pools[member.pool.index()].name.clone());
            let serves = view.shares.segments.iter().any(|segment| segment.pool == member.pool);
            let calm = view.shares.stage == Stage::Up && !serves;
            let must_be = calm && self.flapping.contains(&used);
            must(!must_be || memory.damped_until.is_some(), || format!("{used:?} flaps, and is not damped"))?;
            let Some(until) = memory.damped_until else { continue };
            let most = route.damping.map_or(Duration::ZERO, |rules| rules.max);
            must(until.since(now) <= most, || format!("{used:?} is damped for {:?}", until.since(now)))?;
            must(!ticked || until > now, || format!("{used:?} is still damped after its time"))?;
        }
        Ok(())
    }
}
