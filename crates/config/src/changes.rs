//! What differs between two configs, key by key, as they are written: variables are not replaced. Files that do not parse
//! count as empty: their errors are reported elsewhere.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::ConfigText;

/// Keys by which the tables of a list are told apart, wherever they stand in it.
const NAMES: [&str; 4] = ["name", "address", "pool", "cert"];
/// A part of a path whose values may be secret.
const SECRET: &str = ".headers.";

/// One key that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The key, as in `route.api.pools[eu].weight`.
    pub path: String,
    /// The value before, as TOML writes it; `None` = the key was not there.
    pub from: Option<String>,
    /// The value after; `None` = the key is gone.
    pub to: Option<String>,
}

/// The keys that differ between two configs, each with all its files.
#[must_use]
pub fn changes(old: &[ConfigText], new: &[ConfigText]) -> Vec<KeyChange> {
    let (old, mut new) = (keys(old), keys(new));
    let mut found = Vec::new();
    for (path, from) in old {
        let to = new.remove(&path);
        if to.as_ref() != Some(&from) {
            found.push(change(path, Some(from), to));
        }
    }
    found.extend(new.into_iter().map(|(path, to)| change(path, None, Some(to))));
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

fn change(path: String, from: Option<String>, to: Option<String>) -> KeyChange {
    if path.contains(SECRET) {
        let hidden = |value: Option<String>| value.map(|_| "(hidden)".to_owned());
        return KeyChange { from: hidden(from), to: hidden(to), path };
    }
    KeyChange { path, from, to }
}

/// Every value of a config by its path.
fn keys(texts: &[ConfigText]) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    for one in texts {
        let table: Table = one.text.parse().unwrap_or_default();
        flatten_table("", &table, &mut keys);
    }
    keys
}

fn flatten_table(path: &str, table: &Table, keys: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let bare = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        let name = if name.chars().all(bare) { name.clone() } else { format!("{name:?}") };
        flatten(if path.is_empty() { name } else { format!("{path}.{name}") }, value, keys);
    }
}

fn flatten(path: String, value: &Value, keys: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => flatten_table(&path, table, keys),
        Value::Array(items) if items.iter().any(Value::is_table) => {
            // The order of a route's pools is their rank.
            let names: Vec<&str> = items.iter().filter_map(name_of).collect();
            if path.starts_with("route.") && names.len() == items.len() {
                keys.insert(path.clone(), names.join(", "));
            }
            for (nth, item) in items.iter().enumerate() {
                let part = match name_of(item) {
                    Some(name) => format!("{path}[{name}]"),
                    None => format!("{path}[{nth}]"),
                };
                flatten(part, item, keys);
            }
        }
        other => _ = keys.insert(path, other.to_string()),
    }
}

fn name_of(item: &Value) -> Option<&str> {
    let table = item.as_table()?;
    NAMES.iter().find_map(|name| table.get(*name)?.as_str())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    fn check(old: &str, new: &str, expected: &[&str]) {
        let text = |text: &str| vec![ConfigText { path: "t.toml".into(), text: text.into() }];
        let shown = |change: KeyChange| {
            let value = |value: Option<String>| value.unwrap_or_else(|| "-".into());
            format!("{}: {} > {}", change.path, value(change.from), value(change.to))
        };
        let found: Vec<String> = changes(&text(old), &text(new)).into_iter().map(shown).collect();
        assert_eq!(found, expected, "{old} > {new}");
    }

    #[test]
    fn keys_are_compared_by_their_path_and_tables_of_a_list_by_their_name() {
        check("version = 1", "version = 1 # the same", &[]);
        check("a = 1\nb = \"x\"", "b = \"y\"\nc = [1]", &["a: 1 > -", "b: \"x\" > \"y\"", "c: - > [1]"]);
        check(
            "[pool.p]\nendpoints = [{ address = \"a:1\" }, { address = \"b:1\", weight = 2 }]",
            "[pool.p]\nendpoints = [{ address = \"b:1\", weight = 3 }, { address = \"a:1\" }]",
            &["pool.p.endpoints[b:1].weight: 2 > 3"],
        );
        check(
            "[route.r]\npools = [{ pool = \"a\" }, { pool = \"b\" }]",
            "[route.r]\npools = [{ pool = \"b\" }, { pool = \"a\" }]",
            &["route.r.pools: a, b > b, a"],
        );
        check(
            "[[listener]]\nname = \"web\"\nbind = \"x\"",
            "[[listener]]\nname = \"web\"\nbind = \"y\"",
            &["listener[web].bind: \"x\" > \"y\""],
        );
        check(
            "[probe.x.headers]\nA = \"s3cret\"",
            "[probe.x.headers]\nA = \"other\"",
            &["probe.x.headers.A: (hidden) > (hidden)"],
        );
        check("[", "a = 1", &["a: - > 1"]);
    }

    #[test]
    fn a_table_may_be_spread_over_files() {
        let text = |path: &str, text: &str| ConfigText { path: path.into(), text: text.into() };
        let one = [text("t.toml", "[pool.a]\nx = 1\n[pool.b]\nx = 1")];
        let two = [text("t.toml", "[pool.a]\nx = 1"), text("u.toml", "[pool.b]\nx = 2")];
        let found = changes(&one, &two);
        assert_eq!(found.iter().map(|change| change.path.as_str()).collect::<Vec<_>>(), ["pool.b.x"]);
    }
}
