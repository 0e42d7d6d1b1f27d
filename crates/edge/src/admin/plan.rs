//! `POST /api/v1/plan`: what a config or an order would change, on today's health and traffic. Changes nothing.
//!
//! `moves` compares the traffic before and after, `differences` the configs.

mod differences;
mod moves;

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use http::{Response, StatusCode};
use moves::{Outlook, PlanWarning, Rates};
use serde_json::{Value, json};
use thalweg_config::{Config, ConfigError, ConfigErrors, ConfigText, Span};
use thalweg_core::{DrainTarget, Order, OrderId, OrderOrigin, OrderProblem, Supposition, Tick, World};
use tokio::task::spawn_blocking;

use super::reply::{Body, json_reply, refuse};
use crate::control::{
    order_json::{self, moment_now},
    order_request::{self, OrderRequest, Wish},
    orders::{drains, problem_text},
    state::Control,
    traffic_log::TrafficSample,
    wiring,
};

/// What a plan is asked about.
enum Question {
    /// The text of a config file.
    Text(String),
    /// A config with all its files.
    Files(Vec<ConfigText>),
    /// An order.
    Order(OrderRequest),
}

/// Why there is no plan.
enum NoPlan {
    /// The config is wrong.
    Config(ConfigErrors),
    /// The request is wrong.
    Request(String),
}

/// Answers a request for a plan. One plan is made at a time: a large one keeps a core busy.
pub(super) async fn answer(control: &Control, body: &Bytes) -> Response<Body> {
    let _turn = control.planning.lock().await;
    let question = match read(control, body) {
        Ok(question) => question,
        Err(problem) => return refused(&problem),
    };
    let now = control.shared.now();
    let rates = control.traffic.rates(&TrafficSample::take(&control.shared));
    let Some(world) = control.keeper.look(World::clone).await else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", "the edge is ending");
    };
    let (old, generation) = {
        let live = control.shared.live.load();
        (Arc::clone(&live.wiring.config), live.snapshot.generation)
    };
    let made = spawn_blocking(move || {
        let mut plan = match question {
            Question::Order(request) => of_order(world, request, &rates, now),
            Question::Text(text) => {
                let main = main_file(&old);
                let read = thalweg_config::check_str(&text, &main).0;
                of_config(world, wiring::judge(read, Default::default()), (&old, &rates, now))
            }
            Question::Files(texts) => {
                let read = thalweg_config::check_texts(&texts).0;
                of_config(world, wiring::judge(read, Default::default()), (&old, &rates, now))
            }
        };
        if let Ok(Value::Object(plan)) = &mut plan {
            plan.insert("generation".into(), generation.into());
        }
        plan
    });
    match made.await {
        Ok(Ok(plan)) => json_reply(StatusCode::OK, &plan),
        Ok(Err(problem)) => refused(&problem),
        Err(panicked) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "no_plan", &panicked.to_string()),
    }
}

fn refused(problem: &NoPlan) -> Response<Body> {
    match problem {
        NoPlan::Config(errors) => {
            json_reply(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "errors": errors.to_json() }))
        }
        NoPlan::Request(detail) => refuse(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail),
    }
}

/// The main config file: relative paths in a text are relative to its folder.
fn main_file(config: &Config) -> PathBuf {
    config.files.first().cloned().unwrap_or_default()
}

/// Reads the body: a JSON object with `order` or `config`, else the text of a config.
fn read(control: &Control, body: &Bytes) -> Result<Question, NoPlan> {
    let Ok(text) = std::str::from_utf8(body) else {
        let file = main_file(&control.shared.live.load().wiring.config);
        let span = Span { file, line: 0, column: 0 };
        let (path, problem) = (String::new(), "is not UTF-8".to_owned());
        return Err(NoPlan::Config(ConfigErrors(vec![ConfigError { span, path, problem, hint: None }])));
    };
    // No TOML begins with a brace.
    if !text.trim_start().starts_with('{') {
        return Ok(Question::Text(text.to_owned()));
    }
    let wrong = |problem: &str| NoPlan::Request(problem.to_owned());
    let fields: Value = serde_json::from_str(text).map_err(|_| wrong("the body is no JSON object"))?;
    match (fields.get("order"), fields.get("config")) {
        (Some(order), None) => {
            let now = moment_now(control.shared.now());
            let read = order_request::order(order.to_string().as_bytes(), now);
            let error = |error: order_json::FieldError| {
                NoPlan::Request(format!("`order.{}` {}", error.field, error.problem))
            };
            Ok(Question::Order(read.map_err(error)?))
        }
        (None, Some(config)) => {
            let one = |file: &Value| {
                let path = file.get("path")?.as_str()?.into();
                Some(ConfigText { path, text: file.get("text")?.as_str()?.into() })
            };
            let files = config.get("files").and_then(Value::as_array).filter(|files| !files.is_empty());
            let files = files.and_then(|files| files.iter().map(one).collect::<Option<Vec<_>>>());
            Ok(Question::Files(files.ok_or_else(|| wrong("`config.files` is no list of {path, text}"))?))
        }
        _ => Err(wrong("the body has neither `order` nor `config`, or both")),
    }
}

