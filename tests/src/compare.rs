//! The same faults, load and endpoints against nginx, HAProxy and Envoy: plays the chosen faults, keeps every run as JSON
//! with its commit, and writes `docs/failover.md` and its drawings from all runs that are kept.

use std::{
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

use serde::{Deserialize, Serialize};
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

/// The faults of the comparison, with their descriptions.
const FAULTS: [(Fault, &str); 11] = [
    (Fault::Kill, "`kill -9`, eight times in turn over all regions, each back after 0.4 s"),
    (Fault::Stop, "SIGTERM, back after 4 s"),
    (Fault::Freeze, "SIGSTOP for 8 s: the kernel accepts, no process answers"),
    (Fault::Drop, "every packet to one region dropped for 8 s (network namespace, nft)"),
    (Fault::Reset, "every connection to one region reset for 8 s"),
    (Fault::Slow, "one region 300 ms slower for 8 s, `/health` fine"),
    (Fault::Errors(100), "one region answers only 503 for 8 s, `/health` fine"),
    (Fault::Errors(30), "one region answers 30 % 503 for 8 s, `/health` fine"),
    (Fault::SickProbes, "every `/health` fails for 8 s, data fine"),
    (Fault::Flap, "one region well and broken in turn, 300 ms each, for 18 s"),
    (Fault::Outage, "every region answers 503 for 30 s"),
];

/// The state of the repository when a run was made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Build {
    /// The commit, shortened.
    commit: String,
    /// Whether all tracked files were as in the commit, except those in `docs`, where this page is written.
    clean: bool,
}

impl Build {
    /// `None` outside of a checkout. Read before the first run, because the binary was built just before.
    fn now() -> Option<Self> {
        let git = |words: &[&str]| {
            let said = Command::new("git").arg("-C").arg(repository()).args(words).output().ok()?;
            said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
        };
        let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
        let changed =
            git(&["status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)docs"])?;
        Some(Self { commit, clean: changed.is_empty() })
    }

    fn words(build: Option<&Self>) -> String {
        match build {
            None => "a commit that was not recorded".to_owned(),
            Some(Self { commit, clean: true }) => format!("commit `{commit}`"),
            Some(Self { commit, clean: false }) => format!("commit `{commit}` with uncommitted changes"),
        }
    }
}

/// A run as it is kept; older runs have no build.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Kept {
    #[serde(default)]
    build: Option<Build>,
    #[serde(flatten)]
    verdict: Verdict,
}

/// A fault, its description, and the runs of all proxies that are kept.
type Section = (Fault, &'static str, Vec<Kept>);

/// Plays the faults that have one of these words in their name, or all, and writes the page.
pub fn run(words: &[&str]) -> ExitCode {
    let mut missing = 0;
    let build = Build::now();
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
            let verdict = drive::compare(&cell, kind);
            println!("{}", verdict.line());
            fs::create_dir_all(directory()).expect("a directory can be made");
            let kept = Kept { build: build.clone(), verdict };
            let text = serde_json::to_string(&kept).expect("plain data is JSON");
            fs::write(path(fault, kind), text).expect("a run can be kept");
        }
    }
    write_page();
    if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Equal weights, because all proxies support them; hedges on, because one config serves all faults.
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

fn kept(fault: Fault) -> Vec<Kept> {
    let read = |kind: Kind| fs::read_to_string(path(fault, kind)).ok();
    let parse = |text: String| serde_json::from_str(&text).expect("our own report parses");
    Kind::ALL.into_iter().filter_map(read).map(parse).collect()
}

fn write_page() {
    let docs = repository().join("docs");
    fs::create_dir_all(docs.join("failover")).expect("a directory can be made");
    let all: Vec<Section> = FAULTS
        .into_iter()
        .map(|(fault, words)| (fault, words, kept(fault)))
        .filter(|(_, _, runs)| !runs.is_empty())
        .collect();
    for (fault, words, runs) in &all {
        let runs: Vec<Verdict> = runs.iter().map(|run| run.verdict.clone()).collect();
        fs::write(docs.join(format!("failover/{}.svg", fault.word())), plot::draw(words, &runs))
            .expect("a drawing can be written");
    }
    fs::write(docs.join("failover.md"), page(&all)).expect("the page can be written");
}

/// Faults can be played again one at a time, so the page names the commit of each row.
fn page(all: &[Section]) -> String {
    let mut page = HEAD.to_owned();
    let runs: Vec<&Kept> = all.iter().flat_map(|(_, _, runs)| runs).collect();
    versions(&mut page, &runs);
    let one = runs.iter().all(|run| run.build == runs[0].build);
    let said =
        if one { made_with(&runs) } else { "Each fault with the commit that its section names.".to_owned() };
    let _infallible = writeln!(page, "\n{said}");
    for (fault, words, runs) in all {
        section(&mut page, &fault.word(), words, runs, !one);
    }
    page
}

/// The commits of these runs, each with its proxies when there are several.
fn made_with(runs: &[&Kept]) -> String {
    let mut builds: Vec<(Option<&Build>, Vec<&str>)> = Vec::new();
    for run in runs {
        let (build, proxy) = (run.build.as_ref(), run.verdict.proxy.as_str());
        match builds.iter_mut().find(|(other, _)| *other == build) {
            Some((_, proxies)) => proxies.push(proxy),
            None => builds.push((build, vec![proxy])),
        }
    }
    let said: Vec<String> = match builds.as_slice() {
        [(build, _)] => vec![Build::words(*build)],
        several => several
            .iter()
            .map(|(build, proxies)| format!("{} ({})", Build::words(*build), proxies.join(", ")))
            .collect(),
    };
    if said.is_empty() { "No run is kept.".to_owned() } else { format!("Made with {}.", said.join("; ")) }
}

