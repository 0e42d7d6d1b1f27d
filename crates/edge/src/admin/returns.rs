//! How a pool's way back to a route is shown, in status and `explain` alike: `hold`, `ramp`. Pure.

use std::time::SystemTime;

use serde_json::{Value, json};
use thalweg_core::{Ramp, RoutePoolView, Tick};

use crate::control::wall_clock;

/// A moment of the process's clock as wall-clock time.
pub(super) fn wall(at: Tick, now: Tick) -> Option<String> {
    let then = match at.0.checked_sub(now.0) {
        Some(_) => SystemTime::now().checked_add(at.since(now)),
        None => SystemTime::now().checked_sub(now.since(at)),
    };
    then.map(wall_clock::rfc3339)
}

/// Why a pool waits to return: `null`, or until when (`null` = for the operator).
pub(super) fn hold(view: &RoutePoolView, now: Tick) -> Value {
    let until = view.held_until.and_then(|until| wall(until, now));
    if view.held { json!({ "until": until }) } else { Value::Null }
}

/// How far a pool that has returned is on its way to its full share.
pub(super) fn ramp(view: &RoutePoolView, now: Tick) -> Value {
    growing(view.ramp, now)
}

/// How far a share that grows is.
pub(super) fn growing(ramp: Option<Ramp>, now: Tick) -> Value {
    let shown = ramp.map(|ramp| {
        let until = ramp.until.and_then(|until| wall(until, now));
        json!({ "part": ramp.part, "until": until })
    });
    shown.unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_says_until_when_and_a_latched_one_that_it_has_no_end() {
        let now = Tick(5_000_000);
        let free = RoutePoolView::default();
        assert_eq!((hold(&free, now), ramp(&free, now)), (Value::Null, Value::Null));
        let latched = RoutePoolView { held: true, ..free };
        assert_eq!(hold(&latched, now), json!({ "until": null }));
        let held = RoutePoolView { held_until: Some(Tick(6_000_000)), ..latched };
        assert_eq!(hold(&held, now).pointer("/until").and_then(Value::as_str).map(str::len), Some(24));
        let ramping = RoutePoolView { ramp: Some(Ramp { part: 0.255, until: None }), ..free };
        assert_eq!(ramp(&ramping, now), json!({ "part": 0.255, "until": null }));
    }
}
