//! `GET /api/v1/requests/ID`: where a request went and why, from the record that its worker kept. The candidates come
//! from the funnel, run again on the snapshot that decided, or on today's if that one is no longer known. Decides
//! nothing itself.

#![expect(
    clippy::indexing_slicing,
    reason = "reading a JSON value by name never panics: what is missing is null"
)]

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use thalweg_core::{Availability, Reason, Snapshot, Tick};
use tokio::{sync::oneshot, time::timeout};

use super::{
    explain::{self, ExplainBasis, ExplainRequest},
    reply::{Body, json_reply},
    returns,
};
use crate::{
    control::state::Control,
    shared::{
        Command,
        decision::{AttemptRecord, DecisionRecord, RecordAnswer, RecordQuery},
    },
};

/// Where one request is found, its id behind.
pub(crate) const ONE: &str = "/api/v1/requests/";
/// Longest wait for a worker.
const WORKER: Duration = Duration::from_secs(2);

/// The record of a request, or why there is none.
pub(crate) async fn answer(control: &Control, id: &str) -> Response<Body> {
    let keep = control.shared.live.load().wiring.config.decisions.keep;
    if keep == 0 {
        let body =
            json!({ "error": "decisions_off", "detail": "no decision is kept: `[decisions] keep` is 0" });
        return json_reply(StatusCode::NOT_FOUND, &body);
    }
    let answers = ask(control, id).await;
    let now = control.shared.now();
    let kept = kept(&answers, keep, now);
    let same_id: usize = answers.iter().map(|answer| answer.same_id).sum();
    let newest = answers.into_iter().filter_map(|answer| answer.record).max_by_key(|record| record.started);
    let Some(record) = newest else {
        let detail = format!(
            "no request `{id}` is kept here. A request is recorded when it ends; of ordinary requests those {} are \
             kept, of failed, retried and slow ones those {}",
            age(&kept["ordinary_seconds"]),
            age(&kept["notable_seconds"])
        );
        let body = json!({ "error": "unknown_request", "detail": detail, "kept": kept });
        return json_reply(StatusCode::NOT_FOUND, &body);
    };
    let mut shown = fields(&record, now);
    shown.extend(replay(control, &record, now));
    shown.insert("same_id".into(), same_id.into());
    shown.insert("kept".into(), kept);
    json_reply(StatusCode::OK, &shown.into())
}

/// Asks every worker: a request id does not say which one served it.
async fn ask(control: &Control, id: &str) -> Vec<RecordAnswer> {
    let id: Arc<str> = id.into();
    let mut asked = Vec::new();
    for worker in &control.workers {
        let (reply, answer) = oneshot::channel();
        let query = RecordQuery { id: Arc::clone(&id), reply };
        // A worker whose queue is full, or that has ended, holds no record that could be had.
        if worker.try_send(Command::Find(query)).is_ok() {
            asked.push(answer);
        }
    }
    let mut answers = Vec::new();
    for answer in asked {
        answers.extend(timeout(WORKER, answer).await.ok().and_then(Result::ok));
    }
    answers
}

/// How many records are kept and for how long; `null` seconds: nothing was forgotten yet.
fn kept(answers: &[RecordAnswer], keep: usize, now: Tick) -> Value {
    let seconds = |since: fn(&RecordAnswer) -> Option<Tick>| {
        answers.iter().filter_map(since).max().map(|since| now.since(since).as_secs())
    };
    json!({
        "keep": keep,
        "held": answers.iter().map(|answer| answer.held).sum::<usize>(),
        "ordinary_seconds": seconds(|answer| answer.ordinary_since),
        "notable_seconds": seconds(|answer| answer.notable_since),
    })
}

fn age(seconds: &Value) -> String {
    match seconds.as_u64() {
        Some(seconds) => format!("of the last {seconds} s"),
        None => "since the start of this edge".into(),
    }
}

