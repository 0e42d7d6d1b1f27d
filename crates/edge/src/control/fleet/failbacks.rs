//! `failback` for the fleet: a short list of such orders under one key of the bucket. Each edge takes each entry once, by
//! itself, as if its operator had ordered it there: a route that is frozen there, or a pool that is down there, stays as
//! it is. Ends nothing but latches and holds.
//!
//! Why not in the list of orders: an order stands until it ends, and is kept over restarts; a failback happens once. What
//! stands in the list when a process first reads it was for the process before: a latch may be younger than it.

use std::{rc::Rc, time::Duration};

use async_nats::jetstream::{
    kv::{UpdateErrorKind, Watch},
    stream::LastRawMessageErrorKind,
};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};

use super::{
    order_desk::{FleetProblem, is_refused},
    order_state::BucketLink,
    orders::next,
    server_time,
};
use crate::control::{
    failback::{self, FailbackOutcome},
    order_json::moment_now,
    state::Control,
};

/// The key of the list.
const KEY: &str = "failback";
/// Longest age at which an entry still counts, for an edge that was away.
const COUNTS_MS: u64 = 600_000;
/// Most entries.
const MOST: usize = 50;
/// How often a write is tried on what others wrote meanwhile.
const TRIES: usize = 20;
/// Longest time between two readings.
const LOOK: Duration = Duration::from_secs(5);
/// Between two attempts to read or to watch.
const SOON: Duration = Duration::from_millis(250);

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FleetFailback {
    /// When it was ordered, by the server's clock, ms since 1970; made unique.
    number: u64,
    route: String,
    by: String,
}

/// Gives the order to every edge. Returns its number, and what it did on this edge.
///
/// # Errors
/// Why the fleet has not got it.
pub async fn give(control: &Control, route: &str, by: &str) -> Result<(u64, FailbackOutcome), FleetProblem> {
    if control.shared.live.load().wiring.config.fleet.is_none() {
        return Err(FleetProblem::NoFleet);
    }
    let link = control.fleet.orders.link.borrow().clone();
    let Some(link) = link.filter(|_| control.fleet.connected.get()) else {
        let why = control.fleet.trouble.borrow().clone();
        return Err(FleetProblem::Away(why.unwrap_or_else(|| "no server is connected".into())));
    };
    for _ in 0..TRIES {
        let (mut list, revision) = read(&link).await.map_err(FleetProblem::Away)?;
        let now = server_time::now_ms(&link.context, &link.store).await;
        let now = now.unwrap_or_else(|| moment_now(control.shared.now()).unix_ms);
        list.retain(|one| one.number.saturating_add(COUNTS_MS) > now);
        list.drain(..list.len().saturating_sub(MOST - 1));
        let number = list.last().map_or(now, |last| now.max(last.number + 1));
        list.push(FleetFailback { number, route: route.to_owned(), by: by.to_owned() });
        match link.store.update(KEY, Bytes::from(text(&list)), revision).await {
            Ok(_) => {
                // What this edge has not read yet is for its own task.
                let taken = &control.fleet.orders.failbacks_taken;
                taken.borrow_mut().insert(number);
                let outcome = failback::order(control, route).await;
                tell(
                    control,
                    &FleetFailback { number, route: route.to_owned(), by: by.to_owned() },
                    &outcome,
                );
                return Ok((number, outcome));
            }
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {}
            Err(error) if is_refused(&error) => return Err(FleetProblem::Away(error.to_string())),
            Err(_) => return Err(FleetProblem::Unknown),
        }
    }
    Err(FleetProblem::Away("other writers came between each time".into()))
}

/// Follows the list for as long as the bucket can be used.
pub(super) async fn run(control: &Rc<Control>, link: &BucketLink, mut connected: watch::Receiver<bool>) {
    let mut changes: Option<Watch> = None;
    loop {
        if changes.is_none() {
            changes = link.store.watch(KEY).await.ok();
        }
        let looked = look(control, link).await.is_ok();
        tokio::select! {
            said = next(&mut changes) => if !said { changes = None },
            done = connected.changed() => if done.is_err() { return std::future::pending().await },
            () = sleep(if looked { LOOK } else { SOON }) => {}
        }
    }
}

