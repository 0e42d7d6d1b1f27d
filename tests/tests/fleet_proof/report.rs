//! The report of the proof: one line for each demand, on standard output at once and in `target/fleet.md` at the end.

use std::{fmt::Display, fs, path::PathBuf, time::Duration};

use thalweg_testkit::repository;

/// The lines so far.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<String>,
    missed: Vec<String>,
}

impl Report {
    /// A report with its head.
    pub fn begin() -> Self {
        let mut report = Self::default();
        report.add("| what | to reach | measured | verdict |");
        report.add("|---|---|---|---|");
        report
    }

    /// A demand that is met or not.
    pub fn demand(&mut self, what: &str, reach: &str, measured: impl Display, met: bool) {
        let verdict = if met { "reached" } else { "NOT reached" };
        self.add(&format!("| {what} | {reach} | {measured} | {verdict} |"));
        if !met {
            self.missed.push(format!("{what}: {reach}, measured {measured}"));
        }
    }

    /// A time that shall not exceed a limit.
    pub fn within(&mut self, what: &str, limit: Duration, took: Duration) {
        self.demand(what, &format!("≤ {} s", limit.as_secs_f64()), seconds(took), took <= limit);
    }

    /// A figure without a demand.
    pub fn told(&mut self, what: &str, measured: impl Display) {
        self.add(&format!("| {what} | – | {measured} | told |"));
    }

    /// What this machine cannot do.
    pub fn skipped(&mut self, what: &str, why: &str) {
        self.add(&format!("| {what} | – | SKIPPED: {why} | skipped |"));
    }

    /// Writes the file, and fails with the demands that were not met.
    pub fn end(self, name: &str) {
        let folder =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
        let path = folder.join(name);
        fs::write(&path, self.lines.join("\n") + "\n").expect("the report can be written");
        println!("\nThe report is in {}.", path.display());
        assert!(self.missed.is_empty(), "not reached:\n{}", self.missed.join("\n"));
    }

    fn add(&mut self, line: &str) {
        println!("{line}");
        self.lines.push(line.to_owned());
    }
}

/// Seconds with two places.
pub fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// Median, 99th percentile and maximum, in milliseconds.
#[derive(Clone, Debug)]
pub struct Spread(Vec<Duration>);

impl Spread {
    /// Of these times, one at least.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    /// The time that this percentage does not exceed.
    pub fn at(&self, percent: usize) -> Duration {
        self.0[(self.0.len() * percent / 100).min(self.0.len() - 1)]
    }
}

impl Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |percent| self.at(percent).as_secs_f64() * 1000.0;
        write!(
            f,
            "p50 {:.0} ms, p99 {:.0} ms, most {:.0} ms ({} times)",
            ms(50),
            ms(99),
            ms(100),
            self.0.len()
        )
    }
}
