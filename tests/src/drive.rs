//! Plays one cell: starts the regions, the proxy and the load, applies the faults, and collects the logs of both ends.

use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

use thalweg_testkit::{Edge, Running, eventually};

use crate::{
    cell::{Act, Cell},
    clock,
    machine::Ticks,
    peer::Kind,
    record::{Book, Record},
    report::Verdict,
    scene::{Proxy, Stage},
    site::{Arrival, Site},
};

/// The most runs of one cell: a void run is played again, and the last run counts in any case.
const PLAYS: usize = 3;

/// Plays this cell with the edge and judges it.
pub fn judge(cell: &Cell, version: &str) -> Verdict {
    until_it_counts(cell, Kind::Thalweg, version, |verdict| verdict.void().inspect(|_| drop(verdict.save())))
}

/// Plays this cell with this proxy until a run is not void.
pub fn compare(cell: &Cell, kind: Kind) -> Verdict {
    until_it_counts(cell, kind, &kind.version(), Verdict::disturbed)
}

/// Runs that do not count are shown as void.
fn until_it_counts(
    cell: &Cell,
    kind: Kind,
    version: &str,
    void: impl Fn(&Verdict) -> Option<String>,
) -> Verdict {
    for _ in 1..PLAYS {
        let verdict = Verdict::of(cell, &play(cell, kind), version);
        let Some(why) = void(&verdict) else { return verdict };
        println!("void: {why}; played again: {}", verdict.line());
    }
    Verdict::of(cell, &play(cell, kind), version)
}

/// Plays this cell with this proxy, in real time, to its end.
pub fn play(cell: &Cell, kind: Kind) -> Record {
    let mut stage = Stage::set(&cell.scene, kind);
    let ticks = Ticks::now();
    let load = stage.load(&cell.scene).start();
    let began = load.began;
    let began_us = clock::us(began);
    let since = || began.elapsed().as_secs_f64() * 1000.0;
    let (mut fault_ms, mut cure_ms, mut kills) = (f64::MAX, 0.0, Vec::new());
    for (at_ms, act) in &cell.script {
        wait_until(began, *at_ms);
        fault_ms = since().min(fault_ms);
        let killed = match act {
            Act::Kill(site) => Some(*site),
            Act::KillCarrier => Some(carrier(&load, &stage.sites)),
            _ => None,
        };
        kills.extend(killed.map(|site| (since(), site)));
        apply(act, kills.last(), &mut stage);
        cure_ms = since();
    }
    wait_until(began, cell.end_ms);
    let end_ms = since();
    let stolen = Ticks::now().stolen_since(ticks);
    // A site that is still stopped would keep its requests until they time out.
    stage.sites.iter().for_each(Site::thaw);
    let report = load.stop();
    let book = match &stage.proxy {
        Proxy::Thalweg(edge) => Some(book(edge, report.shots.len())),
        Proxy::Peer(_) => None,
    };
    let arrivals = arrivals(&stage.sites);
    let (hits, unsent) = Record::hits(&report.shots, &arrivals, began_us);
    Record {
        cell: cell.name.clone(),
        proxy: kind.name().to_owned(),
        hits,
        unsent,
        kills,
        sent: usize::try_from(report.sent).unwrap_or(usize::MAX),
        late_ms: report.late_us as f64 / 1000.0,
        shots: report.shots,
        sites: stage.sites.iter().map(|site| site.name.clone()).collect(),
        distances_ms: stage.sites.iter().map(Site::distance_ms).collect(),
        fault_ms,
        cure_ms,
        end_ms,
        stolen,
        book,
    }
}

fn wait_until(began: Instant, at_ms: u64) {
    thread::sleep((began + Duration::from_millis(at_ms)).saturating_duration_since(Instant::now()));
}

/// The site that answered most of the last requests.
fn carrier(load: &Running, sites: &[Site]) -> usize {
    const LAST: usize = 100;
    let last = load.last(LAST);
    let answered = |site: &Site| last.iter().filter(|shot| shot.by == site.name).count();
    (0..sites.len()).max_by_key(|nth| answered(&sites[*nth])).unwrap_or(0)
}

fn apply(act: &Act, killed: Option<&(f64, usize)>, stage: &mut Stage) {
    let killed = killed.map(|(_, site)| *site);
    match act {
        Act::Kill(_) | Act::KillCarrier => stage.sites[killed.expect("the kill names a site")].kill(),
        Act::ReviveKilled => stage.sites[killed.expect("a site was killed before")].revive(),
        Act::Revive(site) => stage.sites[*site].revive(),
        Act::Terminate(site) => stage.sites[*site].terminate(),
        Act::Freeze(site) => stage.sites[*site].freeze(),
        Act::Thaw(site) => stage.sites[*site].thaw(),
        Act::CutOff(site, yes) => stage.sites[*site].cut_off(*yes),
        Act::Tell(site, mood) => stage.sites[*site].tell(mood),
        Act::Resolve(site) => stage.resolve(*site),
    }
}

/// All arrivals, read once no more come: the last copies of a request may arrive late.
fn arrivals(sites: &[Site]) -> Vec<Vec<Arrival>> {
    const SILENT: Duration = Duration::from_secs(1);
    let (mut written, mut since) = (0, Instant::now());
    eventually("the regions are silent", Duration::from_secs(20), || {
        let now: u64 = sites.iter().map(Site::written).sum();
        if now != written {
            (written, since) = (now, Instant::now());
        }
        since.elapsed() >= SILENT
    });
    sites.iter().map(Site::arrivals).collect()
}

/// The edge's access log and metrics, read once the last line is written.
fn book(edge: &Edge, sent: usize) -> Book {
    let mut logged: HashMap<String, Vec<_>> = HashMap::new();
    eventually("every request is logged", Duration::from_secs(5), || {
        logged.clear();
        for line in edge.access_log() {
            if let Some(id) = line["request_id"].as_str() {
                logged.entry(id.to_owned()).or_default().push(line);
            }
        }
        logged.len() >= sent
    });
    Book { logged, metrics: edge.metrics() }
}
