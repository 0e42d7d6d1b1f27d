//! Whether an answer meets the expectations. Pure; evidence contains what an operator wants to read first.

use http::StatusCode;
use serde_json::Value;
use thalweg_config::Probe;
use thalweg_core::{Evidence, Fault, SaidWeight};

/// Longest detail of an evidence in bytes.
const DETAIL: usize = 200;

/// Evidence of a kind, cut to size.
pub(crate) fn evidence(fault: Fault, detail: &str) -> Evidence {
    let mut end = detail.len().min(DETAIL);
    while !detail.is_char_boundary(end) {
        end -= 1;
    }
    Evidence { fault, detail: detail.get(..end).unwrap_or_default().into() }
}

/// Whether the status is expected.
pub(crate) fn status_fits(probe: &Probe, status: StatusCode) -> bool {
    probe.expect_status.iter().any(|(from, to)| (*from..=*to).contains(&status.as_u16()))
}

/// The evidence for an unexpected status; the body often says more.
pub(crate) fn wrong_status(probe: &Probe, status: StatusCode, body: &[u8]) -> Evidence {
    let range = |(from, to): &(u16, u16)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    let expected: Vec<String> = probe.expect_status.iter().map(range).collect();
    let said = snippet(body);
    let said = if said.is_empty() { said } else { format!(": {said}") };
    let detail = format!("status {}, expected {}{said}", status.as_u16(), expected.join(" "));
    evidence(Fault::Status, &detail)
}

/// Whether the body meets the expectations.
///
/// # Errors
/// The evidence against it.
pub fn body_fits(probe: &Probe, body: &[u8]) -> Result<(), Evidence> {
    let wrong = |what: String| Err(evidence(Fault::Body, &printable(&format!("{what}: {}", snippet(body)))));
    let json: Value = match serde_json::from_slice(body) {
        Ok(json) => json,
        Err(error) => return wrong(format!("no JSON ({error})")),
    };
    let Value::Object(members) = &json else { return wrong("no JSON object".into()) };
    for (member, accepted) in &probe.expect_json {
        match members.get(member) {
            None => return wrong(format!("no `{member}`")),
            Some(value) if !accepted.iter().any(|accepted| same(accepted, value)) => {
                return wrong(format!("`{member}` is {value}"));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// What a good answer says about its endpoint. A weight that cannot be read changes no share: the endpoint is told so.
pub(crate) fn said_weight(body: &[u8]) -> SaidWeight {
    let trouble = |what: String| SaidWeight {
        trouble: Some(evidence(Fault::Body, &printable(&what)).detail),
        ..SaidWeight::default()
    };
    let members = match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => members,
        Ok(_) => return trouble(format!("no JSON object: {}", snippet(body))),
        Err(error) => return trouble(format!("no JSON ({error}): {}", snippet(body))),
    };
    let degraded = members.get("status").is_some_and(|status| status == "degraded");
    let percent = match members.get("weight") {
        None => Some(if degraded { 50 } else { 100 }),
        Some(weight) => {
            weight.as_u64().and_then(|weight| u8::try_from(weight).ok()).filter(|weight| *weight <= 100)
        }
    };
    match (percent, members.get("weight")) {
        (Some(percent), _) => SaidWeight { percent, degraded, trouble: None },
        (None, weight) => {
            let weight = weight.map(Value::to_string).unwrap_or_default();
            SaidWeight {
                degraded,
                ..trouble(format!("`weight` is {weight}, not a whole number from 0 to 100"))
            }
        }
    }
}

/// Equality in which 1 and 1.0 are the same number.
fn same(accepted: &Value, value: &Value) -> bool {
    match (accepted, value) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        _ => accepted == value,
    }
}

/// The beginning of a body as one printable line.
fn snippet(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..120).unwrap_or(body));
    printable(&text).trim().to_owned()
}

/// The text with spaces for control characters. JSON text may hold some of them raw, such as U+007F.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn probe() -> Probe {
        Probe {
            kind: thalweg_config::ProbeKind::Http,
            name: "p".into(),
            path: "/health".into(),
            method: "GET".into(),
            expect_status: vec![(200, 200), (300, 399)],
            expect_json: vec![
                ("status".into(), vec![json!("ok"), json!("degraded")]),
                ("n".into(), vec![json!(1)]),
            ],
            host: None,
            port: None,
            headers: Vec::new(),
        }
    }

    fn check(body: &str, expected: &str) {
        let said = body_fits(&probe(), body.as_bytes());
        assert_eq!(
            said.map_or_else(|seen| seen.detail.into_string(), |()| "fits".into()),
            expected,
            "{body}"
        );
    }

    #[test]
    fn every_expected_member_must_have_an_accepted_value() {
        check(r#"{"status":"ok","n":1}"#, "fits");
        check(r#"{"n":1.0,"status":"degraded","more":[]}"#, "fits");
        check(r#"{"status":"bad","n":1}"#, r#"`status` is "bad": {"status":"bad","n":1}"#);
        check(r#"{"status":"ok"}"#, r#"no `n`: {"status":"ok"}"#);
        check("{\"status\":\"\u{7f}\"}", "`status` is \" \": {\"status\":\" \"}");
        check(r#"["ok"]"#, r#"no JSON object: ["ok"]"#);
        assert!(body_fits(&probe(), b"<html>\r\nno").unwrap_err().detail.ends_with(": <html>  no"));
    }

    #[test]
    fn a_status_fits_by_ranges_and_a_wrong_one_says_what_was_expected() {
        let fits = |code: u16| status_fits(&probe(), StatusCode::from_u16(code).unwrap());
        assert!(fits(200) && fits(301) && fits(399) && !fits(201) && !fits(503));
        let seen = wrong_status(&probe(), StatusCode::SERVICE_UNAVAILABLE, b"{\"status\":\"unhealthy\"}");
        assert_eq!(&*seen.detail, "status 503, expected 200 300-399: {\"status\":\"unhealthy\"}");
        assert_eq!(seen.fault, Fault::Status);
    }

    #[test]
    fn a_good_answer_may_ask_for_a_part_of_the_share() {
        let check = |body: &str, percent: u8, degraded: bool, trouble: &str| {
            let said = said_weight(body.as_bytes());
            let seen = (said.percent, said.degraded, said.trouble.as_deref().unwrap_or_default());
            assert_eq!(seen, (percent, degraded, trouble), "{body}");
        };
        check(r#"{"status":"ok"}"#, 100, false, "");
        check(r#"{"status":"degraded"}"#, 50, true, "");
        check(r#"{"status":"degraded","weight":30}"#, 30, true, "");
        check(r#"{"status":"ok","weight":70}"#, 70, false, "");
        check(r#"{"weight":0}"#, 0, false, "");
        check(r#"{"weight":100}"#, 100, false, "");
        for weight in
            ["-1", "101", "1e9", "50.0", "50.5", "\"50\"", "null", "true", "[50]", "18446744073709551616"]
        {
            let body = format!(r#"{{"status":"degraded","weight":{weight}}}"#);
            let said = said_weight(body.as_bytes());
            assert_eq!((said.percent, said.degraded), (100, true), "{body}");
            assert!(said.trouble.is_some_and(|said| said.starts_with("`weight` is ")), "{body}");
        }
        check("[]", 100, false, "no JSON object: []");
        assert!(said_weight(b"fine").trouble.is_some_and(|said| said.starts_with("no JSON (")));
    }

    #[test]
    fn details_are_cut_between_characters() {
        let long = "é".repeat(300);
        let cut = evidence(Fault::Body, &format!("x{long}"));
        assert_eq!(cut.detail.len(), 199);
    }
}
