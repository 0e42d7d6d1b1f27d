//! Commands that give, list and take back the operator's orders.

#![expect(
    clippy::indexing_slicing,
    reason = "reading a JSON value by name never panics: what is missing is null"
)]

use http::{Method, StatusCode};
use serde_json::{Value, json};
use thalweg_core::{OrderId, OrderOrigin};

use super::{
    args::{AdminArgs, Format},
    client::{self, Problem},
    order_args::{DialArgs, DrainArgs, EvacuateArgs, FreezeArgs, OrderArgs, TargetArgs, WeightArgs},
    show,
    terminal::{exit, print},
};

const ORDERS: &str = "/api/v1/orders";

pub(super) fn drain(asked: &DrainArgs) -> u8 {
    give(
        &asked.order,
        json!({ "kind": "drain", "target": target(&asked.target), "deadline": asked.deadline }),
    )
}

pub(super) fn dial(asked: &DialArgs) -> u8 {
    give(&asked.order, json!({ "kind": "dial", "target": { "pool": asked.pool }, "value": asked.percent }))
}

pub(super) fn weight(asked: &WeightArgs) -> u8 {
    let target = json!({ "route": asked.route, "pool": asked.pool });
    give(&asked.order, json!({ "kind": "weight", "target": target, "value": asked.weight }))
}

pub(super) fn evacuate(asked: &EvacuateArgs) -> u8 {
    give(&asked.order, json!({ "kind": "evacuate", "target": { "region": asked.region } }))
}

pub(super) fn freeze(asked: &FreezeArgs) -> u8 {
    let target = asked.route.as_ref().map(|route| json!({ "route": route }));
    give(&asked.order, json!({ "kind": "freeze", "target": target }))
}

pub(super) fn undrain((asked, fleet): (&TargetArgs, bool), admin: &AdminArgs, format: Format) -> u8 {
    let body = json!({ "kind": "undrain", "target": target(asked), "fleet": fleet }).to_string();
    answer(client::ask(admin, Method::POST, ORDERS, &body), format, |said| {
        let line = |word: &str, order: &Value| format!("{word} {}\n", show::order_line(order));
        let ended = said["ended"].as_array().into_iter().flatten().map(|order| line("ended:", order));
        let still = said["still"].as_array().into_iter().flatten();
        let still = still.map(|order| line("still drained by", order));
        let all: String = ended.chain(still).collect();
        if all.is_empty() { "no drain of this target stood\n".to_owned() } else { all }
    })
}

pub(super) fn list(admin: &AdminArgs, format: Format) -> u8 {
    answer(client::ask(admin, Method::GET, ORDERS, ""), format, show::orders)
}

pub(super) fn cancel((id, fleet): (u64, bool), admin: &AdminArgs, format: Format) -> u8 {
    if fleet && OrderId(id).origin() != OrderOrigin::Fleet {
        return Problem::Usage(format!("order {id} is one of a single edge: leave --fleet out")).tell();
    }
    let call = format!("{ORDERS}/{id}");
    answer(client::ask(admin, Method::DELETE, &call, ""), format, |order| {
        format!("ended: {}\n", show::order_line(order))
    })
}

/// Sends an order with the options of every order.
fn give(asked: &OrderArgs, mut body: Value) -> u8 {
    // The edge knows the name of a token; without a token, the owner is the user of this machine.
    let user = || std::env::var("USER").ok().filter(|_| asked.admin.token_file.is_none());
    body["for"] = json!(asked.time);
    body["reason"] = json!(asked.reason);
    body["owner"] = json!(asked.owner.clone().or_else(user));
    body["force"] = json!(asked.force);
    if asked.fleet {
        body["fleet"] = json!(true);
    }
    answer(client::ask(&asked.admin, Method::POST, ORDERS, &body.to_string()), asked.format.format, |order| {
        let refused = order["detail"].as_str().map(|why| format!("this edge does not obey it: {why}\n"));
        let line = show::order_line(order);
        format!("{line}\n{}to end it: thalweg cancel {}\n", refused.unwrap_or_default(), order["id"])
    })
}

fn answer(
    said: Result<(StatusCode, Value), Problem>,
    format: Format,
    human: impl Fn(&Value) -> String,
) -> u8 {
    match said {
        Ok((status, said)) if status.is_success() => print(&match format {
            Format::Json => show::pretty(&said),
            Format::Human => human(&said),
        }),
        Ok((status @ StatusCode::UNPROCESSABLE_ENTITY, said)) => {
            Problem::answered(status, &said).tell().max(exit::CONFIG)
        }
        Ok((status @ StatusCode::GATEWAY_TIMEOUT, said)) => {
            Problem::answered(status, &said).tell().max(exit::UNKNOWN)
        }
        Ok((status, said)) => Problem::answered(status, &said).tell(),
        Err(problem) => problem.tell(),
    }
}

fn target(asked: &TargetArgs) -> Value {
    json!({ "pool": asked.pool, "region": asked.region, "endpoint": asked.endpoint })
}
