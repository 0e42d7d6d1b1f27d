//! The same faults, load and endpoints against nginx, HAProxy and Envoy: plays what is asked, keeps every run as JSON,
//! and writes `docs/failover.md` with its drawings from all runs that are kept.

use std::{fmt::Write as _, fs, path::PathBuf, process::ExitCode};

use thalweg_testkit::repository;

use crate::{
    cell::{Cell, Policy, Wire},
    drive,
    goal::Figure,
    netns::Namespace,
    peer::Kind,
    plot,
    report::{self, Verdict},
    table::{self, Fault, Form},
};

/// The faults of the comparison, with what they are in words.
const FAULTS: [(Fault, &str); 11] = [
    (Fault::Kill, "`kill -9`, eight times in turn over all regions, each back after 0.4 s"),
    (Fault::Stop, "SIGTERM, back after 4 s"),
    (Fault::Freeze, "SIGSTOP for 8 s: the kernel accepts, nobody answers"),
    (Fault::Drop, "every packet to one region dropped for 8 s (network namespace, nft)"),
    (Fault::Reset, "every connection to one region reset for 8 s"),
    (Fault::Slow, "one region 300 ms slower for 8 s, `/health` fine"),
    (Fault::Errors(100), "one region answers only 503 for 8 s, `/health` fine"),
    (Fault::Errors(30), "one region answers 30 % 503 for 8 s, `/health` fine"),
    (Fault::SickProbes, "every `/health` fails for 8 s, data fine"),
    (Fault::Flap, "one region well and broken in turn, 300 ms each, for 18 s"),
    (Fault::Outage, "every region answers 503 for 30 s"),
];

/// Plays the faults that have one of these words in their name, or all, and writes the page.
pub fn run(words: &[&str]) -> ExitCode {
    let mut missing = 0;
    for (fault, _) in FAULTS {
        let cell = cell(fault);
        if !words.is_empty() && !words.iter().any(|word| cell.name.contains(word)) {
            continue;
        }
        if let (true, Err(why)) = (cell.scene.apart, Namespace::possible()) {
            thalweg_testkit::skip(&format!("compare {}", cell.name), &why);
            missing += 1;
            continue;
        }
        for kind in Kind::ALL {
            if kind.program().is_none() {
                thalweg_testkit::skip(&format!("compare {}", kind.name()), "not installed (bench/setup.sh)");
                missing += 1;
                continue;
            }
            let verdict = Verdict::of(&cell, &drive::play(&cell, kind), &kind.version());
            println!("{}", verdict.line());
            fs::create_dir_all(directory()).expect("a directory can be made");
            let text = serde_json::to_string(&verdict).expect("plain data is JSON");
            fs::write(path(fault, kind), text).expect("a run can be kept");
        }
    }
    write_page();
    if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Equal weights, because that is what all of them can do; hedges on, because one config serves all faults.
fn cell(fault: Fault) -> Cell {
    let mut cell = table::cell(fault, Policy::Weighted, Wire::H1, Form::Short);
    cell.scene.hedge = true;
    cell
}

fn directory() -> PathBuf {
    report::directory().join("compare")
}

fn path(fault: Fault, kind: Kind) -> PathBuf {
    directory().join(format!("{}-{}.json", fault.word(), kind.name()))
}

fn kept(fault: Fault) -> Vec<Verdict> {
    let read = |kind: Kind| fs::read_to_string(path(fault, kind)).ok();
    let parse = |text: String| serde_json::from_str(&text).expect("our own report parses");
    Kind::ALL.into_iter().filter_map(read).map(parse).collect()
}

fn write_page() {
    let docs = repository().join("docs");
    fs::create_dir_all(docs.join("failover")).expect("a directory can be made");
    let mut page = HEAD.to_owned();
    let all: Vec<_> = FAULTS.into_iter().map(|(fault, words)| (fault, words, kept(fault))).collect();
    versions(&mut page, all.iter().flat_map(|(_, _, runs)| runs));
    for (fault, words, runs) in all.iter().filter(|(_, _, runs)| !runs.is_empty()) {
        let word = fault.word();
        fs::write(docs.join(format!("failover/{word}.svg")), plot::draw(words, runs))
            .expect("a drawing can be written");
        section(&mut page, &word, words, runs);
    }
    fs::write(docs.join("failover.md"), page).expect("the page can be written");
}

fn versions<'a>(page: &mut String, runs: impl Iterator<Item = &'a Verdict> + Clone) {
    page.push_str("| proxy | version |\n|---|---|\n");
    for kind in Kind::ALL {
        if let Some(run) = runs.clone().find(|run| run.proxy == kind.name()) {
            let _infallible = writeln!(page, "| {} | {} |", run.proxy, run.version);
        }
    }
}

