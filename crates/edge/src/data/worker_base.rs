//! What a worker is to its peers: what all share, its meters, its clock, and how long it stood still.
//! Never shared with another worker.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use thalweg_core::Tick;

use crate::{
    data::deadline::SWEEP,
    shared::{Shared, meters::Meters},
};

/// The worker in which a peer lives.
#[derive(Debug)]
pub struct WorkerBase {
    /// What all share.
    pub shared: Arc<Shared>,
    /// Which worker.
    pub worker: usize,
    /// Its coarse clock.
    pub clock: Rc<Cell<Tick>>,
    /// Time in which it did not get to run.
    pub stalled: Cell<Duration>,
}

impl WorkerBase {
    /// The worker's meters.
    #[must_use]
    pub fn meters(&self) -> &Meters {
        static NONE: Meters = Meters::none();
        self.shared.meters.get(self.worker).unwrap_or(&NONE)
    }

    /// Worker `worker`, whose coarse clock is `clock`.
    #[must_use]
    pub fn new(shared: &Arc<Shared>, worker: usize, clock: &Rc<Cell<Tick>>) -> Self {
        let (shared, clock) = (Arc::clone(shared), Rc::clone(clock));
        Self { shared, worker, clock, stalled: Cell::default() }
    }

    /// Looks at the clock. The sweep does so every [`SWEEP`]: a gap of more than two was this edge's own (a pause of its
    /// machine, a lack of processors), and what was waited for in it was not the endpoint.
    pub fn look(&self) -> Tick {
        let now = self.shared.now();
        let gap = now.since(self.clock.replace(now));
        if gap > SWEEP * 2 {
            self.stalled.set(self.stalled.get() + gap);
        }
        now
    }
}
