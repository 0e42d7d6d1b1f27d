//! What the workers tell each other about the requests that wait for a pool. Each worker writes its own part, and only
//! while a request waits there; a request that does not wait reads at most.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::shared::meters::Cell;

/// One worker's queue for one pool, as the other workers see it.
#[derive(Debug, Default)]
pub struct QueueState {
    /// Requests that wait there.
    pub waiting: Cell,
    /// When the first of them came, in microseconds; 0 = none waits.
    pub first_since: Cell,
    /// Wakes the first of them. Any worker may do that.
    pub freed: Notify,
}

/// One worker's queues, by pool. Locked when a view is made; never per request.
#[derive(Debug, Default)]
pub struct QueueTable(Mutex<BTreeMap<Box<str>, Arc<QueueState>>>);

impl QueueTable {
    /// The worker's queue for a pool; made if there is none yet.
    pub fn open(&self, pool: &str) -> Arc<QueueState> {
        Arc::clone(self.lock().entry(pool.into()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Arc<QueueState>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
