//! `POST /api/v1/failback`: the operator ends the waits of a route's pools, on this edge or on every edge of the fleet.
//! Decides nothing.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{
    fleet_orders,
    reply::{Body, json_reply, refuse},
};
use crate::control::{
    audit::{Actor, ChangeCall},
    failback::{self, FailbackOutcome},
    fleet::failbacks,
    state::Control,
};

/// Answers the order `{"route": NAME, "fleet": false}`.
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
    match order.get("fleet") {
        None | Some(Value::Null | Value::Bool(false)) => here(control, &by, route).await,
        Some(Value::Bool(true)) => everywhere(control, &by, route).await,
        Some(_) => refuse(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "`fleet` is neither true nor false"),
    }
}

async fn here(control: &Control, by: &Actor, route: &str) -> Response<Body> {
    let outcome = failback::order(control, route).await;
    by.record(&control.events, ChangeCall::Failback, json!({ "route": route }), outcome.as_str());
    let refused = |status, detail: String| refuse(status, outcome.as_str(), &detail);
    match &outcome {
        FailbackOutcome::UnknownRoute => unknown(route),
        FailbackOutcome::Frozen => refused(
            StatusCode::CONFLICT,
            format!("{route} is frozen: end the freeze first (`thalweg orders` says whose it is)"),
        ),
        FailbackOutcome::StillDown(pools) => refused(
            StatusCode::CONFLICT,
            format!("still down: {}. Order it again when the pool is up", pools.join(", ")),
        ),
        FailbackOutcome::Done { returned, still_down } => json_reply(
            StatusCode::OK,
            &json!({ "route": route, "returned": returned, "still_down": still_down }),
        ),
    }
}

/// A name that this edge does not know is most likely misspelt: the fleet does not get it.
async fn everywhere(control: &Control, by: &Actor, route: &str) -> Response<Body> {
    let what = json!({ "route": route, "fleet": true });
    if !failback::is_known(control, route).await {
        by.record(&control.events, ChangeCall::Failback, what, "unknown_route");
        return unknown(route);
    }
    let given = failbacks::give(control, route, &by.who).await;
    let result = given.as_ref().map_or_else(fleet_orders::word, |_| "given");
    by.record(&control.events, ChangeCall::Failback, what, result);
    match given {
        Ok((number, here)) => json_reply(
            StatusCode::OK,
            &json!({ "route": route, "fleet": true, "number": number, "here": here.shown() }),
        ),
        Err(problem) => fleet_orders::refused(&problem),
    }
}

fn unknown(route: &str) -> Response<Body> {
    refuse(StatusCode::NOT_FOUND, "unknown_route", &format!("there is no route {route:?}"))
}
