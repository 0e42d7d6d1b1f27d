//! One clock for all processes of a cell: the machine's monotonic one, in microseconds. Wall clocks step; this does not.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

/// The current time of that clock.
pub fn now_us() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

/// The time of an `Instant` on that clock: an `Instant` itself cannot cross to another process.
pub fn us(instant: Instant) -> i64 {
    now_us() - i64::try_from(instant.elapsed().as_micros()).unwrap_or(i64::MAX)
}
