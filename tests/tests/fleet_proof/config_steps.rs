//! What reaches every edge: orders, bundles by rings, a bad bundle and its way back, and the word about a dead region.

use std::time::Duration;

use serde_json::json;
use thalweg_testkit::{eventually, thalweg};

use crate::{
    crowd::Crowd,
    form::Form,
    lab::{Lab, SOON},
    network::EDGES,
    report::{Report, Spread, seconds},
};

const SECOND: Duration = Duration::from_secs(1);

/// An order and its end, from the answer of the edge that was asked to the last edge.
pub fn orders(lab: &Lab<'_>, form: Form, report: &mut Report) {
    let (mut given, mut ended) = (Vec::new(), Vec::new());
    let body = json!({ "kind": "dial", "target": "azure", "value": 50, "fleet": true }).to_string();
    for nth in 0..form.orders() {
        let reply = lab.nodes[nth % EDGES].ask(|edge| edge.admin_post("/api/v1/orders", &body));
        assert_eq!(reply.status, 201, "{}", reply.text());
        given.push(eventually("on every edge", SOON, || lab.orders() == [1; EDGES]));
        let id = reply.json()["id"].to_string();
        lab.nodes[(nth + 1) % EDGES].ask(|edge| {
            let done = thalweg(&["cancel", &id, "--admin", &edge.admin_url()]);
            assert_eq!(done.code, 0, "{}", done.stderr);
        });
        ended.push(eventually("ended on every edge", SOON, || lab.orders() == [0; EDGES]));
    }
    for (what, times) in [("an order is in force on every edge", given), ("a cancel is", ended)] {
        let spread = Spread::of(times);
        let met = spread.at(99) <= SECOND;
        report.demand(what, "p99 ≤ 1 s", spread, met);
    }
}

/// A good bundle goes from ring to ring. Returns its number.
pub fn rollout(lab: &Lab<'_>, form: Form, crowd: &Crowd, report: &mut Report) -> u64 {
    let bake = form.bake();
    let mut number = 0;
    let (took, counts) = crowd.during(|| {
        let published = lab.publish(&["all"], &[1, 0, 2], &format!("{}s", bake.as_secs()));
        number = published.expect("the bundle is published");
        eventually("every ring has it", SOON * 3, || lab.settled(number) == EDGES)
    });
    let what = format!("a bundle goes through three rings, each with {} s of bake time", bake.as_secs());
    report.within(&what, bake * 3 + SECOND * 30, took);
    report.demand("requests meanwhile", "0 fail", &counts, counts.failures() == 0);
    number
}

/// A valid bundle whose endpoint answers 500 is taken back by the guard of the first edge that tries it.
pub fn bad_bundle(lab: &Lab<'_>, crowd: &Crowd, report: &mut Report) {
    let adopted = || {
        let of = |nth: usize| lab.nodes[nth].ask(|edge| edge.events_of("fleet_bundle_adopted").len());
        [of(0), of(1), of(2)]
    };
    let before = adopted();
    let (took, counts) = crowd.during(|| {
        lab.publish_broken("120s").expect("a valid bundle is published");
        let tries = || lab.nodes[0].fleet()["bundle"]["on_trial"] == true;
        eventually("the canary tries it", SOON, tries);
        eventually("its guard takes it back", SOON, || {
            lab.nodes[0].fleet()["refused"]["reason"] == "reverted"
        })
    });
    report.within("a bundle that answers 500 is taken back", SECOND * 5, took);
    let hurt = adopted().iter().zip(before).filter(|(now, then)| **now > *then).count();
    report.demand("edges that tried it", "1", hurt, hurt == 1);
    report.told("requests meanwhile, of which the canary gets a third", &counts);
}

/// A region dies: how long after the first edge the last one has taken it out.
pub fn dead_region(lab: &Lab<'_>, form: Form, crowd: &Crowd, report: &mut Report) {
    let is_up = |node: usize| lab.nodes[node].ask(|edge| edge.is_up(lab.far[0]));
    let ups = || (0..EDGES).filter(|nth| is_up(*nth)).count();
    let (lags, counts) = crowd.during(|| {
        let mut lags = Vec::new();
        for _ in 0..form.evictions() {
            // The word may ask for a probe once in each probe interval.
            eventually("up everywhere", SOON, || ups() == EDGES);
            std::thread::sleep(SECOND);
            lab.regions[0].kill();
            eventually("out at the first edge", SOON, || ups() < EDGES);
            lags.push(eventually("out at the last edge", SOON, || ups() == 0));
            lab.regions[0].revive();
        }
        eventually("up everywhere", SOON, || ups() == EDGES);
        lags
    });
    let spread = Spread::of(lags);
    let met = spread.at(100) <= Duration::from_millis(300);
    report.demand("a dead region is out at the last edge, after the first", "≤ 300 ms", spread, met);
    report.demand("requests meanwhile", "0 fail", &counts, counts.failures() == 0);
}

/// A bundle from before, one with another signature, and a value that is none change nothing.
pub fn lies(lab: &Lab<'_>, crowd: &Crowd, report: &mut Report, (old, now): (&[u8], u64)) {
    let line = old.iter().position(|byte| *byte == b'\n').expect("a first line");
    let forged = [&old[..=line], &old[line + 1..].to_ascii_uppercase()].concat();
    for (what, reason, bytes) in [
        ("an old bundle is put back", "replayed", old),
        ("a forged bundle is put there", "forged", &forged),
        ("something else is put there", "malformed", b"hello"),
    ] {
        let refused = |node: usize| {
            let labels = [("reason", reason)];
            lab.nodes[node].ask(|edge| edge.metric("thalweg_fleet_bundles_refused_total", &labels))
        };
        let before: Vec<f64> = (0..EDGES).map(refused).collect();
        let (took, counts) = crowd.during(|| {
            lab.cluster.put("bundle.all", bytes);
            eventually("every edge refuses it", SOON, || {
                before.iter().enumerate().all(|(nth, before)| refused(nth) > *before)
            })
        });
        let kept = lab.settled(now);
        let measured = format!("{kept} of {EDGES} keep theirs, refused after {}; {counts}", seconds(took));
        report.demand(what, "every edge refuses it, 0 fail", measured, kept == EDGES && counts.are_clean());
    }
}
