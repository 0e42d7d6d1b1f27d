//! A seeded world that is probed, reloaded, resolved, drained, asked, and told of traffic, with every invariant checked
//! after every step. A failure prints `SEED n STEP k`; `THALWEG_SEED=n` plays that seed again.
//! `THALWEG_SEEDS` changes how many seeds are played, `THALWEG_STEPS` how many steps each has.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test: whatever is not there is a failure"
)]

#[path = "simulation/common.rs"]
mod common;
#[path = "simulation/evidence.rs"]
mod evidence;
#[path = "simulation/flaps.rs"]
mod flaps;
#[path = "simulation/forecasts.rs"]
mod forecasts;
#[path = "simulation/oracle.rs"]
mod oracle;
#[path = "simulation/orders.rs"]
mod orders;
#[path = "simulation/prng.rs"]
mod prng;
#[path = "simulation/records.rs"]
mod records;
#[path = "simulation/request.rs"]
mod request;
#[path = "simulation/scene.rs"]
mod scene;
#[path = "simulation/series.rs"]
mod series;
#[path = "simulation/standings.rs"]
mod standings;
#[path = "simulation/story.rs"]
mod story;
#[path = "simulation/subject.rs"]
mod subject;
#[path = "simulation/traffic.rs"]
mod traffic;

use std::sync::atomic::{AtomicU64, Ordering};

use story::play;
use subject::Mutant;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn steps() -> usize {
    number("THALWEG_STEPS").map_or(200, |steps| steps as usize)
}

/// Plays seeds on every core until one breaks an invariant or `seeds` are played. Says which broke first.
fn search(mutant: Mutant, seeds: u64) -> Option<String> {
    let next = AtomicU64::new(0);
    let stop = AtomicU64::new(seeds);
    let steps = steps();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let player = || {
        let mut broken: Option<(u64, String)> = None;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= stop.load(Ordering::Relaxed) {
                return broken;
            }
            if let Err((step, what)) = play(mutant, seed, steps) {
                stop.fetch_min(seed, Ordering::Relaxed);
                broken = Some((seed, format!("SEED {seed} STEP {step}: {what}")));
            }
        }
    };
    std::thread::scope(|scope| {
        let players: Vec<_> = (0..threads).map(|_| scope.spawn(player)).collect();
        let broken = players.into_iter().filter_map(|player| player.join().expect("a player"));
        broken.min_by_key(|(seed, _)| *seed).map(|(_, what)| what)
    })
}

fn check(seeds: u64) {
    let broken = match number("THALWEG_SEED") {
        Some(seed) => play(Mutant::None, seed, steps())
            .err()
            .map(|(step, what)| format!("SEED {seed} STEP {step}: {what}")),
        None => search(Mutant::None, number("THALWEG_SEEDS").unwrap_or(seeds)),
    };
    if let Some(what) = broken {
        panic!("{what}");
    }
}

#[test]
fn the_world_keeps_its_invariants_for_ten_thousand_seeds() {
    check(10_000);
}

#[test]
#[ignore = "minutes: part of the long tests"]
fn the_world_keeps_its_invariants_for_a_hundred_thousand_seeds() {
    check(100_000);
}

#[test]
fn every_planted_bug_is_found_within_four_hundred_seeds() {
    for mutant in Mutant::ALL {
        let found = search(mutant, 400);
        println!("{mutant:?}: {}", found.as_deref().unwrap_or("not found"));
        assert!(found.is_some(), "{mutant:?} was not found");
    }
}
