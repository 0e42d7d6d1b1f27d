//! What the operator commands: an order is judged, given, ended, and its effects follow from the orders that stand.
//! Judging changes nothing.

use std::{collections::BTreeSet, sync::Arc};

use super::{World, endpoints::Observation, families::left_out, orders::Orders, pools::pool_view};
use crate::{
    event::{Change, Changes, Publish},
    funnel::funnel,
    health::Health,
    layout::Place,
    order::{Action, MAX_ORDERS, Order, OrderEnd, OrderId, OrderProblem},
    shares::Stage,
    slot::{self, PoolSlot, RouteSlot, SlotVec, slots_in},
    tick::Tick,
    topology::{Pool, Route, RoutePool, Topology},
    view::{PoolView, Ramp},
};

impl World {
    /// May this order be given? `force` overrides everything but a target that does not exist.
    ///
    /// # Errors
    /// What speaks against the order.
    pub fn judge_order(&self, action: &Action, force: bool, now: Tick) -> Result<(), OrderProblem> {
        action.find_target(&self.configured)?;
        if self.orders.standing().len() >= MAX_ORDERS {
            return Err(OrderProblem::TooMany);
        }
        if force {
            return Ok(());
        }
        self.leaves_a_server(action)?;
        if let Action::Evacuate { region } = action { self.rest_is_enough(region, now) } else { Ok(()) }
    }

    /// An order may not take out the last that serves a route: with it, each route must be as well off as without it
    /// (pools that are Up, unproven ones, panic, nothing). What other orders have taken out does not count as the rest.
    fn leaves_a_server(&self, action: &Action) -> Result<(), OrderProblem> {
        let mut with = self.orders.clone();
        with.give(Order::new(OrderId(u64::MAX), action.clone(), Default::default()));
        let (before, after) = (Outlook::of(self, &self.orders), Outlook::of(self, &with));
        for (slot, route) in slot::entries::<RouteSlot, _>(&self.configured.routes) {
            if after.level(slot, route) < before.level(slot, route) {
                return Err(OrderProblem::LastToServe { route: route.name.clone() });
            }
        }
        Ok(())
    }

    /// The pools that would take a region's load must declare enough: what the region declares, and what flows on its
    /// routes now. Nothing can be said while one of them declares nothing.
    fn rest_is_enough(&self, region: &str, now: Tick) -> Result<(), OrderProblem> {
        let (mut from, mut to) = (BTreeSet::new(), BTreeSet::new());
        let is_there =
            |slot: PoolSlot| self.configured.pool(slot).is_some_and(|pool| *pool.region == *region);
        let effective = &self.state.layout.topology;
        for route in &effective.routes {
            if route.pools.iter().any(|member| is_there(member.pool)) {
                from.extend(route.pools.iter().map(|member| member.pool).filter(|pool| is_there(*pool)));
                let serves = |member: &&RoutePool| {
                    !is_there(member.pool) && member.dial > 0 && self.state.pools.view(member.pool).up > 0
                };
                to.extend(route.pools.iter().filter(serves).map(|member| member.pool));
            }
        }
        let capacity = |slot: &PoolSlot| effective.pool(*slot).map_or(0, |pool| u64::from(pool.capacity));
        // Without any rest, the last to serve is the question, and that has been answered.
        if to.is_empty() || to.iter().any(|slot| capacity(slot) == 0) {
            return Ok(());
        }
        let carried: f64 = from.union(&to).map(|slot| self.traffic.rate(*slot, now)).sum();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is a small number"
        )]
        let needed = from.iter().map(capacity).sum::<u64>().max(carried.round() as u64);
        let declared = to.iter().map(capacity).sum();
        if declared < needed { Err(OrderProblem::TooLittleCapacity { needed, declared }) } else { Ok(()) }
    }

    /// Takes in orders that were given, or (`restored`) that stood before this process.
    pub(super) fn give_orders(
        &mut self,
        orders: Vec<Order>,
        restored: bool,
        now: Tick,
        changes: &mut Changes,
    ) {
        for order in orders {
            changes.log.push(Change::OrderGiven { order: order.clone(), restored });
            self.orders.give(order);
        }
        self.expire_orders(now, changes);
        self.follow_orders(now, changes);
    }

    /// Ends an order before its time.
    pub(super) fn cancel_order(&mut self, id: OrderId, now: Tick, changes: &mut Changes) {
        let Some(order) = self.orders.end(id) else { return };
        changes.log.push(Change::OrderEnded { order, cause: OrderEnd::Cancelled });
        self.follow_orders(now, changes);
    }

    /// Ends the orders whose time is over, and lets the deadlines of drains pass.
    pub(super) fn orders_due(&mut self, now: Tick, changes: &mut Changes) {
        if self.orders.due().is_some_and(|due| due <= now) {
            self.expire_orders(now, changes);
            self.follow_orders(now, changes);
        }
    }

    pub(super) fn expire_orders(&mut self, now: Tick, changes: &mut Changes) {
        Self::tell_ended(self.orders.expire(now), OrderEnd::Expired, changes);
    }

    pub(super) fn tell_ended(ended: Vec<Order>, cause: OrderEnd, changes: &mut Changes) {
        changes.log.extend(ended.into_iter().map(|order| Change::OrderEnded { order, cause }));
    }

    /// Brings the world in line with the orders that stand. Pools and routes conclude once, when every endpoint has its
    /// order: a pool that is drained endpoint by endpoint would look lost in between.
    fn follow_orders(&mut self, now: Tick, changes: &mut Changes) {
        changes.publish = changes.publish.max(Publish::Soon);
        let layout = Arc::clone(&self.state.layout);
        let mut pools = BTreeSet::new();
        for (slot, place) in layout.endpoints.entries() {
            let admin = self.orders.admin(&layout.topology, place);
            if self.state.endpoints.health(slot).is_some_and(|health| health.admin != admin) {
                let observed = self.state.endpoints.observe(slot, Observation::Ordered(admin), None, now);
                self.state.recoveries.observe(slot, &observed, now);
                changes.publish = changes.publish.max(observed.publish);
                changes.log.extend(observed.change);
                pools.insert(place.pool);
            }
        }
        let topology = self.orders.applied(&self.configured);
        if topology != layout.topology {
            self.relayout(topology, now, changes);
            return self.follow_freezes(now, changes);
        }
        let mut concerned = BTreeSet::new();
        for pool in pools {
            let moved = self.state.recount_pool(pool, changes);
            concerned.extend(self.state.concerned(pool, moved));
        }
        self.state.update_routes(&concerned.into_iter().collect::<Vec<_>>(), now, changes);
        self.follow_freezes(now, changes);
    }

    /// Freezes the routes that an order freezes, and lets the others move.
    pub(super) fn follow_freezes(&mut self, now: Tick, changes: &mut Changes) {
        for (slot, route) in slot::entries(&Arc::clone(&self.configured).routes) {
            self.state.freeze(slot, self.orders.freeze(&route.name), now, changes);
        }
    }
}

