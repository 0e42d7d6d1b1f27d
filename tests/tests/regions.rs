//! Real FastAPI regions under real load, killed with `kill -9`: no GET fails and no POST is executed twice.

mod common;

use std::{collections::BTreeMap, time::Duration};

use common::{AT_ONCE, alone};
use thalweg_testkit::{Conf, Edge, Load, Outcome, Region, eventually, get, python};

const SOON: Duration = Duration::from_secs(10);

fn three(python: &std::path::Path) -> Vec<Region> {
    [("aws", "us-east-1"), ("gcp", "europe-west1"), ("azure", "southeastasia")]
        .iter()
        .map(|(cloud, region)| Region::start(python, cloud, region))
        .collect()
}

fn edge_over(regions: &[Region], policy: &str, lines: &str) -> Edge {
    let mut conf = Conf::new().listener("web", "");
    for region in regions {
        let place = format!("cloud = \"{}\"\nregion = \"{}\"", region.cloud, region.region);
        conf = conf.pool(&region.region, &[region.addr()], &place);
    }
    let names: Vec<&str> = regions.iter().map(|region| region.region.as_str()).collect();
    let edge = Edge::start(&conf.route("all", policy, &names, lines));
    edge.until_up(regions.len());
    edge
}

/// Kills and revives the regions in turn, this many times, under load. Each answer takes this long, so that some
/// kills hit answers.
fn killing(times: usize, rate: f64, slow: Option<&str>) {
    let _alone = alone();
    let Some(python) = python("killing regions under load") else { return };
    let regions = three(&python);
    regions.iter().for_each(|region| region.slow(slow));
    let edge = edge_over(&regions, "weighted", AT_ONCE);
    let load = Load::to(edge.web()).rate(rate).posts(0.2).fresh(0.05).post_path("/echo").echoed().start();
    let mut killed = BTreeMap::new();
    for nth in 0..times {
        let region = &regions[nth % regions.len()];
        let done = load.done();
        eventually("traffic flows", SOON, || load.done() > done + 300);
        region.kill();
        *killed.entry(region.region.clone()).or_insert(0) += 1;
        eventually(&format!("{} is noticed", region.region), SOON, || !edge.is_up(region.addr()));
        region.revive();
        edge.until_up(regions.len());
    }
    let report = load.stop();
    println!(
        "{killed:?}: {} requests, {} cut, p99 {} µs",
        report.shots.len(),
        report.cut(),
        report.latency.value_at_quantile(0.99)
    );
    let gets = report.failed_gets();
    assert!(gets.is_empty(), "{} failed GETs, {:?}", gets.len(), gets.iter().take(5).collect::<Vec<_>>());
    let mixed =
        report.shots.iter().filter(|shot| shot.outcome == Outcome::Failed("another answer".to_owned()));
    assert_eq!(mixed.count(), 0, "POSTs that got the answer to something else");
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for id in regions.iter().flat_map(Region::request_log) {
        *seen.entry(id).or_default() += 1;
    }
    let twice: Vec<_> = report
        .shots
        .iter()
        .filter(|shot| shot.post && seen.get(&shot.id).copied().unwrap_or(0) > 1)
        .collect();
    assert!(
        twice.is_empty(),
        "{} POSTs happened twice, {:?}",
        twice.len(),
        twice.iter().take(5).collect::<Vec<_>>()
    );
    let answered = report.shots.iter().filter(|shot| shot.post && !shot.failed());
    let unseen: Vec<_> = answered.filter(|shot| !seen.contains_key(&shot.id)).collect();
    assert!(unseen.is_empty(), "answered POSTs that no region has seen: {unseen:?}");
}

#[test]
fn six_killed_regions_cost_no_get_and_double_no_post() {
    killing(6, 500.0, None);
}

#[test]
fn regions_killed_in_the_middle_of_answers_cost_no_get_and_double_no_post() {
    killing(6, 300.0, Some("50"));
}

#[test]
#[ignore = "a hundred kills take minutes: part of test-long"]
fn a_hundred_killed_regions_cost_no_get_and_double_no_post() {
    killing(100, 500.0, Some("20"));
}

#[test]
fn a_region_that_says_unhealthy_loses_its_traffic_and_gets_it_back() {
    let _alone = alone();
    let Some(python) = python("a region that says unhealthy") else { return };
    let regions = three(&python);
    let edge = edge_over(&regions, "failover", AT_ONCE);
    assert_eq!(get(edge.web(), "/").json()["region"], "us-east-1");
    regions[0].unhealthy(true);
    eventually("the second serves", SOON, || get(edge.web(), "/").json()["region"] == "europe-west1");
    regions[0].unhealthy(false);
    eventually("the first serves", SOON, || get(edge.web(), "/").json()["region"] == "us-east-1");
}

#[test]
fn a_frozen_region_costs_only_the_time_until_it_is_noticed() {
    let _alone = alone();
    let Some(python) = python("a frozen region") else { return };
    let regions = three(&python);
    let edge = edge_over(
        &regions,
        "failover",
        "timeouts = { first_byte = \"1s\" }\nfailback = { mode = \"immediate\" }",
    );
    let load = Load::to(edge.web()).rate(100.0).path("/hello").start();
    eventually("traffic flows", SOON, || load.done() > 100);
    regions[0].freeze();
    eventually("the frozen region is down", SOON, || !edge.is_up(regions[0].addr()));
    let done = load.done();
    eventually("the others serve", SOON, || {
        load.done() > done + 300 && load.last(50).iter().all(|shot| !shot.failed())
    });
    regions[0].thaw();
    eventually("the region is up again", SOON, || edge.is_up(regions[0].addr()));
    let report = load.stop();
    let failed = report.failed().len();
    println!("{failed} of {} failed while the region was frozen", report.shots.len());
    assert!(failed < 300, "{failed} failed: {:?}", report.outcomes());
}
