//! The crates: their dependencies on each other, and on what they must never depend on.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use thalweg_testkit::repository;

use crate::repository::{assert_none, files, text};

/// The dependencies of one crate on others of ours: (for the product, for tests).
fn arrows(manifest: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let parsed: toml::Table =
        text(manifest).parse().unwrap_or_else(|error| panic!("{}: {error}", manifest.display()));
    let ours = |table: &str| -> BTreeSet<String> {
        let Some(toml::Value::Table(table)) = parsed.get(table) else { return BTreeSet::new() };
        table.keys().filter_map(|name| name.strip_prefix("thalweg-")).map(str::to_owned).collect()
    };
    let mut product = ours("dependencies");
    product.extend(ours("build-dependencies"));
    (product, ours("dev-dependencies"))
}

#[test]
fn crates_depend_on_each_other_along_the_allowed_arrows_only() {
    let allowed: BTreeMap<&str, (&[&str], &[&str])> = BTreeMap::from([
        ("crates/core", (&[][..], &[][..])),
        ("crates/config", (&["core"][..], &[][..])),
        ("crates/edge", (&["config", "core"][..], &["testkit"][..])),
        ("crates/testkit", (&["core"][..], &[][..])),
        ("tests", (&["testkit", "edge", "config", "core"][..], &["testkit", "edge", "config", "core"][..])),
        ("bench", (&["testkit", "edge", "config", "core"][..], &["testkit", "edge", "config", "core"][..])),
    ]);
    let mut wrong = Vec::new();
    for manifest in files().into_iter().filter(|path| path.ends_with("Cargo.toml")) {
        let Some(dir) = manifest.parent().and_then(Path::to_str).filter(|dir| !dir.is_empty()) else {
            continue;
        };
        if dir.starts_with("fuzz") {
            continue;
        }
        let Some((product, tests)) = allowed.get(dir) else {
            wrong.push(format!("{dir}: a crate the design does not know"));
            continue;
        };
        let (has_product, has_tests) = arrows(&manifest);
        let more = |has: BTreeSet<String>, may: &[&str]| -> Vec<String> {
            has.into_iter().filter(|name| !may.contains(&name.as_str())).collect()
        };
        wrong.extend(more(has_product, product).into_iter().map(|to| format!("{dir} -> {to}")));
        wrong.extend(more(has_tests, tests).into_iter().map(|to| format!("{dir} -> {to} (tests)")));
    }
    assert_none("arrows that the design does not allow", &wrong);
}

#[test]
fn core_has_no_dependencies() {
    let parsed: toml::Table = text(Path::new("crates/core/Cargo.toml")).parse().expect("a manifest");
    let has =
        |name: &str| parsed.get(name).and_then(toml::Value::as_table).is_some_and(|table| !table.is_empty());
    assert!(!has("dependencies") && !has("build-dependencies"));
}

#[test]
fn ring_is_nowhere_in_the_tree() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "--workspace", "--prefix", "none", "--format", "{p}", "--edges", "all"])
        .args(["--offline", "--locked"])
        .current_dir(repository())
        .output()
        .expect("cargo can be run");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    assert!(tree.contains("rustls v") && tree.contains("aws-lc-rs v"), "the tree was not read");
    assert!(
        !tree.lines().any(|line| line.starts_with("ring v")),
        "ring is a dependency again: cargo tree -i ring"
    );
}
