//! The files of the repository as every guard reads them. Nothing here asserts anything about them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use thalweg_testkit::repository;

/// Every file that belongs to the repository, relative to its root.
pub(crate) fn files() -> Vec<PathBuf> {
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

pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_default()
}

pub(crate) fn with_extension(extension: &str) -> Vec<PathBuf> {
    files().into_iter().filter(|path| path.extension().is_some_and(|have| have == extension)).collect()
}

/// README, ARCHITECTURE and everything under `docs/`.
pub(crate) fn documents() -> Vec<PathBuf> {
    let belongs = |path: &PathBuf| path.starts_with("docs") || path.parent() == Some(Path::new(""));
    with_extension("md").into_iter().filter(belongs).collect()
}

pub(crate) fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// The content of a file that exists.
pub(crate) fn existing(path: &Path) -> Option<String> {
    fs::read_to_string(repository().join(path)).ok()
}

/// The root files of all crates, tests and benches included, each with the name of its package's folder.
pub(crate) fn crate_roots() -> Vec<(String, PathBuf)> {
    let files = files();
    let mut found = Vec::new();
    for manifest in files.iter().filter(|path| path.ends_with("Cargo.toml")) {
        let folder = manifest.parent().unwrap_or(Path::new(""));
        let Some(package) = folder.file_name().and_then(|name| name.to_str()) else { continue };
        let is_root = |path: &&PathBuf| {
            let Ok(inside) = path.strip_prefix(folder) else { return false };
            let parts: Vec<&str> = inside.iter().filter_map(|part| part.to_str()).collect();
            match parts[..] {
                ["src", "lib.rs" | "main.rs"] | ["tests", _, "main.rs"] => true,
                ["src", "bin", file] | ["tests" | "benches", file] => file.ends_with(".rs"),
                _ => false,
            }
        };
        found.extend(files.iter().filter(is_root).map(|path| (package.to_owned(), path.clone())));
    }
    found
}
