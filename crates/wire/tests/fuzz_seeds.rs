//! The seeds of the engine's fuzz targets, run as ordinary tests.
#![allow(unreachable_pub, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

#[path = "../../../fuzz/src/wire.rs"]
mod checks;

use std::{fs, path::Path};

/// Runs each seed of a target, and each seed with each byte changed; a panic names the file.
fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the target has seeds") {
        let path = entry.expect("a seed is listed").path();
        let bytes = fs::read(&path).expect("a seed can be read");
        let variants = (0..bytes.len()).flat_map(|at| b"\r\n :\0,x".iter().map(move |byte| (at, *byte)));
        let held = std::panic::catch_unwind(|| {
            check(&bytes);
            for (at, byte) in variants {
                let mut changed = bytes.clone();
                changed[at] = byte;
                check(&changed);
            }
        });
        assert!(held.is_ok(), "{}: see the panic above", path.display());
        count += 1;
    }
    assert!(count >= 5, "{}: {count} seeds", folder.display());
}

#[test]
fn no_seed_breaks_the_reader_of_requests() {
    run("wire_requests", checks::requests);
}

#[test]
fn no_seed_breaks_the_reader_of_answers() {
    run("wire_answers", checks::answers);
}

#[test]
fn no_seed_breaks_the_reader_of_proxy_headers() {
    run("proxy_headers", checks::proxy_headers);
}

#[test]
fn no_seed_breaks_the_reader_of_client_hellos() {
    run("client_hellos", checks::client_hellos);
}
