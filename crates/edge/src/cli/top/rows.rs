//! The state as rows of text, the worst first: routes, the pools of a route, the endpoints of a pool, the facts of an
//! endpoint. Pure; the words are those of `status` and of the page.

use serde_json::Value;

use super::state::TopState;
use crate::cli::{
    cells::{list, plain},
    show::{latency, percent},
};

/// How bad a row is; the worst is least, so that it sorts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Bad,
    Warn,
    Fine,
}

impl Severity {
    /// A sign, for terminals without colour and readers that do not tell colours apart.
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Bad => "x",
            Self::Warn => "!",
            Self::Fine => " ",
        }
    }
}

/// One row, and the name under which it is opened.
#[derive(Debug)]
pub(super) struct TopRow {
    pub(super) key: String,
    pub(super) severity: Severity,
    pub(super) cells: Vec<String>,
}

/// What is listed at one place.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) head: &'static [&'static str],
    pub(super) rows: Vec<TopRow>,
}

/// What is listed at a path: nothing, a route, its pool, its endpoint.
pub(super) fn listing(state: &TopState, path: &[String]) -> Listing {
    let mut listing = match path {
        [] => routes(state),
        [route] => pools(state, route),
        [_, pool] => endpoints(state, pool),
        [_, pool, address, ..] => return facts(state.one("endpoints", &format!("{pool} {address}"))),
    };
    // Stable: within a severity the order is that of the names.
    listing.rows.sort_by_key(|row| row.severity);
    listing
}

/// The summary on top.
pub(super) fn verdict(state: &TopState) -> (Severity, String) {
    let edge = |key: &str| state.one("edge", key);
    let requests: f64 = state.section("routes").map(|(route, _)| state.rate(route).requests).sum();
    let failed: f64 = state.section("routes").map(|(route, _)| state.rate(route).failed).sum();
    let traffic = format!("{requests:.0} requests/s, {failed:.1} failed/s");
    let out: Vec<String> = state
        .section("pools")
        .filter(|(_, pool)| is_out(pool))
        .map(|(name, _)| format!("{name} out ({})", reason_of(state, name)))
        .collect();
    let panic = state.section("routes").any(|(_, route)| route["panic"] == true);
    let (severity, text) = match edge("unready").as_str() {
        Some(why) => (Severity::Bad, format!("not ready: {why}")),
        None if panic => (Severity::Bad, format!("panic: {}", out.join(", "))),
        None if !out.is_empty() => (Severity::Bad, out.join(", ")),
        None if edge("last_reload")["result"] == "rejected" => {
            (Severity::Warn, "the last config was rejected: the one before it stays in force".into())
        }
        None if edge("checker_suspected") == true => {
            (Severity::Warn, "most endpoints failed their probes at once: suspect the checker".into())
        }
        None => (Severity::Fine, format!("all {} pools serve", state.section("pools").count())),
    };
    (severity, format!("{text}; {traffic}"))
}

fn routes(state: &TopState) -> Listing {
    let row = |(name, route): (&String, &Value)| {
        let (rate, members) = (state.rate(name), list(&route["pools"]));
        let serving: Vec<String> = members
            .iter()
            .filter(|pool| pool["share"].as_f64() > Some(0.0))
            .map(|pool| format!("{} {}", plain(&pool["pool"]), percent(&pool["share"])))
            .collect();
        let out: Vec<String> = members
            .iter()
            .map(|pool| plain(&pool["pool"]))
            .filter(|name| is_out(state.one("pools", name)))
            .collect();
        let (severity, text) = if route["panic"] == true {
            (Severity::Bad, "panic".to_owned())
        } else if serving.is_empty() {
            (Severity::Bad, "no pool serves".into())
        } else if !out.is_empty() {
            (Severity::Warn, format!("out: {}", out.join(" ")))
        } else if route["stage"] != "up" {
            (Severity::Warn, plain(&route["stage"]))
        } else if route["frozen"] == true {
            (Severity::Warn, "frozen".into())
        } else {
            (Severity::Fine, "ok".into())
        };
        let severity = if rate.failed > 0.0 { Severity::Bad } else { severity };
        let ratio = if rate.requests > 0.0 { rate.failed / rate.requests } else { 0.0 };
        let cells = vec![
            name.clone(),
            text,
            format!("{:.1}", rate.requests),
            format!("{:.1}%", ratio * 100.0),
            serving.join(", "),
        ];
        TopRow { key: name.clone(), severity, cells }
    };
    let head = &["ROUTE", "STATE", "REQ/S", "FAILED", "SHARES"];
    Listing { head, rows: state.section("routes").map(row).collect() }
}

