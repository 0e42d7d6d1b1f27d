//! The pace of a request's bodies: bytes that passed, against the time in which the client was what was waited for. A
//! client that falls behind `limits.body_min_rate` by more than five seconds is too slow. Time in which the endpoint is
//! waited for does not count.
//!
//! # Why the sum and not a window
//!
//! A kernel takes an answer in lumps of megabytes, and an HTTP/2 client opens its window in lumps, too: an honest client
//! looks silent in between. Bytes that went out are never fewer than those that the client has read, so a sum never
//! wrongs a client that keeps to the rate. Apache's `mod_reqtimeout` counts the same way. Silence alone is the
//! business of `timeouts.idle`.

use std::{cell::Cell, time::Duration};

/// How far a client may fall behind: long enough for a lost packet and a busy phone.
const GRACE: Duration = Duration::from_secs(5);

/// The pace of one request.
#[derive(Debug, Default)]
pub struct Pace {
    /// Time in which the client was waited for.
    waited: Cell<Duration>,
    /// Bytes that passed.
    bytes: Cell<u64>,
    /// The next piece of the upload is to come.
    upload_is_due: Cell<bool>,
    /// The answer waits for the client's window (HTTP/2).
    answer_waits: Cell<bool>,
    slow: Cell<bool>,
}

impl Pace {
    /// Bytes of a body have passed.
    pub fn passed(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as u64);
    }

    /// The client is, or is not, to send the next piece of its upload.
    pub fn upload_is_due(&self, is_due: bool) {
        self.upload_is_due.set(is_due);
    }

    /// The answer waits, or does not wait, for the client to take more.
    pub fn answer_waits(&self, waits: bool) {
        self.answer_waits.set(waits);
    }

    /// Whether the answer waits for the client to take more.
    pub fn waits_with_answer(&self) -> bool {
        self.answer_waits.get()
    }

    /// Whether the client was too slow.
    pub fn is_slow(&self) -> bool {
        self.slow.get()
    }

    /// Another `span` has passed, in which the socket was full (`behind`) or not. Returns whether the client has just
    /// turned out to be slower than `least` bytes per second.
    pub fn look(&self, span: Duration, behind: bool, least: u64) -> bool {
        if self.slow.get() || !(behind || self.upload_is_due.get() || self.answer_waits.get()) {
            return false;
        }
        let waited = self.waited.get() + span;
        self.waited.set(waited);
        let owed = u128::from(least) * waited.saturating_sub(GRACE).as_millis();
        self.slow.set(u128::from(self.bytes.get()) * 1_000 < owed);
        self.slow.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(20);

    /// Lets `bytes` pass every second; the second in which the client turns out to be slow, in a minute.
    fn check(bytes: usize, waits: impl Fn(usize) -> bool) -> Option<usize> {
        let pace = Pace::default();
        let slow = (0..3_000).find(|step| {
            if step % 50 == 0 {
                pace.passed(bytes);
            }
            pace.upload_is_due(waits(*step));
            pace.look(STEP, false, 1_000)
        });
        slow.map(|step| step / 50)
    }

    #[test]
    fn a_client_is_slow_when_it_falls_behind_by_more_than_the_grace() {
        assert_eq!(check(0, |_| true), Some(5));
        assert_eq!(check(500, |_| true), Some(10));
        assert_eq!(check(1_000, |_| true), None);
        assert_eq!(check(0, |_| false), None, "it is the endpoint that is waited for");
        assert_eq!(check(0, |step| step % 2 == 0), Some(10), "only the time of waiting counts");
        assert_eq!(check(500, |step| step % 2 == 0), None);
    }

    #[test]
    fn what_went_out_in_one_lump_counts_for_the_silence_behind_it() {
        assert_eq!(check(100_000, |step| step > 49), None);
        let pace = Pace::default();
        pace.passed(20_000);
        pace.answer_waits(true);
        let slow = (0..3_000).find(|_| pace.look(STEP, false, 1_000));
        assert_eq!(slow.map(|step| step / 50), Some(25));
        assert!(pace.is_slow() && !pace.look(STEP, true, 1_000), "told once");
    }
}
