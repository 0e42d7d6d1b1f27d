//! The calls that give and end orders: those of this edge go to `orders`, those of the fleet into the bucket. The edge that
//! is asked writes; each edge judges.

use std::rc::Rc;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use thalweg_core::{Order, OrderEnd, OrderId, OrderOrigin};

use super::{
    orders::{self, UnderWay},
    reply::{Body, json_reply, refuse},
};
use crate::control::{
    audit::{Actor, ChangeCall},
    fleet::order_desk::{self, FleetProblem},
    order_json::moment_now,
    order_request::{self, OrderRequest, Wish},
    state::Control,
};

/// Answers `POST` to `orders`, `drain` and `undrain`. `token` is the name of the caller's token.
pub(super) async fn answer(
    control: &Rc<Control>,
    path: &str,
    token: Option<&str>,
    (by, body): (Actor, &Bytes),
) -> Response<Body> {
    let now = moment_now(control.shared.now());
    let read = match path.rsplit('/').next().unwrap_or_default() {
        "orders" => order_request::order(body, now),
        word => order_request::drain(word, body, now),
    };
    let mut request = match read {
        Ok(request) => request,
        Err(error) => {
            let detail = format!("`{}` {}", error.field, error.problem);
            return refuse(StatusCode::UNPROCESSABLE_ENTITY, "invalid", &detail);
        }
    };
    request.owner = request.owner.or(token.map(Into::into));
    if request.fleet { give(control, by, request).await } else { orders::give(control, by, request).await }
}

/// Answers `DELETE` of one order with the order as it was.
pub(super) async fn cancel(control: &Rc<Control>, by: Actor, path: &str) -> Response<Body> {
    let id = path.strip_prefix(orders::ONE).and_then(|id| id.parse().ok()).map(OrderId);
    match id.filter(|id| id.origin() == OrderOrigin::Fleet) {
        Some(id) => cancel_everywhere(control, by, id).await,
        None => orders::cancel(control, by, id).await,
    }
}

/// Gives an order to the fleet, or ends its drains.
async fn give(control: &Rc<Control>, by: Actor, request: OrderRequest) -> Response<Body> {
    let (by, mut what) = (by.because(request.reason.clone()), orders::asked(&request));
    if let Some(fields) = what.as_object_mut() {
        fields.insert("fleet".into(), true.into());
    }
    if let Wish::Undrain(target) = request.wish {
        let name = request.owner.as_deref().unwrap_or(&by.who).to_owned();
        let done = order_desk::undrain(control, target, &name).await;
        by.record(&control.events, ChangeCall::Order, what, done.as_ref().map_or_else(word, |_| "ended"));
        return match done {
            Err(problem) => refused(&problem),
            Ok((ended, still)) => {
                let now = UnderWay::now(control);
                let all = |orders: &[Order], end: Option<OrderEnd>| -> Value {
                    orders.iter().map(|order| now.shown(order, end)).collect()
                };
                let body =
                    json!({ "ended": all(&ended, Some(OrderEnd::Cancelled)), "still": all(&still, None) });
                json_reply(StatusCode::OK, &body)
            }
        };
    }
    let done = order_desk::give(control, request).await;
    if let (Ok(order), Some(fields)) = (&done, what.as_object_mut()) {
        fields.insert("id".into(), order.id.0.into());
    }
    by.record(&control.events, ChangeCall::Order, what, done.as_ref().map_or_else(word, |_| "given"));
    match done {
        Ok(order) => json_reply(StatusCode::CREATED, &shown(control, &order)),
        Err(problem) => refused(&problem),
    }
}

/// An order that the fleet has, as this edge obeys it or not.
fn shown(control: &Control, order: &Order) -> Value {
    let mut shown = UnderWay::now(control).shown(order, None);
    if let (Some(refused), Some(fields)) =
        (control.fleet.orders.refused.borrow().get(&order.id), shown.as_object_mut())
    {
        fields.insert("state".into(), "refused".into());
        fields.insert("problem".into(), refused.word.into());
        fields.insert("detail".into(), refused.detail.clone().into());
    }
    shown
}

async fn cancel_everywhere(control: &Rc<Control>, by: Actor, id: OrderId) -> Response<Body> {
    let done = order_desk::cancel(control, id, &by.who).await;
    let result = done.as_ref().map_or_else(word, |_| "ended");
    by.record(&control.events, ChangeCall::Cancel, json!({ "id": id.0, "fleet": true }), result);
    match done {
        Ok(order) => {
            let body = UnderWay::now(control).shown(&order, Some(OrderEnd::Cancelled));
            json_reply(StatusCode::OK, &body)
        }
        Err(problem) => refused(&problem),
    }
}

/// The spelling of a problem in answers and events.
pub(super) fn word(problem: &FleetProblem) -> &'static str {
    match problem {
        FleetProblem::NoFleet => "no_fleet",
        FleetProblem::Away(_) => "fleet_away",
        FleetProblem::Unknown => "unknown",
        FleetProblem::TooMany => "too_many_orders",
        FleetProblem::NotFound => "not_found",
        FleetProblem::Order(problem) => crate::control::orders::problem_word(problem),
    }
}

pub(super) fn refused(problem: &FleetProblem) -> Response<Body> {
    let (status, detail) = match problem {
        FleetProblem::NoFleet => (StatusCode::CONFLICT, "this edge belongs to no fleet: its config has no [fleet]".into()),
        FleetProblem::Away(why) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("nothing was written, because the fleet's engine cannot be used: {why}"),
        ),
        FleetProblem::Unknown => (
            StatusCode::GATEWAY_TIMEOUT,
            "no answer from the fleet's engine: this may be in force or not; `thalweg orders` tells once the engine is back"
                .into(),
        ),
        FleetProblem::TooMany => (
            StatusCode::CONFLICT,
            format!("{} orders of the fleet stand: end some first", crate::control::fleet::order_list::MAX_STANDING),
        ),
        FleetProblem::NotFound => (StatusCode::NOT_FOUND, "no order with this number stands in the fleet".into()),
        FleetProblem::Order(problem) => return orders::refused(problem),
    };
    refuse(status, word(problem), &detail)
}
