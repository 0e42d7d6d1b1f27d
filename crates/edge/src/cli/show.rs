//! Answers as an operator reads them at three in the morning: aligned, with the worst first. Pure.

#![expect(
    clippy::indexing_slicing,
    reason = "reading a JSON value by name never panics: what is missing is null"
)]

use std::fmt::Write;

use serde_json::Value;

/// JSON that people can read too.
pub(super) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// An error or warning with its place.
pub(super) fn placed(error: &Value) -> String {
    let text = |key: &str| error[key].as_str().unwrap_or_default();
    let hint = error["hint"].as_str().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let path = text("path");
    let path = if path.is_empty() { String::new() } else { format!(" {path}") };
    format!("{}:{}:{}{path}: {}{hint}", text("file"), error["line"], error["column"], text("problem"))
}

/// `thalweg status`.
pub(super) fn status(status: &Value) -> String {
    let mut out = String::new();
    let ready = match status["unready"].as_str() {
        Some(why) => format!("NOT READY ({why})"),
        None => "ready".into(),
    };
    let _ = writeln!(
        out,
        "{}  {ready}  version {}  up {}  generation {}  revision {}",
        plain(&status["edge"]["name"]),
        plain(&status["version"]),
        span(status["uptime_seconds"].as_u64().unwrap_or(0)),
        status["generation"],
        status["revision"],
    );
    let last = &status["last_reload"];
    if !last.is_null() {
        let _ = writeln!(out, "last reload {} at {}", plain(&last["result"]), plain(&last["time"]));
    }
    for error in list(&last["errors"]) {
        let _ = writeln!(out, "  {}", placed(error));
    }
    for waiting in list(&status["restart_required"]) {
        let _ = writeln!(out, "waits for a restart: {}", plain(waiting));
    }
    for warning in list(&status["warnings"]) {
        let _ = writeln!(out, "warning: {}", placed(warning));
    }
    out.push('\n');
    out.push_str(&table(&["ROUTE", "POOL", "TIER", "WEIGHT", "DIAL", "SHARE", "STATE"], routes(status)));
    out.push('\n');
    let head = [
        "POOL",
        "ENDPOINT",
        "STATE",
        "PROBE",
        "ADMIN",
        "EJECTION",
        "SCALE",
        "LATENCY",
        "P95",
        "FLIGHT",
        "WEIGHT",
        "LAST PROBE",
    ];
    out.push_str(&table(&head, endpoints(status)));
    out
}

fn routes(status: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for route in list(&status["routes"]) {
        for pool in list(&route["pools"]) {
            let mut state = Vec::new();
            state.extend((route["stage"] != "up").then(|| plain(&route["stage"])));
            state.extend((pool["held"] == true).then(|| "held".to_owned()));
            state.extend((pool["near"] == true).then(|| "near".to_owned()));
            rows.push(vec![
                plain(&route["name"]),
                plain(&pool["pool"]),
                plain(&pool["tier"]),
                plain(&pool["weight"]),
                format!("{}%", pool["dial"]),
                percent(&pool["share"]),
                state.join(" "),
            ]);
        }
    }
    rows
}

fn endpoints(status: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for pool in list(&status["pools"]) {
        for endpoint in list(&pool["endpoints"]) {
            let last = &endpoint["last_probe"];
            let said = match last["error"].as_str().or(last["note"].as_str()) {
                Some(error) => format!("{}: {error}", plain(&last["result"])),
                None => plain(&last["result"]),
            };
            rows.push(vec![
                plain(&pool["name"]),
                plain(&endpoint["address"]),
                plain(&endpoint["availability"]),
                probe(endpoint),
                plain(&endpoint["admin"]),
                ejection(endpoint),
                scale(endpoint),
                latency(&endpoint["latency_us"]),
                latency(&endpoint["p95_us"]),
                plain(&endpoint["in_flight"]),
                plain(&endpoint["weight"]),
                said,
            ]);
        }
    }
    rows
}

/// `thalweg explain`.
pub(super) fn explained(said: &Value) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} {}{}  from {}  roll {}",
        plain(&said["method"]),
        plain(&said["host"]),
        plain(&said["path"]),
        plain(&said["client"]),
        said["roll"]
    );
    let _ = writeln!(
        out,
        "generation {}  revision {}  {}",
        said["generation"],
        said["revision"],
        plain(&said["health"])
    );
    let _ = writeln!(out, "\nroute     {}", said["route"].as_str().unwrap_or("none matches"));
    if let Some(stage) = said["stage"].as_str() {
        let _ = writeln!(out, "stage     {stage}\n");
        let mut rows = Vec::new();
        for pool in list(&said["pools"]) {
            rows.push(vec![
                plain(&pool["pool"]),
                plain(&pool["tier"]),
                plain(&pool["weight"]),
                format!("{}%", pool["dial"]),
                latency(&pool["latency_us"]),
                plain(&pool["verdict"]),
                percent(&pool["share"]),
            ]);
        }
        out.push_str(&table(&["POOL", "TIER", "WEIGHT", "DIAL", "LATENCY", "VERDICT", "SHARE"], rows));
        out.push_str(&reduced(said));
    }
    let decision = &said["decision"];
    let _ = match said["refusal"].as_str() {
        Some(refusal) => writeln!(out, "\nrefusal   {refusal}"),
        None => writeln!(
            out,
            "\ndecision  {} in {}, because {}",
            plain(&decision["endpoint"]),
            plain(&decision["pool"]),
            plain(&decision["reason"])
        ),
    };
    out
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn percent(value: &Value) -> String {
    format!("{:.1}%", value.as_f64().unwrap_or(0.0) * 100.0)
}

