//! The documents against the code: the paths, metrics and configs that a document names exist.

use std::{collections::BTreeSet, path::Path};

use thalweg_testkit::repository;

use crate::repository::{assert_none, documents, text, with_extension};

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
                "testkit", "wire",
            ];
            let source = word.ends_with(".rs");
            let below = word.contains('/') && ours.contains(&top) && !word.starts_with('/');
            // Generated or local files: not in the repository.
            let made = ["bench/out", "app/.venv"].iter().any(|made| word.starts_with(made));
            if plain && (source || below) && !made && !exists(&word) {
                missing.push(format!("{}: `{word}`", path.display()));
            }
        }
    }
    assert_none("documents name what does not exist", &missing);
}

/// Words in backticks that can only be the name of a test: lower case, with more underscores than a key or a lint has.
fn test_names(markdown: &str) -> Vec<String> {
    let named = |word: &String| {
        let plain = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        plain && word.matches('_').count() >= 4 && !word.starts_with("thalweg_")
    };
    quoted(markdown).into_iter().filter(named).collect()
}

#[test]
fn tests_that_documents_name_exist() {
    let sources: Vec<String> =
        with_extension("rs").iter().chain(&with_extension("py")).map(|path| text(path)).collect();
    let exists = |name: &str| {
        let (rust, python) = (format!("fn {name}("), format!("def {name}("));
        sources.iter().any(|source| source.contains(&rust) || source.contains(&python))
    };
    let mut count = 0;
    let mut missing = Vec::new();
    for path in documents().into_iter().filter(|path| !path.ends_with("CHANGELOG.md")) {
        for name in test_names(&text(&path)) {
            count += 1;
            if !exists(&name) {
                missing.push(format!("{}: `{name}`", path.display()));
            }
        }
    }
    assert!(count > 50, "only {count} names were found");
    assert_none("documents name tests that do not exist", &missing);
}

#[test]
fn a_test_name_is_told_from_keys_metrics_and_paths() {
    let found = test_names(
        "`a_test_that_is_named` `panic_threshold` `thalweg_a_b_c_d` `A_b_c_d_e`\n```\n`in_a_fence_of_code`\n```",
    );
    assert_eq!(found, ["a_test_that_is_named"]);
}

/// Every `thalweg_…` word of a text that can be a metric; histogram suffixes dropped.
fn metrics(content: &str) -> BTreeSet<String> {
    const NOT_METRICS: [&str; 7] = [
        "thalweg_core",
        "thalweg_wire",
        "thalweg_config",
        "thalweg_edge",
        "thalweg_testkit",
        "thalweg_tests",
        "thalweg_bench",
    ];
    let mut found = BTreeSet::new();
    for (at, _) in content.match_indices("thalweg_") {
        let before = content[..at].chars().next_back();
        // Names with a colon are recording rules.
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

/// A key that signs cookies.
const COOKIE_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Replaces the certificates, keys, lists, tokens and databases that an example names by real files.
fn stand_ins(block: &str, scratch: &thalweg_testkit::Scratch) {
    let authority = thalweg_testkit::Authority::new("example");
    let leaf = authority.leaf(&["example.com"]);
    for word in block.split('"').skip(1).step_by(2).filter(|word| !word.starts_with('/')) {
        match Path::new(word).extension().and_then(|end| end.to_str()) {
            Some("crt" | "pem" | "pub") => drop(scratch.write(word, &leaf.cert_pem)),
            Some("key") if word == "affinity.key" => drop(scratch.write(word, COOKIE_KEY)),
            Some("key") => drop(scratch.write(word, &leaf.key_pem)),
            Some("token") => drop(scratch.write(word, "token")),
            Some("crl" | "ocsp") => drop(scratch.write(word, "a list")),
            Some("mmdb") => drop(scratch.write(word, thalweg_testkit::mmdb(&[("::/0", "DE", "EU")], 1))),
            _ => {}
        }
    }
}
