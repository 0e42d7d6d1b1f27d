//! Which edges announce, known from the bucket, so that the last one never withdraws because it is degraded.
//!
//! Each edge reports under a key of its own. A withdrawal is one step for the whole fleet: the edge reads the key
//! `withdrawal`, sees another edge that announces, says that it does not any more, and writes `withdrawal` at the revision
//! that it read. Of two edges that withdraw at the same time, the second write is refused, and that edge looks again.

use std::{rc::Rc, time::Duration};

use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{order_state::BucketLink, server_time, withdrawal::Withdrawal};
use crate::control::state::Control;

/// What the keys of these reports begin with.
const REPORTS: &str = "announce.";
/// The key that every withdrawal writes.
const WITHDRAWAL: &str = "withdrawal";
/// How often a report is repeated.
const REPEAT: Duration = Duration::from_secs(5);
/// A report that is older says nothing.
const FRESH_MS: u64 = 20_000;
/// How often this edge looks at what it announces, and asks again.
const LOOK: Duration = Duration::from_millis(250);

/// Reports what this edge announces and answers its question, for as long as the bucket can be used.
pub(super) async fn run(control: &Rc<Control>, link: &BucketLink, name: &str) {
    let announcers = &control.fleet.announcers;
    let key = format!("{REPORTS}{}", name.replace('.', "="));
    let mut reported: Option<(bool, Instant)> = None;
    loop {
        let announces = announces(control);
        if announcers.wish.get() && announcers.answer.get() != Withdrawal::Granted {
            let answer = withdraw(link, &key).await.unwrap_or_default();
            announcers.answer.set(answer);
            announcers.told.notify_waiters();
            reported = None;
        } else if !announcers.wish.get() && control.shared.live.load().wiring.config.announce.is_some() {
            let is_old = |(said, at): (bool, Instant)| said != announces || at.elapsed() > REPEAT;
            if reported.is_none_or(is_old) && report(link, &key, announces).await {
                reported = Some((announces, Instant::now()));
            }
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = announcers.asked.notified() => {}
        }
    }
}

/// Whether every protocol of this edge is announced indeed.
fn announces(control: &Control) -> bool {
    let all = control.announce.announced();
    !all.is_empty() && all.iter().all(|(_, announced)| *announced)
}

async fn report(link: &BucketLink, key: &str, announces: bool) -> bool {
    let value = json!({ "announces": announces }).to_string();
    link.store.put(key, Bytes::from(value)).await.is_ok()
}

/// One withdrawal. `None` = the engine does not answer.
async fn withdraw(link: &BucketLink, key: &str) -> Option<Withdrawal> {
    let revision = read(link, WITHDRAWAL).await?.map_or(0, |(_, revision, _)| revision);
    if !another_announces(link, key).await? {
        // What was said in an attempt before is taken back.
        report(link, key, true).await;
        return Some(Withdrawal::Last);
    }
    if !report(link, key, false).await {
        return None;
    }
    let value = Bytes::from(json!({ "by": key }).to_string());
    if link.store.update(WITHDRAWAL, value, revision).await.is_ok() {
        return Some(Withdrawal::Granted);
    }
    // Another edge withdraws at this moment, or no answer came: this one goes on announcing, and asks again.
    report(link, key, true).await;
    None
}

async fn another_announces(link: &BucketLink, own: &str) -> Option<bool> {
    let now = server_time::now_ms(&link.context, &link.store).await?;
    let mut keys = link.store.keys().await.ok()?;
    while let Some(key) = keys.next().await {
        let key = key.ok()?;
        if !key.starts_with(REPORTS) || key == own {
            continue;
        }
        let Some((value, _, at_ms)) = read(link, &key).await? else { continue };
        if value.get("announces") == Some(&Value::Bool(true)) && now.saturating_sub(at_ms) < FRESH_MS {
            return Some(true);
        }
    }
    Some(false)
}

/// A value with its revision and the server's time of it, as the leader has it. `None` = no answer.
async fn read(link: &BucketLink, key: &str) -> Option<Option<(Value, u64, u64)>> {
    let subject = format!("{}{key}", link.store.prefix);
    match link.store.stream.get_last_raw_message_by_subject(&subject).await {
        Ok(message) => {
            let value = serde_json::from_slice(&message.payload).unwrap_or_default();
            let at_ms = u64::try_from(message.time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
            Some(Some((value, message.sequence, at_ms)))
        }
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Some(None),
        Err(_) => None,
    }
}
