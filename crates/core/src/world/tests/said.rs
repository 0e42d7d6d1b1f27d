//! Tables for weights that endpoints ask for in their health answers.

use super::*;
use crate::{axes::Admin, said::SaidWeight};

impl ScriptedWorld {
    /// Every endpoint of the target says this weight. Gives the changes.
    fn say(&mut self, target: &str, percent: u8) -> Vec<Change> {
        let said = SaidWeight { percent, ..SaidWeight::default() };
        let ids = self.ids(target);
        let said = |id| Event::Said { id, said: said.clone() };
        ids.into_iter().flat_map(|id| self.world.apply(said(id), self.now).log).collect()
    }
}

/// Failover from a pool of so many endpoints to one of one, all Up; their health answers are read.
fn weighing(endpoints: usize) -> ScriptedWorld {
    let mut at = world(&[endpoints, 1], failover(2));
    let mut topology = at.topology();
    for pool in &mut topology.pools {
        pool.probe.as_mut().unwrap().weight_from_body = true;
    }
    at.adopt(topology);
    at.play("a++ b++");
    at
}

#[test]
fn an_endpoint_below_its_whole_share_takes_that_and_no_more() {
    let check = |endpoints: usize, said: &[(&str, u8)], expected: &str| {
        let mut at = weighing(endpoints);
        for (target, percent) in said {
            at.say(target, *percent);
        }
        assert_eq!(at.shares(), expected, "{endpoints} {said:?}");
    };
    check(1, &[("a", 100)], "a 100% balanced");
    check(1, &[("a", 50)], "a 50% balanced, b 50% spill");
    check(1, &[("a", 1)], "a 1% balanced, b 99% spill");
    check(2, &[("a1", 50)], "a 95% balanced, b 5% spill");
    check(3, &[("a1", 50)], "a 100% balanced");
    check(3, &[("a", 50)], "a 50% balanced, b 50% spill");
    check(1, &[("a", 0)], "b 100% failover");
    check(1, &[("a", 50), ("b", 50)], "a 67% balanced, b 33% spill");
    check(1, &[("a", 0), ("b", 0)], "a 100% panic");
}

#[test]
fn a_weight_of_nothing_drains_and_is_no_failure() {
    let mut at = weighing(2);
    let log = at.say("a1", 0);
    assert!(log.iter().any(|change| matches!(change, Change::Weighed { .. })), "{log:?}");
    let view = at.world.snapshot().endpoints[0];
    assert_eq!((view.availability, view.admin), (Availability::AffinityOnly, Admin::Enabled));
    assert!(at.say("a1", 0).is_empty(), "no news");
    at.say("a1", 80);
    assert_eq!(at.world.snapshot().endpoints[0].availability, Availability::Up);
}

#[test]
fn a_weight_counts_only_where_the_config_says_so() {
    let mut at = weighing(1);
    at.say("a", 50);
    let mut topology = at.topology();
    topology.pools[0].probe.as_mut().unwrap().weight_from_body = false;
    at.adopt(topology);
    assert_eq!(at.shares(), "a 100% balanced");
    at.say("a", 50);
    assert_eq!(at.shares(), "a 100% balanced");
}
