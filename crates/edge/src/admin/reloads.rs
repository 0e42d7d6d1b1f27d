//! The calls about configs: reload. Decides nothing: the reloader does.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::reply::{Body, json_reply, refuse};
use crate::control::{
    audit::Actor,
    state::{Control, ReloadAnswer},
};

/// Longest reason, in characters.
const MAX_REASON: usize = 500;

/// Answers `POST /api/v1/reload`.
pub(super) async fn answer(control: &Control, by: Actor, body: &Bytes) -> Response<Body> {
    let by = match fields(body, &["reason"]).and_then(|fields| reason(by, &fields)) {
        Ok(by) => by,
        Err(problem) => return refuse(StatusCode::UNPROCESSABLE_ENTITY, "invalid", &problem),
    };
    match control.reload(by).await {
        ReloadAnswer::Applied(generation) => {
            json_reply(StatusCode::OK, &json!({ "generation": generation, "result": "applied" }))
        }
        ReloadAnswer::Unchanged(generation) => {
            json_reply(StatusCode::OK, &json!({ "generation": generation, "result": "unchanged" }))
        }
        ReloadAnswer::Rejected(errors) => {
            let errors = errors.to_json();
            json_reply(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "errors": errors }))
        }
        ReloadAnswer::Busy => refuse(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", "the edge is ending"),
    }
}

/// The members of a JSON object that are not null; no body counts as an empty object.
fn fields(body: &Bytes, known: &[&str]) -> Result<Map<String, Value>, String> {
    if body.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(body) else {
        return Err("the body is no JSON object".into());
    };
    fields.retain(|_, value| !value.is_null());
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => {
            let name: String = name.chars().take(50).collect();
            Err(format!("the body has an unknown field {name:?}: known are {}", known.join(", ")))
        }
        None => Ok(fields),
    }
}

/// The caller with the reason that the body gives.
fn reason(by: Actor, fields: &Map<String, Value>) -> Result<Actor, String> {
    match fields.get("reason") {
        None => Ok(by),
        Some(Value::String(why)) if why.chars().count() > MAX_REASON => {
            Err(format!("`reason` is longer than {MAX_REASON} characters"))
        }
        Some(Value::String(why)) if why.chars().any(char::is_control) => {
            Err("`reason` holds a control character: write one line of text".into())
        }
        Some(Value::String(why)) => Ok(by.because(why.trim())),
        Some(_) => Err("`reason` is no text".into()),
    }
}
