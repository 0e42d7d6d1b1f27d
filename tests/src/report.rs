//! One line per cell with the real figures, and the same as JSON with a row per 100 ms, from which plots are made.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use serde::{Deserialize, Serialize};
use thalweg_testkit::repository;

use crate::{
    cell::Cell,
    clock,
    goal::Figure,
    invariants, machine,
    record::{Record, due_ms, failed, quantile},
};

/// How wide a row is.
pub const ROW_MS: f64 = 100.0;

/// The result of one cell.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Verdict {
    /// The cell's name.
    pub cell: String,
    /// The proxy that steered.
    pub proxy: String,
    /// Its version.
    pub version: String,
    /// Requests sent.
    pub sent: usize,
    /// GETs without a good answer, cut ones apart.
    pub failed_gets: usize,
    /// POSTs without a good answer, cut ones apart.
    pub failed_posts: usize,
    /// Answers cut after their head.
    pub cut: usize,
    /// POSTs that arrived twice.
    pub doubled: usize,
    /// Latencies of GETs under the fault, in milliseconds.
    pub p50_ms: f64,
    /// See `p50_ms`.
    pub p99_ms: f64,
    /// See `p50_ms`.
    pub p999_ms: f64,
    /// See `p50_ms`.
    pub max_ms: f64,
    /// The largest delay of the load generator itself: the part of `max_ms` that the machine adds.
    #[serde(default)]
    pub late_ms: f64,
    /// Share of the machine's CPU time that other guests of its host took.
    #[serde(default)]
    pub stolen: f64,
    /// From when to when the fault lasted.
    pub fault_ms: (f64, f64),
    /// What the goals measured.
    pub figures: Vec<Figure>,
    /// Broken invariants; of peers they are shown, not judged.
    pub broken: Vec<String>,
    /// What the edge counted: hedges, retries, ejections, each with its labels.
    #[serde(default)]
    pub counted: BTreeMap<String, f64>,
    /// The slowest GETs under the fault: what a maximum is made of.
    #[serde(default)]
    pub slowest: Vec<Slow>,
    /// The course of the run.
    pub rows: Vec<Row>,
}

/// A slow request, as both ends saw it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Slow {
    /// When it was due.
    pub due_ms: f64,
    /// Until it had its answer.
    pub took_ms: f64,
    /// Where it arrived, and when the site read it.
    pub arrived: Vec<(String, f64)>,
    /// The edge's access log line.
    pub logged: Option<serde_json::Value>,
}

/// A hundred milliseconds, by the moment when requests were due.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Row {
    /// Requests due.
    pub due: usize,
    /// Of these, failed.
    pub failed: usize,
    /// Good answers that were complete in these 100 ms.
    pub answered: usize,
    /// Median latency of GETs.
    pub p50_ms: f64,
    /// The slowest GET.
    pub max_ms: f64,
    /// Connections to regions whose first request arrived in these 100 ms.
    pub opened: usize,
    /// The number of answers per region.
    pub by: BTreeMap<String, usize>,
}

impl Verdict {
    /// Judges a record.
    pub fn of(cell: &Cell, record: &Record, version: &str) -> Self {
        let under = record.latencies(record.fault_ms, record.cure_ms);
        Self {
            cell: record.cell.clone(),
            proxy: record.proxy.clone(),
            version: version.to_owned(),
            sent: record.sent,
            failed_gets: record.failed(false).len(),
            failed_posts: record.failed(true).len(),
            cut: record.cut(),
            doubled: record.doubled_posts().len(),
            p50_ms: quantile(&under, 0.5),
            p99_ms: quantile(&under, 0.99),
            p999_ms: quantile(&under, 0.999),
            max_ms: quantile(&under, 1.0),
            late_ms: record.late_ms,
            stolen: record.stolen,
            fault_ms: (record.fault_ms, record.cure_ms),
            figures: cell.goals.iter().map(|goal| goal.figure(record)).collect(),
            broken: invariants::broken(record, &cell.scene),
            counted: counted(record),
            slowest: slowest(record),
            rows: rows(record),
        }
    }

    /// Whether the run passes: invariants and counts exactly, times within the noise of machines.
    pub fn passes(&self) -> bool {
        self.broken.is_empty() && self.figures.iter().all(Figure::holds)
    }

    /// Why this run is void: only figures that depend on the machine failed, and the machine was disturbed.
    pub fn void(&self) -> Option<String> {
        let by_the_machine = self.figures.iter().filter(|figure| !figure.holds()).all(|figure| figure.timed);
        if self.passes() || !self.broken.is_empty() || !by_the_machine {
            return None;
        }
        self.disturbed()
    }

    /// Why the times of this run prove nothing, whether it passes or not.
    pub fn disturbed(&self) -> Option<String> {
        machine::disturbed(self.stolen, self.late_ms)
    }

    /// Whether every goal was reached as it is written.
    pub fn reached(&self) -> bool {
        self.broken.is_empty() && self.figures.iter().all(Figure::reached)
    }

    /// The line of the report.
    pub fn line(&self) -> String {
        let word = match (self.passes(), self.reached()) {
            (true, true) => "reached",
            (true, false) => "passed",
            (false, _) => "FAILED",
        };
        let mut line = format!(
            "{word:<8}{:<34}{:<14}{:>6} sent  {} GET {} POST failed  {} cut  {} doubled  p50 {:.1} p99 {:.1} p99.9 {:.1} max {:.1} ms (generator late {:.1}, stolen {:.1} %)",
            self.cell,
            self.proxy,
            self.sent,
            self.failed_gets,
            self.failed_posts,
            self.cut,
            self.doubled,
            self.p50_ms,
            self.p99_ms,
            self.p999_ms,
            self.max_ms,
            self.late_ms,
            self.stolen * 100.0
        );
        for figure in &self.figures {
            let mark = if figure.reached() { "" } else { " !" };
            let value = if figure.value > 1e12 { "never".to_owned() } else { format!("{:.3}", figure.value) };
            let _infallible = write!(line, " | {} {value} (<= {}){mark}", figure.what, figure.goal);
            if !figure.note.is_empty() {
                let _infallible = write!(line, " [{}]", figure.note);
            }
        }
        for broken in &self.broken {
            let _infallible = write!(line, " | BROKEN {broken}");
        }
        line
    }