fn pools(state: &TopState, route: &str) -> Listing {
    let row = |member: &Value| {
        let name = plain(&member["pool"]);
        let pool = state.one("pools", &name);
        let partly = state.endpoints_of(&name).any(|endpoint| endpoint["availability"] != "up");
        let (severity, text) = match (is_out(pool), partly) {
            (true, _) => (Severity::Bad, "out"),
            (false, true) => (Severity::Warn, "part"),
            (false, false) if member["held"] == true => (Severity::Warn, "held"),
            (false, false) => (Severity::Fine, "up"),
        };
        let why = if is_out(pool) || partly { reason_of(state, &name) } else { String::new() };
        let cells = vec![
            name.clone(),
            text.to_owned(),
            percent(&member["share"]),
            plain(&member["tier"]),
            plain(&member["weight"]),
            format!("{}%", plain(&member["dial"])),
            format!("{}/{}", plain(&pool["up"]), plain(&pool["enabled"])),
            latency(&pool["latency_us"]),
            why,
        ];
        TopRow { key: name, severity, cells }
    };
    let head = &["POOL", "STATE", "SHARE", "TIER", "WEIGHT", "DIAL", "UP", "LATENCY", "WHY"];
    Listing { head, rows: list(&state.one("routes", route)["pools"]).iter().map(row).collect() }
}

fn endpoints(state: &TopState, pool: &str) -> Listing {
    let row = |endpoint: &Value| {
        let severity = match endpoint["availability"].as_str() {
            Some("up") => Severity::Fine,
            Some("down") => Severity::Bad,
            _ => Severity::Warn,
        };
        let cells = vec![
            plain(&endpoint["address"]),
            plain(&endpoint["availability"]),
            plain(&endpoint["probe"]),
            plain(&endpoint["ejection"]),
            latency(&endpoint["latency_us"]),
            latency(&endpoint["p95_us"]),
            plain(&endpoint["in_flight"]),
            reason(endpoint),
        ];
        TopRow { key: plain(&endpoint["address"]), severity, cells }
    };
    let head = &["ENDPOINT", "STATE", "PROBE", "EJECTION", "LATENCY", "P95", "FLIGHT", "WHY"];
    Listing { head, rows: state.endpoints_of(pool).map(row).collect() }
}

/// Everything that is known of one endpoint.
fn facts(endpoint: &Value) -> Listing {
    let row = |(name, value): (&String, &Value)| {
        let shown = match name.as_str() {
            "latency_us" | "p95_us" => latency(value),
            _ => plain(value),
        };
        let bad = name == "availability" && value != "up";
        let severity = if bad { Severity::Bad } else { Severity::Fine };
        TopRow { key: name.clone(), severity, cells: vec![name.replace("_us", ""), shown] }
    };
    Listing { head: &["FACT", ""], rows: endpoint.as_object().into_iter().flatten().map(row).collect() }
}

fn is_out(pool: &Value) -> bool {
    pool["short"] == true || pool["up"] == 0
}

/// The most frequent reason among the endpoints of a pool that are not Up.
fn reason_of(state: &TopState, pool: &str) -> String {
    let down = state.endpoints_of(pool).filter(|endpoint| endpoint["availability"] != "up");
    let mut reasons: Vec<String> = down.map(reason).collect();
    reasons.sort_unstable();
    let most = reasons.chunk_by(|one, other| one == other).max_by_key(|equal| equal.len());
    most.and_then(<[String]>::first).cloned().unwrap_or_else(|| "no endpoint".into())
}

/// Why an endpoint is not Up, in the words of the evidence.
fn reason(endpoint: &Value) -> String {
    if endpoint["admin"] != "enabled" {
        return plain(&endpoint["admin"]);
    }
    let probe = &endpoint["last_probe"];
    let result = probe["result"].as_str().unwrap_or("ok");
    let seen = match probe["error"].as_str() {
        _ if result == "ok" => String::new(),
        Some(error) if error.starts_with(result) => error.to_owned(),
        Some(error) => format!("{result}: {error}"),
        None => result.to_owned(),
    };
    match (endpoint["ejection"].as_str(), seen.is_empty()) {
        (Some("clear") | None, false) => seen,
        (Some("clear") | None, true) if probe.is_null() && endpoint["probe"] == "unknown" => {
            "not probed yet".into()
        }
        (Some("clear") | None, true) => String::new(),
        (Some(state), false) => format!("{state}: {seen}"),
        (Some(state), true) => format!("{state}: real traffic failed"),
    }
}

