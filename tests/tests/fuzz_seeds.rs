//! The seeds of every fuzz target as ordinary tests: no nightly compiler is needed, and an input that once broke a
//! promise stays covered. `make test-long` continues from these seeds with libFuzzer.

#[path = "../../fuzz/src/checks.rs"]
mod checks;

use std::fs;

use thalweg_testkit::repository;

/// Runs each seed of a target; a panic names the file.
fn run(target: &str, check: fn(&[u8])) {
    let folder = repository().join("fuzz/seeds").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the target has seeds") {
        let path = entry.expect("a seed is listed").path();
        let bytes = fs::read(&path).expect("a seed can be read");
        let broken = std::panic::catch_unwind(|| check(&bytes));
        assert!(broken.is_ok(), "{}: see the panic above", path.display());
        count += 1;
    }
    assert!(count >= 5, "{}: {count} seeds", folder.display());
}

#[test]
fn no_seed_breaks_the_config_reader() {
    run("config_text", checks::config_text);
}

#[test]
fn no_seed_breaks_the_judgement_of_a_health_body() {
    run("health_body", checks::health_body);
}

#[test]
fn no_seed_breaks_normalisation_and_matching() {
    run("host_and_path", checks::host_and_path);
}

#[test]
fn no_seed_breaks_a_line_of_the_access_log() {
    run("access_log", checks::access_log);
}

#[test]
fn every_fuzz_target_has_seeds_and_a_binary() {
    let manifest = fs::read_to_string(repository().join("fuzz/Cargo.toml")).expect("a manifest");
    let mut targets: Vec<&str> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\""))
        .collect();
    targets.sort_unstable();
    let mut seeds: Vec<String> = fs::read_dir(repository().join("fuzz/seeds"))
        .expect("seeds")
        .map(|entry| entry.expect("a folder").file_name().to_string_lossy().into_owned())
        .collect();
    seeds.sort_unstable();
    assert_eq!(targets, seeds);
}
