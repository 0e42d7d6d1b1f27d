//! Invariants of forecasts: a supposed change that is none moves nothing, and nothing waits in a world at rest but what
//! waits for the operator, or flaps.

use std::sync::Arc;

use thalweg_core::{Snapshot, Supposition};

use crate::story::Story;

impl Story {
    /// Forecasts from where the story stands. Draws no random number, so that the story goes on as it would without.
    pub(crate) fn forecast(&self) -> Result<(), String> {
        let world = &self.subject.world;
        let nothing = world.clone().forecast(Supposition::Nothing, self.now);
        let same = Supposition::Config(Arc::clone(&self.oracle.configured));
        let again = world.clone().forecast(same, self.now);
        let shares = |snapshot: &Snapshot| {
            snapshot.routes.iter().map(|route| route.shares.clone()).collect::<Vec<_>>()
        };
        if shares(&nothing.snapshot) != shares(&again.snapshot) {
            return Err("the forecast of the config in force moves traffic".into());
        }
        let snapshot = &nothing.snapshot;
        for (route, view) in snapshot.layout.topology.routes.iter().zip(&snapshot.routes) {
            let waits = !view.frozen && !route.failback.is_latched();
            for (member, pool) in route.pools.iter().zip(&view.pools) {
                if waits && pool.damped_until.is_none() && (pool.held_until.is_some() || pool.ramp.is_some())
                {
                    return Err(format!("{:?} of {} waits in a world at rest", member.pool, route.name));
                }
            }
        }
        Ok(())
    }
}