fn versions(page: &mut String, runs: &[&Kept]) {
    page.push_str("| proxy | version |\n|---|---|\n");
    for kind in Kind::ALL {
        let mut seen: Vec<&str> = Vec::new();
        for run in runs.iter().map(|run| &run.verdict).filter(|run| run.proxy == kind.name()) {
            if !seen.contains(&run.version.as_str()) {
                seen.push(&run.version);
            }
        }
        if !seen.is_empty() {
            let _infallible = writeln!(page, "| {} | {} |", kind.name(), seen.join("; "));
        }
    }
}

fn section(page: &mut String, word: &str, words: &str, kept: &[Kept], told: bool) {
    let runs: Vec<&Verdict> = kept.iter().map(|run| &run.verdict).collect();
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
    if told {
        let _infallible = writeln!(page, "{}\n", made_with(&kept.iter().collect::<Vec<_>>()));
    }
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
        // Zero means an old run from before this figure existed and before disturbed runs were played again.
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
- **failed**: anything but the request's own 200, whole. **cut**: the head came and the body did not, which no proxy can repair. **doubled POSTs**: arrived at regions more
  than once.
- **generator late**: the most that the load generator itself woke late (ms). What a run shows beyond its peers in p50 to max, up to this
  figure, may be the machine. A run whose generator was more than 25 ms late, or during which more than 1 % of the CPU was taken for other
  guests of the host, was played again, three times at most; the last one is shown; – is a run from before that.
- **Configs**: `bench/peers/failover`, where each says why it is set as it is. `haproxy` is the sample configuration with checks.
  `haproxy-tuned` and `nginx` give up the try of a GET after 1 s, which a proxy for slow answers could not afford. `haproxy-tuned` sets a region aside
  after one error that it sees, and uses all regions unchecked when its checks leave none. `envoy` has outlier detection that a passing check
  does not undo, retries elsewhere without a pause, and a second try beside the first after 250 ms.
  Thalweg has its defaults but for `retry.hedge = true` and immediate failback. Two threads each.

";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn build(commit: &str, clean: bool) -> Option<Build> {
        Some(Build { commit: commit.to_owned(), clean })
    }

    fn run(proxy: &str, version: &str, build: Option<Build>) -> Kept {
        let verdict = json!({
            "cell": "kill/weighted/h1", "proxy": proxy, "version": version, "sent": 1, "failed_gets": 0,
            "failed_posts": 0, "cut": 0, "doubled": 0, "p50_ms": 1.0, "p99_ms": 1.0, "p999_ms": 1.0, "max_ms": 1.0,
            "fault_ms": [0.0, 1.0], "figures": [], "broken": [], "rows": [],
        });
        Kept { build, verdict: serde_json::from_value(verdict).expect("a verdict") }
    }

    /// The lines of the page that speak of commits, and those of its table of versions.
    fn check(all: &[Section], commits: &[&str], versions: &[&str]) {
        let page = page(all);
        let of_commits: Vec<&str> = page.lines().filter(|line| line.contains("commit ")).collect();
        assert_eq!(of_commits, commits);
        let table = page.lines().skip_while(|line| *line != "| proxy | version |").skip(2);
        let of_versions: Vec<&str> = table.take_while(|line| !line.is_empty()).collect();
        assert_eq!(of_versions, versions);
    }

    #[test]
    fn a_page_of_one_commit_says_so_once() {
        let runs = || vec![run("thalweg", "1", build("abc", true)), run("nginx", "2", build("abc", true))];
        let all = [(Fault::Kill, "killed", runs()), (Fault::Stop, "stopped", runs())];
        check(&all, &["Made with commit `abc`."], &["| thalweg | 1 |", "| nginx | 2 |"]);
    }

    #[test]
    fn a_page_of_several_commits_names_them_beside_each_fault() {
        let all = [
            (Fault::Kill, "killed", vec![run("thalweg", "1", None), run("nginx", "2", None)]),
            (Fault::Stop, "stopped", vec![run("thalweg", "1", build("abc", true))]),
            (
                Fault::Freeze,
                "frozen",
                vec![run("thalweg", "3", build("abc", false)), run("nginx", "2", build("abc", true))],
            ),
        ];
        let commits = [
            "Each fault with the commit that its section names.",
            "Made with a commit that was not recorded.",
            "Made with commit `abc`.",
            "Made with commit `abc` with uncommitted changes (thalweg); commit `abc` (nginx).",
        ];
        check(&all, &commits, &["| thalweg | 1; 3 |", "| nginx | 2 |"]);
    }

    #[test]
    fn a_run_is_read_as_it_was_kept_also_from_before_commits_were() {
        let new = serde_json::to_value(run("thalweg", "1", build("abc", true))).expect("plain data is JSON");
        let read: Kept = serde_json::from_value(new.clone()).expect("our own report parses");
        assert_eq!((read.build, read.verdict.proxy.as_str()), (build("abc", true), "thalweg"));
        let mut old = new;
        old.as_object_mut().expect("an object").remove("build");
        let read: Kept = serde_json::from_value(old).expect("an older report parses");
        assert_eq!(read.build, None);
    }
}