fn latency(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".into(), |us| format!("{:.1}ms", us / 1000.0))
}

/// `flapping 8 of 12`: how many of the last probes succeeded.
fn probe(endpoint: &Value) -> String {
    let flapping = &endpoint["flapping"];
    let counts = flapping.is_object().then(|| format!(" {} of {}", flapping["good"], flapping["of"]));
    format!("{}{}", plain(&endpoint["probe"]), counts.unwrap_or_default())
}

/// The part of its share that an endpoint takes; `-` for all of it.
fn scale(endpoint: &Value) -> String {
    match endpoint["scale"].as_f64() {
        Some(part) if part < 1.0 => percent(&endpoint["scale"]),
        _ => "-".into(),
    }
}

/// The endpoints that take less than their share, one line each.
fn reduced(said: &Value) -> String {
    let mut out = String::new();
    for pool in list(&said["pools"]) {
        for endpoint in list(&pool["reduced"]) {
            let mut why = Vec::new();
            why.extend(endpoint["flapping"].is_object().then(|| {
                let flapping = &endpoint["flapping"];
                format!("flapping probe, {} of {} good", flapping["good"], flapping["of"])
            }));
            let asked = endpoint["weight_from_body"].as_u64().filter(|asked| *asked < 100);
            why.extend(asked.map(|asked| format!("its health answer says weight {asked}")));
            let (address, part) = (plain(&endpoint["endpoint"]), percent(&endpoint["scale"]));
            let _ = writeln!(
                out,
                "reduced   {address} in {} to {part}: {}",
                plain(&pool["pool"]),
                why.join("; ")
            );
        }
    }
    out
}

/// `ejected #2 until 03:04:05.678Z`: the operator compares the time of day with the clock on the wall.
fn ejection(endpoint: &Value) -> String {
    let state = plain(&endpoint["ejection"]);
    let count = endpoint["ejection_count"].as_u64().filter(|_| state != "clear");
    let number = count.map(|count| format!(" #{count}")).unwrap_or_default();
    let until = endpoint["ejected_until"].as_str().and_then(|time| time.split_once('T'));
    let until = until.map(|(_, time)| format!(" until {time}")).unwrap_or_default();
    format!("{state}{number}{until}")
}

fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, ..) => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}

/// Columns as wide as their widest cell; the last one is not padded.
fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width =
        |column: usize| all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let mut out = String::new();
    for row in &all {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let _ = write!(line, "{cell:<width$}  ", width = width(column).unwrap_or(0));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_aligned_and_lines_not_padded() {
        let rows = vec![vec!["a".into(), "bb".into()], vec!["long".into(), String::new()]];
        assert_eq!(table(&["X", "Y"], rows), "X     Y\na     bb\nlong\n");
    }

    #[test]
    fn spans_are_short() {
        assert_eq!([5, 65, 7260, 90_000].map(span), ["5s", "1m5s", "2h1m", "1d1h"]);
    }

    #[test]
    fn an_ejection_says_which_and_until_when() {
        let ejected =
            json!({ "ejection": "ejected", "ejection_count": 2, "ejected_until": "2026-01-02T03:04:05Z" });
        assert_eq!(ejection(&ejected), "ejected #2 until 03:04:05Z");
        assert_eq!(ejection(&json!({ "ejection": "probation", "ejection_count": 1 })), "probation #1");
        assert_eq!(ejection(&json!({ "ejection": "clear", "ejection_count": 1 })), "clear");
    }

    #[test]
    fn an_endpoint_that_takes_less_than_its_share_says_why() {
        let flapping = json!({ "probe": "flapping", "flapping": { "good": 8, "of": 12 }, "scale": 0.667 });
        assert_eq!((probe(&flapping).as_str(), scale(&flapping).as_str()), ("flapping 8 of 12", "66.7%"));
        let steady = json!({ "probe": "healthy", "flapping": null, "scale": 1.0 });
        assert_eq!((probe(&steady).as_str(), scale(&steady).as_str()), ("healthy", "-"));
        let endpoint = json!({
            "endpoint": "10.0.0.1:80", "scale": 0.334, "flapping": { "good": 8, "of": 12 }, "weight_from_body": 50,
        });
        let said = json!({ "pools": [{ "pool": "a", "reduced": [endpoint] }] });
        assert_eq!(
            reduced(&said),
            "reduced   10.0.0.1:80 in a to 33.4%: flapping probe, 8 of 12 good; its health answer says weight 50\n"
        );
    }

    #[test]
    fn a_placed_error_reads_as_check_prints_it() {
        let error = json!({ "file": "t.toml", "line": 3, "column": 1, "path": "a.b", "problem": "bad", "hint": "so" });
        assert_eq!(placed(&error), "t.toml:3:1 a.b: bad (so)");
    }
}
