//! Which pools of one tier count as equally near, by their latencies: a change must be clear and last.
//! Never looks at health beyond "does this latency count?".

use crate::{
    slot::PoolSlot,
    tick::{Tick, micros},
    topology::Band,
};

/// Whether a pool counts as near on behalf of one route, and what speaks against that.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Nearness {
    pub(super) near: bool,
    /// The pool's latency counted when the band was last looked at.
    measured: bool,
    /// Since when the latencies contradict `near`.
    disputed: Option<Tick>,
}

impl Nearness {
    /// When the latencies have contradicted `near` for long enough.
    pub(super) fn deadline(&self, band: &Band) -> Option<Tick> {
        self.disputed.map(|since| since.after(band.dwell))
    }
}

/// A pool among those of its tier, and its latency in microseconds if that counts.
pub(super) struct Equal<'a> {
    pub(super) pool: PoolSlot,
    pub(super) nearness: &'a mut Nearness,
    pub(super) latency: Option<f64>,
}

/// Concludes which pools of one tier count as near. The answer changes at once where no pool counts (those that did
/// are gone), and where a pool has come that is near: its coming is no move between latencies. Otherwise a pool joins
/// when it has been within the band for `dwell`, and leaves when it has been out of it by more than `hysteresis` for
/// `dwell`. While the route is frozen a pool that counts leaves only when it is gone, and another comes only in its stead.
pub(super) fn rejudge(
    equals: &mut [Equal<'_>],
    band: &Band,
    now: Tick,
    returned: &[PoolSlot],
    frozen: bool,
) -> bool {
    let best = equals.iter().filter_map(|equal| equal.latency).min_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a band stay far below 2^53")]
    let limit = best.unwrap_or_default() + micros(band.width) as f64;
    let settled = equals.iter().any(|equal| equal.nearness.near && equal.latency.is_some());
    let arrived = equals.iter().any(|Equal { pool, nearness, latency }| {
        let new = !nearness.measured || returned.contains(pool);
        new && latency.is_some_and(|latency| latency <= limit)
    });
    let mut moved = false;
    for Equal { nearness, latency, .. } in equals {
        nearness.measured = latency.is_some();
        let wants = latency.is_some_and(|latency| latency <= limit);
        let clear = !nearness.near || latency.is_none_or(|latency| latency > limit * (1.0 + band.hysteresis));
        let stays = frozen && settled && latency.is_some();
        if wants == nearness.near || !clear || stays {
            nearness.disputed = None;
            continue;
        }
        let since = *nearness.disputed.get_or_insert(now);
        if latency.is_none() || !settled || arrived || since.after(band.dwell) <= now {
            nearness.near = wants;
            nearness.disputed = None;
            moved = true;
        }
    }
    moved
}