fn of_config(
    world: World,
    read: Result<wiring::Prepared, ConfigErrors>,
    (old, rates, now): (&Config, &Rates, Tick),
) -> Result<Value, NoPlan> {
    let prepared = read.map_err(NoPlan::Config)?;
    let new = &prepared.wiring.config;
    let before = Outlook::of(&world.clone().forecast(Supposition::Nothing, now));
    let after = Outlook::of(&world.forecast(Supposition::Config(Arc::new(new.topology.clone())), now));
    let (changes, more) = differences::differences(old, new);
    let mut plan = shown((&before, &after, rates), differences::warnings(old, new));
    if let Value::Object(plan) = &mut plan {
        plan.insert("unchanged".into(), (old.hash == new.hash).into());
        plan.insert("changes".into(), changes.into());
        plan.insert("changes_left_off".into(), more.into());
        let notes: Vec<Value> = new.warnings.iter().map(ConfigError::to_json).collect();
        plan.insert("config_warnings".into(), notes.into());
    }
    Ok(plan)
}

fn of_order(world: World, request: OrderRequest, rates: &Rates, now: Tick) -> Result<Value, NoPlan> {
    let action = match request.wish {
        Wish::Give(action) => action,
        Wish::Undrain(target) => return of_undrain(world, &target, rates, now),
    };
    let judged = world.judge_order(&action, request.force, now);
    let problem = match judged {
        Ok(()) => None,
        Err(problem @ OrderProblem::UnknownTarget { .. }) => {
            return Err(NoPlan::Request(problem_text(&problem)));
        }
        Err(problem) => {
            let (kind, about) = ("order_refused", action.kind().to_owned());
            Some(PlanWarning { kind, about, detail: problem_text(&problem) })
        }
    };
    let order = Order { until: request.until, ..Order::new(OrderId(u64::MAX), action, moment_now(now)) };
    let mut fields = order_json::fields(&order);
    fields.retain(|name, _| ["kind", "target", "value", "until"].contains(&name.as_str()));
    fields.insert("order".into(), order.action.kind().into());
    fields.insert("kind".into(), "order".into());
    let before = Outlook::of(&world.clone().forecast(Supposition::Nothing, now));
    let after = Outlook::of(&world.forecast(Supposition::Order(order), now));
    let mut plan = shown((&before, &after, rates), problem.into_iter().collect());
    if let Value::Object(plan) = &mut plan {
        plan.insert("changes".into(), json!([fields]));
    }
    Ok(plan)
}

fn of_undrain(world: World, target: &DrainTarget, rates: &Rates, now: Tick) -> Result<Value, NoPlan> {
    let found = drains(&world, target, OrderOrigin::Edge, now);
    let (ended, still) = found.map_err(|problem| NoPlan::Request(problem_text(&problem)))?;
    let kept = still.iter().map(|order| PlanWarning {
        kind: "still_drained",
        about: format!("order {}", order.id.0),
        detail: "drains a part of it and stays".to_owned(),
    });
    let warnings: Vec<PlanWarning> = kept.collect();
    let ids: Vec<OrderId> = ended.iter().map(|order| order.id).collect();
    let before = Outlook::of(&world.clone().forecast(Supposition::Nothing, now));
    let after = Outlook::of(&world.forecast(Supposition::Ended(ids), now));
    let mut plan = shown((&before, &after, rates), warnings);
    let change = |order: &Order| json!({ "kind": "order_ended", "order": order.action.kind(), "id": order.id.0, "target": order_json::target(&order.action) });
    if let Value::Object(plan) = &mut plan {
        plan.insert("changes".into(), ended.iter().map(change).collect());
    }
    Ok(plan)
}

/// Moves, warnings, and the shares of the routes on which something moves.
fn shown((before, after, rates): (&Outlook, &Outlook, &Rates), mut warnings: Vec<PlanWarning>) -> Value {
    warnings.extend(moves::warnings(before, after, rates));
    let moved = moves::moves(before, after, rates);
    let route = |(name, is): (&str, &moves::RouteOutlook)| {
        let was = before.routes.get(name).map(|was| &was.shares);
        let rate = rates.get(name).map(|rate| (rate * 10.0).round() / 10.0);
        (was != Some(&is.shares))
            .then(|| json!({ "route": name, "requests_per_s": rate, "before": was, "after": is.shares }))
    };
    let routes: Vec<Value> = after.routes.iter().map(|(name, is)| (&**name, is)).filter_map(route).collect();
    json!({
        "moves": moved.iter().map(moves::TrafficMove::shown).collect::<Vec<_>>(),
        "warnings": warnings.iter().map(PlanWarning::shown).collect::<Vec<_>>(),
        "routes": routes,
    })
}
