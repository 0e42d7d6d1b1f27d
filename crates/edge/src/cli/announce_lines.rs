//! The lines of `status` about the announcement of this edge's addresses.

use serde_json::Value;

/// One line for each protocol of BIRD; none without a table `[announce]`.
pub(super) fn lines(announce: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let wanted = match (announce["wanted"].as_bool(), announce["waits_s"].as_u64()) {
        (Some(true), _) => "wanted".to_owned(),
        (_, Some(left)) => format!("not wanted for {left} s more ({})", text(&announce["why"])),
        _ => format!("not wanted ({})", text(&announce["why"])),
    };
    let line = |one: &Value| {
        let state = if one["announced"] == true { "announced" } else { "NOT announced" };
        let detail = one["detail"].as_str().map(|detail| format!(": {detail}")).unwrap_or_default();
        format!("announce {}  {state}, {wanted}{detail}\n", text(&one["protocol"]))
    };
    announce["protocols"].as_array().into_iter().flatten().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::lines;

    #[test]
    fn the_lines_say_what_is_wanted_and_what_is() {
        let check = |announce: Value, expected: &str| assert_eq!(lines(&announce), expected);
        check(Value::Null, "");
        check(
            json!({ "wanted": true, "why": "ready", "protocols": [{ "protocol": "a4", "announced": true }] }),
            "announce a4  announced, wanted\n",
        );
        check(
            json!({
                "wanted": false, "why": "waiting", "waits_s": 9,
                "protocols": [{ "protocol": "a4", "announced": false, "detail": "BIRD does not reply" }],
            }),
            "announce a4  NOT announced, not wanted for 9 s more (waiting): BIRD does not reply\n",
        );
    }
}
