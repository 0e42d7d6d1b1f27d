//! The engine is partitioned, out of reach, dead and wiped: what requests notice, what orders do, what it costs.

use std::{thread, time::Duration};

use serde_json::json;
use thalweg_testkit::{binary, eventually};

use crate::{
    crowd::Crowd,
    form::Form,
    lab::{Lab, SOON},
    network::{EDGES, SERVERS},
    node::Node,
    report::{Report, seconds},
};

const SECOND: Duration = Duration::from_secs(1);
const ALL: [usize; SERVERS] = [0, 1, 2];

/// The leading server is cut off from the two others: they go on.
pub fn leader_cut_off(lab: &Lab<'_>, crowd: &Crowd, report: &mut Report) {
    let Some(leader) = lab.cluster.leader() else {
        return report.skipped("the leading server is cut off", "the servers do not say which one leads");
    };
    let ((), counts) = crowd.during(|| {
        lab.cluster.join(&[leader], false);
        let took = eventually("an order is taken", SOON, || gives(lab));
        let everywhere = eventually("it is on every edge", SOON, || lab.orders() == [1; EDGES]);
        report.told("the leading server is cut off: an order is taken after", seconds(took));
        report.demand("and is on every edge", "≤ 30 s", seconds(everywhere), everywhere <= SECOND * 30);
        cancel(lab);
        lab.cluster.join(&[leader], true);
        until_connected(lab, true);
    });
    report.demand("requests meanwhile", "0 fail", &counts, counts.are_clean());
}

/// No server can be reached: cables are cut, no connection is reset.
pub fn all_cut_off(lab: &Lab<'_>, crowd: &Crowd, report: &mut Report) {
    let (took, counts) = crowd.during(|| {
        lab.cluster.join(&ALL, false);
        let took = until_connected(lab, false);
        thread::sleep(SECOND * 3);
        lab.cluster.join(&ALL, true);
        until_connected(lab, true);
        took
    });
    report.told("no server can be reached: every edge says so after", seconds(took));
    report.demand("requests meanwhile", "0 fail", &counts, counts.are_clean());
}

/// All servers are killed, wiped and started again. An order that stands is obeyed all the time.
pub fn dead_and_wiped(lab: &mut Lab<'_>, form: Form, crowd: &Crowd, report: &mut Report) {
    eventually("an order is taken", SOON, || gives(lab));
    eventually("it is on every edge", SOON, || lab.orders() == [1; EDGES]);
    let idle = crowd.silent(|| share(lab, form));
    report.told("an edge without requests, engine up: processor time", percent(idle));
    let ((), counts) = crowd.during(|| {
        lab.cluster.kill();
        until_connected(lab, false);
        thread::sleep(SECOND * 2);
    });
    report.demand("the engine is killed", "0 requests fail", &counts, counts.are_clean());
    let idle = crowd.silent(|| share(lab, form));
    let what = "an edge without requests, engine dead: processor time";
    if binary().components().any(|part| part.as_os_str() == "release") {
        report.demand(what, "< 1 % of a core", percent(idle), idle < 0.01);
    } else {
        report.told(&format!("{what} (debug build)"), percent(idle));
    }
    let ((), counts) = crowd.during(|| {
        lab.cluster.wipe();
        lab.cluster.revive();
        until_connected(lab, true);
        thread::sleep(SECOND * 2);
    });
    let obeyed = lab.orders().iter().filter(|count| **count == 1).count();
    let measured = format!("{counts}; {obeyed} of {EDGES} obey");
    let met = counts.are_clean() && obeyed == EDGES;
    report.demand("the engine is wiped", "0 requests fail, every edge obeys its orders", measured, met);
    let ((), counts) = crowd.during(|| {
        let mut number = Err(String::new());
        eventually("a bundle is published", SOON, || {
            number = lab.publish(&["all"], &[0, 1, 2], "0s");
            number.is_ok()
        });
        let number = number.expect("it was published");
        eventually("every edge has it", SOON, || lab.settled(number) == EDGES);
        cancel(lab);
    });
    let what = "a new bucket: a bundle reaches every edge, and a cancel does";
    report.demand(what, "0 requests fail", &counts, counts.are_clean());
}

/// Gives an order to the fleet; whether it was taken. An answer that did not come may still be one.
fn gives(lab: &Lab<'_>) -> bool {
    if lab.orders().iter().any(|count| *count > 0) {
        return true;
    }
    let body = json!({ "kind": "dial", "target": "azure", "value": 50, "fleet": true }).to_string();
    lab.nodes[1].ask(|edge| edge.admin_post("/api/v1/orders", &body)).status == 201
}

/// Ends every order of the fleet.
fn cancel(lab: &Lab<'_>) {
    eventually("every order has ended", SOON, || {
        lab.nodes[1].ask(|edge| {
            let orders = edge.admin_get("/api/v1/orders").json();
            for order in orders.as_array().into_iter().flatten() {
                let id = order["id"].to_string();
                let _tried_again = thalweg_testkit::thalweg(&["cancel", &id, "--admin", &edge.admin_url()]);
            }
        });
        lab.orders() == [0; EDGES]
    });
}

fn until_connected(lab: &Lab<'_>, yes: bool) -> Duration {
    let as_said = |node: &Node<'_>| node.fleet()["connected"] == yes;
    eventually("every edge knows whether a server is there", SOON, || lab.nodes.iter().all(as_said))
}

/// The largest share of a core that one edge takes for a while.
fn share(lab: &Lab<'_>, form: Form) -> f64 {
    let before: Vec<Duration> = lab.nodes.iter().map(Node::processor_time).collect();
    thread::sleep(form.idle());
    let took = lab.nodes.iter().zip(before).map(|(node, before)| node.processor_time() - before);
    took.max().unwrap_or_default().as_secs_f64() / form.idle().as_secs_f64()
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
