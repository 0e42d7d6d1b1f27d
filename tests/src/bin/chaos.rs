//! `chaos list` · `chaos run [WORD…] [--times N]` plays the cells whose name has one of the words, or all of them ·
//! `chaos compare [WORD…]` plays the comparison with other proxies and writes `docs/failover.md`.
//! One line per cell on stdout, JSON under `target/chaos`. Exit code 1 when a cell fails or cannot be played here.

use std::process::ExitCode;

use thalweg_tests::{cell::Cell, compare, drill, drive, netns::Namespace, peer::Kind, table};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => {
            table::whole().iter().for_each(|cell| println!("{:<34}{:>4} s", cell.name, cell.end_ms / 1000));
            drill::WHOLE.iter().for_each(|drill| println!("{}", drill.name()));
            ExitCode::SUCCESS
        }
        ["run", rest @ ..] => run(rest),
        ["compare", rest @ ..] => compare::run(rest),
        _ => {
            eprintln!("usage: chaos list | run [WORD…] [--times N] | compare [WORD…]");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[&str]) -> ExitCode {
    let (words, times) = match words {
        [words @ .., "--times", times] => (words, times.parse().unwrap_or(1)),
        words => (words, 1),
    };
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    let cells: Vec<Cell> = table::whole().into_iter().filter(|cell| wanted(&cell.name)).collect();
    let drills: Vec<drill::Drill> = drill::WHOLE.into_iter().filter(|drill| wanted(drill.name())).collect();
    let version = Kind::Thalweg.version();
    let (mut failed, mut skipped) = (0, 0);
    for cell in cells.iter().flat_map(|cell| std::iter::repeat_n(cell, times)) {
        if let (true, Err(why)) = (cell.scene.apart, Namespace::possible()) {
            thalweg_testkit::skip(&cell.name, &why);
            skipped += 1;
            continue;
        }
        let verdict = drive::judge(cell, &version);
        println!("{}", verdict.line());
        verdict.save();
        failed += usize::from(!verdict.passes());
    }
    for drill in drills.iter().flat_map(|drill| std::iter::repeat_n(drill, times)) {
        let (line, holds) = drill.line(&drill.play());
        println!("{line}");
        failed += usize::from(!holds);
    }
    let played = (cells.len() + drills.len()) * times;
    println!("{played} cells, {failed} failed, {skipped} skipped");
    // A cell that was not played counts as failed.
    if failed + skipped == 0 && played > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
