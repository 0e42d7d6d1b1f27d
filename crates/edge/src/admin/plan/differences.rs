//! What a new config changes before any traffic is looked at: keys, listeners, pools, endpoints and routes that come and go.
//! Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use thalweg_config::{Config, KeyChange};

use super::moves::PlanWarning;

/// Most changes of a plan that are listed. The others are counted.
const MOST: usize = 1_000;

/// The listed changes, and how many more there are.
pub(super) fn differences(old: &Config, new: &Config) -> (Vec<Value>, usize) {
    let mut all = Vec::new();
    let (was, is) = (listeners(old), listeners(new));
    all.extend(come_and_go("listener", &was, &is));
    let names = |config: &Config| -> BTreeSet<String> {
        config.topology.pools.iter().map(|pool| pool.name.to_string()).collect()
    };
    all.extend(come_and_go("pool", &names(old), &names(new)));
    all.extend(come_and_go("endpoint", &endpoints(old), &endpoints(new)));
    let names = |config: &Config| -> BTreeSet<String> {
        config.topology.routes.iter().map(|route| route.name.to_string()).collect()
    };
    all.extend(come_and_go("route", &names(old), &names(new)));
    let key = |KeyChange { path, from, to }: KeyChange| json!({ "kind": "key", "path": path, "from": from, "to": to });
    all.extend(thalweg_config::changes(&old.texts, &new.texts).into_iter().map(key));
    let more = all.len().saturating_sub(MOST);
    all.truncate(MOST);
    (all, more)
}

/// What speaks against a config without a look at traffic.
pub(super) fn warnings(old: &Config, new: &Config) -> Vec<PlanWarning> {
    let mut all = Vec::new();
    for gone in listeners(old).difference(&listeners(new)) {
        let detail = format!("listener {gone} would close");
        all.push(PlanWarning { kind: "listener_gone", about: gone.clone(), detail });
    }
    let waiting = [
        ("edge.workers", old.edge.workers != new.edge.workers),
        ("admin.bind", old.admin.bind != new.admin.bind),
    ];
    for (key, _) in waiting.into_iter().filter(|(_, changed)| *changed) {
        let detail = format!("{key} waits for a restart");
        all.push(PlanWarning { kind: "restart_required", about: key.to_owned(), detail });
    }
    all
}

fn come_and_go<'a>(
    kind: &'a str,
    was: &'a BTreeSet<String>,
    is: &'a BTreeSet<String>,
) -> impl Iterator<Item = Value> + 'a {
    let one = move |op: &'static str| move |name: &String| json!({ "kind": kind, "op": op, "name": name });
    was.difference(is).map(one("removed")).chain(is.difference(was).map(one("added")))
}

fn listeners(config: &Config) -> BTreeSet<String> {
    config.listeners.iter().map(|listener| format!("{} ({})", listener.name, listener.bind.value)).collect()
}

fn endpoints(config: &Config) -> BTreeSet<String> {
    let pools = config.topology.pools.iter();
    let all = pools.flat_map(|pool| pool.endpoints.iter().map(move |spec| (pool, spec)));
    all.map(|(pool, spec)| format!("{}/{}:{}", pool.name, spec.host, spec.port)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> Config {
        let text = format!(
            "version = 1\n[admin]\nbind = \"127.0.0.1:1\"\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:2\"\n{more}"
        );
        thalweg_config::parse_str(&text, "t.toml").unwrap()
    }

    #[test]
    fn what_comes_and_goes_is_listed_before_the_keys() {
        let old = config(
            "[pool.a]\nendpoints = [{ address = \"10.0.0.1:80\" }]\n[route.r]\npolicy = \"failover\"\npools = [{ pool = \"a\" }]",
        );
        let new = config(
            "[pool.a]\nendpoints = [{ address = \"10.0.0.2:80\" }]\n[route.s]\npolicy = \"failover\"\npools = [{ pool = \"a\" }]",
        );
        let (all, more) = differences(&old, &new);
        let shown = |one: &Value| {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            format!("{} {} {}{}", text("kind"), text("op"), text("name"), text("path"))
        };
        let first: Vec<String> = all.iter().take(5).map(shown).collect();
        let expected = [
            "endpoint removed a/10.0.0.1:80",
            "endpoint added a/10.0.0.2:80",
            "route removed r",
            "route added s",
            "key  pool.a.endpoints[10.0.0.1:80].address",
        ];
        assert_eq!((first.as_slice(), more), (&expected.map(str::to_owned)[..], 0));
        assert_eq!(differences(&old, &old), (Vec::new(), 0));
        assert_eq!(warnings(&old, &new), []);
    }
}
