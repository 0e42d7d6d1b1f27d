//! Owner of the incidents: every failure that took an endpoint out becomes one record of what happened when, and what it
//! cost. Failures of one pool that overlap are one incident.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::state::WorldState;
use crate::{
    axes::{Admin, Availability},
    baseline::{self, TIME_BUCKETS, TimeHistogram},
    event::Change,
    fault::Fault,
    incident::{Incident, Scope},
    slot::{self, EndpointKey, PoolSlot},
    tally::FailureCost,
    tick::Tick,
    topology::Pool,
};

/// Without a failed request for this long, traffic has left and the record is complete.
const CALM: Duration = Duration::from_secs(2);

/// Failures earlier than this before the loss of an endpoint are no part of the incident.
const PRELUDE: Duration = Duration::from_secs(10);

/// What one endpoint's failures were, and what they cost.
#[derive(Clone, Debug)]
struct EndpointImpact {
    lost: bool,
    cause: Option<Fault>,
    first_bad: Tick,
    last_bad: Tick,
    failed: u32,
    retried: u32,
    hedged: u32,
    cost: Box<TimeHistogram>,
}

impl EndpointImpact {
    fn new(cause: Option<Fault>, at: Tick) -> Self {
        let cost = Box::new([0; TIME_BUCKETS]);
        Self { lost: false, cause, first_bad: at, last_bad: at, failed: 0, retried: 0, hedged: 0, cost }
    }

    fn add(&mut self, fallout: &FailureCost) {
        self.failed = self.failed.saturating_add(fallout.failed);
        self.retried = self.retried.saturating_add(fallout.retried);
        self.hedged = self.hedged.saturating_add(fallout.hedged);
        for (bucket, count) in &fallout.cost {
            if let Some(cell) = self.cost.get_mut(*bucket as usize) {
                *cell = cell.saturating_add(*count);
            }
        }
    }

    /// Adds up the failures of two endpoints.
    fn merge(mut self, other: Self) -> Self {
        let first = if other.first_bad < self.first_bad { &other } else { &self };
        (self.cause, self.first_bad) = (first.cause.or(self.cause).or(other.cause), first.first_bad);
        self.last_bad = self.last_bad.max(other.last_bad);
        let cost = (0u8..).zip(other.cost.iter().copied()).filter(|(_, count)| *count > 0).collect();
        let (failed, retried, hedged) = (other.failed, other.retried, other.hedged);
        self.add(&FailureCost { failed, retried, hedged, cost });
        self
    }
}

/// An incident under way: the endpoints that were lost, and those that fail and may follow.
#[derive(Clone, Debug, Default)]
struct OpenIncident {
    impact: BTreeMap<SocketAddr, EndpointImpact>,
    detected: Option<Tick>,
    /// The last loss, or failure of a lost endpoint; before the first loss, the last failure of any endpoint.
    last: Tick,
}

impl OpenIncident {
    /// What is counted for an endpoint that fails at `at`.
    fn impact(
        &mut self,
        address: SocketAddr,
        fault: Option<Fault>,
        afresh: bool,
        at: Tick,
    ) -> &mut EndpointImpact {
        if !self.impact.contains_key(&address) {
            self.impact.retain(|_, impact| impact.lost || at.since(impact.last_bad) <= CALM);
        }
        let impact = self.impact.entry(address).or_insert_with(|| EndpointImpact::new(fault, at));
        // A trickle of failures that takes no endpoint out is no first sign of what comes later.
        let over = at.since(impact.first_bad) > PRELUDE || at.since(impact.last_bad) > CALM;
        if !impact.lost && (afresh || over) {
            *impact = EndpointImpact::new(fault, at);
        }
        impact.cause = impact.cause.or(fault);
        impact
    }

    /// When the incident is over, if nothing more happens.
    fn calm_at(&self) -> Tick {
        self.last.after(CALM)
    }
}

/// The incidents under way, by pool name: names outlive a layout.
#[derive(Clone, Debug, Default)]
pub(super) struct Incidents {
    open: BTreeMap<Box<str>, OpenIncident>,
}

/// A request failed at an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct FailureSign {
    /// How the request failed, if that is known.
    pub(super) fault: Option<Fault>,
    /// The endpoint was calm before: the failure begins something new.
    pub(super) after_calm: bool,
    pub(super) at: Tick,
}

impl Incidents {
    /// When the next incident may be complete.
    pub(super) fn due(&self) -> Option<Tick> {
        self.open.values().map(OpenIncident::calm_at).min()
    }

    /// Takes in that a request failed.
    pub(super) fn failed(&mut self, key: &EndpointKey, sign: FailureSign) {
        let FailureSign { fault, after_calm, at } = sign;
        let open = self.open.entry(Box::from(&*key.pool)).or_default();
        let impact = open.impact(key.address, fault, after_calm, at);
        impact.first_bad = impact.first_bad.min(at);
        impact.last_bad = impact.last_bad.max(at);
        if impact.lost || open.detected.is_none() {
            open.last = open.last.max(at);
        }
    }

    /// Takes in that an endpoint was taken out.
    pub(super) fn lost(&mut self, key: &EndpointKey, fault: Fault, now: Tick) {
        let open = self.open.entry(Box::from(&*key.pool)).or_default();
        open.impact(key.address, Some(fault), false, now).lost = true;
        open.detected.get_or_insert(now);
        open.last = open.last.max(now);
    }

    /// Takes in what an endpoint's failures did to requests.
    pub(super) fn fallout(&mut self, key: &EndpointKey, fallout: &FailureCost) {
        let open = self.open.get_mut(&*key.pool);
        if let Some(impact) = open.and_then(|open| open.impact.get_mut(&key.address)) {
            impact.add(fallout);
        }
    }

