//! Which edges announce, known from the bucket, so that the last one never withdraws because it is degraded.
//!
//! Each edge reports under a key of its own. A withdrawal is one step for the whole fleet: the edge reads the key
//! `withdrawal`, sees another edge that announces, says that it does not any more, and writes `withdrawal` at the revision
//! that it read. Of two edges that withdraw at the same time, the second write is refused, and that edge looks again.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    board::Board,
    order_state::BucketLink,
    withdrawal::{Announcers, Withdrawal},
};
use crate::control::state::Control;

/// What the keys of these reports begin with.
const REPORTS: &str = "announce.";
/// The key that every withdrawal writes.
const WITHDRAWAL: &str = "withdrawal";
/// How often a report is repeated.
const REPEAT: Duration = Duration::from_secs(5);
/// A report that is older says nothing.
pub(super) const FRESH: Duration = Duration::from_secs(20);
/// How often this edge looks at what it announces, and asks again.
const LOOK: Duration = Duration::from_millis(250);

/// Reports what this edge announces and answers its question, for as long as the bucket can be used.
pub(super) async fn run(control: &Control, link: &BucketLink, name: &str) {
    let announces = || {
        control.shared.live.load().wiring.config.announce.as_ref()?;
        let all = control.announce.announced();
        Some(!all.is_empty() && all.iter().all(|(_, announced)| *announced))
    };
    follow(&control.fleet.announcers, link, name, announces).await;
}

/// The same for any board. `announces` says whether every protocol of this edge is announced indeed; `None` = it has none.
pub(super) async fn follow(
    announcers: &Announcers,
    board: &impl Board,
    name: &str,
    announces: impl Fn() -> Option<bool>,
) {
    let key = format!("{REPORTS}{}", name.replace('.', "="));
    let mut reported: Option<(bool, Instant)> = None;
    loop {
        if announcers.wish.get() && announcers.answer.get() != Withdrawal::Granted {
            let answer = withdraw(board, &key, &announces).await.unwrap_or_default();
            announcers.answer.set(answer);
            announcers.told.notify_waiters();
            reported = None;
        } else if let Some(announces) = announces().filter(|_| !announcers.wish.get()) {
            let is_old = |(said, at): (bool, Instant)| said != announces || at.elapsed() > REPEAT;
            if reported.is_none_or(is_old) && report(board, &key, announces).await {
                reported = Some((announces, Instant::now()));
            }
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = announcers.asked.notified() => {}
        }
    }
}

async fn report(board: &impl Board, key: &str, announces: bool) -> bool {
    board.put(key, &json!({ "announces": announces })).await
}

/// One withdrawal. `None` = the engine does not answer.
async fn withdraw(board: &impl Board, key: &str, announces: impl Fn() -> Option<bool>) -> Option<Withdrawal> {
    // An edge whose session is down must not be counted on, whatever it wants.
    let take_back = async || report(board, key, announces() == Some(true)).await;
    let revision = board.read(WITHDRAWAL).await?.map_or(0, |posted| posted.revision);
    if !another_announces(board, key).await? {
        // What was said in an attempt before is taken back.
        take_back().await;
        return Some(Withdrawal::Last);
    }
    if !report(board, key, false).await {
        return None;
    }
    if board.update(WITHDRAWAL, &json!({ "by": key }), revision).await {
        return Some(Withdrawal::Granted);
    }
    // Another edge withdraws at this moment, or no answer came: this one goes on announcing, and asks again.
    take_back().await;
    None
}

async fn another_announces(board: &impl Board, own: &str) -> Option<bool> {
    let now_ms = board.now_ms().await?;
    for key in board.keys(REPORTS).await?.into_iter().filter(|key| key != own) {
        let Some(posted) = board.read(&key).await? else { continue };
        let age = Duration::from_millis(now_ms.saturating_sub(posted.at_ms));
        if posted.value.get("announces") == Some(&Value::Bool(true)) && age < FRESH {
            return Some(true);
        }
    }
    Some(false)
}