async fn look(control: &Control, link: &BucketLink) -> Result<(), String> {
    let (list, _) = read(link).await?;
    let state = &control.fleet.orders;
    if !state.failbacks_read.replace(true) {
        state.failbacks_taken.borrow_mut().extend(list.iter().map(|one| one.number));
        return Ok(());
    }
    let fresh: Vec<FleetFailback> =
        list.iter().filter(|one| !state.failbacks_taken.borrow().contains(&one.number)).cloned().collect();
    state.failbacks_taken.borrow_mut().retain(|number| list.iter().any(|one| one.number == *number));
    if fresh.is_empty() {
        return Ok(());
    }
    let now = server_time::now_ms(&link.context, &link.store).await;
    for one in fresh {
        // A task that ends here has taken the entry all the same: once, or not at all.
        state.failbacks_taken.borrow_mut().insert(one.number);
        if now.is_none_or(|now| one.number.saturating_add(COUNTS_MS) > now) {
            let outcome = failback::order(control, &one.route).await;
            tell(control, &one, &outcome);
        }
    }
    Ok(())
}

fn tell(control: &Control, one: &FleetFailback, outcome: &FailbackOutcome) {
    let (route, by, result) = (one.route.as_str(), one.by.as_str(), outcome.as_str());
    tracing::info!(route, by, result, "fleet: failback ordered");
    let mut fields = json!({ "number": one.number, "route": route, "by": by });
    if let (Some(fields), Value::Object(outcome)) = (fields.as_object_mut(), outcome.shown()) {
        fields.extend(outcome);
    }
    control.events.add("fleet_failback", fields);
}

/// The list and its revision. What is no entry is left out: it orders nothing.
async fn read(link: &BucketLink) -> Result<(Vec<FleetFailback>, u64), String> {
    let subject = format!("{}{KEY}", link.store.prefix);
    match link.store.stream.get_last_raw_message_by_subject(&subject).await {
        Ok(message) => Ok((entries(&message.payload), message.sequence)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok((Vec::new(), 0)),
        Err(error) => Err(error.to_string()),
    }
}

fn entries(bytes: &[u8]) -> Vec<FleetFailback> {
    let list: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let entry = |one: &Value| {
        let text = |key: &str| one.get(key)?.as_str().filter(|text| text.len() <= 256).map(str::to_owned);
        Some(FleetFailback { number: one.get("number")?.as_u64()?, route: text("route")?, by: text("by")? })
    };
    let mut found: Vec<FleetFailback> =
        list.as_array().into_iter().flatten().take(MOST).filter_map(entry).collect();
    found.sort_by_key(|one| one.number);
    found
}

fn text(list: &[FleetFailback]) -> String {
    let one = |one: &FleetFailback| json!({ "number": one.number, "route": one.route, "by": one.by });
    Value::Array(list.iter().map(one).collect()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_as_it_is_written_and_nonsense_orders_nothing() {
        let one = |number, route: &str| FleetFailback { number, route: route.into(), by: "ada".into() };
        let list = vec![one(1, "a"), one(2, "b")];
        assert_eq!(entries(text(&list).as_bytes()), list);
        for nonsense in
            ["", "x", "{}", "[1]", "[{\"number\":-1,\"route\":\"a\",\"by\":\"b\"}]", "[{\"number\":1}]"]
        {
            assert_eq!(entries(nonsense.as_bytes()), vec![], "{nonsense}");
        }
        let long = format!("[{{\"number\":1,\"route\":\"{}\",\"by\":\"b\"}}]", "a".repeat(300));
        assert_eq!(entries(long.as_bytes()), vec![]);
    }
}
