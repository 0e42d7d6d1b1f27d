//! Edges that die, hang, are cut off or end, and a router that loses a path: when the path is gone, and what requests
//! notice.

use std::time::Duration;

use thalweg_testkit::{Signal, eventually};

use crate::{
    crowd::Crowd,
    lab::{Lab, SOON},
    network::ROUTERS,
    node::WATCHDOG,
    report::Report,
};

const SECOND: Duration = Duration::from_secs(1);

/// The process is killed: its unit withdraws.
pub fn killed(lab: &mut Lab<'_>, crowd: &Crowd, report: &mut Report) {
    let edge = 0;
    let (took, counts) = crowd.during(|| {
        lab.nodes[edge].edge().signal(Signal::KILL);
        lab.until_no_path(edge)
    });
    report.within("an edge is killed: no path to it", SECOND, took);
    report.told("requests meanwhile", &counts);
    let ((), counts) = crowd.during(|| std::thread::sleep(SECOND));
    report.demand("requests of the second after", "0 fail", &counts, counts.are_clean());
    let (_, counts) = crowd.during(|| back(lab, edge));
    report.told("requests while it starts and announces again", &counts);
}

/// The process hangs: its watchdog ends it.
pub fn frozen(lab: &mut Lab<'_>, crowd: &Crowd, report: &mut Report) {
    let edge = 1;
    let (took, counts) = crowd.during(|| {
        lab.nodes[edge].edge().freeze();
        lab.until_no_path(edge)
    });
    let what = format!("an edge's process hangs: no path to it (WatchdogSec={})", WATCHDOG.as_secs());
    report.within(&what, WATCHDOG + SECOND, took);
    report.told("requests meanwhile", &counts);
    back(lab, edge);
}

/// The machine hangs: BFD withdraws. It goes on later.
pub fn machine_frozen(lab: &Lab<'_>, crowd: &Crowd, report: &mut Report) {
    let edge = 2;
    let (took, counts) = crowd.during(|| {
        lab.nodes[edge].hang(true);
        lab.until_no_path(edge)
    });
    report.within("an edge's machine hangs: no path to it, by BFD", SECOND, took);
    report.told("requests meanwhile", &counts);
    lab.nodes[edge].hang(false);
    lab.until_all_paths();
}

/// All cables of the machine are cut, and joined again.
pub fn cut_off(lab: &Lab<'_>, crowd: &Crowd, report: &mut Report) {
    let edge = 1;
    let cut = |yes: bool| {
        (0..ROUTERS).for_each(|router| lab.network.join_router(router, edge, !yes));
        lab.network.join_edge(edge, !yes);
    };
    let (took, counts) = crowd.during(|| {
        cut(true);
        lab.until_no_path(edge)
    });
    report.within("an edge is cut off: no path to it", SECOND, took);
    report.told("requests meanwhile", &counts);
    cut(false);
    lab.until_all_paths();
    eventually("it reads the bucket again", SOON, || lab.nodes[edge].fleet()["connected"] == true);
}

/// One router loses its cable to one edge.
pub fn path_lost(lab: &Lab<'_>, crowd: &Crowd, report: &mut Report) {
    let (router, edge) = (0, 0);
    let (took, counts) = crowd.during(|| {
        lab.network.join_router(router, edge, false);
        eventually("the router has no path there", SOON, || !lab.network.paths(router).contains(&edge))
    });
    report.within("a router loses its cable to an edge: no path there", SECOND, took);
    let others = lab.network.paths(router).len();
    report.demand("paths that it keeps", "2", others, others == 2);
    report.told("requests meanwhile", &counts);
    lab.network.join_router(router, edge, true);
    lab.until_all_paths();
}

/// An edge is ended by SIGTERM: withdrawn first, closed when its traffic has fallen.
pub fn drained(lab: &mut Lab<'_>, crowd: &Crowd, report: &mut Report) {
    let edge = 2;
    lab.until_all_announce();
    let (code, counts) = crowd.during(|| {
        lab.nodes[edge].edge().signal(Signal::TERM);
        lab.until_no_path(edge);
        lab.nodes[edge].edge().exit_code(SOON)
    });
    report.demand("an edge is drained (SIGTERM)", "0 requests fail", &counts, counts.failures() == 0);
    assert_eq!(code, 0, "an edge that is drained ends well");
    let (_, counts) = crowd.during(|| back(lab, edge));
    report.told("requests while it comes back", &counts);
}

/// Starts the edge again; the routers have a path to it.
fn back(lab: &mut Lab<'_>, edge: usize) -> Duration {
    lab.begin(edge);
    lab.until_all_paths()
}
