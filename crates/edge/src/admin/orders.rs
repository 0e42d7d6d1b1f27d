//! The calls about the operator's orders: list, give, take back, and the two calls for drains.
//! Judges nothing: the world says what speaks against an order.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use thalweg_core::{Action, Order, OrderEnd, OrderId, OrderProblem};

use super::{
    reply::{Body, json_reply, refuse},
    status,
};
use crate::{
    control::{
        order_json::{self, moment_now},
        order_request,
        orders::{self, OrderAnswer},
        state::Control,
    },
    shared::{
        Live,
        telemetry::{IN_FLIGHT, STREAMS},
    },
};

/// Where one order is found, its number behind.
pub(crate) const ONE: &str = "/api/v1/orders/";

/// The orders that stand, oldest first.
pub(crate) fn list(control: &Control) -> Value {
    let now = UnderWay::now(control);
    now.live.snapshot.orders.iter().map(|order| now.shown(order, None)).collect()
}

/// Answers `POST` to `orders`, `drain` and `undrain`. `caller` is the name of the caller's token.
pub(crate) async fn give(
    control: &Control,
    path: &str,
    caller: Option<&str>,
    body: &Bytes,
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
    request.owner = request.owner.or(caller.map(Into::into));
    match orders::ask(control, request).await {
        None => refuse(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", "the edge is ending"),
        Some(Err(problem)) => refused(&problem),
        Some(Ok(OrderAnswer::Given(order))) => {
            json_reply(StatusCode::CREATED, &UnderWay::now(control).shown(&order, None))
        }
        Some(Ok(OrderAnswer::Undrained { ended, still })) => {
            let now = UnderWay::now(control);
            let all = |orders: &[Order], end: Option<OrderEnd>| -> Value {
                orders.iter().map(|order| now.shown(order, end)).collect()
            };
            let body = json!({ "ended": all(&ended, Some(OrderEnd::Cancelled)), "still": all(&still, None) });
            json_reply(StatusCode::OK, &body)
        }
    }
}

/// Answers `DELETE` of one order with the order as it was.
pub(crate) async fn cancel(control: &Control, path: &str) -> Response<Body> {
    let id = path.strip_prefix(ONE).and_then(|id| id.parse().ok()).map(OrderId);
    let ended = match id {
        Some(id) => orders::cancel(control, id).await,
        None => None,
    };
    match ended {
        Some(order) => {
            let body = UnderWay::now(control).shown(&order, Some(OrderEnd::Cancelled));
            json_reply(StatusCode::OK, &body)
        }
        None => refuse(StatusCode::NOT_FOUND, "not_found", "no order with this number stands"),
    }
}

fn refused(problem: &OrderProblem) -> Response<Body> {
    match problem {
        OrderProblem::UnknownTarget { kind, name } => {
            let detail = match *kind {
                "endpoint" => format!("there is no endpoint {name}: `thalweg status` lists them"),
                kind => format!("there is no {kind} {name}"),
            };
            refuse(StatusCode::NOT_FOUND, "unknown_target", &detail)
        }
        OrderProblem::LastToServe { route } => {
            let detail = format!(
                "this would take out the last that serves route {route}; `force` does it all the same"
            );
            refuse(StatusCode::CONFLICT, "last_to_serve", &detail)
        }
        OrderProblem::TooLittleCapacity { needed, declared } => {
            let detail = format!(
                "the rest declares {declared} requests/s, and would have to take {needed}; `force` does it all the same"
            );
            refuse(StatusCode::CONFLICT, "too_little_capacity", &detail)
        }
        OrderProblem::TooMany => {
            let detail = format!("{} orders stand: end some first", thalweg_core::MAX_ORDERS);
            refuse(StatusCode::CONFLICT, "too_many_orders", &detail)
        }
    }
}

/// What orders are shown against: the live snapshot, and what is under way at each endpoint.
struct UnderWay {
    live: Arc<Live>,
    in_flight: BTreeMap<(Arc<str>, Arc<str>), u64>,
    streams: BTreeMap<(Arc<str>, Arc<str>), u64>,
    kept: bool,
}

impl UnderWay {
    fn now(control: &Control) -> Self {
        Self {
            live: control.shared.live.load_full(),
            in_flight: status::by_endpoint(control, &IN_FLIGHT),
            streams: status::by_endpoint(control, &STREAMS),
            kept: control.store.keeps(control),
        }
    }

    /// An order with what is left at the endpoints that it empties, and its state.
    fn shown(&self, order: &Order, end: Option<OrderEnd>) -> Value {
        let mut fields = order_json::fields(order);
        let empties = matches!(order.action, Action::Drain { .. } | Action::Evacuate { .. });
        let emptied =
            if empties { orders::emptied(&self.live.snapshot, &order.action) } else { BTreeSet::new() };
        let sum = |all: &BTreeMap<(Arc<str>, Arc<str>), u64>| -> u64 {
            let here = |(pool, endpoint): &(Arc<str>, Arc<str>)| {
                emptied.contains(&((&**pool).into(), endpoint.to_string()))
            };
            all.iter().filter(|(key, _)| here(key)).map(|(_, count)| count).sum()
        };
        let (in_flight, streams) = (sum(&self.in_flight), sum(&self.streams));
        let state = match (end, &order.action) {
            (Some(end), _) => end.as_str(),
            (None, Action::Drain { .. }) if in_flight > 0 => "draining",
            (None, Action::Drain { .. }) => "drained",
            (None, _) => "in_force",
        };
        let left = json!({ "requests": in_flight.saturating_sub(streams), "streams": streams });
        fields.insert("left".into(), if empties { left } else { Value::Null });
        fields.insert("state".into(), state.into());
        fields.insert("kept".into(), self.kept.into());
        Value::Object(fields)
    }
}
