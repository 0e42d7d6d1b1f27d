//! `POST /api/v1/failback`: the operator ends the waits of a route's pools. Asks the keeper; decides nothing.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use thalweg_core::Event;

use super::reply::{Body, json_reply, refuse};
use crate::control::{
    audit::{Actor, ChangeCall},
    state::Control,
};

/// Answers the order `{"route": NAME}`.
pub(super) async fn answer(control: &Control, by: Actor, order: &Bytes) -> Response<Body> {
    let order: Value = match serde_json::from_slice(order) {
        Ok(order) => order,
        Err(_) => return refuse(StatusCode::BAD_REQUEST, "bad_request", "the body is no JSON"),
    };
    let Some(route) = order.get("route").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
        return refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "`route` is missing: the name of a route",
        );
    };
    let told = |result| {
        by.record(&control.events, ChangeCall::Failback, json!({ "route": route }), result);
    };
    let Some(before) = left(control, route).await else {
        told("unknown_route");
        let detail = format!("there is no route {route:?}");
        return refuse(StatusCode::NOT_FOUND, "unknown_route", &detail);
    };
    if before.frozen {
        told("frozen");
        let detail = format!("{route} is frozen: end the freeze first (`thalweg orders` says whose it is)");
        return refuse(StatusCode::CONFLICT, "frozen", &detail);
    }
    control.keeper.tell(Event::FailbackOrdered { route: route.into() }).await;
    let after = left(control, route).await.unwrap_or_default();
    let returned: Vec<&str> =
        before.waiting.iter().filter(|pool| !after.waiting.contains(pool)).map(String::as_str).collect();
    if returned.is_empty() && !after.down.is_empty() {
        told("still_down");
        let detail = format!("still down: {}. Order it again when the pool is up", after.down.join(", "));
        return refuse(StatusCode::CONFLICT, "still_down", &detail);
    }
    told("done");
    json_reply(StatusCode::OK, &json!({ "route": route, "returned": returned, "still_down": after.down }))
}

/// The pools that a route has left, by name.
#[derive(Debug, Default)]
struct LeftPools {
    /// Those that are up again and wait.
    waiting: Vec<String>,
    down: Vec<String>,
    frozen: bool,
}

/// What a route has left; `None` if there is no such route.
async fn left(control: &Control, route: &str) -> Option<LeftPools> {
    let name = route.to_owned();
    let seen = control.keeper.look(move |world| {
        let slot = world.route_slot(&name)?;
        let mut left = LeftPools { frozen: world.is_frozen(slot), ..LeftPools::default() };
        for (pool, up) in world.left_pools(slot) {
            let list = if up { &mut left.waiting } else { &mut left.down };
            list.push(pool.into());
        }
        Some(left)
    });
    seen.await.flatten()
}
