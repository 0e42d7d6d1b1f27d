//! What an endpoint's [`Peer`](crate::data::peer::Peer) needs from its worker: the shared state, the worker's number,
//! its clock, and how long it stood still.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use thalweg_core::Tick;

use crate::{
    data::{deadline::SWEEP, inbox::Buffers},
    shared::{Shared, meters::Meters},
};

/// The worker that a peer belongs to.
#[derive(Debug)]
pub struct WorkerBase {
    /// What the whole process shares.
    pub shared: Arc<Shared>,
    /// The worker's number.
    pub worker: usize,
    /// The worker's coarse clock: the time of the last look.
    pub clock: Rc<Cell<Tick>>,
    /// The total time in which the worker did not get to run.
    pub stalled: Cell<Duration>,
    /// The worker's read buffers.
    pub buffers: Rc<Buffers>,
}

impl WorkerBase {
    /// The worker's meters.
    #[must_use]
    pub fn meters(&self) -> &Meters {
        static NONE: Meters = Meters::none();
        self.shared.meters.get(self.worker).unwrap_or(&NONE)
    }

    /// The base of worker `worker`, whose coarse clock is `clock`.
    #[must_use]
    pub fn new(shared: &Arc<Shared>, worker: usize, clock: &Rc<Cell<Tick>>) -> Self {
        let (shared, clock) = (Arc::clone(shared), Rc::clone(clock));
        let buffers = Buffers::new(shared.live.load().wiring.config.limits.stream_buffer);
        Self { shared, worker, clock, stalled: Cell::default(), buffers }
    }

    /// Reads the clock. The sweep does so every [`SWEEP`], so a gap of more than two sweeps was a pause of this edge
    /// (its machine stood still, or had no processor for it). Waits in such a gap are not the endpoint's fault.
    pub fn look(&self) -> Tick {
        let now = self.shared.now();
        let gap = now.since(self.clock.replace(now));
        if gap > SWEEP * 2 {
            self.stalled.set(self.stalled.get() + gap);
        }
        now
    }
}
