//! The configs of an edge as an operator reads them: the history, a trial, files that do not count. Pure.

use std::fmt::Write;

use serde_json::Value;

use super::{
    cells::{list, plain, table},
    show::placed,
};

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

/// `thalweg plan`: what speaks against it first, then what moves, then every key.
pub(super) fn plan(plan: &Value) -> String {
    let mut out = String::new();
    for warning in list(&plan["warnings"]) {
        let _ = writeln!(out, "WARNING {}: {}", plain(&warning["kind"]), plain(&warning["detail"]));
    }
    if list(&plan["moves"]).is_empty() {
        out.push_str("no traffic moves\n");
    } else {
        let end = |name: &Value| name.as_str().map_or_else(|| "(not served)".to_owned(), str::to_owned);
        let row = |one: &Value| {
            let share = one["share"].as_f64().unwrap_or(0.0) * 100.0;
            let rate =
                one["requests_per_s"].as_f64().map_or_else(|| "?".to_owned(), |rate| format!("{rate:.1}"));
            vec![plain(&one["route"]), end(&one["from"]), end(&one["to"]), format!("{share:.1}%"), rate]
        };
        let head = ["ROUTE", "FROM", "TO", "SHARE", "REQUESTS/S"];
        out.push_str(&table(&head, list(&plan["moves"]).iter().map(row).collect()));
    }
    for change in list(&plan["changes"]) {
        let _ = match change["op"].as_str() {
            Some("removed") => writeln!(out, "- {} {}", plain(&change["kind"]), plain(&change["name"])),
            Some(_) => writeln!(out, "+ {} {}", plain(&change["kind"]), plain(&change["name"])),
            None => writeln!(
                out,
                "~ {}: {} -> {}",
                plain(&change["path"]),
                plain(&change["from"]),
                plain(&change["to"])
            ),
        };
    }
    match plan["changes_left_off"].as_u64() {
        Some(more) if more > 0 => _ = writeln!(out, "and {more} more changes"),
        _ if list(&plan["changes"]).is_empty() => out.push_str("nothing changes\n"),
        _ => {}
    }
    for note in list(&plan["config_warnings"]) {
        let _ = writeln!(out, "note: {}", placed(note));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_begins_with_what_speaks_against_it() {
        let said = json!({
            "warnings": [{ "kind": "untried_pool", "detail": "pool c would take 100 % of route all" }],
            "moves": [
                { "route": "all", "from": "a", "to": "c", "share": 0.25, "requests_per_s": 12.5 },
                { "route": "new", "from": null, "to": "c", "share": 1.0, "requests_per_s": null },
            ],
            "changes": [
                { "kind": "pool", "op": "added", "name": "c" },
                { "kind": "key", "path": "pool.a.capacity", "from": "1", "to": null },
            ],
            "changes_left_off": 3,
        });
        let shown = plan(&said);
        let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
        assert_eq!(lines[0], "WARNING untried_pool: pool c would take 100 % of route all");
        assert!(lines[2].contains("25.0%") && lines[2].contains("12.5"), "{shown}");
        assert!(lines[3].contains("(not served)") && lines[3].ends_with('?'), "{shown}");
        assert_eq!(lines[4..], ["+ pool c", "~ pool.a.capacity: 1 -> -", "and 3 more changes"]);
        assert_eq!(plan(&json!({ "moves": [], "changes": [] })), "no traffic moves\nnothing changes\n");
    }
}
