//! Owner of the operator's standing orders. An order outlives an endpoint that DNS drops for a while, and a reload; it
//! goes with its pool.

use std::collections::{BTreeMap, BTreeSet};

use crate::{axes::Admin, slot::EndpointKey, topology::Topology};

/// The orders other than Enabled.
#[derive(Debug, Default)]
pub(super) struct Orders {
    standing: BTreeMap<EndpointKey, Admin>,
}

impl Orders {
    /// What is ordered for an endpoint.
    pub(super) fn of(&self, key: &EndpointKey) -> Admin {
        self.standing.get(key).copied().unwrap_or_default()
    }

    /// Takes an order in, for an endpoint that exists or not: an unknown endpoint can only be enabled.
    pub(super) fn give(&mut self, key: EndpointKey, admin: Admin, exists: bool) {
        if admin == Admin::Enabled {
            self.standing.remove(&key);
        } else if exists {
            self.standing.insert(key, admin);
        }
    }

    /// Forgets the orders for pools that a new topology does not have.
    pub(super) fn keep(&mut self, topology: &Topology) {
        let pools: BTreeSet<&str> = topology.pools.iter().map(|pool| &*pool.name).collect();
        self.standing.retain(|key, _| pools.contains(&*key.pool));
    }
}