fn fields(record: &DecisionRecord, now: Tick) -> Map<String, Value> {
    let attempt = |attempt: &AttemptRecord| {
        json!({
            "pool": attempt.pool, "endpoint": attempt.endpoint, "kind": attempt.kind.as_str(),
            "reason": attempt.reason.as_str(), "outcome": attempt.outcome, "late": attempt.late,
            "after_us": attempt.after_us, "duration_us": attempt.duration_us,
            "first_byte_us": attempt.first_byte_us, "roll": attempt.roll, "revision": attempt.revision,
        })
    };
    let shown = json!({
        "request_id": record.request_id, "ts": returns::wall(record.started, now),
        "facts": {
            "client": record.client, "method": record.method, "host": record.host, "path": record.path,
            "cut": record.cut,
        },
        "route": if record.route == "-" { Value::Null } else { record.route.as_str().into() },
        "status": record.status, "duration_us": record.duration_us, "first_byte_us": record.first_byte_us,
        "refusal": record.refusal, "error": record.error,
        "roll": record.roll, "generation": record.generation, "revision": record.revision,
        "attempts": record.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "more_attempts": record.more_attempts,
    });
    match shown {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// The candidates, by the snapshot that decided first if it is still known, and what the same request would get today.
fn replay(control: &Control, record: &DecisionRecord, now: Tick) -> Map<String, Value> {
    let today = control.shared.live.load_full();
    let decided = record.attempts.first().map_or(record.revision, |first| first.revision);
    let past = control.keeper.past(decided);
    let request = ExplainRequest {
        host: record.host.clone(),
        path: record.path.clone(),
        client: record.client.parse::<IpAddr>().unwrap_or(ExplainRequest::CLIENT),
        method: record.method.clone(),
        roll: record.roll,
        // No record keeps a cookie.
        cookie: None,
    };
    // The database of then is not kept: a client is where today's says.
    let geo = control.shared.geo.load();
    let basis = |health| ExplainBasis { health, now, geo: geo.as_deref(), signers: &[] };
    let mut now_says = explain::answer(&today.snapshot, &request, &basis("live health"));
    let mut then_says =
        past.as_ref().map(|live| explain::answer(&live.snapshot, &request, &basis("of then")));
    let of_then = then_says.is_some();
    let candidates = then_says.as_mut().unwrap_or(&mut now_says);
    let geo = candidates["geo"].take();
    let (candidates, stage) = (candidates["pools"].take(), candidates["stage"].take());
    let differs = difference(record, &now_says, &today.snapshot);
    let outcome = |said: &Value| match said.get("decision") {
        Some(decision) => decision.clone(),
        None => json!({ "refusal": said["refusal"] }),
    };
    let today = json!({
        "differs": differs.is_some(), "detail": differs, "route": now_says["route"], "decision": outcome(&now_says),
        "generation": now_says["generation"], "revision": now_says["revision"],
    });
    let shown = [
        ("candidates_of", if of_then { "then" } else { "today" }.into()),
        ("stage", stage),
        ("geo", geo),
        ("candidates", candidates),
        ("today", today),
    ];
    shown.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

/// What would be different today; `None` = the request would go to the same pool. Another endpoint of the pool is no
/// difference while the old one serves: inside a pool the load of the moment decides.
fn difference(record: &DecisionRecord, today: &Value, snapshot: &Snapshot) -> Option<String> {
    if record.cut {
        return Some(
            "host or path were too long to be kept whole: today's answer may be that of another".into(),
        );
    }
    let route = today["route"].as_str().unwrap_or("-");
    let moved = if route == record.route { String::new() } else { format!(" on route {route}") };
    let decision = today.get("decision");
    let text = |field: &str| decision.and_then(|decision| decision[field].as_str()).unwrap_or("-");
    let goes = format!("{} in {}{moved}, because {}", text("endpoint"), text("pool"), text("reason"));
    let Some(first) = record.attempts.first() else {
        return decision.map(|_| format!("today it would go to {goes}"));
    };
    // A cookie is not kept, and a trickle is due to whichever request comes: neither can be replayed.
    let beyond_replay = matches!(first.reason, Reason::Affinity | Reason::Probation);
    if beyond_replay && still_serves(snapshot, first) {
        return None;
    }
    let Some(_) = decision else {
        return Some(format!("today it would be refused: {}", today["refusal"].as_str().unwrap_or("-")));
    };
    if text("pool") != first.pool {
        return Some(format!("today it would go to {goes}"));
    }
    (!still_serves(snapshot, first))
        .then(|| format!("today it would go to {goes}; {} no longer serves", first.endpoint))
}

/// Whether the endpoint of an attempt could still be chosen. One that is on probation or unproven could.
fn still_serves(snapshot: &Snapshot, attempt: &AttemptRecord) -> bool {
    let places = snapshot.layout.endpoints.iter().zip(&snapshot.endpoints);
    places.into_iter().any(|(place, view)| {
        let pool = snapshot.pool(place.pool).map(|pool| &*pool.name);
        pool == Some(&*attempt.pool)
            && place.address.to_string() == attempt.endpoint
            && view.availability != Availability::Down
            && view.availability != Availability::AffinityOnly
    })
}
