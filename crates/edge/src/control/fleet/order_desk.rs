//! Orders for the fleet on their way into the bucket: given and ended on the edge that an operator asks, in force on every
//! edge that reads them. A write is refused by the server when another one came between, and tried again on what that one
//! wrote. Judges no order: each edge does, when it reads it.

use std::rc::Rc;

use async_nats::jetstream::{
    context::{PublishError, PublishErrorKind},
    kv::UpdateErrorKind,
};
use bytes::Bytes;
use thalweg_core::{Action, DrainTarget, Order, OrderId, OrderOrigin, OrderProblem, World};

use super::{
    order_list::{KEY, ListedOrder, MAX_STANDING, OrderList},
    order_state::BucketLink,
    orders, server_time,
};
use crate::control::{
    order_json::moment_now,
    order_request::{OrderRequest, Wish},
    orders::{NOBODY, drains},
    state::Control,
};

/// How often a write is tried on what others wrote meanwhile.
const TRIES: usize = 20;

/// Why the fleet has not got a word.
#[derive(Clone, Debug, PartialEq)]
pub enum FleetProblem {
    /// This edge belongs to no fleet.
    NoFleet,
    /// The engine cannot be used: nothing was written.
    Away(String),
    /// No answer came: it may have been written or not.
    Unknown,
    /// As many orders of the fleet stand as may stand.
    TooMany,
    /// No such order stands in the fleet.
    NotFound,
    /// What the order names is not in the config of this edge.
    Order(OrderProblem),
}

/// Gives an order to the fleet. It is in force on this edge, or refused here, when the answer comes.
///
/// # Errors
/// Why the fleet has not got it.
pub async fn give(control: &Rc<Control>, request: OrderRequest) -> Result<Order, FleetProblem> {
    let Wish::Give(action) = request.wish.clone() else { return Err(FleetProblem::NotFound) };
    let now = moment_now(control.shared.now());
    known_here(control, action.clone()).await?;
    let given = Order {
        owner: request.owner.unwrap_or_else(|| NOBODY.into()),
        reason: request.reason,
        until: request.until,
        forced: request.force,
        ..Order::new(OrderId(0), action, now)
    };
    change(control, |list, server_ms| {
        if list.standing(server_ms).count() >= MAX_STANDING {
            return Err(FleetProblem::TooMany);
        }
        let order = Order { id: list.next_number(server_ms), ..given.clone() };
        list.add(ListedOrder::new(&order, now, server_ms));
        Ok(order)
    })
    .await
}

/// A name that this edge does not know is most likely misspelt: the fleet does not get it.
async fn known_here(control: &Control, action: Action) -> Result<(), FleetProblem> {
    let now = control.shared.now();
    let judged = control.keeper.look(move |world: &World| world.judge_order(&action, true, now)).await;
    match judged {
        Some(Err(problem @ OrderProblem::UnknownTarget { .. })) => Err(FleetProblem::Order(problem)),
        Some(_) => Ok(()),
        None => Err(FleetProblem::Away("the edge is ending".into())),
    }
}

/// Ends one order everywhere. Returns it as this edge knew it.
///
/// # Errors
/// Why it stands.
pub async fn cancel(control: &Rc<Control>, id: OrderId, by: &str) -> Result<Order, FleetProblem> {
    let standing = standing(control, id);
    let now = moment_now(control.shared.now());
    change(control, |list, server_ms| {
        let known = standing.clone();
        let Some(listed) = list.get_mut(id) else {
            // The bucket was lost: the edges that obey it learn from its entry that it has ended.
            let order = known.ok_or(FleetProblem::NotFound)?;
            let mut listed = ListedOrder::new(&order, now, server_ms);
            listed.cancel(by, server_ms);
            list.add(listed);
            return Ok(order);
        };
        let age = listed.age(server_ms);
        if listed.cancelled.is_some() || listed.is_expired(age) {
            return Err(FleetProblem::NotFound);
        }
        let order = known.or_else(|| listed.order(now, age).ok());
        listed.cancel(by, server_ms);
        // What cannot be read is ended all the same.
        Ok(order.unwrap_or_else(|| Order::new(id, Action::Freeze { route: None }, now)))
    })
    .await
}

