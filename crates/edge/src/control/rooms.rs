//! Shares the declared capacity of each pool out among the workers, ten times a second. Never on a request's path.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use thalweg_core::{Tick, Topology};

use crate::shared::{
    Shared,
    room::{Parts, PoolRoom},
};

/// What is remembered of each pool that declares a capacity, and when it was last shared out.
#[derive(Debug, Default)]
pub struct RoomKeeper(RefCell<BTreeMap<Box<str>, (Parts, Tick)>>);

impl RoomKeeper {
    /// Sets every worker's rate for every pool that declares a capacity.
    pub fn share_out(&self, topology: &Topology, shared: &Shared) {
        let now = shared.now();
        let mut known = self.0.borrow_mut();
        let limited = || topology.pools.iter().filter(|pool| pool.capacity > 0);
        if known.len() != limited().count() || limited().any(|pool| !known.contains_key(&pool.name)) {
            let stays = |name: &str| limited().any(|pool| *pool.name == *name);
            known.retain(|name, _| stays(name));
            shared.rooms.iter().for_each(|rooms| rooms.retain(stays));
        }
        for pool in limited() {
            let rooms: Vec<Arc<PoolRoom>> = shared.rooms.iter().map(|rooms| rooms.open(&pool.name)).collect();
            let (parts, last) = known.entry(pool.name.clone()).or_insert_with(|| (Parts::default(), now));
            parts.share_out(pool.capacity, &rooms, now.since(*last));
            *last = now;
        }
    }
}
