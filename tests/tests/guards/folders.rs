//! The folders of the edge: which folder may import from which.

use std::path::Path;

use crate::{
    imports::{Arrows, arrows},
    repository::{assert_none, existing},
    rust::read,
};

/// A folder and the folders, or single files, that it may import from besides itself. `cli` may import all.
const ALLOWED: &[(&str, &[&str])] = &[
    ("shared", &[]),
    ("data", &["shared"]),
    ("dns", &["shared"]),
    // The control side starts the workers and the DNS thread, and gives them their shared state. It imports neither the
    // rooms nor the answers.
    ("control", &["shared", "data/worker.rs", "dns/thread.rs"]),
    ("admin", &["control", "shared"]),
    ("cli", &["admin", "control", "data", "dns", "shared"]),
];

/// The arrows that no line of [`ALLOWED`] covers.
fn forbidden(arrows: &Arrows, root: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for (from, to) in arrows.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to))) {
        let (Ok(from), Ok(to)) = (from.strip_prefix(root), to.strip_prefix(root)) else { continue };
        // `lib.rs` and `main.rs` stand above the folders.
        let Some((folder, may)) = ALLOWED.iter().find(|(folder, _)| from.starts_with(folder)) else {
            if from.parent() != Some(Path::new("")) {
                wrong.push(format!("{}: a folder without a line of its own here", from.display()));
            }
            continue;
        };
        if !to.starts_with(folder) && !may.iter().any(|may| to.starts_with(may)) {
            wrong.push(format!("{} -> {}", from.display(), to.display()));
        }
    }
    wrong
}

#[test]
fn the_folders_of_the_edge_import_each_other_one_way() {
    let root = Path::new("crates/edge/src");
    let arrows = arrows(&read(&root.join("lib.rs"), &existing));
    for (folder, _) in ALLOWED {
        let found = arrows.keys().any(|file| file.starts_with(root.join(folder)));
        assert!(found, "{folder} is no folder of the edge");
    }
    assert_none("arrows between folders that the architecture does not allow", &forbidden(&arrows, root));
}

#[test]
fn an_arrow_against_the_order_is_found() {
    let text = |path: &Path| {
        let text = match path.to_str()? {
            "src/lib.rs" => {
                "mod data { pub mod peer; pub mod worker; } mod control { pub mod keeper; } mod odd { mod x; }"
            }
            "src/data/peer.rs" => "use crate::control::keeper::Keeper; pub struct Peer(Keeper);",
            "src/data/worker.rs" => "use super::peer::Peer; pub fn run(_: Peer) {}",
            "src/control/keeper.rs" => "use crate::data::{peer::Peer, worker::run}; pub struct Keeper;",
            "src/odd/x.rs" => "use crate::data::worker;  fn f() { worker::run() }",
            _ => return None,
        };
        Some(text.to_owned())
    };
    let root = Path::new("src");
    let mut wrong = forbidden(&arrows(&read(&root.join("lib.rs"), &text)), root);
    wrong.sort();
    assert_eq!(
        wrong,
        [
            "control/keeper.rs -> data/peer.rs",
            "data/peer.rs -> control/keeper.rs",
            "odd/x.rs: a folder without a line of its own here"
        ]
    );
}
