//! The repository against its own rules: what a document claims exists, what a rule forbids does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use thalweg_testkit::repository;

/// Every file that belongs to the repository, relative to its root.
fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(repository())
        .output();
    match listed {
        Ok(listed) if listed.status.success() => {
            let names = String::from_utf8_lossy(&listed.stdout).into_owned();
            names.lines().map(PathBuf::from).filter(|path| repository().join(path).is_file()).collect()
        }
        _ => walk(Path::new("")),
    }
}

/// The same without git, as in an unpacked archive.
fn walk(under: &Path) -> Vec<PathBuf> {
    const SKIPPED: [&str; 8] =
        ["target", ".git", ".venv", "node_modules", "__pycache__", ".run", "out", ".terraform"];
    let Ok(entries) = fs::read_dir(repository().join(under)) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = under.join(&name);
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !SKIPPED.contains(&name.as_str()) => found.extend(walk(&path)),
            Ok(kind) if kind.is_file() => found.push(path),
            _ => {}
        }
    }
    found
}

fn text(path: &Path) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_default()
}

fn with_extension(extension: &str) -> Vec<PathBuf> {
    files().into_iter().filter(|path| path.extension().is_some_and(|have| have == extension)).collect()
}

/// README, ARCHITECTURE and everything under `docs/`.
fn documents() -> Vec<PathBuf> {
    let belongs = |path: &PathBuf| path.starts_with("docs") || path.parent() == Some(Path::new(""));
    with_extension("md").into_iter().filter(belongs).collect()
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

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

/// Lines of a Rust file before its tests.
fn product_lines(content: &str) -> usize {
    content.lines().take_while(|line| line.trim() != "#[cfg(test)]").count()
}

#[test]
fn every_rust_file_says_what_it_is_for_and_is_short() {
    let mut wrong = Vec::new();
    for path in with_extension("rs").into_iter().filter(|path| !path.ends_with("build.rs")) {
        let content = text(&path);
        if !content.starts_with("//!") {
            wrong.push(format!("{}: no `//!` head", path.display()));
        }
        let folder = path.components().any(|part| part.as_os_str() == "tests");
        let test = path.ends_with("tests.rs") || (folder && !path.starts_with("tests/src"));
        let lines = product_lines(&content);
        if !test && lines > 400 {
            wrong.push(format!("{}: {lines} lines that are not tests", path.display()));
        }
    }
    assert_none("files against the house style", &wrong);
}

#[test]
fn nothing_is_left_to_be_done_without_a_name() {
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["X", "XX"].concat()];
    let mut found = Vec::new();
    for path in with_extension("rs").into_iter().chain(with_extension("py")).chain(with_extension("sh")) {
        for (nth, line) in text(&path).lines().enumerate() {
            let word = |mark: &String| {
                line.split(|c: char| !c.is_alphanumeric() && c != '(').any(|word| word == mark)
            };
            if marks.iter().any(word) {
                found.push(format!("{}:{}: {}", path.display(), nth + 1, line.trim()));
            }
        }
    }
    assert_none("bare marks (write NAME(issue): …, or do it)", &found);
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let places = [["/wo", "rk/wt"], ["/wo", "rk/main"], ["/wo", "rk/shared"], ["/ro", "ot/"]]
        .map(|parts| parts.concat());
    let mut found = Vec::new();
    for path in files() {
        for (nth, line) in text(&path).lines().enumerate() {
            if places.iter().any(|place| line.contains(place.as_str())) {
                found.push(format!("{}:{}: {}", path.display(), nth + 1, line.trim()));
            }
        }
    }
    assert_none("paths of one machine", &found);
}

#[test]
fn no_document_cites_a_line_number() {
    let mut found = Vec::new();
    for path in documents() {
        for (nth, line) in text(&path).lines().enumerate() {
            let cites = line
                .match_indices(".rs:")
                .any(|(at, _)| line[at + 4..].starts_with(|c: char| c.is_ascii_digit()));
            if cites {
                found.push(format!("{}:{}: {}", path.display(), nth + 1, line.trim()));
            }
        }
    }
    assert_none("line numbers drift", &found);
}

