//! The examples load, and docs/configuration.md says what the code says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde_json::Value;
use support::{env, named_files};
use thalweg_config::{Config, load_with, reference, schema};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn accepted(name: &str, text: &str) -> Config {
    load_with(Path::new(name), &env, &named_files().with(name, text))
        .unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn every_example_loads_and_warns_only_where_it_must() {
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("config")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let config = accepted(&name, &std::fs::read_to_string(&path).unwrap());
        let warnings: Vec<_> = config.warnings.iter().map(|warning| warning.path.as_str()).collect();
        let expected: &[&str] = if name == "full.toml" { &["include[0]"] } else { &[] };
        assert_eq!(warnings, expected, "{name}");
        count += 1;
    }
    assert!(count >= 5);
}

#[test]
fn the_example_of_the_contract_loads_without_a_warning() {
    let config = accepted("contract.toml", include_str!("fixtures/contract.toml"));
    assert_eq!(config.warnings, []);
    assert_eq!(
        (config.listeners.len(), config.topology.pools.len(), config.topology.routes.len()),
        (2, 2, 1)
    );
}

#[test]
fn every_toml_block_of_the_page_loads() {
    let page = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let blocks: Vec<_> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        accepted("block.toml", block);
    }
}

#[test]
fn the_page_has_every_key() {
    const BEGIN: &str = "<!-- keys: made from the code by `make generate` -->\n";
    const END: &str = "<!-- /keys -->";
    let path = root().join("docs/configuration.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (keys, after) = rest.split_once(END).unwrap();
    let wanted = format!("\n{}", reference());
    if std::env::var_os("THALWEG_BLESS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
    } else {
        assert_eq!(keys, wanted, "docs/configuration.md is not current: `make generate`");
    }
}

/// `pool.*.endpoints.*.address` for every key that a schema knows.
fn keys_of(schema: &Value, at: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Some(target) = at["$ref"].as_str() {
        let target = target.trim_start_matches('#');
        keys_of(schema, schema.pointer(target).unwrap(), path, found);
    }
    for (name, value) in at["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        keys_of(schema, value, &path, found);
        found.insert(path);
    }
    for inner in ["items", "additionalProperties"] {
        if at[inner].is_object() {
            keys_of(schema, &at[inner], &format!("{path}.*"), found);
        }
    }
}

fn keys_in(value: &toml::Value, path: &str, known: &BTreeSet<String>, found: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let own = format!("{path}.{name}");
                let path = if known.contains(&own) { own } else { format!("{path}.*") };
                keys_in(value, &path, known, found);
                found.insert(path);
            }
        }
        toml::Value::Array(items) => {
            items.iter().for_each(|item| keys_in(item, &format!("{path}.*"), known, found))
        }
        _ => {}
    }
}

#[test]
fn the_full_example_writes_every_key() {
    let schema = schema();
    let mut known = BTreeSet::new();
    keys_of(&schema, &schema, "", &mut known);
    // A pool's own [eject] has the keys of [eject]; one of them stands for all.
    known.retain(|key| !key.starts_with(".pool.*.eject.") || key.ends_with("panic_threshold"));
    let text = std::fs::read_to_string(root().join("config/full.toml")).unwrap();
    let mut written = BTreeSet::new();
    keys_in(&toml::from_str(&text).unwrap(), "", &known, &mut written);
    let missing: Vec<_> = known.difference(&written).collect();
    assert_eq!(missing, [""; 0], "missing in config/full.toml");
}

#[test]
fn the_schema_is_2020_12_and_names_what_it_requires() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["required"], serde_json::json!(["version"]));
    assert!(jsonschema::meta::is_valid(&schema));
    assert_eq!(schema["$defs"]["probe"]["properties"]["interval"]["default"], "1s");
}
