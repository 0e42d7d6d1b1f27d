//! The proof of the fleet in one run: three NATS servers, three edges with BIRD, three FastAPI regions, two routers and
//! clients in network namespaces, and everything that can be lost is lost once. `make fleet` runs the whole of it and
//! prints the report; the short form is in `make test`.

#[path = "common/mod.rs"]
mod common;
#[path = "fleet_proof/cluster.rs"]
mod cluster;
#[path = "fleet_proof/config_steps.rs"]
mod config_steps;
#[path = "fleet_proof/crowd.rs"]
mod crowd;
#[path = "fleet_proof/death_steps.rs"]
mod death_steps;
#[path = "fleet_proof/engine_steps.rs"]
mod engine_steps;
#[path = "fleet_proof/form.rs"]
mod form;
#[path = "fleet_proof/lab.rs"]
mod lab;
#[path = "fleet_proof/network.rs"]
mod network;
#[path = "fleet_proof/node.rs"]
mod node;
#[path = "fleet_proof/report.rs"]
mod report;
#[path = "fleet_proof/routing.rs"]
mod routing;

use std::{fs, process};

use thalweg_testkit::{nats_server, python, runtime, skip};

use crate::{
    common::server::program,
    crowd::Crowd,
    form::Form,
    lab::Lab,
    network::{Built, Network},
    report::{Report, seconds},
};

/// Set in the process that runs on the backbone: the name of the network.
const INSIDE: &str = "THALWEG_TEST_NETWORK";

/// Builds the network and runs this test once more inside it; there, returns its name.
fn inside(test: &str) -> Option<String> {
    if let Ok(network) = std::env::var(INSIDE) {
        return Some(network);
    }
    let missing = ["ip", "bird", "birdc"].into_iter().find(|tool| program(tool).is_none());
    if !rustix::process::geteuid().is_root() || missing.is_some() {
        skip(test, &format!("it needs root, ip and bird (iproute2, bird2); missing: {missing:?}"));
        return None;
    }
    nats_server(test)?;
    python(test)?;
    let id = format!("{}", process::id());
    let built = Built::new(&id);
    let mut again = built.0.hub.command();
    again.arg(std::env::current_exe().expect("this test's binary"));
    again.args([test, "--exact", "--nocapture", "--include-ignored"]).env(INSIDE, &id);
    let status = again.status().expect("ip can be started");
    assert!(status.success(), "{test} failed inside its network: see above");
    None
}

#[test]
fn a_fleet_of_three_in_short() {
    let Some(id) = inside("a_fleet_of_three_in_short") else { return };
    let network = Network::named(&id);
    let Some(mut lab) = started(&network, "the fleet in short") else { return };
    let mut report = Report::begin();
    Crowd::run(&network, |crowd| {
        config_steps::orders(&lab, Form::Short, &mut report);
        config_steps::rollout(&lab, Form::Short, crowd, &mut report);
        death_steps::killed(&mut lab, crowd, &mut report);
        death_steps::machine_frozen(&lab, crowd, &mut report);
        engine_steps::dead_and_wiped(&mut lab, Form::Short, crowd, &mut report);
    });
    report.end("fleet-short.md");
}

#[test]
#[ignore = "some minutes: make fleet"]
fn a_fleet_of_three_loses_everything_once() {
    let Some(id) = inside("a_fleet_of_three_loses_everything_once") else { return };
    let network = Network::named(&id);
    let Some(mut lab) = started(&network, "the fleet as a whole") else { return };
    let mut report = Report::begin();
    report.told("regions at 1, 8 and 20 ms one way", "by our own relay: the kernel need not have netem");
    Crowd::run(&network, |crowd| story(&mut lab, crowd, &mut report));
    report.end("fleet.md");
}

fn started<'n>(network: &'n Network, scenario: &str) -> Option<Lab<'n>> {
    // Made here, the threads of the relays and of the fake endpoint belong to the backbone.
    let _made = runtime();
    Lab::start(network, &python(scenario)?, scenario)
}

/// Everything that can be lost, one after the other.
fn story(lab: &mut Lab<'_>, crowd: &Crowd, report: &mut Report) {
    let form = Form::Whole;
    config_steps::orders(lab, form, report);
    config_steps::rollout(lab, form, crowd, report);
    let old = fs::read(lab.nodes[0].folder.join("state/bundle")).expect("the last good bundle is on disk");
    config_steps::bad_bundle(lab, crowd, report);
    let newer = lab.publish(&["all"], &[0, 1, 2], "0s").expect("a bundle is published");
    let took = thalweg_testkit::eventually("every edge has it", lab::SOON, || lab.settled(newer) == 3);
    report.told("a bundle without a bake time reaches the last edge after", seconds(took));
    config_steps::lies(lab, crowd, report, (&old, newer));
    config_steps::dead_region(lab, form, crowd, report);
    death_steps::killed(lab, crowd, report);
    death_steps::frozen(lab, crowd, report);
    death_steps::machine_frozen(lab, crowd, report);
    death_steps::cut_off(lab, crowd, report);
    death_steps::path_lost(lab, crowd, report);
    death_steps::drained(lab, crowd, report);
    engine_steps::leader_cut_off(lab, crowd, report);
    engine_steps::all_cut_off(lab, crowd, report);
    engine_steps::dead_and_wiped(lab, form, crowd, report);
}
