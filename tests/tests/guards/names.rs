//! Names and words: no type name twice in a crate, and no documentation comment of one word.

use std::collections::BTreeMap;

use crate::{
    repository::{assert_none, crate_roots, existing},
    rust::{Crate, read},
};

/// Names of two types of one crate that are being renamed. The list may only shrink.
const KNOWN_TWICE: &[(&str, &str)] = &[("bench", "Plan"), ("core", "Verdict")];

/// Documentation comments of one word, by crate, that are being rewritten. The numbers may only shrink.
const KNOWN_SHORT: &[(&str, usize)] = &[("config", 11), ("core", 19), ("testkit", 2), ("tests", 14)];

/// The crates under `src` of every package, by the name of the package's folder. Tests and benches name as they like.
fn products() -> BTreeMap<String, Vec<Crate>> {
    let mut found: BTreeMap<String, Vec<Crate>> = BTreeMap::new();
    for (package, root) in crate_roots() {
        if root.iter().any(|part| part == "src") {
            found.entry(package).or_default().push(read(&root, &existing));
        }
    }
    found
}

/// The names that two types have, each with the files of both.
fn twice(crates: &[Crate]) -> BTreeMap<String, Vec<String>> {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for module in crates.iter().flat_map(BTreeMap::values) {
        for name in &module.types {
            files.entry(name.clone()).or_default().push(module.file.display().to_string());
        }
    }
    files.retain(|_, files| files.len() > 1);
    files
}

/// The documentation comments of one word, with their places.
fn short(crates: &[Crate]) -> Vec<String> {
    let modules = crates.iter().flat_map(BTreeMap::values);
    let docs = modules.flat_map(|module| module.docs.iter().map(|(line, text)| (&module.file, line, text)));
    docs.filter(|(_, _, text)| text.split_whitespace().count() == 1)
        .map(|(file, line, text)| format!("{}:{line}: {}", file.display(), text.trim()))
        .collect()
}

#[test]
fn no_type_name_stands_for_two_types_of_a_crate() {
    let mut known = KNOWN_TWICE.to_vec();
    let mut wrong = Vec::new();
    for (package, crates) in products() {
        for (name, files) in twice(&crates) {
            match known.iter().position(|one| *one == (package.as_str(), name.as_str())) {
                Some(at) => drop(known.remove(at)),
                None => wrong.push(format!("{package}: {name} in {}", files.join(", "))),
            }
        }
    }
    wrong.extend(
        known
            .iter()
            .map(|(package, name)| format!("{package}: {name} is one type now: take it out of the list")),
    );
    assert_none("type names that are defined twice", &wrong);
}

#[test]
fn every_documentation_comment_is_more_than_one_word() {
    let mut wrong = Vec::new();
    for (package, crates) in products() {
        let found = short(&crates);
        let known = KNOWN_SHORT.iter().find(|(one, _)| *one == package).map_or(0, |(_, known)| *known);
        if found.len() != known {
            wrong.push(format!("{package}: {} where the list says {known}:", found.len()));
            wrong.extend(found);
        }
    }
    assert_none("documentation comments of one word", &wrong);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{short, twice};
    use crate::rust::read;

    #[test]
    fn a_name_of_two_types_and_a_comment_of_one_word_are_found() {
        let text = |path: &Path| {
            let text = match path.to_str()? {
                "src/lib.rs" => "//! A crate.\n/// Bound.\npub struct Limit(u8);\nmod a;\ntrait Once {}",
                "src/a.rs" => {
                    "/// Two words.\npub enum Limit {\n/// Most.\nMost }\n#[cfg(test)]\nmod tests { struct Once; }"
                }
                _ => return None,
            };
            Some(text.to_owned())
        };
        let crates = [read(Path::new("src/lib.rs"), &text)];
        let names: Vec<String> = twice(&crates).into_keys().collect();
        assert_eq!(names, ["Limit"]);
        assert_eq!(short(&crates), ["src/lib.rs:2: Bound.", "src/a.rs:3: Most."]);
    }
}
