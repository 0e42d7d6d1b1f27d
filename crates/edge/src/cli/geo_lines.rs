//! What `status` and `explain` print about geography: the database, and where a client is. Pure.

use serde_json::Value;

use super::cells::{list, plain, span};

/// `geo database geo.mmdb (GeoLite2-Country), built 2026-01-02T03:04:05.678Z, 3d4h old`.
pub(super) fn database(geo: &Value) -> String {
    if geo.is_null() {
        return String::new();
    }
    let age = geo["age_seconds"].as_u64().map(|age| format!(", {} old", span(age))).unwrap_or_default();
    let (path, kind, built) = (plain(&geo["database"]), plain(&geo["kind"]), plain(&geo["built"]));
    let problem = geo["problem"].as_str().map(|why| format!("  a newer file is not used: it {why}\n"));
    format!("geo database {path} ({kind}), built {built}{age}\n{}", problem.unwrap_or_default())
}

/// Where the client is, and which entry of a geo route serves it.
pub(super) fn client(geo: &Value) -> String {
    if geo.is_null() {
        return String::new();
    }
    let networks: Vec<String> = list(&geo["networks"]).iter().map(plain).collect();
    let networks = if networks.is_empty() { "-".to_owned() } else { networks.join(" ") };
    let entry: Vec<String> = list(&geo["entry"]).iter().map(plain).collect();
    let entry = if entry.is_empty() { "the default order".to_owned() } else { entry.join(" ") };
    let residency = if geo["residency"] == true { " (residency)" } else { "" };
    format!(
        "client    country {}  continent {}  networks {networks}\nserved by {entry}{residency}: {}\n",
        plain(&geo["country"]),
        plain(&geo["continent"]),
        plain(&geo["because"]),
    )
}
