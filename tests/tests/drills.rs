//! The short form of the drills of the chaos suite: an operator drains a region with streams, or ends an edge with many
//! connections. `make chaos` plays them with the full numbers.

mod common;

use std::time::Duration;

use common::alone;
use thalweg_tests::drill::Drill;

fn holds(drill: Drill) {
    let _alone = alone();
    let figures = drill.play();
    let (line, holds) = drill.line(&figures);
    println!("{line}");
    assert!(holds, "{line}");
}

#[test]
fn a_drained_region_ends_its_websockets_and_event_streams_one_after_the_other() {
    holds(Drill::Streams { websockets: 50, events: 10, deadline: Duration::from_secs(4) });
}

#[test]
fn an_edge_that_ends_closes_its_connections_one_after_the_other_and_fails_no_request() {
    holds(Drill::Ending { idle: 200, busy: 20, within: Duration::from_secs(8) });
}
