//! Orders on their way to the world: numbered, judged and given in one step of the keeper, so that no two orders take
//! out the last that serves together.

use std::{collections::BTreeSet, rc::Rc};

use thalweg_core::{
    Action, DrainTarget, Event, Order, OrderId, OrderOrigin, OrderProblem, PoolSlot, Snapshot, Tick, World,
};

use crate::control::{
    order_json::moment_now,
    order_request::{OrderRequest, Wish},
    state::Control,
    state_store,
};

/// Owner of an order for which no name is known.
pub const NOBODY: &str = "unknown";

/// How a request for an order ended.
#[derive(Clone, Debug)]
pub enum OrderAnswer {
    /// The order stands.
    Given(Order),
    /// These drains have ended.
    Undrained {
        /// The drains that had this target.
        ended: Vec<Order>,
        /// Other drains that still cover a part of it.
        still: Vec<Order>,
    },
}

/// Gives an order, or ends drains. The answer comes when the snapshot that obeys is in force; `None` = the edge is ending.
pub async fn ask(control: &Control, request: OrderRequest) -> Option<Result<OrderAnswer, OrderProblem>> {
    match request.wish {
        Wish::Give(ref action) => {
            let action = action.clone();
            give(control, action, request).await
        }
        Wish::Undrain(target) => undrain(control, target).await,
    }
}

async fn give(
    control: &Control,
    action: Action,
    request: OrderRequest,
) -> Option<Result<OrderAnswer, OrderProblem>> {
    let (last, now) = (Rc::clone(&control.last_order), moment_now(control.shared.now()));
    let decide = move |world: &World| {
        if let Err(problem) = world.judge_order(&action, request.force, now.at) {
            return (Vec::new(), Err(problem));
        }
        last.set(last.get() + 1);
        let order = Order {
            owner: request.owner.unwrap_or_else(|| NOBODY.into()),
            reason: request.reason,
            until: request.until,
            forced: request.force,
            ..Order::new(OrderId(last.get()), action, now)
        };
        (vec![Event::Ordered(order.clone())], Ok(OrderAnswer::Given(order)))
    };
    ordered(control, decide).await
}

async fn undrain(control: &Control, target: DrainTarget) -> Option<Result<OrderAnswer, OrderProblem>> {
    let now = control.shared.now();
    let decide = move |world: &World| match drains(world, &target, OrderOrigin::Edge, now) {
        Err(problem) => (Vec::new(), Err(problem)),
        Ok((ended, still)) => {
            let events = ended.iter().map(|order| Event::Cancelled(order.id)).collect();
            (events, Ok(OrderAnswer::Undrained { ended, still }))
        }
    };
    ordered(control, decide).await
}

/// The drains of this origin with this target, which an undrain ends, and the others that cover a part of it, which stay.
///
/// # Errors
/// The config has no such target.
pub fn drains(
    world: &World,
    target: &DrainTarget,
    origin: OrderOrigin,
    now: Tick,
) -> Result<(Vec<Order>, Vec<Order>), OrderProblem> {
    let whole = Action::Drain { target: target.clone(), deadline: None };
    if let Err(problem @ OrderProblem::UnknownTarget { .. }) = world.judge_order(&whole, true, now) {
        return Err(problem);
    }
    let layout = world.layout();
    let overlaps = |other: &DrainTarget| {
        let covers = |target: &DrainTarget, place| target.covers(&layout.topology, place);
        layout.endpoints.iter().any(|place| covers(target, place) && covers(other, place))
    };
    let (mut ended, mut still) = (Vec::new(), Vec::new());
    for order in world.orders() {
        match &order.action {
            Action::Drain { target: other, .. } if other == target && order.id.origin() == origin => {
                ended.push(order.clone());
            }
            Action::Drain { target: other, .. } if overlaps(other) => still.push(order.clone()),
            _ => {}
        }
    }
    Ok((ended, still))
}

/// Ends an order before its time; `None` = no such order stands.
pub async fn cancel(control: &Control, id: OrderId) -> Option<Order> {
    let decide = move |world: &World| {
        let order = world.orders().iter().find(|order| order.id == id).cloned();
        (order.iter().map(|order| Event::Cancelled(order.id)).collect(), order)
    };
    ordered(control, decide).await.flatten()
}

/// Lets the keeper decide, and stores the orders that stand then.
async fn ordered<T: 'static>(
    control: &Control,
    decide: impl FnOnce(&World) -> (Vec<Event>, T) + 'static,
) -> Option<T> {
    let answer = control.keeper.decide(decide).await;
    state_store::store(control).await;
    answer
}

/// The pools, by name, of the endpoints that an order takes out or empties, each with the addresses concerned.
#[must_use]
pub fn emptied(snapshot: &Snapshot, action: &Action) -> BTreeSet<(Box<str>, String)> {
    let topology = &snapshot.layout.topology;
    let name = |pool: PoolSlot| topology.pool(pool).map(|pool| pool.name.clone()).unwrap_or_default();
    let evacuated =
        |pool: PoolSlot, region: &str| topology.pool(pool).is_some_and(|pool| *pool.region == *region);
    let places = snapshot.layout.endpoints.iter().filter(|place| match action {
        Action::Drain { target, .. } => target.covers(topology, place),
        Action::Evacuate { region } => evacuated(place.pool, region),
        Action::Dial { .. } | Action::Weight { .. } | Action::Freeze { .. } => false,
    });
    places.map(|place| (name(place.pool), place.address.to_string())).collect()
}

/// The spelling of a problem in answers and events.
#[must_use]
pub fn problem_word(problem: &OrderProblem) -> &'static str {
    match problem {
        OrderProblem::UnknownTarget { .. } => "unknown_target",
        OrderProblem::LastToServe { .. } => "last_to_serve",
        OrderProblem::TooLittleCapacity { .. } => "too_little_capacity",
        OrderProblem::TooMany => "too_many_orders",
    }
}

/// A problem as one sentence.
#[must_use]
pub fn problem_text(problem: &OrderProblem) -> String {
    match problem {
        OrderProblem::UnknownTarget { kind: "endpoint", name } => {
            format!("there is no endpoint {name}: `thalweg status` lists them")
        }
        OrderProblem::UnknownTarget { kind, name } => format!("there is no {kind} {name}"),
        OrderProblem::LastToServe { route } => {
            format!(
                "this would take out the last pool that serves route {route}; `force` gives the order anyway"
            )
        }
        OrderProblem::TooLittleCapacity { needed, declared } => format!(
            "the other pools declare {declared} requests/s, and would have to take {needed}; `force` gives the order anyway"
        ),
        OrderProblem::TooMany => format!("{} orders stand: end some first", thalweg_core::MAX_ORDERS),
    }
}
