//! Owner of the operator's standing orders: which stand, when the next one ends, and what they make of the config.
//! An order outlives a reload, and an endpoint that DNS drops for a while; it ends when its target leaves the config.

use std::sync::Arc;

use crate::{
    axes::Admin,
    layout::Place,
    order::{Action, Order, OrderId},
    tick::Tick,
    topology::{Pool, Route, Topology},
    view::Drain,
};

/// The orders that stand: those of the fleet, then those of this edge, each in the order of their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    standing: Arc<Vec<Order>>,
    /// Drain deadlines up to this tick have passed.
    passed: Tick,
}

impl Orders {
    pub(super) fn standing(&self) -> &Arc<Vec<Order>> {
        &self.standing
    }

    /// Takes an order in. The number of an order that stands replaces it.
    pub(super) fn give(&mut self, order: Order) {
        let standing = Arc::make_mut(&mut self.standing);
        standing.retain(|known| known.id != order.id);
        standing.push(order);
        standing.sort_by_key(|order| (order.id.origin(), order.id));
    }

    /// Ends one order.
    pub(super) fn end(&mut self, id: OrderId) -> Option<Order> {
        self.end_all(|order| order.id == id).pop()
    }

    /// Ends the orders whose time is over.
    pub(super) fn expire(&mut self, now: Tick) -> Vec<Order> {
        self.passed = now;
        self.end_all(|order| order.until.is_some_and(|until| until.at <= now))
    }

    /// Ends the orders whose target is not in a new topology.
    pub(super) fn keep(&mut self, topology: &Topology) -> Vec<Order> {
        self.end_all(|order| order.action.find_target(topology).is_err())
    }

    fn end_all(&mut self, ends: impl Fn(&Order) -> bool) -> Vec<Order> {
        if !self.standing.iter().any(&ends) {
            return Vec::new();
        }
        let (ended, standing) = self.standing.iter().cloned().partition(ends);
        self.standing = Arc::new(standing);
        ended
    }

    /// When the next order ends, or the next deadline of a drain passes.
    pub(super) fn due(&self) -> Option<Tick> {
        let moments = self.standing.iter().flat_map(|order| {
            let deadline = match order.action {
                Action::Drain { deadline, .. } => deadline.map(|deadline| deadline.at),
                _ => None,
            };
            let until = order.until.map(|until| until.at);
            until.into_iter().chain(deadline.filter(|deadline| *deadline > self.passed))
        });
        moments.min()
    }

    /// What is ordered for an endpoint.
    pub(super) fn admin(&self, topology: &Topology, place: &Place) -> Admin {
        match self.drain(topology, place) {
            None => Admin::Enabled,
            Some(drain) if drain.deadline.is_some_and(|deadline| deadline <= self.passed) => Admin::Disabled,
            Some(_) => Admin::Draining,
        }
    }

    /// The drain of an endpoint. Of several, the first to begin and the first deadline count.
    pub(super) fn drain(&self, topology: &Topology, place: &Place) -> Option<Drain> {
        let drains = self.standing.iter().filter_map(|order| match &order.action {
            Action::Drain { target, deadline } if target.covers(topology, place) => {
                Some(Drain { since: order.since.at, deadline: deadline.map(|deadline| deadline.at) })
            }
            _ => None,
        });
        drains.reduce(|one, other| Drain {
            since: one.since.min(other.since),
            deadline: one.deadline.into_iter().chain(other.deadline).min(),
        })
    }

    /// Does an order stand that freezes the route with this name?
    pub(super) fn freezes(&self, route: &str) -> bool {
        self.standing.iter().any(|order| order.action.freezes(route))
    }

    /// What the orders make of a config: dials and weights. Of two orders for the same thing,
    /// the later one counts, and one of this edge for more than one of the fleet; an evacuation counts for more than a dial.
    pub(super) fn applied(&self, configured: &Arc<Topology>) -> Arc<Topology> {
        let mut topology = Arc::clone(configured);
        let evacuates = |order: &&Order| matches!(order.action, Action::Evacuate { .. });
        let (last, first): (Vec<&Order>, Vec<&Order>) = self.standing.iter().partition(evacuates);
        for order in first.into_iter().chain(last) {
            apply(&order.action, &mut topology);
        }
        topology
    }
}

fn apply(action: &Action, topology: &mut Arc<Topology>) {
    match action {
        Action::Drain { .. } | Action::Freeze { .. } => {}
        Action::Dial { pool, percent } => dial(topology, *percent, |one| one.name == *pool),
        Action::Evacuate { region } => dial(topology, 0, |one| one.region == *region),
        Action::Weight { route, pool, weight } => {
            let Topology { pools, routes } = Arc::make_mut(topology);
            for route in routes.iter_mut().filter(|one| *Route::written_name(&one.name) == **route) {
                let is = |member: &crate::topology::RoutePool| {
                    pools.get(member.pool.index()).is_some_and(|one| one.name == *pool)
                };
                for member in route.pools.iter_mut().filter(|member| is(member)) {
                    member.weight = *weight;
                }
            }
        }
    }
}

/// Sets the dials of some pools on every route.
fn dial(topology: &mut Arc<Topology>, percent: u8, is: impl Fn(&Pool) -> bool) {
    let Topology { pools, routes } = Arc::make_mut(topology);
    for member in routes.iter_mut().flat_map(|route| &mut route.pools) {
        if pools.get(member.pool.index()).is_some_and(&is) {
            member.dial = percent;
        }
    }
}
