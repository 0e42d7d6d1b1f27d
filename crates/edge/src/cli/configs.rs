//! Commands about the configs of a running edge: `reload`, `plan`, `confirm`, `history`, `rollback`.

#![expect(
    clippy::indexing_slicing,
    reason = "reading a JSON value by name never panics: what is missing is null"
)]

use std::path::Path;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    args::{AdminArgs, ConfigCallArgs, Format, ReloadArgs},
    client::{self, Problem},
    show, show_configs,
    terminal::{exit, note, print, refuse, say},
};

pub(super) fn reload(asked: &ReloadArgs) -> u8 {
    let mut body = json!({ "confirm": asked.confirm });
    // Without options for the guard, the edge's own bounds count.
    if asked.guard_errors.is_some() || asked.guard_p99.is_some() {
        let errors = asked.guard_errors.or(Some(0.02));
        body["guard"] = json!({ "error_ratio": errors, "p99_factor": asked.guard_p99 });
    }
    change("reload", body, &asked.call)
}

/// Sends the files as they stand here: the edge checks them with its own environment, certificates and tokens.
pub(super) fn plan(config: &Path, admin: &AdminArgs, format: Format) -> u8 {
    let main = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let texts = match thalweg_config::read_texts(&main) {
        Ok(texts) => texts,
        Err(errors) => return refuse(&errors),
    };
    let files: Vec<Value> =
        texts.iter().map(|one| json!({ "path": one.path.to_string_lossy(), "text": &*one.text })).collect();
    let body = json!({ "config": { "files": files } }).to_string();
    match client::ask(admin, Method::POST, "/api/v1/plan", &body) {
        Ok((StatusCode::OK, said)) => {
            let code = print(&match format {
                Format::Json => show::pretty(&said),
                Format::Human => show_configs::plan(&said),
            });
            let warned = said["warnings"].as_array().is_some_and(|all| !all.is_empty());
            if warned { code.max(exit::WARNING) } else { code }
        }
        Ok((StatusCode::UNPROCESSABLE_ENTITY, said)) if said["errors"].is_array() => {
            rejected(&said, format);
            exit::CONFIG
        }
        Ok((status, said)) => Problem::answered(status, &said).tell(),
        Err(problem) => problem.tell(),
    }
}

pub(super) fn confirm(call: &ConfigCallArgs) -> u8 {
    change("confirm", json!({}), call)
}

pub(super) fn rollback(generation: Option<u64>, call: &ConfigCallArgs) -> u8 {
    change("rollback", json!({ "generation": generation }), call)
}

pub(super) fn history(admin: &AdminArgs, format: Format) -> u8 {
    match client::ask(admin, Method::GET, "/api/v1/history", "") {
        Ok((StatusCode::OK, said)) => print(&match format {
            Format::Json => show::pretty(&said),
            Format::Human => show_configs::history(&said),
        }),
        Ok((status, said)) => Problem::answered(status, &said).tell(),
        Err(problem) => problem.tell(),
    }
}

fn change(word: &str, mut body: Value, call: &ConfigCallArgs) -> u8 {
    body["reason"] = json!(call.reason);
    let format = call.format.format;
    match client::ask(&call.admin, Method::POST, &format!("/api/v1/{word}"), &body.to_string()) {
        Ok((StatusCode::OK, said)) => print(&match format {
            Format::Json => show::pretty(&said),
            Format::Human => done(&said),
        }),
        Ok((StatusCode::UNPROCESSABLE_ENTITY, said)) if said["errors"].is_array() => {
            rejected(&said, format);
            say("rejected: the config in force stays");
            exit::CONFIG
        }
        Ok((status @ StatusCode::UNPROCESSABLE_ENTITY, said)) => {
            Problem::answered(status, &said).tell().max(exit::CONFIG)
        }
        Ok((status, said)) => Problem::answered(status, &said).tell(),
        Err(problem) => problem.tell(),
    }
}

/// The errors of a config that the edge did not take.
pub(super) fn rejected(said: &Value, format: Format) {
    if format == Format::Json {
        print(&show::pretty(said));
    }
    for error in said["errors"].as_array().into_iter().flatten() {
        note(&show::placed(error));
    }
}

/// The result of a call, in a line or two.
fn done(said: &Value) -> String {
    let (result, generation) = (said["result"].as_str().unwrap_or("applied"), &said["generation"]);
    let trial = &said["trial"];
    if trial.is_null() {
        return format!("{result}: generation {generation}\n");
    }
    let until = trial["until"].as_str().unwrap_or_default();
    let back_to = &trial["back_to"];
    let stored = if trial["stored"] == true {
        ""
    } else {
        "a crash during the trial starts with the files: `[edge] state_dir` would keep the config before\n"
    };
    format!(
        "on trial: generation {generation}; generation {back_to} comes back at {until} unless `thalweg confirm` keeps it\n{stored}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_trial_is_told() {
        assert_eq!(done(&json!({ "generation": 3, "result": "unchanged" })), "unchanged: generation 3\n");
        let trial = json!({ "back_to": 2, "until": "2026-01-02T03:04:05.678Z", "stored": true });
        let said = json!({ "generation": 3, "result": "on_trial", "trial": trial });
        assert!(done(&said).starts_with("on trial: generation 3; generation 2 comes back at 2026-01-02T"));
        assert!(!done(&said).contains("crash"));
    }
}
