//! Answers as text for operators: aligned, with the worst first. Pure.

#![expect(
    clippy::indexing_slicing,
    reason = "reading a JSON value by name never panics: what is missing is null"
)]

use std::fmt::Write;

use serde_json::Value;

use super::{
    announce_lines,
    cells::{list, plain, span, table},
    dns_lines, fleet_lines, geo_lines, show_configs,
};

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
    out.push_str(&show_configs::notes(status));
    for waiting in list(&status["restart_required"]) {
        let _ = writeln!(out, "waits for a restart: {}", plain(waiting));
    }
    for warning in list(&status["warnings"]) {
        let _ = writeln!(out, "warning: {}", placed(warning));
    }
    out.push_str(&geo_lines::database(&status["geo"]));
    out.push_str(&announce_lines::lines(&status["announce"]));
    out.push_str(&dns_lines::lines(&status["dns"]));
    out.push_str(&fleet_lines::lines(&status["fleet"]));
    if !list(&status["orders"]).is_empty() {
        let _ = write!(out, "\n{}", orders(&status["orders"]));
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

/// `thalweg orders`.
pub(super) fn orders(orders: &Value) -> String {
    if list(orders).is_empty() {
        return "no order stands\n".to_owned();
    }
    let left = |order: &Value| match order["left"]["requests"].as_u64() {
        Some(requests) => format!("{requests} requests {} streams", order["left"]["streams"]),
        None => "-".into(),
    };
    let row = |order: &Value| {
        let by = ["id", "kind"].map(|field| plain(&order[field]));
        let rest = ["until", "state", "owner", "reason"].map(|field| plain(&order[field]));
        let [id, kind] = by;
        let origin = plain(&order["origin"]);
        let [until, state, owner, reason] = rest;
        vec![id, origin, kind, target(order), until, state, left(order), owner, reason]
    };
    let head = ["ORDER", "ORIGIN", "KIND", "TARGET", "UNTIL", "STATE", "LEFT", "OWNER", "REASON"];
    table(&head, list(orders).iter().map(row).collect())
}

/// `order 3: drain pool p0 until 2026-01-02T03:04:05.678Z by ada: upgrade`.
pub(super) fn order_line(order: &Value) -> String {
    let part = |word: &str, field: &str| {
        order[field].as_str().filter(|text| !text.is_empty()).map(|text| format!("{word}{text}"))
    };
    let parts = [
        Some(format!("order {}: {} {}", order["id"], plain(&order["kind"]), target(order))),
        (order["origin"] == "fleet").then(|| " on every edge".to_owned()),
        part(" until ", "until"),
        part(", streams end by ", "deadline"),
        part(" by ", "owner"),
        part(": ", "reason"),
    ];
    parts.into_iter().flatten().collect()
}

/// `(orders 3 4)`.
fn order_numbers(pool: &Value) -> Option<String> {
    let numbers: Vec<String> = list(&pool["orders"]).iter().map(ToString::to_string).collect();
    let word = if numbers.len() == 1 { "order" } else { "orders" };
    (!numbers.is_empty()).then(|| format!("({word} {})", numbers.join(" ")))
}

/// What an order is about, and the number that it sets: `pool p0 to 50`.
pub(super) fn target(order: &Value) -> String {
    let names: Vec<String> = match order["target"].as_object() {
        Some(target) => target.iter().map(|(kind, name)| format!("{kind} {}", plain(name))).collect(),
        None => vec!["all routes".into()],
    };
    let value = if order["value"].is_null() { String::new() } else { format!(" to {}", order["value"]) };
    names.join(" ") + &value
}

fn routes(status: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let all = list(&status["routes"]).iter();
    for route in all.flat_map(|route| std::iter::once(route).chain(list(&route["geo"]))) {
        for pool in list(&route["pools"]) {
            let mut state = Vec::new();
            state.extend((route["stage"] != "up").then(|| plain(&route["stage"])));
            state.extend((route["frozen"] == true).then(|| "frozen".to_owned()));
            state.extend(way_back(pool));
            state.extend((route["residency"] == true).then(|| "residency".to_owned()));
            state.extend((pool["near"] == true).then(|| "near".to_owned()));
            state.extend(order_numbers(pool));
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

/// `held until 03:04:05.678Z`, `latched`, `ramp 25% until …`: what keeps a pool from its full share.
fn way_back(pool: &Value) -> Vec<String> {
    let (hold, ramp) = (&pool["hold"], &pool["ramp"]);
    let mut words = Vec::new();
    match time_of(&hold["until"]) {
        Some(time) => words.push(format!("held until {time}")),
        None if !hold.is_null() => words.push("latched".to_owned()),
        None => {}
    }
    words.extend(time_of(&pool["damped"]["until"]).map(|time| format!("damped until {time}")));
    if let Some(part) = ramp["part"].as_f64() {
        let until = time_of(&ramp["until"]).map(|time| format!(" until {time}")).unwrap_or_default();
        words.push(format!("ramp {:.0}%{until}", part * 100.0));
    }
    words
}

/// `up`, `up 26%` while an endpoint starts slowly, `up damped until 03:04:05.678Z` while one that flaps steps back.
fn availability(endpoint: &Value) -> String {
    let part = endpoint["slow_start"]["part"].as_f64();
    let part = part.map(|part| format!(" {:.0}%", part * 100.0)).unwrap_or_default();
    let damped = time_of(&endpoint["damped"]["until"]).map(|time| format!(" damped until {time}"));
    plain(&endpoint["availability"]) + &part + &damped.unwrap_or_default()
}

/// The time of day of a moment: an operator compares it with the clock on the wall.
fn time_of(moment: &Value) -> Option<&str> {
    moment.as_str()?.split_once('T').map(|(_, time)| time)
}

fn endpoints(status: &Value) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for pool in list(&status["pools"]) {
        for endpoint in list(&pool["endpoints"]) {
            rows.push(vec![
                plain(&pool["name"]),
                plain(&endpoint["address"]),
                availability(endpoint),
                probe(endpoint),
                plain(&endpoint["admin"]),
                ejection(endpoint),
                scale(endpoint),
                latency(&endpoint["latency_us"]),
                latency(&endpoint["p95_us"]),
                plain(&endpoint["in_flight"]),
                plain(&endpoint["weight"]),
                last_probe(endpoint),
            ]);
        }
    }
    rows
}

/// The result of the last probe; without one, why requests could not connect. Then what is special about the endpoint.
fn last_probe(endpoint: &Value) -> String {
    let said = |last: &Value| match last["error"].as_str().or(last["note"].as_str()) {
        Some(error) => format!("{}: {error}", plain(&last["result"])),
        None => plain(&last["result"]),
    };
    let mut all = match (&endpoint["last_probe"], &endpoint["last_unreached"]) {
        (Value::Null, Value::Null) => vec!["-".to_owned()],
        (Value::Null, unreached) => {
            vec![format!("no connect at {}: {}", plain(&unreached["time"]), said(unreached))]
        }
        (probe, _) => vec![said(probe)],
    };
    all.extend(
        (endpoint["left_out"] == true).then(|| "[not counted: its address family never worked]".into()),
    );
    all.extend(
        (endpoint["left_dns"] == true).then(|| "[left DNS, serves until the new ones are proven]".into()),
    );
    all.join(" ")
}

/// Where the client belongs, and what its cookie says.
fn belongs(said: &Value) -> String {
    let mut out = String::new();
    if said["affinity"].is_object() {
        let (endpoint, pool) = (plain(&said["affinity"]["endpoint"]), plain(&said["affinity"]["pool"]));
        let kept = if said["affinity"]["kept"] == true { "" } else { ", which does not take it now" };
        let _ = writeln!(out, "affinity  the client belongs to {endpoint} in {pool}{kept}");
    }
    if said["cookie"].is_object() {
        let _ = match said["cookie"]["why"].as_str() {
            Some(why) => writeln!(out, "cookie    does not count: {why}"),
            None => writeln!(out, "cookie    names {}", plain(&said["cookie"]["endpoint"])),
        };
    }
    out
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
    out.push_str(&geo_lines::client(&said["geo"]));
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
                [Some(plain(&pool["verdict"])), order_numbers(pool)]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(" "),
                percent(&pool["share"]),
                way_back(pool).join(" "),
            ]);
        }
        out.push_str(&table(&["POOL", "TIER", "WEIGHT", "DIAL", "LATENCY", "VERDICT", "SHARE", ""], rows));
        for pool in list(&said["pools"]).iter().filter(|pool| pool["left_out"].as_u64() > Some(0)) {
            let (count, name) = (&pool["left_out"], plain(&pool["pool"]));
            let _ =
                writeln!(out, "note      {count} in {name} do not count: their address family never worked");
        }
        for order in list(&said["orders"]) {
            let _ = writeln!(out, "{}", order_line(order));
        }
        out.push_str(&reduced(said));
        out.push_str(&belongs(said));
        out.push_str(&fleet_lines::disagreements(said));
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

pub(super) fn percent(value: &Value) -> String {
    format!("{:.1}%", value.as_f64().unwrap_or(0.0) * 100.0)
}

pub(super) fn latency(value: &Value) -> String {
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

/// `ejected #2 until 03:04:05.678Z`.
fn ejection(endpoint: &Value) -> String {
    let state = plain(&endpoint["ejection"]);
    let count = endpoint["ejection_count"].as_u64().filter(|_| state != "clear");
    let number = count.map(|count| format!(" #{count}")).unwrap_or_default();
    let until = time_of(&endpoint["ejected_until"]).map(|time| format!(" until {time}")).unwrap_or_default();
    format!("{state}{number}{until}")
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
    fn an_order_reads_as_one_line() {
        let full = json!({
            "id": 3, "kind": "drain", "target": { "pool": "p0" }, "value": null, "owner": "ada",
            "reason": "upgrade", "until": "U", "deadline": "D",
        });
        assert_eq!(order_line(&full), "order 3: drain pool p0 until U, streams end by D by ada: upgrade");
        let target = json!({ "route": "r", "pool": "p" });
        let short =
            json!({ "id": 4, "kind": "weight", "target": target, "value": 5, "owner": "ada", "reason": "" });
        assert_eq!(order_line(&short), "order 4: weight pool p route r to 5 by ada");
        let freeze = json!({ "id": 5, "kind": "freeze", "target": null, "value": null, "owner": "ada" });
        assert_eq!(order_line(&freeze), "order 5: freeze all routes by ada");
        assert_eq!(order_numbers(&json!({ "orders": [3, 4] })).unwrap(), "(orders 3 4)");
        assert_eq!((orders(&json!([])), order_numbers(&json!({}))), ("no order stands\n".into(), None));
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
    fn what_keeps_a_pool_from_its_share_is_said() {
        let words = |hold: Value, ramp: Value| way_back(&json!({ "hold": hold, "ramp": ramp })).join(" ");
        assert_eq!(words(Value::Null, Value::Null), "");
        assert_eq!(words(json!({ "until": null }), Value::Null), "latched");
        let until = json!({ "until": "2026-01-02T03:04:05Z" });
        assert_eq!(words(until, Value::Null), "held until 03:04:05Z");
        let ramp = json!({ "part": 0.255, "until": "2026-01-02T03:04:05Z" });
        assert_eq!(words(Value::Null, ramp), "ramp 26% until 03:04:05Z");
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
