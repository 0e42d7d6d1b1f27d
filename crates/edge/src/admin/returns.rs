//! How the way back of a pool or an endpoint is shown, in status and `explain` alike: `hold`, `ramp`, `damped`. Pure.

use std::time::SystemTime;

use serde_json::{Map, Value, json};
use thalweg_core::{PoolSlot, Ramp, RoutePoolView, Snapshot, Tick};

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

/// What keeps a pool from its share on the first route where something does.
pub(super) fn of_pool(snapshot: &Snapshot, pool: PoolSlot, now: Tick) -> Map<String, Value> {
    let routes = snapshot.layout.topology.routes.iter().zip(&snapshot.routes);
    let members = routes.flat_map(|(route, view)| route.pools.iter().zip(&view.pools));
    let views: Vec<&RoutePoolView> =
        members.filter(|(member, _)| member.pool == pool).map(|(_, view)| view).collect();
    let first = |of: &dyn Fn(&RoutePoolView) -> Value| {
        views.iter().map(|view| of(view)).find(|value| !value.is_null()).unwrap_or_default()
    };
    let shown = [
        ("hold", first(&|view| hold(view, now))),
        ("ramp", first(&|view| ramp(view, now))),
        ("damped", first(&|view| damped(view.damped_until, now))),
    ];
    shown.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Until when something that flaps is left alone.
pub(super) fn damped(until: Option<Tick>, now: Tick) -> Value {
    until.map_or(Value::Null, |until| json!({ "until": wall(until, now) }))
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