/// The pools as they would be under some orders: what an order took out is gone.
struct Outlook {
    effective: Arc<Topology>,
    views: SlotVec<PoolSlot, PoolView>,
}

impl Outlook {
    fn of(world: &World, orders: &Orders) -> Self {
        let (layout, effective) = (&world.state.layout, orders.applied(&world.configured));
        let view = |(slot, pool): (PoolSlot, &Pool)| {
            let range = layout.members(slot);
            let places = layout.endpoints.range(&range);
            let left_out = left_out(places, world.state.endpoints.range(&range));
            let counted = slots_in(&range).zip(left_out).filter(|(_, left_out)| !left_out);
            let members = counted.filter_map(|(slot, _)| {
                let (place, health) = (layout.endpoints.get(slot)?, world.state.endpoints.health(slot)?);
                let start = world.state.recoveries.slow_start(slot);
                Some((as_ordered(orders, &effective, place, health), start))
            });
            let members: Vec<(Health, Option<Ramp>)> = members.collect();
            pool_view(members.iter().map(|(health, start)| (health, *start)), pool.panic_threshold)
        };
        let views = slot::entries(&world.configured.pools).map(view).collect();
        Self { effective, views }
    }

    /// How well off a route is: 3 = Up, 2 = unproven, 1 = panic, 0 = no endpoint serves.
    fn level(&self, slot: RouteSlot, configured: &Route) -> u8 {
        let Some(route) = self.effective.route(slot) else { return 0 };
        let mut views = self.views.clone();
        for (member, was) in route.pools.iter().zip(&configured.pools) {
            if is_taken_out(member, was)
                && let Some(view) = views.get_mut(member.pool)
            {
                *view = PoolView { below_threshold: true, ..PoolView::default() };
            }
        }
        let can_serve = |pool, stage| views.get(pool).is_some_and(|view| view.can_serve(stage));
        let shares = funnel(route, &SlotVec::default(), &views, &can_serve).shares;
        match shares.stage {
            _ if shares.segments.is_empty() => 0,
            Stage::Up => 3,
            Stage::Unproven => 2,
            Stage::Panic => 1,
        }
    }
}

/// An order took the pool out of a route to which the config gives it.
fn is_taken_out(member: &RoutePool, configured: &RoutePool) -> bool {
    (member.dial == 0 && configured.dial > 0) || (member.weight == 0 && configured.weight > 0)
}

fn as_ordered(orders: &Orders, topology: &Topology, place: &Place, health: &Health) -> Health {
    let mut health = health.clone();
    health.admin = orders.admin(topology, place);
    health
}
