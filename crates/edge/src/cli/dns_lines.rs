//! The lines of `status` about DNS: where it is answered, and what would be answered now.

use serde_json::Value;

use super::cells::list;

/// One line for each address, and one for each answer of each name; none without a table `[dns]`.
pub(super) fn lines(dns: &Value) -> String {
    let listen = |one: &Value| {
        let state = match (one["bound"].as_str(), one["error"].as_str()) {
            (Some(bound), _) => format!("answers on {bound}"),
            (None, Some(error)) => format!("NOT bound: {error}"),
            (None, None) => "not bound yet".to_owned(),
        };
        format!("dns {}  {state}\n", text(&one["address"]))
    };
    let name = |one: &Value| {
        let name = text(&one["name"]);
        if one["route"].is_null() {
            return format!("dns {name}  {}\n", all(&one["addresses"]));
        }
        list(&one["answers"]).iter().map(|answer| line(name, text(&one["route"]), answer)).collect()
    };
    let listen = list(&dns["listen"]).iter().map(listen);
    listen.chain(list(&dns["names"]).iter().map(name)).collect()
}

fn line(name: &str, route: &str, answer: &Value) -> String {
    let places: Vec<&str> = list(&answer["from"]).iter().map(text).collect();
    let from = if places.is_empty() { String::new() } else { format!(" from {}", places.join(" ")) };
    let pool = |one: &Value| {
        let share = one["share"].as_f64().map(|share| format!(" {:.1}%", share * 100.0)).unwrap_or_default();
        format!("{}{share} ({})", text(&one["pool"]), all(&one["addresses"]))
    };
    let pools: Vec<String> = list(&answer["pools"]).iter().map(pool).collect();
    let what = match (answer["ready"] == true, answer["names_all"] == true) {
        (false, _) => "SERVFAIL until the first probe round has ended".to_owned(),
        (true, true) => format!("every pool, as in panic: {}", pools.join(", ")),
        (true, false) => pools.join(", "),
    };
    format!("dns {name}{from}  route {route}: {what}\n")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn all(addresses: &Value) -> String {
    list(addresses).iter().map(text).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::lines;

    #[test]
    fn the_lines_say_where_dns_is_answered_and_what() {
        let check = |dns: Value, expected: &str| assert_eq!(lines(&dns), expected);
        check(Value::Null, "");
        check(
            json!({ "listen": [
                { "address": "[::]:53", "bound": "[::]:53", "error": null },
                { "address": "192.0.2.9:53", "bound": null, "error": "over UDP: taken" },
            ] }),
            "dns [::]:53  answers on [::]:53\ndns 192.0.2.9:53  NOT bound: over UDP: taken\n",
        );
        let pool =
            |share: Value| json!({ "pool": "eu", "share": share, "addresses": ["192.0.2.1", "192.0.2.2"] });
        let answer = |from: Value, ready: bool, all: bool, pools: Value| {
            json!({ "names": [{ "name": "a.test", "route": "r", "addresses": [],
                "answers": [{ "from": from, "ready": ready, "names_all": all, "pools": pools }] }] })
        };
        check(
            answer(Value::Null, true, false, json!([pool(json!(1.0))])),
            "dns a.test  route r: eu 100.0% (192.0.2.1 192.0.2.2)\n",
        );
        check(
            answer(json!(["country:DE"]), true, true, json!([pool(Value::Null)])),
            "dns a.test from country:DE  route r: every pool, as in panic: eu (192.0.2.1 192.0.2.2)\n",
        );
        check(
            answer(Value::Null, false, false, json!([])),
            "dns a.test  route r: SERVFAIL until the first probe round has ended\n",
        );
        check(
            json!({ "names": [{ "name": "ns.test", "route": null, "addresses": ["192.0.2.9"] }] }),
            "dns ns.test  192.0.2.9\n",
        );
    }
}
