//! Records made by hand, for tests of goals and invariants.

use thalweg_testkit::{Outcome, Shot};

use crate::record::{Hit, Record};

/// 500 GETs per second for `seconds`, each answered after 1 ms by the site that `by` names for its moment.
pub fn run(seconds: u64, (fault_ms, cure_ms): (f64, f64), by: impl Fn(f64) -> usize) -> Record {
    let sites = ["a", "b"].map(str::to_owned).to_vec();
    let at = |nth: u64| nth as f64 * 2.0;
    let shot = |nth| Shot {
        id: format!("{nth}"),
        post: false,
        outcome: Outcome::Status(200),
        latency_us: 1000,
        by: sites[by(at(nth))].clone(),
        due_us: nth * 2000,
        late_us: 0,
    };
    let hit = |nth| {
        let (site, due_ms) = (by(at(nth)), at(nth));
        Hit { site, due_ms, at_ms: due_ms, connection: (0, 0), id: format!("{nth}"), post: false }
    };
    let count = seconds * 500;
    Record {
        cell: String::new(),
        proxy: String::new(),
        shots: (0..count).map(shot).collect(),
        hits: (0..count).map(hit).collect(),
        unsent: 0,
        kills: Vec::new(),
        distances_ms: vec![0; sites.len()],
        sites,
        fault_ms,
        cure_ms,
        end_ms: seconds as f64 * 1000.0,
        sent: count as usize,
        late_ms: 0.0,
        stolen: 0.0,
        book: None,
    }
}
