//! The calls about configs: reload, with or without a trial, confirm, rollback. Decides nothing: the reloader does.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::reply::{Body, json_reply, refuse};
use crate::control::{
    audit::{self, Actor},
    state::{Control, ReloadAnswer, ReloadJob},
    trial::{Guard, TrialTerms},
};

/// Answers `POST` to `reload`, `confirm` and `rollback`.
pub(super) async fn answer(control: &Control, path: &str, (by, body): (Actor, &Bytes)) -> Response<Body> {
    let read = match path.rsplit('/').next().unwrap_or_default() {
        "confirm" => fields(body, &["reason"]).map(|fields| (fields, ReloadJob::Confirm)),
        "rollback" => fields(body, &["generation", "reason"]).and_then(|fields| {
            let job = ReloadJob::Rollback(number(&fields, "generation")?);
            Ok((fields, job))
        }),
        _ => fields(body, &["confirm", "guard", "reason"]).and_then(|fields| {
            let job = ReloadJob::Reload { cause: "api", trial: terms(&fields)? };
            Ok((fields, job))
        }),
    };
    let read = read.and_then(|(fields, job)| Ok((reason(by, &fields)?, job)));
    let (by, job) = match read {
        Ok(read) => read,
        Err(problem) => return refuse(StatusCode::UNPROCESSABLE_ENTITY, "invalid", &problem),
    };
    shown(&control.ask_reloader(job, by).await, job)
}

fn shown(answer: &ReloadAnswer, job: ReloadJob) -> Response<Body> {
    let word = answer.as_str();
    match answer {
        ReloadAnswer::Applied(generation)
        | ReloadAnswer::Unchanged(generation)
        | ReloadAnswer::Confirmed(generation) => {
            json_reply(StatusCode::OK, &json!({ "generation": generation, "result": word }))
        }
        ReloadAnswer::Tried(view) => {
            let body = json!({ "generation": view.generation, "result": word, "trial": view.shown() });
            json_reply(StatusCode::OK, &body)
        }
        ReloadAnswer::Rejected(errors) => {
            json_reply(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "errors": errors.to_json() }))
        }
        ReloadAnswer::TrialRuns(view) => {
            let left = view.until.duration_since(SystemTime::now()).unwrap_or_default().as_secs();
            let generation = view.generation;
            let detail = format!(
                "generation {generation} is on trial for {left} s more: confirm it or roll it back first"
            );
            let body = json!({ "error": word, "detail": detail, "trial": view.shown() });
            json_reply(StatusCode::CONFLICT, &body)
        }
        ReloadAnswer::NoTrial(ended) => {
            let ended = ended.as_ref().map(|ended| format!(": {ended}")).unwrap_or_default();
            refuse(StatusCode::CONFLICT, word, &format!("no config is on trial{ended}"))
        }
        ReloadAnswer::NotKept(kept) => {
            let list = kept.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let (status, detail) = match job {
                ReloadJob::Rollback(Some(generation)) => {
                    (StatusCode::NOT_FOUND, format!("generation {generation} is not kept; kept are {list}"))
                }
                _ => (StatusCode::CONFLICT, format!("no earlier config is kept; kept are {list}")),
            };
            refuse(status, word, &detail)
        }
        ReloadAnswer::Busy => refuse(StatusCode::SERVICE_UNAVAILABLE, word, "the edge is ending"),
    }
}

/// The terms of a trial; `None` = no trial is asked for.
fn terms(fields: &Map<String, Value>) -> Result<Option<TrialTerms>, String> {
    let guard = fields.get("guard").map(guard).transpose()?;
    match fields.get("confirm") {
        None if guard.is_some() => Err("`guard` needs `confirm`".into()),
        None => Ok(None),
        Some(confirm) => {
            let text = confirm.as_str().ok_or("`confirm` is no text: write \"60s\"")?;
            let confirm = thalweg_config::duration(text).map_err(|problem| format!("`confirm` {problem}"))?;
            if confirm < Duration::from_secs(1) {
                return Err("`confirm` is shorter than 1s".into());
            }
            Ok(Some(TrialTerms { confirm, guard: guard.unwrap_or_default() }))
        }
    }
}

/// A guard; a member that is not there is off.
fn guard(value: &Value) -> Result<Guard, String> {
    let Value::Object(members) = value else { return Err("`guard` is no object".into()) };
    if let Some(name) = members.keys().find(|name| !["error_ratio", "p99_factor"].contains(&name.as_str())) {
        let name: String = name.chars().take(50).collect();
        return Err(format!("`guard` has an unknown field {name:?}: known are error_ratio, p99_factor"));
    }
    let within = |name: &str, from: f64, to: f64| match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64().filter(|number| (from..=to).contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(format!("`guard.{name}` is no number from {from} to {to}")),
        },
    };
    let (error_ratio, p99_factor) = (within("error_ratio", 0.0, 1.0)?, within("p99_factor", 1.0, 1000.0)?);
    Ok(Guard { error_ratio, p99_factor })
}

fn number(fields: &Map<String, Value>, name: &str) -> Result<Option<u64>, String> {
    match fields.get(name) {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| format!("`{name}` is no whole number")),
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
        Some(Value::String(why)) => Ok(by.because(audit::reason(why)?)),
        Some(_) => Err("`reason` is no text".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terms_of_a_trial_are_read_strictly() {
        let read = |body: Value| terms(body.as_object().unwrap());
        assert_eq!(read(json!({})), Ok(None));
        let minute = Duration::from_secs(60);
        let terms = |guard| Ok(Some(TrialTerms { confirm: minute, guard }));
        assert_eq!(read(json!({ "confirm": "60s" })), terms(Guard::default()));
        let both = json!({ "confirm": "1m", "guard": { "error_ratio": 0.5, "p99_factor": 2 } });
        assert_eq!(read(both), terms(Guard { error_ratio: Some(0.5), p99_factor: Some(2.0) }));
        let none = json!({ "confirm": "60s", "guard": {} });
        assert_eq!(read(none), terms(Guard { error_ratio: None, p99_factor: None }));
        for (body, problem) in [
            (json!({ "guard": {} }), "`guard` needs `confirm`"),
            (json!({ "confirm": 60 }), "`confirm` is no text"),
            (json!({ "confirm": "soon" }), "`confirm` "),
            (json!({ "confirm": "10ms" }), "shorter than 1s"),
            (json!({ "confirm": "60s", "guard": 1 }), "`guard` is no object"),
            (json!({ "confirm": "60s", "guard": { "errors": 1 } }), "unknown field \"errors\""),
            (json!({ "confirm": "60s", "guard": { "error_ratio": 2 } }), "no number from 0 to 1"),
            (json!({ "confirm": "60s", "guard": { "p99_factor": 0.5 } }), "no number from 1 to 1000"),
        ] {
            let said = read(body.clone()).unwrap_err();
            assert!(said.contains(problem), "{body}: {said}");
        }
    }
}
