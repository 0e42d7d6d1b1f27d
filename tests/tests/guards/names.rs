//! Names and words: no type name twice in a crate, and no documentation comment of one word.

use std::collections::BTreeMap;

use crate::{
    repository::{assert_none, crate_roots, existing},
    rust::{Crate, read},
};

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
    let mut wrong = Vec::new();
    for (package, crates) in products() {
        wrong.extend(
            twice(&crates)
                .into_iter()
                .map(|(name, files)| format!("{package}: {name} in {}", files.join(", "))),
        );
    }
    assert_none("type names that are defined twice", &wrong);
}

#[test]
fn every_documentation_comment_is_more_than_one_word() {
    let wrong: Vec<String> = products().values().flat_map(|crates| short(crates)).collect();
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