/// Words between single backticks, outside fences.
fn quoted(markdown: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// Whether this names a place in the repository: from its root, `edge/data/accept.rs` for a file of a crate, or the bare
/// name of a source file.
fn exists(name: &str) -> bool {
    let root = repository();
    let name = name.trim_end_matches('/');
    let short = name.split_once('/').map(|(first, rest)| format!("crates/{first}/src/{rest}"));
    root.join(name).exists()
        || short.is_some_and(|path| root.join(path).exists())
        || (name.ends_with(".rs") && with_extension("rs").iter().any(|path| path.ends_with(name)))
}

#[test]
fn paths_that_documents_name_exist() {
    let mut missing = Vec::new();
    for path in documents().into_iter().filter(|path| !path.ends_with("CHANGELOG.md")) {
        for word in quoted(&text(&path)) {
            let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
            let top = word.split('/').next().unwrap_or_default();
            let ours = [
                "crates", "tests", "docs", "config", "app", "infra", "bench", "fuzz", "edge", "core",
                "testkit",
            ];
            let source = word.ends_with(".rs");
            let below = word.contains('/') && ours.contains(&top) && !word.starts_with('/');
            // Generated, or of one's own: not in the repository.
            let made = ["bench/out", "app/.venv"].iter().any(|made| word.starts_with(made));
            if plain && (source || below) && !made && !exists(&word) {
                missing.push(format!("{}: `{word}`", path.display()));
            }
        }
    }
    assert_none("documents name what does not exist", &missing);
}

/// Every `thalweg_…` word of a text that can be a metric; histogram suffixes dropped.
fn metrics(content: &str) -> BTreeSet<String> {
    const NOT_METRICS: [&str; 6] = [
        "thalweg_core",
        "thalweg_config",
        "thalweg_edge",
        "thalweg_testkit",
        "thalweg_tests",
        "thalweg_bench",
    ];
    let mut found = BTreeSet::new();
    for (at, _) in content.match_indices("thalweg_") {
        let before = content[..at].chars().next_back();
        // A colon is for the names of recording rules.
        if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let word: String = content[at..]
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_')
            .collect();
        let rest = &content[at + word.len()..];
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| word.strip_suffix(end))
            .unwrap_or(&word)
            .to_owned();
        if !NOT_METRICS.contains(&name.as_str()) && !name.ends_with('_') && !rest.starts_with("::") {
            found.insert(name);
        }
    }
    found
}

#[test]
fn metrics_in_documents_are_those_the_edge_declares() {
    let declared = metrics(&text(Path::new("crates/edge/src/shared/telemetry.rs")));
    if declared.is_empty() {
        eprintln!("SKIPPED: no metric is declared yet");
        return;
    }
    let documents = documents();
    let mut wrong = Vec::new();
    for path in &documents {
        let unknown = metrics(&text(path)).into_iter().filter(|name| !declared.contains(name));
        wrong.extend(unknown.map(|name| format!("{}: {name} is not declared", path.display())));
    }
    let written: BTreeSet<String> = documents
        .iter()
        .filter(|path| path.starts_with("docs"))
        .flat_map(|path| metrics(&text(path)))
        .collect();
    if !written.is_empty() {
        wrong.extend(
            declared.difference(&written).map(|name| format!("{name} is declared and in no document")),
        );
    }
    assert_none("metrics", &wrong);
}

/// The fenced blocks of this language.
fn blocks(markdown: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<Vec<&str>> = None;
    for line in markdown.lines() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (Some(lines), Some(_)) => {
                found.push(lines.join("\n"));
                open = None;
            }
            (Some(lines), None) => lines.push(line),
            (None, Some(said)) if said.split([' ', ',']).next() == Some(language) => open = Some(Vec::new()),
            (None, Some(_)) => open = Some(vec!["\u{0}"]),
            (None, None) => {}
        }
    }
    found.retain(|block| !block.starts_with('\u{0}'));
    found
}

/// A block that is a whole config, not a part of one.
fn whole(block: &str) -> bool {
    ["version", "[[listener]]", "[pool.", "[route."]
        .iter()
        .all(|part| block.lines().any(|line| line.starts_with(part)))
}

#[test]
fn every_example_config_loads() {
    let mut examples: Vec<(String, String)> = Vec::new();
    for path in with_extension("toml").into_iter().filter(|path| path.parent() == Some(Path::new("config"))) {
        examples.push((path.display().to_string(), text(&path)));
    }
    for path in documents() {
        let whole = blocks(&text(&path), "toml").into_iter().filter(|block| whole(block));
        examples.extend(
            whole.enumerate().map(|(nth, block)| (format!("{}, config {}", path.display(), nth + 1), block)),
        );
    }
    let mut wrong = Vec::new();
    for (shown, example) in examples {
        let scratch = thalweg_testkit::Scratch::new();
        stand_ins(&example, &scratch);
        if let Err(errors) = thalweg_config::load(&scratch.write("example.toml", &example)) {
            wrong.push(format!("{shown}: {errors}"));
        }
    }
    assert_none("examples that do not load", &wrong);
}

/// Puts something real where an example names a certificate, a key or a token.
fn stand_ins(block: &str, scratch: &thalweg_testkit::Scratch) {
    let authority = thalweg_testkit::Authority::new("example");
    let leaf = authority.leaf(&["example.com"]);
    for word in block.split('"').skip(1).step_by(2).filter(|word| !word.starts_with('/')) {
        match Path::new(word).extension().and_then(|end| end.to_str()) {
            Some("crt" | "pem") => drop(scratch.write(word, &leaf.cert_pem)),
            Some("key") => drop(scratch.write(word, &leaf.key_pem)),
            Some("token") => drop(scratch.write(word, "token")),
            _ => {}
        }
    }
}
