//! What a worker hands over about requests that have ended: its access log lines, and traces. Never waits: what the
//! queues do not take is dropped and counted.

use std::{sync::Arc, time::Duration};

use thalweg_config::AccessLog;
use thalweg_core::Tick;

use super::Local;
use crate::shared::{access_log, trace::FinishedTrace};

/// A worker hands a batch of access log lines over at this size, or after [`LOG_AGE`].
const LOG_BATCH: usize = 32 * 1024;
const LOG_AGE: Duration = Duration::from_millis(100);

impl Local {
    /// Appends to the access log; `write` gets this worker's buffer and the format in force.
    pub fn log(&self, write: impl FnOnce(&mut Vec<u8>, AccessLog)) {
        let format = self.view.borrow().wiring.access_log();
        if format == AccessLog::Off {
            return;
        }
        let mut log = self.log.borrow_mut();
        if log.is_empty() {
            self.log_since.set(self.clock.get());
        }
        write(&mut log, format);
        if log.len() >= LOG_BATCH {
            self.hand_over(&mut log);
        }
    }

    /// Hands a trace over.
    pub fn report_trace(&self, trace: FinishedTrace) {
        // An error means that nothing listens any more.
        let _ = self.shared.traces.send(Arc::new(trace));
    }

    /// Hands the last access log lines over: the worker has ended.
    pub fn flush_log(&self) {
        self.hand_over(&mut self.log.borrow_mut());
    }

    fn hand_over(&self, log: &mut Vec<u8>) {
        if log.is_empty() {
            return;
        }
        let lines = std::mem::take(log);
        if let Err(lines) = self.shared.log.hand_over(lines) {
            self.dropped.add(access_log::lines(&lines));
        }
    }

    /// Hands lines over that have waited for [`LOG_AGE`].
    pub(super) fn hand_over_old(&self, now: Tick) {
        let mut log = self.log.borrow_mut();
        if !log.is_empty() && now.since(self.log_since.get()) >= LOG_AGE {
            self.hand_over(&mut log);
        }
    }
}
