//! Finds the binary under test: `THALWEG_BIN`, else the workspace's own, built first so that it is never stale.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Names the binary to test; without it the workspace's debug build is used.
pub const BINARY_VARIABLE: &str = "THALWEG_BIN";

/// The root of the repository.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or_else(|| here.to_path_buf(), Path::to_path_buf)
}

/// The binary under test.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os(BINARY_VARIABLE) {
        Some(named) => PathBuf::from(named),
        None => build(),
    })
}

/// A release build, if there is one: measurements of memory are more accurate with it.
pub fn release_binary() -> Option<PathBuf> {
    let path = target().join("release/thalweg");
    path.is_file().then_some(path)
}

/// Builds the debug binary, because a stale binary would test old code. An up-to-date build takes a moment.
fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "-p", "thalweg-edge", "--bin", "thalweg"])
        .current_dir(repository())
        .status()
        .expect("cargo can be run");
    assert!(built.success(), "the binary does not build");
    target().join("debug/thalweg")
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}
