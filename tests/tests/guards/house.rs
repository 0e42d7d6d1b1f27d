//! The house style of source files: heads, lengths, marks and traces of one machine.

use crate::repository::{assert_none, files, text, with_extension};

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