fn section(page: &mut String, word: &str, words: &str, runs: &[Verdict]) {
    let shown = |figure: &&Figure| {
        figure.what.contains("after (ms)")
            || figure.what.contains("growth")
            || figure.what.contains("per request")
    };
    let extra: Vec<&str> = runs
        .first()
        .map(|run| run.figures.iter().filter(shown).map(|figure| figure.what.as_str()).collect())
        .unwrap_or_default();
    let _infallible = writeln!(page, "\n## {word}\n\n{words}.\n");
    let names: String = extra.iter().map(|name| format!(" {name} |")).collect();
    let _infallible = writeln!(
        page,
        "| proxy | sent | failed GETs | failed POSTs | cut | doubled POSTs | p50 ms | p99 | p99.9 | max | generator late |{names}"
    );
    let _infallible =
        writeln!(page, "|---|---|---|---|---|---|---|---|---|---|---|{}", "---|".repeat(extra.len()));
    for run in runs {
        let figures: String = extra
            .iter()
            .map(|name| run.figures.iter().find(|figure| figure.what == *name).map_or("–".to_owned(), value))
            .map(|value| format!(" {value} |"))
            .collect();
        // Zero cannot be measured: that run was kept before the figure was.
        let late = if run.late_ms > 0.0 { format!("{:.1}", run.late_ms) } else { "–".to_owned() };
        let _infallible = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {:.1} | {:.1} | {:.1} | {:.1} | {late} |{figures}",
            run.proxy,
            run.sent,
            run.failed_gets,
            run.failed_posts,
            run.cut,
            run.doubled,
            run.p50_ms,
            run.p99_ms,
            run.p999_ms,
            run.max_ms
        );
    }
    let _infallible = writeln!(page, "\n![{word}](failover/{word}.svg)");
}

fn value(figure: &Figure) -> String {
    if figure.value > 1e12 {
        return "never".to_owned();
    }
    if figure.what.contains("(ms)") { format!("{:.0}", figure.value) } else { format!("{:.2}", figure.value) }
}

const HEAD: &str = "\
# Failover, measured

Thalweg beside nginx, HAProxy and Envoy under the same faults, the same load and the same endpoints. Written by
`make chaos-compare` from recorded runs; nothing here is typed by hand. A run is seconds long and one of each is shown, on two shared
cores: read orders of magnitude and counts, not the last digit.

- **Load**: open loop, 500 requests/s for the whole run, 20 % POSTs, each with an id of its own. A latency counts from the moment a request
  was *due*. Latencies are those of GETs that were due while the fault lasted.
- **Regions**: three processes with one endpoint each, equal weights. Each writes the id of a request to a file before it answers, so that
  failed, doubled and lost are differences of sets. The fault strikes one region four seconds after the start (shaded in the drawings).
- **failed**: no answer, or a 5xx. **cut**: the head came and the body did not, which no proxy can heal. **doubled POSTs**: arrived at regions more
  than once.
- **generator late**: the most that the load generator itself woke late (ms). Other work shares this machine: what a run shows beyond its
  peers in p50 to max, up to this figure, may be the machine; – is
  a run without this figure.
- **Configs**: `bench/peers/failover`. `haproxy` is the sample configuration with checks; `haproxy-tuned` and `nginx` give up a try after 1 s, which
  a proxy for slow answers could not afford; `envoy` has outlier detection, retries elsewhere and a second try beside the first after 250 ms.
  Thalweg has its defaults but for `retry.hedge = true` and immediate failback. Two threads each.

";
