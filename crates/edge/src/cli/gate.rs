//! `thalweg status --healthy --expect-config HASH --wait 180s`: a gate for scripts and roll-outs. Exits with 0 when
//! all demands hold, else with 1 and one line with the reason.

#![expect(
    clippy::indexing_slicing,
    reason = "reading a JSON value by name never panics: what is missing is null"
)]

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use http::{Method, StatusCode};
use serde_json::Value;

use super::{
    args::{AdminArgs, GateArgs},
    client::{self, Problem},
};

/// Gap between two calls while the gate waits.
const AGAIN: Duration = Duration::from_millis(500);

/// Why the gate stays closed.
pub(super) enum Closed {
    /// The edge did not answer, or the command line is wrong.
    Unanswered(Problem),
    /// The edge answered, and this is not as it should be.
    Unmet(Value, String),
}

/// Asks the edge for its status until everything in `asked` holds or `asked.wait` is over. Without `wait`, asks once.
///
/// # Errors
/// The last answer's reason.
pub(super) fn open(admin: &AdminArgs, asked: &GateArgs) -> Result<Value, Closed> {
    let until = asked.wait.and_then(|wait| Instant::now().checked_add(wait));
    loop {
        let closed = match look(admin, asked) {
            Ok(status) => return Ok(status),
            Err(closed) => closed,
        };
        // Waiting does not correct a wrong command line.
        let hopeless = matches!(closed, Closed::Unanswered(Problem::Usage(_)));
        if hopeless || until.is_none_or(|until| Instant::now() + AGAIN > until) {
            return Err(closed);
        }
        sleep(AGAIN);
    }
}

fn look(admin: &AdminArgs, asked: &GateArgs) -> Result<Value, Closed> {
    match client::ask(admin, Method::GET, "/api/v1/status", "") {
        Ok((StatusCode::OK, status)) => match unmet(&status, asked) {
            Some(reason) => Err(Closed::Unmet(status, reason)),
            None => Ok(status),
        },
        Ok((code, said)) => Err(Closed::Unanswered(Problem::answered(code, &said))),
        Err(problem) => Err(Closed::Unanswered(problem)),
    }
}

/// The first demand that does not hold.
fn unmet(status: &Value, asked: &GateArgs) -> Option<String> {
    let other = asked.expect_config.as_deref().and_then(|hash| other_config(status, hash));
    other.or_else(|| asked.healthy.then(|| unhealthy(status)).flatten())
}

fn other_config(status: &Value, expected: &str) -> Option<String> {
    let have = status["config_hash"].as_str().unwrap_or("none");
    if have == expected {
        return None;
    }
    let last = &status["last_reload"];
    let why = match (last["result"].as_str(), last["errors"][0]["problem"].as_str()) {
        (Some("rejected"), Some(problem)) => format!("; the last reload was rejected: {problem}"),
        (Some(result), _) => format!("; the last reload was {result}"),
        (None, _) => String::new(),
    };
    Some(format!("config {have} is in force, not {expected}{why}"))
}

/// A route that cannot serve, or a pool without an available endpoint.
fn unhealthy(status: &Value) -> Option<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    if let Some(why) = status["unready"].as_str() {
        return Some(format!("the edge is not ready: {why}"));
    }
    let serves = |route: &Value| list(&route["pools"]).iter().any(|pool| pool["share"].as_f64() > Some(0.0));
    let routes = list(&status["routes"]);
    let entries: Vec<Value> = routes.iter().flat_map(|route| list(&route["geo"])).collect();
    if let Some(route) = routes.iter().chain(&entries).find(|route| !serves(route)) {
        return Some(format!("route {} cannot serve", route["name"].as_str().unwrap_or("?")));
    }
    let pools = list(&status["pools"]);
    let pool = pools.iter().find(|pool| pool["up"].as_u64().unwrap_or(0) == 0)?;
    let endpoints = list(&pool["endpoints"]);
    let probe = endpoints.iter().find_map(|endpoint| {
        let last = &endpoint["last_probe"];
        Some(format!("; {}: {}", endpoint["address"].as_str()?, last["error"].as_str()?))
    });
    let (name, cause) = (pool["name"].as_str().unwrap_or("?"), probe.unwrap_or_default());
    Some(format!("pool {name} has no available endpoint ({} in all){cause}", endpoints.len()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_reason_is_the_first_thing_that_does_not_hold() {
        let status = |unready: Value, share: f64, up: u64| {
            json!({
                "unready": unready, "config_hash": "abc",
                "last_reload": { "result": "rejected", "errors": [{ "problem": "no such pool" }] },
                "routes": [{ "name": "api", "pools": [{ "share": 0.0 }, { "share": share }] }],
                "pools": [{ "name": "a", "up": up, "endpoints": [
                    { "address": "10.0.0.1:80", "last_probe": { "result": "refused", "error": "connection refused" } },
                ] }],
            })
        };
        let gate = |healthy: bool, hash: Option<&str>| GateArgs {
            healthy,
            expect_config: hash.map(str::to_owned),
            wait: None,
        };
        let good = status(Value::Null, 1.0, 1);
        let no_pool = "pool a has no available endpoint (1 in all); 10.0.0.1:80: connection refused";
        let other = "config abc is in force, not def; the last reload was rejected: no such pool";
        for (status, asked, expected) in [
            (&good, gate(true, Some("abc")), None),
            (&good, gate(false, Some("def")), Some(other)),
            (&status(json!("draining"), 1.0, 1), gate(true, None), Some("the edge is not ready: draining")),
            (&status(Value::Null, 0.0, 1), gate(true, None), Some("route api cannot serve")),
            (&status(Value::Null, 1.0, 0), gate(true, None), Some(no_pool)),
            (&status(Value::Null, 1.0, 0), gate(false, Some("abc")), None),
        ] {
            assert_eq!(unmet(status, &asked).as_deref(), expected);
        }
    }
}
