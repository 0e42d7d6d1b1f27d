//! Orders for the fleet, as this edge obeys them: the list is read at every reason to look, and each order in it takes the
//! way of an order that is given on this edge. Writes nothing; `order_desk` does.
//!
//! Each edge judges for itself. An order that would take out the last that serves a route here is refused here, also a
//! forced one: whoever can write into the bucket shall not be able to take the fleet out of service. It is judged again
//! as long as it stands, so that an edge obeys as soon as it can.
//!
//! An order that is missing is not cancelled: orders stand, with the engine away or wiped, until their time is over or an
//! operator ends them.

use std::{collections::BTreeSet, rc::Rc, time::Duration};

use async_nats::jetstream::{kv::Watch, stream::LastRawMessageErrorKind};
use futures_util::StreamExt;
use serde_json::json;
use thalweg_core::{Event, Moment, Order, OrderId, OrderOrigin, OrderProblem, World};
use tokio::{sync::watch, time::sleep};

use super::{
    order_list::{KEY, ListedOrder, OrderList},
    order_state::{BucketLink, RefusedOrder, refused_fields},
    server_time,
};
use crate::control::{
    order_json::moment_now,
    orders::{problem_text, problem_word},
    state::{Control, EdgePhase},
    state_store,
};

/// Longest time between two readings.
const LOOK: Duration = Duration::from_secs(5);
/// Between two attempts to read or to watch.
const SOON: Duration = Duration::from_millis(250);

/// Follows the list for as long as the bucket can be used.
pub(super) async fn run(control: &Rc<Control>, link: &BucketLink, mut connected: watch::Receiver<bool>) {
    let mut changes: Option<Watch> = None;
    loop {
        if changes.is_none() {
            changes = link.store.watch(KEY).await.ok();
        }
        let pause = match look(control, link).await {
            Ok(()) if changes.is_some() => LOOK,
            // The follower tells what is wrong with the engine.
            _ => SOON,
        };
        tokio::select! {
            // Whatever the watch says, and also its end, is a reason to look.
            said = next(&mut changes) => if !said { changes = None },
            done = connected.changed() => if done.is_err() { return std::future::pending().await },
            () = sleep(pause) => {}
        }
    }
}

async fn look(control: &Rc<Control>, link: &BucketLink) -> Result<(), String> {
    if control.phase.get() == EdgePhase::Starting {
        // Before the first probe round, nothing can be said of the last that serves.
        return Err("starting".into());
    }
    let (list, revision) = match read(link).await? {
        (Ok(list), revision) => (list, revision),
        (Err(problem), revision) => {
            control.fleet.orders.revision.set(revision);
            trouble(control, Some(problem));
            return Ok(());
        }
    };
    control.fleet.orders.revision.set(revision);
    trouble(control, None);
    obey(control, link, &list).await;
    Ok(())
}

