//! The short form of the chaos suite, in real time, on real processes: each kind of fault once in `make test-long`, the
//! kinds that differ most in `make test`. The whole matrix is `make chaos`; all play the same table and judge by the same goals.

mod common;

use common::alone;
use thalweg_tests::{
    cell::{Policy, Wire},
    drive,
    netns::Namespace,
    table::{self, Fault, Form},
};

/// Plays one cell and prints its measured values, also when it passes (`--nocapture`).
fn survives(fault: Fault, policy: Policy, wire: Wire) {
    let cell = table::cell(fault, policy, wire, Form::Short);
    if let (true, Err(why)) = (cell.scene.apart, Namespace::possible()) {
        thalweg_testkit::skip(&cell.name, &why);
        return;
    }
    let _alone = alone();
    let verdict = drive::judge(&cell, "under test");
    println!("{}", verdict.line());
    let saved = verdict.save();
    assert!(verdict.passes(), "{}\nthe run: {}", verdict.line(), saved.display());
}

#[test]
fn killed_regions_cost_no_get_and_double_no_post() {
    survives(Fault::Kill, Policy::Weighted, Wire::H1);
}

#[test]
#[ignore = "twenty seconds of the machine for itself: part of test-long"]
fn a_region_that_stops_in_order_costs_nothing() {
    survives(Fault::Stop, Policy::Failover, Wire::H2);
}

#[test]
fn a_frozen_region_is_left_within_moments() {
    survives(Fault::Freeze, Policy::Failover, Wire::H1);
}

#[test]
fn a_region_behind_a_dead_network_is_left_within_moments() {
    survives(Fault::Drop, Policy::Weighted, Wire::H1);
}

#[test]
fn a_region_that_became_slow_is_left_and_gets_its_traffic_back() {
    survives(Fault::Slow, Policy::Latency, Wire::H1);
}

#[test]
fn a_region_with_some_errors_is_left_and_gets_its_traffic_back() {
    survives(Fault::Errors(30), Policy::Weighted, Wire::H1);
}

#[test]
#[ignore = "twenty seconds of the machine for itself: part of test-long"]
fn broken_checks_everywhere_cost_nothing() {
    survives(Fault::SickProbes, Policy::Weighted, Wire::H2);
}

#[test]
#[ignore = "twenty seconds of the machine for itself: part of test-long"]
fn a_flapping_region_gets_less_and_less() {
    survives(Fault::Flap, Policy::Weighted, Wire::H1);
}

#[test]
fn an_outage_of_everything_is_not_made_worse_and_ends_at_once() {
    survives(Fault::Outage, Policy::Failover, Wire::H1);
}

#[test]
#[ignore = "twenty seconds of the machine for itself: part of test-long"]
fn a_lost_region_moves_to_the_next_nearest() {
    survives(Fault::RegionLost, Policy::Latency, Wire::H1);
}

#[test]
#[ignore = "twenty seconds of the machine for itself: part of test-long"]
fn a_region_that_returns_follows_its_ramp() {
    survives(Fault::Ramp, Policy::Failover, Wire::H1);
}

#[test]
#[ignore = "twenty seconds of the machine for itself: part of test-long"]
fn a_region_that_lost_two_of_three_endpoints_spills_what_the_formula_says() {
    survives(Fault::Spill, Policy::Failover, Wire::H1);
}

#[test]
#[ignore = "a pause of the machine is a burst beyond every capacity: `make chaos` plays it where it is quiet"]
fn no_region_gets_more_than_its_capacity_when_one_is_lost() {
    survives(Fault::Capacity, Policy::Failover, Wire::H1);
}

#[test]
fn a_flapping_region_is_left_three_times_at_most() {
    survives(Fault::Flap, Policy::Failover, Wire::H1);
}

#[test]
#[ignore = "twenty seconds of the machine for itself: part of test-long"]
fn two_faults_at_once_cost_no_get() {
    survives(Fault::Both, Policy::Failover, Wire::H1);
}
