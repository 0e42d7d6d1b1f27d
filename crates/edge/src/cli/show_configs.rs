//! The configs of an edge as an operator reads them: the history, a trial, files that do not count. Pure.

use std::fmt::Write;

use serde_json::Value;

use super::cells::{list, plain, table};

/// `thalweg history`, newest first.
pub(super) fn history(entries: &Value) -> String {
    let row = |entry: &Value| {
        let repeats = entry["repeats"].as_u64().map(|of| format!(" of {of}")).unwrap_or_default();
        let hash = plain(&entry["hash"]).chars().take(12).collect();
        vec![
            plain(&entry["generation"]),
            plain(&entry["time"]),
            plain(&entry["state"]),
            plain(&entry["cause"]) + &repeats,
            plain(&entry["who"]),
            hash,
            plain(&entry["why"]),
        ]
    };
    let head = ["GENERATION", "SINCE", "STATE", "CAUSE", "WHO", "HASH", "REASON"];
    table(&head, list(entries).iter().rev().map(row).collect())
}

/// What an operator must know of the config in force.
pub(super) fn notes(status: &Value) -> String {
    let mut out = String::new();
    let trial = &status["trial"];
    if !trial.is_null() {
        let _ = writeln!(
            out,
            "ON TRIAL: generation {} until {}, then generation {} comes back; `thalweg confirm` keeps it",
            trial["generation"],
            plain(&trial["until"]),
            trial["back_to"]
        );
    }
    let aside = &status["set_aside"];
    if !aside.is_null() {
        let _ = writeln!(
            out,
            "the config files differ from what runs since {} ({}): they count again when they change, or with `thalweg reload`",
            plain(&aside["since"]),
            plain(&aside["because"])
        );
    }
    if let Some(error) = status["history_error"].as_str() {
        let _ = writeln!(out, "configs are not stored: {error}");
    }
    out
}