/// Reads the list, or why it is none, and its revision. The leader is asked: a replica may not have the newest value yet.
///
/// # Errors
/// The servers do not answer.
pub(super) async fn read(link: &BucketLink) -> Result<(Result<OrderList, String>, u64), String> {
    let subject = format!("{}{KEY}", link.store.prefix);
    match link.store.stream.get_last_raw_message_by_subject(&subject).await {
        Ok(message) if message.payload.is_empty() => Ok((Ok(OrderList::default()), message.sequence)),
        Ok(message) => Ok((OrderList::read(&message.payload), message.sequence)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
            Ok((Ok(OrderList::default()), 0))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn trouble(control: &Control, problem: Option<String>) {
    let before = control.fleet.orders.trouble.replace(problem.clone());
    if let Some(problem) = problem.filter(|problem| before.as_ref() != Some(problem)) {
        tracing::error!(problem, "fleet: the list of orders cannot be used; the orders that stand stay");
        control.events.add("fleet_orders_rejected", json!({ "problem": problem }));
    }
}

/// Gives and ends orders until this edge agrees with the list, as far as it can.
pub(super) async fn obey(control: &Rc<Control>, link: &BucketLink, list: &OrderList) {
    let known: BTreeSet<OrderId> = list.orders.iter().map(|order| order.id).collect();
    let orders = &control.fleet.orders;
    orders.refused.borrow_mut().retain(|id, _| known.contains(id));
    orders.ends.borrow_mut().retain(|id, _| known.contains(id));
    orders.cancelled.borrow_mut().retain(|id| known.contains(id));
    let (mut server_ms, mut changed) = (None, false);
    for listed in &list.orders {
        if listed.cancelled.is_some() {
            orders.cancelled.borrow_mut().insert(listed.id);
            orders.refused.borrow_mut().remove(&listed.id);
            changed |= cancel(control, listed.id).await;
            continue;
        }
        let was_cancelled = orders.cancelled.borrow().contains(&listed.id);
        if was_cancelled || stands(control, listed.id) || is_over(control, listed.id) {
            note_end(control, listed.id);
            orders.refused.borrow_mut().remove(&listed.id);
            continue;
        }
        if server_ms.is_none() {
            // A server that does not tell the time: the order counts from its arrival.
            server_ms = Some(server_time::now_ms(&link.context, &link.store).await);
        }
        let age = server_ms.flatten().map_or(Duration::ZERO, |now| listed.age(now));
        changed |= take(control, listed, age).await;
    }
    if changed {
        state_store::store(control).await;
    }
}

fn stands(control: &Control, id: OrderId) -> bool {
    control.shared.live.load().snapshot.orders.iter().any(|order| order.id == id)
}

/// Notes when an order that stands will end: it may stand from before this process.
fn note_end(control: &Control, id: OrderId) {
    let live = control.shared.live.load();
    if let Some(order) = live.snapshot.orders.iter().find(|order| order.id == id) {
        control.fleet.orders.ends.borrow_mut().entry(id).or_insert(order.until);
    }
}

/// Whether the order has ended here by its time.
fn is_over(control: &Control, id: OrderId) -> bool {
    let ends = control.fleet.orders.ends.borrow();
    ends.get(&id).copied().flatten().is_some_and(|end| end.at <= control.shared.now())
}

/// Judges an order, and gives it or notes why not.
async fn take(control: &Control, listed: &ListedOrder, age: Duration) -> bool {
    let now = moment_now(control.shared.now());
    let id = listed.id;
    let mut order = match listed.order(now, age) {
        Ok(order) => order,
        Err(error) => {
            let detail = format!("`{}` {}", error.field, error.problem);
            refuse(control, id, RefusedOrder { word: "invalid", detail, order: None });
            return false;
        }
    };
    order.until = *control.fleet.orders.ends.borrow_mut().entry(id).or_insert(order.until);
    if is_over(control, id) {
        return false;
    }
    let given = order.clone();
    let decide = move |world: &World| {
        // The operator's request may have come first.
        if world.orders().iter().any(|order| order.id == id) {
            return (Vec::new(), Ok(()));
        }
        let judged = judge(world, &given, now);
        let events = judged.is_ok().then_some(Event::Ordered(given));
        (events.into_iter().collect(), judged)
    };
    match control.keeper.decide(decide).await {
        Some(Ok(())) => {
            control.fleet.orders.refused.borrow_mut().remove(&id);
            true
        }
        Some(Err(problem)) => {
            let (word, detail) = (problem_word(&problem), problem_text(&problem));
            refuse(control, id, RefusedOrder { word, detail, order: Some(order) });
            false
        }
        None => false,
    }
}

/// Whether this edge may obey. Force overrides what is declared, and never the last that serves.
fn judge(world: &World, order: &Order, now: Moment) -> Result<(), OrderProblem> {
    match world.judge_order(&order.action, false, now.at) {
        Err(OrderProblem::TooLittleCapacity { .. }) if order.forced => Ok(()),
        judged => judged,
    }
}

/// Notes an order that this edge does not obey; tells each reason once.
fn refuse(control: &Control, id: OrderId, refused: RefusedOrder) {
    let fields = refused_fields(id, &refused);
    let before = control.fleet.orders.refused.borrow_mut().insert(id, refused.clone());
    if before.is_none_or(|before| before.word != refused.word) {
        let (problem, detail) = (refused.word, refused.detail.as_str());
        tracing::warn!(order = id.0, problem, detail, "fleet: order refused on this edge");
        control.events.add("fleet_order_refused", fields);
    }
}

/// Ends an order of the fleet on this edge, if it stands.
async fn cancel(control: &Control, id: OrderId) -> bool {
    if !stands(control, id) {
        return false;
    }
    control.keeper.decide(move |_| (vec![Event::Cancelled(id)], ())).await.is_some()
}

/// Ends every order of the fleet: this edge belongs to none any more.
pub(super) async fn leave(control: &Control) {
    control.fleet.orders.refused.borrow_mut().clear();
    let decide = |world: &World| {
        let of_fleet = world.orders().iter().filter(|order| order.id.origin() == OrderOrigin::Fleet);
        (of_fleet.map(|order| Event::Cancelled(order.id)).collect::<Vec<_>>(), ())
    };
    control.keeper.decide(decide).await;
}

/// Waits for something on a watch; false = the watch has ended. Without a watch, for ever.
pub(super) async fn next(changes: &mut Option<Watch>) -> bool {
    match changes {
        Some(changes) => changes.next().await.is_some(),
        None => std::future::pending().await,
    }
}