    /// Writes the JSON under `target/chaos`; gives its path.
    pub fn save(&self) -> PathBuf {
        let dir = directory();
        fs::create_dir_all(&dir).expect("a directory can be made");
        let name = format!("{}-{}", self.cell.replace('/', "-"), self.proxy);
        let text = serde_json::to_string(self).expect("plain data is JSON");
        let path = dir.join(format!("{name}.json"));
        fs::write(&path, &text).expect("a report can be written");
        if self.passes() {
            return path;
        }
        // The next run would overwrite it.
        let path = dir.join(format!("failed-{name}-{}.json", clock::now_us()));
        fs::write(&path, text).expect("a report can be written");
        path
    }
}

/// Where reports go.
pub fn directory() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    target.map_or_else(|| repository().join("target"), PathBuf::from).join("chaos")
}

fn counted(record: &Record) -> BTreeMap<String, f64> {
    const SHOWN: [&str; 5] = ["_hedges_", "_retries_", "_budget_", "_ejections_", "_failovers_"];
    let samples = record.book.iter().flat_map(|book| &book.metrics.samples);
    let shown =
        samples.filter(|sample| sample.value > 0.0 && SHOWN.iter().any(|part| sample.name.contains(part)));
    shown
        .map(|sample| {
            let labels: Vec<&str> = sample.labels.values().map(String::as_str).collect();
            (format!("{} {}", sample.name, labels.join(" ")), sample.value)
        })
        .collect()
}

fn slowest(record: &Record) -> Vec<Slow> {
    const SHOWN: usize = 5;
    let under = record.due(record.fault_ms, record.cure_ms);
    let mut shots: Vec<_> = under.filter(|shot| !shot.post).collect();
    shots.sort_by_key(|shot| std::cmp::Reverse(shot.latency_us));
    let told = |shot: &&thalweg_testkit::Shot| Slow {
        due_ms: due_ms(shot),
        took_ms: shot.latency_us as f64 / 1000.0,
        arrived: record
            .hits
            .iter()
            .filter(|hit| hit.id == shot.id)
            .map(|hit| (record.sites[hit.site].clone(), hit.at_ms))
            .collect(),
        logged: record.book.as_ref().and_then(|book| book.logged.get(&shot.id)?.first().cloned()),
    };
    shots.iter().take(SHOWN).map(told).collect()
}

fn rows(record: &Record) -> Vec<Row> {
    let count = (record.end_ms / ROW_MS).ceil() as usize;
    let mut rows = vec![Row::default(); count];
    for shot in &record.shots {
        let done_ms = due_ms(shot) + shot.latency_us as f64 / 1000.0;
        if let Some(row) = rows.get_mut((done_ms / ROW_MS) as usize) {
            row.answered += usize::from(!failed(shot));
        }
        let Some(row) = rows.get_mut((due_ms(shot) / ROW_MS) as usize) else { continue };
        row.due += 1;
        row.failed += usize::from(failed(shot));
        if !shot.by.is_empty() {
            *row.by.entry(shot.by.clone()).or_default() += 1;
        }
    }
    let mut first: BTreeMap<_, f64> = BTreeMap::new();
    for hit in &record.hits {
        let at = first.entry((hit.site, hit.connection)).or_insert(hit.at_ms);
        *at = at.min(hit.at_ms);
    }
    for at_ms in first.values() {
        if let Some(row) = rows.get_mut((at_ms / ROW_MS) as usize) {
            row.opened += 1;
        }
    }
    for (nth, row) in rows.iter_mut().enumerate() {
        let start = nth as f64 * ROW_MS;
        let latencies = record.latencies(start, start + ROW_MS);
        row.p50_ms = quantile(&latencies, 0.5);
        row.max_ms = quantile(&latencies, 1.0);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cell::{Policy, Wire},
        goal::Goal,
        made::run,
        table::{self, Fault, Form},
    };

    #[test]
    fn only_a_disturbed_machine_voids_a_run_and_only_one_that_failed_by_times() {
        let verdict = |goals: Vec<Goal>, stolen: f64, spoil: fn(&mut Record)| {
            let cell = Cell { goals, ..table::cell(Fault::Slow, Policy::Failover, Wire::H1, Form::Short) };
            let mut record = run(4, (2000.0, 3000.0), |_| 0);
            record.stolen = stolen;
            spoil(&mut record);
            Verdict::of(&cell, &record, "")
        };
        let slow = || vec![Goal::NoGetFailed, Goal::Max(0.1)];
        assert!(verdict(slow(), 0.05, |_| {}).void().is_some());
        assert_eq!(verdict(slow(), 0.0, |_| {}).void(), None, "its own doing");
        assert_eq!(verdict(vec![Goal::NoGetFailed], 0.05, |_| {}).void(), None, "all is well");
        let fail = |record: &mut Record| record.shots[9].outcome = thalweg_testkit::Outcome::Status(502);
        assert_eq!(verdict(slow(), 0.05, fail).void(), None, "no machine makes a request fail");
        assert_eq!(verdict(slow(), 0.05, |record| record.unsent = 1).void(), None, "nor breaks a promise");
    }
}
