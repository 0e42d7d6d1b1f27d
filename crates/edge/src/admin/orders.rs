//! The calls about the operator's orders: list, give, take back, and the two calls for drains.
//! Judges nothing: the world says what speaks against an order.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use http::{Response, StatusCode};
use serde_json::{Value, json};
use thalweg_core::{Action, Order, OrderEnd, OrderId, OrderProblem};

use super::{
    reply::{Body, json_reply, refuse},
    status,
};
use crate::{
    control::{
        audit::{Actor, ChangeCall},
        order_json,
        order_request::{OrderRequest, Wish},
        orders::{self, OrderAnswer, problem_text, problem_word},
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

/// Gives an order to this edge, or ends its drains.
pub(super) async fn give(control: &Control, by: Actor, request: OrderRequest) -> Response<Body> {
    let (by, mut what) = (by.because(request.reason.clone()), asked(&request));
    let answer = orders::ask(control, request).await;
    if let (Some(Ok(OrderAnswer::Given(order))), Some(fields)) = (&answer, what.as_object_mut()) {
        fields.insert("id".into(), order.id.0.into());
    }
    let result = match &answer {
        None => "shutting_down",
        Some(Err(problem)) => problem_word(problem),
        Some(Ok(OrderAnswer::Given(_))) => "given",
        Some(Ok(OrderAnswer::Undrained { .. })) => "ended",
    };
    by.record(&control.events, ChangeCall::Order, what, result);
    match answer {
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

/// What a request asks for, for the record.
pub(super) fn asked(request: &OrderRequest) -> Value {
    match &request.wish {
        Wish::Give(action) => json!({
            "kind": action.kind(), "target": order_json::target(action), "value": order_json::value(action),
        }),
        Wish::Undrain(target) => {
            let drain = Action::Drain { target: target.clone(), deadline: None };
            json!({ "kind": "undrain", "target": order_json::target(&drain), "value": null })
        }
    }
}

/// Answers `DELETE` of one order of this edge with the order as it was.
pub(super) async fn cancel(control: &Control, by: Actor, id: Option<OrderId>) -> Response<Body> {
    let ended = match id {
        Some(id) => orders::cancel(control, id).await,
        None => None,
    };
    let result = if ended.is_some() { "ended" } else { "not_found" };
    by.record(&control.events, ChangeCall::Cancel, json!({ "id": id.map(|id| id.0) }), result);
    match ended {
        Some(order) => {
            let body = UnderWay::now(control).shown(&order, Some(OrderEnd::Cancelled));
            json_reply(StatusCode::OK, &body)
        }
        None => refuse(StatusCode::NOT_FOUND, "not_found", "no order with this number stands"),
    }
}

pub(super) fn refused(problem: &OrderProblem) -> Response<Body> {
    let status = match problem {
        OrderProblem::UnknownTarget { .. } => StatusCode::NOT_FOUND,
        _ => StatusCode::CONFLICT,
    };
    refuse(status, problem_word(problem), &problem_text(problem))
}

/// What orders are shown against: the live snapshot, and what is under way at each endpoint.
pub(super) struct UnderWay {
    live: Arc<Live>,
    in_flight: BTreeMap<(Arc<str>, Arc<str>), u64>,
    streams: BTreeMap<(Arc<str>, Arc<str>), u64>,
    kept: bool,
}

impl UnderWay {
    pub(super) fn now(control: &Control) -> Self {
        Self {
            live: control.shared.live.load_full(),
            in_flight: status::by_endpoint(control, &IN_FLIGHT),
            streams: status::by_endpoint(control, &STREAMS),
            kept: control.store.keeps(control),
        }
    }

    /// An order with what is left at the endpoints that it empties, and its state.
    pub(super) fn shown(&self, order: &Order, end: Option<OrderEnd>) -> Value {
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
