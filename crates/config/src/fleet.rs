//! What belongs to the table `[fleet]`, and which tables are the edge's own and which are those of a bundle of the fleet.
//! Connects to nothing and verifies no signature.
//!
//! Why tables and not keys: an operator can say at one glance where a table is read from. What names this machine
//! (its name, its addresses, its folders, its keys) is in the edge's own files; what the fleet agrees on is in the bundle.

use std::path::Path;

/// The tables that only the edge's own files decide: those of a bundle are not read.
pub(crate) const LOCAL: [&str; 6] = ["version", "include", "edge", "admin", "fleet", "listener"];

/// What the paths of a bundle's files begin with, in errors and in the history.
const PREFIX: &str = "bundle:";

/// The path under which a file of a bundle is shown.
#[must_use]
pub fn bundled_path(number: u64, path: &str) -> String {
    format!("{PREFIX}{number}/{path}")
}

/// Whether a path is that of a bundle's file.
pub(crate) fn is_bundled(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

/// How far a bundle goes, and where an edge stands: a rollout goes from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ring {
    /// The edges that try it first.
    Canary,
    /// The edges of one region.
    Region,
    /// Every edge.
    All,
}

impl Ring {
    /// In the order of a rollout.
    pub const EACH: [Self; 3] = [Self::Canary, Self::Region, Self::All];

    /// The spelling in the config.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Region => "region",
            Self::All => "all",
        }
    }

    /// The ring of this spelling.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::EACH.into_iter().find(|ring| ring.as_str() == name)
    }
}
