//! The house style of source files: heads, lengths, marks and traces of one machine.

use std::path::{Path, PathBuf};

use crate::repository::{assert_none, files, text, with_extension};

/// Lines of a Rust file before the module of its own tests.
fn lines_before_tests(content: &str) -> usize {
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
        let lines = lines_before_tests(&content);
        if lines > 400 && !path.ends_with("tests.rs") {
            wrong.push(format!("{}: {lines} lines without its inner tests", path.display()));
        }
    }
    assert_none("files against the house style", &wrong);
}

/// The `//!` lines at the top of a file.
fn head(content: &str) -> String {
    content.lines().take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join("\n")
}

/// The source files that neither the architecture nor the head of their folder's module names, as
/// `folder/name.rs` there and as `name` here.
fn unnamed<'f>(
    sources: &'f [PathBuf],
    architecture: &str,
    text: &dyn Fn(&Path) -> String,
) -> Vec<&'f PathBuf> {
    let named = |path: &&PathBuf| {
        let (Some(folder), Some(stem)) = (path.parent(), path.file_stem().and_then(|stem| stem.to_str()))
        else {
            return false;
        };
        // A file `mod.rs` is its folder, which the module above names.
        let (folder, name) = match (stem, folder.file_name().and_then(|name| name.to_str())) {
            ("mod", Some(name)) => (folder.parent().unwrap_or(folder), name),
            _ => (folder, stem),
        };
        let heads = ["mod.rs", "lib.rs"]
            .map(|file| folder.join(file))
            .into_iter()
            .chain([folder.with_extension("rs")]);
        architecture.contains(&format!("`{}`", path.display()))
            || heads.map(|head_of| head(&text(&head_of))).any(|head| head.contains(&format!("`{name}`")))
    };
    sources.iter().filter(|path| !named(path)).collect()
}

#[test]
fn every_source_file_is_named_by_the_architecture_or_by_its_folder() {
    // The root of a crate is named by the table of crates.
    let root = |path: &PathBuf| path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
    let under_test = |path: &PathBuf| {
        path.iter()
            .filter_map(|part| part.to_str())
            .any(|part| part == "tests" || part.starts_with("test_") || part == "tests.rs")
    };
    let product = |path: &PathBuf| path.starts_with("crates") && path.iter().any(|part| part == "src");
    let sources: Vec<PathBuf> = with_extension("rs")
        .into_iter()
        .filter(|path| product(path) && !root(path) && !under_test(path))
        .collect();
    assert!(sources.len() > 100, "the sources were not found");
    let unnamed = unnamed(&sources, &text(Path::new("ARCHITECTURE.md")), &text);
    let unnamed: Vec<String> = unnamed.iter().map(|path| path.display().to_string()).collect();
    assert_none("files that neither ARCHITECTURE.md nor the head of their folder's module names", &unnamed);
}

#[test]
fn a_file_that_no_page_names_is_found() {
    let text = |path: &Path| match path.to_str() {
        Some("src/mod.rs") => "//! The folder: `told` and `deep`.\nmod lost; // `lost`".to_owned(),
        _ => String::new(),
    };
    let sources = ["src/told.rs", "src/deep/mod.rs", "src/lost.rs", "src/page.rs"].map(PathBuf::from);
    assert_eq!(unnamed(&sources, "| `src/page.rs` | a page |", &text), [&sources[2]]);
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
fn no_file_names_the_machine_it_was_written_on() {
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