/// Ends the fleet's drains with this target. Returns them, and the other drains on this edge that cover a part of it.
///
/// # Errors
/// Why they stand.
pub async fn undrain(
    control: &Rc<Control>,
    target: DrainTarget,
    by: &str,
) -> Result<(Vec<Order>, Vec<Order>), FleetProblem> {
    let now = moment_now(control.shared.now());
    let (wanted, at) = (target.clone(), now.at);
    let found =
        control.keeper.look(move |world: &World| drains(world, &wanted, OrderOrigin::Fleet, at)).await;
    let found = found.ok_or_else(|| FleetProblem::Away("the edge is ending".into()))?;
    let (here, still) = found.map_err(FleetProblem::Order)?;
    let ended = change(control, |list, server_ms| {
        let mut ended = here.clone();
        let ids: Vec<OrderId> = list.standing(server_ms).map(|listed| listed.id).collect();
        for id in ids {
            let Some(listed) = list.get_mut(id) else { continue };
            let Ok(order) = listed.order(now, listed.age(server_ms)) else { continue };
            let is_wanted = matches!(&order.action, Action::Drain { target: other, .. } if *other == target);
            if is_wanted {
                listed.cancel(by, server_ms);
                if !ended.iter().any(|known| known.id == id) {
                    ended.push(order);
                }
            }
        }
        for order in &here {
            if list.get_mut(order.id).is_none() {
                let mut listed = ListedOrder::new(order, now, server_ms);
                listed.cancel(by, server_ms);
                list.add(listed);
            }
        }
        Ok(ended)
    });
    Ok((ended.await?, still))
}

fn standing(control: &Control, id: OrderId) -> Option<Order> {
    control.shared.live.load().snapshot.orders.iter().find(|order| order.id == id).cloned()
}

/// Reads the list, changes it, writes it, and obeys it on this edge.
async fn change<T>(
    control: &Rc<Control>,
    change: impl Fn(&mut OrderList, u64) -> Result<T, FleetProblem>,
) -> Result<T, FleetProblem> {
    if control.shared.live.load().wiring.config.fleet.is_none() {
        return Err(FleetProblem::NoFleet);
    }
    let link = control.fleet.orders.link.borrow().clone();
    let link = link.filter(|_| control.fleet.connected.get());
    let Some(link) = link else {
        let why = control.fleet.trouble.borrow().clone();
        return Err(FleetProblem::Away(why.unwrap_or_else(|| "no server is connected".into())));
    };
    for _ in 0..TRIES {
        let (read, revision) = orders::read(&link).await.map_err(FleetProblem::Away)?;
        let mut list = match read {
            Ok(list) if revision == 0 => recovered(control, list, &link).await,
            Ok(list) => list,
            Err(problem) => return Err(FleetProblem::Away(format!("the list of orders {problem}"))),
        };
        let server_ms = server_time::now_ms(&link.context, &link.store).await;
        let server_ms = server_ms.unwrap_or_else(|| moment_now(control.shared.now()).unix_ms);
        let done = change(&mut list, server_ms)?;
        list.prune(server_ms);
        match link.store.update(KEY, Bytes::from(list.to_bytes()), revision).await {
            Ok(_) => {
                orders::obey(control, &link, &list).await;
                return Ok(done);
            }
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
            Err(error) if is_refused(&error) => return Err(FleetProblem::Away(error.to_string())),
            // Whatever broke the connection may have come after the write.
            Err(_) => return Err(FleetProblem::Unknown),
        }
    }
    Err(FleetProblem::Away("other writers came between each time".into()))
}

/// Whether the server has said that nothing was written.
pub(super) fn is_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<PublishError>() {
            return !matches!(error.kind(), PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe);
        }
        source = error.source();
    }
    false
}

/// In a new bucket: the orders that this edge obeys are those of the fleet.
async fn recovered(control: &Control, mut list: OrderList, link: &BucketLink) -> OrderList {
    let now = moment_now(control.shared.now());
    let Some(server_ms) = server_time::now_ms(&link.context, &link.store).await else { return list };
    let live = control.shared.live.load();
    for order in live.snapshot.orders.iter().filter(|order| order.id.origin() == OrderOrigin::Fleet) {
        list.add(ListedOrder::new(order, now, server_ms));
    }
    list
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::kv::UpdateError;

    use super::*;

    #[test]
    fn only_a_word_of_the_server_says_that_nothing_was_written() {
        for (kind, refused) in [
            (PublishErrorKind::StreamNotFound, true),
            (PublishErrorKind::MaxPayloadExceeded, true),
            (PublishErrorKind::BrokenPipe, false),
            (PublishErrorKind::TimedOut, false),
        ] {
            let error = UpdateError::from(PublishError::new(kind));
            assert_eq!(is_refused(&error), refused, "{kind:?}");
        }
    }
}
