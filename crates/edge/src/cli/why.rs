//! The decision record of a request as an operator reads it. Pure.

use std::fmt::Write;

use serde_json::Value;

use super::{
    cells::{list, plain, table},
    show::{latency, percent},
};

/// `thalweg why`.
pub(super) fn record(said: &Value) -> String {
    let (mut out, facts) = (String::new(), &said["facts"]);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let _ = writeln!(
        out,
        "{} {}{}  from {}  at {}  roll {}",
        plain(&facts["method"]),
        plain(&facts["host"]),
        plain(&facts["path"]),
        plain(&facts["client"]),
        plain(&said["ts"]),
        said["roll"]
    );
    let status = match said["status"].as_u64() {
        Some(0) | None => "the client left".to_owned(),
        Some(status) => format!("answered {status}"),
    };
    let ended = text(&said["refusal"]).map(|refusal| format!(", refused: {refusal}"));
    let ended = ended.or_else(|| text(&said["error"]).map(|error| format!(", failed: {error}")));
    let _ = writeln!(
        out,
        "{status}{} after {}, first byte {}",
        ended.unwrap_or_default(),
        latency(&said["duration_us"]),
        latency(&said["first_byte_us"])
    );
    let _ = writeln!(out, "generation {}  revision {}", said["generation"], said["revision"]);
    let _ = writeln!(out, "\nroute     {}", text(&said["route"]).unwrap_or_else(|| "none matches".into()));
    candidates(said, &mut out);
    attempts(said, &mut out);
    if let Some(others) = said["same_id"].as_u64().filter(|count| *count > 1) {
        let _ = writeln!(out, "\nnote      {others} kept requests have this id; this is the newest");
    }
    let today = &said["today"];
    let _ = match text(&today["detail"]) {
        Some(detail) => writeln!(out, "\n{detail}"),
        None => writeln!(out, "\ntoday the same request would go to the same pool"),
    };
    out
}

fn candidates(said: &Value, out: &mut String) {
    let Some(stage) = said["stage"].as_str() else { return };
    let of_then = said["candidates_of"] == "then";
    let note = if of_then { "" } else { "  (the snapshot of then is no longer known: these are today's)" };
    let _ = writeln!(out, "stage     {stage}{note}\n");
    let cell = |pool: &Value| {
        let weight = plain(&pool["weight"]);
        let dial = format!("{}%", pool["dial"]);
        let (verdict, share) = (plain(&pool["verdict"]), percent(&pool["share"]));
        vec![plain(&pool["pool"]), plain(&pool["tier"]), weight, dial, verdict, share]
    };
    let rows = list(&said["candidates"]).iter().map(cell).collect();
    out.push_str(&table(&["CANDIDATE", "TIER", "WEIGHT", "DIAL", "VERDICT", "SHARE"], rows));
}

fn attempts(said: &Value, out: &mut String) {
    let all = list(&said["attempts"]);
    if all.is_empty() {
        out.push_str("\nno endpoint was asked\n");
        return;
    }
    let row = |(nth, attempt): (usize, &Value)| {
        let late = if attempt["late"] == true { " late" } else { "" };
        vec![
            format!("{} {}", nth + 1, plain(&attempt["kind"])),
            plain(&attempt["endpoint"]),
            plain(&attempt["pool"]),
            plain(&attempt["reason"]),
            plain(&attempt["outcome"]) + late,
            latency(&attempt["after_us"]),
            latency(&attempt["duration_us"]),
            latency(&attempt["first_byte_us"]),
        ]
    };
    let head = ["ATTEMPT", "ENDPOINT", "POOL", "REASON", "OUTCOME", "AFTER", "TOOK", "FIRST BYTE"];
    let _ = write!(out, "\n{}", table(&head, all.iter().enumerate().map(row).collect()));
    if let Some(more) = said["more_attempts"].as_u64().filter(|more| *more > 0) {
        let _ = writeln!(out, "and {more} more");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said() -> Value {
        json!({
            "request_id": "r1", "ts": "2026-01-02T03:04:05.678Z",
            "facts": { "client": "192.0.2.1", "method": "GET", "host": "a.test", "path": "/x", "cut": false },
            "route": "api", "status": 200, "duration_us": 12_300, "first_byte_us": 12_000, "refusal": null,
            "error": null, "roll": 7, "generation": 2, "revision": 30, "stage": "up", "candidates_of": "then",
            "candidates": [
                { "pool": "near", "tier": 0, "weight": 1, "dial": 100, "verdict": "short", "share": 0.0 },
                { "pool": "far", "tier": 1, "weight": 1, "dial": 100, "verdict": "open", "share": 1.0 },
            ],
            "attempts": [
                { "pool": "far", "endpoint": "10.0.0.1:80", "kind": "first", "reason": "failover", "late": true,
                  "outcome": "reset", "after_us": 0, "duration_us": 2000, "first_byte_us": null },
                { "pool": "far", "endpoint": "10.0.0.2:80", "kind": "retry", "reason": "failover", "late": false,
                  "outcome": "ok", "after_us": 2100, "duration_us": 9000, "first_byte_us": 8800 },
            ],
            "more_attempts": 0, "same_id": 1,
            "today": { "differs": true, "detail": "today it would go to 10.1.0.1:80 in near, because balanced" },
        })
    }

    #[test]
    fn a_record_tells_candidates_attempts_and_what_would_differ_today() {
        let expected = "\
GET a.test/x  from 192.0.2.1  at 2026-01-02T03:04:05.678Z  roll 7
answered 200 after 12.3ms, first byte 12.0ms
generation 2  revision 30

route     api
stage     up

CANDIDATE  TIER  WEIGHT  DIAL  VERDICT  SHARE
near       0     1       100%  short    0.0%
far        1     1       100%  open     100.0%

ATTEMPT  ENDPOINT     POOL  REASON    OUTCOME     AFTER  TOOK   FIRST BYTE
1 first  10.0.0.1:80  far   failover  reset late  0.0ms  2.0ms  -
2 retry  10.0.0.2:80  far   failover  ok          2.1ms  9.0ms  8.8ms

today it would go to 10.1.0.1:80 in near, because balanced
";
        assert_eq!(record(&said()), expected);
    }

    #[test]
    fn a_refused_request_and_a_missing_snapshot_are_told() {
        let mut said = said();
        said["attempts"] = json!([]);
        said["refusal"] = "no_endpoint".into();
        said["status"] = 503.into();
        said["candidates_of"] = "today".into();
        said["same_id"] = 3.into();
        said["today"] = json!({ "differs": false, "detail": null });
        let text = record(&said);
        for part in [
            "answered 503, refused: no_endpoint after",
            "these are today's",
            "no endpoint was asked",
            "3 kept requests have this id",
            "today the same request would go to the same pool",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