    /// Closes the incidents that had no failed request for [`CALM`]. Failures that never took an endpoint out are no
    /// incident.
    pub(super) fn close(&mut self, state: &WorldState, now: Tick) -> Vec<Change> {
        let calm = |open: &OpenIncident| open.calm_at() <= now;
        let over: Vec<Box<str>> =
            self.open.iter().filter(|(_, open)| calm(open)).map(|(pool, _)| pool.clone()).collect();
        over.into_iter().filter_map(|pool| self.close_one(pool, state, now)).map(Change::Incident).collect()
    }

    fn close_one(&mut self, pool: Box<str>, state: &WorldState, now: Tick) -> Option<Incident> {
        let OpenIncident { impact, detected, .. } = self.open.remove(&pool)?;
        let (impact, left): (BTreeMap<_, _>, BTreeMap<_, _>) =
            impact.into_iter().partition(|(_, impact)| impact.lost);
        let last = left.values().map(|impact| impact.last_bad).max();
        if let Some(last) = last.filter(|last| last.after(CALM) > now) {
            self.open.insert(pool.clone(), OpenIncident { impact: left, detected: None, last });
        }
        let lost: Vec<SocketAddr> = impact.keys().copied().collect();
        let (detected, impact) = (detected?, impact.into_values().reduce(EndpointImpact::merge)?);
        let Reach { region, scope } = reach_of(&pool, &lost, state);
        Some(Incident {
            pool,
            region,
            scope,
            cause: impact.cause.unwrap_or(Fault::Status),
            first_bad: impact.first_bad,
            detected,
            last_bad: impact.last_bad,
            failed: impact.failed,
            retried: impact.retried,
            hedged: impact.hedged,
            added_p99: baseline::percentile(&impact.cost, 99).map(Duration::from_micros),
            endpoints: lost,
        })
    }
}

/// Where an incident was, and how much it took.
struct Reach {
    region: Box<str>,
    scope: Scope,
}

fn reach_of(name: &str, lost: &[SocketAddr], state: &WorldState) -> Reach {
    let pools = &state.layout.topology.pools;
    let Some((slot, pool)) = slot::entries(pools).find(|(_, pool)| &*pool.name == name) else {
        return Reach { region: Box::default(), scope: Scope::Endpoint };
    };
    let region = pool.region.clone();
    let members = state.endpoints.range(&state.layout.members(slot));
    let spared = members.iter().any(|member| {
        member.health.admin == Admin::Enabled
            && !lost.contains(&member.key.address)
            && member.health.availability() != Availability::Down
    });
    let alive = |(other, pool): (PoolSlot, &Pool)| {
        other != slot && pool.region == region && state.pools.view(other).up > 0
    };
    let scope = match () {
        () if spared => Scope::Endpoint,
        () if slot::entries(pools).any(alive) => Scope::Pool,
        () => Scope::Region,
    };
    Reach { region, scope }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        event::Event,
        slot::EndpointId,
        tally::{Counts, Tally},
        test_world::{failover, incidents, pool},
        topology::Topology,
        world::World,
    };

    #[test]
    fn failure_costs_that_arrive_before_their_failures_are_kept() {
        let mut world = World::default();
        let pools = vec![pool("a", &["10.0.0.1"]), pool("b", &["10.1.0.1"])];
        let topology = Arc::new(Topology { pools, routes: vec![failover(2)] });
        world.apply(Event::Adopted { topology, generation: 1 }, Tick(0));
        let ids: Vec<EndpointId> = world.layout().endpoints.iter().map(|place| place.id).collect();
        let (start, at) = (Tick(1_000_000), Tick(2_000_000));
        for id in ids.iter().flat_map(|id| [*id, *id]) {
            world.apply(Event::Probed { id, result: Ok(Duration::from_millis(1)) }, start);
        }
        let fallout = FailureCost { failed: 1, retried: 2, hedged: 0, cost: vec![(3, 2)] };
        let counts = Counts { failed: 3, ..Counts::default() };
        let tally = Tally { id: ids[0], counts, fallout, ..Tally::default() };
        let heard = Tick(at.0 + 7);
        world.apply(Event::Tallied(vec![tally]), heard);
        for _ in 0..3 {
            world.apply(
                Event::Suspected { id: ids[0], fault: Fault::Reset, started: start, at },
                Tick(at.0 + 9),
            );
        }
        let over = world.apply(Event::Ticked, Tick(at.0 + 9).after(CALM)).log;
        let told = incidents(&over).first().copied().expect("an incident");
        assert_eq!((told.failed, told.retried, told.added_p99.is_some()), (1, 2, true));
        assert_eq!(
            (told.cause, told.first_bad, told.last_bad, told.detected),
            (Fault::Reset, at, heard, Tick(at.0 + 9))
        );
    }

    #[test]
    fn a_retry_without_a_failed_endpoint_is_no_incident() {
        let mut world = World::default();
        let topology =
            Arc::new(Topology { pools: vec![pool("a", &["10.0.0.1"])], routes: vec![failover(1)] });
        world.apply(Event::Adopted { topology, generation: 1 }, Tick(0));
        let id = world.layout().endpoints[0].id;
        let fallout = FailureCost { retried: 2, ..FailureCost::default() };
        world.apply(Event::Tallied(vec![Tally { id, fallout, ..Tally::default() }]), Tick(5));
        assert_eq!(world.next_deadline(), Some(Tick(5).after(baseline::PART)), "only the baselines age");
    }
}
