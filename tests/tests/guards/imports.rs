//! Which file imports which: names are resolved through re-exports to the file that defines them, and files that
//! import each other in a circle are a ring. A ring of more than two files has no reading order.
//!
//! A `pub use` is no import of its own: the name is passed on, and the arrow goes to the file behind it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::{
    repository::{assert_none, crate_roots, existing},
    rust::{Crate, Module, Use, read},
};

/// For each file, the files that it imports from.
pub(crate) type Arrows = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// Most steps through re-exports: a circle of them is an error that the compiler tells.
const MOST_STEPS: usize = 16;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
enum Named {
    /// Something that the module at this path defines.
    Item(Vec<String>),
    /// A module.
    Module(Vec<String>),
}

/// The arrows between the files of one crate.
pub(crate) fn arrows(of: &Crate) -> Arrows {
    let mut arrows = Arrows::new();
    for (at, module) in of {
        let from = arrows.entry(module.file.clone()).or_default();
        let imported =
            module.uses.iter().filter(|one| !one.public).map(|one| (&one.path, one.name.is_none()));
        for (path, all) in imported.chain(module.paths.iter().map(|path| (path, false))) {
            let target = match resolve(of, at, path, MOST_STEPS) {
                Some(Named::Item(target)) => target,
                Some(Named::Module(target)) if all => target,
                _ => continue,
            };
            from.extend(of.get(&target).map(|target| target.file.clone()).filter(|to| *to != module.file));
        }
    }
    arrows
}

/// What a path means inside the module at `at`; `None` outside of the crate.
fn resolve(of: &Crate, at: &[String], path: &[String], steps: usize) -> Option<Named> {
    let steps = steps.checked_sub(1)?;
    let (first, mut rest) = path.split_first()?;
    let mut current = match first.as_str() {
        "crate" => Named::Module(Vec::new()),
        "self" => Named::Module(at.to_vec()),
        "super" => Named::Module(at.split_last()?.1.to_vec()),
        name => look_up(of, at, name, rest.is_empty(), steps)?,
    };
    while let Some((name, more)) = rest.split_first() {
        let Named::Module(module) = &current else { return Some(current) };
        current = match name.as_str() {
            "super" => Named::Module(module.split_last()?.1.to_vec()),
            // What a macro defines is nowhere to be read: it counts as the module's.
            name => match look_up(of, module, name, more.is_empty(), steps) {
                Some(named) => named,
                None => return Some(Named::Item(module.clone())),
            },
        };
        rest = more;
    }
    Some(current)
}

/// What a name means in a module; a module and a function may have the same name.
fn look_up(of: &Crate, at: &[String], name: &str, last: bool, steps: usize) -> Option<Named> {
    let module = of.get(at)?;
    let item = || module.items.contains(name).then(|| Named::Item(at.to_vec()));
    let child = || {
        let path: Vec<String> = at.iter().cloned().chain([name.to_owned()]).collect();
        (module.children.contains(name) && of.contains_key(&path)).then_some(Named::Module(path))
    };
    let used = || {
        let own = module.uses.iter().filter(|one| one.name.as_deref() == Some(name));
        own.filter_map(|one| resolve(of, at, &one.path, steps)).next()
    };
    let starred = || {
        all_of(module).find_map(|one| match resolve(of, at, &one.path, steps)? {
            Named::Module(from) if from != at => look_up(of, &from, name, last, steps.checked_sub(1)?),
            _ => None,
        })
    };
    if last { item().or_else(used).or_else(child) } else { child().or_else(item).or_else(used) }
        .or_else(starred)
}

fn all_of(module: &Module) -> impl Iterator<Item = &Use> {
    module.uses.iter().filter(|one| one.name.is_none())
}

/// The rings: sets of files of which each reaches each other.
fn rings(arrows: &Arrows) -> Vec<Vec<&Path>> {
    let reach: BTreeMap<&Path, BTreeSet<&Path>> =
        arrows.keys().map(|from| (from.as_path(), reachable(arrows, from))).collect();
    let mut found: Vec<Vec<&Path>> = Vec::new();
    for (from, there) in &reach {
        let ring: Vec<&Path> = there
            .iter()
            .copied()
            .filter(|to| reach.get(to).is_some_and(|back| back.contains(from)))
            .collect();
        if ring.len() > 1 && ring.first() == Some(from) {
            found.push(ring);
        }
    }
    found
}

fn reachable<'a>(arrows: &'a Arrows, from: &Path) -> BTreeSet<&'a Path> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(next) = open.pop() {
        for to in arrows.get(next).into_iter().flatten() {
            if seen.insert(to.as_path()) {
                open.push(to);
            }
        }
    }
    seen
}

#[test]
fn files_import_each_other_in_rings_of_two_at_most() {
    let mut wrong = Vec::new();
    for (package, root) in crate_roots() {
        let arrows = arrows(&read(&root, &existing));
        for ring in rings(&arrows).into_iter().filter(|ring| ring.len() > 2) {
            wrong.push(format!("{package}, {} files: {ring:?}", ring.len()));
        }
    }
    assert_none("rings of imports", &wrong);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{arrows, rings};
    use crate::rust::read;

    /// The rings of a crate of these files, `lib.rs` among them.
    fn rings_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let text = |path: &Path| {
            let name = path.strip_prefix("src").ok()?.to_str()?;
            files.iter().find(|(have, _)| *have == name).map(|(_, text)| (*text).to_owned())
        };
        let arrows = arrows(&read(Path::new("src/lib.rs"), &text));
        let shown = |ring: Vec<&Path>| ring.iter().map(|path| path.display().to_string()).collect();
        rings(&arrows).into_iter().map(shown).collect()
    }

    #[test]
    fn a_ring_is_found_through_re_exports_stars_macros_and_modules() {
        let ring = rings_of(&[
            ("lib.rs", "mod a; mod b; mod c; mod d; pub use c::C; pub use d::*; pub use b::build;"),
            ("a.rs", "use crate::C; pub struct A(C);"),
            ("b.rs", "pub fn build() { assert!(crate::a::A::new().is_ok()); }"),
            ("c.rs", "pub struct C; fn f() { crate::D::new() }"),
            ("d.rs", "use super::build; pub struct D; fn g() { build() }"),
        ]);
        assert_eq!(ring, [["src/a.rs", "src/b.rs", "src/c.rs", "src/d.rs"]]);
    }

    #[test]
    fn no_ring_is_seen_where_there_is_none() {
        let none = rings_of(&[
            ("lib.rs", "mod a; mod b; pub use b::B; use a::A; pub fn run(_: A) {}"),
            ("a.rs", "use crate::B; pub struct A(B); #[cfg(test)] mod tests { use super::*; }"),
            ("b.rs", "use std::fmt; pub struct B; #[cfg(test)] mod tests { use crate::a::A; }"),
        ]);
        assert_eq!(none, Vec::<Vec<String>>::new());
    }

    #[test]
    fn the_parent_module_counts_as_every_other_file() {
        let ring = rings_of(&[
            ("lib.rs", "mod m;"),
            ("m.rs", "mod inner; mod other; use inner::X; pub struct P(X);"),
            ("m/inner.rs", "use super::other::Y; pub struct X(Y);"),
            ("m/other.rs", "use super::P; pub struct Y(Box<P>);"),
        ]);
        assert_eq!(ring, [["src/m/inner.rs", "src/m/other.rs", "src/m.rs"]]);
    }
}