/// One event as a line: its time of day, its name, and what it says.
pub(super) fn event(event: &Value) -> String {
    let time = event["time"].as_str().and_then(|time| time.split_once('T'));
    let time = time.and_then(|(_, time)| time.get(..8)).unwrap_or("--:--:--");
    let text = |key: &str| event[key].as_str();
    let place = [text("route"), text("pool"), text("endpoint")].into_iter().flatten();
    let place: Vec<&str> = place.collect();
    let change = match (text("from"), text("to")) {
        (Some(from), Some(to)) => format!(" {from} -> {to}"),
        (None, Some(to)) => format!(" -> {to}"),
        _ => String::new(),
    };
    let on = match (event["on"].as_bool(), event["short"].as_bool()) {
        (Some(true), _) => " begins",
        (Some(false), _) => " ends",
        (None, Some(true)) => " below threshold",
        (None, Some(false)) => " back",
        (None, None) => "",
    };
    let detail = text("detail").or(text("cause")).or(text("fault"));
    let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
    let name = text("event").unwrap_or("event").replace('_', " ");
    format!("{time} {name} {}{change}{on}{detail}", place.join(" "))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::top::watch::News;

    /// A route `all` over `near`, which is out, and `far`, of which one of two endpoints is ejected; a route `ok`.
    pub(crate) fn partly_down() -> TopState {
        let endpoint = |pool: &str, address: &str, availability: &str, probe: Value, ejection: &str| {
            json!({
                "pool": pool, "address": address, "availability": availability, "probe": "healthy",
                "admin": "enabled", "ejection": ejection, "latency_us": 12_000, "p95_us": null, "in_flight": 3,
                "last_probe": probe,
            })
        };
        let refused = json!({ "result": "refused", "error": "connection refused" });
        let ok = json!({ "result": "ok", "error": null });
        let member = |pool: &str, tier: u32, share: f64| json!({ "pool": pool, "tier": tier, "weight": 1, "dial": 100, "share": share, "held": false });
        let route = |pools: Value| json!({ "stage": "up", "panic": false, "frozen": false, "pools": pools });
        let pool = |up: u32, enabled: u32, short: bool| json!({ "up": up, "enabled": enabled, "short": short, "latency_us": 12_000 });
        let whole = json!({
            "full": true, "now": 1_000,
            "edge": { "edge": { "name": "edge-1" }, "unready": null, "generation": 3, "began": 0, "version": "0.1.0" },
            "routes": {
                "all": route(json!([member("near", 0, 0.0), member("far", 1, 1.0)])),
                "ok": route(json!([member("far", 0, 1.0)])),
            },
            "pools": { "near": pool(0, 1, true), "far": pool(1, 2, false) },
            "endpoints": {
                "near 10.0.0.1:80": endpoint("near", "10.0.0.1:80", "down", refused, "clear"),
                "far 10.1.0.1:80": endpoint("far", "10.1.0.1:80", "up", ok.clone(), "clear"),
                "far 10.1.0.2:80": endpoint("far", "10.1.0.2:80", "down", ok, "ejected"),
            },
            "traffic": { "all": [100, 0], "ok": [10, 0] },
        });
        let later = json!({ "full": false, "now": 2_000, "traffic": { "all": [150, 0], "ok": [10, 0] } });
        let event = json!({
            "event": "endpoint", "time": "2026-01-02T03:04:05.678Z", "pool": "near", "endpoint": "10.0.0.1:80",
            "from": "up", "to": "down", "fault": "refused",
        });
        let mut state = TopState::default();
        for (kind, data) in [("status", whole), ("status", later), ("event", event)] {
            state.take(News::Message { event: kind.into(), data });
        }
        state
    }

    fn check(path: &[&str], expected: &[&str]) {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        let listing = listing(&partly_down(), &path);
        let rows: Vec<String> = listing
            .rows
            .iter()
            .map(|row| format!("{} {}", row.severity.sign(), row.cells.join("|")))
            .collect();
        assert_eq!(rows, expected);
        assert!(listing.rows.iter().all(|row| row.cells.len() == listing.head.len()));
    }

    #[test]
    fn the_worst_comes_first_at_every_place() {
        check(&[], &["! all|out: near|50.0|0.0%|far 100.0%", "  ok|ok|0.0|0.0%|far 100.0%"]);
        check(
            &["all"],
            &[
                "x near|out|0.0%|0|1|100%|0/1|12.0ms|refused: connection refused",
                "! far|part|100.0%|1|1|100%|1/2|12.0ms|ejected: real traffic failed",
            ],
        );
        check(
            &["all", "far"],
            &[
                "x 10.1.0.2:80|down|healthy|ejected|12.0ms|-|3|ejected: real traffic failed",
                "  10.1.0.1:80|up|healthy|clear|12.0ms|-|3|",
            ],
        );
        let facts = listing(&partly_down(), &["all".into(), "near".into(), "10.0.0.1:80".into()]);
        assert_eq!(facts.rows[1].cells, ["admin", "enabled"]);
        assert!(listing(&partly_down(), &["gone".into()]).rows.is_empty());
    }

    #[test]
    fn the_verdict_names_what_is_out_and_why() {
        let (severity, text) = verdict(&partly_down());
        assert_eq!(severity, Severity::Bad);
        assert_eq!(text, "near out (refused: connection refused); 50 requests/s, 0.0 failed/s");
    }

    #[test]
    fn an_event_is_one_line() {
        let check = |given: Value, expected: &str| assert_eq!(event(&given), expected);
        check(partly_down().events[0].clone(), "03:04:05 endpoint near 10.0.0.1:80 up -> down (refused)");
        check(json!({ "event": "panic", "route": "all", "on": true }), "--:--:-- panic all begins");
        check(
            json!({ "event": "pool", "time": "2026-01-02T03:04:05.678Z", "pool": "p", "short": true }),
            "03:04:05 pool p below threshold",
        );
    }
}
